"""What the daemon costs while nothing happens (`make steady`): processor time and memory.

A 640x480 camera of 30 pictures a second is read by the real daemon, capture process and all, with
one client that listens. Close other programs first: what they take of the caches and the clock is
counted as hrd's. From the environment:

- ``STEADY_S``: for how long (120 s).
- ``ROOM``: ``face`` (a drawn one, 72 bpm) or ``empty`` (the room without anybody).
- ``FORMAT``: ``mjpg`` (Motion JPEG over HTTP), ``yuyv`` (raw pictures in Matroska over HTTP; all
  18 MB a second come through the socket, which a USB camera's do not) or ``rtsp`` (H.264).
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any, Callable, Dict

from hrd.bench.device import describe
from hrd.memory import rss_mb
from tests.long.camera_server import CameraServer, jpegs, pictures
from tests.long.format_servers import RtspCamera, YuyvCamera
from tests.long.recorder import Recorder
from tests.long.running import Running, config, cpu_s
from tests.socket_help import short_directory

WARM_S = 20.0
SPECS = {
    "face": "sim:bpm=72,variability=0,seed=5,size=640x480",
    "empty": "sim:kind=noface,seed=5,size=640x480",
}
QUALITY = 90
"""Of the JPEG pictures: what USB cameras send at this size, some 40 kB each."""


def own_mb(pid: int) -> float:
    """Memory of a process, pages that it shares with others counted in shares (PSS)."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1e3
    raise OSError("no Pss in smaps_rollup")


def main() -> int:
    """Print what was measured, as JSON; 1 if the daemon said something else meanwhile."""
    seconds = float(os.environ.get("STEADY_S", "120"))
    room = os.environ.get("ROOM", "face")
    kind = os.environ.get("FORMAT", "mjpg")
    images = pictures(SPECS[room])
    cameras: Dict[str, Callable[[], Any]] = {
        "mjpg": lambda: CameraServer(jpegs(images, QUALITY)),
        "yuyv": lambda: YuyvCamera(images),
        "rtsp": lambda: RtspCamera(images),
    }
    state = {"face": "tracking", "empty": "no_face"}[room]
    camera = cameras[kind]()
    with short_directory() as folder:
        daemon = Running(Path(folder), config(camera.url))
        try:
            with Recorder(daemon.socket) as recorder:
                recorder.wait_for_state(state, 0.0)
                time.sleep(WARM_S)
                (capture,) = daemon.children("hrd.capture.child")
                pids = {"daemon": daemon.process.pid, "capture": capture}
                before = {name: cpu_s(pid) for name, pid in pids.items()}
                began_s = time.monotonic()
                time.sleep(seconds)
                took_s = time.monotonic() - began_s
                after = {name: cpu_s(pid) for name, pid in pids.items()}
                status = daemon.status()
                readings = recorder.since(began_s, began_s + took_s)
            memory: Dict[str, float] = {name: own_mb(pid) for name, pid in pids.items()}
            share = {name: 100 * (after[name] - before[name]) / took_s for name in pids}
            as_expected = sum(heard.message.get("state") == state for heard in readings)
            found = {
                "machine": describe(),
                "room": room,
                "format": kind,
                "seconds": round(took_s, 1),
                "fps": status["fps"],
                "engine": status["engine"]["name"],
                "cpu_percent_of_a_core": {
                    **{name: round(value, 2) for name, value in share.items()},
                    "together": round(sum(share.values()), 2),
                },
                "rss_mb": {name: rss_mb(pid) for name, pid in pids.items()},
                "pss_mb": {
                    **{name: round(value, 1) for name, value in memory.items()},
                    "together": round(sum(memory.values()), 1),
                },
                "readings": len(readings),
                state: as_expected,
            }
            json.dump(found, sys.stdout, indent=2)
            print()
            return 0 if readings and as_expected == len(readings) else 1
        finally:
            daemon.stop()
            camera.unplug()


if __name__ == "__main__":
    sys.exit(main())
