#!/usr/bin/env bash
# The demo: a kind cluster with pretended GPU nodes, Shardwright installed by Helm, three deployments that answer, and a walk
# through what happened: demo.sh NAME. The cluster goes on running; cluster/kind-down.sh NAME takes it away.
set -euo pipefail
NAME=${1:-shardwright-demo}
HERE=$(cd "$(dirname "$0")" && pwd)
. "$HERE/cluster/settings.sh"
export KUBECONFIG=$STATE/kind-$NAME.kubeconfig PATH=$BIN:$PATH
cd "$REPOSITORY"
BEGAN=$SECONDS

title() { printf '\n\033[1m%s\033[0m\n' "$*"; }
show() { printf '\033[36m$ %s\033[0m\n' "$*"; "$@"; }
show_as() { local as=$1; shift; printf '\033[36m$ %s\033[0m\n' "$as"; "$@"; }
field() { kubectl get infd "$1" -o "jsonpath=$2"; }

cluster() { # one that still runs is used again
  if kubectl version --request-timeout=5s >/dev/null 2>&1; then say "the cluster $NAME runs already"; return; fi
  "$HERE/cluster/kind-up.sh" "$NAME" >/dev/null
}

ready() { # NAME…: wait, and say where it hangs when it does
  kubectl wait infd "$@" --for=condition=Available --timeout=180s >/dev/null && return
  kubectl get infd,pods -o wide; kubectl get events --sort-by=.lastTimestamp | tail -20
  kubectl -n shardwright-system logs deployment/shardwright --tail=20
  stop "the deployments are not available after three minutes; what is known is above"
}

ask() { # DEPLOYMENT MODEL QUESTION: from a pod, with the openai client, through the Service
  local url pod; url=$(field "$1" '{.status.endpoint}'); pod=ask-$1
  kubectl delete pod "$pod" --ignore-not-found >/dev/null
  kubectl run "$pod" --image=shardwright/client:dev --image-pull-policy=Never --restart=Never --quiet -- "$url" "$2" "$3" >/dev/null
  kubectl wait pod "$pod" --for=jsonpath='{.status.phase}'=Succeeded --timeout=60s >/dev/null || { kubectl logs "$pod"; stop "no answer from $1"; }
  printf '  %s\n' "$url" "Q: $3" "A: $(kubectl logs "$pod")"
  kubectl delete pod "$pod" --wait=false >/dev/null
}

rejected() { # DEPLOYMENT: the nearest layouts that lost
  kubectl get infd "$1" -o go-template='{{range .status.plan.rejected}}  {{.layout}} on {{.pool}}: {{.reason}}{{with .needBytes}} (needs {{.}} bytes{{end}}{{with .haveBytes}}, has {{.}}){{end}}{{with .need}} (needs {{.}}{{end}}{{with .have}}, has {{.}}{{end}}{{with .unit}} {{.}}){{end}}{{"\n"}}{{end}}' | sed -n 1,6p
}

cluster
"$HERE/install.sh" "$NAME"

title "1. The fleet: real kubelets; the GPUs are a device plugin's, the labels those of GPU Feature Discovery"
show kubectl get nodes -l nvidia.com/gpu.present -L nvidia.com/gpu.product,nvidia.com/gpu.count

title "2. Three models. Their users say what they want; two of them say nothing about layouts"
for file in examples/demo/*.yaml; do printf '\033[2m# %s\033[0m\n' "$file"; grep -v '^#' "$file"; echo; done
show kubectl apply -f examples/demo
say "waiting until all three answer (about 40 s)"
ready qwen3-8b llama-70b qwen3-32b-wide

title "3. What the planner made of it"
show kubectl get infd
for name in qwen3-8b llama-70b qwen3-32b-wide; do printf '  %-16s %s\n' "$name" "$(field "$name" '{.status.plan.why}')"; done
title "   … and what lost for llama-70b, with what it would have needed"
rejected llama-70b

title "4. What runs: one StatefulSet for each replica, pinned to its nodes; the wide one is a leader and a follower"
show kubectl get statefulsets,pods -o wide
show_as "kubectl get pod qwen3-32b-wide-0-1 -o yaml   # the follower's command line" \
  kubectl get pod qwen3-32b-wide-0-1 -o go-template='{{range (index .spec.containers 0).command}}{{.}} {{end}}{{range (index .spec.containers 0).args}}{{.}} {{end}}{{"\n"}}'

title "5. A chat with each, asked with the openai client from a pod, through its Service (the engine is a fake: it says who it is)"
ask qwen3-8b Qwen/Qwen3-8B "Which GPU are you on?"
ask llama-70b meta-llama/Llama-3.3-70B-Instruct "Over how many GPUs are you cut?"
ask qwen3-32b-wide qwen3-32b "And you, over two nodes?"

title "6. The conditions of one of them"
kubectl get infd llama-70b -o go-template='{{range .status.conditions}}{{printf "  %-14s %-8s %-22s " .type .status .reason}}{{.message}}{{"\n"}}{{end}}'

title "Look around"
cat <<T
  export KUBECONFIG=$KUBECONFIG PATH=$BIN:\$PATH
  kubectl get infd -w
  kubectl get infd llama-70b -o yaml                       # the whole plan and its reasons
  kubectl scale infd qwen3-8b --replicas 2                 # by hand …
  kubectl run load --image=shardwright/client:dev --image-pull-policy=Never --restart=Never -- \\
    $(field qwen3-8b '{.status.endpoint}') Qwen/Qwen3-8B --load 60 --seconds 120 --tokens 400
  kubectl get hpa,infd -w                                  # … or by load: one replica becomes three, and one again
  kubectl exec qwen3-32b-wide-0-1 -- sh -c 'kill -9 \$(cat /proc/1/task/1/children)'   # break the follower: the group is made anew
  kubectl -n shardwright-system logs deployment/shardwright -f

Take it away with: make demo-down
T
say "the demo took $((SECONDS - BEGAN)) s"
