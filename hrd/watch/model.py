"""What is known of a daemon from what it has said: the newest reading, its past, its wave.

Pure: messages and the times of their arrival come in. An old reading is never carried on: where
the daemon is gone or silent, ``reading`` is None and ``silence`` says why.
"""

from __future__ import annotations

import time
from collections import deque
from typing import Any, Deque, Dict, List, Mapping, Optional

from hrd.status import Status
from hrd.watch.playout import Playout
from hrd.why import Why, why
from hrd.wire import HeartRate

HISTORY_S = 600.0
"""How much of the past is shown."""

_SILENT_S = 3.5  # without a reading for so long there is none
_PAUSES = 3.5  # ... or for so many of the usual pauses between two
_KEPT = 20_000  # readings, however many come a second

CSV_HEADER = "time,unix_s,state,bpm,confidence,reason,snr_db,fps,latency_ms"


class Model:
    """One daemon's face. ``take`` its messages; all times are of ``time.monotonic()`` but those of
    readings, which are Unix times."""

    def __init__(self, name: str, history_s: float = HISTORY_S) -> None:
        self.name = name
        self.history_s = history_s
        self.history: Deque[HeartRate] = deque(maxlen=_KEPT)
        self.wave = Playout()
        self.release = ""
        self.status: Optional[Status] = None
        self.setup: Optional[Mapping[str, Any]] = None
        self.lost: Optional[str] = "waiting for the daemon"
        self._why: Optional[Why] = None
        self.version = 0
        """Grows with everything that is new."""
        self._newest: Optional[HeartRate] = None
        self._came_s = 0.0
        self._pause_s = 1.0
        self._setup_s = 0.0

    def take(self, message: Mapping[str, Any], now_s: float) -> None:
        """A message of the daemon; raises ``ClientError`` for an HR that is none."""
        kind = message.get("class")
        if kind == "VERSION":
            self.release = str(message.get("release", ""))
            self.lost = None
            self._came_s = now_s
        elif kind == "HR":
            self._take_reading(HeartRate.from_message(message), now_s)
        elif kind == "PPG":
            self._take_wave(message)
            return  # drawn in its own time
        elif kind == "STATUS":
            self.status = Status.from_message(message)
        elif kind == "SETUP":
            self.setup, self._setup_s = message, now_s
        elif kind == "FEATURES":
            self._why = why(message)
        else:
            return
        self.version += 1

    def lose(self, why: str) -> None:
        """The daemon is gone."""
        self.lost = why
        self._newest = None
        self.status = None
        self.setup = None
        self._why = None
        self.wave.clear()
        self.version += 1

    def reading(self, now_s: float) -> Optional[HeartRate]:
        """The newest reading, while it is new."""
        return None if self.silence(now_s) is not None else self._newest

    def silence(self, now_s: float) -> Optional[str]:
        """Why there is no reading at all; None where there is one."""
        if self.lost is not None:
            return self.lost
        quiet_s = now_s - self._came_s
        if quiet_s > max(_SILENT_S, _PAUSES * self._pause_s):
            return f"the daemon has said nothing for {quiet_s:.0f} s"
        return None if self._newest is not None else "waiting for the first reading"

    def why(self, now_s: float) -> Optional[Why]:
        """Why the newest reading's confidence is what it is; None where that is not known."""
        reading = self.reading(now_s)
        if reading is None or self._why is None or self._why.time_s != reading.time_s:
            return None
        return self._why

    def setup_view(self, now_s: float) -> Optional[Mapping[str, Any]]:
        """The newest SETUP, while it is new."""
        return self.setup if now_s - self._setup_s < _SILENT_S else None

    def tracking_s(self) -> float:
        """For how long there has been a bpm without a break."""
        newest_s = first_s = None
        for reading in reversed(self.history):
            if not reading.tracking:
                break
            newest_s = newest_s or reading.time_s
            first_s = reading.time_s
        return 0.0 if newest_s is None or first_s is None else newest_s - first_s

    def _take_reading(self, reading: HeartRate, now_s: float) -> None:
        if self._newest is not None:
            self._pause_s += 0.2 * (min(now_s - self._came_s, 30.0) - self._pause_s)
        self._newest, self._came_s = reading, now_s
        if self.history and reading == self.history[-1]:
            return  # told again at a new connection
        if self.history and reading.time_s < self.history[-1].time_s - 1.0:
            self.history.clear()  # the clock was set back
        self.history.append(reading)
        while self.history[0].time_s < reading.time_s - self.history_s:
            self.history.popleft()
        if not reading.tracking and reading.state in ("no_face", "no_camera"):
            self.wave.clear()  # nobody's pulse is drawn

    def _take_wave(self, message: Mapping[str, Any]) -> None:
        start_s, fs_hz, bvp = (message.get(name) for name in ("time", "fs_hz", "bvp"))
        if isinstance(start_s, (int, float)) and isinstance(fs_hz, (int, float)):
            self.wave.push(float(start_s), float(fs_hz), bvp if isinstance(bvp, list) else [])


def csv_lines(readings: List[HeartRate]) -> List[str]:
    """Readings as comma-separated values, a header first; what is not known is empty."""
    lines = [CSV_HEADER]
    for reading in readings:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(reading.time_s))
        values: Dict[str, Any] = {
            "state": _word(reading.state),
            "bpm": reading.bpm,
            "confidence": reading.confidence,
            "reason": _word(reading.reason),
            "snr_db": reading.snr_db,
            "fps": reading.fps,
            "latency_ms": reading.latency_ms,
        }
        cells = ["" if value is None else str(value) for value in values.values()]
        lines.append(",".join([stamp, f"{reading.time_s:.3f}", *cells]))
    return lines


def _word(text: Optional[str]) -> Optional[str]:
    """A state or reason as it may stand in a table: a spreadsheet computes what looks like more."""
    if text is None:
        return None
    return "".join(char for char in text if char.isalnum() or char == "_")
