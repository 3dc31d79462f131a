#!/usr/bin/env bash
# One model over the GPUs of several machines, which Ray holds together. On the first machine `ray.sh head`, on each other one
# `ray.sh node`, then on the first `ray.sh serve`; further arguments go to `ray start` or `ras-ext serve`.
#
#   HEAD=10.0.0.1 deploy/ray.sh head
#   HEAD=10.0.0.1 deploy/ray.sh node
#   MODEL=llava-hf/llava-1.5-7b-hf VECTORS=llava-1.5 deploy/ray.sh serve --tensor-parallel-size 4 --pipeline-parallel-size 2
#
# Every machine needs the same vLLM, ras_ext and ray (`pip install ray`). Was not run: Ray was not at hand.
set -euo pipefail
what=${1:?usage: ray.sh head | node | serve [options]}
shift
port=${RAY_PORT:-6379}

case $what in
  head) exec ray start --head --port "$port" "$@" ;;
  node) exec ray start --address "${HEAD:?the address of the first machine}:$port" "$@" ;;
  serve)
    own=()
    [ -z "${VECTORS:-}" ] || own+=(--vectors "$VECTORS")
    exec ras-ext serve "${MODEL:?a model}" --distributed-executor-backend ray "${own[@]}" "$@"
    ;;
  *) echo "ray.sh: what is ${what@Q}? Give head, node or serve." >&2 && exit 2 ;;
esac
