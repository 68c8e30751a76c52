"""hrd as a service through real boots (`make test-vm`): one story, in order, that ends with its
removal."""

from __future__ import annotations

import time
from typing import Iterator

import pytest

from tests.vm.film import Film
from tests.vm.machines import AMD64
from tests.vm.shelf import Shelf
from tests.vm.usb_camera import UsbCamera


@pytest.fixture
def camera(shelf: Shelf, mjpg: Film) -> Iterator[UsbCamera]:
    with UsbCamera(shelf.guest.usb_port(0), [mjpg]) as plugged:
        shelf.bpm(shelf.guest.now_s())
        yield plugged


def test_found_at_boot(shelf: Shelf, mjpg: Film) -> None:
    shelf.close()
    shelf.boot()
    with UsbCamera(shelf.guest.usb_port(0), [mjpg]):
        first = shelf.bpm(0.0, 300.0)
        readings = shelf.guest.since(0.0, first.at_s)
    assert shelf.shown("NRestarts") == "0"
    done = "enabled, started by systemd; the camera appears while it boots"
    shelf.record("found at boot", done, readings, first.at_s)


def test_kill_9(shelf: Shelf, camera: UsbCamera) -> None:
    restarts = int(shelf.shown("NRestarts"))
    began_s = shelf.guest.now_s()
    shelf.guest.run("systemctl", "kill", "-s", "SIGKILL", "hrd")
    back = shelf.bpm(began_s + 0.5)
    assert int(shelf.shown("NRestarts")) == restarts + 1
    readings = shelf.guest.since(began_s + 0.1, back.at_s)
    shelf.record("kill -9", "`systemctl kill -s SIGKILL hrd`", readings, back.at_s - began_s)


def test_watchdog(shelf: Shelf, camera: UsbCamera) -> None:
    pid = shelf.shown("MainPID")
    shelf.guest.run("kill", "-STOP", pid)
    began_s = shelf.guest.now_s()
    back = shelf.bpm(began_s + 2.0, 180.0)
    assert shelf.shown("MainPID") != pid
    assert "Watchdog timeout" in shelf.journal("-b")
    readings = shelf.guest.since(began_s + 1.0, back.at_s)
    done = "SIGSTOP of the daemon; the watchdog (15 s) kills it"
    shelf.record("watchdog", done, readings, back.at_s - began_s)


def test_out_of_memory(shelf: Shelf, camera: UsbCamera) -> None:
    limit = ["systemctl", "set-property", "--runtime", "hrd.service"]
    began_s = shelf.guest.now_s()
    try:
        shelf.guest.run(*limit, "MemoryMax=16M", "MemorySwapMax=0")
        shelf.await_(lambda: "oom-kill" in shelf.journal("-b"), "the kernel kills it", 90.0)
    finally:
        shelf.guest.run(*limit, "MemoryMax=infinity", "MemorySwapMax=infinity")
    mended_s = shelf.guest.now_s()
    back = shelf.bpm(mended_s, 180.0)
    readings = shelf.guest.since(began_s, back.at_s)
    done = "MemoryMax=16M until the kernel has killed it"
    shelf.record("out of memory", done, readings, back.at_s - mended_s)


def test_a_full_disk(shelf: Shelf, camera: UsbCamera) -> None:
    shelf.guest.call("sh", "-c", "cat /dev/zero > /filler", timeout_s=300.0)
    assert shelf.guest.run("df", "--output=avail", "/").split()[-1] == "0"
    began_s = shelf.restart()
    back = shelf.bpm(began_s)
    readings = shelf.guest.since(began_s, back.at_s)
    shelf.guest.run("rm", "/filler")
    done = "no byte free on /, then a start"
    shelf.record("full disk", done, readings, back.at_s - began_s)


def test_the_clock_is_set_late(shelf: Shelf, mjpg: Film) -> None:
    now_s = time.time()
    shelf.close()
    shelf.boot(more=["-rtc", "base=1970-01-01T00:00:00"])
    early_s = shelf.guest.wall_s()
    assert early_s < now_s - 1e6
    with UsbCamera(shelf.guest.usb_port(0), [mjpg]):
        began_s = shelf.guest.now_s()
        shelf.bpm(began_s, 180.0)
        time.sleep(3.0)
        shelf.guest.run("date", "-s", f"@{now_s:.0f}")
        set_s = shelf.guest.now_s()
        readings = shelf.listen_for(10.0)
    steps = [b.at_s - a.at_s for a, b in zip(readings, readings[1:])]
    assert all("bpm" in heard.message for heard in readings)
    assert readings[-1].message["time"] == pytest.approx(readings[-1].wall_s, abs=3.0)
    done = (
        f"from {time.strftime('%Y-%m-%d', time.gmtime(early_s))} (no battery: the kernel begins in "
        f"1970, systemd at its own release) to now, while hrd reads; at most {max(steps):.1f} s "
        "between two readings, `time` follows"
    )
    shelf.record("clock set late", done, readings, readings[0].at_s - set_s)


def test_upgrade_with_clients(shelf: Shelf, camera: UsbCamera) -> None:
    guest = shelf.guest
    began_s = guest.now_s()
    pip = "/opt/hrd/bin/pip install -q --no-index --no-deps --force-reinstall"
    guest.run("sh", "-c", f"{pip} /run/vm/hrd-*.whl", timeout_s=600.0)
    guest.run("hrd", "service", "install")
    replaced_s = shelf.restart()
    back = shelf.bpm(replaced_s)
    readings = guest.since(began_s, back.at_s)
    gap_s = max(b.at_s - a.at_s for a, b in zip(readings, readings[1:]))
    done = f"pip, `hrd service install`, restart; the client waits {gap_s:.1f} s and is back"
    shelf.record("upgrade", done, readings, back.at_s - replaced_s)


def test_power_cuts(shelf: Shelf, mjpg: Film) -> None:
    cuts = 10 if shelf.machine is AMD64 else 3
    mark = "sha256sum /etc/hrd/hrd.toml /var/cache/hrd/mark; stat -c %U:%a /etc/hrd/hrd.toml"
    shelf.guest.run("sh", "-c", "mkdir -p /var/cache/hrd; echo kept > /var/cache/hrd/mark; sync")
    kept = shelf.guest.run("sh", "-c", mark)
    after_s = []
    readings = []
    for number in range(cuts):
        with UsbCamera(shelf.guest.usb_port(0), [mjpg]):
            first = shelf.bpm(0.0, 300.0)
            readings += shelf.guest.since(0.0, first.at_s)
            after_s.append(first.at_s)
            # another moment each time, and something being written
            shelf.guest.start("sh", "-c", "while :; do hrd service install; sync; done")
            time.sleep(0.7 * number)
            shelf.cut_power()
        shelf.boot()
        assert shelf.guest.run("sh", "-c", mark) == kept
    with UsbCamera(shelf.guest.usb_port(0), [mjpg]):
        first = shelf.bpm(0.0, 300.0)
    readings += shelf.guest.since(0.0, first.at_s)
    after_s.append(first.at_s)
    done = f"QEMU killed {cuts} times while `hrd service install` runs; config and cache as before"
    shelf.record("power cut", done, readings, max(after_s[1:]))


def test_uninstall_leaves_nothing(shelf: Shelf) -> None:
    guest = shelf.guest
    guest.run("hrd", "service", "uninstall", "--purge")
    left = guest.run(
        "sh",
        "-c",
        "ls -d /etc/hrd /run/hrd /var/cache/hrd /etc/systemd/system/hrd.*"
        " /etc/systemd/system/*.wants/hrd*; id hrd; getent group hrd; true",
    )
    assert left.count("No such file") == 5, left
    assert "no such user" in left
    done = "`hrd service uninstall --purge`"
    shelf.record("uninstall", done, [], published="no file, unit, user or group is left")
