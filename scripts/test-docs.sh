#!/usr/bin/env bash
# Run the commands in README and docs/, the slow ones too, with every program that they name.
# usage: scripts/test-docs.sh BIN
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/debian.sh
source scripts/debian.sh
missing=$(need socat socat nc netcat-openbsd jq jq) || { echo "test-docs: $missing" >&2; exit 77; }
HRD_DOCS=all exec "$1/python" -m pytest -q tests/test_docs.py
