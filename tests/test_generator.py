"""Training clips keep their contract, and shards survive being interrupted."""

from dataclasses import replace
from pathlib import Path
from typing import List

import numpy as np
import pytest

from hrd.errors import HrdError
from hrd.train import shards as shards_module
from hrd.train.generator import (
    FIRST_TRAINING_SEED,
    PULSE,
    PULSE_FREE_KINDS,
    TEST_SEEDS,
    VALIDATION_SEEDS,
    Recipe,
    TrainingClip,
    make_clip,
)
from hrd.train.shards import main, open_shards, write_shards
from hrd.types import CROP_PX

SMALL = Recipe(frames=64, side_px=(70.0, 90.0))
SEED = VALIDATION_SEEDS.start


@pytest.fixture(scope="module")
def clips() -> List[TrainingClip]:
    return [make_clip(SEED + k, SMALL) for k in range(24)]


def test_clips_keep_their_contract(clips: List[TrainingClip]) -> None:
    for clip in clips:
        assert clip.crops.shape == (64, CROP_PX, CROP_PX, 3)
        assert clip.crops.dtype == np.float32
        assert 0.0 <= clip.crops.min() <= clip.crops.max() <= 255.5
        assert clip.cut.shape == (64,)
        assert clip.cut[0]
        assert clip.bvp.dtype == clip.bpm.dtype == np.float32
        assert clip.skin_group in range(1, 7)
        if clip.has_pulse:
            assert clip.kind == PULSE
            assert clip.bvp.mean() == pytest.approx(0.0, abs=1e-5)
            assert clip.bvp.std() == pytest.approx(1.0, abs=1e-4)
            assert 30.0 < clip.bpm.mean() < 230.0
            assert clip.bpm.min() > 15.0  # the pause after an early beat
            assert clip.bpm.max() < 400.0  # an early beat
        else:
            assert not clip.bvp.any()
            assert not clip.bpm.any()
    assert len({clip.skin_group for clip in clips}) >= 4
    assert len({clip.difficulty for clip in clips}) == 3
    assert len({clip.meta["codec"] for clip in clips}) >= 3


def test_the_same_seed_gives_the_same_clip(clips: List[TrainingClip]) -> None:
    again = make_clip(SEED + 3, SMALL)
    np.testing.assert_array_equal(again.crops, clips[3].crops)
    np.testing.assert_array_equal(again.bvp, clips[3].bvp)
    assert again.meta == clips[3].meta
    assert not np.array_equal(clips[2].crops, clips[3].crops)


def test_cuts_are_where_the_crop_jumps() -> None:
    hard = Recipe(frames=128, side_px=(70.0, 90.0), difficulty=(0.0, 0.0, 1.0), codec={"raw": 1.0})
    jumps: List[float] = []
    for k in range(8):
        clip = make_clip(SEED + 100 + k, hard)
        change = np.abs(np.diff(clip.crops, axis=0)).mean(axis=(1, 2, 3))
        cuts = clip.cut[1:]
        if cuts.any():
            jumps.append(float(change[cuts].mean() / np.median(change[~cuts])))
    assert len(jumps) >= 3
    assert np.median(jumps) > 2.0


def test_an_easy_clip_can_be_read_without_learning() -> None:
    easy = Recipe(
        pulse_free=0.0,
        bpm=(50.0, 120.0),
        green_ac=(0.012, 0.012),
        side_px=(90.0, 100.0),
        difficulty=(1.0, 0.0, 0.0),
        codec={"raw": 1.0},
        skin_groups=(1, 2),
    )
    errors, signs = [], []
    for k in range(6):
        clip = make_clip(SEED + 200 + k, easy)
        mean = clip.crops[:, 9:28, 9:27].mean(axis=(1, 2))
        trace = np.log(mean[:, 1]) - np.log(mean[:, 0])  # light cancels, blood does not
        trace = trace - np.polyval(np.polyfit(np.arange(256), trace, 5), np.arange(256))
        spectrum = np.abs(np.fft.rfft(trace * np.hanning(256), 1 << 14))
        freqs_hz = np.fft.rfftfreq(1 << 14, 1.0 / 30.0)
        band = (freqs_hz > 0.7) & (freqs_hz < 3.0)
        errors.append(abs(60.0 * freqs_hz[band][np.argmax(spectrum[band])] - clip.bpm.mean()))
        signs.append(float(np.corrcoef(trace, clip.bvp)[0, 1]))
    assert np.median(errors) < 1.5
    assert np.median(signs) < -0.4  # more blood, darker skin


def test_pulse_free_clips_are_as_many_as_told() -> None:
    tiny = Recipe(frames=8, side_px=(70.0, 72.0), pulse_free=1.0, codec={"raw": 1.0})
    kinds = {make_clip(SEED + k, tiny).kind for k in range(40)}
    assert kinds >= {"still-face", "photo", "pulsing-light", "bobbing-face"}
    assert "pulse" not in kinds
    for index, kind in enumerate(PULSE_FREE_KINDS):
        shares = tuple(1.0 if k == index else 0.0 for k in range(len(PULSE_FREE_KINDS)))
        one = replace(tiny, pulse_free_kinds=shares)
        assert {make_clip(SEED + k, one).kind for k in range(2)} == {kind}


def test_seed_ranges_do_not_meet() -> None:
    assert TEST_SEEDS.stop <= VALIDATION_SEEDS.start
    assert VALIDATION_SEEDS.stop <= FIRST_TRAINING_SEED


TINY = Recipe(frames=16, side_px=(70.0, 72.0), codec={"raw": 0.5, "yuv420": 0.5})


def test_shards_hold_the_clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards_module, "CLIPS_PER_SHARD", 3)
    write_shards(tmp_path, SEED, 7, TINY, progress=False)
    data = open_shards(tmp_path)
    assert (len(data), data.frames) == (7, 16)
    for k in (0, 2, 3, 6):
        clip = make_clip(SEED + k, TINY)
        np.testing.assert_allclose(data.crops(k), clip.crops, atol=0.5 / 256)
        np.testing.assert_array_equal(data.crops(k, 4, 9), data.crops(k)[4:9])
        np.testing.assert_array_equal(data.cut[k], clip.cut)
        np.testing.assert_array_equal(data.bvp[k], clip.bvp)
        assert data.seed[k] == SEED + k
        assert data.meta[k]["skin_group"] == data.skin_group[k] == clip.skin_group
        assert data.has_pulse[k] == clip.has_pulse
    assert data.crops(6).dtype == np.float32


def test_an_interrupted_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards_module, "CLIPS_PER_SHARD", 2)
    drawn: List[int] = []

    def stops_at_the_fourth(seed: int, recipe: Recipe) -> TrainingClip:
        if seed == SEED + 3 and SEED + 3 not in drawn:
            drawn.append(seed)
            raise KeyboardInterrupt
        drawn.append(seed)
        return make_clip(seed, recipe)

    monkeypatch.setattr(shards_module, "make_clip", stops_at_the_fourth)
    with pytest.raises(KeyboardInterrupt):
        write_shards(tmp_path, SEED, 6, TINY, progress=False)
    assert len(open_shards(tmp_path)) == 2
    write_shards(tmp_path, SEED, 6, TINY, progress=False)
    data = open_shards(tmp_path)
    assert data.seed.tolist() == [SEED + k for k in range(6)]
    assert drawn.count(SEED) == drawn.count(SEED + 1) == 1  # what was finished was kept


def test_another_recipe_is_not_mixed_in(tmp_path: Path) -> None:
    write_shards(tmp_path, SEED, 1, TINY, progress=False)
    with pytest.raises(HrdError, match="another recipe"):
        write_shards(tmp_path, SEED + 5, 1, TINY, progress=False)
    with pytest.raises(HrdError, match="another recipe"):
        write_shards(tmp_path, SEED, 1, SMALL, progress=False)


def test_an_empty_folder_says_so(tmp_path: Path) -> None:
    with pytest.raises(HrdError, match="no finished shards"):
        open_shards(tmp_path)


@pytest.mark.slow
def test_the_command_draws_in_worker_processes(tmp_path: Path) -> None:
    main(["--out", str(tmp_path), "--count", "2", "--frames", "16", "--workers", "2"])
    data = open_shards(tmp_path)
    assert data.seed.tolist() == [FIRST_TRAINING_SEED, FIRST_TRAINING_SEED + 1]
