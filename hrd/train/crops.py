"""Recordings of people as training sees them: crops of the runtime's own face stage and window,
and the reference wave on the same grid, aligned. Kept in a cache, which can be deleted any time.

A cached recording is a pair of files: ``KEY.crops.npy`` (T, 36, 36, 3) uint16 in 1/256 of an
8-bit step, and ``KEY.truth.npz`` (written last). Crops of a face are pictures of a person: keep
the cache as you keep the recordings.
"""

from __future__ import annotations

import hashlib
import json
import logging
import multiprocessing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np
from tqdm import tqdm

from hrd.engine.pos import PosEngine
from hrd.errors import HrdError
from hrd.evaluation.beats import beat_times
from hrd.evaluation.recording import Entry, Recording, Reference, regular
from hrd.evaluation.replay import track
from hrd.face.detect import FaceDetector, open_detector
from hrd.face.options import TrackerConfig
from hrd.files import written_whole
from hrd.sim.lens import encode_frames
from hrd.train.cameras import sample_codec
from hrd.train.shards import CROP_SCALE
from hrd.types import MODEL_FS_HZ, Frame, RoiChunk, RoiFrame
from hrd.window import SlidingWindow

logger = logging.getLogger(__name__)

VERSION = 1
"""Of the cache: a higher one makes it anew."""

MAX_DELAY_S = 1.0
_LEAST_R, _SURE_R = 0.2, 0.7
_NEAR_S = 0.3
_HOP_FRAMES = 30

RECODE_SHARES = {"jpeg": 0.25, "h264": 0.4, "mpeg4": 0.35}
"""Codecs that further copies of a recording are compressed with, and how often."""


@dataclass(frozen=True)
class Source:
    """A recording to be read. ``layout``: people of one name in one layout are taken to be one
    person, in whatever folders they lie.

    ``copy``: 0 for the recording as it is; above, compressed once more by a codec that this
    number draws.
    """

    entry: Entry
    layout: str
    key: str
    copy: int = 0


@dataclass(frozen=True)
class Crops:
    """A cached recording. ``parts``: (first, last) of the stretches without a restart; ``cut`` (T,)
    bool; ``bvp``, ``bpm`` (T,): reference wave and rate, NaN where not known; ``pos`` (T,): POS.

    ``delay_s``: how far the reference wave lags POS on its own clock, of no meaning where ``r``,
    their correlation there, is low.
    """

    path: Path
    person: str
    name: str
    has_pulse: bool
    parts: List[Tuple[int, int]]
    cut: np.ndarray
    bvp: np.ndarray
    bpm: np.ndarray
    delay_s: float
    r: float
    copy: int = 0

    def crops(self, first: int, last: int) -> np.ndarray:
        """Samples ``first`` to ``last``: (T, 36, 36, 3) float32 RGB 0..255."""
        stored = np.load(self.path, mmap_mode="r")[first:last]
        return np.multiply(stored, np.float32(1.0 / CROP_SCALE), dtype=np.float32)


def sources(layout: str, root: Path, entries: Sequence[Entry], copies: int = 0) -> List[Source]:
    """Every recording of a data set, and ``copies`` compressed copies of each."""
    found = []
    for entry in entries:
        for copy in range(copies + 1):
            marks = [VERSION, layout, str(root.resolve()), entry.name, copy]
            key = hashlib.sha256(json.dumps(marks).encode()).hexdigest()[:20]
            found.append(Source(entry, layout, key, copy))
    return found


def prepare(
    cache: Path, wanted: Sequence[Source], detector: str = "auto", workers: int = 1
) -> List[str]:
    """Bring what is missing into the cache; returns a sentence for each recording left out."""
    cache.mkdir(parents=True, exist_ok=True)
    missing = [one for one in wanted if not _truth_path(cache, one).exists()]
    problems: List[str] = []
    if not missing:
        return problems
    logger.info("reading %d recordings into %s", len(missing), cache)
    _begin()
    work = [(cache, one, detector) for one in missing]
    with tqdm(total=len(work), unit="recording") as bar:
        if workers <= 1 or len(work) < 2:
            for one in work:
                problems += _make(one)
                bar.update()
        else:
            context = multiprocessing.get_context("spawn")
            with context.Pool(min(workers, len(work)), _begin) as pool:
                for said in pool.imap_unordered(_make, work):
                    problems += said
                    bar.update()
    return problems


def read(cache: Path, wanted: Sequence[Source]) -> List[Crops]:
    """What the cache holds of these, its references aligned by ``chosen_delays``."""
    found = []
    for one in wanted:
        path = _truth_path(cache, one)
        if not path.exists():
            continue
        with np.load(path) as truth:
            values: Dict[str, Any] = {name: truth[name] for name in truth.files}
        found.append(
            Crops(
                cache / f"{one.key}.crops.npy",
                str(values["person"]),
                str(values["name"]),
                bool(values["has_pulse"]),
                [(int(a), int(b)) for a, b in values["parts"]],
                values["cut"],
                values["bvp"],
                values["bpm"],
                float(values["delay_s"]),
                float(values["r"]),
                one.copy,
            )
        )
    delay_s = np.array([one.delay_s for one in found])
    r = np.array([one.r if one.has_pulse else 0.0 for one in found])
    return [_aligned(one, delay) for one, delay in zip(found, chosen_delays(delay_s, r))]


def chosen_delays(delay_s: np.ndarray, r: np.ndarray) -> List[float]:
    """By which delay to align each recording, of their own (N,) and how well each fits (N,).

    Its own where that stands out; else the median of those that do. One that fits so so and is far
    from the others is half a beat off, as with films so poor that POS sees little in them.
    """
    stands_out = r >= _LEAST_R
    if not stands_out.any():
        return [0.0] * len(r)
    median_s = float(np.median(delay_s[stands_out]))
    near = np.abs(delay_s - median_s) <= _NEAR_S
    own = stands_out & (near | (r >= _SURE_R))
    return [float(delay) if one else median_s for delay, one in zip(delay_s, own)]


def _aligned(one: Crops, delay_s: float) -> Crops:
    if not one.has_pulse:
        return one
    at = np.arange(len(one.bvp)) + round(delay_s * MODEL_FS_HZ, 6)
    bvp, bpm = one.bvp.copy(), one.bpm.copy()
    for first, last in one.parts:
        own = np.arange(first, last)
        for values in (bvp, bpm):
            values[first:last] = np.interp(
                at[first:last], own, values[first:last], left=np.nan, right=np.nan
            )
    return replace(one, bvp=bvp, bpm=bpm, delay_s=delay_s)


def _truth_path(cache: Path, one: Source) -> Path:
    return cache / f"{one.key}.truth.npz"


_detectors: Dict[str, FaceDetector] = {}


def _begin() -> None:
    import cv2

    cv2.setNumThreads(1)
    logging.getLogger("hrd.face").setLevel(logging.WARNING)


def _make(work: Tuple[Path, Source, str]) -> List[str]:
    cache, one, detector = work
    try:
        recording = one.entry.load()
        if recording.tracked is None and detector not in _detectors:
            _detectors[detector] = open_detector(detector)
        chunks = list(_chunks(recording, _detectors.get(detector), one.copy))
        if not chunks:
            return [f"{one.entry.name} was left out: no face was found in it"]
        _write(cache, one, recording, chunks)
    except HrdError as error:
        return [f"{one.entry.name} was left out: {error}"]
    return []


def _chunks(
    recording: Recording, detector: Optional[FaceDetector], copy: int
) -> Iterator[Tuple[RoiChunk, bool]]:
    """The recording's chunks, and whether each begins a new stream."""
    if copy and recording.frames is not None:
        recording = replace(recording, frames=_recoded(recording.frames, recording.name, copy))
    window = SlidingWindow(_HOP_FRAMES)
    fresh = True
    for view in track(recording, detector, TrackerConfig()):
        if not isinstance(view, RoiFrame):
            window.reset()
            fresh = True
            continue
        if view.anew:
            window.reset()
        chunk = window.push(view)
        fresh = fresh or window.restarted
        if chunk is not None:
            yield chunk, fresh
            fresh = False


def _recoded(
    frames: Callable[[], Iterator[Frame]], name: str, copy: int
) -> Callable[[], Iterator[Frame]]:
    """The frames after one more codec, at a quality that ``name`` and ``copy`` draw."""
    seed = int.from_bytes(hashlib.sha256(f"{name}/{copy}".encode()).digest()[:8], "big")
    config = sample_codec(np.random.default_rng(seed), RECODE_SHARES)

    def again() -> Iterator[Frame]:
        return encode_frames(map(_even, frames()), config, MODEL_FS_HZ)

    return again


def _even(frame: Frame) -> Frame:
    """Without a last line or column that video codecs cannot take."""
    height, width = (side - side % 2 for side in frame.image.shape[:2])
    return replace(frame, image=np.ascontiguousarray(frame.image[:height, :width]))


def _write(
    cache: Path, one: Source, recording: Recording, chunks: List[Tuple[RoiChunk, bool]]
) -> None:
    crops = np.concatenate([chunk.crops for chunk, _ in chunks])
    cut = np.concatenate([chunk.cut for chunk, _ in chunks])
    times_s = np.concatenate(
        [chunk.start_s + np.arange(len(chunk.crops)) / chunk.fs_hz for chunk, _ in chunks]
    )
    sizes = [len(chunk.crops) for chunk, _ in chunks]
    starts = np.cumsum([0, *sizes[:-1]])
    firsts = [int(at) for at, (_, fresh) in zip(starts, chunks) if fresh]
    parts = list(zip(firsts, [*firsts[1:], len(crops)]))
    bvp, bpm = reference_on(times_s, recording.reference)
    delay_s, r = 0.0, 0.0
    if recording.reference.has_pulse:
        delay_s, r = find_delay(_pos(chunks), times_s, bvp)
    person = f"{one.layout}:{recording.subject}"
    with written_whole(cache / f"{one.key}.crops.npy") as file:
        np.save(file, np.clip(np.rint(crops * CROP_SCALE), 0, 65535).astype(np.uint16))
    with written_whole(_truth_path(cache, one)) as file:
        np.savez(
            file,
            cut=cut,
            bvp=bvp,
            bpm=bpm,
            parts=np.array(parts),
            person=person,
            name=recording.name,
            has_pulse=recording.reference.has_pulse,
            delay_s=delay_s,
            r=r,
        )


def reference_on(times_s: np.ndarray, reference: Reference) -> Tuple[np.ndarray, np.ndarray]:
    """The wave (T,), of unit deviation, and the heart rate at each time (T,), both float32; NaN
    where they are not known, zeros where there is no pulse. Raises ``HrdError`` where the data set
    gives rates only: training needs the wave.
    """
    if not reference.has_pulse:
        return np.zeros(len(times_s), np.float32), np.zeros(len(times_s), np.float32)
    if reference.bvp is None or reference.bvp_time_s is None:
        raise HrdError("it has no pulse wave, which training needs")
    start_s, wave = regular(reference.bvp_time_s, reference.bvp)
    grid_s = start_s + np.arange(len(wave)) / MODEL_FS_HZ
    wave = (wave - wave.mean()) / max(float(wave.std()), 1e-9)
    beats_s = beat_times(wave, MODEL_FS_HZ, start_s)
    if len(beats_s) < 4:
        raise HrdError("its pulse wave has no beats")
    middle_s, rate = 0.5 * (beats_s[1:] + beats_s[:-1]), 60.0 / np.diff(beats_s)
    kernel = np.ones(3) / 3.0
    rate = np.convolve(np.pad(rate, 1, mode="edge"), kernel, "valid")
    bvp = np.interp(times_s, grid_s, wave, left=np.nan, right=np.nan)
    bpm = np.where(np.isfinite(bvp), np.interp(times_s, middle_s, rate), np.nan)
    return bvp.astype(np.float32), bpm.astype(np.float32)


def _pos(chunks: List[Tuple[RoiChunk, bool]]) -> List[Tuple[float, np.ndarray]]:
    """The POS signal of each stretch, which rises with systole as references do, with the time of
    its first sample."""
    engine = PosEngine()
    found: List[Tuple[float, np.ndarray]] = []
    for chunk, fresh in chunks:
        if fresh:
            engine.reset()
        pulse = engine.process(chunk)
        if fresh or not found:
            found.append((pulse.start_s, pulse.bvp))
        else:
            found[-1] = (found[-1][0], np.concatenate([found[-1][1], pulse.bvp]))
    return found


def find_delay(
    pos: List[Tuple[float, np.ndarray]], times_s: np.ndarray, bvp: np.ndarray
) -> Tuple[float, float]:
    """How far the reference wave lags the POS signal of the video, within ``MAX_DELAY_S``, and the
    correlation of the two there. Beats come unevenly, so over a recording one delay fits best."""
    known = np.isfinite(bvp)
    if known.sum() < 10.0 * MODEL_FS_HZ:
        return 0.0, 0.0
    mine_s = np.concatenate([at + np.arange(len(wave)) / MODEL_FS_HZ for at, wave in pos])
    mine = np.concatenate([_band(wave) for _, wave in pos])
    theirs = _band(np.where(known, bvp, 0.0))
    reach = int(MAX_DELAY_S * MODEL_FS_HZ)
    shifts = np.arange(-reach, reach + 1) / MODEL_FS_HZ
    scores = np.array(
        [
            float(np.corrcoef(mine, np.interp(mine_s + shift, times_s, theirs))[0, 1])
            for shift in shifts
        ]
    )
    scores = np.where(np.isfinite(scores), scores, -1.0)
    best = int(np.argmax(scores))
    return float(shifts[best]), float(scores[best])


def _band(wave: np.ndarray) -> np.ndarray:
    from scipy.signal import butter, sosfiltfilt

    if len(wave) < 30:
        return np.zeros(len(wave))
    sos = butter(2, (0.7, 3.5), "bandpass", fs=MODEL_FS_HZ, output="sos")
    wave = sosfiltfilt(sos, np.asarray(wave, float))
    return wave / max(float(wave.std()), 1e-9)
