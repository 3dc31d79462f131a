#!/usr/bin/env bash
# Builds the whole extension against the CUDA build of torch, links it and imports it; needs nvcc and no GPU. The
# environment for that (about 5 GB) is made under build/ and removed afterwards, unless KEEP=1. The outcome is
# recorded in docs/cuda-build.json; `make cuda-build-status` tells whether csrc has changed since.
set -euo pipefail
cd "$(dirname "$0")/.."

PYTHON=${PYTHON:-python3}
TORCH_VERSION=${TORCH_VERSION:-2.13.0}
FOLDER=${CUDA_ENV:-build/cuda-build}
NEEDED_GB=12

say() { printf 'cuda-build: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

command -v nvcc >/dev/null || [ -x "${CUDA_HOME:-}/bin/nvcc" ] || fail "no nvcc found; put the CUDA 13 toolkit on PATH or set CUDA_HOME"
mkdir -p "$FOLDER"
free_gb=$(($(df -Pk "$FOLDER" | awk 'NR == 2 {print $4}') / 1048576))
[ "$free_gb" -ge $NEEDED_GB ] || fail "$FOLDER has $free_gb GB free and about $NEEDED_GB are needed; set CUDA_ENV to another folder"

clean() { [ "${KEEP:-0}" = 1 ] || rm -rf "$FOLDER"; }
trap clean EXIT

if ! "$FOLDER/env/bin/python" -c "import torch, sys; sys.exit(torch.version.cuda is None)" 2>/dev/null; then
  say "installing the CUDA build of torch $TORCH_VERSION (about 5 GB)"
  "$PYTHON" -m venv "$FOLDER/env"
  # The machine's own pip settings may lead to builds of torch without CUDA.
  env PIP_CONFIG_FILE=/dev/null PIP_FIND_LINKS= PIP_DISABLE_PIP_VERSION_CHECK=1 \
    "$FOLDER/env/bin/python" -m pip install -q "torch==$TORCH_VERSION" "setuptools>=77" ninja pybind11 numpy
fi

say "building ras_ext"
# Taken before the build: sources that change while it runs are not what was built.
sources=$("$FOLDER/env/bin/python" scripts/cuda_build_record.py hash)
began=$(date +%s)
RAS_EXT_CUDA=1 MAX_JOBS=${MAX_JOBS:-2} "$FOLDER/env/bin/python" setup.py -q \
  build --build-base "$FOLDER/base" --build-lib "$FOLDER/lib" >"$FOLDER/build.log" 2>&1 ||
  { tail -n 40 "$FOLDER/build.log" >&2; fail "the build failed"; }
seconds=$(($(date +%s) - began))

say "importing it"
"$FOLDER/env/bin/python" scripts/cuda_build_record.py write "$FOLDER/lib" "$seconds" "$sources"
