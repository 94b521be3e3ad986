#!/usr/bin/env bash
# Print the kind configuration: kind-config.sh stock|local. One control plane and a worker for each node of the fleet.
# `stock` is for the image that kind publishes and changes nothing in it; `local` adds what build-node-image.sh's image and
# a cgroup v1 host need. EXTRA_MOUNTS="/host/folder:/folder/in/node …" mounts folders into every worker, read-only.
set -euo pipefail
. "$(dirname "$0")/settings.sh"
flavour=${1:?stock or local}
cat <<C
kind: Cluster
apiVersion: kind.x-k8s.io/v1alpha4
networking:
  apiServerAddress: 127.0.0.1
  podSubnet: 198.18.0.0/17
  serviceSubnet: 198.19.0.0/16
nodes:
- role: control-plane
C
for _ in $FLEET; do
  echo "- role: worker"
  [ -z "${EXTRA_MOUNTS:-}" ] || echo "  extraMounts:"
  for mount in ${EXTRA_MOUNTS:-}; do
    printf '  - {hostPath: "%s", containerPath: "%s", readOnly: true}\n' "${mount%%:*}" "${mount#*:}"
  done
done
[ "$flavour" = stock ] || cat <<C
kubeadmConfigPatches:
- |
  kind: KubeletConfiguration
  cgroupDriver: cgroupfs
  failCgroupV1: false
  resolvConf: /kind/resolv-pods.conf
C
