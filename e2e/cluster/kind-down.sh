#!/usr/bin/env bash
# Take away what kind-up.sh NAME made: the cluster, and when it was the last one the Docker engine that was started for it.
set -euo pipefail
. "$(dirname "$0")/settings.sh"
NAME=${1:?the name of the cluster}
export PATH=$BIN:$PATH KUBECONFIG=$STATE/kind-$NAME.kubeconfig
! have kind || ! docker info >/dev/null 2>&1 || kind delete cluster -q --name "$NAME"
rm -f "$STATE/kind-$NAME".*
if [ -z "$(kind get clusters 2>/dev/null || true)" ] && [ -f "$STATE/inotify.before" ]; then
  cat "$STATE/inotify.before" > /proc/sys/fs/inotify/max_user_instances || true
  rm -f "$STATE/inotify.before"
fi
"$CLUSTER_HOME/docker-down.sh"
