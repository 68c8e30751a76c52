"""What a virtual machine is made of and with: Debian's packages, for whatever architecture."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import List, Optional

from tests.long.container import SUITE, mirror
from tests.vm.machines import Machine

_TOOLS = {
    "debootstrap": "debootstrap",
    "depmod": "kmod",
    "mkfs.ext4": "e2fsprogs",
    "qemu-img": "qemu-utils",
    "cpio": "cpio",
    "dpkg-deb": "dpkg",
}
"""Program -> Debian's package."""


def prepare(machine: Machine) -> Optional[str]:
    """Install what making and running the machine needs; why it cannot be, None where it can."""
    if os.geteuid() != 0:
        return "a virtual machine's files can be made by root only: sudo make test-vm"
    if os.uname().machine != "x86_64" or sys.version_info[:2] != (3, 11):
        return "the image is made on x86-64 with Debian 12's Python 3.11"
    tools = {**_TOOLS, machine.emulator: machine.emulator_package}
    missing = {tool: package for tool, package in tools.items() if shutil.which(tool) is None}
    if missing and shutil.which("apt-get"):
        print(f"installing {' '.join(missing.values())}", file=sys.stderr, flush=True)
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends"]
        for command in (["apt-get", "update", "-qq"], [*install, *missing.values()]):
            subprocess.run(command, env=environment, stdout=subprocess.DEVNULL)
    for tool, package in missing.items():
        if shutil.which(tool) is None:
            return f"{tool} is missing: apt-get install {package}"
    return None


class Archive:
    """Debian's packages of one architecture, looked up and downloaded without touching what this
    machine knows of its own. ``folder``: where lists and packages are kept."""

    def __init__(self, folder: Path, arch: str) -> None:
        self._folder = folder
        for name in ("lists/partial", "archives/partial", "deb"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / "status").touch()
        self._options = [
            f"-oAPT::Architecture={arch}",
            f"-oAPT::Architectures={arch}",
            f"-oDir::State::lists={folder / 'lists'}",
            f"-oDir::State::status={folder / 'status'}",
            f"-oDir::Cache::archives={folder / 'archives'}",
            f"-oDir::Cache::pkgcache={folder / 'pkgcache'}",
            f"-oDir::Cache::srcpkgcache={folder / 'srcpkgcache'}",
            "-oAPT::Sandbox::User=root",
        ]
        subprocess.run(["apt-get", *self._options, "update", "-qq"], check=True)

    def newest(self, meta: str) -> str:
        """The kernel that a package without contents stands for."""
        shown = subprocess.run(
            ["apt-cache", *self._options, "show", "--no-all-versions", meta],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        ).stdout
        found = re.search(r"^Depends: .*?(linux-\S+)", shown, re.MULTILINE)
        assert found, f"{meta} depends on no kernel: {shown}"
        return found.group(1)

    def unpack(self, package: str, into: Path) -> None:
        """Download a package and unpack it, without running any script of it."""
        folder = self._folder / "deb" / package
        if not list(folder.glob("*.deb")):
            folder.mkdir(exist_ok=True)
            download = ["apt-get", *self._options, "download", "-qq", package]
            subprocess.run(download, cwd=folder, check=True)
        unpack(next(folder.glob("*.deb")), into)


def unpack(package: Path, into: Path) -> None:
    """A package's files, links to folders followed (``/lib`` is one)."""
    files = subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(package)], stdout=subprocess.PIPE)
    tar = ["tar", "-x", "--keep-directory-symlink", "-C", str(into)]
    subprocess.run(tar, stdin=files.stdout, check=True)
    assert files.wait() == 0


def bootstrap(root: Path, arch: str, packages: List[str]) -> None:
    """Debian in a folder. Of another architecture its packages are unpacked only: their scripts
    would run under emulation for half an hour."""
    foreign = ["--foreign"] if arch != "amd64" else []
    command = ["debootstrap", f"--arch={arch}", "--variant=minbase", *foreign]
    command += [f"--include={','.join(packages)}", SUITE, str(root), *mirror()]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    archives = root / "var" / "cache" / "apt" / "archives"
    if foreign:
        if (root / "proc").is_symlink():  # to itself, once it is the machine's root
            (root / "proc").unlink()
            (root / "proc").mkdir()
        for package in sorted(archives.glob("*.deb")):
            unpack(package, root)
        shutil.rmtree(root / "debootstrap")
    for package in archives.glob("*.deb"):
        package.unlink()
