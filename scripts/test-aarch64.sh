#!/usr/bin/env bash
# Run hrd on 64-bit ARM without a board: an emulated Debian 12 root on the Jetson Nano's core
# (Cortex-A57), hrd's wheel installed from constraints/aarch64-cp311.txt, then
#   hrd measure --engine onnx   on simulated clips, within 3 bpm of their truth
#   hrd run                     answers on its socket
# usage: scripts/test-aarch64.sh [--fresh]    needs root; qemu-user-static and debootstrap are
# installed on a Debian. Where nothing can be proved it says why and ends with 77. The root and the wheels are kept
# (about 1 GB) in ~/.cache/hrd/aarch64; --fresh makes the environment in it anew.
set -euo pipefail
cd "$(dirname "$0")/.."

cache=${XDG_CACHE_HOME:-$HOME/.cache}/hrd/aarch64
root=$cache/root
target=aarch64-cp311 glibc_minor=36
say() { printf 'aarch64: %s\n' "$*"; }
skip() { say "nothing was proved: $*"; exit 77; }
# shellcheck source=scripts/debian.sh
source scripts/debian.sh

[ "$(id -u)" = 0 ] || skip "needs root, to make a root file system and run in it"
binfmt=/proc/sys/fs/binfmt_misc
if [ "$(uname -m)" != aarch64 ]; then
    why=$(need debootstrap debootstrap qemu-aarch64-static qemu-user-static) || skip "$why"
    [ -e $binfmt/register ] || mount -t binfmt_misc binfmt_misc $binfmt 2>/dev/null ||
        skip "this kernel has no binfmt_misc, so that it cannot start ARM programs"
    if [ ! -e $binfmt/qemu-aarch64 ]; then
        grep -h '^:' /usr/lib/binfmt.d/qemu-aarch64.conf | tr -d '\n' >$binfmt/register ||
            skip "this kernel does not take an emulator for ARM programs"
    fi
fi

if [ ! -x "$root/usr/bin/python3" ]; then
    say "making an arm64 root (some minutes, once)"
    rm -rf --one-file-system "$root.new"
    mkdir -p "$root.new"
    debootstrap --arch=arm64 --variant=minbase --foreign \
        --include=python3,python3-venv bookworm "$root.new" \
        ${HRD_DEBIAN_MIRROR:+"$HRD_DEBIAN_MIRROR"} >"$cache/debootstrap.log"
    # The packages are unpacked here, natively: dpkg under emulation takes half an hour, and
    # nothing that hrd uses is made by their scripts.
    for package in "$root.new"/var/cache/apt/archives/*.deb; do
        dpkg-deb --fsys-tarfile "$package" | tar -x --keep-directory-symlink -C "$root.new"
    done
    rm -rf "$root.new/debootstrap" "$root.new"/var/cache/apt/archives/*.deb
    mv "$root.new" "$root"
fi

# /proc, /sys and /dev are mounted in a namespace of the command's own and go when it ends
# (ONNX Runtime and OpenCV look at the processor there).
inside() {
    # shellcheck disable=SC2016
    unshare --mount --propagation private bash -c '
        root=$1; shift
        mount --bind /proc "$root/proc"; mount --bind /sys "$root/sys"
        mount --rbind /dev "$root/dev"
        exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb LC_ALL=C.UTF-8 \
            QEMU_CPU=cortex-a57 chroot "$root" "$@"' inside "$root" "$@"
}

say "$(inside uname -m), $(inside python3 --version)"
tools=$(scripts/tools.sh)
rm -rf "$root/dist"
"$tools/uv" build -q --wheel --out-dir "$root/dist" .
cp "constraints/$target.txt" "$root/dist/constraints.txt"
platforms=(--platform manylinux2014_aarch64)
for ((n = 17; n <= glibc_minor; n++)); do
    platforms+=(--platform "manylinux_2_${n}_aarch64")
done
if ! cmp -s "constraints/$target.txt" "$root/wheels/.constraints"; then
    say "downloading the wheels that constraints/$target.txt names"
    rm -rf "$root/wheels"
    "$tools/pip" download -q --disable-pip-version-check --no-deps --only-binary=:all: \
        "${platforms[@]}" --python-version 3.11 -d "$root/wheels" -r "constraints/$target.txt"
    cp "constraints/$target.txt" "$root/wheels/.constraints"
    rm -rf "$root/opt/hrd"
fi
[ "${1-}" != --fresh ] || rm -rf "$root/opt/hrd"
if [ ! -x "$root/opt/hrd/bin/pip" ]; then
    say "python3 -m venv /opt/hrd"
    inside python3 -m venv /opt/hrd
fi
wheel=$(basename "$root"/dist/hrd-*.whl)
say "pip install ${wheel}[cpu,metrics] -c $target.txt"
pip=(inside /opt/hrd/bin/python -m pip --disable-pip-version-check)
"${pip[@]}" install -q --no-compile --no-index --find-links /wheels -c /dist/constraints.txt \
    "/dist/${wheel}[cpu,metrics]"
"${pip[@]}" install -q --no-compile --no-index --no-deps --force-reinstall "/dist/$wheel"
"${pip[@]}" check

say "drawing clips here, measuring them there"
rm -rf "$root/clips" "$root/run/hrd-test"
python=.venv/bin/python
[ -x $python ] || python=python3
$python -m hrd.cli.main simulate "$root/clips" --subjects 2 --seconds 14 --seed 7 >/dev/null
for truth in "$root"/clips/subject*/ground_truth.txt; do
    subject=$(basename "$(dirname "$truth")")
    begin=$SECONDS
    inside /opt/hrd/bin/hrd measure --engine onnx --json "/clips/$subject/vid.avi" \
        >"$cache/$subject.json"
    python3 tools/near_truth.py "$cache/$subject.json" "$truth" 3
    say "$subject took $((SECONDS - begin)) s under emulation"
done

say "hrd run, as a daemon"
mkdir -p "$root/run/hrd-test"
# a clip plays the camera: drawing faces at a camera's rate is beyond the emulator, and so are the
# default time-outs
printf '[source.capture]\nopen_timeout_s = 60.0\nread_timeout_s = 60.0\n' >"$root/clips/hrd.toml"
inside /opt/hrd/bin/hrd run --config /clips/hrd.toml --source /clips/subject1/vid.avi --loop \
    --persist --socket /run/hrd-test/hrd.sock 2>"$cache/run.log" &
daemon=$!
# the daemon itself: the shell that waits for it passes no signal on
stop() { pkill -TERM -P "$daemon" 2>/dev/null || true; }
trap stop EXIT
inside /opt/hrd/bin/hrd watch --socket /run/hrd-test/hrd.sock --json --all --once --count 2 --wait 300 |
    tee "$cache/watch.json"
grep -q '"class":"VERSION"' "$cache/watch.json"
grep -q '"class":"HR"' "$cache/watch.json"
stop
status=0
wait "$daemon" || status=$?
trap - EXIT
# 1 where the signal met a frame that takes the emulator longer than the 2 s hrd allows a frame
say "hrd run ended on SIGTERM, with $status"
say "passed"
