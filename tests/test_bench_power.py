"""What the benchmark notes about a machine's speed."""

from __future__ import annotations

from pathlib import Path

from hrd.bench.power import power, sentence


def write(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n")


def test_a_nano_on_five_watts(tmp_path: Path) -> None:
    write(tmp_path, "var/lib/nvpmodel/status", "pmode:0001")
    write(tmp_path, "sys/devices/system/cpu/online", "0-1")
    write(tmp_path, "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "schedutil")
    write(tmp_path, "sys/devices/system/cpu/cpu0/cpufreq/scaling_max_freq", "918000")
    write(tmp_path, "sys/class/devfreq/57000000.gpu/max_freq", "640000000")
    found = power(tmp_path)
    assert found == {
        "power_mode": 1,
        "cores_online": "0-1",
        "governor": "schedutil",
        "cpu_max_mhz": 918,
        "gpu_max_mhz": 640,
    }
    assert sentence(found) == (
        "nvpmodel mode 1, CPUs 0-1, governor schedutil, CPU up to 918 MHz, GPU up to 640 MHz"
    )


def test_a_machine_that_says_nothing_is_not_guessed(tmp_path: Path) -> None:
    assert power(tmp_path) == {}
    write(tmp_path, "var/lib/nvpmodel/status", "garbage")
    assert power(tmp_path) == {}
    assert sentence({}) == ""
