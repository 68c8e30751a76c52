"""Damaged films through ``hrd measure``, and live streams damaged in flight (`make fuzz-media`).

A drawn face of 84 beats a minute is written in sixteen combinations of container and codec, and
each copy damaged in another way. A damaged film must be read or refused in one sentence: no crash,
no hang, nothing lost of memory or descriptors, and no bpm but 84, unless the damage has hit the
film's clock, so that it tells another rate than it was written with.

    python -m tests.long.fuzz_media [COUNT [SEED [LIVE]]]
"""

from __future__ import annotations

import json
import os
import random
import select
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from fractions import Fraction
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Tuple

BPM = 84.0
FPS = 20
SECONDS = 7.0
WRONG_BPM = 5.0
PATIENCE_S = 90.0  # for one film: longer is a hang
BATCH = 200  # films before a worker is asked what it has lost
GROWTH_MB = 60.0

FILMS: Dict[str, Tuple[str, str, Optional[str]]] = {
    "h264.mp4": ("libx264", "yuv420p", None),
    "mpeg4.mp4": ("mpeg4", "yuv420p", None),
    "hevc.mov": ("libx265", "yuv420p", None),
    "mjpeg.mov": ("mjpeg", "yuvj420p", None),
    "h264.mkv": ("libx264", "yuv420p", None),
    "ffv1.mkv": ("ffv1", "yuv420p", None),
    "vp8.webm": ("libvpx", "yuv420p", None),
    "mjpeg.avi": ("mjpeg", "yuvj420p", None),
    "mpeg4.avi": ("mpeg4", "yuv420p", None),
    "h264.ts": ("libx264", "yuv420p", None),
    "mpeg2.mpg": ("mpeg2video", "yuv420p", None),
    "h264.flv": ("libx264", "yuv420p", None),
    "mpeg4.3gp": ("mpeg4", "yuv420p", None),
    "mpeg4.asf": ("mpeg4", "yuv420p", None),
    "ffv1.nut": ("ffv1", "yuv420p", None),
    "h264.h264": ("libx264", "yuv420p", "h264"),
}
"""Name (with its container): codec, pixel format, format where the name does not tell it."""


def draw(size: str = "320x240", fps: int = FPS, seconds: float = SECONDS) -> List[Any]:
    """(H, W, 3) uint8 RGB pictures of the face."""
    from hrd.capture.open import CaptureOptions, open_source

    spec = f"sim:bpm={BPM:g},fps={fps},seconds={seconds},seed=11,size={size},variability=0,ac=2"
    with open_source(spec, CaptureOptions()) as source:
        return [frame.image for frame in source]


def write_film(path: Path, name: str, images: List[Any]) -> Path:
    """One of ``FILMS``."""
    import av

    codec, pix_fmt, format_name = FILMS[name]
    with av.open(str(path), "w", format=format_name) as container:
        stream = container.add_stream(codec, rate=FPS)
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = pix_fmt
        stream.bit_rate = 3_000_000
        if codec == "libx265":
            stream.options = {"preset": "ultrafast", "x265-params": "log-level=none"}
        elif codec == "libvpx":
            stream.options = {"deadline": "realtime", "cpu-used": "8"}
        for index, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def random_bytes(rng: random.Random, count: int) -> bytes:
    """(``Random.randbytes`` is Python 3.9's.)"""
    return rng.getrandbits(8 * count).to_bytes(count, "little") if count else b""


def damaged(rng: random.Random, data: bytes) -> bytes:
    """A few random changes, small and large, of head, middle and end."""
    piece = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 20))):
        where = rng.choice((512, 8192, len(piece), len(piece)))
        at = rng.randrange(max(1, min(where, len(piece))))
        size = rng.choice((1, 1, 4, 32, 500, 20000))
        what = rng.randrange(8)
        if what <= 1:
            for _ in range(rng.choice((1, 1, 8, 100))):
                piece[rng.randrange(at, min(len(piece), at + size) or 1) % len(piece)] ^= 1 << (
                    rng.randrange(8)
                )
        elif what == 2:
            piece[at : at + size] = bytes(len(piece[at : at + size]))
        elif what == 3:
            piece[at : at + size] = random_bytes(rng, len(piece[at : at + size]))
        elif what == 4:
            del piece[at : at + size]
        elif what == 5:
            piece[at:at] = random_bytes(rng, size)
        elif what == 6:
            other = rng.randrange(len(piece))
            piece[at:at] = piece[other : other + size]
        elif rng.random() < 0.3:
            del piece[at:]
        if not piece:
            return b"\0"
    return bytes(piece)


# The worker: measures the films that it is told, one line for each.


def work() -> None:
    """Measure every path on stdin; a JSON line for each on stdout."""
    import logging

    import cv2

    from hrd.config import Config, override
    from hrd.engine.select import open_engine
    from hrd.errors import HrdError
    from hrd.face.detect import open_detector
    from hrd.measure import measure_file
    from hrd.memory import rss_mb
    from tests.socket_help import descriptors

    cv2.setNumThreads(1)
    logging.basicConfig(level=logging.CRITICAL)
    config = override(Config(), {"source.capture.file_fps": float(FPS)})
    selection = open_engine("onnx")
    detector = open_detector("auto")
    for line in sys.stdin:
        answer: Dict[str, Any] = {}
        try:
            result = measure_file(line.rstrip("\n"), detector, selection, config)
        except HrdError as error:
            answer["refused"] = str(error)
        except BaseException as error:
            answer["raised"] = repr(error)
        else:
            said = [reading.bpm for reading in result.readings if reading.bpm is not None]
            if result.bpm is not None:
                said.append(result.bpm)
            answer.update(said=said, fps=result.fps, frames=result.frames, seconds=result.seconds)
        answer.update(fds=descriptors(), rss_mb=rss_mb())
        print(json.dumps(answer), flush=True)


class Worker:
    """A process that measures, and can crash or hang alone."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.long.fuzz_media", "--worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.first: Optional[Dict[str, Any]] = None
        self.count = 0

    def measure(self, path: Path, patience_s: float = PATIENCE_S) -> Dict[str, Any]:
        """The worker's answer, or how it failed."""
        stdin, stdout = self.process.stdin, self.process.stdout
        assert stdin is not None
        assert stdout is not None
        try:
            stdin.write(f"{path}\n")
            stdin.flush()
        except OSError:
            return {"crashed": self.process.wait(5)}
        if not select.select([stdout], [], [], patience_s)[0]:
            return {"hung": patience_s}
        line = stdout.readline()
        if not line:
            return {"crashed": self.process.wait(5)}
        answer: Dict[str, Any] = json.loads(line)
        self.count += 1
        if self.count == BATCH:  # what is made once, and the largest film, are made by now
            self.first = answer
        return answer

    def lost(self, answer: Dict[str, Any]) -> Optional[str]:
        """What has leaked since the first films, None if nothing."""
        if self.first is None:
            return None
        fds = answer["fds"] - self.first["fds"]
        grown_mb = answer["rss_mb"] - self.first["rss_mb"]
        if fds > 0 or grown_mb > GROWTH_MB:
            return f"{fds} descriptors and {grown_mb:.0f} MB in {self.count} films"
        return None

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


def verdict(answer: Dict[str, Any]) -> Tuple[str, bool]:
    """What became of one film, and whether that is a fault of hrd."""
    for fault in ("crashed", "hung", "raised"):
        if fault in answer:
            return fault, True
    if "refused" in answer:
        message = answer["refused"]
        return ("refused", False) if "\n" not in message else ("refused in lines", True)
    wrong = [bpm for bpm in answer["said"] if abs(bpm - BPM) > WRONG_BPM]
    if not answer["said"]:
        return "no bpm", False
    if not wrong:
        return "right", False
    # the damage has hit the clock: the film itself now tells another rate
    ratio = (answer["fps"] or FPS) / FPS
    if all(abs(bpm / ratio - BPM) <= WRONG_BPM for bpm in wrong):
        return "tells another rate", False
    return "wrong bpm", True


def fuzz_films(count: int, seed: int, folder: Path, say: Callable[[str], object]) -> List[str]:
    """``count`` damaged films; the faults. Films that failed stay in ``folder``."""
    rng = random.Random(seed)
    images = draw()
    films = {name: write_film(folder / name, name, images).read_bytes() for name in FILMS}
    worker = Worker()
    sound = {name: verdict(worker.measure(folder / name))[0] for name in films}
    say(f"undamaged: {sound}")
    faults = [f"{name} undamaged: {what}" for name, what in sound.items() if what != "right"]
    outcome: Counter = Counter()
    began_s = time.monotonic()
    for number in range(count):
        name = rng.choice(list(films))
        path = folder / f"{number}-{name}"
        path.write_bytes(damaged(rng, films[name]))
        answer = worker.measure(path)
        if "hung" in answer:  # or the machine is busy with other things
            worker.close()
            worker = Worker()
            answer = worker.measure(path, 10.0 * PATIENCE_S)
        what, fault = verdict(answer)
        outcome[what] += 1
        lost = worker.lost(answer) if "fds" in answer and number % BATCH == BATCH - 1 else None
        if lost is not None:
            faults.append(f"film {number} of seed {seed}: {lost}")
        if fault:
            faults.append(f"{path.name} of seed {seed}: {what} ({json.dumps(answer)[:300]})")
            say(faults[-1])
        else:
            path.unlink()
        if "crashed" in answer or "hung" in answer or lost is not None:
            worker.close()
            worker = Worker()
        if number % 500 == 499:
            say(f"{number + 1:,} films in {time.monotonic() - began_s:.0f} s: {dict(outcome)}")
    worker.close()
    say(f"{count:,} films in {time.monotonic() - began_s:.0f} s: {dict(outcome)}")
    return faults


# Live


def fuzz_live(count: int, seed: int, say: Callable[[str], object]) -> List[str]:
    """``count`` RTSP streams of 12 s, damaged in flight."""
    from hrd.capture.open import CaptureOptions, open_source
    from hrd.config import Config
    from hrd.engine.select import open_engine
    from hrd.errors import HrdError
    from hrd.face.detect import open_detector
    from hrd.pipeline import Pipeline
    from tests.rtsp_server import RtspServer, rtp_frames
    from tests.socket_help import descriptors

    rng = random.Random(seed)
    images = draw(fps=30, seconds=12.0)
    frames = rtp_frames(images, 30)
    selection, detector = open_engine("onnx"), open_detector("auto")
    faults: List[str] = []
    outcome: Counter = Counter()
    fds = None
    for number in range(count):
        harm = rng.choice((0.001, 0.01, 0.1))
        harms = random.Random(rng.random())

        def play(
            send: Callable[[List[bytes]], None],
            gone: threading.Event,
            harm: float = harm,
            harms: random.Random = harms,
        ) -> None:
            started_s = time.monotonic()
            for index, frame in enumerate(frames):
                send([packet for one in frame for packet in in_flight(harms, one, harm)])
                if gone.wait(max(0.0, started_s + (index + 1) / 30 - time.monotonic())):
                    return

        said: List[float] = []
        pipeline = Pipeline(detector, selection.engine, Config().pipeline())
        what = "no bpm"
        began_s = time.monotonic()
        with RtspServer(play) as server:
            try:
                options = CaptureOptions(open_timeout_s=8.0, read_timeout_s=2.0)
                with open_source(server.url, options) as source:
                    for frame in source:
                        reading = pipeline.push(frame)
                        if reading is not None and reading.bpm is not None:
                            said.append(reading.bpm)
            except HrdError:
                pass  # every stream ends in one
            except Exception as error:
                faults.append(f"stream {number} of seed {seed}: {error!r}")
        if time.monotonic() - began_s > 40.0:
            faults.append(f"stream {number} of seed {seed}: hung")
        if said:
            what = "right"
        if any(abs(bpm - BPM) > WRONG_BPM for bpm in said):
            what = "wrong bpm"
            faults.append(f"stream {number} of seed {seed}: {said} with harm {harm}")
        outcome[what] += 1
        if number == 1:
            fds = descriptors()
    if fds is not None and descriptors() > fds:
        faults.append(f"{descriptors() - fds} descriptors lost in {count} streams")
    say(f"{count} streams: {dict(outcome)}")
    selection.engine.close()
    detector.close()
    return faults


def in_flight(rng: random.Random, packet: bytes, harm: float) -> List[bytes]:
    """What becomes of one RTP packet: mostly nothing."""
    if rng.random() >= harm:
        return [packet]
    what = rng.randrange(5)
    if what == 0:
        return []
    if what == 1:
        return [packet, packet]
    if what == 2:
        return [packet[: rng.randrange(12, len(packet) + 1)]]
    piece = bytearray(packet)
    first = 12 if what == 3 else 0  # or of the head too, with its time
    for _ in range(rng.choice((1, 3, 30))):
        piece[rng.randrange(first, len(piece))] = rng.randrange(256)
    return [bytes(piece)]


def main(argv: List[str]) -> int:
    if argv[:1] == ["--worker"]:
        work()
        return 0
    count = int(argv[0]) if argv else 10_000
    seed = int(argv[1]) if len(argv) > 1 else 1
    live = int(argv[2]) if len(argv) > 2 else max(1, count // 500)
    print(f"{count:,} films and {live} streams, seed {seed}", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="hrd-fuzz-media"))

    def say(text: str) -> None:
        print(text, flush=True)

    faults = fuzz_films(count, seed, folder, say) + fuzz_live(live, seed, say)
    for fault in faults:
        print(f"FAULT {fault}")
    if not faults:
        for path in folder.iterdir():
            path.unlink()
        os.rmdir(folder)
    else:
        print(f"the films that failed are in {folder}")
    print(f"{len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
