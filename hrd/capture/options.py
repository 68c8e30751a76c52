"""What a camera is asked for."""

from __future__ import annotations

from dataclasses import dataclass

from hrd.errors import UsageError

PIXEL_FORMATS = ("auto", "MJPG", "YUYV")


@dataclass(frozen=True)
class CaptureOptions:
    """Wishes to a camera; what it really delivers is in ``SourceInfo`` and in the frames.

    Size, rate and pixel format concern cameras only: files and streams are taken as they are.
    Raises ``UsageError``, naming the field, for a value that cannot be meant.
    """

    width_px: int = 640
    height_px: int = 480
    fps: float = 30.0
    pixel_format: str = "auto"
    """``MJPG``, ``YUYV`` or ``auto``: uncompressed where USB 2 can carry it, else MJPG."""
    lock_exposure: bool = True
    """Hold exposure and white balance once they have settled (V4L2 only)."""
    settle_s: float = 1.5
    """How long automatic exposure is given before it is locked; these frames are not used."""
    open_timeout_s: float = 10.0
    read_timeout_s: float = 5.0
    """A live source that delivers no frame for this long has failed."""

    def __post_init__(self) -> None:
        for name in ("width_px", "height_px"):
            value = getattr(self, name)
            if not 16 <= value <= 8192:
                raise UsageError(f"{name} must be between 16 and 8192 pixels, not {value}.")
            if value % 2:
                raise UsageError(f"{name} must be even, not {value}.")
        if not 1.0 <= self.fps <= 240.0:
            raise UsageError(f"fps must be between 1 and 240 frames per second, not {self.fps}.")
        if self.pixel_format not in PIXEL_FORMATS:
            known = ", ".join(PIXEL_FORMATS)
            raise UsageError(f"pixel_format must be one of {known}, not {self.pixel_format!r}.")
        if not 0.0 <= self.settle_s <= 60.0:
            raise UsageError(f"settle_s must be between 0 and 60 seconds, not {self.settle_s}.")
        for name in ("open_timeout_s", "read_timeout_s"):
            value = getattr(self, name)
            if not 0.1 <= value <= 600.0:
                raise UsageError(f"{name} must be between 0.1 and 600 seconds, not {value}.")
