#!/usr/bin/env bash
# Make hrd a service of a Jetson: JetPack 4.6.x (Jetson Nano), JetPack 5 or JetPack 6 (Xavier, Orin).
#
# usage: sudo scripts/install-jetson.sh [options]
#   --dry-run              say what would be done, change nothing
#   --wheel FILE           install this wheel of hrd (default: this checkout)
#   --onnxruntime-gpu FILE install NVIDIA's wheel of onnxruntime-gpu in place of the CPU's
#   --no-tensorrt          leave the GPU out: no PyCUDA, no engine
#   --no-service           install the programs only
#   --uninstall            undo everything but the configuration and what apt-get installed
#   --purge                with --uninstall: those two as well
#
# It may be run again at any time: what is done is left, what is missing is mended, and a newer
# checkout takes the place of the installed one.
set -euo pipefail
umask 022 # the service is another user, who must be able to read what is installed

here=$(cd "$(dirname "$0")/.." && pwd)
root=${HRD_INSTALL_ROOT-} # another root directory, for tests
prefix=/opt/hrd
worker=$prefix/tensorrt # found there by hrd: the environment beside its own
command_link=/usr/local/bin/hrd
record=$prefix/.apt-packages

dry="" wheel="" gpu_wheel="" tensorrt=1 service=1 uninstall="" purge=""
say() { printf 'install-jetson: %s\n' "$*"; }
die() { printf 'install-jetson: %s\n' "$*" >&2; exit 1; }
usage() { sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$0"; }

while [ $# -gt 0 ]; do
    case $1 in
        --dry-run) dry=1 ;;
        --wheel) wheel=${2-}; shift ;;
        --onnxruntime-gpu) gpu_wheel=${2-}; shift ;;
        --no-tensorrt) tensorrt="" ;;
        --no-service) service="" ;;
        --uninstall) uninstall=1 ;;
        --purge) purge=1 ;;
        -h | --help) usage; exit 0 ;;
        *) usage >&2; die "unknown option $1" ;;
    esac
    shift || die "the last option needs a value"
done
for file in "$wheel" "$gpu_wheel"; do
    [ -z "$file" ] || [ -f "$file" ] || die "there is no file $file"
done
[ -z "$purge" ] || [ -n "$uninstall" ] || die "--purge goes with --uninstall"

# Everything that changes the machine goes through here.
run() {
    if [ -n "$dry" ]; then
        local words
        printf -v words ' %q' "$@" # as it could be typed
        say "  would run:$words"
    else
        "$@"
    fi
}

# Each step says what it did; a long one how long it took, since nobody has timed it on every board.
begun=$SECONDS step_begun=$SECONDS
step() {
    took
    say "$*"
}
took() {
    local s=$((SECONDS - step_begun))
    [ -n "$dry" ] || [ "$s" -lt 5 ] || say "  that took $((s / 60)) min $((s % 60)) s"
    step_begun=$SECONDS
}
has() { [ -e "$root$1" ]; }

# --- what machine is this -----------------------------------------------------------------------

detect() {
    local line
    line=$(head -n 1 "$root/etc/nv_tegra_release" 2>/dev/null) ||
        die "this is not a Jetson (no /etc/nv_tegra_release): use make install, or see docs/install.md"
    # "# R32 (release), REVISION: 7.1, GCID: ..., BOARD: t210ref, ..."
    if [[ ! $line =~ R([0-9]+).*REVISION:\ *([0-9]+)\.([0-9]+) ]]; then
        die "/etc/nv_tegra_release begins with \"$line\", which names no L4T release"
    fi
    l4t=${BASH_REMATCH[1]}.${BASH_REMATCH[2]}.${BASH_REMATCH[3]}
    case ${BASH_REMATCH[1]} in
        32)
            [ "${BASH_REMATCH[2]}" -ge 6 ] ||
                die "L4T $l4t is older than JetPack 4.6: flash JetPack 4.6.1 or later"
            jetpack=4.6 python=python3.8 constraints=jetpack4-cp38-aarch64
            packages=(python3.8 python3.8-venv)
            ;;
        35) # its Python is 3.8 with TensorRT 8.5; hrd's wheels for JetPack 4.6 are for 3.8 too
            jetpack=5 python=python3.8 constraints=jetpack4-cp38-aarch64
            packages=(python3.8 python3.8-venv)
            ;;
        36)
            jetpack=6 python=python3.10 constraints=jetpack6-cp310-aarch64
            packages=(python3.10 python3.10-venv)
            ;;
        *) die "L4T $l4t is none of JetPack 4.6.x (R32.6, R32.7), 5 (R35) and 6 (R36)" ;;
    esac
    # for CSI and USB cameras
    packages+=(gstreamer1.0-tools v4l-utils)
    # The worker's PyCUDA is compiled here, for the Python that has JetPack's TensorRT.
    [ -z "$tensorrt" ] || packages+=(python3-venv python3-dev build-essential python3-libnvinfer)
}

# What it needs at most, in MB: 280 of packages for JetPack 4.6 (measured by unpacking the wheels),
# pip and what it unpacks meanwhile, the worker's environment, PyCUDA's compilation.
NEEDED_MB=1200
disk() {
    local free
    free=$(df -Pm "$root/opt" 2>/dev/null || df -Pm "$root/")
    free=$(awk 'NR == 2 { print $4 }' <<<"$free")
    [ -x "$root$prefix/bin/hrd" ] || [ "${free:-$NEEDED_MB}" -ge $NEEDED_MB ] ||
        die "$free MB are free where /opt is, and $NEEDED_MB are needed: make room, or use a larger card"
}

# --- steps --------------------------------------------------------------------------------------

system_packages() {
    local missing=() package
    for package in "${packages[@]}"; do
        # shellcheck disable=SC2016
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] ||
            missing+=("$package")
    done
    if [ ${#missing[@]} = 0 ]; then
        step "system packages: all here"
        return
    fi
    step "system packages: ${missing[*]}"
    run env DEBIAN_FRONTEND=noninteractive apt-get update -qq
    run env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        "${missing[@]}"
    run mkdir -p "$root$prefix"
    # remembered, so that --uninstall --purge takes away no package that was here before
    [ -n "$dry" ] || printf '%s\n' "${missing[@]}" >>"$root$record"
}

environment() {
    local bin=$root$prefix/bin what="${here}[cpu,metrics]"
    [ -z "$wheel" ] || what="${wheel}[cpu,metrics]"
    [ -z "$gpu_wheel" ] || what="${what%\[*}[metrics]"
    if [ -x "$bin/python" ] && [ -e "$bin/$python" ]; then
        step "environment: $prefix is here"
    else
        step "environment: $prefix, with $python"
        run "$python" -m venv "$root$prefix"
    fi
    # a pip that knows the wheels' platform names; 18.04's does not
    run "$bin/python" -m pip install -q --disable-pip-version-check -U "pip>=23"
    step "hrd: $what, the versions of constraints/$constraints.txt"
    if [ -n "$gpu_wheel" ]; then # its files and the CPU build's would overwrite each other
        run "$bin/python" -m pip uninstall -q -y onnxruntime
        run "$bin/python" -m pip install -q --disable-pip-version-check \
            -c "$here/constraints/$constraints.txt" "$gpu_wheel"
    elif [ -x "$bin/python" ] && "$bin/python" -m pip show -q onnxruntime-gpu 2>/dev/null; then
        say "  keeping onnxruntime-gpu, which an earlier run installed"
        what="${what%\[*}[metrics]"
    fi
    run "$bin/python" -m pip install -q --disable-pip-version-check --only-binary=:all: \
        --no-binary=hrd -c "$here/constraints/$constraints.txt" --upgrade "$what"
    run "$bin/python" -m pip check
    if [ "$(readlink "$root$command_link" 2>/dev/null)" != "$prefix/bin/hrd" ]; then
        run ln -sf "$prefix/bin/hrd" "$root$command_link"
    fi
}

gpu="" # whether there will be a worker that an engine can be built by
gpu_worker() {
    local cuda=/usr/local/cuda
    if ! has "$cuda/include/cuda.h"; then
        step "TensorRT: skipped, no CUDA in $cuda (sudo apt-get install nvidia-jetpack brings it);" \
            "hrd will use ONNX Runtime"
        return
    fi
    if [ -x "$root$worker/bin/python" ] &&
        "$root$worker/bin/python" -c 'import pycuda, tensorrt' 2>/dev/null; then
        step "TensorRT: the worker's environment $worker is here"
        gpu=1
        return
    fi
    gpu=1
    step "TensorRT: $worker, PyCUDA compiled for the Python of JetPack's TensorRT (minutes)"
    run "${HRD_SYSTEM_PYTHON:-/usr/bin/python3}" -m venv --system-site-packages "$root$worker"
    run "$root$worker/bin/python" -m pip install -q --disable-pip-version-check -U pip wheel
    # not fatal: without it hrd runs on ONNX Runtime, and doctor says what is missing
    run env PATH="$cuda/bin:$PATH" CPATH="$cuda/include" LIBRARY_PATH="$cuda/lib64" \
        "$root$worker/bin/python" -m pip install -q --disable-pip-version-check \
        -r "$here/constraints/jetpack${jetpack%%.*}-worker.txt" ||
        say "  PyCUDA could not be built: hrd will use ONNX Runtime; see docs/jetson.md"
}

user_groups() {
    local user=${SUDO_USER-} group groups
    if [ -z "$user" ] || [ "$user" = root ]; then
        step "groups: nobody to add (not run through sudo)"
        return
    fi
    groups=" $(id -nG "$user" 2>/dev/null) "
    for group in "$@"; do
        if [[ $groups == *" $group "* ]]; then
            step "groups: $user is in $group"
        elif getent group "$group" >/dev/null || [ -n "$dry" ]; then
            step "groups: $user joins $group (from the next login on)"
            run usermod -aG "$group" "$user"
        fi
    done
}

build_engine() {
    [ -n "$gpu" ] || return 0
    step "engine: built once for this GPU (minutes on a Nano)"
    run mkdir -p "$root/var/cache/hrd"
    run "$root$prefix/bin/hrd" build-engine ||
        say "  no engine could be built: hrd will use ONNX Runtime; hrd doctor says why"
    if getent group hrd >/dev/null; then
        run chown -R hrd:hrd "$root/var/cache/hrd"
    fi
}

install() {
    detect
    disk
    say "L4T $l4t, JetPack $jetpack: hrd on ${python#python} in $prefix${dry:+ (dry run)}"
    system_packages
    environment
    [ -z "$tensorrt" ] || gpu_worker
    if [ -n "$service" ]; then
        step "service: user, configuration, unit"
        run "$root$prefix/bin/hrd" service install --no-start
    fi
    user_groups video hrd # cameras; the daemon's socket
    [ -z "$tensorrt" ] || build_engine
    if [ -n "$service" ]; then
        step "service: start"
        run "$root$prefix/bin/hrd" service install
    fi
    step "hrd doctor"
    run "$root$prefix/bin/hrd" doctor || say "  doctor found something to mend, see above"
    took
    if [ -n "$dry" ]; then
        say "done: nothing was changed. Without --dry-run these commands are run in this order"
        return
    fi
    say "in all $(((SECONDS - begun) / 60)) min, $(du -sm "$root$prefix" | cut -f1) MB in $prefix"
    say "done. Log in again (for the groups), then: hrd watch. To undo: sudo $0 --uninstall"
}

remove() {
    local user=${SUDO_USER-} recorded=()
    [ ! -f "$root$record" ] || mapfile -t recorded < <(sort -u "$root$record")
    if [ -x "$root$prefix/bin/hrd" ]; then
        step "service: removed${purge:+, with its configuration}"
        run "$root$prefix/bin/hrd" service uninstall ${purge:+--purge} ||
            die "the service could not be removed, so nothing else was"
    fi
    if [ -n "$user" ] && [ -n "$purge" ] && id -nG "$user" 2>/dev/null | grep -qw hrd; then
        step "groups: $user leaves hrd"
        run gpasswd -d "$user" hrd
    fi
    if [ "$(readlink "$root$command_link" 2>/dev/null)" = "$prefix/bin/hrd" ]; then
        step "$command_link: removed"
        run rm "$root$command_link"
    fi
    if has "$prefix"; then
        step "$prefix: removed"
        run rm -rf "$root$prefix"
    fi
    if [ ${#recorded[@]} -gt 0 ]; then
        if [ -n "$purge" ]; then
            step "system packages that hrd's installation brought: ${recorded[*]}"
            run env DEBIAN_FRONTEND=noninteractive apt-get remove -y -qq "${recorded[@]}"
        else
            say "kept: sudo apt-get remove ${recorded[*]}   takes away what apt-get installed"
        fi
    fi
    say "done: hrd is not installed"
}

[ -n "$dry" ] || [ -n "$root" ] || [ "$(id -u)" = 0 ] || die "run it as root: sudo $0 $*"
if [ -n "$uninstall" ]; then remove; else install; fi
