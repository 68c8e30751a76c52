"""A picture of characters, each with a style, that a terminal or a file can show."""

from __future__ import annotations

import enum
import unicodedata
from typing import List


class Style(enum.Enum):
    """How a character is shown. Colour is never all that tells two things apart."""

    PLAIN = "plain"
    DIM = "dim"
    BOLD = "bold"
    GOOD = "good"
    WARN = "warn"
    BAD = "bad"
    WAVE = "wave"


class Canvas:
    """``width`` x ``height`` characters. What is drawn outside of it is cut off.

    ``fancy``: block and braille characters may be used, else ASCII alone.
    """

    def __init__(self, width: int, height: int, fancy: bool = True) -> None:
        self.width = width
        self.height = height
        self.fancy = fancy
        self.chars: List[List[str]] = [[" "] * width for _ in range(height)]
        self.styles: List[List[Style]] = [[Style.PLAIN] * width for _ in range(height)]

    def put(self, x: int, y: int, char: str, style: Style = Style.PLAIN) -> None:
        """One character."""
        if 0 <= x < self.width and 0 <= y < self.height:
            self.chars[y][x] = char
            self.styles[y][x] = style

    def text(
        self, x: int, y: int, text: str, style: Style = Style.PLAIN, width: int = 10_000
    ) -> int:
        """A text of at most ``width`` characters, shortened if need be; returns where it ends."""
        text = printable(text, self.fancy)
        room = min(width, self.width - x)
        if len(text) > room:
            mark = "…" if self.fancy else "~"
            text = text[: max(0, room - 1)] + mark if room > 0 else ""
        for k, char in enumerate(text):
            self.put(x + k, y, char, style)
        return x + len(text)

    def line(self, y: int) -> str:
        """A row as text, without the blanks at its end."""
        return "".join(self.chars[y]).rstrip()

    def lines(self) -> List[str]:
        """All rows."""
        return [self.line(y) for y in range(self.height)]


def printable(text: str, fancy: bool = True) -> str:
    """The text with one column for each character: whatever a file name or a camera says, it must
    not move the cursor."""
    return "".join(
        char
        if " " <= char <= "~"
        or (
            fancy
            and char.isprintable()
            and unicodedata.east_asian_width(char) not in "WF"
            and not unicodedata.combining(char)
        )
        else "?"
        for char in text
    )
