"""`hrd compare` live, beside a daemon whose heart is known, with emulated devices.

The daemon reads the simulated camera. The same heart is measured by an oximeter behind a
pseudo-terminal and by a strap (a stand-in for the module bleak): both two seconds late, their
clocks running wrong, and gone for a while twice. ``make test-compare``; SECONDS of each (120).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
import tty
from pathlib import Path
from typing import Any, Dict, Iterator, List

import numpy as np
import pytest

from hrd.capture.simulated import SimulatedSource
from hrd.config import SourceConfig, from_table
from hrd.service import sources
from hrd.service.daemon import Daemon
from hrd.types import TRUTH_S
from tests.device_help import nine_bytes
from tests.long.recorder import Recorder
from tests.socket_help import short_directory
from tests.waiting import eventually

SPEC = "sim:bpm=74,variability=2.5,seed=11,size=320x240"
SECONDS = float(os.environ.get("SECONDS", "120"))
LAG_S = 2.0
CLOCK = 1.004  # the devices count four thousandths too many samples a second
AWAY_S = ((40.0, 47.0), (80.0, 84.0))
"""After the beginning: the finger is out, the strap out of reach."""

BLEAK = """
import asyncio, json, os, time
import numpy as np
from hrd.capture.simulated import SimulatedSource
from hrd.evaluation.beats import beat_times
from tests.device_help import measurement

GIVEN = json.loads(os.environ["EMULATED"])
HEART = SimulatedSource.parse(GIVEN["spec"]).heart
BEGAN_S = time.time()

class BleakError(Exception):
    pass

class _Strap:
    address, name = "AA:BB:CC:DD:EE:FF", "emulated"

class BleakScanner:
    @staticmethod
    async def find_device_by_filter(fits, timeout):
        return _Strap()

def away():
    return any(a <= time.time() - BEGAN_S < b for a, b in GIVEN["away_s"])

class BleakClient:
    def __init__(self, device, disconnected_callback):
        self.lost = disconnected_callback
    async def __aenter__(self):
        if away():
            raise BleakError("out of reach")
        return self
    async def __aexit__(self, *_):
        pass
    async def start_notify(self, uuid, take):
        self.task = asyncio.ensure_future(self.tell(take))
    async def tell(self, take):
        told_s = time.time() - 1.0
        while not away():
            await asyncio.sleep(1.0)
            # what is told now happened lag_s ago; the strap's own clock counts the intervals
            now_s = time.time()
            from_s, to_s = (at - GIVEN["lag_s"] - GIVEN["zero_s"] for at in (told_s, now_s))
            told_s = now_s
            fine_s = np.arange(from_s - 6.0, to_s + 1.0, 1.0 / 120.0)
            beats = beat_times(HEART.bvp(fine_s), 120.0, fine_s[0])  # the tops of its wave
            new = [k for k in range(1, len(beats)) if from_s < beats[k] <= to_s]
            bpm = 60.0 / np.diff(beats)[-4:].mean()
            intervals = [GIVEN["clock"] * (beats[k] - beats[k - 1]) for k in new]
            take(None, bytearray(measurement(int(round(bpm)), intervals)))
        self.lost(self)
"""


class Known:
    """A daemon in this process; ``zero_s``: the Unix time of its heart's second 0."""

    def __init__(self, folder: Path) -> None:
        self.socket = str(folder / "hrd.sock")
        self.zero_s = float("nan")
        self._stop = threading.Event()
        config = from_table({"source": {"spec": SPEC}, "socket": {"path": self.socket}})
        self.heart = SimulatedSource.parse(SPEC).heart
        self._daemon = Daemon(config, self._stop, open_camera=self._open_camera)
        self._thread = threading.Thread(target=self._daemon.run)
        self._thread.start()

    def _open_camera(self, source: SourceConfig, *rest: Any) -> Any:
        camera: Any = sources.open_camera(source, *rest)
        real = camera.get

        def get(wait_s: float) -> Any:
            frame = real(wait_s)
            if frame is not None:  # shown 30 times a second from the heart's second 0 on
                behind_s = time.monotonic() - frame.time_s
                self.zero_s = time.time() - behind_s - frame.index / 30.0
            return frame

        camera.get = get
        return camera

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        self._daemon.close()


@pytest.fixture(scope="module")
def known() -> Iterator[Known]:
    with short_directory() as folder:
        running = Known(Path(folder))
        try:
            with Recorder(running.socket) as recorder:
                recorder.wait_for_bpm(0.0)
            yield running
        finally:
            running.close()


class EmulatedOximeter(threading.Thread):
    """A CMS50F at the other end of a pseudo-terminal, in bursts of a tenth of a second."""

    def __init__(self, known: Known) -> None:
        super().__init__(daemon=True)
        self._known = known
        self._master, slave = os.openpty()
        tty.setraw(self._master)
        tty.setraw(slave)
        self.port = os.ttyname(slave)
        self._over = threading.Event()

    def run(self) -> None:
        asked = os.read(self._master, 9)  # it sends when it is told to
        began_s = told_s = time.time()
        assert asked[:2] == b"\x7d\x81"
        while not self._over.wait(0.1):
            now_s = time.time()
            away = any(a <= now_s - began_s < b for a, b in AWAY_S)
            rate_hz = 60.0 * CLOCK
            count = int((now_s - told_s) * rate_hz)
            at_s = told_s + np.arange(1, count + 1) / rate_hz
            told_s = float(at_s[-1]) if count else told_s
            wave = self._known.heart.bvp(at_s - LAG_S - self._known.zero_s)
            level = np.clip(np.round(60.0 + 20.0 * wave), 0, 127).astype(int)
            os.write(self._master, b"".join(nine_bytes(int(v), 74, not away) for v in level))

    def close(self) -> None:
        self._over.set()
        self.join(5.0)


def compared(known: Known, folder: Path, reference: str, **env: str) -> Dict[str, Any]:
    command = [sys.executable, "-m", "hrd", "compare", "--socket", known.socket, "--json"]
    command += ["--reference", reference, "--seconds", f"{SECONDS:g}", "--keep", str(folder)]
    done = subprocess.run(
        [*command, "--out", str(folder) + ".html"],
        stdout=subprocess.PIPE,
        env={**os.environ, **env},
        timeout=SECONDS + 120.0,
        check=True,
    )
    found: Dict[str, Any] = json.loads(done.stdout)["comparisons"][0]
    return found


def check(known: Known, folder: Path, found: Dict[str, Any]) -> None:
    """The lag, and the errors against the heart itself, by its own beats, over the same seconds."""
    lines = [json.loads(line) for line in (folder / "hrd.jsonl").read_text().splitlines()]
    readings = {m["time"]: m["bpm"] for m in lines if m["class"] == "HR" and "bpm" in m}
    errors: List[float] = []
    for time_s, bpm in readings.items():
        beats = known.heart.phase(time_s - known.zero_s + np.array([-TRUTH_S, 0.0]))
        errors.append(bpm - 60.0 * float(beats[1] - beats[0]) / TRUTH_S)
    truth = {"mae": float(np.abs(errors).mean()), "bias": float(np.mean(errors))}
    report = {**found, "calibration": None, "of the heart itself": truth, "readings": len(errors)}
    print(json.dumps(report))
    assert found["lag"]["seconds"] == pytest.approx(LAG_S, abs=0.2)
    assert found["mae"] == pytest.approx(truth["mae"], abs=0.5)
    assert found["bias"] == pytest.approx(truth["bias"], abs=0.5)
    away_s = sum(b - a for a, b in AWAY_S if b < SECONDS)
    assert away_s <= found["seconds_without_reference"] <= away_s + 8.0 * len(AWAY_S) + 20.0
    assert any(m["class"] == "FEATURES" for m in lines)
    assert not any("image" in m or "box" in m for m in lines)


def test_an_oximeter(known: Known, tmp_path: Path) -> None:
    oximeter = EmulatedOximeter(known)
    oximeter.start()
    try:
        found = compared(known, tmp_path / "oximeter", f"cms50:{oximeter.port}")
    finally:
        oximeter.close()
    assert found["reference_kind"] == "pulse wave"
    assert found["lag"]["by"] == "pulse waves"
    check(known, tmp_path / "oximeter", found)


def test_a_strap(known: Known, tmp_path: Path) -> None:
    (tmp_path / "bleak.py").write_text(BLEAK)
    eventually(lambda: known.zero_s == known.zero_s, "the camera has begun")
    given = {
        "spec": SPEC,
        "zero_s": known.zero_s,
        "lag_s": LAG_S,
        "clock": CLOCK,
        "away_s": AWAY_S,
    }
    path = f"{tmp_path}:{Path(__file__).resolve().parent.parent.parent}"
    found = compared(known, tmp_path / "strap", "ble", PYTHONPATH=path, EMULATED=json.dumps(given))
    assert found["reference_kind"] == "intervals between beats"
    check(known, tmp_path / "strap", found)
