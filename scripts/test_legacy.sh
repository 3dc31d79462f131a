#!/usr/bin/env bash
# The families that are code of their checkpoints, and all that they need, under transformers 4.37.2: an environment of
# its own with the versions of scripts/legacy.txt, ras_ext built into it without its dependencies, and their tests.
# Arguments go to pytest; --only-packages makes the environment and ends. The second run builds only what changed.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/environment.sh
VENV=.venv-legacy

# For older and newer Pythons there are no wheels of some of these versions.
environment $VENV 3.11 3.12
if ! cmp -s scripts/legacy.txt $VENV/legacy.txt; then
  say "installing the versions of scripts/legacy.txt"
  $PIP install "setuptools>=77" wheel ninja "pybind11>=2.13" "pytest>=8" -r scripts/legacy.txt
  cp scripts/legacy.txt $VENV/legacy.txt
fi
end_if_only_packages "${1:-}"
install_ras_ext $VENV

# -P: else the sources would stand before what was installed. As a module: pytest may be the machine's own.
RAS_EXT_REQUIRE_COMPILED=1 $VENV/bin/python -P -m pytest -p no:cacheprovider tests/models/legacy "$@"
