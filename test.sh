#!/usr/bin/env bash
# Every check of the project, a line each; needs nothing but Python and a network to install packages from.
#
#   ./test.sh              everything that takes minutes (what CI runs)
#   ./test.sh --slow       with more examples, longer loads and fresh processes (CONTRIBUTING.md)
#   ./test.sh -k like      only the tests, and of them those that pytest selects with these arguments
set -uo pipefail
cd "$(dirname "$0")"
. ./install.sh
install requirements.txt requirements-dev.txt || exit 1
export PATH="$PWD/.venv/bin:$PATH"
unset PYTHONDONTWRITEBYTECODE # the tests are as many modules again, and each of pytest's processes would compile them
log=$(mktemp)
names=$(mktemp)
trap 'rm -f "$log" "$names"' EXIT
progress=/dev/null
failed=0

# check NAME COMMAND...: one line, and what the command said if it failed.
check() {
    local name=$1 begun=$SECONDS
    shift
    if "$@" 2>&1 | tee "$log" >"$progress"; then
        echo "ok      $name ($((SECONDS - begun)) s)"
    else
        echo "FAILED  $name ($((SECONDS - begun)) s): $*"
        [ "$progress" = /dev/null ] && cat "$log"
        grep -E '^(FAILED|ERROR) ' "$log" >>"$names"
        failed=1
    fi
}

slow=()
if [ "${1:-}" = --slow ]; then
    slow=(--slow)
    shift
elif [ $# -gt 0 ]; then
    exec pytest "$@"
fi

check "format" ruff format --check .
check "lint" ruff check .
check "types" mypy
check "imports" lint-imports
check "security" bandit -q -r pamps -c pyproject.toml
check "migrations" pytest -q tests/test_migrations.py
[ -t 1 ] && progress=/dev/tty # they take minutes
# Three, for two cores: what waits, for a timeout or for a lock, leaves its core to the others.
check "tests" pytest -q -n 3 --dist loadfile --no-loadscope-reorder --ignore tests/test_migrations.py "${slow[@]}"
cat "$names"
exit "$failed"
