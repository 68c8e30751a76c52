"""Every recording by itself, the worst first."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

from hrd.evaluation.protocol import LiveRow, WindowRow
from hrd.evaluation.runner import RecordingResult
from hrd.types import NEAR_BPM

COLUMNS = (
    *("section", "recording", "method", "seconds", "drawn", "reference_bpm", "mae", "worst"),
    *("published", "right"),
)
"""Of recordings.csv; ``mae`` and ``worst`` in bpm over ``MAIN_WINDOW_S``, the others are shares."""


def recording_figures(
    results: Sequence[RecordingResult],
    methods: Sequence[str],
    said: Dict[str, List[LiveRow]],
    seconds: Dict[str, List[LiveRow]],
    window_s: float,
) -> List[Dict[str, Any]]:
    """One object per recording that was evaluated, ordered by the first method's error, the worst
    first. ``said``, ``seconds``: by method, the rows that the daemon would have published, and all.
    """
    found = []
    for result in results:
        if result.problem is not None:
            continue
        rows = [row for row in result.windows if row.window_s == window_s]
        rows = rows or [row for row in result.windows if row.window_s == 0.0]
        one: Dict[str, Any] = {"recording": result.name, "seconds": round(result.seconds, 1)}
        if result.drawn:
            one["drawn"] = True
        if rows:
            bpm = [row.reference_bpm for row in rows]
            one["reference_bpm"] = sum(bpm) / len(bpm)
        one["methods"] = {
            method: _of(
                [row for row in rows if row.method == method],
                _of_recording(said.get(method), result.name),
                _of_recording(seconds.get(method), result.name),
            )
            for method in methods
        }
        found.append(one)
    first = methods[0]
    return sorted(found, key=lambda one: -_badness(one["methods"][first]))


def _of_recording(rows: Optional[List[LiveRow]], name: str) -> Optional[List[LiveRow]]:
    return None if rows is None else [row for row in rows if row.recording == name]


def _of(
    windows: List[WindowRow], said: Optional[List[LiveRow]], seconds: Optional[List[LiveRow]]
) -> Dict[str, Any]:
    error = [abs(row.bpm - row.reference_bpm) for row in windows if row.bpm is not None]
    figures: Dict[str, Any] = {"n": len(error), "missing": len(windows) - len(error)}
    if error:
        figures["mae"] = sum(error) / len(error)
        figures["worst"] = max(error)
    if seconds and said is not None:
        figures["published"] = len(said) / len(seconds)
        if said:
            figures["right"] = sum(_right(row) for row in said) / len(said)
    return figures


def _right(row: LiveRow) -> bool:
    assert row.bpm is not None
    return row.reference_bpm is not None and abs(row.bpm - row.reference_bpm) <= NEAR_BPM


def _badness(figures: Dict[str, Any]) -> float:
    """Windows without a reading are worse than any error; then the mean error; where nothing has a
    pulse, how much was published."""
    if figures["missing"] and not figures["n"]:
        return float("inf")
    if "mae" in figures:
        return float(figures["mae"])
    return float(figures.get("published", 0.0))


def write_csv(path: Path, sections: Sequence[Dict[str, Any]]) -> None:
    """All of them, a row for each method."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for section in sections:
            for one in section["by_recording"]:
                for method, figures in one["methods"].items():
                    values = {**one, **figures, "section": section["name"], "method": method}
                    writer.writerow([_cell(values.get(name)) for name in COLUMNS])


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else ""
    return f"{value:.4f}" if isinstance(value, float) else value
