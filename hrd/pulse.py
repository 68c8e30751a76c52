"""The pulse stage: one face's RoiFrames in (or nothing, at a time), readings out.

It composes window, engine, reference signals, estimator and gate, without threads and without a
clock: time is the frames' own. The daemon, ``hrd measure``, ``hrd bench``, the evaluation and the
calibration all push their faces through this one class. A second face is a second PulseStage.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Callable, List, Optional

import numpy as np

from hrd.engine.base import Engine
from hrd.estimate.confidence import Calibration, calibrations
from hrd.estimate.estimator import Estimate, EstimatorConfig, HeartRateEstimator
from hrd.estimate.gate import PublishGate
from hrd.estimate.whole import WholeClip
from hrd.quality import QualityConfig, QualityGate
from hrd.rate import FrameRateMeter
from hrd.reference import ReferenceExtractor
from hrd.stopwatch import Timed, untimed
from hrd.types import (
    MODEL_FS_HZ,
    TRUTH_S,
    FaceView,
    NoFace,
    PulseChunk,
    Reading,
    Reason,
    RoiChunk,
    RoiFrame,
    State,
)
from hrd.window import SlidingWindow

logger = logging.getLogger(__name__)

STAGES = ("quality", "window", "engine", "reference", "estimate")
"""Names under which the stage's work is timed, in order."""

MAX_CUTS = 100

_OVERDUE_HOPS = 2.5
"""Frames so rare that each begins the signal anew complete no chunk: it is said without."""


@dataclass(frozen=True)
class PulseConfig:
    """Everything that shapes a reading once the face is found."""

    hop_frames: int = 30
    """Samples per chunk at MODEL_FS_HZ: 30 gives one reading a second."""
    min_confidence: float = 0.8
    """No bpm below this confidence."""
    calibration: str = ""
    """A file of ``hrd calibrate``; empty: the confidence that comes with hrd."""
    estimator: EstimatorConfig = field(default_factory=EstimatorConfig)
    quality: QualityConfig = field(default_factory=QualityConfig)


class PulseStage:
    """``push`` the views of one face in order; a Reading comes back about once per hop, else None.

    A reading comes when a chunk is complete, when the state changes, and at least once per hop
    while nothing can be read. ``on_pulse`` gets every PulseChunk, ``on_estimate`` every Estimate
    before the gate, with the time of its newest frame. ``calibration_for`` gives the fit of the
    confidence for an engine's name, the config's where it is None. ``cuts_s``: the times of the
    newest MAX_CUTS views at which the stream began anew.
    """

    def __init__(
        self,
        engine: Engine,
        config: Optional[PulseConfig] = None,
        on_pulse: Optional[Callable[[PulseChunk], None]] = None,
        on_estimate: Optional[Callable[[float, Estimate], None]] = None,
        timed: Timed = untimed,
        calibration_for: Optional[Callable[[str], Calibration]] = None,
    ) -> None:
        self._config = config or PulseConfig()
        self._calibration_for = calibration_for or calibrations(self._config.calibration)
        self.engine = engine
        self.rate = FrameRateMeter()
        self._window = SlidingWindow(self._config.hop_frames)
        self.quality = QualityGate(self._config.quality)
        self._estimated_engine = engine.info.name
        self._estimator = self._make_estimator()
        self._gate = PublishGate(self._config.min_confidence)
        self._whole = WholeClip()
        self.cuts_s: List[float] = []
        self._reference = ReferenceExtractor()
        self._on_pulse = on_pulse
        self._on_estimate = on_estimate
        self._timed = timed
        self._last_roi: Optional[RoiFrame] = None
        self._last_view_s: Optional[float] = None
        self._last_reading: Optional[Reading] = None
        self._grid_end_s = 0.0  # where the next chunk will begin
        self._skip_before_s = -np.inf  # engine output older than this belongs to no frame
        self._hop_s = self._config.hop_frames / MODEL_FS_HZ

    def push(self, view: FaceView) -> Optional[Reading]:
        """Take the face of one frame; give a reading if one is due."""
        if view.anew:
            self._begin_anew(view.time_s)
        if self._last_view_s is not None and view.time_s < self._last_view_s:
            self.reset()
        self._last_view_s = view.time_s
        for time_s in view.earlier_s:
            self.rate.push(time_s)
        self.rate.push(view.time_s)
        if isinstance(view, NoFace):
            return self._without_face(view)
        with self._timed("quality"):
            self.quality.push(view)
        if view.unreliable_time:
            return self._without_times(view)
        self._last_roi = view
        with self._timed("window"):
            chunk = self._window.push(view)
        if self._window.restarted:
            self._start_stream(view.time_s)
        if chunk is not None:
            self._run(chunk)
            with self._timed("estimate"):
                reading = self._judge(view.time_s)
            return self._say(reading)
        last = self._last_reading
        unread = (
            last is None
            or last.state in (State.NO_FACE, State.NO_CAMERA)
            or last.reason is Reason.UNRELIABLE_TIMESTAMPS
        )
        if unread and not self.quality.frozen():
            return self._say(self._judge_unread(view.time_s))
        if last is not None and view.time_s - last.time_s >= _OVERDUE_HOPS * self._hop_s:
            return self._say(self._judge_overdue(view.time_s))
        return None

    def finish(self) -> Optional[Reading]:
        """The end of a clip: read what is still on its way through the engine.

        The last frame is repeated (as a cut, so it adds no signal) for as long as the engine
        lags. Returns a last reading if that brought new signal.
        """
        if self._last_roi is None or self._last_view_s is None:
            return None
        rest = self._window.flush()
        if rest is not None:
            self._run(rest)
        lag = self.engine.delay_frames
        if lag:
            self._run(
                RoiChunk(
                    start_s=self._grid_end_s,
                    fs_hz=MODEL_FS_HZ,
                    crops=np.repeat(self._last_roi.crop[None], lag, axis=0),
                    cut=np.ones(lag, bool),
                    shift_px=np.zeros((lag, 2), np.float32),
                )
            )
        reading = self._judge(self._last_view_s)
        self._start_stream(self._last_view_s)
        self._window.reset()
        return self._say(reading)

    def whole_clip_bpm(self) -> Optional[float]:
        """The heart rate of everything pushed so far; None if there was too little signal."""
        return self._whole.bpm()

    @property
    def state(self) -> Optional[State]:
        """Of the newest reading; None before the first."""
        return None if self._last_reading is None else self._last_reading.state

    @property
    def gate_says(self) -> str:
        """Why the newest estimate was held back; empty if it was not."""
        return self._gate.why

    def reset(self) -> None:
        """Forget the past: the next frame is of another stream."""
        self.rate = FrameRateMeter()
        self._window.reset()
        self.quality.reset()
        self._forget_signal()
        self._last_roi = None
        self._last_view_s = None

    def _begin_anew(self, time_s: float) -> None:
        """The stream is cut at ``time_s``: another face, or another clock. What was said of the
        face before is not said of the next one, and the whole clip is of two parts."""
        if self._last_view_s is None:
            return
        logger.info("cut: the signal begins anew")
        self.cuts_s.append(time_s)
        del self.cuts_s[:-MAX_CUTS]
        self.reset()
        self._gate.begin_anew()
        self._last_reading = None
        self._whole.begin_anew()

    def _fps(self) -> Optional[float]:
        return self.rate.fps()

    def _start_stream(self, time_s: float) -> None:
        self._forget_signal()
        self._skip_before_s = time_s

    def _forget_signal(self) -> None:
        self.engine.reset()
        self._reference.reset()
        self._gate.reset()
        self._estimator.reset()

    def _make_estimator(self) -> HeartRateEstimator:
        return HeartRateEstimator(
            self._calibration_for(self._estimated_engine), self._config.estimator
        )

    def _notice_engine(self, chunk: RoiChunk) -> None:
        """A supervised engine may have changed. Networks go on with one signal; POS and a network
        have nothing in common, neither the wave's shape nor its calibration nor its delay."""
        before, self._estimated_engine = self._estimated_engine, self.engine.info.name
        if (before == "pos") != (self._estimated_engine == "pos"):
            self._estimator = self._make_estimator()
            self._skip_before_s = chunk.start_s

    def _run(self, chunk: RoiChunk) -> None:
        self._grid_end_s = chunk.start_s + len(chunk.crops) / chunk.fs_hz
        with self._timed("engine"):
            pulse = self.engine.process(chunk)
        if self.engine.info.name != self._estimated_engine:
            self._notice_engine(chunk)
        with self._timed("reference"):
            pos = pulse if self.engine.info.name == "pos" else None
            self._estimator.push_reference(self._reference.extract(chunk, pos))
        # the engine's first delay_frames samples are of times before the stream began
        early = int(np.ceil((self._skip_before_s - pulse.start_s) * pulse.fs_hz - 1e-6))
        if early > 0:
            pulse = PulseChunk(pulse.start_s + early / pulse.fs_hz, pulse.fs_hz, pulse.bvp[early:])
        if len(pulse.bvp) == 0:
            return
        self._estimator.push(pulse)
        self._whole.push(pulse)
        if self._on_pulse is not None:
            self._on_pulse(pulse)

    def _without_face(self, view: NoFace) -> Optional[Reading]:
        if self._last_roi is not None:
            self.quality.reset()
        self._end_signal(view.time_s)
        # a face that is too small to be followed is a face all the same
        state = State.NO_FACE if view.reason is Reason.NO_FACE else State.UNSURE
        return self._refuse_if_due(view.time_s, state, view.reason)

    def _without_times(self, view: RoiFrame) -> Optional[Reading]:
        """A face, and nobody knows when it was seen."""
        self._end_signal(view.time_s)
        if self.quality.frozen():
            return self._refuse_if_due(view.time_s, State.NO_CAMERA, Reason.CAMERA_LOST)
        return self._refuse_if_due(view.time_s, State.UNSURE, Reason.UNRELIABLE_TIMESTAMPS)

    def _end_signal(self, time_s: float) -> None:
        """What was seen until now and what comes after ``time_s`` are no one signal."""
        if self._last_roi is None:
            return
        self._last_roi = None
        self._window.reset()
        self._start_stream(time_s)

    def _refuse_if_due(self, time_s: float, state: State, reason: Reason) -> Optional[Reading]:
        """At once when it is news, else once per hop."""
        last = self._last_reading
        due = (
            last is None
            or (last.state, last.reason) != (state, reason)
            or time_s - last.time_s >= self._hop_s - 1e-6
        )
        return self._say(self._refuse(time_s, state, reason)) if due else None

    def _judge_unread(self, time_s: float) -> Reading:
        """A face is there, no signal yet."""
        return self._refuse(time_s, State.WARMING_UP, Reason.FILLING_WINDOW)

    def _judge_overdue(self, time_s: float) -> Reading:
        """A face is there, and no chunk comes: never a bpm, which would be of an older signal."""
        self._gate.refuse()
        if self.quality.frozen():
            return self._refuse(time_s, State.NO_CAMERA, Reason.CAMERA_LOST)
        reason = self._verdict()
        if reason is not None:
            return self._refuse(time_s, State.UNSURE, reason)
        return self._judge_unread(time_s)

    def _judge(self, time_s: float) -> Reading:
        """What can be said after a chunk."""
        if self.quality.frozen():
            return self._refuse(time_s, State.NO_CAMERA, Reason.CAMERA_LOST)
        estimate = self._estimator.estimate()
        if estimate is not None and self._on_estimate is not None:
            self._on_estimate(time_s, estimate)
        reason = self._verdict()
        snr = estimate.snr_db if estimate is not None else None
        if reason is not None:
            self._gate.refuse()
            return self._refuse(time_s, State.UNSURE, reason, snr)
        if estimate is None:
            return self._judge_unread(time_s)
        if not self._gate.allows(estimate.bpm, estimate.confidence, time_s):
            if estimate.window_s < min(TRUTH_S, self._config.estimator.max_window_s) - self._hop_s:
                return self._refuse(time_s, State.WARMING_UP, Reason.FILLING_WINDOW, snr)
            return self._refuse(time_s, State.UNSURE, Reason.WEAK_SIGNAL, snr)
        return Reading(
            time_s=time_s,
            state=State.TRACKING,
            bpm=estimate.bpm,
            confidence=estimate.confidence,
            snr_db=estimate.snr_db,
            fps=self._fps(),
        )

    def _verdict(self) -> Optional[Reason]:
        """What speaks against a pulse in the pictures, and in how they came."""
        return self.quality.verdict(self._fps(), self.rate.silent_share())

    def _refuse(
        self, time_s: float, state: State, reason: Reason, snr_db: Optional[float] = None
    ) -> Reading:
        return Reading(time_s=time_s, state=state, reason=reason, snr_db=snr_db, fps=self._fps())

    def _say(self, reading: Reading) -> Reading:
        self._last_reading = reading
        return reading
