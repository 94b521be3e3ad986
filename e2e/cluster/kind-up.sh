#!/usr/bin/env bash
# A kind cluster with a small mixed fleet of pretended GPU nodes: kind-up.sh NAME; the path of its kubeconfig on stdout.
# Brings what it needs (Docker engine, programs, node image), and replaces a cluster of that name. kind-down.sh takes it away.
# FLEET="h100 h100 l40s" names one file of fleet/ for each worker. The user's own kubeconfig is not touched.
set -euo pipefail
. "$(dirname "$0")/settings.sh"
NAME=${1:?the name of the cluster}
export KUBECONFIG=$STATE/kind-$NAME.kubeconfig FLEET
need_root "a kind cluster"

# kind nodes run systemd, kubelet and containerd as the same user: the usual 128 inotify instances are one cluster's worth.
room_for_inotify() {
  local file=/proc/sys/fs/inotify/max_user_instances
  [ "$(cat $file)" -lt 512 ] || return 0
  cat $file > "$STATE/inotify.before"
  if echo 512 > $file; then say "raised fs.inotify.max_user_instances from $(cat "$STATE/inotify.before") to 512 until the last cluster is gone"
  else rm -f "$STATE/inotify.before"; fi
}

cluster() {
  local flavour image
  read -r flavour image < <("$CLUSTER_HOME/node-image.sh")
  [ -n "${image:-}" ] || stop "no node image"
  "$CLUSTER_HOME/local-only.sh"
  ! kind get clusters 2>/dev/null | grep -qxF "$NAME" || { say "removing an earlier cluster $NAME"; kind delete cluster -q --name "$NAME"; }
  say "creating the kind cluster $NAME: a control plane and $(wc -w <<<"$FLEET") workers (about 35 s)"
  "$CLUSTER_HOME/kind-config.sh" "$flavour" > "$STATE/kind-$NAME.yaml"
  kind create cluster -q --name "$NAME" --config "$STATE/kind-$NAME.yaml" --image "$image" --wait 180s >"$STATE/kind-$NAME.log" 2>&1 </dev/null ||
    { tail -40 "$STATE/kind-$NAME.log" >&2; stop "kind could not create the cluster; the whole log is $STATE/kind-$NAME.log"; }
}

# Device plugins and GPU Feature Discovery are not there: their labels and capacity are written in their stead.
fleet() {
  local number=0 product node
  for product in $FLEET; do
    number=$((number + 1)); node=$NAME-worker; [ $number = 1 ] || node+=$number
    kubectl patch node "$node" --type=merge --patch-file "$CLUSTER_HOME/fleet/$product.yaml" >/dev/null
    kubectl patch node "$node" --type=merge --subresource=status -p \
      "{\"status\":{\"capacity\":{\"nvidia.com/gpu\":\"$(sed -n 's/^ *nvidia.com\/gpu.count: *"\([0-9]*\)".*/\1/p' "$CLUSTER_HOME/fleet/$product.yaml")\"}}}" >/dev/null
  done
  kubectl wait node -l nvidia.com/gpu.product --for=jsonpath='{.status.allocatable.nvidia\.com/gpu}' --timeout=60s >/dev/null
}

"$CLUSTER_HOME/docker-up.sh"
NODE_IMAGE=1 "$CLUSTER_HOME/build-binaries.sh" >/dev/null
for_kind; room_for_inotify; cluster; fleet
say "the cluster $NAME is up: KUBECONFIG=$KUBECONFIG"
echo "$KUBECONFIG"
