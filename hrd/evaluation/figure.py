"""What the pictures of a report have in common."""

from __future__ import annotations

from typing import Any

from hrd.errors import HrdError
from hrd.missing import pip_install

INK, MUTED, ACCENT = "#1b1f24", "#8a929b", "#b3261e"
LINES = ("#0b5fa5", "#c2570c", "#2e7d32", "#6a3fa0", "#8d6e00", "#00707a")


def plain(axis: Any) -> None:
    """No frame, small numbers."""
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(labelsize=8)


def need_matplotlib(install: str = "") -> Any:
    """``pyplot``, drawing into files. Raises ``HrdError`` without matplotlib; ``install``: the
    command that it names, if not pip's own."""
    try:
        import matplotlib
    except ImportError:
        raise HrdError(
            "the pictures need matplotlib; install it with: "
            + (install or pip_install("matplotlib"))
        ) from None
    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot
