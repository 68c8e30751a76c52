"""hrd record-set: video beside an oximeter, with true times, and only on request."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Iterator, List

import numpy as np
import pytest

from hrd.capture.source import FrameSource, SourceInfo
from hrd.cli.main import main
from hrd.devices.sample import Device, DeviceError, Sample
from hrd.errors import HrdError
from hrd.evaluation.layouts import LAYOUTS, find_recordings
from hrd.recordset import check_camera, record_task, tasks_named
from hrd.types import Frame
from tests.fakes import SKIN_FACE, always, skin_frame

UNIX_S = 1_790_000_000.0
BOOT_S = 5_000.0  # what the camera's clock shows then


class Jittering(FrameSource):
    """Skin that beats 72 times a minute, from a camera that jitters and drops."""

    live = True

    def __init__(self, frames: int = 200, fps: float = 30.0) -> None:
        rng = np.random.default_rng(1)
        steps_s = (1.0 + 0.3 * rng.uniform(-1, 1, frames)) / fps
        steps_s[60:61] += 0.3
        self.times_s = np.cumsum(steps_s) - steps_s[:1]
        self.info = SourceInfo("jittering", "test", 160, 160, fps, None)
        self._next = 0

    def read(self) -> Any:
        if self._next == len(self.times_s):
            return None
        at_s = float(self.times_s[self._next])
        image = skin_frame(self._next, at_s).image
        frame = Frame(image, BOOT_S + at_s, self._next)
        self._next += 1
        return frame

    def now_s(self) -> float:
        """Unix time, a frame's delay after it was taken: 5 ms, or more."""
        late_s = 0.005 + 0.002 * (self._next % 7)
        return UNIX_S + float(self.times_s[self._next - 1]) + late_s

    def close(self) -> None:
        pass


class Finger(Device):
    """The same heart at a finger, 60 samples a second; with ``hole`` without a wave from there."""

    name = "the oximeter"

    def __init__(self, seconds: float = 12.0, hole_s: float = 1e9) -> None:
        self._times_s = np.arange(-1.0, seconds, 1 / 60.0)
        self._hole_s = hole_s

    def samples(self, is_over: Callable[[], bool]) -> Iterator[Sample]:
        for at_s in self._times_s:
            wave = float(np.sin(2 * np.pi * 1.2 * at_s)) if at_s < self._hole_s else None
            yield Sample(UNIX_S + at_s, 72.0, wave)


class Broken(Device):
    name = "the oximeter"

    def samples(self, is_over: Callable[[], bool]) -> Iterator[Sample]:
        raise DeviceError("no oximeter answers")
        yield


def test_a_task_is_kept_in_the_layout_with_true_times(tmp_path: Path) -> None:
    source = Jittering()
    folder = tmp_path / "still" / "07"
    assert record_task(folder, source, Finger(), 6.0, clock=source.now_s) == folder
    wave, bpm, times_s = np.loadtxt(folder / "ground_truth.txt")
    kept = source.times_s[source.times_s <= 6.0]
    assert times_s == pytest.approx(kept, abs=0.0022)
    # the wave at the times of the pictures: 5 ms is the least delay of the camera
    assert wave == pytest.approx(np.sin(2 * np.pi * 1.2 * (times_s + 0.005)), abs=0.03)
    assert set(bpm) == {72.0}
    assert sorted(path.name for path in folder.iterdir()) == [
        "ground_truth.txt",
        "reference.csv",
        "vid.avi",
    ]
    (entry,) = find_recordings(LAYOUTS["ubfc-rppg"], tmp_path / "still")
    recording = entry.load()
    assert recording.frames is not None
    frames = list(recording.frames())
    assert [frame.time_s for frame in frames] == pytest.approx(list(times_s), abs=1e-6)
    assert np.abs(frames[9].image.astype(int) - skin_frame(9, float(kept[9])).image).mean() < 2.0
    with pytest.raises(HrdError, match="already exists"):
        record_task(folder, Jittering(), Finger(), 6.0)


@pytest.mark.parametrize(
    ("device", "said"),
    [
        (Finger(hole_s=3.0), "gave a pulse wave for 4 of 6 s only, so nothing was kept"),
        (Broken(), "no oximeter answers"),
    ],
)
def test_nothing_is_kept_of_what_is_of_no_use(tmp_path: Path, device: Device, said: str) -> None:
    source = Jittering()
    with pytest.raises(HrdError, match=said):
        record_task(tmp_path / "still" / "07", source, device, 6.0, clock=source.now_s)
    assert list((tmp_path / "still").iterdir()) == []


def test_the_camera_is_checked() -> None:
    good = check_camera(Jittering(), always(SKIN_FACE))
    assert good.problem is None
    assert good.fps == pytest.approx(30.0, rel=0.1)
    assert "no face" in str(check_camera(Jittering(), always()).problem)
    assert "10 pictures a second" in str(
        check_camera(Jittering(60, 10.0), always(SKIN_FACE)).problem
    )
    assert "no picture" in str(check_camera(Jittering(0), always(SKIN_FACE)).problem)


def test_nobody_is_recorded_without_consent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr("builtins.input", lambda _: "no")
    argv: List[str] = [
        "record-set",
        "07",
        "--into",
        str(tmp_path / "set"),
        "--source",
        "sim:bpm=70",
    ]
    argv += ["--reference", "cms50:/dev/null"]
    assert main(argv) == 1
    said = capsys.readouterr().out
    assert "This keeps VIDEO" in said
    assert "nothing was recorded" in said
    assert not (tmp_path / "set").exists()
    assert main([*argv, "--minutes", "0"]) == 2
    assert main(["record-set", "../anna", *argv[2:]]) == 2
    with pytest.raises(HrdError, match="there is no task 'dance'"):
        tasks_named(["still", "dance"])
