"""The daemon: one camera, one pipeline, one socket, put together and taken apart in order.

Threads: ``hrd-capture`` (the camera), ``hrd-socket`` (the clients), and the caller's, which runs
the pipeline. Signals only set a flag.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import Callable, Dict, Iterator, Optional

from hrd import __version__, protocol
from hrd.capture.open import first_camera, open_source
from hrd.capture.source import FrameSource
from hrd.config import Config
from hrd.engine.select import Selection, open_engine
from hrd.errors import HrdError
from hrd.face.detect import open_detector
from hrd.memory import rss_mb
from hrd.pipeline import Pipeline
from hrd.service.camera import Camera
from hrd.service.server import SocketServer
from hrd.types import PulseChunk, Reading, Reason, State

logger = logging.getLogger(__name__)

SIMULATED = "sim:bpm=72"
"""What ``--source auto`` plays when there is no camera."""

_POLL_S = 0.2  # how long the pipeline waits for a frame before it looks at the stop flag
_SILENCE_S = 2.0  # no frame for longer than this: no camera
_STATEMENT_S = 1.0  # how often "no camera" is said again


def resolve_source(spec: str) -> str:
    """``auto`` -> the first camera, or the simulated one (with a warning that says so)."""
    if spec != "auto":
        return spec
    camera = first_camera()
    if camera is not None:
        logger.info("source: %s, the first camera", camera)
        return camera
    logger.warning(
        "no camera found: using the SIMULATED one (%s); its readings are of a drawn face", SIMULATED
    )
    return SIMULATED


class Daemon:
    """Everything that runs behind the socket.

    The constructor opens all of it and raises ``HrdError`` in one sentence if something can't
    be; what was opened before is then released. ``run`` serves until ``stop`` is set or a video
    file ends; ``close`` releases everything and may be called twice.
    """

    def __init__(self, config: Config, stop: threading.Event) -> None:
        self._config = config
        self._stop = stop
        self._started_s = time.monotonic()
        self._last: Optional[Reading] = None
        self._said_s = 0.0
        self._resources = ExitStack()
        with ExitStack() as opening:
            self._server = SocketServer(
                config.socket.path,
                __version__,
                self._status,
                group=config.socket.group,
                max_clients=config.socket.max_clients,
                on_failure=self._server_failed,
            )
            opening.callback(self._server.close)
            self._server_error: Optional[BaseException] = None
            self._selection: Selection = open_engine(
                config.engine.name, config.engine.model, config.engine.threads
            )
            opening.callback(self._selection.engine.close)
            detector = open_detector(config.face.detector)
            opening.callback(detector.close)
            spec = resolve_source(config.source.spec)
            self._camera = Camera(
                lambda: self._open(spec),
                queue_frames=config.source.queue_frames,
                loop=config.source.loop,
            )
            opening.callback(self._camera.close)
            self._pipeline = Pipeline(
                detector, self._selection.engine, config.pipeline(), on_pulse=self._publish_pulse
            )
            self._resources = opening.pop_all()

    def run(self) -> None:
        """Serve. Raises ``HrdError`` if the socket's thread has failed."""
        self._server.start()
        while not self._stop.is_set():
            if self._server_error is not None:
                raise HrdError(f"the socket server has failed: {self._server_error}")
            frame = self._camera.get(_POLL_S)
            now_s = time.monotonic()
            if frame is not None:
                reading = self._pipeline.push(frame)
                if reading is not None:
                    self._publish(reading)
            elif self._camera.ended:
                reading = self._pipeline.finish()
                if reading is not None:
                    self._publish(reading)
                logger.info("end of %s", self._camera.info.spec)
                return
            elif self._camera.failure is not None or self._silent(now_s):
                self._say_no_camera(now_s)

    def close(self) -> None:
        """Release everything, the last opened first."""
        self._resources.close()

    def _open(self, spec: str) -> FrameSource:
        return open_source(spec, self._config.source.capture)

    def _silent(self, now_s: float) -> bool:
        return self._camera.silent_s(now_s) > _SILENCE_S

    def _say_no_camera(self, now_s: float) -> None:
        lost = self._last is not None and self._last.state is State.NO_CAMERA
        if lost and now_s - self._said_s < _STATEMENT_S:
            return
        if not lost:
            self._pipeline.reset()
        self._publish(Reading(now_s, State.NO_CAMERA, reason=Reason.CAMERA_LOST))

    def _publish(self, reading: Reading) -> None:
        now_s = time.monotonic()
        self._last = reading
        self._said_s = now_s
        latency_s = max(0.0, now_s - reading.time_s)
        message = protocol.hr_message(reading, _wall(reading.time_s), 1e3 * latency_s)
        self._server.publish(message)

    def _publish_pulse(self, pulse: PulseChunk) -> None:
        self._server.publish(protocol.ppg_message(_wall(pulse.start_s), pulse.fs_hz, pulse.bvp))

    def _server_failed(self, error: BaseException) -> None:
        self._server_error = error

    def _status(self) -> Dict[str, object]:
        """The STATUS object; called in the socket's thread."""
        now_s = time.monotonic()
        engine = self._selection.engine.info
        rate = self._camera.rate.measure(now_s)
        source = self._camera.info
        tracker = self._pipeline.tracker
        return {
            "release": __version__,
            "uptime_s": round(now_s - self._started_s, 1),
            "state": self._last.state.value if self._last is not None else None,
            "engine": {
                "name": engine.name,
                "provider": engine.provider,
                "reason": self._selection.why,
            },
            "model": None
            if engine.model is None
            else {"name": engine.model, "params": engine.params},
            "camera": {
                "source": source.spec,
                "kind": source.kind,
                "width_px": source.width_px,
                "height_px": source.height_px,
                "pixel_format": source.pixel_format,
                "nominal_fps": source.nominal_fps,
                "lost": self._camera.lost_count,
                "failure": self._camera.failure,
            },
            "face": {"detector": tracker.detector_name, "lost": tracker.status.faces_lost},
            "fps": None if rate.fps is None else round(rate.fps, 2),
            "jitter_ms": None if rate.jitter_ms is None else round(rate.jitter_ms, 2),
            "drops": {"frames": self._camera.dropped},
            "queues": {"frames": self._camera.depth},
            "memory": {"rss_mb": rss_mb()},
        }


def serve(config: Config, ready: Optional[Callable[[], None]] = None) -> None:
    """Run a daemon until SIGTERM, SIGINT or the end of its file. Raises ``HrdError``."""
    stop = threading.Event()
    with ExitStack() as stack:
        stack.enter_context(_stop_on_signals(stop))
        daemon = Daemon(config, stop)
        stack.callback(daemon.close)
        if ready is not None:
            ready()
        daemon.run()


def _wall(monotonic_s: float) -> float:
    """Unix time of a moment on the monotonic axis, by today's clock: it may be set meanwhile."""
    return time.time() - (time.monotonic() - monotonic_s)


@contextmanager
def _stop_on_signals(stop: threading.Event) -> Iterator[None]:
    """Set the flag on SIGTERM and SIGINT, and put the old handlers back afterwards."""

    def set_flag(number: int, frame: Optional[FrameType]) -> None:
        stop.set()

    old = {number: signal.signal(number, set_flag) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
