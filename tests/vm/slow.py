"""hrd on machines that are too slow or too small for it (`make test-vm`)."""

from __future__ import annotations

import statistics
from typing import List

import pytest

from tests.vm.film import Film
from tests.vm.guest import Heard
from tests.vm.shelf import Shelf
from tests.vm.usb_camera import UsbCamera

QUOTAS_PERCENT = (100, 50, 25, 12, 6)


def steps_s(readings: List[Heard]) -> List[float]:
    times = [heard.at_s for heard in readings]
    return [b - a for a, b in zip(times, times[1:])]


@pytest.mark.parametrize("percent", QUOTAS_PERCENT)
def test_a_share_of_one_core(shelf: Shelf, mjpg: Film, percent: int) -> None:
    with UsbCamera(shelf.guest.usb_port(0), [mjpg]) as camera:
        shelf.bpm(shelf.guest.now_s())
        quota = ["systemctl", "set-property", "--runtime", "hrd.service", f"CPUQuota={percent}%"]
        before = shelf.guest.status()["drops"]
        try:
            shelf.guest.run(*quota)
            shelf.listen_for(10.0)
            readings = shelf.listen_for(30.0)
            status = shelf.guest.status()
        finally:
            shelf.guest.run(*quota[:-1], "CPUQuota=")
        mended_s = shelf.guest.now_s()
        back = shelf.bpm(mended_s)
        sent = camera.sent + camera.dropped
    late = [h.message["latency_ms"] for h in readings if "latency_ms" in h.message]
    dropped = {key: value - before.get(key, 0) for key, value in status["drops"].items()}
    done = (
        f"CPUQuota={percent}%: {status.get('fps') or 0.0:.1f} fps of 30, dropped {dropped}, "
        f"{len(readings)} readings in 30 s, at most {max(steps_s(readings), default=0.0):.1f} s "
        f"apart, {statistics.median(late) if late else 0.0:.0f} ms late"
    )
    assert sent > 0
    shelf.record(f"{percent} % of a core", done, readings, back.at_s - mended_s)


def test_512_mb(shelf: Shelf, mjpg: Film) -> None:
    shelf.close()
    took_s = shelf.boot(memory_mb=512)
    with UsbCamera(shelf.guest.usb_port(0), [mjpg]):
        began_s = shelf.guest.now_s()
        first = shelf.bpm(began_s)
        readings = [*shelf.guest.since(began_s), *shelf.listen_for(15.0)]
        free = shelf.guest.run("free", "-m").splitlines()[1].split()
        status = shelf.guest.status()
    done = (
        f"booted in {took_s:.0f} s; hrd {status['memory']['rss_mb']:.0f} MB, "
        f"{free[6]} of {free[1]} MB left; {status['fps']:.1f} fps"
    )
    shelf.record("512 MB of memory", done, readings, first.at_s - began_s)
    assert "oom" not in shelf.guest.run("sh", "-c", "dmesg | grep -i oom-kill || true")
    shelf.close()
    shelf.boot()
