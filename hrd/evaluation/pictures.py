"""Pictures of a report: Bland-Altman, reliability, coverage against error, single recordings."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Dict, List, Sequence

import numpy as np

from hrd.evaluation import recording_pictures
from hrd.evaluation.figure import ACCENT, INK, LINES, MUTED, need_matplotlib, plain
from hrd.evaluation.markdown import titled
from hrd.evaluation.protocol import WindowRow
from hrd.evaluation.runner import RecordingResult
from hrd.evaluation.summary import ALL, MAIN_WINDOW_S
from hrd.types import NEAR_BPM

_COLUMNS = 3


def draw_all(
    folder: Path, report: Dict[str, Any], results: Sequence[RecordingResult]
) -> List[Path]:
    """Draw what there is to draw into ``folder``. Raises ``HrdError`` without matplotlib."""
    need_matplotlib()
    paths = []
    rows = [row for result in results for row in result.windows]
    for section in report["sections"]:
        name = section["name"]
        stem = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
        ending = f"-{stem}" if stem else ""
        own = [row for row in rows if row.section == name or name == ALL]
        own = [row for row in own if row.bpm is not None]
        title = titled(report) + (f", {name}" if name else "")
        main = [row for row in own if row.window_s == MAIN_WINDOW_S] or own
        if main:
            path = folder / f"bland-altman{ending}.png"
            bland_altman(path, title, main, list(report["methods"]))
            paths.append(path)
        live = {m: one for m, one in section["live"].items() if one["calibration"]["n"]}
        if live:
            path = folder / f"reliability{ending}.png"
            reliability(path, title, live, report["min_confidence"])
            paths.append(path)
        if name != ALL:
            in_section = [result for result in results if result.section == name]
            paths += _of_recordings(folder, ending, title, section, report, in_section)
    return paths


def _of_recordings(
    folder: Path,
    ending: str,
    title: str,
    section: Dict[str, Any],
    report: Dict[str, Any],
    results: Sequence[RecordingResult],
) -> List[Path]:
    worst = recording_pictures.worst(section, results)
    if not worst:
        return []
    paths = []
    if section["live"]:
        paths.append(folder / f"rates{ending}.png")
        method = next(iter(section["live"]))
        recording_pictures.rate_against_time(
            paths[-1], title, worst, method, report["min_confidence"]
        )
    if any(result.excerpt is not None for result in worst):
        paths.append(folder / f"waves{ending}.png")
        recording_pictures.waves(paths[-1], title, worst, list(report["methods"]))
    return paths


def bland_altman(path: Path, title: str, rows: Sequence[WindowRow], methods: List[str]) -> None:
    """Error against the mean of reading and reference, a panel per method (Bland & Altman 1986):
    bias, and limits of agreement at 1.96 standard deviations. Each panel has a scale of its own."""
    pyplot = need_matplotlib()
    methods = [method for method in methods if any(row.method == method for row in rows)]
    columns = min(_COLUMNS, len(methods))
    lines = int(np.ceil(len(methods) / columns))
    figure, axes = pyplot.subplots(
        lines,
        columns,
        figsize=(5.0 * columns, 3.6 * lines),
        squeeze=False,
        sharex=True,
    )
    window_s = rows[0].window_s
    for place, axis in enumerate(axes.flat):
        if place >= len(methods):
            axis.axis("off")
            continue
        own = [row for row in rows if row.method == methods[place] and row.bpm is not None]
        reference = np.array([row.reference_bpm for row in own])
        bpm = np.array([row.bpm for row in own], float)
        error, mean = bpm - reference, 0.5 * (bpm + reference)
        bias, spread = float(error.mean()), float(error.std())
        # a scale of its own for each: one method that fails would flatten the others; what is
        # beyond is marked at the edge
        size = max(float(np.percentile(np.abs(error), 98)), abs(bias) + 1.96 * spread)
        reach = float(np.clip(1.15 * size, 1.0, 25.0))
        axis.axhline(0.0, color=MUTED, linewidth=0.6)
        inside = np.abs(error) <= reach
        axis.plot(mean[inside], error[inside], ".", color=LINES[0], alpha=0.5, markersize=7, mew=0)
        if (~inside).any():
            edge = np.sign(error[~inside]) * reach * 0.97
            axis.plot(mean[~inside], edge, "x", color=ACCENT, markersize=4)
        outside = f", {int((~inside).sum())} beyond (x)" if (~inside).any() else ""
        axis.set_title(f"{methods[place]}: n = {len(own)}{outside}", fontsize=9)
        _limits(axis, bias, spread, reach)
        axis.set_ylim(-reach, reach)
        plain(axis)
        axis.tick_params(labelbottom=True)
    for axis in axes[-1]:
        axis.set_xlabel("mean of reading and reference, bpm", fontsize=8)
    for axis in axes[:, 0]:
        axis.set_ylabel("reading - reference, bpm", fontsize=8)
    what = f"windows of {window_s:g} s" if window_s else "whole recordings"
    figure.suptitle(f"{title}: {what}, ungated", fontsize=11)
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def _limits(axis: Any, bias: float, spread: float, reach: float) -> None:
    """The bias and the limits of agreement as lines, each with its value at its right end; one that
    is beyond the picture is named at its edge."""
    lines = (
        (bias + 1.96 * spread, "+1.96 SD", "--"),
        (bias, "bias", "-"),
        (bias - 1.96 * spread, "-1.96 SD", "--"),
    )
    least = 0.085 * reach  # so that three labels close together can still be read
    places = [float(np.clip(value, -0.95 * reach, 0.95 * reach)) for value, _, _ in lines]
    places[0], places[2] = max(places[0], places[1] + least), min(places[2], places[1] - least)
    for (value, name, style), place in zip(lines, places):
        beyond = abs(value) > reach
        if not beyond:
            axis.axhline(value, color=INK, linewidth=1.2 if style == "-" else 0.9, linestyle=style)
        axis.annotate(
            f"{name} {value:+.2f}" + (" (beyond)" if beyond else ""),
            (1.01, place),
            xycoords=("axes fraction", "data"),
            fontsize=7.5,
            color=ACCENT if beyond else INK,
            va="center",
            annotation_clip=False,
        )


def reliability(path: Path, title: str, live: Dict[str, Any], min_confidence: float) -> None:
    """Left: how often a reading of some confidence is right. Right: error against coverage."""
    pyplot = need_matplotlib()
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(9.6, 4.2))
    left.plot([0, 1], [0, 1], color=MUTED, linewidth=0.8)
    left.axvline(min_confidence, color=MUTED, linewidth=0.8, linestyle=":")
    for place, (method, one) in enumerate(live.items()):
        color = LINES[place % len(LINES)]
        bins = one["calibration"]["bins"]
        x = [bin_["confidence"] for bin_ in bins]
        y = [bin_["right"] for bin_ in bins]
        label = f"{method}, ECE {one['calibration']['ece']:.3f}"
        left.plot(x, y, "-", color=color, linewidth=1.4, label=label)
        count = np.array([bin_["n"] for bin_ in bins], float)
        left.scatter(x, y, s=8 + 60 * np.sqrt(count / count.max()), color=color, zorder=3)
        curve = one["curve"]
        if not curve:
            continue
        right.plot(
            [100 * point["coverage"] for point in curve],
            [point["mae"] for point in curve],
            color=color,
            linewidth=1.4,
            label=method,
        )
        if "mae" in one and one.get("coverage"):
            right.plot(100 * one["coverage"], one["mae"], "o", color=color, markersize=6)
    left.set_xlabel("confidence", fontsize=9)
    left.set_ylabel(f"share within {NEAR_BPM:g} bpm", fontsize=9)
    left.set_title("Reliability (dotted: threshold; dot size: how many)", fontsize=9)
    left.set_xlim(0, 1)
    left.set_ylim(0, 1.02)
    left.legend(fontsize=8, loc="upper left", frameon=False)
    right.set_xlabel("published seconds, %", fontsize=9)
    right.set_ylabel("MAE of published, bpm", fontsize=9)
    right.set_title("Coverage against error (dot: at the threshold)", fontsize=9)
    right.set_xlim(0, 100)
    right.set_ylim(bottom=0)
    if right.lines:
        right.legend(fontsize=8, loc="best", frameon=False)
    for axis in (left, right):
        plain(axis)
    figure.suptitle(f"{title}: the live pipeline's confidence", fontsize=11)
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
