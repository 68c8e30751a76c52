"""What a camera is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from hrd.errors import UsageError
from hrd.options import Options, option

PIXEL_FORMATS = ("auto", "MJPG", "YUYV")


@dataclass(frozen=True)
class CaptureOptions(Options):
    """What is asked of a camera; what it really delivers is measured.

    Size, rate and pixel format concern cameras only: files and streams are taken as they are.
    Raises ``UsageError``, naming the field, for a value that is not allowed.
    """

    width_px: int = option(640, "Width asked of a camera; even.", "pixels", 16, 8192)
    height_px: int = option(480, "Height asked of a camera; even.", "pixels", 16, 8192)
    fps: float = option(30.0, "Rate asked of a camera.", "frames per second", 1, 240)
    pixel_format: str = option(
        "auto",
        "auto: uncompressed (YUYV) where USB 2 can carry it, else MJPG.",
        choices=PIXEL_FORMATS,
    )
    lock_exposure: bool = option(
        True, "Hold exposure and white balance once they have settled (V4L2 only)."
    )
    settle_s: float = option(
        1.5,
        """How long automatic exposure is given before it is locked; these frames are not
        used.""",
        "s",
        0,
        60,
    )
    open_timeout_s: float = option(
        10.0, "A source that is not open after this has failed.", "s", 0.1, 600
    )
    read_timeout_s: float = option(
        5.0, "A live source that delivers no frame for this long has failed.", "s", 0.1, 600
    )
    file_fps: Optional[float] = option(
        None,
        "The rate that a file was taken at, for files without times of their own.",
        "frames per second",
        1,
        1000,
    )
    stream: Optional[int] = option(
        None, "Which stream to read of a file with several films; 0 is the first.", "", 0, 1000
    )

    def __post_init__(self) -> None:
        self.check()
        for name in ("width_px", "height_px"):
            if getattr(self, name) % 2:
                raise UsageError(f"{name} must be even, not {getattr(self, name)}.")
