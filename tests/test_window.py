from __future__ import annotations

from typing import List, Sequence

import numpy as np
import pytest

from hrd.types import CROP_PX, FaceBox, RoiChunk, RoiFrame
from hrd.window import SlidingWindow

FACE = FaceBox(0, 0, 100, 100)


def roi(time_s: float, value: float, cut: bool = False) -> RoiFrame:
    return RoiFrame(time_s, np.full((CROP_PX, CROP_PX, 3), value, np.float32), FACE, cut, 0.0)


def run(window: SlidingWindow, frames: Sequence[RoiFrame]) -> List[RoiChunk]:
    chunks = [window.push(frame) for frame in frames]
    chunks.append(window.flush())
    return [chunk for chunk in chunks if chunk is not None]


def trace(chunks: Sequence[RoiChunk]) -> np.ndarray:
    return np.concatenate([chunk.crops[:, 0, 0, 0] for chunk in chunks])


def test_jittered_times_are_put_where_they_belong() -> None:
    rng = np.random.default_rng(0)
    times = np.cumsum(rng.uniform(0.02, 0.07, 200))
    chunks = run(SlidingWindow(30), [roi(t, 100 + 10 * t) for t in times])
    grid = times[0] + np.arange(len(trace(chunks))) / 30.0
    np.testing.assert_allclose(trace(chunks), 100 + 10 * grid, atol=1e-3)
    assert chunks[0].start_s == pytest.approx(times[0])
    assert chunks[1].start_s == pytest.approx(times[0] + len(chunks[0].crops) / 30.0)


@pytest.mark.parametrize("fps", [15.0, 24.9, 30.0, 60.0])
def test_any_camera_rate_becomes_the_models(fps: float) -> None:
    chunks = run(SlidingWindow(30), [roi(i / fps, i) for i in range(int(10 * fps) + 1)])
    assert len(trace(chunks)) == pytest.approx(301, abs=1)


def test_only_the_first_sample_of_a_still_stream_is_a_cut() -> None:
    chunks = run(SlidingWindow(30), [roi(i / 30, i) for i in range(90)])
    cuts = np.concatenate([chunk.cut for chunk in chunks])
    assert cuts[0]
    assert not cuts[1:].any()


def test_a_moved_crop_is_a_cut_and_is_never_blended() -> None:
    frames = [roi(i / 20, 10.0 if i < 20 else 200.0, cut=i == 20) for i in range(40)]
    chunks = run(SlidingWindow(30), frames)
    values = trace(chunks)
    cuts = np.concatenate([chunk.cut for chunk in chunks])
    assert set(np.round(values, 3)) == {10.0, 200.0}
    step = int(np.flatnonzero(np.diff(values))[0]) + 1
    assert cuts[step]
    assert cuts.sum() <= 3


def test_a_gap_is_a_cut_and_a_long_one_starts_again() -> None:
    window = SlidingWindow(30)
    for i in range(30):
        window.push(roi(i / 30, i))
    window.push(roi(29 / 30 + 0.5, 50))
    assert not window.restarted
    rest = window.flush()
    assert rest is not None
    assert rest.cut.any()
    window.push(roi(10.0, 1))
    assert window.restarted
    first = window.flush()
    assert first is not None
    assert first.start_s == 10.0


def test_time_running_backwards_starts_again() -> None:
    window = SlidingWindow(30)
    window.push(roi(5.0, 1))
    window.push(roi(4.0, 1))
    assert window.restarted


def test_the_same_instant_twice_is_ignored() -> None:
    window = SlidingWindow(2)
    assert window.push(roi(0.0, 1)) is None
    assert window.push(roi(0.0, 99)) is None
    chunk = window.push(roi(1 / 30 + 1e-6, 1))
    assert chunk is not None
    assert len(chunk.crops) == 2


def test_hop_must_be_positive() -> None:
    with pytest.raises(ValueError, match="hop_frames"):
        SlidingWindow(0)


@pytest.mark.parametrize("fps", [15.0, 24.9, 30.0, 60.0])
def test_movement_goes_along_and_nothing_of_it_is_lost(fps: float) -> None:
    rng = np.random.default_rng(1)
    times = np.cumsum(rng.uniform(0.7, 1.3, int(10 * fps)) / fps)
    frames = [
        RoiFrame(t, np.zeros((CROP_PX, CROP_PX, 3), np.float32), FACE, False, 0.0, (0.2, -0.1))
        for t in times
    ]
    chunks = run(SlidingWindow(30), frames)
    shift_px = np.concatenate([chunk.shift_px for chunk in chunks])
    assert shift_px.dtype == np.float32
    # where the face has moved to by each sample, against where it was by the frames' own times
    grid = times[0] + np.arange(len(shift_px)) / 30.0
    for axis, step in ((0, 0.2), (1, -0.1)):
        moved = np.interp(grid, times, step * np.arange(len(times)))
        np.testing.assert_allclose(np.cumsum(shift_px[:, axis]), moved, atol=1e-4)


def test_nothing_moves_across_a_cut() -> None:
    crop = np.zeros((CROP_PX, CROP_PX, 3), np.float32)
    frames = [RoiFrame(k / 30, crop, FACE, k == 15, 0.0, (1.0, 0.0)) for k in range(30)]
    shift_px = np.concatenate([chunk.shift_px for chunk in run(SlidingWindow(30), frames)])
    np.testing.assert_allclose(shift_px[:, 0], [0.0 if k in (0, 15) else 1.0 for k in range(30)])
