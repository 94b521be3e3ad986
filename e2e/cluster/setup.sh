#!/usr/bin/env bash
# Make an empty Debian machine ready: setup.sh [python|control-plane|kind|vllm], each with what comes before it (default: kind).
# vllm-only is python and the real vLLM, without what a cluster needs.
# What is there is left alone; what is built goes into the cache, so that a second run takes seconds.
set -euo pipefail
. "$(dirname "$0")/settings.sh"
upto=${1:-kind}

python() {
  local uv; uv=$("$CLUSTER_HOME/uv.sh")
  say "Python packages from uv.lock into .venv (a minute with an empty cache)"
  "$uv" sync --locked -q --project "$REPOSITORY"
}
real_vllm() {
  "$CLUSTER_HOME/../vllm/install.sh" >/dev/null
}
control_plane() { need_packages ip:iproute2 mpirun:openmpi-bin; "$CLUSTER_HOME/build-binaries.sh" >/dev/null; }
node_and_base_images() {
  local stop_engine=1; ! docker info >/dev/null 2>&1 || stop_engine=
  "$CLUSTER_HOME/docker-up.sh"
  NODE_IMAGE=1 "$CLUSTER_HOME/build-binaries.sh" >/dev/null
  "$CLUSTER_HOME/node-image.sh" >/dev/null
  "$CLUSTER_HOME/base-image.sh" >/dev/null
  [ -z "$stop_engine" ] || "$CLUSTER_HOME/docker-down.sh"
}

case $upto in
python) python ;;
control-plane) python; control_plane ;;
kind) python; control_plane; node_and_base_images ;;
vllm-only) python; real_vllm ;;
vllm) python; control_plane; node_and_base_images; real_vllm ;;
*) stop "setup.sh knows python, control-plane, kind, vllm and vllm-only; not '$upto'" ;;
esac
say "ready: $upto"
