#!/usr/bin/env bash
# Installs Pamps into .venv, with a PostgreSQL of its own, and serves it. Arguments go to `pamps serve`: ./run.sh --port 9000
set -euo pipefail
cd "$(dirname "$0")"
. ./install.sh
install requirements.txt
exec .venv/bin/pamps serve "$@"
