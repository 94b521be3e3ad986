#!/usr/bin/env bash
# Have the kind node image $LOCAL_NODE_IMAGE in the Docker engine, pulling nothing: it is made of Debian packages and the
# programs of build-binaries.sh (NODE_IMAGE=1), and kept as a tar in the cache, because an engine's store may be new on every
# run. Needs root, debootstrap and a running Docker engine. Prints the image's name.
set -euo pipefail
. "$(dirname "$0")/settings.sh"
ARCHIVE=$CACHE/node-$NODE_RECIPE.tar
WORK=$CACHE/node-$NODE_RECIPE.work; ROOT=$WORK/rootfs
LIB=usr/lib/$(uname -m)-linux-gnu
DEBIAN_PACKAGES=systemd,systemd-sysv,dbus,iproute2,iptables,nftables,conntrack,ethtool,socat,util-linux,mount,kmod,procps,runc,\
containernetworking-plugins,ca-certificates,ipset,curl,hostname,jq,findutils,tar,gzip

base() { debootstrap --variant=minbase --include="$DEBIAN_PACKAGES" bookworm "$ROOT" >"$WORK/debootstrap.log" 2>&1 ||
  { tail -5 "$WORK/debootstrap.log" >&2; stop "debootstrap failed"; }; }

# One component: FROM scratch, one static program.
component() { # image, program, path inside
  local dir; dir=$WORK/images/$(tr '/:' '__' <<<"$1"); mkdir -p "$dir"; cp "$BIN/$2" "$dir/program"
  printf 'FROM scratch\nENV PATH=/usr/local/bin:/usr/bin:/bin\nCOPY program %s\nENTRYPOINT ["%s"]\n' "$3" "$3" > "$dir/Dockerfile"
  docker_build "$1" "$dir"
}

# kube-proxy needs the iptables and nft programs with the libraries that they load.
kube_proxy() {
  local dir=$WORK/images/kube-proxy program library; local root=$dir/root
  mkdir -p "$root"/{usr/local/bin,usr/sbin,bin,lib64,tmp,run,"$LIB"}
  cp "$BIN/kube-proxy" "$root/usr/local/bin/"
  cp -r "$ROOT/$LIB/xtables" "$root/$LIB/"
  for program in usr/sbin/xtables-nft-multi usr/sbin/nft usr/sbin/conntrack usr/sbin/ipset bin/kmod; do
    cp -L "$ROOT/$program" "$root/$program"
  done
  for library in $(libraries usr/sbin/{xtables-nft-multi,nft,conntrack,ipset} bin/kmod $(cd "$ROOT" && echo "$LIB"/xtables/*.so)); do
    mkdir -p "$root$(dirname "$library")"; cp -Ln "$ROOT$library" "$root$library"
  done
  ln -s kmod "$root/bin/modprobe"
  for program in {ip,ip6}tables{,-save,-restore}; do ln -s xtables-nft-multi "$root/usr/sbin/$program"; done
  printf 'FROM scratch\nENV PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\nCOPY root /\nENTRYPOINT ["/usr/local/bin/kube-proxy"]\n' > "$dir/Dockerfile"
  docker_build "registry.k8s.io/kube-proxy:$KUBERNETES" "$dir"
}
libraries() { # files of the root file system -> the shared libraries that they load
  (cd "$ROOT"; for f in "$@"; do chroot . ldd "/$f" || true; done) 2>/dev/null | grep -o '/[^ ]*\.so[^ ]*' | sort -u
}

components() {
  local name images=()
  for name in kube-apiserver kube-controller-manager kube-scheduler; do
    component "registry.k8s.io/$name:$KUBERNETES" $name /usr/local/bin/$name
  done
  component "registry.k8s.io/coredns/coredns:$COREDNS" coredns /coredns
  component "registry.k8s.io/pause:$PAUSE" pause /pause
  component "registry.k8s.io/etcd:$ETCD_TAG" etcd /usr/local/bin/etcd   # the tag kubeadm asks for; the program may be a later patch
  kube_proxy
  images=(registry.k8s.io/{kube-apiserver,kube-controller-manager,kube-scheduler,kube-proxy}:"$KUBERNETES"
    "registry.k8s.io/coredns/coredns:$COREDNS" "registry.k8s.io/pause:$PAUSE" "registry.k8s.io/etcd:$ETCD_TAG")
  docker save -o "$WORK/components.tar" "${images[@]}"
  docker rmi -f "${images[@]}" >/dev/null
}

node_files() {
  cp -r "$CLUSTER_HOME/node/." "$ROOT/"; chmod 755 "$ROOT"/usr/local/bin/*
  sed -i "s/@PAUSE@/$PAUSE/" "$ROOT/etc/containerd/config.toml"
  printf %s "$KUBERNETES" > "$ROOT/kind/version"
  install -m755 "$BIN"/{kubeadm,kubelet,kubectl} "$ROOT/usr/bin/"
  install -m755 "$BIN"/{containerd,containerd-shim-runc-v2,ctr,crictl} "$ROOT/usr/local/bin/"
  mkdir -p "$ROOT/opt/cni" "$ROOT/etc/cni/net.d" "$ROOT/etc/kubernetes/manifests"
  ln -sfn /usr/lib/cni "$ROOT/opt/cni/bin"
  units >"$WORK/systemctl.log" 2>&1 || { cat "$WORK/systemctl.log" >&2; stop "systemctl in the node's root failed"; }
  ln -sf /lib/systemd/systemd "$ROOT/sbin/init"
  rm -rf "$ROOT"/var/cache/apt/archives/*.deb "$ROOT"/var/lib/apt/lists/* "$ROOT"/usr/share/{doc,man,locale}/*
}
units() {
  rm -f "$ROOT"/lib/systemd/system/{multi-user,local-fs,basic}.target.wants/* "$ROOT"/etc/systemd/system/*.wants/* \
        "$ROOT"/lib/systemd/system/sockets.target.wants/*udev* "$ROOT"/lib/systemd/system/sysinit.target.wants/systemd-tmpfiles-setup.service
  chroot "$ROOT" systemctl enable containerd kubelet podnet &&
  chroot "$ROOT" systemctl mask systemd-binfmt systemd-sysctl systemd-modules-load systemd-logind systemd-udevd getty.target console-getty &&
  chroot "$ROOT" systemctl set-default multi-user.target
}

# The node's containerd finds the component images in its own store: fill it with a private containerd on the host.
preload() {
  local run=$WORK/run pid; mkdir -p "$ROOT/var/lib/containerd" "$run"
  cat > "$run/config.toml" <<C
version = 3
root = "$ROOT/var/lib/containerd"
state = "$run/state"
disabled_plugins = ["io.containerd.cri.v1.images","io.containerd.cri.v1.runtime","io.containerd.grpc.v1.cri"]
[grpc]
  address = "$run/c.sock"
[ttrpc]
  address = "$run/c.ttrpc"
C
  PATH="$BIN:$PATH" containerd -c "$run/config.toml" > "$run/log" 2>&1 9>&- & pid=$!
  for _ in $(seq 50); do "$BIN/ctr" -a "$run/c.sock" version >/dev/null 2>&1 && break; sleep .2; done
  "$BIN/ctr" -a "$run/c.sock" -n k8s.io images import --label=io.cri-containerd.pinned=pinned --all-platforms --no-unpack --digests \
    "$WORK/components.tar" >"$run/import.log" 2>&1 || { tail -5 "$run/log" "$run/import.log" >&2; kill $pid; stop "containerd did not take the images"; }
  kill $pid; wait $pid || true
  rm -rf "$ROOT/var/lib/containerd/tmpmounts"
}

image() {
  tar -C "$ROOT" --exclude=./dev/* --exclude=./proc/* --exclude=./sys/* --exclude=./run/* --exclude=./tmp/* -c . |
    docker import - "$LOCAL_NODE_IMAGE-base" >/dev/null
  mkdir -p "$WORK/final"; cat > "$WORK/final/Dockerfile" <<D
FROM $LOCAL_NODE_IMAGE-base
ENV container=docker PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
STOPSIGNAL SIGRTMIN+3
ENTRYPOINT ["/usr/local/bin/entrypoint","/sbin/init"]
D
  docker_build "$LOCAL_NODE_IMAGE" "$WORK/final"
  docker rmi "$LOCAL_NODE_IMAGE-base" >/dev/null
}

build() {
  need_root "building a node image"; need_packages debootstrap:debootstrap
  NODE_IMAGE=1 "$CLUSTER_HOME/build-binaries.sh" >/dev/null
  rm -rf "$WORK"; mkdir -p "$WORK"
  say "building the kind node image $LOCAL_NODE_IMAGE from Debian packages (about 90 s)"
  say "  1/5 a Debian root file system"; base
  say "  2/5 images of the control plane's components"; components
  say "  3/5 the node's own programs and units"; node_files
  say "  4/5 the components into the node's image store"; preload
  say "  5/5 the image itself, and a copy for the cache"; image
  docker save -o "$WORK/image.tar" "$LOCAL_NODE_IMAGE"; mv "$WORK/image.tar" "$ARCHIVE"
  rm -rf "$WORK"
}

if ! docker image inspect "$LOCAL_NODE_IMAGE" >/dev/null 2>&1; then
  alone node-image
  if [ -f "$ARCHIVE" ]; then
    say "loading the kind node image from the cache (about 15 s)"; docker load -q -i "$ARCHIVE" >/dev/null
  else build; fi
fi
echo "$LOCAL_NODE_IMAGE"
