#!/usr/bin/env bash
# Everything that CI checks, cheap to dear. The first run makes .venv and installs what it needs.
# Arguments go to pytest: bash tests/run.sh tests/core -x
#   EVERFRAME_VENV     another place for the environment
#   PYTHON             the interpreter to make it with (3.11 or 3.12)
#   EVERFRAME_OFFLINE  1: skip the test that installs the package from an index
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

venv="${EVERFRAME_VENV:-.venv}"
if [ ! -x "$venv/bin/python" ]; then
  for python in ${PYTHON:-python3.11 python3.12 python3}; do
    "$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' 2>/dev/null && break
  done
  "$python" -m venv "$venv"
fi

# Install again only when the requirements or the place of this checkout changed.
wanted="$(printf '%s\n' "$PWD" | cat - pyproject.toml constraints.txt | sha256sum | cut -d' ' -f1)"
installed="$venv/installed-for"
if [ "$(cat "$installed" 2>/dev/null)" != "$wanted" ]; then
  echo "== install into $venv"
  # torch first and alone, so that the exact pin decides before other packages ask for it
  "$venv/bin/python" -m pip install -qq --disable-pip-version-check -c constraints.txt torch
  "$venv/bin/python" -m pip install -qq --disable-pip-version-check -c constraints.txt -e '.[dev]'
  printf '%s\n' "$wanted" >"$installed"
fi

# The page is tested in a real browser. Where it cannot be installed, those tests say so and skip.
if ! command -v chromium >/dev/null && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "== install Chromium"
  { apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium; } >/dev/null 2>&1 ||
    echo "   not possible here: the browser tests are skipped"
fi

export PATH="$PWD/$venv/bin:$PATH"
case "$venv" in /*) PATH="$venv/bin:$PATH" ;; esac
export PYRIGHT_PYTHON_IGNORE_WARNINGS=1

step() {
  echo "== $*"
  "$@"
}
step ruff format --check .
step ruff check .
step pyright --pythonpath "$(command -v python)"
step lint-imports --no-logo
step python -m pytest -q "$@"
