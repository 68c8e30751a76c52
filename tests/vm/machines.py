"""The two emulated machines: what Debian calls them, and how QEMU is told to be one."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Tuple


@dataclass(frozen=True)
class Machine:
    """``arch``: Debian's name. ``kernel``: its package that always means the newest kernel.
    ``board`` and ``memory_mb`` are the emulator's and leave the image as it is."""

    arch: str
    kernel: str
    emulator: str
    emulator_package: str
    board: Tuple[str, ...]
    console: str
    constraints: str
    wheel_platform: str
    memory_mb: int
    what: str


AMD64 = Machine(
    arch="amd64",
    kernel="linux-image-amd64",
    emulator="qemu-system-x86_64",
    emulator_package="qemu-system-x86",
    # no AVX: QEMU 7.2 emulates it 80 times slower than SSE (25 s for one detection)
    board=("-M", "q35", "-cpu", "Nehalem", "-smp", "2"),
    console="ttyS0",
    constraints="x86-64-cp311",
    wheel_platform="x86_64",
    memory_mb=3000,
    what="x86-64, 2 cores",
)
ARM64 = Machine(
    arch="arm64",
    kernel="linux-image-arm64",
    emulator="qemu-system-aarch64",
    emulator_package="qemu-system-arm",
    board=("-M", "virt", "-cpu", "cortex-a57", "-smp", "4"),
    console="ttyAMA0",
    constraints="aarch64-cp311",
    wheel_platform="aarch64",
    memory_mb=4000,
    what="Cortex-A57, 4 cores",
)


def chosen() -> Machine:
    """``ARCH=arm64`` means the board's core, anything else this machine's."""
    machines = {"amd64": AMD64, "x86_64": AMD64, "arm64": ARM64, "aarch64": ARM64}
    return machines[os.environ.get("ARCH") or "amd64"]
