"""From stored clips to batches: augmentation, normalisation, alignment.

A batch is a function of (seed, step, rank) alone, so a resumed run sees what an uninterrupted one
would have seen, and worker processes need not talk to each other.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Protocol, Tuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from hrd.normalise import NormaliserState, normalise
from hrd.train.batch_worker import begin_worker
from hrd.train.shards import open_shards
from hrd.types import CROP_PX, MODEL_FS_HZ


@dataclass(frozen=True)
class Clip:
    """One training clip on the regular grid.

    ``crops``: (T, 36, 36, 3) float RGB 0..255; ``cut``: (T,) bool; ``bvp``: (T,) the reference
    wave; ``bpm``: (T,) the heart rate at each frame, of no meaning without a pulse.
    """

    crops: np.ndarray
    cut: np.ndarray
    bvp: np.ndarray
    bpm: np.ndarray
    has_pulse: bool


class ClipStore(Protocol):
    """Anything that holds clips of one common length."""

    def __len__(self) -> int: ...

    def clip(self, index: int) -> Clip:
        """The clip at ``index``."""
        ...


@dataclass(frozen=True)
class MemoryStore:
    """Clips held in a list."""

    clips: Tuple[Clip, ...]

    def __len__(self) -> int:
        return len(self.clips)

    def clip(self, index: int) -> Clip:
        return self.clips[index]


@dataclass(frozen=True)
class Augmentation:
    """How clips are varied each time they are drawn. Chances are per clip.

    ``slowest``/``fastest``: limits of the playing speed; speeds are drawn so that the heart rates
    come out as even as the limits allow on a logarithmic scale between ``low_bpm`` and
    ``high_bpm``. Time is never reversed: a pulse wave rises faster than it falls.
    ``fade``: chance that colour stands nearly still and brightness alone moves, which is what a
    codec at a low bit rate leaves. ``harmonics``: how much of the reference beside its
    fundamental is asked for (``soften``).
    """

    slowest: float = 0.7
    fastest: float = 1.3
    low_bpm: float = 40.0
    high_bpm: float = 200.0
    resample: float = 0.6
    flip: float = 0.5
    warp: float = 0.7
    zoom: float = 0.12
    shift_px: float = 2.5
    colour: float = 0.7
    colour_mix: float = 0.12
    fade: float = 0.12
    gamma: float = 0.3
    noise: float = 0.4
    noise_levels: float = 0.6
    cutout: float = 0.3
    freeze: float = 0.1
    harmonics: float = 0.4


NO_AUGMENTATION = Augmentation(
    resample=0.0,
    flip=0.0,
    warp=0.0,
    colour=0.0,
    fade=0.0,
    gamma=0.0,
    noise=0.0,
    cutout=0.0,
    freeze=0.0,
    harmonics=1.0,
)


def play_faster(clip: Clip, speed: float, start: float, frames: int) -> Clip:
    """``frames`` samples of the clip from ``start`` on, played ``speed`` times as fast.

    Crops are interpolated linearly, as the runtime's window does; across a cut the nearer one is
    taken. Raises ``ValueError`` if the clip is too short.
    """
    positions = start + speed * np.arange(frames)
    last = len(clip.crops) - 1
    if positions[-1] > last + 1e-6:
        raise ValueError(f"{frames} frames at speed {speed:.3f} from {start:.1f} leave the clip")
    if speed == 1.0 and start == int(start):
        part = slice(int(start), int(start) + frames)
        cut = np.array(clip.cut[part])
        cut[0] = True
        crops = clip.crops[part].astype(np.float32)
        return Clip(crops, cut, clip.bvp[part], clip.bpm[part], clip.has_pulse)
    positions = np.minimum(positions, last)
    below = np.minimum(positions.astype(int), last - 1)
    weight = (positions - below).astype(np.float32)
    across = clip.cut[below + 1]
    crop_weight = np.where(across, np.round(weight), weight).astype(np.float32)
    source = np.arange(below[0], below[-1] + 2)
    span = clip.crops[source[0] : source[-1] + 1].astype(np.float32)
    first, second = span[below - source[0]], span[below + 1 - source[0]]
    second -= first
    second *= crop_weight[:, None, None, None]
    first += second
    shown = below + np.where(across, np.round(weight), 0.0).astype(int)
    cut = np.zeros(frames, bool)
    cut[0] = True
    # a cut lies between two samples if the frames they show are on either side of it
    cut[1:] = np.diff(np.cumsum(clip.cut)[shown]) > 0
    bvp = np.interp(positions, np.arange(last + 1), clip.bvp).astype(np.float32)
    bpm = np.interp(positions, np.arange(last + 1), clip.bpm).astype(np.float32) * speed
    return Clip(first, cut, bvp, bpm, clip.has_pulse)


def soften(bvp: np.ndarray, bpm: np.ndarray, harmonics: float, fs_hz: float) -> np.ndarray:
    """The reference with all but its fundamental scaled by ``harmonics``, of unit deviation.

    A slow pulse is a short push and a long pause: below 60 bpm the second harmonic can be the
    larger one, and the highest peak of the spectrum then is at twice the heart rate. A network
    that is taught a rounder wave does not make that error. ``bvp``, ``bpm``: (T,).
    """
    phase = 2.0 * np.pi / 60.0 / fs_hz * np.cumsum(bpm.astype(float))
    basis = np.stack([np.cos(phase), np.sin(phase)], axis=1)
    fit, *_ = np.linalg.lstsq(basis, bvp.astype(float), rcond=None)
    fundamental = basis @ fit
    wave = fundamental + harmonics * (bvp - fundamental)
    wave -= wave.mean()
    return (wave / max(float(wave.std()), 1e-6)).astype(np.float32)


def fade(crops: np.ndarray, rest: float) -> np.ndarray:
    """(T, H, W, 3) crops whose colour changes over time by ``rest`` (0..1) of what it did, and
    whose brightness changes as before."""
    luma = crops @ np.array([0.299, 0.587, 0.114], np.float32)
    chroma = crops - luma[..., None]
    chroma = chroma.mean(axis=0) * np.float32(1.0 - rest) + chroma * np.float32(rest)
    return luma[..., None] + chroma


def _draw_speed(
    clip: Clip, frames: int, how: Augmentation, rng: np.random.Generator
) -> Tuple[float, float]:
    """Speed and start of a clip to be cut to ``frames``."""
    room = len(clip.crops) - 1
    fastest = min(how.fastest, room / (frames - 1))
    speed = 1.0
    if rng.random() < how.resample:
        low, high = how.slowest, fastest
        if clip.has_pulse:
            rate = float(np.median(clip.bpm))
            low, high = max(low, how.low_bpm / rate), min(high, how.high_bpm / rate)
        if low < high:
            speed = float(np.exp(rng.uniform(np.log(low), np.log(high))))
    speed = min(speed, fastest)
    start = rng.uniform(0.0, max(room - speed * (frames - 1), 0.0))
    return speed, start if speed != 1.0 else float(int(start))


@functools.lru_cache(maxsize=1)
def _noise_pool() -> np.ndarray:
    return np.random.default_rng(20).standard_normal(1 << 23, np.float32)


def _noise(shape: Tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """White noise cut out of a pool at random: drawing it anew would cost more than the rest."""
    size = int(np.prod(shape))
    pool = _noise_pool()
    start = int(rng.integers(0, len(pool) - size))
    return pool[start : start + size].reshape(shape)


def augment(clip: Clip, frames: int, how: Augmentation, rng: np.random.Generator) -> Clip:
    """A variation of ``clip``, ``frames`` long."""
    speed, start = _draw_speed(clip, frames, how, rng)
    clip = play_faster(clip, speed, start, frames)
    crops, cut = clip.crops, clip.cut
    if rng.random() < how.warp:
        zoom = np.exp(rng.uniform(-how.zoom, how.zoom, 2))
        shift = rng.uniform(-how.shift_px, how.shift_px, 2)
        centre = (CROP_PX - 1) / 2.0
        rows, columns = (
            np.clip(
                np.round(centre + (np.arange(CROP_PX) - centre) * zoom[i] + shift[i]),
                0,
                CROP_PX - 1,
            ).astype(int)
            for i in range(2)
        )
        crops = crops[:, rows][:, :, columns]
    if rng.random() < how.flip:
        crops = crops[:, :, ::-1]
    if rng.random() < how.gamma:
        # relative changes scale with the exponent; the picture itself does not matter, its
        # differences do
        crops = np.power(np.maximum(crops, 0.5) / 255.0, np.float32(rng.uniform(0.75, 1.3)))
        crops *= np.float32(255.0)
    if rng.random() < how.colour:  # another sensor's colour matrix
        mix = np.eye(3) + rng.uniform(-how.colour_mix, how.colour_mix, (3, 3))
        mix *= (rng.uniform(0.75, 1.2, 3) / mix.sum(1))[:, None]
        crops = np.maximum(crops @ mix.T.astype(np.float32), 0.0)
    if rng.random() < how.fade:
        crops = fade(crops, float(rng.uniform(0.0, 0.4)))
    if rng.random() < how.noise:
        level = np.float32(np.exp(rng.uniform(np.log(0.05), np.log(how.noise_levels))))
        crops = crops + level * _noise(crops.shape, rng)
    if rng.random() < how.cutout:
        height, width = rng.integers(4, 15, 2)
        top, left = rng.integers(0, CROP_PX - height), rng.integers(0, CROP_PX - width)
        crops = np.array(crops)
        patch = rng.uniform(20, 230, 3).astype(np.float32)
        crops[:, top : top + height, left : left + width] = patch
    if rng.random() < how.freeze:  # a frame that the camera delivered twice
        at = rng.integers(1, frames, rng.integers(1, 4))
        at = at[~cut[at]]
        crops = np.array(crops)
        crops[at] = crops[at - 1]
    bvp = clip.bvp
    if clip.has_pulse and how.harmonics != 1.0:
        bvp = soften(bvp, clip.bpm, how.harmonics, MODEL_FS_HZ)
    return Clip(np.ascontiguousarray(crops, np.float32), cut, bvp, clip.bpm, clip.has_pulse)


@dataclass(frozen=True)
class Batch:
    """``frames``: (B, T, 3, 36, 36) normalised; ``bvp``, ``bpm``: (B, T); ``has_pulse``: (B,)."""

    frames: Tensor
    bvp: Tensor
    bpm: Tensor
    has_pulse: Tensor

    def to(self, device: torch.device) -> Batch:
        return Batch(
            self.frames.to(device, non_blocking=True),
            self.bvp.to(device, non_blocking=True),
            self.bpm.to(device, non_blocking=True),
            self.has_pulse.to(device, non_blocking=True),
        )


def collate(clips: List[Clip], bf16: bool = False) -> Batch:
    """Normalise clips as the runtime would, from the start of a stream, and stack them.

    ``bf16`` rounds the frames to bfloat16, which is what the first layer does with them anyway
    under autocast, and halves what worker processes hand over.
    """
    shape = (len(clips), len(clips[0].crops), 3, CROP_PX, CROP_PX)
    frames = torch.empty(shape, dtype=torch.bfloat16 if bf16 else torch.float32)
    for k, clip in enumerate(clips):
        frames[k].copy_(torch.from_numpy(normalise(clip.crops, clip.cut, NormaliserState())[0]))
    return Batch(
        frames,
        torch.from_numpy(np.stack([clip.bvp for clip in clips]).astype(np.float32)),
        torch.from_numpy(np.stack([clip.bpm for clip in clips]).astype(np.float32)),
        torch.tensor([clip.has_pulse for clip in clips]),
    )


class BatchStream(Dataset):
    """Map-style data set whose item at ``step`` is the whole batch of that step.

    ``lengths``: clip lengths in frames, one drawn per batch: shorter ones leave room to play
    faster.
    """

    def __init__(
        self,
        store: ClipStore,
        batch_clips: int,
        lengths: Tuple[int, ...],
        how: Augmentation,
        seed: int,
        rank: int = 0,
        ranks: int = 1,
        bf16: bool = False,
    ) -> None:
        if len(store) < 1:
            raise ValueError("no clips to train on")
        self.store = store
        self.batch_clips = batch_clips
        self.lengths = lengths
        self.how = how
        self.seed = seed
        self.rank = rank
        self.ranks = ranks
        self.bf16 = bf16
        self._orders: Dict[int, np.ndarray] = {}

    def _index(self, draw: int) -> int:
        """The clip of the ``draw``-th draw of the run: every pass goes over all in a new order."""
        epoch, place = divmod(draw, len(self.store))
        if epoch not in self._orders:
            self._orders = {
                epoch: np.random.default_rng([self.seed, 1, epoch]).permutation(len(self.store))
            }
        return int(self._orders[epoch][place])

    def __getitem__(self, step: int) -> Batch:
        frames = int(np.random.default_rng([self.seed, 2, step]).choice(self.lengths))
        clips = []
        for k in range(self.batch_clips):
            draw = (step * self.ranks + self.rank) * self.batch_clips + k
            rng = np.random.default_rng([self.seed, 3, draw])
            clips.append(augment(self.store.clip(self._index(draw)), frames, self.how, rng))
        return collate(clips, self.bf16)


def loader(stream: BatchStream, first_step: int, steps: int, workers: int) -> DataLoader:
    """Batches of the steps ``first_step`` to ``steps`` in order, made by worker processes."""
    return DataLoader(
        stream,
        batch_size=None,
        sampler=range(first_step, steps),
        num_workers=workers,
        prefetch_factor=4 if workers else None,
        worker_init_fn=begin_worker if workers else None,
        persistent_workers=False,
    )


class ShardStore:
    """The clips of a folder of shards (``hrd.train.shards``)."""

    def __init__(self, directory: Path) -> None:
        self.directory = Path(directory)
        self._shards = open_shards(self.directory)

    def __len__(self) -> int:
        return len(self._shards)

    def clip(self, index: int) -> Clip:
        shards = self._shards
        return Clip(
            shards.crops(index),
            shards.cut[index],
            shards.bvp[index],
            shards.bpm[index],
            bool(shards.has_pulse[index]),
        )


@dataclass(frozen=True)
class JoinedStore:
    """Several stores as one, in order."""

    stores: Tuple[ClipStore, ...]

    def __len__(self) -> int:
        return sum(len(store) for store in self.stores)

    def clip(self, index: int) -> Clip:
        for store in self.stores:
            if index < len(store):
                return store.clip(index)
            index -= len(store)
        raise IndexError(f"clip {index} lies beyond the last")
