"""A run's curves as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Dict, List, Sequence, Tuple

_PANELS: Tuple[Tuple[str, Tuple[str, ...]], ...] = (
    ("loss", ("loss",)),
    ("parts of the loss", ("pearson", "rate", "error", "silence", "features", "to_teacher")),
    ("validation: error of the rate, bpm", ("val_mae_bpm", "val_median_error_bpm")),
    ("validation: Pearson's r, share within 5 bpm", ("val_pearson", "val_within_5")),
)


def draw_curves(history: Sequence[Dict[str, float]], path: Path, title: str) -> None:
    """Draw the rows of a run's history (``step`` and anything else) to a PNG at ``path``."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(2, 2, figsize=(11, 7), constrained_layout=True)
    for axis, (heading, names) in zip(axes.flat, _PANELS):
        for name in names:
            points: List[Tuple[float, float]] = [
                (row["step"], row[name]) for row in history if name in row
            ]
            if points:
                axis.plot(*zip(*points), label=name, marker="." if len(points) < 30 else None)
        axis.set_title(heading)
        axis.set_xlabel("step")
        axis.grid(alpha=0.3)
        if axis.has_data():
            axis.legend()
    figure.suptitle(title)
    figure.savefig(path, dpi=100)
    pyplot.close(figure)
