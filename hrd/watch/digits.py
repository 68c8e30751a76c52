"""Large digits, five rows high."""

from __future__ import annotations

from typing import Dict, List

from hrd.watch.canvas import Canvas, Style

ROWS = 5
_SHAPES: Dict[str, List[str]] = {
    "0": ["###", "# #", "# #", "# #", "###"],
    "1": [" ##", "  #", "  #", "  #", "  #"],
    "2": ["###", "  #", "###", "#  ", "###"],
    "3": ["###", "  #", "###", "  #", "###"],
    "4": ["# #", "# #", "###", "  #", "  #"],
    "5": ["###", "#  ", "###", "  #", "###"],
    "6": ["###", "#  ", "###", "# #", "###"],
    "7": ["###", "  #", "  #", "  #", "  #"],
    "8": ["###", "# #", "###", "# #", "###"],
    "9": ["###", "# #", "###", "  #", "###"],
    "-": ["   ", "   ", "###", "   ", "   "],
}


def width_of(text: str) -> int:
    """Columns that ``draw`` needs."""
    return sum(8 for char in text if char in _SHAPES) - 2


def draw(canvas: Canvas, x: int, y: int, text: str, style: Style) -> None:
    """Draw digits and hyphens, two characters for each dot of theirs."""
    block = "█" if canvas.fancy else "#"
    for char in text:
        for row, dots in enumerate(_SHAPES.get(char, [])):
            for column, dot in enumerate(dots):
                mark = block if dot == "#" else " "
                canvas.put(x + 2 * column, y + row, mark, style)
                canvas.put(x + 2 * column + 1, y + row, mark, style)
        x += 8
