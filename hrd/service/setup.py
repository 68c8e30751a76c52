"""What the camera set-up view shows: where the face is, and what is in the way. Numbers only.

Made for clients that asked for it, some times a second; nothing is computed while nobody does.
"""

from __future__ import annotations

from typing import Callable

from hrd.estimate.options import QualityConfig
from hrd.picture import layout_of
from hrd.pipeline import Pipeline
from hrd.protocol import Message
from hrd.service.server import SocketServer
from hrd.types import Frame, Reason

EVERY_S = 0.2


class SetupReporter:
    """``frame`` after every frame that the pipeline has worked on, ``no_camera`` while none
    comes: publishes a SETUP every EVERY_S if a client of the server wants it.

    ``wall``: the Unix time of a moment on the monotonic axis.
    """

    def __init__(self, server: SocketServer, wall: Callable[[float], float]) -> None:
        self._server = server
        self._wall = wall
        self._said_s = float("-inf")

    def frame(self, frame: Frame, pipeline: Pipeline, limits: QualityConfig) -> None:
        if not self._server.wanted("SETUP"):
            return
        if 0.0 <= frame.time_s - self._said_s < EVERY_S - 1e-6:
            return
        self._said_s = frame.time_s
        self._server.publish(setup_message(frame, pipeline, limits, self._wall(frame.time_s)))

    def no_camera(self, time_s: float) -> None:
        if self._server.wanted("SETUP"):
            self._server.publish(
                {
                    "class": "SETUP",
                    "time": round(self._wall(time_s), 3),
                    "in_the_way": [Reason.CAMERA_LOST.value],
                }
            )


def setup_message(
    frame: Frame, pipeline: Pipeline, limits: QualityConfig, wall_time_s: float
) -> Message:
    """A SETUP object; ``limits`` are those that its numbers are held to."""
    layout = layout_of(frame)
    face = pipeline.face.tracker.face
    fps = pipeline.pulse.rate.fps()
    message: Message = {
        "class": "SETUP",
        "time": round(wall_time_s, 3),
        "width_px": layout.width_px,
        "height_px": layout.height_px,
        "fps": None if fps is None else round(fps, 2),
        "limits": {
            "face_px": limits.min_face_px,
            "luma": limits.min_luma,
            "saturated": limits.max_saturated,
            "motion_per_s": limits.max_motion_per_s,
            "fps": limits.min_fps,
        },
    }
    quality = pipeline.pulse.quality.quality()
    if face is None or quality is None:
        return {**message, "in_the_way": [Reason.NO_FACE.value]}
    message["box"] = {
        "x_px": round(face.x_px, 1),
        "y_px": round(face.y_px, 1),
        "w_px": round(face.w_px, 1),
        "h_px": round(face.h_px, 1),
    }
    message["face_px"] = round(quality.face_px, 1)
    message["luma"] = round(quality.luma, 1)
    message["saturated"] = round(quality.saturated, 3)
    message["motion_per_s"] = round(quality.motion_per_s, 3)
    problems = pipeline.pulse.quality.problems(fps, pipeline.pulse.rate.silent_share())
    if frame.unreliable_time:
        problems = (Reason.UNRELIABLE_TIMESTAMPS, *problems)
    message["in_the_way"] = [reason.value for reason in problems]
    return message
