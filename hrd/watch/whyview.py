"""Why the confidence is what it is: a line of it, and the view of all of it."""

from __future__ import annotations

from typing import Optional

from hrd.watch.canvas import Canvas, Style
from hrd.why import Weight, Why, in_short

_LABEL = 23  # columns of the longest topic
_MOST = 3.0  # log odds of a whole bar


def draw_line(canvas: Canvas, x: int, y: int, width: int, found: Why) -> None:
    """The heaviest topics in a line."""
    text = "why" if not found.gate else "why not"
    x_end = canvas.text(x, y, f"{text}  ", Style.DIM, width)
    for part in in_short(found):
        if x_end + len(part) > x + width:
            return
        x_end = canvas.text(x_end, y, part, Style.PLAIN if part[0] == "+" else Style.WARN) + 2


def draw_why(canvas: Canvas, x: int, y: int, width: int, height: int, found: Optional[Why]) -> None:
    """Every topic with its weight and what was measured."""
    if found is None:
        canvas.text(x, y, "waiting for an estimate", Style.DIM, width)
        return
    head = f"estimate's confidence {found.confidence:.2f}"
    canvas.text(x, y, f"{head}, not published: {found.gate}" if found.gate else head, width=width)
    row = y + 1
    bar_columns = 24 if width >= 100 else 12
    for weight in (Weight("where it starts", found.start, ""), *found.weights):
        if row >= y + height:
            return
        canvas.text(x, row, weight.name, Style.PLAIN, min(width, _LABEL - 1))
        _bar(canvas, x + _LABEL, row, bar_columns, weight.log_odds)
        value_x = x + _LABEL + bar_columns + 1
        size = f"{weight.log_odds:+5.1f}" if abs(weight.log_odds) >= 0.05 else "  0.0"
        end = canvas.text(value_x, row, size, Style.BOLD)
        canvas.text(end + 2, row, weight.measured, Style.DIM, max(0, x + width - end - 2))
        row += 1
    if row < y + height:
        said = "log odds; they add up: 0 is 0.50, +2 is 0.88, +4 is 0.98 (docs/estimator.md)"
        canvas.text(x, row, said, Style.DIM, width)


def _bar(canvas: Canvas, x: int, y: int, columns: int, log_odds: float) -> None:
    """From the middle to the right for what speaks for, to the left for what speaks against."""
    half = columns // 2
    full = min(half, round(abs(log_odds) / _MOST * half))
    marks = ("\u2588", "\u00b7") if canvas.fancy else ("#", ".")
    for k in range(half):
        for place, good in ((x + half + k, True), (x + half - 1 - k, False)):
            if k < full and good == (log_odds > 0.0):
                canvas.put(place, y, marks[0], Style.GOOD if good else Style.WARN)
            else:
                canvas.put(place, y, marks[1], Style.DIM)
