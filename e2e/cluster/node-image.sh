#!/usr/bin/env bash
# Choose the kind node image and print "FLAVOUR IMAGE": the stock one where a registry answers, else one built here.
# KIND_NODE_IMAGE=stock|local decides by hand.
set -euo pipefail
. "$(dirname "$0")/settings.sh"
# The image that the kind release in versions.env publishes as its default.
STOCK_NODE_IMAGE=kindest/node:v1.37.0@sha256:a1ed56cfb0e7b93589bdf97c8cd566405a265939e3620fc4f5de89adff580ae5
choice=${KIND_NODE_IMAGE:-}
if [ -z "$choice" ]; then
  choice=local
  if docker image inspect "$STOCK_NODE_IMAGE" >/dev/null 2>&1; then choice=stock
  elif ! docker image inspect "$LOCAL_NODE_IMAGE" >/dev/null 2>&1 && registry_answers "$STOCK_NODE_IMAGE"; then
    choice=stock
  fi
fi
case $choice in
stock) docker image inspect "$STOCK_NODE_IMAGE" >/dev/null 2>&1 ||
    { say "pulling $STOCK_NODE_IMAGE (about 350 MB)"; docker pull -q "$STOCK_NODE_IMAGE" >/dev/null; }
  echo "stock $STOCK_NODE_IMAGE" ;;
local) echo "local $("$CLUSTER_HOME/build-node-image.sh")" ;;
*) stop "KIND_NODE_IMAGE is '$choice'; it may be 'stock' or 'local'" ;;
esac
