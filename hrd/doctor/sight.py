"""``hrd doctor --camera``: what a camera shows in some seconds, in numbers.

The daemon's own capture, face stage and pulse stage, looked at while they work.
"""

from __future__ import annotations

import queue
import threading
from dataclasses import dataclass
from typing import List, Optional

import numpy as np

from hrd import picture
from hrd.capture.queue import FrameQueue, capture_worker
from hrd.capture.source import FrameSource, SourceError, SourceInfo
from hrd.pipeline import Pipeline
from hrd.quality import FaceQuality
from hrd.rate import FrameRateMeter
from hrd.types import GAP_S, Frame, Packing, Reading

SECONDS = 10.0
_SAMPLE_STEP = 16


@dataclass(frozen=True)
class Sight:
    """What was seen. ``seconds``: from the first frame to the last, by their own times.

    ``longest_s``: the longest silence between two frames. ``too_late``: frames that were dropped
    because this machine was not done with those before. ``brightness``: mean of the pictures, of
    255; ``frozen``: every picture had the same. ``wander_percent``: how far the picture's
    mean brightness, second by second, moved in all, of its mean; ``flicker_percent``: standard
    deviation from frame to frame. ``with_face``: share of the frames, 0..1. ``quality``: of the
    face at the end. ``exposure_locked``: None where there is nothing to lock.
    """

    info: SourceInfo
    seconds: float
    frames: int
    fps: Optional[float]
    jitter_ms: Optional[float]
    longest_s: float
    too_late: int
    brightness: float
    frozen: bool
    wander_percent: float
    flicker_percent: float
    with_face: float
    quality: Optional[FaceQuality]
    reading: Optional[Reading]
    exposure_locked: Optional[bool]


def watch(
    source: FrameSource, pipeline: Pipeline, seconds: float = SECONDS, patience_s: float = 30.0
) -> Sight:
    """Watch for so long by the frames' own times, or to the source's end. Closes the source.

    Raises ``SourceError`` where it fails, or gives nothing for ``patience_s``.
    """
    info = source.info
    rate = FrameRateMeter(window_s=seconds)
    times_s: List[float] = []
    levels: List[float] = []
    faces = 0
    reading: Optional[Reading] = None
    frames = FrameQueue(8) if source.live else None
    stop = threading.Event()
    thread: Optional[threading.Thread] = None
    if frames is not None:
        thread = threading.Thread(
            target=capture_worker, args=(source, frames, stop, rate), daemon=True
        )
        thread.start()
    try:
        while True:
            frame = source.read() if frames is None else _next(frames, info, patience_s)
            if frame is None:
                break
            if frames is None:
                rate.push(frame.time_s)
            times_s += [*frame.earlier_s, frame.time_s]
            levels.append(_brightness(frame))
            said = pipeline.push(frame)
            reading = said or reading
            faces += pipeline.face.tracker.face is not None
            if frame.time_s - times_s[0] >= seconds:
                break
        locked = source.exposure_locked
    finally:
        stop.set()
        if thread is not None:
            thread.join(2.0)
        else:
            source.close()
    measured = rate.measure()
    steps_s = np.diff(times_s) if len(times_s) > 1 else np.zeros(1)
    return Sight(
        info=info,
        seconds=times_s[-1] - times_s[0] if times_s else 0.0,
        frames=len(levels),
        fps=measured.fps,
        jitter_ms=measured.jitter_ms,
        longest_s=float(steps_s.max()),
        too_late=(frames.dropped if frames is not None else 0) + source.dropped,
        brightness=float(np.mean(levels)) if levels else 0.0,
        frozen=len(levels) > 1 and len(set(levels)) == 1,
        wander_percent=_wander(np.array(levels), measured.fps),
        flicker_percent=_flicker(np.array(levels)),
        with_face=faces / max(1, len(levels)),
        quality=pipeline.pulse.quality.quality(),
        reading=reading,
        exposure_locked=locked,
    )


def _next(frames: FrameQueue, info: SourceInfo, patience_s: float) -> Optional[Frame]:
    try:
        return frames.get(patience_s)
    except queue.Empty:
        raise SourceError(
            f"{info.spec} hangs in its driver: unplug it and plug it in again."
        ) from None


def gaps(sight: Sight) -> bool:
    """Whether a silence was long enough to tear the signal."""
    return sight.longest_s > GAP_S


def _brightness(frame: Frame) -> float:
    layout = picture.layout_of(frame)
    seen = picture.sample(frame, max(1, _SAMPLE_STEP // layout.reduced))
    return float((seen[..., 0] if layout.packing is Packing.YUYV else seen).mean())


def _wander(levels: np.ndarray, fps: Optional[float]) -> float:
    """Highest less lowest of the means of whole seconds, in per cent of all."""
    size = max(1, int(round(fps or 1.0)))
    count = len(levels) // size
    if count < 2 or levels.mean() <= 0.0:
        return 0.0
    seconds = levels[: count * size].reshape(count, size).mean(axis=1)
    return float(100.0 * (seconds.max() - seconds.min()) / levels.mean())


def _flicker(levels: np.ndarray) -> float:
    if len(levels) < 3 or levels.mean() <= 0.0:
        return 0.0
    return float(100.0 * np.diff(levels).std() / np.sqrt(2.0) / levels.mean())
