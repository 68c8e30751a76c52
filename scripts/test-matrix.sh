#!/usr/bin/env bash
# Run the runtime's tests under each of Python 3.8 to 3.11 that this machine has, and the TensorRT
# worker's under Python 3.6; say which were not there.
# usage: scripts/test-matrix.sh [VERSION ...]    e.g. 3.8 3.6; default: all five
# The environments are kept in ~/.cache/hrd/matrix.
set -euo pipefail
cd "$(dirname "$0")/.."
cache=${XDG_CACHE_HOME:-$HOME/.cache}/hrd/matrix
say() { printf 'matrix: %s\n' "$*"; }

find_python() { # version
    local name
    for name in "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"$1".*/bin/python "python$1"; do
        if "$name" -c "import sys; sys.exit('%d.%d' % sys.version_info[:2] != '$1')" 2>/dev/null
        then
            command -v "$name"
            return
        fi
    done
    return 1
}

runtime() { # version python
    local venv=$cache/py$1 stamp
    stamp=$(cat pyproject.toml "constraints/x86-64-cp${1/./}.txt" | sha256sum)
    if [ "$(cat "$venv/.stamp" 2>/dev/null)" != "$stamp" ]; then
        say "Python $1: installing"
        [ -x "$venv/bin/pip" ] || "$2" -m venv "$venv"
        "$venv/bin/python" -m pip install -q --disable-pip-version-check -U pip
        "$venv/bin/python" -m pip install -q --disable-pip-version-check \
            -c "constraints/x86-64-cp${1/./}.txt" -e ".[cpu,metrics,dev]"
        "$venv/bin/python" -m pip check
        printf '%s' "$stamp" >"$venv/.stamp"
    fi
    say "Python $1: the runtime's tests (those of training need torch and are skipped)"
    "$venv/bin/python" -m pytest -q -p no:cacheprovider tests
}

worker() { # version python
    local venv=$cache/runner
    # pytest of today does not run on 3.6: the tests run on another Python, the worker on this one
    if [ ! -x "$venv/bin/pytest" ]; then
        [ ! -x .venv/bin/pytest ] || venv=.venv
    fi
    [ -x "$venv/bin/pytest" ] || { say "Python $1: needs make install first"; return 1; }
    say "Python $1: $("$2" --version 2>&1) imports the worker"
    (cd hrd/engine && "$2" -c 'import worker.framing, worker.errors, worker.log') ||
        return 1
    say "Python $1: the worker's tests, with the worker under $2"
    "$venv/bin/python" -m pytest -q -p no:cacheprovider tests/test_tensorrt.py \
        tests/test_tensorrt_surface.py -k "py36 or python_36 or worker_is_written or imports_nothing" -rs
}

versions=("$@")
[ ${#versions[@]} -gt 0 ] || versions=(3.8 3.9 3.10 3.11 3.6)
failed=() absent=() passed=()
for version in "${versions[@]}"; do
    if ! python=$(find_python "$version"); then
        absent+=("$version")
        continue
    fi
    kind=runtime
    [ "$version" != 3.6 ] || kind=worker
    if $kind "$version" "$python"; then passed+=("$version"); else failed+=("$version"); fi
done
say "passed: ${passed[*]:-none}; failed: ${failed[*]:-none}; not on this machine: ${absent[*]:-none}"
[ ${#failed[@]} = 0 ]
