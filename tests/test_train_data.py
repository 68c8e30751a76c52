"""Batches: augmentation keeps truth true, and batches depend on seed and step alone."""

from __future__ import annotations

import numpy as np
import pytest

from tests.needs import needs

torch = needs("torch")

from hrd.normalise import NormaliserState, normalise  # noqa: E402
from hrd.train.data import (  # noqa: E402
    NO_AUGMENTATION,
    Augmentation,
    BatchStream,
    Clip,
    ShardStore,
    augment,
    collate,
    fade,
    loader,
    play_faster,
    soften,
)
from tests.train_help import make_clip, make_store  # noqa: E402


def ramp(frames: int = 100, cuts: tuple = ()) -> Clip:
    """Crop t is t everywhere, bvp too: what is shown can be read off."""
    t = np.arange(frames, dtype=np.float32)
    cut = np.zeros(frames, bool)
    cut[list(cuts)] = True
    crops = np.broadcast_to(t[:, None, None, None], (frames, 36, 36, 3)).copy()
    return Clip(crops, cut, t.copy(), np.full(frames, 60.0, np.float32), True)


def test_playing_faster_moves_truth_and_picture_together():
    clip = play_faster(ramp(), speed=1.5, start=3.25, frames=60)
    wanted = 3.25 + 1.5 * np.arange(60)
    np.testing.assert_allclose(clip.crops[:, 0, 0, 0], wanted, atol=1e-4)
    np.testing.assert_allclose(clip.bvp, wanted, atol=1e-4)
    np.testing.assert_allclose(clip.bpm, 90.0)
    assert clip.cut.tolist() == [True] + [False] * 59


def test_nothing_is_blended_across_a_cut_and_the_cut_stays_one():
    clip = play_faster(ramp(cuts=(20,)), speed=0.7, start=10.0, frames=40)
    shown = clip.crops[:, 0, 0, 0]
    position = 10.0 + 0.7 * np.arange(40)
    across = (position > 19) & (position < 20)
    assert across.any()
    assert set(shown[across]) <= {19.0, 20.0}
    assert clip.cut.sum() == 2  # the first sample and the one cut
    at = int(np.flatnonzero(clip.cut)[1])
    assert shown[at - 1] <= 19.0
    assert shown[at] >= 20.0


def test_a_clip_too_short_to_be_played_so_fast_is_refused():
    with pytest.raises(ValueError, match="leave the clip"):
        play_faster(ramp(), speed=1.5, start=0.0, frames=80)


def test_without_augmentation_a_clip_stays_as_it_is():
    clip = make_clip(3)
    same = augment(clip, 128, NO_AUGMENTATION, np.random.default_rng(0))
    np.testing.assert_array_equal(same.crops, clip.crops)
    np.testing.assert_array_equal(same.bvp, clip.bvp)


def test_augmented_rates_stay_in_the_band_and_fit_the_wave():
    how = Augmentation(resample=1.0)
    clip = make_clip(5, frames=256)
    for seed in range(20):
        varied = augment(clip, 200, how, np.random.default_rng(seed))
        assert varied.crops.shape == (200, 36, 36, 3)
        assert varied.crops.dtype == np.float32
        assert 40.0 <= varied.bpm.mean() <= 200.0
        assert abs(float(varied.bvp.std()) - 1.0) < 0.01
        spectrum = np.abs(np.fft.rfft(varied.bvp - varied.bvp.mean(), 8192))
        read = np.argmax(spectrum) * 30.0 / 8192 * 60.0
        assert read == pytest.approx(varied.bpm.mean(), abs=2.0)


def test_softening_leaves_the_fundamental_on_top():
    # a slow pulse whose second harmonic is larger than its fundamental
    t = np.arange(300) / 30.0
    bpm = np.full(300, 45.0)
    first = np.sin(2 * np.pi * 0.75 * t + 0.4)
    second = 1.3 * np.sin(2 * np.pi * 1.5 * t + 1.0)
    soft = soften(first + second, bpm, 0.4, 30.0)
    spectrum = np.abs(np.fft.rfft(soft, 8192))
    assert np.argmax(spectrum) * 30.0 / 8192 * 60.0 == pytest.approx(45.0, abs=2.0)
    assert soft.std() == pytest.approx(1.0, abs=1e-5)
    wanted = first + 0.4 * second
    assert np.corrcoef(soft, wanted)[0, 1] > 0.99
    np.testing.assert_allclose(soften(first, bpm, 1.0, 30.0), first / first.std(), atol=0.1)


def test_a_frozen_frame_never_straddles_a_cut():
    # freezing the first frame after a cut would hide the cut and leave its jump to the next frame
    how = Augmentation(
        resample=0.0,
        flip=0.0,
        warp=0.0,
        colour=0.0,
        fade=0.0,
        gamma=0.0,
        noise=0.0,
        cutout=0.0,
        freeze=1.0,
    )
    clip = ramp(cuts=tuple(range(5, 100, 2)))
    for seed in range(30):
        varied = augment(clip, 100, how, np.random.default_rng(seed))
        at = np.flatnonzero(varied.cut)
        np.testing.assert_array_equal(varied.crops[at, 0, 0, 0], clip.crops[at, 0, 0, 0])


def test_fading_leaves_brightness_and_stills_colour():
    crops = make_clip(3, depth=0.05).crops
    luma = np.array([0.299, 0.587, 0.114])
    faded = fade(crops, 0.0)
    np.testing.assert_allclose(faded @ luma, crops @ luma, atol=1e-3)
    colour = faded - (faded @ luma)[..., None]
    assert colour.std(axis=0).max() < 1e-3
    np.testing.assert_allclose(fade(crops, 1.0), crops, atol=1e-3)


def test_a_batch_is_normalised_as_the_runtime_does_it():
    clips = [make_clip(1), make_clip(2)]
    batch = collate(clips)
    wanted, _ = normalise(clips[1].crops, clips[1].cut, NormaliserState())
    np.testing.assert_array_equal(batch.frames[1].numpy(), wanted)
    rounded = collate(clips, bf16=True)
    assert rounded.frames.dtype == torch.bfloat16
    torch.testing.assert_close(rounded.frames.float(), batch.frames, atol=0.02, rtol=0.01)


def test_batches_depend_on_seed_step_and_rank_alone():
    store = make_store(6)

    def frames(step, seed=1, rank=0):
        return BatchStream(store, 2, (96, 112), Augmentation(), seed, rank, 2)[step].frames

    later = BatchStream(store, 2, (96, 112), Augmentation(), 1, 0, 2)
    _ = later[9], later[0]
    assert torch.equal(later[4].frames, frames(4))
    assert not torch.equal(frames(4)[:, :96], frames(4, rank=1)[:, :96])
    assert frames(4, seed=2).shape != frames(4).shape or not torch.equal(
        frames(4), frames(4, seed=2)
    )


def test_every_pass_sees_every_clip_once_across_ranks():
    store = make_store(8)
    streams = [BatchStream(store, 2, (96,), Augmentation(), 5, rank, 2) for rank in range(2)]
    for epoch in range(2):
        seen = []
        for step in range(2 * epoch, 2 * epoch + 2):
            for stream in streams:
                first = (step * 2 + stream.rank) * 2
                seen += [stream._index(first), stream._index(first + 1)]
        assert sorted(seen) == list(range(8))


def test_worker_processes_deliver_the_same_batches_in_order():
    stream = BatchStream(make_store(4), 2, (96,), Augmentation(), 0)
    made = list(loader(stream, 3, 6, workers=1))
    assert len(made) == 3
    for k, batch in enumerate(made):
        assert torch.equal(batch.frames, stream[3 + k].frames)


@pytest.mark.slow
def test_clips_come_back_from_shards(tmp_path):
    shards = pytest.importorskip("hrd.train.shards")
    from hrd.train.generator import Recipe

    shards.write_shards(tmp_path, 500_900, 2, Recipe(frames=40), progress=False)
    store = ShardStore(tmp_path)
    assert len(store) == 2
    clip = store.clip(1)
    assert clip.crops.shape == (40, 36, 36, 3)
    assert clip.bvp.shape == clip.bpm.shape == clip.cut.shape == (40,)
    assert isinstance(clip.has_pulse, bool)
