"""Training clips on disk: drawn once by worker processes, read at random through memory maps.

A shard is three files: ``NNNNNN.crops.npy`` (n, T, 36, 36, 3) uint16, ``NNNNNN.truth.npz`` (cut,
bvp, bpm and one number per clip of everything a batch may be chosen by) and ``NNNNNN.json`` (all
metadata; written last, so that a shard without it is drawn again). Crops are stored in 1/256 of
an 8-bit step: at the same size as float16, whose steps of 1/8 above 128 would drown a quiet
video's differences.

Run ``python -m hrd.train.shards --out DIR --count N --workers 2``.
"""

from __future__ import annotations

import argparse
import json
import logging
import multiprocessing
import os
from dataclasses import dataclass
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

import cv2
import numpy as np
from tqdm import tqdm

from hrd.errors import HrdError
from hrd.sim.motion import DIFFICULTIES
from hrd.train.generator import (
    FIRST_TRAINING_SEED,
    PULSE_FREE_KINDS,
    Recipe,
    TrainingClip,
    make_clip,
)
from hrd.train.interrupt import undisturbed

logger = logging.getLogger(__name__)

CROP_SCALE = 256.0
"""Stored crops are 8-bit values times this."""

CLIPS_PER_SHARD = 50

_RECIPE = "recipe.json"


@dataclass(frozen=True)
class _Job:
    directory: str
    shard: int
    first_seed: int
    count: int
    recipe: Recipe


def write_shards(
    directory: Path,
    first_seed: int,
    count: int,
    recipe: Optional[Recipe] = None,
    workers: int = 1,
    progress: bool = True,
) -> None:
    """Draw clips ``first_seed`` .. ``first_seed + count - 1`` into ``directory``.

    Shards that are already there are kept, so an interrupted run goes on where it stopped, and a
    larger ``count`` extends a set. Raises ``HrdError`` if the directory holds clips of another
    recipe or other seeds.
    """
    recipe = recipe or Recipe()
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    _check_recipe(directory, first_seed, recipe)
    jobs = []
    for shard, start in enumerate(range(0, count, CLIPS_PER_SHARD)):
        size = min(CLIPS_PER_SHARD, count - start)
        if not _is_complete(directory, shard, size):
            jobs.append(_Job(str(directory), shard, first_seed + start, size, recipe))
    left = sum(job.count for job in jobs)
    with tqdm(total=count, initial=count - left, unit="clip", disable=not progress) as bar:
        if workers <= 1:
            for job in jobs:
                bar.update(_write_shard(job))
            return
        # the workers are the parallelism: threads inside each would only fight over the cores
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        context = multiprocessing.get_context("spawn")
        resource_tracker.ensure_running()  # here, because starting it unblocks signals
        with undisturbed():
            pool = context.Pool(workers)
        with pool:
            for done in pool.imap_unordered(_write_shard, jobs):
                bar.update(done)


def _check_recipe(directory: Path, first_seed: int, recipe: Recipe) -> None:
    path = directory / _RECIPE
    wanted = json.loads(json.dumps({"first_seed": first_seed, "recipe": recipe.to_json()}))
    if path.exists():
        found = json.loads(path.read_text())
        if found != wanted:
            raise HrdError(
                f"{directory} holds clips of another recipe or other seeds; choose another folder"
            )
        return
    path.write_text(json.dumps(wanted, indent=1) + "\n")


def _paths(directory: Path, shard: int) -> Tuple[Path, Path, Path]:
    stem = f"{shard:06d}"
    return (
        directory / f"{stem}.crops.npy",
        directory / f"{stem}.truth.npz",
        directory / f"{stem}.json",
    )


def _is_complete(directory: Path, shard: int, count: int) -> bool:
    path = _paths(directory, shard)[2]
    return path.exists() and len(json.loads(path.read_text())) == count


def _write_shard(job: _Job) -> int:
    cv2.setNumThreads(1)
    logging.getLogger("hrd.face.track").setLevel(logging.WARNING)
    crops_path, truth_path, meta_path = _paths(Path(job.directory), job.shard)
    meta_path.unlink(missing_ok=True)
    clips = [make_clip(job.first_seed + k, job.recipe) for k in range(job.count)]
    with open(crops_path, "wb") as crops_file:
        np.save(crops_file, np.stack([_pack(clip.crops) for clip in clips]))
    np.savez(
        truth_path,
        cut=np.stack([clip.cut for clip in clips]),
        bvp=np.stack([clip.bvp for clip in clips]),
        bpm=np.stack([clip.bpm for clip in clips]),
        seed=np.array([clip.seed for clip in clips], np.int64),
        has_pulse=np.array([clip.has_pulse for clip in clips]),
        skin_group=np.array([clip.skin_group for clip in clips], np.int8),
        difficulty=np.array([DIFFICULTIES.index(clip.difficulty) for clip in clips], np.int8),
    )
    meta_path.write_text(json.dumps([_describe(clip) for clip in clips]))
    return job.count


def _pack(crops: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(crops * CROP_SCALE), 0, 65535).astype(np.uint16)


def _describe(clip: TrainingClip) -> Dict[str, Any]:
    return {
        "seed": clip.seed,
        "kind": clip.kind,
        "difficulty": clip.difficulty,
        "skin_group": clip.skin_group,
        "has_pulse": clip.has_pulse,
        **clip.meta,
    }


class ShardSet:
    """Clips of one directory, read at random. Cheap to open; safe to open in many processes.

    ``bvp``, ``bpm`` (N, T) float32, ``cut`` (N, T) bool, ``seed``, ``has_pulse``, ``skin_group``,
    ``difficulty`` (index into ``DIFFICULTIES``) (N,): in memory. ``meta``: N dictionaries.
    ``crops(i)`` reads a clip's pictures from disk.
    """

    def __init__(self, directory: Path) -> None:
        directory = Path(directory)
        self._maps: List[np.ndarray] = []
        self._starts: List[int] = []
        self.meta: List[Dict[str, Any]] = []
        parts: List[Dict[str, np.ndarray]] = []
        for meta_path in sorted(directory.glob("[0-9]*.json")):
            crops_path, truth_path, _ = _paths(directory, int(meta_path.stem))
            self._starts.append(len(self.meta))
            self.meta.extend(json.loads(meta_path.read_text()))
            self._maps.append(np.load(crops_path, mmap_mode="r"))
            with np.load(truth_path) as truth:
                parts.append({name: truth[name] for name in truth.files})
        if not parts:
            raise HrdError(f"there are no finished shards in {directory}")
        joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        self.cut = joined["cut"]
        self.bvp = joined["bvp"]
        self.bpm = joined["bpm"]
        self.seed = joined["seed"]
        self.has_pulse = joined["has_pulse"]
        self.skin_group = joined["skin_group"]
        self.difficulty = joined["difficulty"]

    def __len__(self) -> int:
        return len(self.meta)

    @property
    def frames(self) -> int:
        """T, samples per clip."""
        return int(self.bvp.shape[1])

    def crops(self, index: int, start: int = 0, stop: Optional[int] = None) -> np.ndarray:
        """Samples ``start`` to ``stop`` of clip ``index``: (T, 36, 36, 3) float32 RGB 0..255."""
        shard = int(np.searchsorted(self._starts, index, side="right")) - 1
        stored = self._maps[shard][index - self._starts[shard], start:stop]
        return np.multiply(stored, np.float32(1.0 / CROP_SCALE), dtype=np.float32)


def open_shards(directory: Path) -> ShardSet:
    """Open what ``write_shards`` wrote (finished shards only; it may still be writing).

    Raises ``HrdError`` if there is nothing yet.
    """
    return ShardSet(directory)


def main(argv: Optional[Sequence[str]] = None) -> None:
    """Command line of the shard writer."""
    parser = argparse.ArgumentParser(prog="python -m hrd.train.shards", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--count", type=int, required=True, help="number of clips")
    parser.add_argument("--first-seed", type=int, default=FIRST_TRAINING_SEED)
    parser.add_argument("--frames", type=int, default=Recipe().frames, help="samples per clip")
    parser.add_argument(
        "--pulse-free", type=float, default=Recipe().pulse_free, help="share without a pulse, 0..1"
    )
    parser.add_argument(
        "--pulse-free-kinds",
        type=float,
        nargs=len(PULSE_FREE_KINDS),
        metavar="SHARE",
        default=Recipe().pulse_free_kinds,
        help=f"of these, shares of {', '.join(PULSE_FREE_KINDS)}, summing to 1",
    )
    parser.add_argument("--workers", type=int, default=2, help="processes")
    arguments = parser.parse_args(argv)
    kinds = arguments.pulse_free_kinds
    if min(kinds) < 0.0 or abs(sum(kinds) - 1.0) > 1e-6:
        parser.error("the shares of --pulse-free-kinds must be from 0 to 1 and sum to 1")
    write_shards(
        arguments.out,
        arguments.first_seed,
        arguments.count,
        Recipe(
            frames=arguments.frames,
            pulse_free=arguments.pulse_free,
            pulse_free_kinds=tuple(kinds),
        ),
        arguments.workers,
    )


if __name__ == "__main__":
    main()
