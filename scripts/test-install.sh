#!/usr/bin/env bash
# The first hour, from nothing: README's commands in a bare Debian 12 and with each Python of this
# machine, and what they cost on disk. Prints a table (Markdown).
# usage: scripts/test-install.sh [debian] [3.8 3.9 ...] [debian-test] [3.8-test ...]
# default: debian and every Python
#   debian       debootstrap's smallest root, make, then: make run COUNT=3   (root)
#   3.8 ...      make run COUNT=3 PYTHON=that Python (found under pyenv or on the path)
#   ...-test     the same, then make test there: 5 to 15 minutes each
# Where nothing can be proved it says why and ends with 77. Nothing is kept but debootstrap's root and
# the logs, in ~/.cache/hrd/install.
set -euo pipefail
cd "$(dirname "$0")/.."
cache=${XDG_CACHE_HOME:-$HOME/.cache}/hrd/install
suite=${HRD_DEBIAN_SUITE:-bookworm}
say() { printf 'install: %s\n' "$*"; }
skip() { say "nothing was proved: $*"; exit 77; }
# shellcheck source=scripts/debian.sh
source scripts/debian.sh
LIMIT_MB=900
# what runs is what was installed, and another make's settings (ARGS) are not for these
unset PYTHONPATH MAKEFLAGS MFLAGS MAKEOVERRIDES MAKELEVEL ARGS SOURCE COUNT

scratch=$(mktemp -d "${TMPDIR:-/tmp}/hrd-install-XXXXXX")
trap 'rm -rf --one-file-system "$scratch"' EXIT
rows=() failed=()

checkout() { # to where: what git would give, changes included
    mkdir -p "$1"
    if git rev-parse --git-dir >/dev/null 2>&1; then
        git ls-files -z -co --exclude-standard | tar --null -T - --ignore-failed-read -cf - | tar -xf - -C "$1"
    else
        tar --exclude=./.venv --exclude=./build --exclude=./dist -cf - . | tar -xf - -C "$1"
    fi
}

megabytes() { du -smx "$1" | cut -f1; }

readings() { # the bpm that a log of make run shows
    grep -oE '[0-9.]+ bpm' "$1" | sed 's/ bpm//' | tr '\n' ' ' || true
}

judge() { # name python seconds root-MB environment-MB log
    local bpm value near=0 all=$(($4 + $5))
    bpm=$(readings "$6")
    for value in $bpm; do
        near=$((near + $(awk -v x="$value" 'BEGIN { print (x > 69 && x < 75) }')))
    done
    rows+=("| $1 | $2 | $3 s | $4 MB | $5 MB | $all MB | $bpm|")
    if [ "$near" -lt 3 ] || [ "$all" -ge $LIMIT_MB ]; then
        failed+=("$1")
        cat "$6"
    fi
}

find_python() { # version
    local name
    for name in "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"$1".*/bin/python "python$1"; do
        if "$name" -c "import sys; sys.exit('%d.%d' % sys.version_info[:2] != '$1')" 2>/dev/null; then
            command -v "$name"
            return
        fi
    done
    return 1
}

tested() { # name log-name root command ...: make test, as the command runs it there
    local name=$1 log=$cache/test-$2.log root=$3 begin=$SECONDS
    shift 3
    say "make test in it"
    if "$@" >"$log" 2>&1; then
        say "make test passed after $((SECONDS - begin)) s, $(megabytes "$root") MB in all: $(tail -n 1 "$log")"
    else
        failed+=("make test, $name")
        tail -n 60 "$log"
    fi
}

with_python() { # version with-tests?
    local python folder=$scratch/py$1 begin=$SECONDS
    python=$(find_python "$1") || { say "no Python $1 on this machine"; return; }
    say "make run COUNT=3 PYTHON=python$1"
    checkout "$folder"
    (cd "$folder" && make run COUNT=3 SOURCE=sim:bpm=72 PYTHON="$python") >"$scratch/log" 2>&1 || true
    judge "Python $1, this machine" "$1" $((SECONDS - begin)) 0 "$(megabytes "$folder")" "$scratch/log"
    [ -z "$2" ] || tested "Python $1" "py$1" "$folder" make -C "$folder" test
    rm -rf "$folder"
}

mirror() { # where this machine's own Debian packages come from
    [ -z "${HRD_DEBIAN_MIRROR-}" ] || { echo "$HRD_DEBIAN_MIRROR"; return; }
    # shellcheck disable=SC2016
    apt-get indextargets --format '$(COMPONENT) $(REPO_URI)' 'Identifier: Packages' 2>/dev/null |
        sed -n 's/^main \(.*\/debian\/\)$/\1/p' | head -n 1
}

# In a namespace of its own: /proc, /sys and /dev go when the command ends. The
# certificate and the folder of wheels that pip is given here it is given there.
inside() { # root command ...
    # shellcheck disable=SC2016
    nice -n 5 unshare --mount --propagation private bash -c '
        root=$1; shift
        mount --bind /proc "$root/proc"; mount --bind /sys "$root/sys"; mount --rbind /dev "$root/dev"
        mount -t tmpfs tmp "$root/tmp"
        for there in "${PIP_CERT-}" "${PIP_FIND_LINKS-}"; do
            [ -e "$there" ] || continue
            if [ -d "$there" ]; then mkdir -p "$root/tmp$there"
            else mkdir -p "$(dirname "$root/tmp$there")"; touch "$root/tmp$there"; fi
            mount --bind "$there" "$root/tmp$there"
        done
        exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb LC_ALL=C.UTF-8 \
            ${PIP_CERT:+"PIP_CERT=/tmp$PIP_CERT"} ${PIP_FIND_LINKS:+"PIP_FIND_LINKS=/tmp$PIP_FIND_LINKS"} \
            chroot "$root" bash -c "$1"' inside "$1" "$2"
}

debian() { # with tests?
    local root=$scratch/root begin bare environment python took
    [ "$(id -u)" = 0 ] || skip "needs root, to make a root file system and run in it"
    why=$(need debootstrap debootstrap) || skip "$why"
    if [ ! -f "$cache/$suite.tar" ]; then
        say "making a bare Debian ($suite, once)"
        debootstrap --variant=minbase "$suite" "$scratch/made" "$(mirror)" >"$cache/debootstrap.log"
        tar -C "$scratch/made" -cf "$cache/$suite.tar.new" .
        mv "$cache/$suite.tar.new" "$cache/$suite.tar"
        rm -rf --one-file-system "$scratch/made"
    fi
    mkdir -p "$root"
    tar -C "$root" -xf "$cache/$suite.tar"
    cp -L /etc/resolv.conf "$root/etc/resolv.conf"
    say "a bare Debian ($suite): $(megabytes "$root") MB; apt-get install make; make run COUNT=3"
    checkout "$root/root/hrd"
    begin=$SECONDS
    inside "$root" 'apt-get update -qq && apt-get install -y -qq --no-install-recommends make' \
        >"$scratch/log" 2>&1 || { cat "$scratch/log"; skip "apt-get cannot install make there"; }
    inside "$root" 'cd /root/hrd && make run COUNT=3' >"$scratch/log" 2>&1 || true
    took=$((SECONDS - begin))
    environment=$(megabytes "$root/root/hrd")
    bare=$(($(megabytes "$root") - environment))
    python=$(inside "$root" '/root/hrd/.venv/bin/python --version' | sed 's/Python //')
    judge "bare Debian ($suite)" "$python" "$took" "$bare" "$environment" "$scratch/log"
    cp "$scratch/log" "$cache/run-$suite.log"
    [ -z "$1" ] || tested "Debian ($suite)" "$suite" "$root" inside "$root" 'cd /root/hrd && make test'
}

mkdir -p "$cache"
wanted=("$@")
if [ ${#wanted[@]} = 0 ]; then
    wanted=(3.8 3.9 3.10 3.11 3.12 3.13)
    [ "$(id -u)" != 0 ] || wanted=(debian "${wanted[@]}")
fi
for one in "${wanted[@]}"; do
    case $one in
        debian) debian "" ;;
        debian-test) debian yes ;;
        *-test) with_python "${one%-test}" yes ;;
        *) with_python "$one" "" ;;
    esac
done
[ ${#rows[@]} -gt 0 ] || skip "none of ${wanted[*]} is here"
printf '| where | Python | from nothing to three readings | system | environment | in all | bpm |\n|---|---|---|---|---|---|---|\n'
printf '%s\n' "${rows[@]}"
[ ${#failed[@]} = 0 ] || { say "failed: ${failed[*]}"; exit 1; }
say "passed"
