#!/usr/bin/env bash
# Have this project's images in the Docker engine: build.sh [NAME…], all by default; their full names on stdout.
# Packages are resolved on the host, by uv.lock, for the Python of the base image (e2e/cluster/base-image.sh decides which);
# an image is made again only when something in it changed. TAG=dev. NAME-mpi is NAME on the base with Open MPI.
set -euo pipefail
. "$(dirname "$0")/../e2e/cluster/settings.sh"
IMAGES=$REPOSITORY/images
TAG=${TAG:-dev}
[ $# -gt 0 ] || set -- operator fake-engine client fake-gpu
"$CLUSTER_HOME/docker-up.sh"
read -r BASE PYTHON < <("$CLUSTER_HOME/base-image.sh")
WORK=$(mktemp -d); trap 'rm -rf "$WORK"' EXIT

locked() { # all packages of uv.lock with their versions and hashes, as constraints
  uv export -q --project "$REPOSITORY" --frozen --all-groups --no-emit-project --no-annotate --no-header --no-hashes
}

site() { # REQUIREMENTS FOLDER: install into the folder for the base's Python, less what never runs
  local made; made=$CACHE/site-$(cat "$REPOSITORY/uv.lock" "$1" <(echo "$PYTHON $(uname -m)") "$IMAGES/build.sh" | sha256sum | cut -c1-12)
  if [ ! -d "$made" ]; then
    locked > "$WORK/locked.txt"
    rm -rf "$made.part"
    uv pip install -q --target "$made.part" --python-version "$PYTHON" --python-platform "$(uname -m)-manylinux_2_28" \
      --only-binary :all: -c "$WORK/locked.txt" -r "$1" >&2
    find "$made.part" -depth \( -name tests -o -name test -o -name __pycache__ -o -name '*.pyi' -o -name bin \) -prune -exec rm -rf {} +
    mv -T "$made.part" "$made"
  fi
  cp -r "$made" "$2"
}

copy() { # FROM TO: without byte code
  mkdir -p "$2"; tar -C "$1" --exclude=__pycache__ -c . | tar -C "$2" -x
}

operator() {
  uv export -q --project "$REPOSITORY" --frozen --no-dev --no-emit-project --no-annotate --no-header --no-hashes > "$WORK/operator.txt"
  site "$WORK/operator.txt" "$1/site"
  # Of the kubernetes package only the login is used; its 3,000 models are loaded by name and never asked for.
  find "$1/site/kubernetes/"{client,aio/client}/{models,api} -type f ! -name __init__.py -delete
  copy "$REPOSITORY/operator/shardwright" "$1/shardwright"
}
fake-engine() {
  site "$IMAGES/fake-engine/requirements.txt" "$1/site"
  copy "$IMAGES/fake-engine/fake_engine" "$1/fake_engine"; copy "$IMAGES/fake-engine/bin" "$1/bin"
}
client() { site "$IMAGES/client/requirements.txt" "$1/site"; cp "$IMAGES/client/ask.py" "$1/"; }
fake-gpu() {
  local made; made=$CACHE/fake-gpu-$(cat "$IMAGES"/fake-gpu/{go.mod,go.sum,main.go} | sha256sum | cut -c1-12)
  [ -x "$made" ] || (cd "$IMAGES/fake-gpu" && CGO_ENABLED=0 go build -trimpath -ldflags='-s -w' -o "$made" .)
  cp "$made" "$1/fake-gpu"
}

image() { # NAME: build unless the engine has it from the same content
  local full=shardwright/$1:$TAG name=${1%-mpi} context=$WORK/$1 content
  local BASE=$BASE PYTHON=$PYTHON
  [ "$name" = "$1" ] || read -r BASE PYTHON < <("$CLUSTER_HOME/base-image.sh" mpi)
  mkdir -p "$context"; "$name" "$context"; cp "$IMAGES/$name/Dockerfile" "$context/"
  content=$( (cd "$context" && find . -type f -print0 | sort -z | xargs -0 sha256sum; docker image inspect -f '{{.Id}}' "$BASE") | sha256sum | cut -c1-16)
  if [ "$(docker image inspect -f '{{index .Config.Labels "shardwright.io/content"}}' "$full" 2>/dev/null)" != "$content" ]; then
    say "building the image $full (about 20 s)"
    docker_build "$full" "$context" --build-arg BASE_IMAGE="$BASE" --label "shardwright.io/content=$content"
  fi
  echo "$full"
}

have uv || PATH=$CACHE/uv/bin:$PATH
for name in "$@"; do
  [ -f "$IMAGES/${name%-mpi}/Dockerfile" ] || stop "there is no image '$name': $(cd "$IMAGES" && ls -d */ | tr -d / | xargs)"
  image "$name"
done
