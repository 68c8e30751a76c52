"""What a virtual machine needs to hear a Bluetooth strap: BlueZ, bleak, and a disk to bring them.

The controller's end of a serial line is a UNIX socket here, which bumble connects to
(``tests/vm/heart_strap.py``); in the machine BlueZ's ``btattach`` gives that line to the kernel.
"""

from __future__ import annotations

from pathlib import Path
from typing import List

from tests.vm.guest import Guest
from tests.vm.image import cache, make_disk
from tests.vm.machines import Machine
from tests.vm.packages import Archive
from tests.vm.wheels import compile_all, install_wheels

_PACKAGES = ("bluez", "libasound2", "libdw1", "libelf1", "libglib2.0-0")
"""BlueZ and those libraries of it that the image lacks."""

_PYTHON = ("bleak", "dbus-fast", "typing-extensions", "pyserial", "scipy")
"""Of hrd's extras devices and eval; the image has the rest."""

DISK_MB = 400
AT = "/run/radio"
HRD = ("env", f"PYTHONPATH={AT}/site", "/opt/hrd/bin/python", "-m", "hrd")
"""hrd with its extras in the machine."""

_SET_UP = f"""
set -e
mkdir -p {AT}
mount -o ro /dev/vdc {AT}
tar -c -C {AT}/root . | tar -x --keep-directory-symlink --no-same-owner -C /
ldconfig
systemctl daemon-reload
systemctl reload dbus
"""
_ATTACH = """
set -e
modprobe hci_uart
cd /sys/bus/pci/drivers/serial/*/tty
exec btattach -B /dev/$(ls) -P h4 -S 115200
"""


def make_radio_disk(machine: Machine, wheel: Path, folder: Path) -> Path:
    """A disk with BlueZ as Debian has it, and Python's packages."""
    files = folder / "radio"
    archive = Archive(cache() / f"packages-{machine.arch}", machine.arch)
    (files / "root").mkdir(parents=True)
    for package in _PACKAGES:
        archive.unpack(package, files / "root")
    site = files / "site"
    kept = cache() / "wheels" / f"{machine.constraints}-radio"
    install_wheels(machine, site, kept, _PYTHON, [str(wheel)])
    compile_all(site, files, AT)
    disk = folder / "radio.img"
    make_disk(files, disk, DISK_MB)
    return disk


def arguments(disk: Path, socket: Path) -> List[str]:
    """QEMU's, for that disk and a serial line whose other end is ``socket``."""
    return [
        *("-drive", f"file={disk},if=none,id=radio,format=raw,readonly=on"),
        *("-device", "virtio-blk-pci,drive=radio"),
        *("-chardev", f"socket,id=hci,path={socket},server=on,wait=off"),
        *("-device", "pci-serial,chardev=hci"),
    ]


def set_up(guest: Guest) -> None:
    """Install BlueZ; no controller is there yet."""
    guest.run("sh", "-c", _SET_UP)


def attach(guest: Guest) -> None:
    """Give the line to the kernel as a controller's, and start BlueZ's daemon."""
    guest.start("sh", "-c", _ATTACH)
    waiting = "until [ -e /sys/class/bluetooth/hci0 ]; do sleep 0.2; done"
    guest.run("sh", "-c", waiting, timeout_s=60.0)
    guest.run("systemctl", "start", "bluetooth")
    waiting = "until bluetoothctl show | grep -q 'Powered: yes'; do bluetoothctl power on; done"
    guest.run("timeout", "60", "sh", "-c", waiting, timeout_s=90.0)
