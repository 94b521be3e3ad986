#!/usr/bin/env bash
# A real control plane (etcd, API server, controllers, scheduler) with simulated nodes: kwok-up.sh NAME; the path of its
# kubeconfig on stdout. A cluster of that name that an earlier, killed run left is removed first (it would make the start
# hang). The user's own kubeconfig is not touched. kwok-down.sh takes it away.
set -euo pipefail
. "$(dirname "$0")/settings.sh"
NAME=${1:?the name of the cluster}
export KUBECONFIG=$STATE/kwok-$NAME.kubeconfig KWOK_WORKDIR=$STATE/kwok
export PATH=$BIN:$PATH KWOK_KUBE_VERSION=$KUBERNETES
authority=$KWOK_WORKDIR/clusters/$NAME/pki/ca.crt

# Pods get addresses that nothing serves. They end on this machine, so that nobody outside is asked for an engine's metrics.
if [ "$(id -u)" = 0 ] && have ip; then ip route replace local 198.18.128.0/18 dev lo; fi

# kwokctl panics unless the first option of each component stands before the second of any.
options=(
  kwok-controller=cidr=198.18.128.0/18
  kube-apiserver=service-cluster-ip-range=198.19.0.0/16            # the default /24 is full with 250 Services
  kube-controller-manager=horizontal-pod-autoscaler-sync-period=2s # 15 s by default: tests would wait for it
  kube-apiserver=requestheader-client-ca-file="$authority"         # what an aggregated API needs to know its front proxy by
  kube-apiserver=requestheader-allowed-names=kwok-admin            # one authority signs every certificate here: only this name is the proxy
  kube-apiserver=requestheader-username-headers=X-Remote-User
  kube-apiserver=requestheader-group-headers=X-Remote-Group
  kube-apiserver=requestheader-extra-headers-prefix=X-Remote-Extra-
  kwok-controller=manage-all-nodes=false
  kwok-controller=manage-nodes-with-annotation-selector=kwok.x-k8s.io/node # a node without it is nobody's, and falls silent
)
extra=(); for option in "${options[@]}"; do extra+=(--extra-args "$option"); done
"$CLUSTER_HOME/build-binaries.sh" >/dev/null
"$BIN/kwokctl" delete cluster --name "$NAME" >/dev/null 2>&1 || true
alone kwok   # two that start at once would choose the same ports
timeout 90 "$BIN/kwokctl" create cluster --name "$NAME" --runtime binary --kubeconfig "$KUBECONFIG" \
  --etcd-binary "$BIN/etcd" --kube-apiserver-binary "$BIN/kube-apiserver" --kwok-controller-binary "$BIN/kwok" \
  --kube-controller-manager-binary "$BIN/kube-controller-manager" --kube-scheduler-binary "$BIN/kube-scheduler" \
  "${extra[@]}" --wait 60s >"$STATE/kwok-$NAME.log" 2>&1 </dev/null 9>&- ||
  { tail -20 "$STATE/kwok-$NAME.log" >&2; stop "kwokctl could not create the cluster; the whole log is $STATE/kwok-$NAME.log"; }
echo "$KUBECONFIG"
