"""Eight simulated hours of the daemon, as fast as it goes (`make soak`).

The real daemon (face detector, tracker, window, engine, estimator, socket server, metrics, what it
tells systemd) gets frames whose times run on as a camera's would, 15 a second, without waiting for
them. The frames are a loop of 20 s of a drawn face with a pulse of 72 bpm, at 320x240. Left out:
the capture itself (thread or child process), real time, and other sizes and rates. Meanwhile one
client reads everything, others come, ask, and go or just hang up, and once an hour the camera is
lost for 20 s. ``SOAK_HOURS`` makes it shorter.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import sys
import tempfile
import threading
import time
from typing import Dict, List, Optional

from hrd.capture.open import open_source
from hrd.capture.options import CaptureOptions
from hrd.capture.source import SourceInfo
from hrd.client import Client
from hrd.config import Config, override
from hrd.memory import rss_mb
from hrd.rate import FrameRateMeter
from hrd.service.daemon import Daemon
from hrd.service.notify import Notifier
from hrd.status import ClientCounts
from hrd.types import Demand, Frame

FPS = 15.0
LOOP_S = 20.0
LOST_EVERY_S = 3600.0
LOST_S = 20.0
TRUE_BPM = 72.0


class LoopCamera:
    """Stands in for ``hrd.service.camera.Camera``: a loop of frames on a time axis of its own."""

    def __init__(self, frames: List[Frame], hours: float) -> None:
        self._frames = frames
        self._count = int(hours * 3600 * FPS)
        self._index = 0
        self.rate = FrameRateMeter()
        self.info = SourceInfo("loop", "simulated", 320, 240, FPS, "rgb24")
        self.failure: Optional[str] = None
        self.ended = False
        self.lost_count = 0
        self.dropped = 0
        self.depth = 0
        self._began_s = time.monotonic()

    @property
    def simulated_s(self) -> float:
        return self._index / FPS

    def silent_s(self, now_s: float) -> float:
        return 0.0

    def ask(self, demand: Demand) -> None:
        """The frames are drawn already."""

    def get(self, timeout_s: float) -> Optional[Frame]:
        if self._index >= self._count:
            self.ended = True
            return None
        index, time_s = self._index, self._began_s + self.simulated_s
        self._index += 1
        into_hour_s = self.simulated_s % LOST_EVERY_S
        if LOST_EVERY_S / 2 <= into_hour_s < LOST_EVERY_S / 2 + LOST_S:
            self.lost_count += self.failure is None
            self.failure = "unplugged for the soak"
            return None
        self.failure = None
        self.rate.push(time_s)
        return Frame(self._frames[index % len(self._frames)].image, time_s, index)

    def close(self, timeout_s: float = 0.0) -> bool:
        return True


class Reader:
    """Reads every line, counts states, and remembers any bpm that is not the true one."""

    def __init__(self, path: str) -> None:
        self.states: Dict[str, int] = {}
        self.wrong: List[float] = []
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(path)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with self._socket.makefile("rb") as lines:
            for line in lines:
                message = json.loads(line)
                if message["class"] != "HR":
                    continue
                self.states[message["state"]] = self.states.get(message["state"], 0) + 1
                if "bpm" in message and abs(message["bpm"] - TRUE_BPM) > 5:
                    self.wrong.append(message["bpm"])

    def join(self) -> None:
        self._thread.join(30)


def record_loop() -> List[Frame]:
    spec = f"sim:bpm={TRUE_BPM:g},variability=0,seed=5,size=320x240,fps={FPS:g}"
    with open_source(spec, CaptureOptions()) as source:
        frames = [source.read() for _ in range(int(LOOP_S * FPS))]
    return [frame for frame in frames if frame is not None]


def visit(path: str, number: int) -> None:
    """A client comes, asks or hangs up, and goes."""
    if number % 3 == 0:
        with socket.socket(socket.AF_UNIX) as rude:
            rude.connect(path)
            rude.send(b'{"class":"WATCH","ppg":true}\n{"cla')
        return
    with Client(path, timeout_s=60) as client:
        if number % 3 == 1:
            client.status()
        else:
            client.poll()


def soak(hours: float) -> int:
    logging.basicConfig(level="ERROR")
    camera = LoopCamera(record_loop(), hours)
    with tempfile.TemporaryDirectory(prefix="hrd-soak") as folder:
        path = os.path.join(folder, "hrd.sock")
        systemd = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        systemd.bind(os.path.join(folder, "notify"))
        systemd.setblocking(False)
        environ = {"NOTIFY_SOCKET": os.path.join(folder, "notify"), "WATCHDOG_USEC": "15000000"}
        values = {"socket.path": path, "metrics.enabled": True, "metrics.port": 19808}
        config = override(Config(), values)
        daemon = Daemon(
            config,
            threading.Event(),
            notifier=Notifier(environ),
            open_camera=lambda *_: camera,  # type: ignore[arg-type]
        )
        failure: List[BaseException] = []

        def run() -> None:
            try:
                daemon.run()
            except BaseException as error:
                failure.append(error)

        pipeline = threading.Thread(target=run)
        pipeline.start()
        while not daemon.server.running:
            time.sleep(0.01)
        reader = Reader(path)
        began_s, visits, heartbeats = time.monotonic(), 0, 0
        samples: List[List[float]] = []
        sample_s = min(600.0, 75.0 * hours)
        next_sample_s, next_visit_s = sample_s, 60.0
        while pipeline.is_alive():
            pipeline.join(0.02)
            now_s = camera.simulated_s
            if now_s >= next_visit_s:
                visit(path, visits)
                visits += 1
                next_visit_s = now_s + 60.0
                heartbeats += heard(systemd)
            if now_s >= next_sample_s:
                fds = len(os.listdir("/proc/self/fd"))
                samples.append([now_s / 3600, rss_mb(), fds])
                if len(samples) % 6 == 0:
                    print(
                        f"{now_s / 3600:5.2f} h  {samples[-1][1]:6.1f} MB  {fds} descriptors "
                        f"{sum(reader.states.values())} readings",
                        flush=True,
                    )
                next_sample_s = now_s + sample_s
        took_s = time.monotonic() - began_s
        stats = daemon.server.stats()
        daemon.close()
        reader.join()
        heartbeats += heard(systemd)
    return report(hours, took_s, samples, reader, stats, visits, heartbeats, failure)


def heard(systemd: socket.socket) -> int:
    """How often the watchdog has been fed meanwhile."""
    count = 0
    while True:
        try:
            count += systemd.recv(4096).count(b"WATCHDOG=1")
        except BlockingIOError:
            return count


def report(
    hours: float,
    took_s: float,
    samples: List[List[float]],
    reader: Reader,
    stats: ClientCounts,
    visits: int,
    heartbeats: int,
    failure: List[BaseException],
) -> int:
    if failure:
        raise failure[0]
    settled = [sample for sample in samples if sample[0] >= min(1.0, hours / 4)]
    sizes = [sample[1] for sample in settled]
    middle = sum(sizes) / len(sizes)
    spread = max(abs(size - middle) for size in sizes) / middle
    fds = {int(sample[2]) for sample in settled}
    readings = sum(reader.states.values())
    seconds = hours * 3600 - LOST_S * int(hours)
    print(f"{hours:g} simulated hours in {took_s:.0f} s, {visits} visits of clients")
    print(f"memory {sizes[0]:.1f} -> {sizes[-1]:.1f} MB, within {100 * spread:.2f} % of its mean")
    print(f"descriptors {sorted(fds)}")
    print(f"{readings} readings in {seconds:.0f} s with a camera: {reader.states}")
    print(f"dropped {stats.dropped}, cut off {stats.cut_off}, watchdog fed {heartbeats} times")
    complaints = [
        text
        for wrong, text in (
            (spread > 0.02, "memory is not flat"),
            # a visitor may be there at the moment of a sample
            (max(fds) - min(fds) > 1, "descriptors are not flat"),
            (readings < 0.995 * seconds, "readings are missing"),
            (bool(stats.dropped), "readings were dropped"),
            (bool(reader.wrong), f"wrong bpm: {reader.wrong[:10]}"),
            (reader.states.get("tracking", 0) < 0.8 * readings, "it hardly tracked"),
            (heartbeats < 1, "the watchdog was not fed"),
        )
        if wrong
    ]
    print("\n".join(complaints) or "flat, and nothing lost")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(soak(float(os.environ.get("SOAK_HOURS", "8"))))
