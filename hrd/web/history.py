"""Every reading of a day, in little memory: a column of numbers for each field."""

from __future__ import annotations

import array
from typing import Dict, Iterator, List, Optional, Tuple

from hrd.wire import HeartRate

DAY_ROWS = 86_400
"""A day of one reading a second."""

_NUMBERS = ("time_s", "bpm", "confidence", "snr_db", "fps", "latency_ms")
_NONE = float("nan")
_CODES = 250  # different states and reasons; what comes after is stored as the first one, none


class History:
    """``add`` readings; the oldest eighth goes when ``rows`` are exceeded (some 6 MB a day)."""

    def __init__(self, rows: int = DAY_ROWS) -> None:
        self._limit = rows
        self._numbers = {name: array.array("d") for name in _NUMBERS}
        self._states = array.array("B")
        self._reasons = array.array("B")
        self._names: List[str] = [""]
        self._codes: Dict[str, int] = {"": 0}

    def __len__(self) -> int:
        return len(self._states)

    def add(self, reading: HeartRate) -> None:
        """Keep one; the newest told again is left out."""
        times_s = self._numbers["time_s"]
        if times_s and times_s[-1] == reading.time_s:
            return
        for name, column in self._numbers.items():
            value = getattr(reading, name)
            column.append(_NONE if value is None else float(value))
        self._states.append(self._code(reading.state))
        self._reasons.append(self._code(reading.reason or ""))
        if len(self) > self._limit:
            gone = max(1, self._limit // 8)
            for column in self._numbers.values():
                del column[:gone]
            del self._states[:gone], self._reasons[:gone]

    def readings(self, since_s: float = 0.0) -> Iterator[HeartRate]:
        """Those not older than ``since_s`` (Unix time), the oldest first."""
        first = len(self)
        times_s = self._numbers["time_s"]
        while first > 0 and times_s[first - 1] >= since_s:
            first -= 1
        for k in range(first, len(self)):
            numbers: List[Optional[float]] = [
                None if value != value else value
                for value in (column[k] for column in self._numbers.values())
            ]
            time_s, bpm, confidence, snr_db, fps, latency_ms = numbers
            yield HeartRate(
                time_s or 0.0,
                self._names[self._states[k]],
                bpm,
                confidence,
                self._names[self._reasons[k]] or None,
                snr_db,
                fps,
                latency_ms,
            )

    def rates(self, since_s: float) -> List[Tuple[float, Optional[float]]]:
        """Time and bpm (None where there was none) of those not older than ``since_s``."""
        return [(one.time_s, one.bpm) for one in self.readings(since_s)]

    def _code(self, name: str) -> int:
        code = self._codes.get(name)
        if code is None:
            if len(self._names) > _CODES:
                return 0
            code = self._codes[name] = len(self._names)
            self._names.append(name)
        return code
