"""People split into those who are trained on, validated on and tested on; clips of recordings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Iterator, List, Sequence, Tuple

import numpy as np

from hrd.errors import HrdError
from hrd.evaluation.layouts import natural
from hrd.train.crops import Crops
from hrd.train.data import Clip, ClipStore

CLIP_FRAMES, STEP_FRAMES = 320, 160
VALIDATION_FRAMES = 400


@dataclass(frozen=True)
class Split:
    """Who is in which part. No person is in two."""

    train: Tuple[str, ...]
    validation: Tuple[str, ...]
    test: Tuple[str, ...]

    def lines(self) -> List[str]:
        """For a person to read."""
        return [
            f"{name} ({len(people)}): {', '.join(one.rpartition(':')[2] for one in people) or '-'}"
            for name, people in (
                ("trained on", self.train),
                ("validated on", self.validation),
                ("tested on", self.test),
            )
        ]


def split(people: Sequence[str], folds: int, fold: int, seed: int, test: bool = True) -> Split:
    """One of ``folds`` ways to split: a ``folds``-th of the people is tested on (if ``test``), the
    next one validated on, the others trained on. ``seed`` shuffles them. Raises ``HrdError`` for
    too few people."""
    names = sorted(set(people), key=natural)
    parts = 3 if test else 2
    folds = min(folds, len(names))
    if folds < parts:
        raise HrdError(
            f"{len(names)} people are too few to train, validate{' and test' if test else ''} on "
            f"different ones; at least {parts} are needed"
        )
    if not 0 <= fold < folds:
        raise HrdError(f"there is no fold {fold}: {folds} folds are numbered from 0")
    order = [names[k] for k in np.random.default_rng(seed).permutation(len(names))]
    parts_of = [tuple(sorted(order[k::folds], key=natural)) for k in range(folds)]
    tested = parts_of[fold] if test else ()
    validated = parts_of[(fold + 1) % folds]
    rest = [name for name in names if name not in tested + validated]
    return Split(tuple(rest), validated, tested)


class RecordingStore:
    """Clips of ``frames`` samples, one every ``step`` samples, of recordings of certain people.

    A stretch shorter than that is left out, and so is one whose reference is not known all along.
    """

    def __init__(
        self,
        recordings: Sequence[Crops],
        people: Sequence[str],
        frames: int = CLIP_FRAMES,
        step: int = STEP_FRAMES,
    ) -> None:
        self.frames = frames
        self._clips: List[Tuple[Crops, int]] = []
        for one in recordings:
            if one.person not in people:
                continue
            for first, last in _known(one):
                self._clips += [(one, at) for at in range(first, last - frames + 1, step)]
        if not self._clips:
            raise HrdError(
                f"the recordings of {len(people)} people hold no {frames / 30:.0f} s with a face "
                "and a reference"
            )

    def __len__(self) -> int:
        return len(self._clips)

    def clip(self, index: int) -> Clip:
        one, start = self._clips[index]
        end = start + self.frames
        bvp = one.bvp[start:end]
        if one.has_pulse:
            bvp = (bvp - bvp.mean()) / max(float(bvp.std()), 1e-6)
        return Clip(
            one.crops(start, end),
            one.cut[start:end],
            bvp.astype(np.float32),
            one.bpm[start:end],
            one.has_pulse,
        )


def stores(recordings: Sequence[Crops], parts: Split) -> Tuple[RecordingStore, RecordingStore]:
    """Clips to train on, of recordings and their copies; longer ones to validate on, of recordings
    as they are."""
    originals = [one for one in recordings if one.copy == 0]
    return RecordingStore(recordings, parts.train), RecordingStore(
        originals, parts.validation, VALIDATION_FRAMES, VALIDATION_FRAMES
    )


def _known(one: Crops) -> Iterator[Tuple[int, int]]:
    """First and last sample of every stretch whose reference is known."""
    for first, last in one.parts:
        known = np.concatenate([[False], np.isfinite(one.bvp[first:last]), [False]])
        edges = first + np.flatnonzero(np.diff(known.astype(int)))
        yield from zip(edges[::2].tolist(), edges[1::2].tolist())


@dataclass(frozen=True)
class MixedStore:
    """Recordings with drawn clips among them: ``share`` (0..1) of what is drawn in a pass."""

    recordings: ClipStore
    drawn: ClipStore
    share: float

    @property
    def _rounds(self) -> int:
        """How often a pass goes over the recordings, so that it gets to every drawn clip."""
        each = len(self.recordings) * self.share / (1.0 - self.share)
        return max(1, int(np.ceil(len(self.drawn) / each)))

    def __len__(self) -> int:
        return int(round(self._rounds * len(self.recordings) / (1.0 - self.share)))

    def clip(self, index: int) -> Clip:
        recorded = self._rounds * len(self.recordings)
        if index < recorded:
            return self.recordings.clip(index % len(self.recordings))
        return self.drawn.clip((index - recorded) % len(self.drawn))


def delays(recordings: Sequence[Crops]) -> Dict[str, float]:
    """How far the references lagged the video, seconds: lowest, median and highest; and the median
    correlation of reference and POS."""
    own = [one for one in recordings if one.has_pulse]
    if not own:
        return {}
    lag_s = np.array([one.delay_s for one in own])
    return {
        "lowest": float(lag_s.min()),
        "median": float(np.median(lag_s)),
        "highest": float(lag_s.max()),
        "r": float(np.median([one.r for one in own])),
    }
