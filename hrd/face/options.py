"""What can be set about following a face."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Tuple

from hrd.errors import UsageError
from hrd.options import Options, option


@dataclass(frozen=True)
class TrackerConfig(Options):
    """How the face is followed. Fractions are of the crop's side."""

    detect_every_s: float = option(
        0.5, "Time between detections while the face is held and moves.", "s", 0, 10
    )
    still_every_s: float = option(2.0, "The same while it keeps still.", "s", 0, 10)
    search_every_s: float = option(
        0.1,
        "Time between looks for a face while there is none; it is detected if they differ.",
        "s",
        0,
        10,
    )
    empty_every_s: float = option(2.0, "Time between detections while they do not.", "s", 0, 10)
    hold_s: float = option(
        1.0, "How long a face is kept after the detector last saw it.", "s", 0, 10
    )
    deadband: float = option(
        0.06,
        "The crop follows when the face's centre is further off than this.",
        "of the crop's side",
        0,
        0.5,
    )
    size_deadband: float = option(
        0.15,
        "The crop is resized when the face's size is further off than this.",
        "of the crop's side",
        0,
        1,
    )
    region: str = option(
        "",
        """Where faces are looked for: left, top, width and height as shares of the picture, as in
        "0.25, 0, 0.5, 1"; empty for everywhere.""",
    )

    def __post_init__(self) -> None:
        parse_region(self.region)


def parse_region(text: str) -> Tuple[float, float, float, float]:
    """Left, top, width and height as shares of the picture. Raises ``UsageError``."""
    if not text.strip():
        return 0.0, 0.0, 1.0, 1.0
    try:
        left, top, width, height = (float(part) for part in text.split(","))
    except ValueError:
        raise UsageError(
            f'region must be four numbers such as "0.25, 0, 0.5, 1" (left, top, width and height '
            f"as shares of the picture), not {text!r}."
        ) from None
    inside = 0.0 <= left < 1.0 and 0.0 <= top < 1.0 and width > 0.0 and height > 0.0
    if not (inside and left + width <= 1.001 and top + height <= 1.001):
        raise UsageError(f"region {text!r} is not inside the picture: use shares from 0 to 1.")
    return left, top, width, height
