"""The daemon: one camera, one pipeline, one socket, put together and taken apart in order.

Threads: ``hrd-capture`` (the camera), ``hrd-socket`` (the clients), ``hrd-metrics`` where it is
asked for, and the caller's, which runs the pipeline and tells systemd that it does. Signals are
in ``hrd.service.signals``, ``hrd.service.serve`` has the process around it.
"""

from __future__ import annotations

import dataclasses
import logging
import socket
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Callable, Optional

from hrd import __version__, protocol
from hrd.config import Config, EngineConfig, SourceConfig
from hrd.engine.base import EngineError
from hrd.engine.select import Selection, open_engine
from hrd.errors import HrdError
from hrd.estimate.confidence import calibrations
from hrd.face.detect import FaceDetector, open_detector
from hrd.memory import rss_mb, settle, trim
from hrd.pipeline import Pipeline
from hrd.service import sources
from hrd.service.camera import Camera
from hrd.service.features import FeatureReporter
from hrd.service.metrics import Metrics
from hrd.service.notify import Notifier
from hrd.service.overload import Overload
from hrd.service.server import SocketServer
from hrd.service.setup import SetupReporter
from hrd.service.transitions import Transitions
from hrd.status import (
    CameraStatus,
    EngineStatus,
    FaceStatus,
    FrameCount,
    MemoryStatus,
    ModelStatus,
    Status,
)
from hrd.stopwatch import stopwatch, untimed
from hrd.types import PulseChunk, Reading, Reason, State

logger = logging.getLogger(__name__)

_TRIM_EVERY_S = 15.0  # what a detection or a sweep has needed is not kept for good
_POLL_S = 0.2  # how long the pipeline waits for a frame before it looks at the flags
_SILENCE_S = 2.0  # no frame for longer than this: no camera
_STATEMENT_S = 1.0  # how often "no camera" is said again
_UNDELIVERED_S = 5.0  # a message waiting longer than this for the socket's thread: it is stuck


OpenCamera = Callable[[SourceConfig, threading.Event, bool, bool], Camera]
"""As ``hrd.service.sources.open_camera``."""


class Daemon:
    """Everything that runs behind the socket.

    The constructor opens all of it and raises ``HrdError`` in one sentence if something can't
    be; what was opened before is then released. ``run`` serves until ``stop`` is set or a video
    file ends; ``reload`` takes up another configuration while clients stay connected; ``close``
    releases everything and may be called twice.

    ``persist``: as a service, which waits for a camera that isn't there yet instead of giving
    up, and never simulates one. ``listen_socket``: from socket activation. ``open_camera``: as
    ``hrd.service.sources`` does (a test may have its own).
    """

    def __init__(
        self,
        config: Config,
        stop: threading.Event,
        persist: bool = False,
        notifier: Optional[Notifier] = None,
        listen_socket: Optional[socket.socket] = None,
        open_camera: OpenCamera = sources.open_camera,
    ) -> None:
        self._open_camera = open_camera
        self._config = config
        self._stop = stop
        self._persist = persist
        self._notifier = notifier if notifier is not None else Notifier({})
        self._started_s = time.monotonic()
        self._transitions = Transitions()
        self._overload = Overload()
        self._said_s = 0.0
        self._fallbacks = 0
        self._engine_before: Optional[EngineConfig] = None  # that a reload has replaced
        self._server_error: Optional[BaseException] = None
        self._server_stuck = False
        self._metrics: Optional[Metrics] = None
        self._closed = False
        self.left_behind = False
        """After ``close``: a thread hangs in a driver and could not be ended."""
        with ExitStack() as opening:
            self.server = SocketServer(
                config.socket.path,
                __version__,
                self._status,
                group=config.socket.group,
                max_clients=config.socket.max_clients,
                listen_socket=listen_socket,
                on_failure=self._server_failed,
            )
            opening.callback(self.server.close)
            self._setup = SetupReporter(self.server, _wall)
            self._selection = _open_engine(config)
            opening.callback(lambda: self._selection.engine.close())
            self._detector: FaceDetector = open_detector(config.face.detector)
            opening.callback(lambda: self._detector.close())
            self._camera = self._open_camera(config.source, stop, persist, not persist)
            opening.callback(self._close_camera)
            if config.metrics.enabled:
                self._metrics = Metrics(config.metrics.port, self._status)
            opening.callback(self._close_metrics)
            self._pipeline = self._make_pipeline()
            self._resources = opening.pop_all()

    def run(self, reload: Optional[Callable[[], Optional[Config]]] = None) -> None:
        """Serve. Raises ``HrdError`` if the socket's thread has failed, or the engine for good.

        ``reload``: asked between frames; a config that it gives is taken up.
        """
        self.server.start()
        self._notifier.ready(self._line())
        settle()
        trimmed_s = time.monotonic()
        while not self._stop.is_set():
            if self._server_error is not None:
                raise HrdError(f"the socket server has failed: {self._server_error}")
            new = reload() if reload is not None else None
            if new is not None:
                self.reload(new)
            if not self._step():
                return
            if time.monotonic() - trimmed_s > _TRIM_EVERY_S:
                trimmed_s = time.monotonic()
                trim()
            self._tell_systemd()

    def _step(self) -> bool:
        """One frame, or one turn of the wait for it. False at the end of a file."""
        frame = self._camera.get(_POLL_S)
        now_s = time.monotonic()
        self._overload.note(now_s, frame is not None, self._camera.dropped)
        if frame is not None:
            try:
                reading = self._pipeline.push(frame)
            except EngineError as error:
                self._take_back_engine(error)
                return True
            self._camera.ask(self._overload.ease(self._pipeline.demand))
            self._setup.frame(frame, self._pipeline, self._config.reading.quality)
            if reading is not None:
                self._publish_of_frame(reading)
        elif self._camera.ended:
            reading = self._pipeline.finish()
            if reading is not None:
                self._publish_of_frame(reading)
            logger.info("end of %s", self._camera.info.spec)
            return False
        elif self._camera.failure is not None or self._silent(now_s):
            self._say_no_camera(now_s)
        return True

    def reload(self, config: Config) -> None:
        """Take up another configuration; what can't be opened is said, and the old stays.

        The socket, and who is connected to it, stay as they are until the next start.
        """
        old = self._config
        self._notifier.reloading()
        if config.socket != old.socket:
            logger.warning("changes to [socket] in the config take effect when hrd starts again")
        logging.getLogger().setLevel(config.log.level.upper())
        try:
            self._reload_pipeline(old, config)
        except Exception as error:  # whatever it is, the old ones work
            logger.debug("reload", exc_info=True)
            why = str(error).rstrip(".")
            logger.error("reload: %s. Engine and face detector stay as they were.", why)
        if config.source != old.source:
            self._close_camera()
            self._camera = self._open_camera(config.source, self._stop, True, not self._persist)
            self._overload = Overload()  # another camera counts from nothing
            self._pipeline.reset()
        if config.metrics != old.metrics:
            self._close_metrics()
            try:
                if config.metrics.enabled:
                    self._metrics = Metrics(config.metrics.port, self._status)
                self._pipeline = self._make_pipeline()
            except HrdError as error:
                logger.error("reload: %s", error)
        logger.info("configuration reloaded" if config != old else "reload: nothing has changed")
        self._notifier.ready(self._line())

    def close(self) -> None:
        """Release everything, the last opened first."""
        if not self._closed:
            self._closed = True
            self._notifier.stopping()
            self._resources.close()

    def abandon(self) -> None:
        """Remove the socket and let go, from another thread, because the pipeline hangs."""
        self.server.close()

    # What is run.

    def _close_camera(self) -> None:
        if not self._camera.close():
            self.left_behind = True

    def _close_metrics(self) -> None:
        if self._metrics is not None:
            self._metrics.close()
            self._metrics = None

    def _make_pipeline(self) -> Pipeline:
        config = self._config.pipeline()
        self._features = FeatureReporter(self.server, calibrations(config.pulse.calibration))
        return Pipeline(
            self._detector,
            self._selection.engine,
            config,
            on_pulse=self._publish_pulse,
            on_estimate=self._features.on_estimate,
            timed=stopwatch(self._metrics.stage) if self._metrics is not None else untimed,
        )

    def _reload_pipeline(self, old: Config, config: Config) -> None:
        """Open what has changed before anything old is let go of. Raises ``HrdError``."""
        same_engine = config.engine == old.engine and not Path(config.engine.model).suffix
        same_detector = config.face.detector == old.face.detector
        selection = self._selection if same_engine else _open_engine(config, may_build=False)
        try:
            detector = self._detector if same_detector else open_detector(config.face.detector)
        except HrdError:
            if not same_engine:
                selection.engine.close()
            raise
        finally:
            self._config = config
        if not same_engine:
            self._engine_before = old.engine
            self._fallbacks += self._selection.fallbacks
            self._selection.engine.close()
            self._selection = selection
        if not same_detector:
            self._detector.close()
            self._detector = detector
        same_stages = (config.face, config.reading) == (old.face, old.reading)
        if not (same_engine and same_stages):
            self._pipeline = self._make_pipeline()

    def _take_back_engine(self, error: EngineError) -> None:
        """The engine has failed for good: where a reload has brought it, go on with the one
        before. Raises ``error`` where there is none."""
        before = self._engine_before
        if before is None:
            raise error
        logger.error("reload: %s The engine before the reload is taken up again.", error)
        self._reload_pipeline(self._config, dataclasses.replace(self._config, engine=before))
        self._engine_before = None  # the one that has just failed is not a way out

    # What is said.

    def _silent(self, now_s: float) -> bool:
        return self._camera.silent_s(now_s) > _SILENCE_S

    def _say_no_camera(self, now_s: float) -> None:
        lost = self._transitions.state is State.NO_CAMERA
        if lost and now_s - self._said_s < _STATEMENT_S:
            return
        if not lost:
            self._pipeline.reset()
        self._publish(Reading(now_s, State.NO_CAMERA, reason=Reason.CAMERA_LOST))
        self._setup.no_camera(now_s)

    def _publish(self, reading: Reading) -> float:
        """Returns the Unix time that it was said with."""
        now_s = time.monotonic()
        self._transitions.note(reading)
        self._said_s = now_s
        latency_s = max(0.0, now_s - reading.time_s)
        wall_time_s = _wall(reading.time_s)
        self.server.publish(protocol.hr_message(reading, wall_time_s, 1e3 * latency_s))
        if self._metrics is not None:
            self._metrics.reading(reading, latency_s)
        return wall_time_s

    def _publish_of_frame(self, reading: Reading) -> None:
        wall_time_s = self._publish(reading)
        self._features.reading(reading, self._pipeline.pulse, wall_time_s)

    def _publish_pulse(self, pulse: PulseChunk) -> None:
        self.server.publish(protocol.ppg_message(_wall(pulse.start_s), pulse.fs_hz, pulse.bvp))

    def _tell_systemd(self) -> None:
        """The main loop has turned: a frame has been worked on, or the camera's supervisor has.
        A stuck pipeline never comes here, and a stuck socket thread is no life either."""
        waiting_s = self.server.undelivered_s()
        if waiting_s > _UNDELIVERED_S:
            if not self._server_stuck:
                logger.error(
                    "no client has been sent anything for %.0f s: the socket's thread hangs, and "
                    "the watchdog is no longer fed",
                    waiting_s,
                )
            self._server_stuck = True
            return
        self._server_stuck = False
        self._notifier.alive()
        self._notifier.status(self._line())

    def _line(self) -> str:
        """For ``systemctl status``, which anybody may read: how it goes, and no heart rate."""
        if self._camera.failure is not None:
            return f"no_camera: {self._camera.failure}"
        return "; ".join(filter(None, (self._transitions.text, self._overload.text)))

    def _server_failed(self, error: BaseException) -> None:
        self._server_error = error

    def _status(self) -> Status:
        """For the socket, and (with the clients) for the metrics; called in their threads."""
        now_s = time.monotonic()
        camera = self._camera
        engine = self._selection.engine.info
        rate = camera.rate.measure(now_s)
        source = camera.info
        tracker = self._pipeline.face.tracker
        state = self._transitions.state
        return Status(
            release=__version__,
            uptime_s=round(now_s - self._started_s, 1),
            state=None if state is None else state.value,
            engine=EngineStatus(
                name=engine.name,
                provider=engine.provider,
                reason=self._selection.why,
                fallbacks=self._fallbacks + self._selection.fallbacks,
            ),
            model=None if engine.model is None else ModelStatus(engine.model, engine.params),
            camera=CameraStatus(
                source=source.spec,
                kind=source.kind,
                width_px=source.width_px or None,
                height_px=source.height_px or None,
                pixel_format=source.pixel_format,
                nominal_fps=source.nominal_fps,
                lost=camera.lost_count,
                failure=camera.failure,
            ),
            face=FaceStatus(tracker.detector_name, tracker.status.faces_lost),
            fps=None if rate.fps is None else round(rate.fps, 2),
            jitter_ms=None if rate.jitter_ms is None else round(rate.jitter_ms, 2),
            drops=FrameCount(camera.dropped),
            queues=FrameCount(camera.depth),
            memory=MemoryStatus(rss_mb()),
            clients=self.server.stats(),
        )


def _open_engine(config: Config, may_build: bool = True) -> Selection:
    """``may_build`` only at the start: later, minutes of building would be minutes in which the
    pipeline stands still, and the watchdog ends what stands still."""
    engine = config.engine
    return open_engine(
        engine.name,
        engine.model,
        engine.threads,
        engine.tensorrt,
        config.pipeline().hop_frames,
        live=True,
        may_build=may_build,
    )


def _wall(monotonic_s: float) -> float:
    """Unix time of a moment on the monotonic axis, by today's clock: it may be set meanwhile."""
    return time.time() - (time.monotonic() - monotonic_s)
