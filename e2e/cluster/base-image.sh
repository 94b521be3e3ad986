#!/usr/bin/env bash
# Have a base image with Python in the Docker engine, and print "IMAGE PYTHON_VERSION": the one of images/*/Dockerfile where
# a registry answers, else a Debian root file system made here. PYTHON_BASE_IMAGE=stock|local decides by hand.
# `base-image.sh mpi` is the one made here with Open MPI as well (80 MB more): for the fake engine in an MPI world only.
set -euo pipefail
. "$(dirname "$0")/settings.sh"
STOCK=python:3.13-slim; STOCK_VERSION=3.13
LOCAL=shardwright-test/python:$(recipe base-image.sh); LOCAL_VERSION=3.11   # what Debian bookworm has
PACKAGES=python3,ca-certificates
choice=${PYTHON_BASE_IMAGE:-}
if [ "${1:-}" = mpi ]; then LOCAL=${LOCAL/python:/python-mpi:} PACKAGES+=,openmpi-bin choice=local; fi
ARCHIVE=$CACHE/${LOCAL##*/}.tar; ARCHIVE=${ARCHIVE/:/-}

build() {
  need_root "building a base image"; need_packages debootstrap:debootstrap
  local root; root=$(mktemp -d "$CACHE/python.XXXXXX"); chmod 755 "$root"
  say "building a base image with Python $LOCAL_VERSION from Debian packages (about 30 s)"
  debootstrap --variant=minbase --include="$PACKAGES" bookworm "$root" >"$STATE/debootstrap.log" 2>&1 ||
    { tail -5 "$STATE/debootstrap.log" >&2; stop "debootstrap failed"; }
  ln -s /usr/bin/python3 "$root/usr/local/bin/python"; ln -s /usr/bin/python3 "$root/usr/local/bin/python3"
  rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/* "$root"/usr/share/{doc,man,locale}/*
  tar -C "$root" --exclude=./dev/* --exclude=./proc/* --exclude=./sys/* -cf "$ARCHIVE.part" . && mv "$ARCHIVE.part" "$ARCHIVE"
  rm -rf "$root"
}

if [ -z "$choice" ]; then
  choice=local
  if docker image inspect "$STOCK" >/dev/null 2>&1; then choice=stock
  elif ! docker image inspect "$LOCAL" >/dev/null 2>&1 && registry_answers "$STOCK"; then choice=stock; fi
fi
case $choice in
stock) docker image inspect "$STOCK" >/dev/null 2>&1 || { say "pulling $STOCK (about 45 MB)"; docker pull -q "$STOCK" >/dev/null; }
  echo "$STOCK $STOCK_VERSION" ;;
local) docker image inspect "$LOCAL" >/dev/null 2>&1 || {
    alone "$(basename "$ARCHIVE" .tar)"; [ -f "$ARCHIVE" ] || build
    docker import -c 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' "$ARCHIVE" "$LOCAL" >/dev/null; }
  echo "$LOCAL $LOCAL_VERSION" ;;
*) stop "PYTHON_BASE_IMAGE is '$choice'; it may be 'stock' or 'local'" ;;
esac
