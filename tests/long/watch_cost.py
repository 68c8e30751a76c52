"""What the full screen of ``hrd watch`` costs: time to the moving wave, bytes, processor, memory.

    python -m tests.long.watch_cost [SECONDS] ["ssh -tt BOARD /opt/hrd/bin/hrd watch"]

A terminal of its own for each size, a daemon with a simulated face. Close other programs first.
With a command, that is timed in place of this machine's own ``hrd watch``, log-in and all, and
processor and memory are not looked at.
"""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import shlex
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


def watch(command: List[str], columns: int, lines: int) -> Tuple[int, int]:
    """Start it in a terminal of that size; its process and the terminal's other end."""
    pid, terminal = pty.fork()
    if pid == 0:
        size = struct.pack("HHHH", lines, columns, 0, 0)
        fcntl.ioctl(0, termios.TIOCSWINSZ, size)
        environment = {**os.environ, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8"}
        os.execvpe(command[0], command, environment)
    return pid, terminal


def measure(
    command: List[str], columns: int, lines: int, seconds: float, own: bool = True
) -> Dict[str, Any]:
    """The figures of one size; ``own``: the process that is started is ``hrd watch`` itself."""
    began_s = time.monotonic()
    pid, terminal = watch(command, columns, lines)
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
    }
    if own:
        cpu_percent = 100 * (cpu_s(pid) - settled_cpu_s) / took_s
        found["cpu_percent_of_a_core"] = round(cpu_percent, 2)
        found["peak_rss_mb"] = round(_peak_mb(pid), 1)
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
    if len(sys.argv) > 2:
        over = shlex.split(sys.argv[2])
        return report({f"{w}x{h}": measure(over, w, h, seconds, own=False) for w, h in SIZES})
    with short_directory() as folder:
        daemon = Running(Path(folder), config("sim:bpm=72,seed=5"))
        try:
            with Recorder(daemon.socket) as recorder:
                recorder.wait_for_bpm(0.0)
            command = [sys.executable, "-m", "hrd", "watch", "--socket", daemon.socket]
            found = {f"{w}x{h}": measure(command, w, h, seconds) for w, h in SIZES}
        finally:
            daemon.stop()
    return report(found)


def report(found: Dict[str, Dict[str, Any]]) -> int:
    """Print it; 1 where a limit is exceeded."""
    json.dump({"machine": describe(), **found}, sys.stdout, indent=2)
    print()
    good = all(
        one["kB_per_s"] <= 10.0
        and one.get("cpu_percent_of_a_core", 0.0) <= 3.0
        and one["moving_wave_after_s"] <= 2.0
        for one in found.values()
    )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
