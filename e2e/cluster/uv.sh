#!/usr/bin/env bash
# Print the program uv: the one on PATH, else one of its own in the cache.
set -euo pipefail
. "$(dirname "$0")/settings.sh"
! have uv || { command -v uv; exit; }
own=$CACHE/uv
if [ ! -x "$own/bin/uv" ]; then
  say "installing uv (about 10 s)"
  need_packages python3:python3
  python3 -c 'import ensurepip' 2>/dev/null || { need_root "installing python3-venv"; apt-get update -qq >&2; apt-get install -y -qq --no-install-recommends python3-venv >&2 </dev/null; }
  python3 -m venv "$own" && "$own/bin/pip" install -q uv >&2
fi
echo "$own/bin/uv"
