"""The machine itself: a Jetson's power mode and clocks, memory, disk."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import List, Optional

from hrd.config import Config
from hrd.doctor.finding import Finding, Verdict

ROOT = Path("/")
"""Where the machine's files are (another place in tests)."""

_CPU = "sys/devices/system/cpu"
_LITTLE_MB = 4600  # up to a Nano of 4 GB


def read(path: str) -> Optional[str]:
    """A small file of the system, None if it can't be read."""
    try:
        return (ROOT / path).read_text(encoding="utf-8", errors="replace").strip("\n\0 ")
    except OSError:
        return None


def jetson() -> Optional[str]:
    """What kind of Jetson this is, None where it is none."""
    model = read("proc/device-tree/model")
    if model is not None and "jetson" in model.lower():
        return model
    return "a Jetson" if read("etc/nv_tegra_release") else None


def power(config: Config) -> List[Finding]:
    """A Jetson in its weak power mode has half its cores off."""
    model = jetson()
    if model is None:
        return [Finding("power", Verdict.OK, "no Jetson: nothing to set")]
    mode = read("var/lib/nvpmodel/status")
    if mode is None:
        remedy = "sudo nvpmodel -q shows it; sudo nvpmodel -m 0 sets the strongest"
        return [Finding("power", Verdict.WARN, f"{model}: the power mode is unknown", remedy)]
    number = mode.rpartition(":")[2].strip().lstrip("0") or "0"
    online = read(f"{_CPU}/online") or "?"
    text = f"{model}, power mode {number}, CPUs {online}"
    if number != "0":
        return [Finding("power", Verdict.WARN, text, "sudo nvpmodel -m 0")]
    return [Finding("power", Verdict.OK, text)]


def clocks(config: Config) -> List[Finding]:
    """CPU and GPU that are held below what they can do."""
    findings: List[Finding] = []
    governor = read(f"{_CPU}/cpu0/cpufreq/scaling_governor")
    top, allowed = (_khz(f"{_CPU}/cpu0/cpufreq/{name}_max_freq") for name in ("cpuinfo", "scaling"))
    mend = "sudo jetson_clocks" if jetson() else "sudo cpupower frequency-set -g schedutil"
    if governor == "powersave" and read(f"{_CPU}/cpu0/cpufreq/scaling_driver") != "intel_pstate":
        findings.append(Finding("clocks", Verdict.WARN, "the CPU is kept slow (powersave)", mend))
    elif top and allowed and allowed < top:
        text = f"the CPU may run at {allowed // 1000} of {top // 1000} MHz"
        findings.append(Finding("clocks", Verdict.WARN, text, mend))
    elif top:
        text = f"CPU up to {top // 1000} MHz, governor {governor or 'unknown'}"
        findings.append(Finding("clocks", Verdict.OK, text))
    for devfreq in sorted(ROOT.glob("sys/devices/*gpu*/devfreq/*")):
        most, limit = (
            _khz(str((devfreq / name).relative_to(ROOT)))
            for name in ("available_frequencies", "max_freq")
        )
        if most and limit and limit < most:
            text = f"the GPU may run at {limit // 1000000} of {most // 1000000} MHz"
            findings.append(Finding("clocks", Verdict.WARN, text, "sudo jetson_clocks"))
        elif limit:
            text = f"GPU up to {limit // 1000000} MHz"
            findings.append(Finding("clocks", Verdict.OK, text))
    return findings or [Finding("clocks", Verdict.OK, "this machine does not show its clocks")]


def _khz(path: str) -> Optional[int]:
    """The largest number in a file."""
    numbers = [int(word) for word in (read(path) or "").split() if word.isdigit()]
    return max(numbers) if numbers else None


def memory(config: Config) -> List[Finding]:
    """Memory and swap: building an engine on a small Jetson needs both."""
    sizes_mb = {}
    for line in (read("proc/meminfo") or "").splitlines():
        name, _, value = line.partition(":")
        words = value.split()
        if words and words[0].isdigit():
            sizes_mb[name] = int(words[0]) * 1024 // 1_000_000
    total, free = sizes_mb.get("MemTotal", 0), sizes_mb.get("MemAvailable", 0)
    swap = sizes_mb.get("SwapTotal", 0)
    text = f"{free} of {total} MB free, {swap} MB of swap"
    if total and total < _LITTLE_MB and swap < 1000:
        remedy = (
            "sudo fallocate -l 2G /swapfile && sudo chmod 600 /swapfile && sudo mkswap /swapfile "
            "&& sudo swapon /swapfile"
        )
        return [Finding("memory", Verdict.WARN, text, remedy)]
    if total and free < 400:
        remedy = "end other programs: ps aux --sort=-rss | head shows the largest"
        return [Finding("memory", Verdict.WARN, text, remedy)]
    return [Finding("memory", Verdict.OK, text)]


def disk(config: Config) -> List[Finding]:
    """Room for the journal and for built engines."""
    findings = []
    seen = set()
    for folder in ("/", config.engine.tensorrt.cache_dir):
        place = os.path.abspath(os.path.expanduser(folder)) if folder else "/"
        while not os.path.isdir(place):
            place = os.path.dirname(place)
        device = os.stat(place).st_dev
        if device in seen:
            continue
        seen.add(device)
        free_mb = shutil.disk_usage(place).free // 1_000_000
        if free_mb < 200:
            remedy = "make room: sudo journalctl --vacuum-size=50M"
            findings.append(Finding("disk", Verdict.WARN, f"{free_mb} MB free in {place}", remedy))
        else:
            text = f"{free_mb / 1000:.1f} GB free in {place}"
            findings.append(Finding("disk", Verdict.OK, text))
    return findings
