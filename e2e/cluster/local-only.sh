#!/usr/bin/env bash
# Keep every container of the `kind` Docker network on this machine: run before a cluster is created. A ClusterIP that is
# not translated yet would otherwise follow the default route out of the machine, where something may even answer.
set -euo pipefail
. "$(dirname "$0")/settings.sh"
docker network inspect kind >/dev/null 2>&1 ||
  docker network create kind --driver bridge --subnet 198.18.240.0/20 -o com.docker.network.bridge.name=br-kind >/dev/null
bridge=$(docker network inspect kind -f '{{index .Options "com.docker.network.bridge.name"}}')
[ -n "$bridge" ] || bridge=br-$(docker network inspect kind -f '{{.Id}}' | cut -c1-12)
iptables -C DOCKER-USER -i "$bridge" ! -o "$bridge" -j REJECT 2>/dev/null ||
  iptables -I DOCKER-USER -i "$bridge" ! -o "$bridge" -j REJECT
