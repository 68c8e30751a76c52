"""Pictures of a comparison: rates over time, Bland-Altman, reliability. As PNG bytes."""

from __future__ import annotations

import io
from typing import Any, List

import numpy as np

from hrd.compare.figures import Comparison
from hrd.evaluation.figure import need_matplotlib, plain
from hrd.evaluation.metrics import reliability
from hrd.types import NEAR_BPM

_INK, _MUTED, _BLUE, _RED = "#1b1f24", "#8a929b", "#0b5fa5", "#b3261e"


def rates(one: Comparison) -> bytes:
    """hrd's readings (coloured by whether they are right) over the reference's rate."""
    pyplot = need_matplotlib()
    figure, axis = pyplot.subplots(figsize=(10.0, 3.4))
    axis.plot(one.time_s, one.reference_bpm, color=_MUTED, linewidth=2.5, label=one.reference)
    right = one.pairs & (np.abs(one.bpm - one.reference_bpm) <= NEAR_BPM)
    wrong = one.pairs & ~right
    unknown = np.isfinite(one.bpm) & ~np.isfinite(one.reference_bpm)
    for where, colour, mark, label in (
        (right, _BLUE, ".", f"hrd, within {NEAR_BPM:g} bpm"),
        (wrong, _RED, "x", "hrd, wrong"),
        (unknown, _MUTED, "+", "hrd, reference not known"),
    ):
        if where.any():
            axis.plot(one.time_s[where], one.bpm[where], mark, color=colour, label=label)
    axis.set_xlabel("seconds", fontsize=8)
    axis.set_ylabel("heart rate, bpm", fontsize=8)
    axis.legend(fontsize=8, frameon=False, loc="best")
    axis.set_title(one.name, fontsize=10)
    return _png(pyplot, figure, [axis])


def bland_altman(comparisons: List[Comparison]) -> bytes:
    """Difference against mean (Bland & Altman 1986), bias and limits of agreement."""
    pyplot = need_matplotlib()
    figure, axis = pyplot.subplots(figsize=(5.2, 4.0))
    pairs = [(one.bpm[one.pairs], one.reference_bpm[one.pairs]) for one in comparisons]
    for (bpm, truth), one in zip(pairs, comparisons):
        label = one.name if len(comparisons) > 1 else None
        axis.plot(
            0.5 * (bpm + truth), bpm - truth, ".", alpha=0.5, markersize=7, mew=0, label=label
        )
    error = np.concatenate([bpm - truth for bpm, truth in pairs])
    axis.axhline(0.0, color=_MUTED, linewidth=0.6)
    if len(error) > 1:
        bias, spread = float(error.mean()), 1.96 * float(error.std(ddof=1))
        axis.axhline(bias, color=_INK, linewidth=1.2)
        for limit in (bias - spread, bias + spread):
            axis.axhline(limit, color=_INK, linewidth=0.9, linestyle="--")
        axis.set_title(
            f"bias {bias:+.2f}, limits {bias - spread:+.1f} to {bias + spread:+.1f}, "
            f"n = {len(error)}",
            fontsize=9,
        )
    if 1 < len(comparisons) <= 10:
        axis.legend(fontsize=7, frameon=False)
    axis.set_xlabel("mean of hrd and reference, bpm", fontsize=8)
    axis.set_ylabel("hrd - reference, bpm", fontsize=8)
    return _png(pyplot, figure, [axis])


def calibration(comparisons: List[Comparison]) -> bytes:
    """How often a reading of some confidence is right."""
    pyplot = need_matplotlib()
    figure, axis = pyplot.subplots(figsize=(4.4, 4.0))
    confidence, right = (
        np.concatenate(values)
        for values in zip(
            *(
                (
                    one.confidence[one.pairs],
                    np.abs(one.bpm[one.pairs] - one.reference_bpm[one.pairs]) <= NEAR_BPM,
                )
                for one in comparisons
            )
        )
    )
    told = reliability(confidence, right)
    axis.plot([0, 1], [0, 1], color=_MUTED, linewidth=0.8)
    x, y = ([bin_[key] for bin_ in told["bins"]] for key in ("confidence", "right"))
    axis.plot(x, y, "o-", color=_BLUE)
    for bin_ in told["bins"]:
        place = (bin_["confidence"], bin_["right"])
        axis.annotate(
            str(bin_["n"]), place, fontsize=7, xytext=(4, -10), textcoords="offset points"
        )
    axis.set_xlim(0, 1.02)
    axis.set_ylim(0, 1.04)
    axis.set_xlabel("confidence", fontsize=8)
    axis.set_ylabel(f"share within {NEAR_BPM:g} bpm", fontsize=8)
    if told["ece"] is not None:
        axis.set_title(f"calibration error {told['ece']:.3f} (numbers: readings)", fontsize=9)
    return _png(pyplot, figure, [axis])


def _png(pyplot: Any, figure: Any, axes: List[Any]) -> bytes:
    for axis in axes:
        plain(axis)
    figure.tight_layout()
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=110)
    pyplot.close(figure)
    return out.getvalue()
