#!/usr/bin/env bash
# Start again whatever of the control plane NAME is not running; what runs is left alone.
set -euo pipefail
. "$(dirname "$0")/settings.sh"
NAME=${1:?the name of the cluster}
export PATH=$BIN:$PATH KUBECONFIG=$STATE/kwok-$NAME.kubeconfig KWOK_WORKDIR=$STATE/kwok
"$BIN/kwokctl" start cluster --name "$NAME" --wait 60s >"$STATE/kwok-$NAME.log" 2>&1 </dev/null || { cat "$STATE/kwok-$NAME.log" >&2; exit 1; }
