"""Pictures for reports: what is in them, and that they are written."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Dict, List, Optional

import numpy as np
import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("scipy")

from hrd.errors import HrdError  # noqa: E402
from hrd.measure.clip import Measurement  # noqa: E402
from hrd.plots import style  # noqa: E402
from hrd.plots.bench import draw_bench  # noqa: E402
from hrd.plots.clip import spectrum_over_time, stretches  # noqa: E402
from hrd.plots.output import Pictures  # noqa: E402
from hrd.types import PulseChunk, Reading, Reason, State  # noqa: E402

PNG = b"\x89PNG\r\n\x1a\n"


def chunks(seconds: int, bpm: float = 90.0, start_s: float = 0.0) -> List[PulseChunk]:
    made = []
    for second in range(seconds):
        times_s = start_s + second + np.arange(30) / 30.0
        wave = np.sin(2.0 * np.pi * bpm / 60.0 * times_s)
        made.append(PulseChunk(start_s + second, 30.0, wave.astype(np.float32)))
    return made


def clip(name: str, pulse: List[PulseChunk], bpm: Optional[float] = 90.0) -> Measurement:
    readings = [
        Reading(float(second), State.TRACKING, 90.0, 0.95)
        if bpm is not None and second > 4
        else Reading(float(second), State.WARMING_UP, reason=Reason.FILLING_WINDOW)
        for second in range(1, 21)
    ]
    confidence = None if bpm is None else 0.95
    return Measurement(name, 20.0, 600, 30.0, "onnx", "student", readings, pulse, bpm, confidence)


def test_the_spectrum_is_highest_at_the_rate() -> None:
    ((times_s, bvp),) = stretches(chunks(20))
    bpm = np.arange(40.0, 181.0)
    moments, power = spectrum_over_time(times_s, bvp, bpm)
    assert power.shape == (141, len(moments))
    assert bpm[power.argmax(axis=0)] == pytest.approx(np.full(len(moments), 90.0), abs=2.0)
    assert power.max(axis=0) == pytest.approx(np.zeros(len(moments)))
    assert moments[0] == pytest.approx(5.0)
    assert moments[-1] <= 20.0


def test_a_hole_in_the_signal_parts_it() -> None:
    pieces = stretches(chunks(5) + chunks(5, start_s=8.0))
    assert [len(times_s) for times_s, _ in pieces] == [150, 150]
    assert stretches([]) == []


def test_each_file_has_a_picture_of_its_own(tmp_path: Path) -> None:
    pictures = Pictures(str(tmp_path / "new" / "folder"))
    pictures.add(clip("a/clip one.mp4", chunks(20)))
    pictures.add(clip("b/clip one.mp4", chunks(20)))
    pictures.add(clip("../nothing.avi", [], bpm=None))
    pictures.add(clip("-", chunks(6) + chunks(6, start_s=9.0)))
    written = sorted(path.name for path in (tmp_path / "new" / "folder").iterdir())
    assert written == ["clip-one-2.png", "clip-one.png", "clip.png", "nothing.png"]
    for path in (tmp_path / "new" / "folder").iterdir():
        assert path.read_bytes().startswith(PNG)


REPORT: Dict[str, Any] = {
    "models": [
        {"name": "student", "engine": "onnx", "provider": "cpu", "s_per_frame": 0.0002},
        {"name": "pos", "engine": "pos", "s_per_frame": 0.00001},
    ],
    "paper": {"student": {"params": 24769, "s_per_frame": 0.05}},
    "pipeline": {
        "engine": "onnx",
        "s_per_frame": 0.002,
        "stages": [{"name": "face", "ms_per_frame": 1.2}, {"name": "engine", "ms_per_frame": 0.2}],
    },
    "device": {"cpu": "a processor"},
}


def test_a_bench_has_a_picture(tmp_path: Path) -> None:
    draw_bench(tmp_path / "bench.png", REPORT)
    assert (tmp_path / "bench.png").read_bytes().startswith(PNG)


def test_what_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HrdError, match="--plot another folder"):
        Pictures(str(tmp_path / "file" / "folder"))
    with pytest.raises(HrdError, match="cannot be written"):
        draw_bench(tmp_path / "no" / "bench.png", REPORT)


def test_without_matplotlib_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(HrdError, match=r"pip install 'hrd\[plots\]'"):
        style.need_matplotlib()
