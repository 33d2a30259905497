# For run.sh and test.sh: makes .venv and installs the named requirements, pinned by hash, and Pamps itself.
# Does nothing where that has been done and the requirements are the same.

install() {
    local python=${PYTHON:-python3}
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || {
        echo "Pamps needs Python 3.11 or newer; PYTHON=/path/to/python $0 names one" >&2
        exit 1
    }
    local wanted stamp=.venv/installed
    wanted=$(cat setup.py requirements*.txt | cksum)
    for file in "$@"; do wanted="$wanted $file"; done
    [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ] && return
    echo "Installing into .venv ..." >&2
    [ -x .venv/bin/python ] || "$python" -m venv .venv
    for file in "$@"; do
        .venv/bin/pip install --quiet --disable-pip-version-check --require-hashes --requirement "$file"
    done
    .venv/bin/pip install --quiet --disable-pip-version-check --editable '.[embedded]'
    echo "$wanted" >"$stamp"
}
