"""What the daemon costs while nothing happens (`make steady`): processor time and memory.

A 640x480 camera of 30 pictures a second (Motion JPEG over HTTP) is read by the real daemon,
capture process and all, with one client that listens. ``STEADY_S``: for how long (120 s). Close
other programs first: what they take of the caches and the clock is counted as hrd's.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Dict

from hrd.bench.device import describe
from hrd.memory import rss_mb
from tests.long.camera_server import CameraServer, face_pictures
from tests.long.recorder import Recorder
from tests.long.running import Running, config, cpu_s
from tests.socket_help import short_directory

WARM_S = 20.0
QUALITY = 90
"""Of the JPEG pictures: what USB cameras send at this size, some 40 kB each."""


def own_mb(pid: int) -> float:
    """Memory of a process, pages that it shares with others counted in shares (PSS)."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1e3
    raise OSError("no Pss in smaps_rollup")


def main() -> int:
    """Print what was measured, as JSON; 1 if the daemon did not track all the while."""
    seconds = float(os.environ.get("STEADY_S", "120"))
    camera = CameraServer(face_pictures("640x480", quality=QUALITY))
    with short_directory() as folder:
        daemon = Running(Path(folder), config(camera.url))
        try:
            with Recorder(daemon.socket) as recorder:
                recorder.wait_for_bpm(0.0)
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
            tracking = sum(heard.message.get("state") == "tracking" for heard in readings)
            found = {
                "machine": describe(),
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
                "tracking": tracking,
            }
            json.dump(found, sys.stdout, indent=2)
            print()
            return 0 if readings and tracking == len(readings) else 1
        finally:
            daemon.stop()
            camera.unplug()


if __name__ == "__main__":
    sys.exit(main())
