"""Every stage of the live pipeline, from the decoder to a client's socket."""

from __future__ import annotations

import contextlib
import os
import socket
import tempfile
import threading
import time
from dataclasses import dataclass
from typing import Callable, Dict, Iterator, List, Optional

from hrd import __version__, protocol
from hrd.bench.timing import Percentiles, percentiles
from hrd.capture.open import open_source
from hrd.config import Config
from hrd.engine.base import EngineInfo
from hrd.engine.select import open_engine
from hrd.face.detect import open_detector
from hrd.memory import peak_rss_mb, rss_mb
from hrd.pipeline import STAGES, Pipeline
from hrd.service.server import SocketServer
from hrd.stopwatch import stopwatch
from hrd.types import MODEL_FS_HZ

ALL_STAGES = ("decode",) + STAGES + ("publish",)


@dataclass(frozen=True)
class LiveTiming:
    """What a run over a video at full speed took. ``cpu_s_per_frame``: processor time of the whole
    process, all threads. ``answer``: from a frame in hand to its reading on the socket, for the
    frames that end a chunk. ``signal_delay_s``: how far the engine's output lags its input."""

    source: str
    engine: EngineInfo
    detector: str
    frames: int
    wall_s: float
    cpu_s_per_frame: float
    stages: Dict[str, Percentiles]
    per_frame_ms: Dict[str, float]
    answer: Percentiles
    signal_delay_s: float
    rss_mb: float
    peak_rss_mb: float

    @property
    def s_per_frame(self) -> float:
        return self.wall_s / self.frames


def time_pipeline(
    source: str, config: Config, on_frame: Optional[Callable[[], None]] = None
) -> LiveTiming:
    """Push every frame of a video through pipeline and socket, a client reading at the other end.

    Raises ``SourceError`` if the video can't be read.
    """
    durations: Dict[str, List[float]] = {name: [] for name in ALL_STAGES}
    answers: List[float] = []

    def note(stage: str, duration_s: float) -> None:
        durations[stage].append(duration_s)

    wanted = config.engine
    hop_frames = config.pipeline().hop_frames
    selection = open_engine(wanted.name, wanted.model, wanted.threads, wanted.tensorrt, hop_frames)
    detector = open_detector(config.face.detector)
    pipeline = Pipeline(detector, selection.engine, config.pipeline(), timed=stopwatch(note))
    frames = 0
    with tempfile.TemporaryDirectory(prefix="hrd-bench-") as folder:
        path = os.path.join(folder, "hrd.sock")
        with contextlib.ExitStack() as stack:
            server = stack.enter_context(SocketServer(path, __version__, group=None))
            stack.enter_context(_reader(path))
            frames_in = stack.enter_context(open_source(source, config.source.capture))
            cpu_s = time.process_time()
            begin_s = time.perf_counter()
            while True:
                start_s = time.perf_counter()
                frame = frames_in.read()
                if frame is None:
                    break
                taken_s = time.perf_counter()
                note("decode", taken_s - start_s)
                frames += 1
                reading = pipeline.push(frame)
                if reading is not None:
                    publish_s = time.perf_counter()
                    server.publish(protocol.hr_message(reading, time.time(), 0.0))
                    done_s = time.perf_counter()
                    note("publish", done_s - publish_s)
                    answers.append(done_s - taken_s)
                if on_frame is not None:
                    on_frame()
            wall_s = time.perf_counter() - begin_s
            cpu_s = time.process_time() - cpu_s
    detector.close()
    selection.engine.close()
    count = max(frames, 1)
    return LiveTiming(
        source=source,
        engine=selection.engine.info,
        detector=detector.name,
        frames=frames,
        wall_s=wall_s,
        cpu_s_per_frame=cpu_s / count,
        stages={name: percentiles(values) for name, values in durations.items()},
        per_frame_ms={name: 1e3 * sum(values) / count for name, values in durations.items()},
        answer=percentiles(answers),
        signal_delay_s=selection.engine.delay_frames / MODEL_FS_HZ,
        rss_mb=rss_mb(),
        peak_rss_mb=peak_rss_mb(),
    )


@contextlib.contextmanager
def _reader(path: str) -> Iterator[None]:
    """A client that reads and forgets, so that publishing does its real work."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)

        def drain() -> None:
            while client.recv(65536):
                pass

        thread = threading.Thread(target=drain, name="bench-client", daemon=True)
        thread.start()
        try:
            yield
        finally:
            client.shutdown(socket.SHUT_RDWR)
            thread.join()
