#!/usr/bin/env bash
# Make an empty Debian machine ready: setup.sh [python|control-plane|kind], each with what comes before it (default: kind).
# What is there is left alone; what is built goes into the cache, so that a second run takes seconds.
set -euo pipefail
. "$(dirname "$0")/settings.sh"
upto=${1:-kind}

# uv: the one on PATH, else one of its own in the cache. Prints the program.
uv_program() {
  ! have uv || { command -v uv; return; }
  local own=$CACHE/uv
  if [ ! -x "$own/bin/uv" ]; then
    say "installing uv (about 10 s)"
    need_packages python3:python3
    python3 -c 'import ensurepip' 2>/dev/null || { need_root "installing python3-venv"; apt-get update -qq >&2; apt-get install -y -qq --no-install-recommends python3-venv >&2 </dev/null; }
    python3 -m venv "$own" && "$own/bin/pip" install -q uv >&2
  fi
  echo "$own/bin/uv"
}

python() {
  local uv; uv=$(uv_program)
  say "Python packages from uv.lock into .venv (a minute with an empty cache)"
  "$uv" sync --locked -q --project "$REPOSITORY"
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
*) stop "setup.sh knows python, control-plane and kind; not '$upto'" ;;
esac
say "ready: $upto"
