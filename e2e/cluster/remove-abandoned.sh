#!/usr/bin/env bash
# Remove test clusters (named …-pPID-…) whose process PID is gone. A killed test run cannot tidy up after itself.
set -euo pipefail
. "$(dirname "$0")/settings.sh"
shopt -s nullglob
for file in "$STATE"/{kwok,kind}-*-p[0-9]*-*.kubeconfig; do
  name=${file##*/}; kind=${name%%-*}; name=${name#*-}; name=${name%.kubeconfig}
  pid=${name##*-p}; pid=${pid%%-*}
  [ ! -d "/proc/$pid" ] || continue
  [ -z "${KEEP_CLUSTER:-}" ] || continue
  say "removing the cluster $name, which a run that is gone left behind"
  "$CLUSTER_HOME/$kind-down.sh" "$name" || say "could not remove $name"
done
