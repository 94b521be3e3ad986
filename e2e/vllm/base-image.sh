#!/usr/bin/env bash
# A small Debian image with what real vLLM on a CPU needs beside its environment: a C++ compiler (it compiles at start) and
# libnuma. vLLM itself, 6 GB, is mounted from the host rather than loaded. Prints the image's name; cached by recipe.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../cluster/settings.sh"
image=shardwright-test/vllm-cpu-base:$(sha256sum < "$here/base-image.sh" | cut -c1-12)
archive=$CACHE/vllm-cpu-base-${image#*:}.tar
"$CLUSTER_HOME/docker-up.sh"
docker image inspect "$image" >/dev/null 2>&1 || {
  if [ ! -f "$archive" ]; then
    need_root "building a base image"; need_packages debootstrap:debootstrap
    say "building a base image with a compiler from Debian packages (about a minute)"
    root=$(mktemp -d "$CACHE/vllm-base.XXXXXX"); chmod 755 "$root"
    debootstrap --variant=minbase --include=python3,ca-certificates,g++,libnuma1 bookworm "$root" >"$STATE/debootstrap.log" 2>&1 ||
      { tail -5 "$STATE/debootstrap.log" >&2; stop "debootstrap failed"; }
    rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/* "$root"/usr/share/{doc,man,locale}/*
    tar -C "$root" --exclude=./dev/* --exclude=./proc/* --exclude=./sys/* -cf "$archive.part" . && mv "$archive.part" "$archive"
    rm -rf "$root"
  fi
  docker import "$archive" "$image" >/dev/null
}
echo "$image"
