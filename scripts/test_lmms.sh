#!/usr/bin/env bash
# lmms-eval with the guarded model in it: an environment of its own, ras_ext built into it without its dependencies, and
# the tests that run lmms-eval for real. Arguments go to pytest; --only-packages makes the environment and ends. The
# second run builds only what changed.
#
# lmms-eval asks for fifty packages, most of them for single tasks and models; scripts/lmms.txt has those without which its
# evaluator, its command line and the tasks tested here do not run. torchvision is none of them.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/environment.sh
VENV=.venv-lmms

# python -P, below, came with 3.11.
environment $VENV 3.11
if ! cmp -s scripts/lmms.txt $VENV/lmms.txt; then
  say "installing lmms-eval and the packages of scripts/lmms.txt"
  $PIP install "setuptools>=77" wheel ninja "pybind11>=2.13" "pytest>=8" -r scripts/lmms.txt
  $PIP install --no-deps "lmms-eval==0.7.3"
  cp scripts/lmms.txt $VENV/lmms.txt
fi
end_if_only_packages "${1:-}"
install_ras_ext $VENV

# -P: else the sources would stand before what was installed. As a module: pytest may be the machine's own.
RAS_EXT_REQUIRE_COMPILED=1 RAS_EXT_REQUIRE_LMMS=1 \
  $VENV/bin/python -P -m pytest -p no:cacheprovider tests/lmms "$@"
