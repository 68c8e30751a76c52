#!/usr/bin/env bash
# Make a virtual environment with hrd, its training and its development tools in it.
# usage: scripts/install.sh VENV
set -euo pipefail
cd "$(dirname "$0")/.."
venv=${1:-.venv}
quiet=${PIP_QUIET:--q}

say() { printf 'install: %s\n' "$*"; }
die() { printf 'install: %s\n' "$*" >&2; exit 1; }

# Python 3.8 to 3.13. Training needs 3.10 or later.
find_python() {
    local name
    for name in ${PYTHON:-python3.11 python3.12 python3.13 python3.10 python3.9 python3.8 python3}; do
        if "$name" -c 'import sys; sys.exit(not (3, 8) <= sys.version_info[:2] <= (3, 13))' \
            2>/dev/null; then
            command -v "$name"
            return
        fi
    done
    return 1
}

missing=()
python=$(find_python) || missing+=(python3)
if [ -n "${python:-}" ] && ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    missing+=("python$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv")
fi

if [ ${#missing[@]} -gt 0 ]; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        say "system packages: ${missing[*]}"
        export DEBIAN_FRONTEND=noninteractive
        apt-get update -qq
        apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
        python=$(find_python) || die "no Python 3.8 to 3.13 here; install one (apt-get install python3.11) and set PYTHON=python3.11"
    else
        die "the system lacks ${missing[*]}: run  sudo apt-get install -y ${missing[*]}  and try again"
    fi
fi

if [ ! -x "$venv/bin/python" ]; then
    say "$venv with $("$python" --version)"
    "$python" -m venv "$venv"
fi

# Training runs on the CPU everywhere; where pip would fetch a CUDA build of several GB, a
# CPU build is asked for by its version. TORCH= leaves training out.
torch=${TORCH-torch==2.13.0}
extras=cpu,metrics,dev
packages=()
if [ -n "$torch" ]; then
    extras=$extras,train
    packages=("$torch")
fi
say "Python packages (a few minutes the first time)"
# shellcheck disable=SC2086
"$venv/bin/python" -m pip install $quiet --disable-pip-version-check -e ".[$extras]" \
    ${packages[@]+"${packages[@]}"}
"$venv/bin/python" -m pip check
say "done: $venv/bin/hrd --help"
