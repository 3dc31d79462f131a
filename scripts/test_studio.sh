#!/usr/bin/env bash
# The studio as people use it: Debian's Chromium on real studios of the organism. What is behind the page is tested by make test.
# Arguments go to pytest. The extra `studio` and the packages of scripts/studio.txt come into .venv, where the
# second run finds them. Screenshots lie in build/studio.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/environment.sh
VENV=.venv

[ -e $VENV/.ready ] || scripts/setup.sh
environment $VENV 3.10
wanted=$($VENV/bin/python - <<'END'
try:
    import tomllib
except ImportError:  # Python 3.10; pytest brings it there
    import tomli as tomllib
print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["studio"], sep="\n")
END
)
if ! { echo "$wanted"; cat scripts/studio.txt; } | cmp -s - $VENV/studio.txt; then
  say "installing the extra studio and the packages of scripts/studio.txt"
  { echo "$wanted"; cat scripts/studio.txt; } >$VENV/studio.txt.new
  $PIP install -r $VENV/studio.txt.new
  mv $VENV/studio.txt.new $VENV/studio.txt
fi
CHROMIUM=${RAS_EXT_CHROMIUM:-/usr/bin/chromium}
[ -x "$CHROMIUM" ] || apt_install chromium || fail "there is no $CHROMIUM; install Chromium and set RAS_EXT_CHROMIUM to it"

# In two processes of one thread each, as in make test. A file stays in one, whose browser and studio it shares.
RAS_EXT_REQUIRE_STUDIO=1 RAS_EXT_CHROMIUM=$CHROMIUM OMP_NUM_THREADS=1 \
  $VENV/bin/python -m pytest -n 2 --dist loadfile tests/studio/browser tests/cli/test_cli_studio.py "$@"
