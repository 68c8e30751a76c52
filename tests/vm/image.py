"""The disk of a virtual machine: Debian, its kernel and what hrd depends on, but not hrd.

Made once per recipe and kept in ``~/.cache/hrd/vm``; hrd itself comes on a second disk at each run.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

from tests.vm import initramfs, packages, wheels
from tests.vm.initramfs import make_initramfs
from tests.vm.machines import AMD64, Machine
from tests.vm.packages import Archive, bootstrap
from tests.vm.wheels import compile_all, install_wheels

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGES = "systemd,systemd-sysv,udev,dbus,kmod,passwd,procps,psmisc,python3,python3-venv,v4l-utils"
DISK_MB = 3000

_AGENT = """[Unit]
Description=What runs the tests' commands
DefaultDependencies=no
After=local-fs.target systemd-udevd.service
[Service]
ExecStartPre=/bin/sh -c 'mkdir -p /run/vm && mount -o ro /dev/vdb /run/vm'
ExecStart=/usr/bin/python3 -u /run/vm/agent.py
Restart=on-failure
OOMScoreAdjust=-900
[Install]
WantedBy=sysinit.target
"""


@dataclass(frozen=True)
class Image:
    """``disk``: raw, not to be written to."""

    kernel: Path
    initramfs: Path
    disk: Path


def cache() -> Path:
    """Outside of the checkout, so that a new one need not download all again."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "hrd" / "vm"


def recipe(machine: Machine) -> str:
    """Changes whenever an image made now would be another."""
    parts = [machine.arch, machine.kernel, machine.wheel_platform]
    parts.append((ROOT / "constraints" / f"{machine.constraints}.txt").read_text())
    for module in (__file__, packages.__file__, initramfs.__file__, wheels.__file__):
        parts.append(Path(str(module)).read_text())
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def get_image(machine: Machine) -> Image:
    """The image of this recipe, made if there is none; older ones are removed."""
    folder = cache() / machine.arch / recipe(machine)
    image = Image(folder / "vmlinuz", folder / "initramfs", folder / "disk.img")
    if not image.disk.exists():
        shutil.rmtree(folder.parent, ignore_errors=True)
        print(f"making the image of {machine.what} (minutes, once)", file=sys.stderr, flush=True)
        unfinished = folder.with_suffix(".part")
        unfinished.mkdir(parents=True)
        _make(machine, unfinished)
        unfinished.rename(folder)
    return image


def _make(machine: Machine, folder: Path) -> None:
    root = folder / "root"
    bootstrap(root, machine.arch, PACKAGES.split(","))
    archive = Archive(cache() / f"packages-{machine.arch}", machine.arch)
    kernel = archive.newest(machine.kernel)
    archive.unpack(kernel, root)
    busybox = folder / "busybox"
    busybox.mkdir()
    archive.unpack("busybox-static", busybox)
    if machine.arch != AMD64.arch:
        _configure_as(root)
    version = kernel.replace("linux-image-", "")
    subprocess.run(["depmod", "-b", str(root), version], check=True)
    _install_dependencies(machine, root)
    _settings(root)
    make_initramfs(
        folder / "first",
        busybox / "bin" / "busybox",
        root / "lib" / "modules" / version,
        folder / "initramfs",
    )
    shutil.copy(root / "boot" / f"vmlinuz-{version}", folder / "vmlinuz")
    shutil.rmtree(root / "boot")
    (root / "boot").mkdir()
    make_disk(root, folder / "disk.img", DISK_MB)
    if machine.arch == AMD64.arch:
        _keep_configuration(root)
    shutil.rmtree(root)


def make_disk(root: Path, out: Path, size_mb: int) -> None:
    """An ext4 file system with the folder's files."""
    with open(out, "wb") as file:
        file.truncate(size_mb << 20)
    command = ["mkfs.ext4", "-q", "-F", "-E", "root_owner=0:0", "-d", str(root), str(out)]
    subprocess.run(command, check=True)


def _keep_configuration(root: Path) -> None:
    """What the packages' scripts have made: the same files for every architecture."""
    kept = cache() / "configuration.tar"
    names = ["etc", "var/lib/dpkg/status", "opt/hrd"]
    for link in sorted((root / "usr" / "bin").iterdir()):  # such as awk, of no package's own
        if link.is_symlink() and os.readlink(link).startswith("/etc/alternatives/"):
            names.append(f"usr/bin/{link.name}")
    excluded = ["--exclude=etc/ld.so.cache", "--exclude=opt/hrd/lib/python3.11/site-packages"]
    tar = ["tar", "-c", "-f", str(kept), "-C", str(root), *excluded, *names]
    subprocess.run(tar, check=True)


def _configure_as(root: Path) -> None:
    """Give a machine whose packages were only unpacked the configuration of one where they were
    installed."""
    get_image(AMD64)
    tar = ["tar", "-x", "--keep-directory-symlink", "-C", str(root)]
    subprocess.run([*tar, "-f", str(cache() / "configuration.tar")], check=True)


def _install_dependencies(machine: Machine, root: Path) -> None:
    """The locked versions into ``/opt/hrd``, as pip run in there would; the folder is an
    environment of the machine's own Python."""
    site = root / "opt" / "hrd" / "lib" / "python3.11" / "site-packages"
    site.mkdir(parents=True, exist_ok=True)
    if machine.arch == AMD64.arch:
        subprocess.run(["chroot", str(root), "python3", "-m", "venv", "/opt/hrd"], check=True)
    else:
        for bundled in (root / "usr" / "share" / "python-wheels").glob("pip-*.whl"):
            with zipfile.ZipFile(bundled) as files:
                files.extractall(site)
    kept = cache() / "wheels" / machine.constraints
    constraints = ROOT / "constraints" / f"{machine.constraints}.txt"
    install_wheels(machine, site, kept, ["-r", str(constraints)])
    shutil.rmtree(site / "bin", ignore_errors=True)
    compile_all(site, root, "/")


def _settings(root: Path) -> None:
    etc = root / "etc"
    (etc / "systemd" / "system" / "vm-agent.service").write_text(_AGENT)
    wants = etc / "systemd" / "system" / "sysinit.target.wants"
    wants.mkdir(exist_ok=True)
    (wants / "vm-agent.service").unlink(missing_ok=True)  # a configuration taken over has it
    (wants / "vm-agent.service").symlink_to("/etc/systemd/system/vm-agent.service")
    (etc / "hostname").write_text("shelf\n")
    (etc / "fstab").write_text("/dev/vda / ext4 rw 0 1\n")
    (etc / "machine-id").write_text("")
    journal = etc / "systemd" / "journald.conf.d"
    journal.mkdir(exist_ok=True)
    (journal / "vm.conf").write_text("[Journal]\nStorage=persistent\nRateLimitIntervalSec=0\n")
    for unit in ("apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer"):
        (etc / "systemd" / "system" / unit).unlink(missing_ok=True)
        (etc / "systemd" / "system" / unit).symlink_to("/dev/null")
