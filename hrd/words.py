"""What states and reasons are called in plain English, and what to do about each."""

from __future__ import annotations

from typing import Dict, NamedTuple

from hrd.types import Reason, State

STATES: Dict[str, str] = {
    State.NO_CAMERA.value: "no camera",
    State.NO_FACE.value: "no face",
    State.WARMING_UP.value: "warming up",
    State.TRACKING.value: "tracking",
    State.UNSURE.value: "unsure",
}


class Why(NamedTuple):
    """``short``: for a line of ``hrd watch``. ``state``: the state that the reason comes with."""

    short: str
    state: State
    remedy: str


REASONS: Dict[str, Why] = {
    Reason.CAMERA_LOST.value: Why(
        "the camera is gone",
        State.NO_CAMERA,
        "gone, silent or frozen; hrd goes on trying after 1, 2, 5, then every 10 s",
    ),
    Reason.NO_FACE.value: Why("nobody to be seen", State.NO_FACE, "face the camera"),
    Reason.FILLING_WINDOW.value: Why(
        "collecting the first seconds",
        State.WARMING_UP,
        "wait: the first reading takes three to six seconds",
    ),
    Reason.FACE_TOO_SMALL.value: Why(
        "the face is too small: come closer", State.UNSURE, "come closer"
    ),
    Reason.TOO_DARK.value: Why("too dark: turn on a light", State.UNSURE, "turn on a light"),
    Reason.TOO_BRIGHT.value: Why(
        "too bright: less light, or away from the window",
        State.UNSURE,
        "less light, or away from the window",
    ),
    Reason.MOTION.value: Why("too much movement: sit still", State.UNSURE, "sit still"),
    Reason.LOW_FRAME_RATE.value: Why(
        "the camera delivers too few frames",
        State.UNSURE,
        "the camera gives under 12 frames a second: more light, or MJPG",
    ),
    Reason.UNRELIABLE_TIMESTAMPS.value: Why(
        "the camera's clock is being checked",
        State.UNSURE,
        "frames arrive at another rate than the camera says: wait 5 to 30 s; if it comes back, set "
        "the camera to fewer frames a second",
    ),
    Reason.WEAK_SIGNAL.value: Why(
        "the pulse is too weak to be sure",
        State.UNSURE,
        "the pulse does not stand out enough to be sure: sit still, more even light",
    ),
}
