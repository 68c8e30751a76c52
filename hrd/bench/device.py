"""What machine this is."""

from __future__ import annotations

import os
import platform
from typing import Dict

from hrd.bench.power import power


def describe() -> Dict[str, object]:
    """Processor, cores at hand, system, Python, and a Jetson's model where there is one, and
    how fast it may run."""
    device: Dict[str, object] = {
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "machine": platform.machine(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }
    jetson = _first_line("/proc/device-tree/model")
    if jetson:
        device["board"] = jetson
    device.update(power())
    return device


def _cpu() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _first_line(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.readline().strip().strip("\0")
    except OSError:
        return ""
