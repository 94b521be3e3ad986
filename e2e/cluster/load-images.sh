#!/usr/bin/env bash
# Put images of the Docker engine into the workers of a kind cluster: load-images.sh NAME IMAGE…
set -euo pipefail
. "$(dirname "$0")/settings.sh"
NAME=${1:?the name of the cluster}; shift
for_kind
workers=$(kind get nodes --name "$NAME" 2>/dev/null | grep -v control-plane | paste -sd,)
[ -n "$workers" ] || stop "there is no kind cluster $NAME, or it has no workers"
say "loading $* into the workers of $NAME (about 10 s for 100 MB)"
kind load docker-image -q --name "$NAME" --nodes "$workers" "$@" 2>"$STATE/kind-$NAME.load" || { cat "$STATE/kind-$NAME.load" >&2; stop "kind could not load the images"; }
