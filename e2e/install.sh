#!/usr/bin/env bash
# Install Shardwright in a kind cluster as users do, by Helm, with images built here: install.sh NAME [helm option…].
# Engines are the fake one, GPUs come from a device plugin that hands out what the nodes' labels say, and models from a hub in
# the cluster (images/fake-engine/hub.yaml); downloads are kept in a folder of each node, as cacheHostPath says.
set -euo pipefail
NAME=${1:?the name of the cluster}; shift
. "$(dirname "$0")/cluster/settings.sh"
export KUBECONFIG=$STATE/kind-$NAME.kubeconfig PATH=$BIN:$PATH
NAMESPACE=shardwright-system

# shellcheck disable=SC2046
"$CLUSTER_HOME/load-images.sh" "$NAME" $("$REPOSITORY/images/build.sh")
kubectl apply --server-side -f "$REPOSITORY/images/fake-gpu/daemonset.yaml" >/dev/null
kubectl apply --server-side -f "$REPOSITORY/images/fake-engine/hub.yaml" >/dev/null
kubectl -n fake-gpu rollout status daemonset/fake-gpu --timeout=60s >/dev/null
kubectl -n fake-hub rollout status deployment/hub --timeout=60s >/dev/null
for node in $(kubectl get nodes -o name); do docker exec "${node#node/}" mkdir -p -m 1777 /var/lib/shardwright; done   # engines are not root
say "helm install shardwright"
helm upgrade --install shardwright "$REPOSITORY/charts/shardwright" --namespace "$NAMESPACE" --create-namespace \
  --set image.repository=shardwright/operator,image.tag=dev,externalMetrics.install=true \
  --set-string podAnnotations.image="$(docker image inspect -f '{{.Id}}' shardwright/operator:dev)" \
  --set settings.preStopSeconds=2,settings.graceSeconds=20,settings.cacheHostPath=/var/lib/shardwright \
  --set settings.hub=http://hub.fake-hub.svc \
  --set engineImages.vllm.nvidia=shardwright/fake-engine:dev,engineImages.trtllm.nvidia=shardwright/fake-engine:dev \
  --wait --timeout 3m "$@" >/dev/null || { kubectl -n "$NAMESPACE" get pods >&2; kubectl -n "$NAMESPACE" logs deployment/shardwright --tail=40 >&2; stop "helm install failed"; }
say "Shardwright runs in the namespace $NAMESPACE"
