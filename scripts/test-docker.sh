#!/usr/bin/env bash
# Build an image for real and run it: hrd reads a simulated face as the image's own user, its
# HEALTHCHECK's command succeeds while the daemon runs, and fails when it does not.
# usage: scripts/test-docker.sh [cpu|jetpack4|jetpack6 ...]    default: cpu
#
# No container engine and no registry of images is needed, only root, buildah and debootstrap: every
# RUN line is executed in a chroot on a Debian 12 base made here under the pinned tag's name. A
# Jetson's Dockerfile gets this base and its Python in place of NVIDIA's, which proves its steps and
# not its base. buildah and debootstrap are installed on a Debian. Where nothing can be proved it says
# why and ends with 77.
set -euo pipefail
cd "$(dirname "$0")/.."
cache=${XDG_CACHE_HOME:-$HOME/.cache}/hrd/docker
base=docker.io/library/debian:12.11-slim
say() { printf 'docker: %s\n' "$*"; }
skip() { say "nothing was proved: $*"; exit 77; }
# shellcheck source=scripts/debian.sh
source scripts/debian.sh

[ "$(id -u)" = 0 ] || skip "needs root, for a chroot"
why=$(need buildah buildah debootstrap debootstrap) || skip "$why"
case $(uname -m) in
    x86_64) constraints=x86-64-cp311 ;;
    aarch64) constraints=aarch64-cp311 ;;
    *) skip "no constraints for $(uname -m)" ;;
esac
mkdir -p "$cache"
descendants() {
    local child
    for child in $(pgrep -P "$1"); do
        descendants "$child"
        echo "$child"
    done
}
buildah() { command buildah --root "$cache/storage" --runroot "$cache/run" --storage-driver vfs "$@"; }

if ! buildah inspect --type image "$base" >/dev/null 2>&1; then
    say "making $base with debootstrap (minutes, once)"
    rm -rf --one-file-system "$cache/base"
    debootstrap --variant=minbase bookworm "$cache/base" \
        ${HRD_DEBIAN_MIRROR:+"$HRD_DEBIAN_MIRROR"} >"$cache/debootstrap.log"
    rm -rf "$cache/base"/var/cache/apt/archives/*.deb "$cache/base"/var/lib/apt/lists/*
    container=$(buildah from scratch)
    buildah add -q "$container" "$cache/base" / >/dev/null
    buildah commit -q "$container" "$base" >/dev/null
    buildah rm "$container" >/dev/null
    rm -rf --one-file-system "$cache/base"
fi

# a network whose registry has a certificate of its own
certificate=()
if [ -n "${PIP_CERT-}" ]; then
    printf '[global]\ncert = /mnt/ca.pem\n' >"$cache/pip.conf"
    certificate=(--volume "$PIP_CERT:/mnt/ca.pem:ro" --volume "$cache/pip.conf:/etc/pip.conf:ro")
fi

for image in "${@:-cpu}"; do
    say "$image: every step of docker/Dockerfile.$image"
    arguments=(--build-arg "BASE=$base" --build-arg PYTHON=python3.11
        --build-arg "CONSTRAINTS=$constraints")
    [ "$image" != jetpack6 ] || arguments+=(--build-arg "DEVEL=$base")
    # the health check is part of Docker's image format only
    buildah bud --pull-never --isolation chroot --format docker "${certificate[@]}" \
        "${arguments[@]}" -f "docker/Dockerfile.$image" -t "hrd:$image" . \
        >"$cache/build-$image.log" 2>&1 || { tail -n 30 "$cache/build-$image.log"; exit 1; }
    say "$image: $(grep -c 'STEP [0-9]' "$cache/build-$image.log") steps done"
    buildah inspect --type image --format \
        'user {{.Docker.Config.User}}, entry {{.Docker.Config.Entrypoint}} {{.Docker.Config.Cmd}}, health {{.Docker.Config.Healthcheck.Test}}' \
        "hrd:$image" | sed 's/^/docker: /'
    echo
    size=$(buildah images --json "hrd:$image" | sed -n 's/.*"size": *"\([^"]*\)".*/\1/p' | head -n 1)
    say "$image: $size"

    container=$(buildah from --pull-never "hrd:$image")
    trap 'buildah rm "$container" >/dev/null 2>&1 || true' EXIT
    inside() { buildah run --isolation chroot "$container" -- "$@"; }
    say "$image: runs as uid $(inside id -u), groups $(inside id -Gn 2>/dev/null || true)"
    if inside hrd watch --json --once --count 1 >/dev/null 2>&1; then
        say "the health check succeeds without a daemon"
        exit 1
    fi
    inside hrd run --source sim:bpm=72 >"$cache/run-$image.log" 2>&1 &
    daemon=$!
    inside hrd watch --json --once --tracking --count 1 --wait 120 | tail -n 1
    inside hrd watch --json --once --count 1 >/dev/null
    say "$image: healthy while it runs"
    # the engine's own processes do not pass signals on
    mapfile -t processes < <(descendants "$daemon")
    kill -TERM "${processes[@]}" 2>/dev/null || true
    wait "$daemon" 2>/dev/null || true
    buildah rm "$container" >/dev/null
    trap - EXIT
done
say "passed"
