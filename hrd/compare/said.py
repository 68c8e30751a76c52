"""What hrd said: from a daemon's lines, as ``hrd record`` keeps them, or from ``hrd measure``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterable, List, Mapping, Optional, Tuple

import numpy as np

from hrd.errors import HrdError
from hrd.estimate.features import FEATURE_NAMES


@dataclass(frozen=True)
class Estimated:
    """hrd's estimates, published or not, and what their confidence was computed from: ``time_s``,
    ``bpm`` (M,), ``features`` (M, F) in the order of FEATURE_NAMES, and the ``engine``'s name."""

    time_s: np.ndarray
    bpm: np.ndarray
    features: np.ndarray
    engine: str


@dataclass(frozen=True)
class Said:
    """hrd's statements: ``time_s``, ``bpm``, ``confidence`` (N,), NaN where it said no bpm.

    ``wave``: stretches of its signal, each with the time of its first sample and its rate in Hz.
    ``estimated``: its estimates, where they were recorded.
    """

    time_s: np.ndarray
    bpm: np.ndarray
    confidence: np.ndarray
    wave: Tuple[Tuple[float, float, np.ndarray], ...] = ()
    estimated: Optional[Estimated] = None


def read_said(path: Path) -> Said:
    """What a file of ``hrd record``, ``hrd watch --json`` or ``hrd measure --json`` holds.

    Raises ``HrdError`` if it holds neither.
    """
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise HrdError(f"{path} cannot be read: {error.strerror}") from None
    objects = []
    for line in lines:
        try:
            one = json.loads(line)
        except ValueError:
            continue  # the last line of a recording that was cut off
        if isinstance(one, dict):
            objects.append(one)
    measured = [one for one in objects if isinstance(one.get("readings"), list)]
    said = from_measure(measured[0]) if measured else from_messages(objects)
    if len(said.time_s) < 2:
        raise HrdError(
            f"{path} holds no readings of hrd; give a file of hrd record, or of hrd measure --json"
        )
    return said


def from_messages(messages: Iterable[Mapping[str, Any]]) -> Said:
    """From the daemon's messages (Unix seconds); those that are no HR or PPG are passed over."""
    rows: List[Tuple[float, float, float]] = []
    wave = []
    explained: List[Tuple[float, Any]] = []
    engine = ""
    for one in messages:
        if one.get("class") == "HR" and isinstance(one.get("time"), (int, float)):
            rows.append((one["time"], one.get("bpm", np.nan), one.get("confidence", np.nan)))
        elif one.get("class") == "PPG" and one.get("bvp") and "fs_hz" in one:
            wave.append((float(one["time"]), float(one["fs_hz"]), np.array(one["bvp"], float)))
        elif one.get("class") == "FEATURES" and "explain" in one and "time" in one:
            explained.append((float(one["time"]), one["explain"]))
            engine = str(one.get("engine", ""))
    return _said(rows, wave, _estimated(explained, engine))


def from_measure(measured: Mapping[str, Any]) -> Said:
    """From the object that ``hrd measure --json`` prints (seconds from the clip's start)."""
    rows = [
        (one["t"], one.get("bpm", np.nan), one.get("confidence", np.nan))
        for one in measured["readings"]
    ]
    wave = [
        (float(one["t"]), float(one["fs_hz"]), np.array(one["bvp"], float))
        for one in measured.get("ppg", ())
    ]
    explained = [(one["t"], one["explain"]) for one in measured["readings"] if "explain" in one]
    return _said(rows, wave, _estimated(explained, str(measured.get("engine", ""))))


def _estimated(explained: List[Tuple[float, Any]], engine: str) -> Optional[Estimated]:
    """Of FEATURES, or of ``hrd measure --explain``; None where there are none of this release."""
    rows = []
    for time_s, one in explained:
        terms = one.get("features", {})
        if "bpm" in one and all(name in terms for name in FEATURE_NAMES):
            rows.append((time_s, one["bpm"], *(terms[name]["value"] for name in FEATURE_NAMES)))
    if not rows:
        return None
    table = np.array(sorted(rows), float)
    return Estimated(table[:, 0], table[:, 1], table[:, 2:], engine)


def _said(
    rows: List[Tuple[float, float, float]],
    wave: List[Tuple[float, float, Any]],
    estimated: Optional[Estimated],
) -> Said:
    last = {round(row[0], 3): row for row in rows}  # a reconnection repeats the newest
    table = np.array(sorted(last.values()), float).reshape(-1, 3)
    in_order = tuple(sorted(wave, key=lambda one: one[0]))
    return Said(table[:, 0], table[:, 1], table[:, 2], in_order, estimated)
