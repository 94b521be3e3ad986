#!/usr/bin/env bash
# End the Docker engine that docker-up.sh started, once no kind cluster is left in it. Another's engine is never touched.
set -euo pipefail
. "$(dirname "$0")/settings.sh"
[ -f "$STATE/dockerd.pid" ] || exit 0
pid=$(cat "$STATE/dockerd.pid")
[ "$(cat "/proc/$pid/comm" 2>/dev/null)" = dockerd ] || { rm -f "$STATE/dockerd.pid"; exit 0; }
[ -z "$(docker ps -q)" ] || { say "containers still run; the Docker engine stays up"; exit 0; }
! pgrep -x docker >/dev/null || { say "another docker command is at work; the Docker engine stays up"; exit 0; }
kill "$pid"
for _ in $(seq 60); do [ -d "/proc/$pid" ] || { rm -f "$STATE/dockerd.pid"; exit 0; }; sleep .5; done
stop "the Docker engine (process $pid) did not end within 30 s"
