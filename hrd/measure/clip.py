"""The live pipeline over recorded video, as fast as it goes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import zip_longest
from typing import Any, Callable, Dict, List, Optional, Sequence

from hrd.capture.address import printable, shown_address
from hrd.capture.open import open_source
from hrd.capture.source import SourceError
from hrd.config import Config
from hrd.engine.select import Selection
from hrd.estimate.confidence import calibrations
from hrd.estimate.explain import Explainer, Explanation, as_json
from hrd.estimate.whole import MIN_SIGNAL_S
from hrd.face.detect import FaceDetector
from hrd.measure.still import StillPicture
from hrd.pipeline import Pipeline
from hrd.types import NEAR_BPM, PulseChunk, Reading, Reason, State

_SAME_MOMENT_S = 0.5
_FAR_BPM = 2.0 * NEAR_BPM
_FAR_SHARE = 0.25  # of the live readings may be so far from the whole clip's rate


@dataclass(frozen=True)
class Measurement:
    """What one file says. Times of ``readings`` are seconds from the file's first frame."""

    file: str
    seconds: float
    frames: int
    fps: Optional[float]
    engine: str
    model: Optional[str]
    readings: List[Reading]
    pulse: List[PulseChunk]
    bpm: Optional[float]
    confidence: Optional[float]
    cuts_s: List[float] = field(default_factory=list)
    """Where the clip was cut: another scene, face or clock."""
    explained: Sequence[Optional[Explanation]] = ()
    """Of each of ``readings``, if it was asked for; None where there was no estimate."""
    still: bool = False
    """The film shows one picture throughout: nothing could be read of a photograph."""

    @property
    def tracking(self) -> int:
        """How many readings have a bpm."""
        return sum(reading.bpm is not None for reading in self.readings)

    @property
    def why_no_bpm(self) -> str:
        """What there is to say where the whole clip has no bpm; empty where it has one."""
        if self.bpm is not None:
            return ""
        if self.still:
            return "it shows one still picture throughout, and a photograph has no pulse"
        if self.cuts_s:
            cuts = ", ".join(f"{time_s:.1f} s" for time_s in self.cuts_s[:3])
            return f"it is cut (at {cuts}), and its parts do not tell one rate"
        seen = [reading for reading in self.readings if reading.state is not State.NO_FACE]
        if not seen:
            return "nobody is to be seen"
        said = sorted(reading.bpm for reading in self.readings if reading.bpm is not None)
        if said and said[-1] - said[0] > _FAR_BPM and 2 * len(said) > len(seen):
            return f"its readings go from {said[0]:.0f} to {said[-1]:.0f} bpm, which is no one rate"
        if self.seconds < MIN_SIGNAL_S:
            return f"it is shorter than the {MIN_SIGNAL_S:g} s that one takes"
        return "the signal does not support one"

    def as_json(self) -> Dict[str, Any]:
        """The object that ``hrd measure --json`` prints (absent, never null)."""
        result: Dict[str, Any] = {
            "file": self.file,
            "seconds": round(self.seconds, 3),
            "fps": None if self.fps is None else round(self.fps, 3),
            "engine": self.engine,
            "model": self.model,
            "readings": [
                _reading_json(reading, explanation)
                for reading, explanation in zip_longest(self.readings, self.explained)
            ],
            "bpm": None if self.bpm is None else round(self.bpm, 1),
            "confidence": None if self.confidence is None else round(self.confidence, 3),
        }
        if self.still:
            result["still"] = True
        if self.cuts_s:
            result["cuts"] = [round(time_s, 3) for time_s in self.cuts_s]
        if self.pulse:
            result["ppg"] = [
                {
                    "t": round(chunk.start_s, 4),
                    "fs_hz": chunk.fs_hz,
                    "bvp": [round(float(value), 4) for value in chunk.bvp],
                }
                for chunk in self.pulse
            ]
        return {key: value for key, value in result.items() if value is not None}


def measure_file(
    path: str,
    detector: FaceDetector,
    selection: Selection,
    config: Config,
    on_frame: Optional[Callable[[float], None]] = None,
    keep_pulse: bool = False,
    explain: bool = False,
) -> Measurement:
    """Push every frame of ``path`` through the pipeline.

    ``on_frame`` gets each frame's time (for a progress bar). ``explain``: what each reading's
    confidence was made of is kept as well. Raises ``SourceError`` for a file
    that can't be read, and for a live source, which has no end.
    """
    readings: List[Reading] = []
    pulse: List[PulseChunk] = []
    engine = selection.engine
    engine.reset()
    explainer = Explainer(calibrations(config.reading.calibration)) if explain else None
    explained: List[Optional[Explanation]] = []
    pipeline = Pipeline(
        detector,
        engine,
        config.pipeline(),
        on_pulse=pulse.append if keep_pulse else None,
        on_estimate=explainer.on_estimate if explainer is not None else None,
    )

    def keep(reading: Reading) -> None:
        readings.append(reading)
        if explainer is not None:
            explained.append(explainer.explain(engine.info.name, reading, pipeline.pulse.gate_says))

    still = StillPicture()
    frames = 0
    end_s = 0.0
    with open_source(path, config.source.capture) as source:
        if source.live:
            name = shown_address(path)
            raise SourceError(f"{name} is live and has no end; use hrd run --source {name}")
        for frame in source:
            frames += 1
            end_s = frame.time_s
            still.push(frame.image, frame.time_s)
            reading = pipeline.push(frame)
            if reading is not None:
                keep(reading)
            if on_frame is not None:
                on_frame(frame.time_s)
    if frames == 0:
        raise SourceError(f"{printable(path)} holds no video frame; nothing can be measured")
    last = pipeline.finish()
    if last is not None:
        if readings and last.time_s - readings[-1].time_s < _SAME_MOMENT_S:
            readings.pop()  # the same moment, read again with all of the signal
            del explained[-1:]
        keep(last)
    bpm = pipeline.pulse.whole_clip_bpm()
    confidence = confidence_in(bpm, readings)
    one_picture = still.seen() and not any(reading.bpm is not None for reading in readings)
    if one_picture:
        readings = [_of_a_photograph(reading) for reading in readings]
    return Measurement(
        file=printable(path),
        seconds=end_s,
        frames=frames,
        fps=(frames - 1) / end_s if frames > 1 and end_s > 0 else None,
        engine=engine.info.name,
        model=engine.info.model,
        readings=readings,
        pulse=pulse,
        bpm=None if confidence is None else bpm,
        confidence=confidence,
        cuts_s=[] if one_picture else pipeline.pulse.cuts_s,
        explained=explained,
        still=one_picture,
    )


def _of_a_photograph(reading: Reading) -> Reading:
    """What was said while it was still unknown that the picture would never change, put right: no
    camera has gone, and no signal is about to come."""
    if reading.state is State.NO_FACE:
        return reading
    return replace(reading, state=State.UNSURE, reason=Reason.WEAK_SIGNAL)


def confidence_in(bpm: Optional[float], readings: Sequence[Reading]) -> Optional[float]:
    """Confidence in a whole clip's heart rate: the mean of the live readings'; None to refuse it.

    What was refused most of the time is not given in the end, nor is a rate that no live reading
    came near, nor one that is far from many of them: two people, one after the other, have no rate.
    """
    read = [r for r in readings if r.state not in (State.WARMING_UP, State.NO_FACE)]
    tracking = [r for r in read if r.bpm is not None and r.confidence is not None]
    if bpm is None or len(tracking) < 0.5 * len(read) or not tracking:
        return None
    off_bpm = [abs(r.bpm - bpm) for r in tracking if r.bpm is not None]
    if min(off_bpm) > NEAR_BPM:
        return None
    if sum(off > _FAR_BPM for off in off_bpm) > _FAR_SHARE * len(off_bpm):
        return None
    return sum(r.confidence for r in tracking if r.confidence is not None) / len(tracking)


def _reading_json(reading: Reading, explanation: Optional[Explanation]) -> Dict[str, Any]:
    result: Dict[str, Any] = {"t": round(reading.time_s, 3), "state": reading.state.value}
    if reading.bpm is not None:
        result["bpm"] = round(reading.bpm, 1)
    if reading.confidence is not None:
        result["confidence"] = round(reading.confidence, 3)
    if reading.reason is not None:
        result["reason"] = reading.reason.value
    if explanation is not None:
        result["explain"] = as_json(explanation)
    return result
