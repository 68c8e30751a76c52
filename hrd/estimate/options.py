"""What can be set about a reading: its window, and when none is given."""

from __future__ import annotations

from dataclasses import dataclass

from hrd.options import Options, option


@dataclass(frozen=True)
class EstimatorConfig(Options):
    """Lengths of the window that the spectrum is taken of."""

    min_window_s: float = option(2.0, "No estimate from less signal than this.", "s", 2, 60)
    max_window_s: float = option(12.0, "The window grows to this and then slides.", "s", 4, 60)


@dataclass(frozen=True)
class QualityConfig(Options):
    """Limits beyond which no bpm is given, whatever the signal looks like."""

    min_face_px: float = option(48.0, "Narrowest face box.", "pixels", 8, 4000)
    min_luma: float = option(
        25.0,
        "Darkest mean skin: below it the pulse is smaller than one step of the camera.",
        "of 255",
        0,
        255,
    )
    max_saturated: float = option(
        0.35,
        """Largest share of the face whose green is burnt out: the pulse is in green before all,
        and the red of light skin in warm light is often at its limit while green has room.""",
        "",
        0,
        1,
    )
    max_motion_per_s: float = option(
        0.6,
        "Fastest mean movement over the last seconds.",
        "face widths per second",
        0,
        100,
    )
    min_fps: float = option(
        12.0,
        "Slowest camera: 4 Hz of pulse need 8 frames a second, and jitter some room.",
        "frames per second",
        1,
        240,
    )
    frozen_s: float = option(
        1.0,
        "Identical pictures for longer than this are a hung camera: a living one has noise.",
        "s",
        0.1,
        60,
    )
