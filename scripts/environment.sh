# Makes a virtual environment with torch in it; sourced by setup.sh and the test_*.sh, from the repository's root.
#
#   environment FOLDER OLDEST [NEWEST]    a venv of a Python from OLDEST (such as 3.10) to NEWEST, with a compiler for it
#   install_ras_ext FOLDER                these sources, built and installed into it without their dependencies
#   end_if_only_packages ARGUMENT         ends the script if that is --only-packages: all but ras_ext is there, and nothing
#                                         outside FOLDER was touched, so that it may run beside tests and builds

PYTHON=${PYTHON:-python3}
TORCH_VERSION=${TORCH_VERSION:-2.13.0}

say() { printf 'setup: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

# A bare machine may lack the compiler or venv; as root on a Debian system they are a package away.
apt_install() {
  command -v apt-get >/dev/null && [ "$(id -u)" = 0 ] || return 1
  say "installing $*"
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$@"; } >/dev/null
}

environment() {
  local venv=$1 oldest=$2 newest=${3:-}
  command -v "$PYTHON" >/dev/null || apt_install python3 python3-dev python3-venv || fail "no $PYTHON found; install Python $oldest or newer"
  local within='import sys; a, b = (tuple(map(int, v.split("."))) for v in sys.argv[1:]); sys.exit(not a <= sys.version_info[:2] <= b)'
  "$PYTHON" -c "$within" "$oldest" "${newest:-4.0}" ||
    fail "$venv needs Python $oldest ${newest:+to }${newest:-or newer}, which $PYTHON is not; set PYTHON=python3.x"
  command -v c++ >/dev/null || apt_install g++ || fail "no C++ compiler found; install g++ or clang++"
  "$PYTHON" -c 'import ensurepip' 2>/dev/null || apt_install python3-venv || fail "$PYTHON has no ensurepip; install python3-venv"
  local header='import os, sys, sysconfig; sys.exit(not os.path.exists(os.path.join(sysconfig.get_paths()["include"], "Python.h")))'
  "$PYTHON" -c "$header" || apt_install python3-dev || fail "$PYTHON has no headers (Python.h); install python3-dev"

  local usable_torch='import torch; v = tuple(map(int, torch.__version__.split("+")[0].split(".")[:2])); assert v >= (2, 10)'
  if [ ! -x "$venv/bin/python" ]; then
    if "$PYTHON" -c "$usable_torch" 2>/dev/null; then
      say "creating $venv over the torch that is installed"
      "$PYTHON" -m venv --system-site-packages "$venv"
    else
      say "creating $venv"
      "$PYTHON" -m venv "$venv"
    fi
  fi
  PIP="$venv/bin/python -m pip --disable-pip-version-check -q"

  "$venv/bin/python" -c "$usable_torch" 2>/dev/null && return
  if command -v nvidia-smi >/dev/null && nvidia-smi -L >/dev/null 2>&1; then
    say "installing torch $TORCH_VERSION for this machine's GPU"
    $PIP install "torch==$TORCH_VERSION"
  elif $PIP install "torch==$TORCH_VERSION+cpu" 2>/dev/null; then
    say "installed the CPU build of torch $TORCH_VERSION"
  else
    # uv knows where the CPU builds are; pip alone would take the one with several GB of CUDA.
    say "installing the CPU build of torch $TORCH_VERSION"
    $PIP install uv
    "$venv/bin/uv" pip install -q --python "$venv/bin/python" --torch-backend cpu "torch==$TORCH_VERSION"
  fi
}

install_ras_ext() {
  say "building and installing ras_ext into $1"
  find build -name '*.py' -delete 2>/dev/null || true  # a file that was deleted must not be installed from an earlier build
  $PIP install --no-deps --no-build-isolation --force-reinstall .
}

end_if_only_packages() {
  [ "${1:-}" != --only-packages ] || { say "the packages are there"; exit 0; }
}
