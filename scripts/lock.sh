#!/usr/bin/env bash
# Write or check constraints/*.txt: one complete set of versions per target machine.
# usage: scripts/lock.sh [--check] [TARGET ...]
#   without --check: resolve pyproject.toml anew for each target and write its file
#   --check: change nothing; every pin must have a wheel for exactly that Python, architecture and
#            glibc, and hrd's own wheel must resolve to exactly the pinned set
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/targets.sh
source scripts/targets.sh

check=""
[ "${1-}" = --check ] && { check=1; shift; }
wanted=("$@")
bin=$(scripts/tools.sh)

say() { printf 'lock: %s\n' "$*"; }

# pip knows manylinux2014 to mean glibc 2.17 and spells out no others: list every one up to ours.
platform_flags() {  # architecture glibc
    local minor=${2#2.} n
    printf -- '--platform manylinux2014_%s ' "$1"
    for ((n = 5; n <= minor; n++)); do printf -- '--platform manylinux_2_%d_%s ' "$n" "$1"; done
}

# uv resolves for glibc versions that it knows by name: the nearest that is not newer.
uv_platform() {  # architecture glibc
    local minor=${2#2.}
    if [ "$minor" -lt 28 ]; then minor=17; elif [ "$minor" -lt 31 ]; then minor=28; fi
    printf '%s-manylinux_2_%d' "$1" "$minor"
}

write() {  # name python architecture glibc about
    local file=constraints/$1.txt extras=() extra
    for extra in "${LOCKED_EXTRAS[@]}"; do extras+=(--extra "$extra"); done
    {
        printf '# %s\n# Written by scripts/lock.sh; glibc %s or newer. Use: pip install -c this.txt ...\n' "$5" "$4"
        # no build from source: a Jetson Nano would take hours
        "$bin/uv" pip compile -q --no-header --no-annotate --no-emit-index-url --only-binary :all: \
            --python-version "$2" --python-platform "$(uv_platform "$3" "$4")" \
            "${extras[@]}" pyproject.toml
    } >"$file.new"
    mv "$file.new" "$file"
    say "$file: $(grep -vc '^#' "$file") packages"
}

find_python() {  # version: an interpreter of exactly that version, whose markers are the target's
    local found
    for found in "python$1" "$HOME"/.pyenv/versions/"$1".*/bin/python; do
        if command -v "$found" >/dev/null && "$found" -c 'import ensurepip, venv' 2>/dev/null; then
            command -v "$found"
            return
        fi
    done
    return 1
}

check_one() {  # name python architecture glibc
    local file=constraints/$1.txt flags tags python
    read -ra flags <<<"$(platform_flags "$3" "$4")"
    tags=(--only-binary=:all: --implementation cp --abi "cp${2/./}" --abi abi3 --abi none)
    "$bin/pip" install -q --disable-pip-version-check --dry-run --no-deps --ignore-installed \
        --target "$scratch/none" "${flags[@]}" "${tags[@]}" --python-version "$2" -r "$file"
    say "$1: every pin has a wheel for CPython $2, $3, glibc $4"
    python=$(find_python "$2") || { say "$1: no Python $2 here to resolve hrd's wheel with"; return; }
    [ -x "$scratch/py$2/bin/pip" ] || {
        "$python" -m venv "$scratch/py$2"
        "$scratch/py$2/bin/pip" install -q --disable-pip-version-check -U pip
    }
    "$scratch/py$2/bin/pip" install -q --disable-pip-version-check --dry-run --ignore-installed \
        --target "$scratch/none" "${flags[@]}" "${tags[@]}" --python-version "$2" \
        --report "$scratch/report.json" -c "$file" "${wheel}[$(IFS=,; echo "${LOCKED_EXTRAS[*]}")]"
    "$scratch/py$2/bin/python" tools/same_set.py "$scratch/report.json" "$file"
    say "$1: hrd's wheel resolves to exactly the pinned set"
}

scratch=$(mktemp -d "${TMPDIR:-/tmp}/hrd-lock-XXXXXX")
trap 'rm -rf "$scratch"' EXIT
if [ -n "$check" ]; then
    "$bin/uv" build -q --wheel --out-dir "$scratch/dist" .
    wheel=$(echo "$scratch"/dist/hrd-*.whl)
fi
for target in "${TARGETS[@]}"; do
    IFS='|' read -r name python architecture glibc about <<<"$target"
    if [ ${#wanted[@]} -gt 0 ] && [[ " ${wanted[*]} " != *" $name "* ]]; then continue; fi
    if [ -n "$check" ]; then
        check_one "$name" "$python" "$architecture" "$glibc"
    else
        write "$name" "$python" "$architecture" "$glibc" "$about"
    fi
done
