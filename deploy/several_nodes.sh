#!/usr/bin/env bash
# One server and engines on several machines (vLLM's data parallelism). On the first machine `several_nodes.sh 0`, on each
# other one `several_nodes.sh 1`, `2`, …; further arguments go to `ras-ext serve`, the same ones everywhere.
#
#   HEAD=10.0.0.1 NODES=2 MODEL=llava-hf/llava-1.5-7b-hf VECTORS=llava-1.5 deploy/several_nodes.sh 0 --max-model-len 4096
#
# Was run: both halves on one machine, with the CPU build. Was not run: two machines, a GPU.
set -euo pipefail
rank=${1:?usage: several_nodes.sh RANK [options of ras-ext serve]}
shift
: "${HEAD:?the address of the first machine, as the others reach it}" "${NODES:?how many machines}" "${MODEL:?a model}"

each=(--data-parallel-size "$NODES" --data-parallel-size-local 1)
each+=(--data-parallel-address "$HEAD" --data-parallel-rpc-port "${RPC_PORT:-13345}")
[ -z "${VECTORS:-}" ] || each+=(--vectors "$VECTORS")

if [ "$rank" -eq 0 ]; then
  exec ras-ext serve "$MODEL" "${each[@]}" "$@"
fi
# No server here, no pack and no policy: ras-ext names the defence to this machine's engine, the first one sends the pack.
exec ras-ext serve "$MODEL" --headless --data-parallel-start-rank "$rank" "${each[@]}" "$@"
