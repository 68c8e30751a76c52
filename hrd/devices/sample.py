"""What a reference device says, and where samples are kept."""

from __future__ import annotations

import abc
import csv
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Iterator, List, Optional, TextIO, Tuple

from hrd.errors import HrdError

COLUMNS = ("time", "bpm", "wave", "ibi_ms")
"""Of a CSV of samples. ``time``: Unix seconds, or seconds from any start; ``ibi_ms``: intervals
between beats in ms, separated by spaces."""


class DeviceError(HrdError):
    """A device that cannot be found or read; the message says what to do."""


@dataclass(frozen=True)
class Sample:
    """What a device said at ``time_s``. ``bpm``: its own heart rate; ``wave``: a sample of its
    pulse wave, arbitrary unit; ``ibi_ms``: intervals between the beats since its last word, oldest
    first."""

    time_s: float
    bpm: Optional[float] = None
    wave: Optional[float] = None
    ibi_ms: Tuple[float, ...] = ()

    def row(self) -> List[str]:
        """As a row of a CSV with ``COLUMNS``."""
        bpm = "" if self.bpm is None else f"{self.bpm:.1f}"
        wave = "" if self.wave is None else f"{self.wave:g}"
        return [f"{self.time_s:.4f}", bpm, wave, " ".join(f"{one:.1f}" for one in self.ibi_ms)]


class Device(abc.ABC):
    """A device that is read live. ``name``: what a person calls it."""

    name: str

    @abc.abstractmethod
    def samples(self, is_over: Callable[[], bool]) -> Iterator[Sample]:
        """Samples as they come, their times of arrival in Unix seconds, until ``is_over()``, which
        is asked several times a second. Raises ``DeviceError``."""


class SampleWriter:
    """Writes samples to a CSV, row by row."""

    def __init__(self, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file: TextIO = path.open("w", newline="", encoding="utf-8")  # noqa: SIM115
        except OSError as error:
            raise HrdError(f"{path} cannot be written: {error.strerror}") from None
        self._rows = csv.writer(self._file)
        self._rows.writerow(COLUMNS)

    def write(self, sample: Sample) -> None:
        self._rows.writerow(sample.row())

    def close(self) -> None:
        self._file.close()


def finite(text: Optional[str]) -> Optional[float]:
    """A number from a cell; None where there is none, or none that is finite."""
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) else None
