"""Every method on one pass of face tracking: the tracker runs once, the pipelines see its face."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Callable, Dict, Iterator, List, Optional

import numpy as np

from hrd.engine.base import Engine
from hrd.evaluation.recording import DataError, Recording, Tracked
from hrd.face.detect import FaceDetector
from hrd.face.track import FaceTracker, TrackerConfig
from hrd.pipeline import Pipeline, PipelineConfig
from hrd.types import MODEL_FS_HZ, FaceBox, Frame, PulseChunk, Reading, RoiFrame

_NO_PICTURE = np.zeros((1, 1, 3), np.uint8)


@dataclass
class Output:
    """What one method made of one recording."""

    pulse: List[PulseChunk] = field(default_factory=list)
    readings: List[Reading] = field(default_factory=list)

    def between(self, start_s: float, end_s: float) -> List[np.ndarray]:
        """The stretches of signal between two times, each without a hole."""
        parts: List[np.ndarray] = []
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
                parts[-1] = np.concatenate([parts[-1], chunk.bvp[first:last]])
            else:
                parts.append(chunk.bvp[first:last])
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
) -> Iterator[Tracked]:
    """The recording's faces, frame by frame: as stored, or by the runtime's own tracker."""
    if recording.tracked is not None:
        yield from recording.tracked()
        return
    assert recording.frames is not None
    assert detector is not None
    tracker = FaceTracker(detector, config)
    for frame in recording.frames():
        yield Tracked(frame.time_s, tracker.push(frame))


def run_methods(
    tracked: Iterator[Tracked],
    engines: Dict[str, Engine],
    config: PipelineConfig,
    on_frame: Optional[Callable[[], None]] = None,
    name: str = "the recording",
) -> Pass:
    """Push a recording through a live pipeline per engine, in step.

    The pipelines publish at every confidence and every jump: whoever judges them can then apply any
    threshold (``published``). Raises ``DataError`` if there is not a single frame.
    """
    face = _FoundFace()
    config = replace(config, min_confidence=0.0)
    outputs = {method: Output() for method in engines}
    pipelines: Dict[str, Pipeline] = {}
    for method, engine in engines.items():
        engine.reset()
        pipeline = Pipeline(face.detector, engine, config, on_pulse=outputs[method].pulse.append)
        pipeline.tracker = face
        pipelines[method] = pipeline
    frames, faces = 0, 0
    start_s, end_s = 0.0, 0.0
    for step in tracked:
        if frames == 0:
            start_s = step.time_s
        end_s = step.time_s
        face.show(step.roi)
        faces += step.roi is not None
        for method, pipeline in pipelines.items():
            reading = pipeline.push(Frame(_NO_PICTURE, step.time_s, frames))
            if reading is not None:
                outputs[method].readings.append(reading)
        frames += 1
        if on_frame is not None:
            on_frame()
    if frames == 0:
        raise DataError(f"{name} holds no frame; copy it again")
    for pipeline in pipelines.values():
        # its readings are of the live view only; what is still on its way is signal, not news
        pipeline.finish()
    return Pass(outputs, start_s, end_s + 1.0 / MODEL_FS_HZ, frames, faces / frames)


class _FoundFace(FaceTracker):
    """Hands the face that was found once to many pipelines."""

    def __init__(self) -> None:
        self.detector = _Blind()
        super().__init__(self.detector)
        self._roi: Optional[RoiFrame] = None

    def show(self, roi: Optional[RoiFrame]) -> None:
        """What the next ``locate`` and ``crop`` answer."""
        self._roi = roi

    def locate(self, frame: Frame) -> Optional[FaceBox]:
        return self._roi.face if self._roi is not None else None

    def crop(self, frame: Frame) -> RoiFrame:
        assert self._roi is not None
        return self._roi


class _Blind(FaceDetector):
    """Stands where the pipeline wants a detector; nobody asks it."""

    name = "none"

    def detect(self, image: np.ndarray) -> List[FaceBox]:
        raise AssertionError("the faces have been found already")
