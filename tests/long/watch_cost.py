"""What the full screen of ``hrd watch`` costs: time to the moving wave, bytes, processor, memory.

    python -m tests.long.watch_cost [SECONDS]

A terminal of its own for each size, a daemon with a simulated face. Close other programs first.
"""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import struct
import sys
import termios
import time
from pathlib import Path
from typing import Any, Dict, List, Tuple

from hrd.bench.device import describe
from tests.long.recorder import Recorder
from tests.long.running import Running, config, cpu_s
from tests.socket_help import short_directory

SIZES = ((80, 24), (120, 40), (200, 60))
_SETTLED_S = 8.0
_BRAILLE = re.compile("[\u2801-\u28ff]")


def watch(socket: str, columns: int, lines: int) -> Tuple[int, int]:
    """Start it in a terminal of that size; its process and the terminal's other end."""
    pid, terminal = pty.fork()
    if pid == 0:
        size = struct.pack("HHHH", lines, columns, 0, 0)
        fcntl.ioctl(0, termios.TIOCSWINSZ, size)
        environment = {**os.environ, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8"}
        command = [sys.executable, "-m", "hrd", "watch", "--socket", socket]
        os.execve(sys.executable, command, environment)
    return pid, terminal


def measure(socket: str, columns: int, lines: int, seconds: float) -> Dict[str, Any]:
    """The figures of one size."""
    began_s = time.monotonic()
    pid, terminal = watch(socket, columns, lines)
    waves_s: List[float] = []  # when something of the wave was drawn
    settled_bytes, settled_cpu_s, sent = 0, 0.0, 0
    settled = False
    while time.monotonic() - began_s < _SETTLED_S + seconds:
        if select.select([terminal], [], [], 0.1)[0]:
            data = os.read(terminal, 65536)
            sent += len(data)
            if len(waves_s) < 2 and _BRAILLE.search(data.decode("utf-8", "replace")):
                waves_s.append(time.monotonic() - began_s)
        if not settled and time.monotonic() - began_s > _SETTLED_S:
            settled, settled_bytes, settled_cpu_s = True, sent, cpu_s(pid)
    took_s = time.monotonic() - began_s - _SETTLED_S
    found = {
        "moving_wave_after_s": round(waves_s[1], 2),
        "kB_per_s": round((sent - settled_bytes) / took_s / 1e3, 2),
        "cpu_percent_of_a_core": round(100 * (cpu_s(pid) - settled_cpu_s) / took_s, 2),
        "peak_rss_mb": round(_peak_mb(pid), 1),
    }
    os.write(terminal, b"q")
    os.waitpid(pid, 0)
    os.close(terminal)
    return found


def _peak_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024 / 1e6
    raise OSError("no VmHWM")


def main() -> int:
    """Print what was measured, as JSON; 1 where a limit of issue and design is exceeded."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 30.0
    with short_directory() as folder:
        daemon = Running(Path(folder), config("sim:bpm=72,seed=5"))
        try:
            with Recorder(daemon.socket) as recorder:
                recorder.wait_for_bpm(0.0)
            found = {f"{w}x{h}": measure(daemon.socket, w, h, seconds) for w, h in SIZES}
        finally:
            daemon.stop()
    json.dump({"machine": describe(), **found}, sys.stdout, indent=2)
    print()
    good = all(
        one["kB_per_s"] <= 10.0
        and one["cpu_percent_of_a_core"] <= 3.0
        and one["moving_wave_after_s"] <= 2.0
        for one in found.values()
    )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
