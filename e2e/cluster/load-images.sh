#!/usr/bin/env bash
# Put images of the Docker engine into every node of a kind cluster: load-images.sh NAME IMAGE…
set -euo pipefail
. "$(dirname "$0")/settings.sh"
NAME=${1:?the name of the cluster}; shift
for_kind
say "loading $* into the nodes of $NAME (about 10 s for 100 MB)"
kind load docker-image -q --name "$NAME" "$@" 2>"$STATE/kind-$NAME.load" || { cat "$STATE/kind-$NAME.load" >&2; stop "kind could not load the images"; }
