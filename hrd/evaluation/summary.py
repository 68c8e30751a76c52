"""From rows to the figures of the report."""

from __future__ import annotations

from typing import Any, Dict, Iterable, List, Mapping, Optional, Sequence

import numpy as np

from hrd.estimate.gate import PublishGate
from hrd.evaluation.by_recording import recording_figures
from hrd.evaluation.following import following_figures
from hrd.evaluation.metrics import (
    RATE_BANDS,
    ROUNDS,
    coverage_curve,
    errors,
    rate_band,
    reliability,
    with_intervals,
)
from hrd.evaluation.protocol import WINDOWS_S, LiveRow, WindowRow
from hrd.evaluation.runner import RecordingResult
from hrd.types import NEAR_BPM

ALL = "all"
"""Name of the section over all others."""

MAIN_WINDOW_S = 10.0
"""Groups and rate bands are broken down at this window."""

SETTLED_S = 12.0
"""The live window is full after this; coverage is given with and without the time before."""


def window_name(window_s: float) -> str:
    """``whole`` or ``10``, as the report calls it."""
    return f"{window_s:g}" if window_s else "whole"


def summarise(
    results: Sequence[RecordingResult],
    methods: Sequence[str],
    live_methods: Sequence[str],
    min_confidence: float,
    rounds: int = ROUNDS,
    steps_at_s: Optional[Mapping[str, float]] = None,
) -> List[Dict[str, Any]]:
    """One object per section, in the order in which the sections come; then, if there are
    several, one named ``all`` over everything. ``steps_at_s``: the sections in whose recordings
    the heart rate steps, and when."""
    sections: List[str] = []
    for result in results:
        if result.section not in sections:
            sections.append(result.section)
    parts = [(name, [result for result in results if result.section == name]) for name in sections]
    if len(parts) > 1:
        parts.append((ALL, list(results)))
    return [
        _section(
            name, own, methods, live_methods, min_confidence, rounds, (steps_at_s or {}).get(name)
        )
        for name, own in parts
    ]


def _section(
    name: str,
    results: Sequence[RecordingResult],
    methods: Sequence[str],
    live_methods: Sequence[str],
    min_confidence: float,
    rounds: int,
    step_at_s: Optional[float],
) -> Dict[str, Any]:
    good = [result for result in results if result.problem is None]
    windows = [row for result in good for row in result.windows]
    live = [row for result in good for row in result.live]
    main = [row for row in windows if row.window_s == MAIN_WINDOW_S]
    return {
        "name": name,
        "recordings": len(results),
        "evaluated": len(good),
        "seconds": round(sum(result.seconds for result in good), 1),
        "references": sorted({result.reference for result in good if result.reference}),
        "windows": {
            window_name(size): {
                method: window_figures(
                    [row for row in windows if row.window_s == size and row.method == method],
                    rounds,
                )
                for method in methods
            }
            for size in WINDOWS_S
        },
        "rate_bands": {
            band: {
                method: plain_figures(
                    [
                        row
                        for row in main
                        if row.method == method and rate_band(row.reference_bpm) == band
                    ]
                )
                for method in methods
            }
            for band, _, _ in RATE_BANDS
            if any(rate_band(row.reference_bpm) == band for row in main)
        },
        "groups": _groups(main, live, methods, live_methods, min_confidence),
        "by_recording": _by_recording(good, methods, live_methods, min_confidence),
        "live": {
            method: live_figures(
                [row for row in live if row.method == method],
                min_confidence,
                step_at_s,
            )
            for method in live_methods
        },
    }


def _by_recording(
    results: Sequence[RecordingResult],
    methods: Sequence[str],
    live_methods: Sequence[str],
    min_confidence: float,
) -> List[Dict[str, Any]]:
    seconds = {
        method: by_second([row for one in results for row in one.live if row.method == method])
        for method in live_methods
    }
    said = {method: published(rows, min_confidence) for method, rows in seconds.items()}
    return recording_figures(results, methods, said, seconds, MAIN_WINDOW_S)


def _read(rows: Iterable[WindowRow]) -> List[WindowRow]:
    return [row for row in rows if row.bpm is not None]


def window_figures(rows: Sequence[WindowRow], rounds: int = ROUNDS) -> Dict[str, Any]:
    """Metrics with intervals over the windows that have a reading; ``missing``: those without."""
    read = _read(rows)
    figures = with_intervals(
        np.array([row.reference_bpm for row in read]),
        np.array([row.bpm for row in read], float),
        [row.subject for row in read],
        np.array([row.snr_db for row in read], float),
        rounds,
    )
    figures["missing"] = len(rows) - len(read)
    figures["peak"] = _peak_figures(read)
    return figures


def _peak_figures(read: Sequence[WindowRow]) -> Dict[str, Any]:
    """MAE and RMSE of the spectrum's highest peak against the reference's, as papers give them."""
    found = errors(
        np.array([row.peak_reference_bpm for row in read]),
        np.array([row.peak_bpm for row in read], float),
    )
    return {name: found[name] for name in ("mae", "rmse", "bias")}


def plain_figures(rows: Sequence[WindowRow]) -> Dict[str, Any]:
    """Metrics without intervals."""
    read = _read(rows)
    figures: Dict[str, Any] = dict(
        errors(
            np.array([row.reference_bpm for row in read]),
            np.array([row.bpm for row in read], float),
            np.array([row.snr_db for row in read], float),
        )
    )
    figures["n"] = len(read)
    figures["missing"] = len(rows) - len(read)
    return figures


def by_second(rows: Sequence[LiveRow]) -> List[LiveRow]:
    """At most one row per recording and second: the last that a client would have got in it."""
    last: Dict[Any, LiveRow] = {}
    for row in rows:
        last[(row.recording, int(row.time_s + 1e-6))] = row
    return list(last.values())


def live_figures(
    rows: Sequence[LiveRow], min_confidence: float, step_at_s: Optional[float] = None
) -> Dict[str, Any]:
    """The live pipeline with its gate: coverage, errors of what it publishes, calibration, and how
    it follows (``step_at_s``: where the rate jumps in every recording).

    Seconds whose reference is not known (though there is a pulse) are left out.
    """
    rows = [row for row in by_second(rows) if row.reference_bpm is not None or not row.has_pulse]
    said = published(rows, min_confidence)
    settled = [row for row in rows if row.time_s >= SETTLED_S]
    estimates = [row for row in rows if row.bpm is not None and row.confidence is not None]
    confidence = np.array([row.confidence for row in estimates], float)
    # a bpm where there is no pulse is wrong whatever it says
    error = np.array([_error(row) for row in estimates], float)
    right = np.abs(error) <= NEAR_BPM
    truth = [row for row in said if row.has_pulse]
    figures: Dict[str, Any] = {
        "seconds": len(rows),
        "published": len(said),
        "coverage": len(said) / len(rows) if rows else None,
        "coverage_settled": (
            sum(row.time_s >= SETTLED_S for row in said) / len(settled) if settled else None
        ),
        "right_of_published": (
            sum(abs(_error(row)) <= NEAR_BPM for row in said) / len(said) if said else None
        ),
        "mae": float(np.mean([abs(_error(row)) for row in truth])) if truth else None,
        "bias": float(np.mean([_error(row) for row in truth])) if truth else None,
        "first_reading_s": _first_readings(rows, said),
        "calibration": reliability(confidence, right),
        "refused": _reasons(rows, said),
    }
    recordings = len({row.recording for row in rows if row.has_pulse})
    figures["following"] = following_figures(truth, recordings, step_at_s)
    finite = np.isfinite(error)
    figures["curve"] = coverage_curve(confidence[finite], np.abs(error[finite]), max(len(rows), 1))
    return figures


def published(rows: Sequence[LiveRow], min_confidence: float) -> List[LiveRow]:
    """The rows that the daemon would have published: sure enough, and not out of nowhere."""
    gates: Dict[str, PublishGate] = {}
    said = []
    for row in rows:
        gate = gates.setdefault(row.recording, PublishGate(min_confidence))
        if row.bpm is None or row.confidence is None:
            gate.refuse()
        elif gate.allows(row.bpm, row.confidence, row.time_s):
            said.append(row)
    return said


def _error(row: LiveRow) -> float:
    assert row.bpm is not None
    return row.bpm - row.reference_bpm if row.reference_bpm is not None else float("inf")


def _first_readings(rows: Sequence[LiveRow], said: Sequence[LiveRow]) -> Optional[Dict[str, Any]]:
    """Median and 95th percentile of the first published reading; clips without one: infinite."""
    first = {row.recording: float("inf") for row in rows}
    for row in said:
        first[row.recording] = min(first[row.recording], row.time_s)
    times_s = np.array(sorted(first.values()))
    if len(times_s) == 0:
        return None
    # order statistics: interpolating between a time and "never" has no meaning
    median = float(times_s[int(np.ceil(0.5 * len(times_s))) - 1])
    late = float(times_s[int(np.ceil(0.95 * len(times_s))) - 1])
    found: Dict[str, Any] = {"never": int(np.isinf(times_s).sum())}
    if np.isfinite(median):
        found["median"] = median
    if np.isfinite(late):
        found["p95"] = late
    return found


def _reasons(rows: Sequence[LiveRow], said: Sequence[LiveRow]) -> Dict[str, int]:
    counts: Dict[str, int] = {}
    told = {id(row) for row in said}
    for row in rows:
        if id(row) in told:
            continue
        reason = row.reason if row.reason is not None else "LOW_CONFIDENCE"
        counts[reason] = counts.get(reason, 0) + 1
    return dict(sorted(counts.items()))


def _groups(
    windows: Sequence[WindowRow],
    live: Sequence[LiveRow],
    methods: Sequence[str],
    live_methods: Sequence[str],
    min_confidence: float,
) -> Dict[str, Any]:
    """For each way to split: figures by value, ungated and gated, and the worst-group gap."""
    names = sorted(
        {name for row in windows for name in row.groups} | {n for r in live for n in r.groups}
    )
    found: Dict[str, Any] = {}
    for name in names:
        values = sorted(
            {row.groups[name] for row in windows if name in row.groups}
            | {row.groups[name] for row in live if name in row.groups}
        )
        if len(values) < 2:
            continue  # all alike: nothing to tell apart
        found[name] = {
            method: _split(
                name,
                values,
                [row for row in windows if row.method == method],
                [row for row in live if row.method == method] if method in live_methods else None,
                min_confidence,
            )
            for method in methods
        }
    return found


def _split(
    name: str,
    values: Sequence[str],
    windows: Sequence[WindowRow],
    live: Optional[Sequence[LiveRow]],
    min_confidence: float,
) -> Dict[str, Any]:
    by_value: Dict[str, Any] = {}
    for value in values:
        ungated = plain_figures([row for row in windows if row.groups.get(name) == value])
        one: Dict[str, Any] = {
            "ungated": {key: ungated[key] for key in ("n", "missing", "mae", "bias", "within_5")}
        }
        if live is not None:
            gated = live_figures(
                [row for row in live if row.groups.get(name) == value], min_confidence
            )
            coverage = gated["coverage"]
            one["gated"] = {
                "seconds": gated["seconds"],
                "published": gated["published"],
                "mae": gated["mae"],
                "bias": gated["bias"],
                "right_of_published": gated["right_of_published"],
                "rejection_rate": None if coverage is None else 1.0 - coverage,
            }
        by_value[value] = one
    result: Dict[str, Any] = {"values": by_value, "gap_mae": {}}
    for gate in ("ungated", "gated"):
        maes = [one[gate]["mae"] for one in by_value.values() if gate in one]
        maes = [mae for mae in maes if mae is not None]
        if len(maes) >= 2:
            result["gap_mae"][gate] = max(maes) - min(maes)
    return result
