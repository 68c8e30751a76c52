"""Pictures of a report: Bland-Altman, reliability, coverage against error."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Dict, List, Sequence

import numpy as np

from hrd.errors import HrdError
from hrd.evaluation.protocol import WindowRow
from hrd.evaluation.summary import ALL, MAIN_WINDOW_S
from hrd.types import NEAR_BPM

_COLUMNS = 3
_INK, _MUTED, _ACCENT = "#1b1f24", "#8a929b", "#b3261e"
_LINES = ("#0b5fa5", "#c2570c", "#2e7d32", "#6a3fa0", "#8d6e00", "#00707a")


def draw_all(folder: Path, report: Dict[str, Any], rows: Sequence[WindowRow]) -> List[Path]:
    """Draw what there is to draw into ``folder``. Raises ``HrdError`` without matplotlib."""
    _need_matplotlib()
    paths = []
    for section in report["sections"]:
        name = section["name"]
        stem = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
        ending = f"-{stem}" if stem else ""
        own = [row for row in rows if row.section == name or name == ALL]
        own = [row for row in own if row.bpm is not None]
        title = f"{report['title']}" + (f", {name}" if name else "")
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
    return paths


def bland_altman(path: Path, title: str, rows: Sequence[WindowRow], methods: List[str]) -> None:
    """Error against the mean of reading and reference, a panel per method (Bland & Altman 1986):
    bias, and limits of agreement at 1.96 standard deviations."""
    pyplot = _need_matplotlib()
    methods = [method for method in methods if any(row.method == method for row in rows)]
    columns = min(_COLUMNS, len(methods))
    lines = int(np.ceil(len(methods) / columns))
    figure, axes = pyplot.subplots(
        lines,
        columns,
        figsize=(4.2 * columns, 3.4 * lines),
        squeeze=False,
        sharex=True,
        sharey=True,
    )
    size = np.array([abs(row.bpm - row.reference_bpm) for row in rows if row.bpm is not None])
    # one method that fails must not flatten the others: what is beyond is marked at the edge
    reach = float(np.clip(1.15 * np.percentile(size, 98), 6.0, 25.0)) if len(size) else 10.0
    window_s = rows[0].window_s
    for place, axis in enumerate(axes.flat):
        if place >= len(methods):
            axis.axis("off")
            continue
        own = [row for row in rows if row.method == methods[place] and row.bpm is not None]
        reference = np.array([row.reference_bpm for row in own])
        bpm = np.array([row.bpm for row in own], float)
        error, mean = bpm - reference, 0.5 * (bpm + reference)
        axis.axhline(0.0, color=_MUTED, linewidth=0.6)
        inside = np.abs(error) <= reach
        axis.plot(mean[inside], error[inside], ".", color=_LINES[0], alpha=0.5, markersize=7, mew=0)
        if (~inside).any():
            edge = np.sign(error[~inside]) * reach * 0.97
            axis.plot(mean[~inside], edge, "x", color=_ACCENT, markersize=4)
        bias, spread = float(error.mean()), float(error.std())
        axis.axhline(bias, color=_INK, linewidth=1.2)
        for limit in (bias - 1.96 * spread, bias + 1.96 * spread):
            axis.axhline(limit, color=_INK, linewidth=0.9, linestyle="--")
        outside = f", {int((~inside).sum())} beyond" if (~inside).any() else ""
        axis.set_title(
            f"{methods[place]}: bias {bias:+.2f}, limits {bias - 1.96 * spread:+.1f} to "
            f"{bias + 1.96 * spread:+.1f}\nn = {len(own)}{outside}",
            fontsize=9,
        )
        axis.set_ylim(-reach, reach)
        _plain(axis)
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


def reliability(path: Path, title: str, live: Dict[str, Any], min_confidence: float) -> None:
    """Left: how often a reading of some confidence is right. Right: error against coverage."""
    pyplot = _need_matplotlib()
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(9.6, 4.2))
    left.plot([0, 1], [0, 1], color=_MUTED, linewidth=0.8)
    left.axvline(min_confidence, color=_MUTED, linewidth=0.8, linestyle=":")
    for place, (method, one) in enumerate(live.items()):
        color = _LINES[place % len(_LINES)]
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
        _plain(axis)
    figure.suptitle(f"{title}: the live pipeline's confidence", fontsize=11)
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def _plain(axis: Any) -> None:
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(labelsize=8)


def _need_matplotlib() -> Any:
    try:
        import matplotlib
    except ImportError:
        raise HrdError(
            "the pictures need matplotlib; install it with: pip install 'hrd[train]'"
        ) from None
    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot
