#!/usr/bin/env bash
# Sets up .venv: torch (an installed one if there is, else the CPU build where there is no GPU), the tools, and
# ras_ext itself, built in place. Called by make; quick when nothing changed.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/environment.sh

environment .venv 3.10
say "building and installing ras_ext"
$PIP install "setuptools>=77" wheel ninja "pybind11>=2.13"
$PIP install --no-build-isolation -e ".[dev]"
touch .venv/.ready
say "ready"
