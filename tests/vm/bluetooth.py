"""A heart-rate strap over Bluetooth (`make test-vm`): the kernel's stack, BlueZ and bleak are real.

The controller and the strap are bumble's; the machine has no camera, so a stand-in says a known
rate on the daemon's socket.
"""

from __future__ import annotations

import csv
import io
import json
import threading
import time
from pathlib import Path
from typing import Iterator, List

import pytest

from tests.long.conftest import pytest_sessionfinish  # noqa: F401 - 77 where nothing ran
from tests.socket_help import short_directory
from tests.vm import machines
from tests.vm.guest import Done, Guest, make_overlay, make_supplies
from tests.vm.image import get_image
from tests.vm.packages import prepare
from tests.vm.radio import HRD, arguments, attach, make_radio_disk, set_up

pytest.importorskip("bumble", reason="bumble is not installed: pip install 'hrd[bluetooth]'")

from tests.vm.heart_strap import ADDRESS, NAME, EmulatedStrap, Told  # noqa: E402

MACHINE = machines.chosen()

INTERVALS_S = (0.80, 0.84, 0.88, 0.86, 0.82, 0.78, 0.83, 0.87)
TRUE_BPM = 60.0 * len(INTERVALS_S) / sum(INTERVALS_S)
SAID_BPM = TRUE_BPM + 2.0

DAEMON = f"""
import time
from hrd import protocol
from hrd.service.server import SocketServer
from hrd.types import Reading, State

with SocketServer("/tmp/said.sock", "0") as server:
    while True:
        reading = Reading(
            time_s=0.0, state=State.TRACKING, bpm={SAID_BPM}, confidence=0.9, fps=30.0
        )
        server.publish(protocol.hr_message(reading, time.time(), 40.0))
        time.sleep(1.0)
"""
PYTHON = HRD[:3]


@pytest.fixture(scope="module")
def strap() -> Iterator[EmulatedStrap]:
    worn = EmulatedStrap(INTERVALS_S)
    yield worn
    worn.close()


@pytest.fixture(scope="module")
def guest(strap: EmulatedStrap, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guest]:
    """A machine with BlueZ, whose controller is in the same air as the strap."""
    why_not = prepare(MACHINE)
    if why_not is not None:
        pytest.skip(why_not)
    folder = tmp_path_factory.mktemp("bluetooth")
    image = get_image(MACHINE)
    supplies = make_supplies(MACHINE, folder)
    disk = make_overlay(image, folder)
    wheel = next((folder / "supplies").glob("hrd-*.whl"))
    radio = make_radio_disk(MACHINE, wheel, folder)
    with short_directory() as short:
        line = Path(short) / "hci"
        booted = Guest(MACHINE, image, disk, supplies, more=arguments(radio, line))
        try:
            set_up(booted)
            strap.plug(f"unix-client:{line}")
            attach(booted)
            booted.start(*PYTHON, "-c", DAEMON)
            yield booted
        finally:
            booted.close()


def compare(guest: Guest, name: str, reference: str = "ble", seconds: int = 30) -> Done:
    """`hrd compare` live, in the machine."""
    command = [*HRD, "compare", "--socket", "/tmp/said.sock", "--reference", reference]
    command += ["--seconds", str(seconds), "--lag", "0", "--keep", f"/tmp/{name}", "--json"]
    return guest.call(*command, timeout_s=seconds + 600.0)


def kept(guest: Guest, name: str) -> List[Told]:
    """What it kept of the strap, as the strap told it (the file has tenths of a millisecond)."""
    text = guest.run("cat", f"/tmp/{name}/reference.csv")
    rows = list(csv.DictReader(io.StringIO(text)))
    return [Told(round(float(row["bpm"])), _ms(row["ibi_ms"])) for row in rows]


def _ms(cell: str) -> tuple:
    return tuple(round(float(part), 1) for part in cell.split())


def told(strap: EmulatedStrap) -> List[Told]:
    return [Told(one.bpm, tuple(round(ms, 1) for ms in one.intervals_ms)) for one in strap.told]


def test_found_and_read(guest: Guest, strap: EmulatedStrap) -> None:
    done = compare(guest, "first")
    assert done.rc == 0, done.out
    found = json.loads(done.out.splitlines()[-1])["comparisons"][0]
    print({key: found[key] for key in ("reference_kind", "said", "mae", "bias")})
    assert kept(guest, "first") == told(strap)
    assert len(strap.told) >= 29
    assert found["reference_kind"] == "intervals between beats"
    assert found["bias"] == pytest.approx(2.0, abs=1.0)
    assert strap.connections == 1


@pytest.mark.parametrize(
    ("name", "away_s"),
    [("short", 15.0), ("long", 75.0)],
    ids=["out_of_reach_for_15_s", "out_of_reach_for_75_s_which_bluez_forgets"],
)
def test_out_of_reach(guest: Guest, strap: EmulatedStrap, name: str, away_s: float) -> None:
    """bleak gives a connection up after ten seconds, BlueZ forgets the strap after thirty."""
    before = len(strap.told)
    connections = strap.connections
    back: List[float] = []

    def walk() -> None:
        while len(strap.told) < before + 8:
            time.sleep(0.2)
        strap.walk_away()
        time.sleep(away_s)
        strap.come_back()
        back.append(time.monotonic())
        while len(strap.told) < before + 12:
            time.sleep(0.2)
        back.append(time.monotonic())

    walking = threading.Thread(target=walk, daemon=True)
    walking.start()
    done = compare(guest, name, f"ble:{NAME}", int(40 + away_s))
    assert done.rc == 0, done.out
    walking.join(30.0)
    found = json.loads(done.out.splitlines()[-1])["comparisons"][0]
    again_s = back[1] - back[0]
    print({"away_s": away_s, "4 notifications after_s": again_s, "mae": found["mae"]})
    assert kept(guest, name) == told(strap)[before:]
    assert strap.connections == connections + 2
    assert found["bias"] == pytest.approx(2.0, abs=1.0)
    assert away_s <= found["seconds_without_reference"]


def test_by_its_address(guest: Guest, strap: EmulatedStrap) -> None:
    before = len(strap.told)
    done = compare(guest, "address", f"ble:{ADDRESS}", 20)
    assert done.rc == 0, done.out
    assert kept(guest, "address") == told(strap)[before:]


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("true", "the heart-rate strap was not found within 20 s"),
        ("bluetoothctl power off", "is Bluetooth switched on?"),
        ("systemctl stop bluetooth", "systemctl start bluetooth"),
    ],
    ids=["no_strap", "switched_off", "no_bluez"],
)
def test_what_is_said_without(guest: Guest, strap: EmulatedStrap, command: str, said: str) -> None:
    strap.walk_away()
    guest.run("sh", "-c", command)
    done = compare(guest, said.split()[0])
    assert done.rc == 1
    assert said in done.out
    assert len(done.out.splitlines()) == 1, done.out
