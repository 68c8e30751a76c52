#!/usr/bin/env bash
# README's two commands under each Python that this machine has, each from a clean checkout in an empty
# folder: make run COUNT=3, then make test. And the TensorRT worker's tests under Python 3.6.
# usage: scripts/test-matrix.sh [VERSION ...]    e.g. 3.8 3.6; default: all
# TORCH= leaves training and its tests out.
set -euo pipefail
cd "$(dirname "$0")/.."
say() { printf 'matrix: %s\n' "$*"; }

worker() { # python
    # pytest of today does not run on 3.6: the tests run on another Python, the worker on this one
    [ -x .venv/bin/pytest ] || make install-dev TORCH=
    say "Python 3.6: $("$1" --version 2>&1) imports the worker"
    (cd hrd/engine && "$1" -c 'import worker.framing, worker.errors, worker.log') || return 1
    say "Python 3.6: the worker's tests, with the worker under $1"
    .venv/bin/python -m pytest -q -p no:cacheprovider tests/test_tensorrt.py \
        tests/test_tensorrt_surface.py -k "py36 or python_36 or worker_is_written or imports_nothing" -rs
}

versions=("$@")
[ ${#versions[@]} -gt 0 ] || versions=(3.8 3.9 3.10 3.11 3.12 3.13 3.6)
installs=() failed=()
for version in "${versions[@]}"; do
    if [ "$version" != 3.6 ]; then
        installs+=("$version-test")
    elif python=$(PATH="$(echo "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.6.*/bin | tr ' ' :):$PATH" command -v python3.6); then
        worker "$python" || failed+=(3.6)
    else
        say "no Python 3.6 on this machine"
    fi
done
if [ ${#installs[@]} -gt 0 ]; then
    scripts/test-install.sh "${installs[@]}" || failed+=("of ${installs[*]}, see above")
fi
[ ${#failed[@]} = 0 ] || { say "failed: ${failed[*]}"; exit 1; }
say "passed: ${versions[*]}"
