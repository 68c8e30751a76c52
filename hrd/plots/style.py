"""What the pictures of hrd have in common: one style, legible in print and in grey."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any, Iterator

from hrd.errors import HrdError
from hrd.evaluation import figure as report
from hrd.evaluation.figure import ACCENT, INK, LINES, MUTED
from hrd.missing import pip_install
from hrd.paths import expand

__all__ = ["ACCENT", "INK", "LINES", "MUTED", "figure", "folder_of", "need_matplotlib"]

DPI = 150

_STYLE = {
    "font.size": 9.0,
    "axes.titlesize": 10.0,
    "axes.labelsize": 9.0,
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "legend.fontsize": 8.0,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": INK,
    "axes.linewidth": 0.8,
    "text.color": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}


def need_matplotlib() -> Any:
    """pyplot, without a window. Raises ``HrdError`` where it is missing."""
    return report.need_matplotlib(pip_install("hrd[plots]"))


@contextlib.contextmanager
def figure(path: Path, *args: Any, **kwargs: Any) -> Iterator[Any]:
    """pyplot's ``subplots`` in hrd's style, written to ``path`` when the block ends. Raises
    ``HrdError`` where it cannot be."""
    pyplot = need_matplotlib()
    with pyplot.rc_context(_STYLE):
        drawn, axes = pyplot.subplots(*args, **kwargs)
        try:
            yield drawn, axes
            drawn.savefig(path, dpi=DPI)
        except OSError as error:
            raise HrdError(f"{path} cannot be written ({error.strerror}).") from None
        finally:
            pyplot.close(drawn)


def folder_of(path: str, option: str) -> Path:
    """The folder, made if it is not there. Raises ``HrdError``."""
    need_matplotlib()
    folder = expand(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HrdError(
            f"{path} cannot be made ({error.strerror}): give {option} another folder."
        ) from None
    return folder
