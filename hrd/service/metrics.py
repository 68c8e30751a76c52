"""Prometheus metrics on localhost, through the official client library (``hrd[metrics]``).

Off unless the config asks for it: it is the one network socket that hrd opens to listen, and any
user of this machine may read it, whatever the permissions of hrd's own socket.
"""

from __future__ import annotations

import logging
import threading
from typing import Any, Callable, Dict, Iterator, Mapping, Optional, Tuple

from hrd.errors import HrdError
from hrd.missing import pip_install
from hrd.status import Status
from hrd.types import Reading, Reason, State

logger = logging.getLogger(__name__)

ADDRESS = "127.0.0.1"

_BUCKETS_S = (0.0001, 0.0003, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
_REQUEST_TIMEOUT_S = 5.0
_HOSTS = ("127.0.0.1", "localhost")


class Metrics:
    """Counts what happens and serves it at ``http://127.0.0.1:port/metrics``.

    ``snapshot``: called in the server's thread at every scrape; gives the daemon's status. The
    constructor raises ``HrdError`` if the library is missing or the port is taken; ``port`` 0
    takes a free one. ``stage`` and ``reading`` may be called from any thread.
    """

    def __init__(
        self,
        port: int,
        snapshot: Callable[[], Status],
        request_timeout_s: float = _REQUEST_TIMEOUT_S,
    ) -> None:
        import http.server  # not at the top: with it come ssl and email, 4 MB for nothing

        try:
            import prometheus_client
            from prometheus_client import core, exposition
        except ImportError:
            raise HrdError(
                "metrics need the package prometheus_client: "
                f"{pip_install('hrd[metrics]')}, or set metrics.enabled to false."
            ) from None
        self._core = core
        self._snapshot = snapshot
        self._lock = threading.Lock()
        self._last: Optional[Reading] = None
        self._readings: Dict[Tuple[str, str], int] = {}
        registry = core.CollectorRegistry()
        prometheus_client.ProcessCollector(registry=registry)
        self._stages = core.Histogram(
            "hrd_stage_seconds",
            "Time that a stage of the pipeline took, once per call",
            ["stage"],
            buckets=_BUCKETS_S,
            registry=registry,
        )
        self._latency = core.Histogram(
            "hrd_reading_latency_seconds",
            "From the capture of the newest frame to its reading's publication",
            buckets=_BUCKETS_S,
            registry=registry,
        )
        registry.register(self)
        handler = _handler(exposition.MetricsHandler.factory(registry), request_timeout_s)
        try:
            self._server = http.server.HTTPServer((ADDRESS, port), handler)
        except OSError as error:
            raise HrdError(
                f"metrics cannot be offered on {ADDRESS}:{port} ({error.strerror}): "
                "set another metrics.port."
            ) from None
        self.address, self.port = self._server.server_address[:2]
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="hrd-metrics", daemon=True
        )
        self._thread.start()
        logger.info("metrics on http://%s:%d/metrics", self.address, self.port)

    def stage(self, name: str, duration_s: float) -> None:
        """A stage has run (a ``StageTimer``)."""
        self._stages.labels(name).observe(duration_s)

    def reading(self, reading: Reading, latency_s: float) -> None:
        """A reading has been published."""
        key = (reading.state.value, reading.reason.value if reading.reason else "")
        with self._lock:
            self._last = reading
            self._readings[key] = self._readings.get(key, 0) + 1
        if reading.state is not State.NO_CAMERA:
            self._latency.observe(latency_s)

    def close(self) -> None:
        """End the server; may be called twice."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def collect(self) -> Iterator[Any]:
        """What the daemon knows now (a collector of ``prometheus_client``)."""
        with self._lock:
            last, readings = self._last, dict(self._readings)
        yield from self._of_reading(last, readings)
        yield from self._of_status(self._snapshot())

    def _gauge(self, name: str, text: str, value: Optional[float]) -> Iterator[Any]:
        """One gauge, absent where there is no value: never a zero in place of the unknown."""
        if value is not None:
            yield self._core.GaugeMetricFamily(name, text, value=float(value))

    def _counter(self, name: str, text: str, value: Optional[float]) -> Iterator[Any]:
        if value is not None:
            yield self._core.CounterMetricFamily(name, text, value=float(value))

    def _of_reading(
        self, last: Optional[Reading], readings: Mapping[Tuple[str, str], int]
    ) -> Iterator[Any]:
        if last is not None:
            yield from self._gauge("hrd_bpm", "Heart rate, in tracking only", last.bpm)
            yield from self._gauge(
                "hrd_confidence", "Probability that bpm is within 5 bpm", last.confidence
            )
            yield from self._gauge("hrd_snr_db", "Signal-to-noise ratio", last.snr_db)
            state = self._core.GaugeMetricFamily("hrd_state", "1 for the state", labels=["state"])
            for item in State:
                state.add_metric([item.value], float(last.state is item))
            yield state
            reason = self._core.GaugeMetricFamily(
                "hrd_reason", "1 for the reason why there is no bpm", labels=["reason"]
            )
            for why in Reason:
                reason.add_metric([why.value], float(last.reason is why))
            yield reason
        counted = self._core.CounterMetricFamily(
            "hrd_readings", "Readings published", labels=["state", "reason"]
        )
        for (state_name, reason_name), count in sorted(readings.items()):
            counted.add_metric([state_name, reason_name], count)
        yield counted

    def _of_status(self, status: Status) -> Iterator[Any]:
        camera, engine, clients = status.camera, status.engine, status.clients
        yield from self._gauge("hrd_fps", "Measured frame rate", status.fps)
        yield from self._gauge("hrd_jitter_ms", "Jitter of the frames", status.jitter_ms)
        yield from self._gauge("hrd_uptime_seconds", "Since the start", status.uptime_s)
        yield from self._counter("hrd_frames_dropped", "Frames dropped", status.drops.frames)
        yield from self._gauge("hrd_frames_waiting", "Frames in the queue", status.queues.frames)
        yield from self._counter("hrd_camera_restarts", "Times the camera was lost", camera.lost)
        yield from self._gauge(
            "hrd_camera_ok", "1 while the camera delivers", float(camera.failure is None)
        )
        yield from self._counter(
            "hrd_engine_fallbacks", "Times the engine was replaced", engine.fallbacks
        )
        info = self._core.GaugeMetricFamily(
            "hrd_engine_info", "The engine that runs", labels=["engine", "provider", "model"]
        )
        names = (engine.name, engine.provider, status.model.name if status.model else None)
        info.add_metric([name or "" for name in names], 1.0)
        yield info
        yield from self._gauge("hrd_clients", "Connected now", clients.connected)
        for name, text, count in (
            ("accepted", "Connections taken", clients.accepted),
            ("refused", "Connections refused", clients.refused),
            ("cut_off", "Clients cut off because they did not read", clients.cut_off),
            ("bad_requests", "Requests that were answered with ERROR", clients.bad_requests),
        ):
            yield from self._counter(f"hrd_clients_{name}", text, count)
        if status.memory.rss_mb is not None:
            yield from self._gauge(
                "hrd_memory_bytes", "Resident memory", 1e6 * status.memory.rss_mb
            )


def _handler(base: Any, timeout_s: float) -> Any:
    """The library's handler, made fit for a daemon: no log of every scrape, no client that holds
    the one thread, and nothing for a web page that pretends to be this machine."""

    class Handler(base):
        timeout = timeout_s

        def do_GET(self) -> None:
            host = (self.headers.get("Host") or "").rpartition(":")
            name = host[0] or host[2]
            if name not in _HOSTS:
                self.send_error(403, "ask 127.0.0.1")
            elif self.path.split("?")[0] != "/metrics":
                self.send_error(404, "the metrics are at /metrics")
            else:
                super().do_GET()

        def log_message(self, format: str, *args: object) -> None:
            logger.debug("metrics: %s", format % args)

    return Handler
