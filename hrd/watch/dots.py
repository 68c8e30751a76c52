"""Curves out of braille characters: two columns and four rows of dots in each."""

from __future__ import annotations

from typing import List

_BITS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
_TOP = 0x01 | 0x02 | 0x08 | 0x10


class Dots:
    """``columns`` x ``rows`` characters of dots; dot (0, 0) is the top left one."""

    def __init__(self, columns: int, rows: int) -> None:
        self.columns = columns
        self.rows = rows
        self._cells: List[List[int]] = [[0] * columns for _ in range(rows)]

    @property
    def width(self) -> int:
        """Dots across."""
        return 2 * self.columns

    @property
    def height(self) -> int:
        """Dots down."""
        return 4 * self.rows

    def clear_column(self, x: int) -> None:
        """Take away the dots of one column of dots."""
        keep = 0xFF & ~sum(_BITS[x & 1])
        for row in self._cells:
            row[x >> 1] &= keep

    def bar(self, x: int, y0: int, y1: int) -> None:
        """The dots of column ``x`` from ``y0`` to ``y1``, both included, in either order."""
        low, high = max(0, min(y0, y1)), min(self.height - 1, max(y0, y1))
        for y in range(low, high + 1):
            self._cells[y >> 2][x >> 1] |= _BITS[x & 1][y & 3]

    def char(self, column: int, row: int, fancy: bool = True) -> str:
        """The character of one cell; of ASCII unless ``fancy``."""
        bits = self._cells[row][column]
        if not bits:
            return " "
        if fancy:
            return chr(0x2800 + bits)
        if bits & _TOP:
            return ":" if bits & ~_TOP else "'"
        return "."
