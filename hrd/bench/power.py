"""How fast this machine may run: the power mode and clocks that figures depend on."""

from __future__ import annotations

from pathlib import Path
from typing import Dict

_CPU = "sys/devices/system/cpu"
_GPU_CLOCKS = "sys/class/devfreq/*gpu*/max_freq"  # a Jetson's GPU; Hz


def power(root: Path = Path("/")) -> Dict[str, object]:
    """What the system says of its speed; a key is absent where it says nothing.

    ``power_mode``: the number of a Jetson's nvpmodel mode; ``cores_online``: as in ``0-3``;
    ``governor``; ``cpu_max_mhz`` and ``gpu_max_mhz``: the clocks now allowed.
    """
    found: Dict[str, object] = {}
    mode = _read(root / "var/lib/nvpmodel/status")  # "pmode:0000"
    if mode.startswith("pmode:") and mode[6:].isdigit():
        found["power_mode"] = int(mode[6:])
        online = _read(root / _CPU / "online")
        if online:
            found["cores_online"] = online
    clocks = root / _CPU / "cpu0/cpufreq"
    governor = _read(clocks / "scaling_governor")
    if governor:
        found["governor"] = governor
    limit_khz = _read(clocks / "scaling_max_freq")
    if limit_khz.isdigit():
        found["cpu_max_mhz"] = int(limit_khz) // 1000
    for path in sorted(root.glob(_GPU_CLOCKS)):
        limit_hz = _read(path)
        if limit_hz.isdigit():
            found["gpu_max_mhz"] = int(limit_hz) // 1_000_000
            break
    return found


def sentence(device: Dict[str, object]) -> str:
    """``power`` in words, from the machine's description; empty where it says nothing."""
    parts = []
    if "power_mode" in device:
        parts.append(f"nvpmodel mode {device['power_mode']}, CPUs {device.get('cores_online')}")
    if "governor" in device:
        parts.append(f"governor {device['governor']}")
    if "cpu_max_mhz" in device:
        parts.append(f"CPU up to {device['cpu_max_mhz']} MHz")
    if "gpu_max_mhz" in device:
        parts.append(f"GPU up to {device['gpu_max_mhz']} MHz")
    return ", ".join(parts)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
