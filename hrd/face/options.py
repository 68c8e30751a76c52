"""What can be set about following a face."""

from __future__ import annotations

from dataclasses import dataclass

from hrd.options import Options, option


@dataclass(frozen=True)
class TrackerConfig(Options):
    """How the face is followed. Fractions are of the crop's side."""

    detect_every_s: float = option(
        0.5, "Time between detections while the face is held.", "s", 0, 10
    )
    search_every_s: float = option(
        0.1, "Time between detections while a face is looked for.", "s", 0, 10
    )
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
