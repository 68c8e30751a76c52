from __future__ import annotations

import numpy as np
import pytest

from hrd.normalise import NormaliserState, normalise


def clip(frames: int = 90, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    face = rng.uniform(60, 200, (36, 36, 3))
    pulse = 1 + 0.005 * np.sin(np.arange(frames) * 0.25)
    noise = rng.standard_normal((frames, 36, 36, 3))
    return (face * pulse[:, None, None, None] + noise).astype(np.float32)


@pytest.mark.parametrize("chunk", [1, 7, 30, 89])
def test_any_chunking_gives_the_whole_clips_result(chunk: int) -> None:
    crops = clip()
    cut = np.zeros(90, bool)
    cut[[0, 40]] = True
    whole, _ = normalise(crops, cut, NormaliserState())
    state = NormaliserState()
    parts = []
    for start in range(0, 90, chunk):
        part, state = normalise(crops[start : start + chunk], cut[start : start + chunk], state)
        parts.append(part)
    np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-5)


def test_brightness_of_the_scene_cancels() -> None:
    crops = clip()
    cut = np.zeros(90, bool)
    bright, _ = normalise(crops, cut, NormaliserState())
    dim, _ = normalise(crops * np.float32(0.5), cut, NormaliserState())
    assert np.abs(bright - dim).mean() < 0.03


def test_a_cut_is_silent_and_does_not_disturb_the_scale() -> None:
    crops = clip()
    jumped = crops.copy()
    jumped[50:] = jumped[50:, ::-1]
    cut = np.zeros(90, bool)
    cut[50] = True
    result, _ = normalise(jumped, cut, NormaliserState())
    assert not result[50].any()
    assert np.abs(result[51]).mean() == pytest.approx(np.abs(result[49]).mean(), rel=0.2)


def test_a_frozen_picture_is_silent() -> None:
    result, _ = normalise(
        np.full((30, 36, 36, 3), 120, np.float32), np.zeros(30, bool), NormaliserState()
    )
    assert not result.any()


def test_shape_is_checked() -> None:
    with pytest.raises(ValueError, match=r"\(T, H, W, 3\)"):
        normalise(np.zeros((3, 36, 36), np.float32), np.zeros(3, bool), NormaliserState())
    with pytest.raises(ValueError, match="cut"):
        normalise(np.zeros((3, 36, 36, 3), np.float32), np.zeros(2, bool), NormaliserState())


def test_empty_chunk_changes_nothing() -> None:
    state = NormaliserState()
    result, after = normalise(np.zeros((0, 36, 36, 3), np.float32), np.zeros(0, bool), state)
    assert result.shape == (0, 3, 36, 36)
    assert after is state
