"""CHROM and GREEN as engines, and the choice of methods."""

from __future__ import annotations

from pathlib import Path
from typing import List, Type

import numpy as np
import pytest

from hrd.engine.base import Engine, EngineError
from hrd.engine.pos import PosEngine
from hrd.errors import UsageError
from hrd.estimate.spectrum import peak_hz, periodogram, snr_db
from hrd.evaluation.classic import ChromEngine, GreenEngine
from hrd.evaluation.methods import choose_methods, describe
from hrd.types import CROP_PX, MODEL_FS_HZ, RoiChunk

CLASSIC: List[Type[Engine]] = [ChromEngine, GreenEngine]
SKIN = np.array([150.0, 110.0, 90.0])
PULSE = np.array([0.33, 0.77, 0.53])


def crops(seconds: float, bpm: float, noise: float = 0.0, flicker: float = 0.0) -> np.ndarray:
    """Beating skin, (T, 36, 36, 3) float32; ``flicker``: of the lamp, at 1.5 Hz."""
    t = np.arange(int(seconds * MODEL_FS_HZ)) / MODEL_FS_HZ
    beat = 0.004 * np.sin(2 * np.pi * bpm / 60.0 * t)
    lamp = 1.0 + flicker * np.sin(2 * np.pi * 1.5 * t)
    colour = SKIN * (1.0 - beat[:, None] * PULSE) * lamp[:, None]
    rng = np.random.default_rng(3)
    colour = colour + noise * rng.standard_normal(colour.shape)
    picture = np.broadcast_to(colour[:, None, None, :], (len(t), CROP_PX, CROP_PX, 3))
    return picture.astype(np.float32)


def run(engine: Engine, pictures: np.ndarray, sizes: List[int], cut_at: int = -1) -> np.ndarray:
    """The signal, chunk by chunk; checks that chunks follow each other at the right times."""
    cut = np.zeros(len(pictures), bool)
    cut[0] = True
    if cut_at >= 0:
        cut[cut_at] = True
    engine.reset()
    parts: List[np.ndarray] = []
    first = 0
    while first < len(pictures):
        size = sizes[len(parts) % len(sizes)]
        last = min(first + size, len(pictures))
        still = np.zeros((last - first, 2), np.float32)
        start_s = first / MODEL_FS_HZ
        chunk = RoiChunk(start_s, MODEL_FS_HZ, pictures[first:last], cut[first:last], still)
        pulse = engine.process(chunk)
        assert len(pulse.bvp) == last - first
        assert pulse.start_s == pytest.approx((first - engine.delay_frames) / MODEL_FS_HZ)
        parts.append(pulse.bvp)
        first = last
    return np.concatenate(parts)


@pytest.mark.parametrize("make", CLASSIC)
@pytest.mark.parametrize("bpm", [48.0, 72.0, 150.0])
def test_reads_a_pulse_with_the_right_sign_and_delay(make: Type[Engine], bpm: float) -> None:
    engine = make()
    bvp = run(engine, crops(20.0, bpm), [30])[engine.delay_frames + 60 :]
    assert 60.0 * peak_hz(periodogram(bvp, MODEL_FS_HZ)) == pytest.approx(bpm, abs=0.3)
    # what was cut off in front: sample k is of the time (k + 60) / fs, and rises with systole
    t = (np.arange(len(bvp)) + 60) / MODEL_FS_HZ
    assert np.corrcoef(bvp, np.sin(2 * np.pi * bpm / 60.0 * t))[0, 1] > 0.97


@pytest.mark.parametrize("make", CLASSIC)
def test_chunks_of_any_length_give_the_same_signal(make: Type[Engine]) -> None:
    pictures = crops(8.0, 80.0, noise=0.3)
    whole = run(make(), pictures, [len(pictures)])
    for sizes in ([30], [1], [7, 50, 3]):
        np.testing.assert_allclose(run(make(), pictures, sizes), whole, atol=2e-6)


@pytest.mark.parametrize("make", CLASSIC)
def test_a_moved_crop_leaves_no_step(make: Type[Engine]) -> None:
    pictures = crops(12.0, 80.0)
    still = run(make(), pictures, [30])
    moved = pictures.copy()
    moved[180:] *= np.array([1.2, 1.1, 0.95], np.float32)  # another patch of skin
    # the sample of the cut repeats the one before, so the pulse slips by a 30th of a second
    likeness = {}
    for cut_at in (180, -1):
        after = run(make(), moved, [30], cut_at=cut_at)
        near = slice(180, 180 + 2 * make().delay_frames)
        likeness[cut_at] = np.corrcoef(after[near], still[near])[0, 1]
    assert likeness[180] > 0.95 > likeness[-1]


def test_chrom_takes_out_what_green_does_not() -> None:
    pictures = crops(20.0, 72.0, flicker=0.01)
    found = {}
    for engine in (ChromEngine(), GreenEngine(), PosEngine()):
        bvp = run(engine, pictures, [30])[engine.delay_frames + 60 :]
        found[engine.info.name] = snr_db(periodogram(bvp, MODEL_FS_HZ), 72.0 / 60.0)
    assert found["chrom"] > found["green"] + 10.0
    assert found["pos"] > found["green"] + 10.0


@pytest.mark.parametrize("make", CLASSIC)
def test_still_skin_is_silent(make: Type[Engine]) -> None:
    assert np.abs(run(make(), crops(6.0, 72.0)[:1].repeat(180, axis=0), [30])).max() < 1e-6


def test_choice_of_methods(tmp_path: Path) -> None:
    specs, left_out = choose_methods(["green", "student"], ["no KD=runs/a.onnx", "runs/b.onnx"])
    assert [spec.name for spec in specs] == ["student", "no KD", "b", "GREEN"]
    assert [spec.live for spec in specs] == [True, True, True, False]
    assert left_out == []
    with pytest.raises(UsageError, match="unknown method 'magic'"):
        choose_methods(["magic"], [])
    with pytest.raises(UsageError, match="two methods are called b"):
        choose_methods(["pos"], ["b.onnx", "other/b.onnx"])
    with pytest.raises(UsageError, match="nothing to compare"):
        choose_methods([], [])


def test_default_leaves_out_models_that_are_not_there(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("hrd.engine.card.models_dir", lambda: tmp_path)
    specs, left_out = choose_methods(None, [])
    assert [spec.name for spec in specs] == ["POS", "CHROM", "GREEN"]
    assert len(left_out) == 2
    assert "student" in left_out[0]
    named, _ = choose_methods(["teacher"], [])
    with pytest.raises(EngineError, match="there is no model"):
        describe(named[0])
