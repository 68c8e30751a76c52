"""The daemon on a machine that is too slow for it (`make test-slow`): shares of one core.

A 640x480 MJPG camera of 30 pictures a second with a drawn face of 72 bpm. What is published, how
late and what is dropped ends up as a table in ``build/slow.md``.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator, List, Optional

import pytest

from tests.long.camera_server import CameraServer, face_pictures
from tests.long.cpu_share import CpuShare
from tests.long.recorder import Heard, Recorder, said
from tests.long.running import Running, config

_WHY_NOT = CpuShare.why_not()
pytestmark = pytest.mark.skipif(_WHY_NOT is not None, reason=str(_WHY_NOT))

SHARES_PERCENT = (100, 50, 25, 12, 6, 4, 2)
SETTLE_S = 12.0
LISTEN_S = 30.0


@dataclass(frozen=True)
class Row:
    """What a share of a core was enough for; ``apart_s``: the longest time between readings."""

    percent: float
    fps: Optional[float]
    dropped: int
    published: str
    readings: int
    apart_s: float
    late_ms: float
    back_s: float


ROWS: List[Row] = []


class Bench:
    def __init__(self, folder: Path) -> None:
        self.camera = CameraServer(face_pictures(size="640x480", quality=90))
        self.daemon = Running(folder, config(self.camera.url))
        self.recorder = Recorder(self.daemon.socket)
        self.recorder.wait_for_bpm(0.0)
        pids = [self.daemon.process.pid, *self.daemon.children("hrd.capture.child")]
        self.share = CpuShare(pids)

    def close(self) -> None:
        self.recorder.close()
        self.daemon.stop()
        self.camera.unplug()
        self.share.close()


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    made = Bench(tmp_path_factory.mktemp("slow"))
    try:
        yield made
    finally:
        made.close()


@pytest.mark.parametrize("percent", SHARES_PERCENT)
def test_a_share_of_one_core(bench: Bench, percent: float) -> None:
    recorder = bench.recorder
    recorder.wait_for_bpm(time.monotonic())
    from_log = len(bench.daemon.log.read_text())
    bench.share.set(percent)
    try:
        time.sleep(SETTLE_S)
        before = bench.daemon.status()
        began_s = time.monotonic()
        time.sleep(LISTEN_S)
        readings = recorder.since(began_s)
        after = bench.daemon.status()
    finally:
        bench.share.set(None)
    mended_s = time.monotonic()
    back = recorder.wait_for_bpm(mended_s)
    apart_s = [b.at_s - a.at_s for a, b in zip(readings, readings[1:])]
    late_ms = [h.message["latency_ms"] for h in readings if "latency_ms" in h.message]
    row = Row(
        percent=percent,
        fps=after.get("fps"),
        dropped=after["drops"]["frames"] - before["drops"]["frames"],
        published=said(one.message for one in readings),
        readings=len(readings),
        apart_s=max(apart_s, default=LISTEN_S),
        late_ms=statistics.median(late_ms) if late_ms else 0.0,
        back_s=back.at_s - mended_s,
    )
    ROWS.append(row)
    assert recorder.wrong() == []
    if not all("bpm" in heard.message for heard in readings):
        log = bench.daemon.log.read_text()[from_log:]
        assert _says_why(readings) or "too slow for its camera" in log


def _says_why(readings: List[Heard]) -> bool:
    return any(heard.message.get("reason") == "LOW_FRAME_RATE" for heard in readings)


def test_nothing_published_was_wrong(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.recorder.wrong() == []
    lines = [
        "| of one core | fps read | dropped in 30 s | published | readings, most apart | late |"
    ]
    lines[0] += " bpm again after |"
    lines.append("|---|---|---|---|---|---|---|")
    for row in ROWS:
        fps = "-" if row.fps is None else f"{row.fps:.1f}"
        lines.append(
            f"| {row.percent:g} % | {fps} | {row.dropped} | {row.published} | {row.readings}, "
            f"{row.apart_s:.1f} s | {row.late_ms:.0f} ms | {row.back_s:.1f} s |"
        )
    folder = Path(__file__).resolve().parent.parent.parent / "build"
    folder.mkdir(exist_ok=True)
    (folder / "slow.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    with capsys.disabled():
        print("\n" + "\n".join(lines))
