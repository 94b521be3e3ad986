#!/usr/bin/env bash
# Take away what kwok-up.sh NAME made.
set -euo pipefail
. "$(dirname "$0")/settings.sh"
NAME=${1:?the name of the cluster}
export KUBECONFIG=$STATE/kwok-$NAME.kubeconfig KWOK_WORKDIR=$STATE/kwok
"$BIN/kwokctl" delete cluster --name "$NAME" --kubeconfig "$KUBECONFIG" >"$STATE/kwok-$NAME.log" 2>&1 || { cat "$STATE/kwok-$NAME.log" >&2; exit 1; }
rm -f "$STATE/kwok-$NAME".*
