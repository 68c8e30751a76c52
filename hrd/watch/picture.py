"""What is seen, as files: the picture as SVG, the readings as CSV."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Dict, Iterable, List, Tuple
from xml.sax.saxutils import escape

from hrd.files import write_whole
from hrd.watch.canvas import Canvas, Style
from hrd.watch.model import csv_lines
from hrd.wire import HeartRate

_CELL_X, _CELL_Y = 9, 18
_GROUND = "#14171c"
_COLOURS: Dict[Style, str] = {
    Style.PLAIN: "#d8dee6",
    Style.DIM: "#8d99a8",
    Style.BOLD: "#ffffff",
    Style.GOOD: "#7bd88f",
    Style.WARN: "#ffc861",
    Style.BAD: "#ff7b72",
    Style.WAVE: "#63d2e6",
}
_BRAILLE = 0x2800
_DOTS = (
    (0, 0, 0x01),
    (0, 1, 0x02),
    (0, 2, 0x04),
    (1, 0, 0x08),
    (1, 1, 0x10),
    (1, 2, 0x20),
    (0, 3, 0x40),
    (1, 3, 0x80),
)
_LINES: Dict[str, Tuple[Tuple[int, int, int, int], ...]] = {
    # character -> strokes in ninths and eighteenths of its cell
    "─": ((0, 9, 9, 1),),
    "━": ((0, 8, 9, 3),),
    "│": ((4, 0, 1, 18),),
    "┌": ((4, 9, 5, 1), (4, 9, 1, 9)),
    "┐": ((0, 9, 5, 1), (4, 9, 1, 9)),
    "└": ((4, 9, 5, 1), (4, 0, 1, 10)),
    "┘": ((0, 9, 5, 1), (4, 0, 1, 10)),
}
_EIGHTHS = " ▏▎▍▌▋▊▉█"


def svg_of(canvas: Canvas) -> str:
    """The canvas as an SVG document that needs no font but for its letters: dots, bars and lines
    are drawn."""
    width, height = canvas.width * _CELL_X, canvas.height * _CELL_Y
    strokes: Dict[Style, List[str]] = {style: [] for style in Style}
    texts: List[str] = []
    for y in range(canvas.height):
        for x, run, style in _runs(canvas, y):
            texts.append(
                f'<text x="{x * _CELL_X}" y="{y * _CELL_Y + 14}" fill="{_COLOURS[style]}" '
                f'textLength="{len(run) * _CELL_X}"'
                f"{' font-weight=' + chr(34) + 'bold' + chr(34) if style is Style.BOLD else ''}>"
                f"{escape(run)}</text>"
            )
        for x in range(canvas.width):
            strokes[canvas.styles[y][x]] += _drawn(canvas.chars[y][x], x * _CELL_X, y * _CELL_Y)
    paths = [
        f'<path fill="{_COLOURS[style]}" d="{"".join(parts)}"/>'
        for style, parts in strokes.items()
        if parts
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-9 -9 {width + 18} {height + 18}" '
        f'width="{width + 18}" font-family="DejaVu Sans Mono,Menlo,Consolas,monospace" '
        f'font-size="15" xml:space="preserve">'
        f'<rect x="-9" y="-9" width="{width + 18}" height="{height + 18}" rx="8" '
        f'fill="{_GROUND}"/>' + "".join(paths) + "".join(texts) + "</svg>\n"
    )


def save(canvas: Canvas, readings: Iterable[HeartRate], folder: Path, now_s: float) -> str:
    """Write both, named after the time (Unix seconds); returns the name without its ending. Raises
    ``OSError``."""
    name = time.strftime("hrd-%Y%m%d-%H%M%S", time.localtime(now_s))
    write_whole(folder / f"{name}.svg", svg_of(canvas).encode("utf-8"))
    text = "\n".join(csv_lines(list(readings))) + "\n"
    write_whole(folder / f"{name}.csv", text.encode("utf-8"))
    return name


def _is_drawn(char: str) -> bool:
    return (
        char == " "
        or char in _LINES
        or char in _EIGHTHS
        or char == "░"
        or (_BRAILLE <= ord(char) < _BRAILLE + 256)
    )


def _runs(canvas: Canvas, y: int) -> Iterable[Tuple[int, str, Style]]:
    """Stretches of letters of one style, single blanks between them included."""
    x = 0
    chars, styles = canvas.chars[y], canvas.styles[y]
    while x < canvas.width:
        if _is_drawn(chars[x]):
            x += 1
            continue
        end = x + 1
        while (
            end < canvas.width
            and styles[end] is styles[x]
            and (
                not _is_drawn(chars[end])
                or (
                    chars[end] == " "
                    and end + 1 < canvas.width
                    and not _is_drawn(chars[end + 1])
                    and styles[end + 1] is styles[x]
                )
            )
        ):
            end += 1
        yield x, "".join(chars[x:end]), styles[x]
        x = end


def _drawn(char: str, left: int, top: int) -> List[str]:
    if char == " ":
        return []
    if char in _LINES:
        return [_box(left + x, top + y, w, h) for x, y, w, h in _LINES[char]]
    if char in _EIGHTHS:
        return [_box(left, top, _CELL_X * _EIGHTHS.index(char) / 8.0, _CELL_Y)]
    if char == "░":
        return [_box(left + 1, top + 8, 2, 2), _box(left + 5, top + 8, 2, 2)]
    bits = ord(char) - _BRAILLE
    if not 0 <= bits < 256:
        return []
    return [
        _box(left + 1 + 4.5 * dx, top + 1.2 + 4.5 * dy, 2.6, 2.6)
        for dx, dy, bit in _DOTS
        if bits & bit
    ]


def _box(x: float, y: float, width: float, height: float) -> str:
    return f"M{x:g} {y:g}h{width:g}v{height:g}h{-width:g}z"
