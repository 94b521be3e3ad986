#!/usr/bin/env bash
# Build the programs of the test clusters from Go modules into $CACHE/bin-RECIPE and print that folder. With NODE_IMAGE=1
# those of a kind node image too. What is there already is left alone; an interrupted run leaves no half program.
set -euo pipefail
. "$(dirname "$0")/settings.sh"

CONTROL_PLANE=(kube-apiserver kube-controller-manager kube-scheduler kubectl etcd kwok kwokctl helm)
NODE=(kubelet kubeadm kube-proxy crictl pause containerd containerd-shim-runc-v2 ctr kind coredns)
V=k8s.io/component-base/version; MINOR=${KUBERNETES#v1.}
KUBERNETES_FLAGS="-s -w -X $V.gitVersion=$KUBERNETES -X $V.gitMajor=1 -X $V.gitMinor=${MINOR%.*}"
export CGO_ENABLED=0 GOFLAGS=-buildvcs=false

compile() { # program, module folder, package, tags, linker flags
  (cd "$CLUSTER_HOME/go/$2" && go build -mod=readonly -trimpath -tags "$4" -ldflags "$5" -o "$PART/$1" "$3")
}
install_module() { GOBIN=$PART go install -trimpath -ldflags "-s -w" "$1"; }

build() {
  case $1 in
  kube*) compile "$1" kubernetes "k8s.io/kubernetes/cmd/$1" grpcnotrace "$KUBERNETES_FLAGS" ;;
  etcd) compile etcd kubernetes ./etcd grpcnotrace "-s -w" ;;
  crictl | pause) compile "$1" kubernetes "./$1" "" "-s -w" ;;
  containerd* | ctr) compile "$1" containerd "github.com/containerd/containerd/v2/cmd/$1" \
    "no_btrfs no_zfs no_aufs no_devmapper urfave_cli_no_docs grpcnotrace" \
    "-s -w -X github.com/containerd/containerd/v2/version.Version=$CONTAINERD" ;;
  kwok | kwokctl) install_module "sigs.k8s.io/kwok/cmd/$1@$KWOK" ;;
  helm) install_module "helm.sh/helm/v3/cmd/helm@$HELM" ;;
  kind) install_module "sigs.k8s.io/kind@$KIND" ;;
  coredns) install_module "github.com/coredns/coredns@$COREDNS" ;;
  esac
}

need_go() {
  have go || stop "Go is missing. Any Go from 1.21 on will do (it fetches the release that go.mod names): https://go.dev/dl"
}

wanted=("${CONTROL_PLANE[@]}"); [ -z "${NODE_IMAGE:-}" ] || wanted+=("${NODE[@]}")
missing=(); for program in "${wanted[@]}"; do [ -x "$BIN/$program" ] || missing+=("$program"); done
if [ ${#missing[@]} -gt 0 ]; then
  need_go; alone binaries
  PART=$BIN/.part; mkdir -p "$PART"; number=0
  say "building ${#missing[@]} programs from Go modules into $BIN (12 minutes for all of them with a cold Go cache on 2 cores, 2 with a warm one)"
  for program in "${missing[@]}"; do
    number=$((number + 1)); [ ! -x "$BIN/$program" ] || continue
    say "  $number/${#missing[@]} $program"
    build "$program" 2> >(grep -v '^go: downloading' >&2)
    mv "$PART/$program" "$BIN/$program"
  done
  rmdir "$PART"
fi
echo "$BIN"
