"""USB and other V4L2 cameras, through OpenCV."""

from __future__ import annotations

import dataclasses
import logging
import os
import time
from dataclasses import dataclass
from typing import Any, Callable, List, Optional, Sequence, Tuple

import cv2
import numpy as np

from hrd.capture import jpeg
from hrd.capture.clock import DriverClock
from hrd.capture.devices import check_camera
from hrd.capture.exposure import Action, ExposureGovernor
from hrd.capture.options import CaptureOptions
from hrd.capture.source import FrameSource, SourceError, SourceInfo
from hrd.picture import layout_of, sample
from hrd.types import Frame, Layout, Packing

logger = logging.getLogger(__name__)

# V4L2_CID_EXPOSURE_AUTO as OpenCV passes it through
_EXPOSURE_MANUAL = 1
_EXPOSURE_AUTOMATIC = 3  # aperture priority, what UVC cameras call automatic

_USB2_BYTES_PER_S = 24e6
"""What an isochronous USB 2 camera can carry (24 of 53 MB/s in one interface)."""

_BUFFERS = 2  # the smallest number that lets the driver fill one while the other is read


@dataclass(frozen=True)
class Mode:
    """What a driver has agreed to."""

    pixel_format: str
    width_px: int
    height_px: int
    fps: float


def format_preferences(options: CaptureOptions) -> Tuple[str, ...]:
    """Pixel formats to ask for, best first.

    Uncompressed frames keep the chroma that the pulse lives in and cost no JPEG decoding, so
    they come first as long as USB 2 can carry them (2 bytes per pixel).
    """
    if options.pixel_format != "auto":
        return (options.pixel_format,)
    bytes_per_s = 2.0 * options.width_px * options.height_px * options.fps
    return ("YUYV", "MJPG") if bytes_per_s <= _USB2_BYTES_PER_S else ("MJPG", "YUYV")


def _satisfies(offer: Tuple[str, Mode], fps: float) -> bool:
    asked, mode = offer
    return mode.pixel_format == asked and mode.fps >= 0.9 * fps


def choose_mode(offers: Sequence[Tuple[str, Mode]], fps: float) -> int:
    """Index of the best of ``(asked format, what the driver made of it)``, given in the order of
    preference: the first that is fast enough (90 % of ``fps``) in the format asked for; else the
    fastest in the format asked for; else the fastest."""
    for index, offer in enumerate(offers):
        if _satisfies(offer, fps):
            return index
    return max(
        range(len(offers)),
        key=lambda i: (offers[i][1].pixel_format == offers[i][0], offers[i][1].fps, -i),
    )


def fourcc_code(letters: str) -> int:
    """0x47504A4D for ``MJPG``."""
    return int.from_bytes(letters.encode("ascii"), "little")


def fourcc_text(code: float) -> str:
    """``MJPG`` for 0x47504A4D; unprintable bytes as ``?``."""
    value = int(code) & 0xFFFFFFFF
    letters = (chr((value >> shift) & 0xFF) for shift in (0, 8, 16, 24))
    return "".join(letter if " " < letter <= "~" else "?" for letter in letters)


def _opencv_capture(path: str) -> Any:
    # what it says on stderr by itself, hrd says in its own words
    if hasattr(cv2, "setLogLevel"):  # not in every 4.x; the capture process is told by its
        cv2.setLogLevel(0)  # environment as well
    # OpenCV's own patience with a silent driver is 10 s; read when the first camera is opened
    os.environ.setdefault("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", "4")
    return cv2.VideoCapture(path, cv2.CAP_V4L2)


class V4l2Source(FrameSource):
    """Reads a V4L2 camera with OpenCV.

    Pictures are taken as the camera delivers them where hrd reads that itself (YUYV, and MJPG
    where simplejpeg is installed), so that no more is decoded than is needed.

    Live: frames are stamped on the ``time.monotonic()`` axis with the driver's buffer time where
    it is sane, else with the moment of the grab. With ``options.lock_exposure`` the first frames
    go to letting exposure and white balance settle and locking them (``ExposureGovernor``), so
    the first ``read`` takes about ``settle_s`` longer. Raises ``SourceError``, naming the remedy,
    for a device that is missing, forbidden, busy, no camera, or that stops.
    """

    live = True

    def __init__(
        self,
        path: str,
        options: CaptureOptions,
        open_capture: Callable[[str], Any] = _opencv_capture,
        check: Callable[[str], object] = check_camera,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = path
        self._options = options
        self._now = clock
        self._index = 0
        self._undecoded = 0
        self._earlier: List[float] = []
        self._looked_s: Optional[float] = None
        self._clock = DriverClock(path)
        self._governor: Optional[ExposureGovernor] = None
        self._capture: Optional[Any] = None
        check(path)
        capture = open_capture(path)
        if not capture.isOpened():
            capture.release()
            raise SourceError(
                f"{path} does not start: another program may be using it, or it delivers no "
                "picture format that OpenCV reads."
            )
        self._capture = capture
        try:
            mode = self._negotiate(capture)
            if mode.pixel_format == "YUYV" or (mode.pixel_format == "MJPG" and jpeg.AVAILABLE):
                capture.set(cv2.CAP_PROP_CONVERT_RGB, 0)
            first = self._first_frame()
            size = layout_of(first)
        except SourceError:
            self.close()
            raise
        if options.lock_exposure:
            self._governor = ExposureGovernor(options.settle_s)
            self._set_automatic()
        self.info = SourceInfo(
            spec=path,
            kind="v4l2",
            width_px=size.width_px,
            height_px=size.height_px,
            nominal_fps=mode.fps if mode.fps > 0 else None,
            pixel_format=mode.pixel_format,
        )
        logger.info(
            "%s delivers %dx%d %s at %g frames per second",
            path,
            size.width_px,
            size.height_px,
            mode.pixel_format,
            mode.fps,
        )

    @property
    def exposure_locked(self) -> Optional[bool]:
        """Whether exposure or white balance is held; None where that is not asked for."""
        return None if self._governor is None else self._governor.locked

    def read(self) -> Frame:
        while True:
            frame = self._grab()
            if self._governor is not None:
                self._govern(self._governor, frame)
                if not self._governor.usable:
                    continue
            frame = dataclasses.replace(
                frame, index=self._index + len(self._earlier), earlier_s=tuple(self._earlier)
            )
            self._index = frame.index + 1
            self._earlier = []
            return frame

    def close(self) -> None:
        if self._capture is not None:
            if self._governor is not None:
                self._set_automatic()  # the next program expects a camera that adapts
            self._capture.release()
            self._capture = None

    def _negotiate(self, capture: Any) -> Mode:
        options = self._options
        formats = format_preferences(options)
        offers: List[Tuple[str, Mode]] = []
        for pixel_format in formats:
            offers.append((pixel_format, self._ask(capture, pixel_format)))
            if _satisfies(offers[-1], options.fps):
                break
        best = choose_mode(offers, options.fps)
        asked, mode = offers[best]
        if best != len(offers) - 1:
            mode = self._ask(capture, asked)
        if options.pixel_format != "auto" and mode.pixel_format != options.pixel_format:
            raise SourceError(
                f"{self._path} does not deliver {options.pixel_format} at "
                f"{options.width_px}x{options.height_px} (it offers {mode.pixel_format}): "
                'set pixel_format to "auto" or another size.'
            )
        wanted = (options.width_px, options.height_px, options.fps)
        if wanted != (mode.width_px, mode.height_px, mode.fps):
            logger.warning(
                "%s was asked for %dx%d at %g fps and set itself to %dx%d at %g fps",
                self._path,
                *wanted,
                mode.width_px,
                mode.height_px,
                mode.fps,
            )
        return mode

    def _ask(self, capture: Any, pixel_format: str) -> Mode:
        options = self._options
        # the format first: sizes and rates depend on it
        capture.set(cv2.CAP_PROP_FOURCC, fourcc_code(pixel_format))
        capture.set(cv2.CAP_PROP_FRAME_WIDTH, options.width_px)
        capture.set(cv2.CAP_PROP_FRAME_HEIGHT, options.height_px)
        capture.set(cv2.CAP_PROP_FPS, options.fps)
        capture.set(cv2.CAP_PROP_BUFFERSIZE, _BUFFERS)
        return Mode(
            pixel_format=fourcc_text(capture.get(cv2.CAP_PROP_FOURCC)),
            width_px=int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)),
            height_px=int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT)),
            fps=float(capture.get(cv2.CAP_PROP_FPS)),
        )

    def _first_frame(self) -> Frame:
        try:
            return self._grab()
        except SourceError:
            if not os.path.exists(self._path):
                raise
            raise SourceError(
                f"{self._path} opens but delivers no picture: another program may be using it, or "
                "unplug it and plug it in again."
            ) from None

    def _grab(self) -> Frame:
        """The next decodable picture that is wanted; those before it are in ``_earlier``."""
        capture = self._capture
        if capture is None:
            raise SourceError(f"{self._path} is closed.")
        deadline_s = self._now() + self._options.read_timeout_s
        while True:
            if not capture.grab():
                raise SourceError(self._why_lost())
            now_s = self._now()
            driver_s = float(capture.get(cv2.CAP_PROP_POS_MSEC)) / 1e3
            looked_s = self._looked_s
            if looked_s is not None and 0.0 <= now_s - looked_s < self.demand.every_s - 2e-3:
                time_s = self._clock.place(driver_s, now_s)
                if time_s is not None:
                    self._earlier.append(time_s)
                continue
            ok, image = capture.retrieve()
            picture = self._picture(image) if ok and image is not None else None
            if picture is not None:
                time_s = self._clock.place(driver_s, now_s)
                if time_s is not None:
                    self._looked_s = now_s
                    return Frame(picture[0], time_s, 0, picture[1])
            else:
                self._undecoded += 1
                if self._undecoded == 1:
                    logger.warning("%s: a damaged frame was left out", self._path)
            if now_s > deadline_s:
                raise SourceError(
                    f"{self._path} has delivered no usable frame for "
                    f"{self._options.read_timeout_s:g} s: check its cable, or set pixel_format."
                )

    def _picture(self, image: np.ndarray) -> Optional[Tuple[np.ndarray, Optional[Layout]]]:
        """What OpenCV has delivered: raw YUYV, a JPEG file or BGR. None if it is damaged."""
        if image.ndim == 3 and image.shape[2] == 3:
            return cv2.cvtColor(image, cv2.COLOR_BGR2RGB), None
        if image.ndim == 3 and image.shape[2] == 2:
            height, width = image.shape[:2]
            room = self.allocate(image.nbytes)
            room[:] = image.reshape(-1)
            layout = Layout(Packing.YUYV, width, height, chroma=(2, 1))
            return room.reshape(image.shape), layout
        if jpeg.AVAILABLE and image.dtype == np.uint8:
            try:
                pixels, (width, height), reduced = jpeg.decode_jpeg(
                    image.tobytes(), self.demand.reduced, self.allocate
                )
            except jpeg.DamagedPicture:
                return None
            return pixels, Layout(Packing.RGB, width, height, reduced)
        return None

    def _why_lost(self) -> str:
        if not os.path.exists(self._path):
            return f"{self._path} was unplugged: plug the camera in again."
        return f"{self._path} has stopped delivering frames: unplug it and plug it in again."

    def _govern(self, governor: ExposureGovernor, frame: Frame) -> None:
        layout = layout_of(frame)
        seen = sample(frame, 16 // layout.reduced)
        brightness = seen[..., 0] if layout.packing is Packing.YUYV else seen
        action = governor.push(float(brightness.mean()), frame.time_s)
        if action is Action.UNLOCK:
            logger.info("%s: brightness has changed, exposure is automatic again", self._path)
            self._set_automatic()
        elif action is Action.LOCK and not self._lock():
            logger.info("%s: exposure stays automatic, the driver does not lock it", self._path)
            governor.give_up()

    def _lock(self) -> bool:
        """Hold exposure and white balance where they are; False if the driver will not."""
        capture = self._capture
        assert capture is not None
        exposure = capture.get(cv2.CAP_PROP_EXPOSURE)
        exposure_held = bool(capture.set(cv2.CAP_PROP_AUTO_EXPOSURE, _EXPOSURE_MANUAL))
        if exposure_held and exposure > 0:
            # a camera put on manual takes up its last manual value, not the automatic one
            capture.set(cv2.CAP_PROP_EXPOSURE, exposure)
        white_held = bool(capture.set(cv2.CAP_PROP_AUTO_WB, 0))
        if exposure_held or white_held:
            logger.info(
                "%s: exposure %s, white balance %s",
                self._path,
                f"locked at {exposure:g}" if exposure_held else "automatic (not lockable)",
                "locked" if white_held else "automatic (not lockable)",
            )
        return exposure_held or white_held

    def _set_automatic(self) -> None:
        capture = self._capture
        assert capture is not None
        capture.set(cv2.CAP_PROP_AUTO_EXPOSURE, _EXPOSURE_AUTOMATIC)
        capture.set(cv2.CAP_PROP_AUTO_WB, 1)
