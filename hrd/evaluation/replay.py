"""Every method on one pass of face tracking: the face stage runs once, for many pulse stages."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Callable, Dict, Iterator, List, Optional, Tuple

import numpy as np

from hrd.engine.base import Engine
from hrd.evaluation.recording import DataError, Recording
from hrd.face.detect import FaceDetector
from hrd.face.stage import FaceStage
from hrd.face.track import TrackerConfig
from hrd.pulse import PulseConfig, PulseStage
from hrd.types import MODEL_FS_HZ, FaceView, PulseChunk, Reading, RoiFrame


@dataclass
class Output:
    """What one method made of one recording."""

    pulse: List[PulseChunk] = field(default_factory=list)
    readings: List[Reading] = field(default_factory=list)

    def between(self, start_s: float, end_s: float) -> List[Tuple[float, np.ndarray]]:
        """The stretches of signal between two times, each without a hole: (time of the first
        sample, samples)."""
        parts: List[Tuple[float, np.ndarray]] = []
        expected_s: Optional[float] = None
        for chunk in self.pulse:
            first = max(0, int(np.ceil((start_s - chunk.start_s) * chunk.fs_hz - 1e-6)))
            last = int(np.ceil((end_s - chunk.start_s) * chunk.fs_hz - 1e-6))
            last = min(len(chunk.bvp), last)
            if last <= first:
                continue
            begins_s = chunk.start_s + first / chunk.fs_hz
            # what a stream's end brings out may be off the grid by less than a sample
            joins = expected_s is not None and abs(begins_s - expected_s) < 1.5 / chunk.fs_hz
            if joins:
                so_far_s, so_far = parts[-1]
                parts[-1] = (so_far_s, np.concatenate([so_far, chunk.bvp[first:last]]))
            else:
                parts.append((begins_s, chunk.bvp[first:last]))
            expected_s = chunk.start_s + last / chunk.fs_hz
        return parts


@dataclass(frozen=True)
class Pass:
    """All methods' outputs on one recording; ``face_share``: share of frames with a face."""

    outputs: Dict[str, Output]
    start_s: float
    end_s: float
    frames: int
    face_share: float


def track(
    recording: Recording, detector: Optional[FaceDetector], config: TrackerConfig
) -> Iterator[FaceView]:
    """The recording's faces, frame by frame: as stored, or by the runtime's own face stage."""
    if recording.tracked is not None:
        yield from recording.tracked()
        return
    assert recording.frames is not None
    assert detector is not None
    face = FaceStage(detector, config)
    for frame in recording.frames():
        yield face.push(frame)


def run_methods(
    views: Iterator[FaceView],
    engines: Dict[str, Engine],
    config: PulseConfig,
    on_frame: Optional[Callable[[], None]] = None,
    name: str = "the recording",
) -> Pass:
    """Push a recording's faces through a pulse stage per engine, in step.

    The stages publish at every confidence and every jump: whoever judges them can then apply any
    threshold (``published``). Raises ``DataError`` if there is not a single frame.
    """
    config = replace(config, min_confidence=0.0)
    outputs = {method: Output() for method in engines}
    stages: Dict[str, PulseStage] = {}
    for method, engine in engines.items():
        engine.reset()
        stages[method] = PulseStage(engine, config, on_pulse=outputs[method].pulse.append)
    frames, faces = 0, 0
    start_s, end_s = 0.0, 0.0
    for view in views:
        if frames == 0:
            start_s = view.time_s
        end_s = view.time_s
        faces += isinstance(view, RoiFrame)
        for method, stage in stages.items():
            reading = stage.push(view)
            if reading is not None:
                outputs[method].readings.append(reading)
        frames += 1
        if on_frame is not None:
            on_frame()
    if frames == 0:
        raise DataError(f"{name} holds no frame; copy it again")
    for stage in stages.values():
        # its readings are of the live view only; what is still on its way is signal, not news
        stage.finish()
    return Pass(outputs, start_s, end_s + 1.0 / MODEL_FS_HZ, frames, faces / frames)
