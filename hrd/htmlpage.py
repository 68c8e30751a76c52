"""A page of HTML that needs no other file: a table, notes, and pictures in it."""

from __future__ import annotations

import base64
import html
from typing import List, Sequence, Tuple

_STYLE = (
    "body{font:15px/1.5 sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem;color:#1b1f24}"
    "table{border-collapse:collapse}td,th{padding:.25rem .8rem .25rem 0;text-align:left;"
    "border-bottom:1px solid #ddd}img{max-width:100%}"
)


def html_page(
    title: str,
    rows: Sequence[Sequence[str]],
    notes: Sequence[str],
    pictures: Sequence[Tuple[str, bytes]],
) -> str:
    """``rows``: the heading first. ``pictures``: (what it is called, PNG)."""
    heading, *body = rows
    table = [_cells("th", heading), *(_cells("td", row) for row in body)]
    told = "".join(f"<li>{html.escape(note)}</li>" for note in notes)
    images = "".join(
        f'<p><img alt="{html.escape(name)}" '
        f'src="data:image/png;base64,{base64.b64encode(png).decode()}"></p>'
        for name, png in pictures
    )
    safe = html.escape(title)
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        f"<title>{safe}</title><style>{_STYLE}</style>"
        f"<h1>{safe}</h1><table>{''.join(table)}</table><ul>{told}</ul>{images}"
        "</html>\n"
    )


def _cells(tag: str, cells: Sequence[str]) -> str:
    row: List[str] = [f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells]
    return "<tr>" + "".join(row) + "</tr>"
