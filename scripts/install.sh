#!/usr/bin/env bash
# Make a virtual environment with hrd in it, or add what its tests need.
# usage: scripts/install.sh VENV [runtime | development]
#   runtime      what hrd run, watch, measure, doctor and bench need (default)
#   development  that, the linters, the tests' packages, and what training needs
# PYTHON=python3.12 chooses the Python; TORCH= leaves training out.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/targets.sh
source scripts/targets.sh
venv=${1:-.venv}
kind=${2:-runtime}

# Named by the metadata of ONNX Runtime, never loaded where a model runs (tests/test_packaging.py
# holds that): 65 MB under Python 3.8.
NEVER_LOADED="sympy mpmath protobuf flatbuffers coloredlogs humanfriendly packaging"

say() { printf 'install: %s\n' "$*"; }
die() { printf 'install: %s\n' "$*" >&2; exit 1; }

version_of() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null; }

find_python() {
    local name version
    for name in ${PYTHON:-python3.11 python3.12 python3.13 python3.10 python3.9 python3.8 python3}; do
        version=$(version_of "$name") || continue
        case $version in
            3.8 | 3.9 | 3.10 | 3.11 | 3.12 | 3.13) command -v "$name"; return ;;
        esac
    done
    return 1
}

# How this distribution gives a Python that will do, for one who has another or none.
another_python() { # what is here
    local name version package="" packaged=python3
    # shellcheck disable=SC1090,SC1091
    name=$(. "${OS_RELEASE:-/etc/os-release}" 2>/dev/null && echo "${ID-} ${ID_LIKE-}") || name=""
    case " $name " in
        *" debian "* | *" ubuntu "*)
            for version in 3.11 3.12 3.13 3.10 3.9 3.8; do
                if apt-cache show "python$version-venv" >/dev/null 2>&1; then
                    packaged=python$version package="sudo apt-get install -y python$version-venv"
                    break
                fi
            done ;;
        *" fedora "* | *" rhel "*)
            packaged=python3.12 package="sudo dnf install -y python3.12" ;;
        *" suse "* | *" opensuse "*)
            packaged=python3.12 package="sudo zypper install -y python312" ;;
        *" arch "*) ;; # has one Python only
    esac
    if [ -n "$package" ]; then
        printf '%s; hrd needs Python 3.8 to 3.13: run  %s  and then  make install PYTHON=%s' \
            "$1" "$package" "$packaged"
    else
        printf '%s; hrd needs Python 3.8 to 3.13, of which this system packages none: %s' "$1" \
            "use the container (docker/Dockerfile.cpu), or install one and give it: make install PYTHON=/path/to/python3.12"
    fi
}

as_root_on_debian() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; }

require_python() { # sets python, or ends
    local found missing=()
    if [ -n "${PYTHON-}" ] && [ -z "$(version_of "$PYTHON")" ]; then
        die "PYTHON=$PYTHON cannot be started"
    fi
    if ! python=$(find_python); then
        found=$(version_of "${PYTHON:-python3}" || true)
        # one that is there and will not do is left as it is: the system's own programs use it
        [ -z "$found" ] || die "$(another_python "here is Python $found")"
        missing=(python3 python3-venv)
    elif ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        missing=("python$(version_of "$python")-venv")
    fi
    [ ${#missing[@]} -gt 0 ] || return 0
    if as_root_on_debian; then
        say "system packages: ${missing[*]}"
        export DEBIAN_FRONTEND=noninteractive
        apt-get update -qq
        apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
        python=$(find_python) || die "$(another_python "this system's Python is $(version_of python3)")"
        return
    fi
    command -v apt-get >/dev/null || die "$(another_python "there is no Python here")"
    die "the system lacks ${missing[*]}: run  sudo apt-get install -y ${missing[*]}  and try again"
}

# The constraints of this very machine, if hrd is locked for it.
constraints() {
    local target name version architecture glibc about ours
    ours=$("$venv/bin/python" -c 'import platform; print(platform.libc_ver()[1])')
    for target in "${TARGETS[@]}"; do
        # shellcheck disable=SC2034
        IFS='|' read -r name version architecture glibc about <<<"$target"
        if [ "$version" = "$1" ] && [ "$architecture" = "$(uname -m)" ] && [ -n "$ours" ] &&
            [ "$(printf '%s\n%s\n' "$glibc" "$ours" | sort -V | head -n 1)" = "$glibc" ]; then
            echo "constraints/$name.txt"
            return
        fi
    done
}

# What pip says, as one line for each package while it comes.
progress() { # how many there will be, if that is known
    local line count=0 file
    while IFS= read -r line; do
        line=${line#"${line%%[! ]*}"}
        case $line in
            *.metadata*) ;;
            "Downloading "* | "Using cached "* | "Processing "*.whl*)
                file=${line#Downloading } file=${file#Using cached } file=${file#Processing }
                count=$((count + 1))
                say "$count${1:+ of $1}: $(basename "${file%% *}" | cut -d- -f1,2 | tr - ' ')$(
                    [[ $file != *"("* ]] || echo " (${file##*(}")" ;;
            "Installing collected packages:"*) say "unpacking" ;;
        esac
    done
}

pip_install() {
    PIP_ROOT_USER_ACTION=ignore "$venv/bin/python" -m pip install --disable-pip-version-check \
        --no-cache-dir --no-compile --progress-bar off "$@"
}

runtime() {
    local wanted
    if [ -z "$lock" ]; then
        say "hrd is not locked for this machine: taking the newest packages that fit"
        pip_install -e ".[cpu,metrics]" | progress
        return
    fi
    wanted=$(grep -vE "^(#|$|($(tr ' ' '|' <<<"$NEVER_LOADED"))==)" "$lock")
    # shellcheck disable=SC2086
    pip_install --no-deps -e . $wanted | progress "$(wc -w <<<"$wanted")"
}

development() {
    local extras=cpu,metrics,dev packages=() torch
    # Training runs on the CPU everywhere; where pip would fetch a CUDA build of several GB, a
    # CPU build is asked for by its version.
    torch=${TORCH-torch==2.13.0}
    case $version in
        3.8 | 3.9)
            say "training needs Python 3.10 or later; with $version everything else is there, and its tests are skipped"
            torch="" ;;
    esac
    if [ -n "$torch" ]; then
        extras=$extras,train
        packages=("$torch")
    fi
    pip_install ${lock:+-c "$lock"} -e ".[$extras]" ${packages[@]+"${packages[@]}"} | progress ||
        die "not everything could be installed (see above); make test TORCH= leaves training out"
    "$venv/bin/python" -m pip check
}

python=""
if [ -x "$venv/bin/python" ] && "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    version=$(version_of "$venv/bin/python")
    if [ -n "${PYTHON-}" ] && [ "$(version_of "$PYTHON")" != "$version" ]; then
        die "$venv was made with Python $version: make clean, and then again with PYTHON=$PYTHON"
    fi
else
    require_python
    version=$(version_of "$python")
    say "$venv with Python $version"
    "$python" -m venv --clear "$venv"
fi
lock=$(constraints "$version")
case $kind in
    runtime) say "Python packages of hrd itself (about 150 MB to fetch, once)" && runtime ;;
    development) say "Python packages of hrd, its tests and training (some minutes, once)" && development ;;
    *) die "unknown kind of environment: $kind" ;;
esac
say "done ($(du -sm "$venv" | cut -f1) MB in $venv): $venv/bin/hrd --help"
