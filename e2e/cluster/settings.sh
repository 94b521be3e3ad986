# What every script here agrees on: versions, cache folders named by recipe, where state lies, how progress is told.
# Sourced, never run.
CLUSTER_HOME=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
REPOSITORY=$(cd "$CLUSTER_HOME/../.." && pwd)
. "$CLUSTER_HOME/versions.env"

recipe() { # files and folders here -> the identity of what they build: another version or dependency, another cache entry
  (cd "$CLUSTER_HOME" && find "$@" -type f ! -name '*.sum' | LC_ALL=C sort | xargs cat | sha256sum | cut -c1-12)
}
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/shardwright
BIN=$CACHE/bin-$(recipe versions.env build-binaries.sh go)
NODE_RECIPE=$(recipe versions.env build-binaries.sh build-node-image.sh go node)
STATE=$CACHE/run
LOCAL_NODE_IMAGE=shardwright-test/node:$NODE_RECIPE
FLEET=${FLEET:-h100 h100 l40s}   # the workers of a kind cluster, by file name in fleet/

say() { printf '[%(%H:%M:%S)T] %s\n' -1 "$*" >&2; }
stop() { say "$*"; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

need_root() { # what for
  [ "$(id -u)" = 0 ] || stop "$1 needs root: run it as root, or prepare the machine once with 'sudo e2e/cluster/setup.sh kind'"
}

need_packages() { # program:package … -> installs the Debian packages whose program is missing
  local need missing=()
  for need in "$@"; do have "${need%:*}" || missing+=("${need#*:}"); done
  [ ${#missing[@]} -gt 0 ] || return 0
  have apt-get || stop "missing: ${missing[*]}; there is no apt-get here, install them by hand"
  need_root "installing ${missing[*]}"
  say "installing Debian packages ${missing[*]} (about 20 s)"
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"; } \
    </dev/null >"$CACHE/apt.log" 2>&1 || { tail -5 "$CACHE/apt.log" >&2; stop "apt-get failed; the whole log is $CACHE/apt.log"; }
}

registry_answers() { # IMAGE: 10 s to say that it could be pulled
  timeout 10 docker manifest inspect "$1" >/dev/null 2>&1
}

for_kind() { # kind on PATH. Where CAP_SYS_RESOURCE (bit 24) is missing, --privileged cannot be had: a docker without it goes first
  local bounding; bounding=$(awk '/^CapBnd/ {print $2}' /proc/self/status)
  export PATH=$BIN:$PATH
  (( 0x$bounding >> 24 & 1 )) || export PATH=$CLUSTER_HOME/without-sys-resource:$PATH
}

docker_build() { # IMAGE CONTEXT [option…]; the classic builder: buildx is not everywhere
  DOCKER_BUILDKIT=0 docker build -q -t "$1" "${@:3}" "$2" >"$STATE/docker-build.log" 2>&1 || { cat "$STATE/docker-build.log" >&2; stop "docker build of $1 failed"; }
}

alone() { # LOCK: one at a time; a second caller waits and then finds the work done
  mkdir -p "$STATE"; exec 9>"$STATE/$1.lock"
  flock -n 9 || { say "another run holds $1; waiting for it"; flock 9; }
}
mkdir -p "$CACHE" "$STATE"
