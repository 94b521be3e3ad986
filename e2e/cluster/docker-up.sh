#!/usr/bin/env bash
# A running Docker engine, and the programs that kind nodes and images need on the host, from Debian's packages where they
# are missing. An engine that runs already is used as it is; one started here is ended by docker-down.sh.
set -euo pipefail
. "$(dirname "$0")/settings.sh"
need_packages docker:docker.io dockerd:docker.io iptables:iptables ip:iproute2 conntrack:conntrack ethtool:ethtool socat:socat debootstrap:debootstrap
! docker info >/dev/null 2>&1 || exit 0
need_root "starting a Docker engine"
alone docker; ! docker info >/dev/null 2>&1 || exit 0
say "starting a Docker engine (about 3 s; its log: $STATE/dockerd.log)"
setsid dockerd --pidfile "$STATE/dockerd.pid" >"$STATE/dockerd.log" 2>&1 </dev/null 9>&- &
for _ in $(seq 120); do ! docker info >/dev/null 2>&1 || exit 0; sleep .5; done
tail -5 "$STATE/dockerd.log" >&2; stop "the Docker engine did not answer within 60 s"
