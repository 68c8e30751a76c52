"""The camera set-up view: where the face is in the picture, and what is in the way.

Drawn from coordinates and numbers, mirrored, so that who looks at it moves the way they see.
"""

from __future__ import annotations

from typing import Any, List, Mapping, NamedTuple, Optional, Tuple

from hrd.watch.canvas import Canvas, Style
from hrd.words import REASONS

_CELL_ASPECT = 2.0  # a character is about twice as high as wide
_SIDE_COLUMNS = 40


class Check(NamedTuple):
    """A number held to a limit, as text, and whether it keeps it."""

    name: str
    value: str
    limit: str
    good: bool


_CHECKS = (
    # field, name, form of value and limit, whether more is better, reason
    ("face_px", "size", "{:.0f} pixels", "{:.0f} or more", "FACE_TOO_SMALL"),
    ("luma", "light", "{:.0f} of 255", "{:.0f} or more", "TOO_DARK"),
    ("saturated", "burnt out", "{:.0%}", "{:.0%} at most", "TOO_BRIGHT"),
    ("motion_per_s", "movement", "{:.2f} widths/s", "{:.1f} at most", "MOTION"),
    ("fps", "frames", "{:.1f} a second", "{:.0f} or more", "LOW_FRAME_RATE"),
)


def checks(message: Mapping[str, Any]) -> List[Check]:
    """The numbers of a SETUP, each with the limit it is held to."""
    found = []
    limits = message.get("limits", {})
    for field, name, value_form, limit_form, reason in _CHECKS:
        value, limit = message.get(field), limits.get(field)
        if isinstance(value, (int, float)):
            limit_text = limit_form.format(limit) if isinstance(limit, (int, float)) else ""
            good = reason not in message.get("in_the_way", ())
            found.append(Check(name, value_form.format(value), limit_text, good))
    return found


def advice(message: Mapping[str, Any]) -> List[str]:
    """What is in the way, and what to do about it; one line where nothing is."""
    lines = []
    for reason in message.get("in_the_way", ()):
        known = REASONS.get(reason)
        lines.append(f"{known.short.partition(':')[0]}: {known.remedy}" if known else str(reason))
    box = message.get("box")
    if box and _cut_off(message, box):
        lines.append("the face is cut off by the picture's edge: move to the middle")
    return lines or ["nothing is in the way"]


def _cut_off(message: Mapping[str, Any], box: Mapping[str, float]) -> bool:
    width, height = message.get("width_px", 0), message.get("height_px", 0)
    middle_x, middle_y = box["x_px"] + box["w_px"] / 2, box["y_px"] + box["h_px"] / 2
    return not (
        0.4 * box["w_px"] <= middle_x <= width - 0.4 * box["w_px"]
        and 0.4 * box["h_px"] <= middle_y <= height - 0.4 * box["h_px"]
    )


def draw_setup(
    canvas: Canvas, x: int, y: int, width: int, height: int, message: Optional[Mapping[str, Any]]
) -> None:
    """The picture's outline with the face's in it, and the numbers beside it."""
    if message is None:
        canvas.text(x, y, "waiting for the daemon's view of the camera", Style.DIM, width)
        canvas.text(x, y + 1, "(a daemon of protocol 1.0 has none)", Style.DIM, width)
        return
    side = _SIDE_COLUMNS if width >= 2 * _SIDE_COLUMNS - 8 else 0
    text_x = x
    if side and "width_px" in message:
        columns, rows = _fit(message, width - side - 2, height)
        _outline(canvas, x, y, columns, rows, Style.DIM)
        box = message.get("box")
        if box:
            good = not message.get("in_the_way")
            _face(canvas, x, y, columns, rows, message, box, Style.GOOD if good else Style.WARN)
        text_x = x + columns + 2
    row = y
    room = x + width - text_x
    for check in checks(message):
        mark = "ok " if check.good else "NO "
        style = Style.PLAIN if check.good else Style.WARN
        canvas.text(text_x, row, f"{mark}{check.name:10}{check.value} ({check.limit})", style, room)
        row += 1
    row += 1
    for line in advice(message):
        for part in _wrapped(line, room):
            if row < y + height:
                canvas.text(text_x, row, part, Style.BOLD, room)
            row += 1


def _fit(message: Mapping[str, Any], columns: int, rows: int) -> Tuple[int, int]:
    ratio = message["width_px"] / message["height_px"] * _CELL_ASPECT
    wide = min(columns, round(rows * ratio))
    return max(4, wide), max(3, min(rows, round(wide / ratio)))


def _outline(canvas: Canvas, x: int, y: int, columns: int, rows: int, style: Style) -> None:
    corners = "┌┐└┘─│" if canvas.fancy else "++++-|"
    for column in range(1, columns - 1):
        canvas.put(x + column, y, corners[4], style)
        canvas.put(x + column, y + rows - 1, corners[4], style)
    for row in range(1, rows - 1):
        canvas.put(x, y + row, corners[5], style)
        canvas.put(x + columns - 1, y + row, corners[5], style)
    for (dx, dy), corner in zip(
        ((0, 0), (columns - 1, 0), (0, rows - 1), (columns - 1, rows - 1)), corners
    ):
        canvas.put(x + dx, y + dy, corner, style)


def _face(
    canvas: Canvas,
    x: int,
    y: int,
    columns: int,
    rows: int,
    message: Mapping[str, Any],
    box: Mapping[str, float],
    style: Style,
) -> None:
    across, down = columns / message["width_px"], rows / message["height_px"]
    left = (message["width_px"] - box["x_px"] - box["w_px"]) * across  # as in a mirror
    top = box["y_px"] * down
    first_x = min(columns - 2, max(0, round(left)))
    first_y = min(rows - 2, max(0, round(top)))
    last_x = min(columns, max(first_x + 2, round(left + box["w_px"] * across)))
    last_y = min(rows, max(first_y + 2, round(top + box["h_px"] * down)))
    _outline(canvas, x + first_x, y + first_y, last_x - first_x, last_y - first_y, style)


def _wrapped(text: str, width: int) -> List[str]:
    from textwrap import wrap

    return wrap(text, max(10, width)) or [""]
