"""Reference files: a CSV with times, or the ground_truth.txt of UBFC-rPPG's DATASET_2."""

from __future__ import annotations

import csv
import datetime
from pathlib import Path
from typing import Dict, List, Optional

from hrd.devices.sample import DeviceError, Sample, finite

_NAMES = {
    "time": ("time", "time_s", "timestamp", "t", "unix", "datetime", "seconds"),
    "bpm": ("bpm", "hr", "heart_rate", "heartrate", "pulse", "pulse_rate", "rate"),
    "wave": ("wave", "ppg", "bvp", "pleth", "waveform", "ecg"),
    "ibi_ms": ("ibi_ms", "rr_ms", "rr", "ibi", "rri"),
}


def read_samples(path: Path) -> List[Sample]:
    """The samples of a file, in the order of their times. Raises ``DeviceError``."""
    try:
        text = path.read_text(encoding="utf-8-sig", errors="replace")
    except OSError as error:
        raise DeviceError(f"the reference {path} cannot be read: {error.strerror}") from None
    samples = _ground_truth(text) if path.name == "ground_truth.txt" else _csv(path, text)
    if len(samples) < 2:
        raise DeviceError(
            f"{path} holds no samples; it needs a column time, and bpm, wave or ibi_ms"
        )
    return sorted(samples, key=lambda sample: sample.time_s)


def _ground_truth(text: str) -> List[Sample]:
    rows = [[finite(cell) for cell in line.split()] for line in text.splitlines() if line.strip()]
    if len(rows) < 3:
        return []
    return [
        Sample(time_s, bpm or None, wave)
        for wave, bpm, time_s in zip(rows[0], rows[1], rows[2])
        if time_s is not None
    ]


def _csv(path: Path, text: str) -> List[Sample]:
    rows = list(csv.reader(text.splitlines(), delimiter=";" if ";" in text[:200] else ","))
    rows = [row for row in rows if any(cell.strip() for cell in row)]
    if not rows:
        return []
    place = _places(rows[0])
    if place:
        rows = rows[1:]
    elif _time_s(rows[0][0]) is not None and len(rows[0]) >= 2:
        place = {"time": 0, "bpm": 1}  # no heading
    if "time" not in place or len(place) < 2:
        raise DeviceError(
            f"{path} needs a first line that names its columns: time, and bpm, wave or ibi_ms"
        )
    samples = []
    for number, row in enumerate(rows, start=1):
        cells = {name: row[at].strip() if at < len(row) else "" for name, at in place.items()}
        time_s = _time_s(cells["time"])
        if time_s is None:
            raise DeviceError(
                f"{path}: row {number} has no time that can be read ({cells['time'][:40]!r})"
            )
        ibi = tuple(
            value
            for value in (finite(part) for part in cells.get("ibi_ms", "").split())
            if value is not None
        )
        samples.append(
            Sample(time_s, finite(cells.get("bpm")) or None, finite(cells.get("wave")), ibi)
        )
    return samples


def _places(heading: List[str]) -> Dict[str, int]:
    found = {}
    for at, cell in enumerate(heading):
        word = cell.strip().lower()
        for name, words in _NAMES.items():
            if word in words and name not in found:
                found[name] = at
    return found if "time" in found else {}


def _time_s(cell: str) -> Optional[float]:
    """Seconds, or a date and time of ISO 8601 (local time where it names no zone)."""
    value = finite(cell)
    if value is not None:
        return value
    try:
        return datetime.datetime.fromisoformat(cell.strip().replace("Z", "+00:00")).timestamp()
    except ValueError:
        return None
