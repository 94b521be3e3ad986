#!/usr/bin/env bash
# Bring this project into a kind cluster as users do: deploy.sh NAME [helm option…]. Builds and loads the images, starts the
# device plugin that stands for NVIDIA's, installs the chart by Helm with the fake engine for both engines, and waits for it.
set -euo pipefail
. "$(dirname "$0")/settings.sh"
NAME=${1:?the name of the cluster}; shift
export KUBECONFIG=$STATE/kind-$NAME.kubeconfig TAG=${TAG:-dev}
for_kind

mapfile -t images < <("$REPOSITORY/images/build.sh")
[ ${#images[@]} -gt 0 ] || stop "images/build.sh made no image"
"$CLUSTER_HOME/load-images.sh" "$NAME" "${images[@]}"

say "starting the device plugin for the pretended GPUs"
sed "s#:dev#:$TAG#" "$REPOSITORY/images/fake-gpu/daemonset.yaml" | kubectl apply -f - >/dev/null
kubectl rollout status -n fake-gpu daemonset/fake-gpu --timeout=90s >/dev/null

say "helm install shardwright (about 15 s)"
helm upgrade --install shardwright "$REPOSITORY/charts/shardwright" --namespace shardwright-system --create-namespace \
  --set image.repository=shardwright/operator --set image.tag="$TAG" --set externalMetrics.install=true \
  --set engineImages.vllm.nvidia="shardwright/fake-engine:$TAG" --set engineImages.trtllm.nvidia="shardwright/fake-engine:$TAG" \
  --wait --timeout 120s "$@" >"$STATE/kind-$NAME.helm" 2>&1 ||
  { cat "$STATE/kind-$NAME.helm" >&2; kubectl get pods -A >&2; kubectl logs -n shardwright-system deployment/shardwright --tail=30 >&2 || true; stop "the chart did not become ready"; }
