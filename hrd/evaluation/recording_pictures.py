"""Pictures of single recordings, the worst first: rate against time, and waves."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List, Sequence

import numpy as np

from hrd.evaluation.figure import ACCENT, INK, LINES, MUTED, need_matplotlib, plain
from hrd.evaluation.runner import RecordingResult
from hrd.evaluation.summary import MAIN_WINDOW_S, by_second, published
from hrd.types import MODEL_FS_HZ

AT_MOST = 6
_COLUMNS = 2


def worst(section: Dict[str, Any], results: Sequence[RecordingResult]) -> List[RecordingResult]:
    """The recordings of a section that are drawn, in the order of its table."""
    by_name = {result.name: result for result in results if result.problem is None}
    names = [one["recording"] for one in section["by_recording"]]
    return [by_name[name] for name in names if name in by_name][:AT_MOST]


def rate_against_time(
    path: Path,
    title: str,
    results: Sequence[RecordingResult],
    method: str,
    min_confidence: float,
) -> None:
    """A panel per recording: the reference, what the daemon would have published of ``method``,
    and the ungated windows."""
    figure, axes = _panels(len(results), 2.5)
    for axis, result in zip(axes, results):
        rows = by_second([row for row in result.live if row.method == method])
        said = published(rows, min_confidence)
        known = [row for row in rows if row.reference_bpm is not None]
        windows = [
            row
            for row in result.windows
            if row.method == method and row.window_s == MAIN_WINDOW_S and row.bpm is not None
        ]
        for row in windows:
            axis.plot(
                [row.start_s, row.start_s + row.window_s],
                [row.bpm, row.bpm],
                color=ACCENT,
                linewidth=1.2,
                label=f"{MAIN_WINDOW_S:g} s windows, ungated" if row is windows[0] else None,
            )
        axis.plot(
            [row.time_s for row in known],
            [row.reference_bpm for row in known],
            color=INK,
            linewidth=1.6,
            label="reference",
        )
        axis.plot(
            [row.time_s for row in said],
            [row.bpm for row in said],
            "o",
            color=LINES[0],
            markersize=4,
            label="published",
        )
        share = len(said) / len(rows) if rows else 0.0
        drawn = ", drawn" if result.drawn else ""
        axis.set_title(f"{result.name}{drawn}: {100 * share:.0f} % published", fontsize=9)
        axis.set_xlim(0, max(result.seconds, 1.0))
        axis.margins(y=0.15)
        low, high = axis.get_ylim()
        if high - low < 10.0:  # a steady rate is not to look like a wild one
            axis.set_ylim(0.5 * (low + high) - 5.0, 0.5 * (low + high) + 5.0)
        axis.set_ylabel("bpm", fontsize=8)
        plain(axis)
    axes[0].legend(fontsize=7, frameon=False, loc="best")
    _finish(figure, axes, path, f"{title}: {method}, rate against time, worst recordings first")


def waves(
    path: Path, title: str, results: Sequence[RecordingResult], methods: Sequence[str]
) -> None:
    """A panel per recording: ten seconds of the reference's wave and of each method's, one above
    the other, each scaled to unit deviation."""
    results = [result for result in results if result.excerpt is not None]
    if not results:
        return
    figure, axes = _panels(len(results), 0.9 + 0.55 * (len(methods) + 1))
    for axis, result in zip(axes, results):
        assert result.excerpt is not None
        shown = [("reference", result.excerpt.reference, INK)]
        for place, method in enumerate(methods):
            shown.append((method, result.excerpt.waves.get(method), LINES[place % len(LINES)]))
        shown = [one for one in shown if one[1] is not None]
        ticks = []
        for level, (name, values, color) in enumerate(shown):
            assert values is not None
            offset = -4.0 * level
            times_s = result.excerpt.start_s + np.arange(len(values)) / MODEL_FS_HZ
            axis.plot(times_s, np.clip(values, -2.5, 2.5) + offset, color=color, linewidth=0.9)
            ticks.append((offset, name))
        axis.set_yticks([offset for offset, _ in ticks])
        axis.set_yticklabels([name for _, name in ticks])
        axis.set_title(f"{result.name}{', drawn' if result.drawn else ''}", fontsize=9)
        plain(axis)
        axis.tick_params(axis="y", length=0)
        axis.spines["left"].set_visible(False)
    what = f"the ten seconds that {methods[0]} reads worst"
    _finish(figure, axes, path, f"{title}: {what}, worst recordings first")


def _panels(count: int, height: float) -> Any:
    pyplot = need_matplotlib()
    columns = min(_COLUMNS, count)
    lines = int(np.ceil(count / columns))
    figure, grid = pyplot.subplots(
        lines, columns, figsize=(5.4 * columns, height * lines + 0.5), squeeze=False
    )
    axes = list(grid.flat)
    for axis in axes[count:]:
        axis.axis("off")
    return figure, axes[:count]


def _finish(figure: Any, axes: Sequence[Any], path: Path, title: str) -> None:
    for axis in axes[-_COLUMNS:]:
        axis.set_xlabel("seconds from the first picture", fontsize=8)
        axis.xaxis.label.set_color(MUTED)
    figure.suptitle(title, fontsize=10)
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    need_matplotlib().close(figure)
