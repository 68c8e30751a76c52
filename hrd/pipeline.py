"""The pipeline of one camera and one face: frames in, readings out.

A face stage and a pulse stage, one after the other. No threads, no clocks.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Callable, Optional

from hrd.engine.base import Engine
from hrd.estimate.estimator import Estimate
from hrd.face import stage as face_stage
from hrd.face.detect import FaceDetector
from hrd.face.stage import FaceStage
from hrd.face.track import TrackerConfig
from hrd.pulse import STAGES as PULSE_STAGES
from hrd.pulse import PulseConfig, PulseStage
from hrd.stopwatch import Timed, untimed
from hrd.types import Demand, Frame, PulseChunk, Reading, State

STAGES = face_stage.STAGES + PULSE_STAGES
"""Names under which the pipeline's work is timed, in order."""

TOGETHER_S = 0.16
"""How long a frame may wait for the next ones (four of them at 30 frames a second) while a heart
rate is followed: a reading looks back on 8 s. Before the first reading nothing waits."""


@dataclass(frozen=True)
class PipelineConfig:
    """Everything that shapes a reading."""

    tracker: TrackerConfig = field(default_factory=TrackerConfig)
    pulse: PulseConfig = field(default_factory=PulseConfig)

    @property
    def hop_frames(self) -> int:
        """Samples per chunk: what engines are built for."""
        return self.pulse.hop_frames


class Pipeline:
    """``push`` frames in order; a Reading comes back about once per hop, else None.

    ``on_pulse`` and ``on_estimate`` are the pulse stage's.
    """

    def __init__(
        self,
        detector: FaceDetector,
        engine: Engine,
        config: Optional[PipelineConfig] = None,
        on_pulse: Optional[Callable[[PulseChunk], None]] = None,
        on_estimate: Optional[Callable[[float, Estimate], None]] = None,
        timed: Timed = untimed,
    ) -> None:
        config = config or PipelineConfig()
        self.face = FaceStage(detector, config.tracker, timed)
        self.pulse = PulseStage(engine, config.pulse, on_pulse, on_estimate, timed)
        self._seen_demand: Optional[Demand] = None
        self._demand = Demand()

    def push(self, frame: Frame) -> Optional[Reading]:
        """Take one frame; give a reading if one is due."""
        return self.pulse.push(self.face.push(frame))

    @property
    def demand(self) -> Demand:
        """What is needed of the frames to come."""
        demand = self.face.tracker.demand
        if self.pulse.state not in (State.TRACKING, State.UNSURE):
            return demand
        if demand is not self._seen_demand:
            self._seen_demand = demand
            self._demand = dataclasses.replace(demand, together_s=TOGETHER_S)
        return self._demand

    def finish(self) -> Optional[Reading]:
        """The end of a clip: read what is still on its way through the engine."""
        return self.pulse.finish()

    def reset(self) -> None:
        """Forget the past: the next frame is of another stream."""
        self.face.reset()
        self.pulse.reset()
