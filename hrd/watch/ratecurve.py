"""Ten minutes of rate, with gaps where nothing was said."""

from __future__ import annotations

import math
from typing import Iterable, List, Optional, Tuple

from hrd.watch.canvas import Canvas, Style
from hrd.watch.dots import Dots
from hrd.wire import HeartRate

_LABEL = 4  # columns of the scale
_LEAST_SPAN_BPM = 20.0
_STEP_BPM = 10.0


def scale(rates_bpm: Iterable[float]) -> Tuple[float, float]:
    """Limits in whole tens with all rates inside, 20 bpm apart at least."""
    rates = list(rates_bpm) or [70.0]
    low = _STEP_BPM * math.floor(min(rates) / _STEP_BPM)
    high = _STEP_BPM * math.ceil(max(rates) / _STEP_BPM)
    while high - low < _LEAST_SPAN_BPM:
        if (low + high) / 2.0 > sum(rates) / len(rates):
            low -= _STEP_BPM
        else:
            high += _STEP_BPM
    return low, high


def slots(
    history: Iterable[HeartRate], count: int, span_s: float, end_s: float
) -> List[Tuple[Optional[float], bool]]:
    """The past in ``count`` equal pieces, the newest last: the mean bpm of each (None without),
    and whether anything was said in it at all. Pieces keep their place on the clock, so that a
    curve moves by whole pieces."""
    piece_s = span_s / count
    newest = math.floor(end_s / piece_s)
    sums = [0.0] * count
    counts = [0] * count
    told = [False] * count
    for reading in history:
        k = count - 1 - (newest - math.floor(reading.time_s / piece_s))
        if 0 <= k < count:
            told[k] = True
            if reading.tracking and reading.bpm is not None:
                sums[k] += reading.bpm
                counts[k] += 1
    return [(sums[k] / counts[k] if counts[k] else None, told[k]) for k in range(count)]


def draw_rate(
    canvas: Canvas,
    x: int,
    y: int,
    width: int,
    height: int,
    history: Iterable[HeartRate],
    span_s: float,
) -> None:
    """A curve with its scale at the left, and a strip below that shows when something was said."""
    readings = list(history)
    columns, rows = width - _LABEL - 1, height - 1
    if columns < 8 or rows < 2 or not readings:
        return
    end_s = readings[-1].time_s
    past = slots(readings, 2 * columns, span_s, end_s)
    low, high = scale(r.bpm for r in readings if r.tracking and r.bpm is not None)
    dots = Dots(columns, rows)
    last: Optional[int] = None
    for k, (bpm, _) in enumerate(past):
        if bpm is None:
            last = None
            continue
        dot = round((1.0 - (bpm - low) / (high - low)) * (dots.height - 1))
        dots.bar(k, dot if last is None else last + (dot > last) - (dot < last), dot)
        last = dot
    for row in range(rows):
        for column in range(columns):
            canvas.put(
                x + _LABEL + 1 + column, y + row, dots.char(column, row, canvas.fancy), Style.WAVE
            )
    canvas.text(x, y, f"{high:{_LABEL}.0f}", Style.DIM)
    canvas.text(x, y + rows - 1, f"{low:{_LABEL}.0f}", Style.DIM)
    said, refused = ("━", "·") if canvas.fancy else ("=", "-")
    for column in range(columns):
        pair = past[2 * column : 2 * column + 2]
        if any(bpm is not None for bpm, _ in pair):
            canvas.put(x + _LABEL + 1 + column, y + rows, said, Style.GOOD)
        elif any(told for _, told in pair):
            canvas.put(x + _LABEL + 1 + column, y + rows, refused, Style.WARN)
