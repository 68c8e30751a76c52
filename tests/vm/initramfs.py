"""The first file system: just enough to find the disk."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import List

MODULES = ("virtio_pci", "virtio_blk", "crc32c_generic", "ext4")

_INIT = """#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /root
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
/bin/busybox mount -t devtmpfs dev /dev
for module in {modules}; do /bin/busybox insmod /modules/$module; done
while [ ! -b /dev/vda ]; do /bin/busybox sleep 0.1; done
/bin/busybox mount -t ext4 -o rw /dev/vda /root
/bin/busybox mount --move /dev /root/dev
/bin/busybox umount /sys
/bin/busybox umount /proc
exec /bin/busybox switch_root /root /sbin/init
"""


def load_order(modules: Path, wanted: List[str]) -> List[Path]:
    """The modules' files, each after those it needs; ``modules``: a kernel's ``modules.dep``'s
    folder. One that is built into the kernel has no file and is left out."""
    needs = {}
    for line in (modules / "modules.dep").read_text().splitlines():
        name, _, others = line.partition(":")
        needs[name] = others.split()
    order: List[str] = []
    for name in wanted:
        for file in needs:
            if Path(file).name == f"{name}.ko":
                order += [*reversed(needs[file]), file]
    return [modules / file for file in dict.fromkeys(order)]


def make_initramfs(folder: Path, busybox: Path, modules: Path, out: Path) -> None:
    """Write ``out``; ``folder`` is where its files are put together."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "bin").mkdir(parents=True)
    (folder / "modules").mkdir()
    shutil.copy(busybox, folder / "bin" / "busybox")
    files = load_order(modules, list(MODULES))
    for file in files:
        shutil.copy(file, folder / "modules" / file.name)
    init = folder / "init"
    init.write_text(_INIT.format(modules=" ".join(file.name for file in files)))
    os.chmod(init, 0o755)
    with open(out, "wb") as archive:
        find = subprocess.Popen(["find", "."], cwd=folder, stdout=subprocess.PIPE)
        cpio = ["cpio", "-o", "-H", "newc", "--quiet"]
        subprocess.run(cpio, cwd=folder, stdin=find.stdout, stdout=archive, check=True)
        assert find.wait() == 0
