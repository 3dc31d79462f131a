#!/usr/bin/env bash
# Sets up .venv: torch (an installed one if there is, else the CPU build where there is no GPU), the tools, and
# ras_ext itself, built in place. Called by make; quick when nothing changed.
set -euo pipefail
cd "$(dirname "$0")/.."

PYTHON=${PYTHON:-python3}
TORCH_VERSION=${TORCH_VERSION:-2.13.0}
VENV=.venv

say() { printf 'setup: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

# A bare machine may lack the compiler or venv; as root on a Debian system they are a package away.
apt_install() {
  command -v apt-get >/dev/null && [ "$(id -u)" = 0 ] || return 1
  say "installing $*"
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$@"; } >/dev/null
}

command -v "$PYTHON" >/dev/null || apt_install python3 python3-dev python3-venv || fail "no $PYTHON found; install Python 3.10 or newer"
"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || fail "$PYTHON is older than 3.10; set PYTHON=python3.x"
command -v c++ >/dev/null || apt_install g++ || fail "no C++ compiler found; install g++ or clang++"
"$PYTHON" -c 'import ensurepip' 2>/dev/null || apt_install python3-venv || fail "$PYTHON has no ensurepip; install python3-venv"
header='import os, sys, sysconfig; sys.exit(not os.path.exists(os.path.join(sysconfig.get_paths()["include"], "Python.h")))'
"$PYTHON" -c "$header" || apt_install python3-dev || fail "$PYTHON has no headers (Python.h); install python3-dev"

usable_torch='import torch; v = tuple(map(int, torch.__version__.split("+")[0].split(".")[:2])); assert v >= (2, 10)'

if [ ! -x $VENV/bin/python ]; then
  if "$PYTHON" -c "$usable_torch" 2>/dev/null; then
    say "creating $VENV over the torch that is installed"
    "$PYTHON" -m venv --system-site-packages $VENV
  else
    say "creating $VENV"
    "$PYTHON" -m venv $VENV
  fi
fi
PIP="$VENV/bin/python -m pip --disable-pip-version-check -q"

if ! $VENV/bin/python -c "$usable_torch" 2>/dev/null; then
  if command -v nvidia-smi >/dev/null && nvidia-smi -L >/dev/null 2>&1; then
    say "installing torch $TORCH_VERSION for this machine's GPU"
    $PIP install "torch==$TORCH_VERSION"
  elif $PIP install "torch==$TORCH_VERSION+cpu" 2>/dev/null; then
    say "installed the CPU build of torch $TORCH_VERSION"
  else
    # uv knows where the CPU builds are; pip alone would take the one with several GB of CUDA.
    say "installing the CPU build of torch $TORCH_VERSION"
    $PIP install uv
    $VENV/bin/uv pip install -q --python $VENV/bin/python --torch-backend cpu "torch==$TORCH_VERSION"
  fi
fi

say "building and installing ras_ext"
$PIP install "setuptools>=77" wheel ninja "pybind11>=2.13"
$PIP install --no-build-isolation -e ".[dev]"
touch $VENV/.ready
say "ready"
