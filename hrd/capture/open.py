"""Which source a ``--source`` means."""

from __future__ import annotations

import os
import re

from hrd.capture.address import is_mistyped_address, shown_address
from hrd.capture.devices import first_camera
from hrd.capture.options import CaptureOptions
from hrd.capture.source import FrameSource, SourceError

__all__ = ["CaptureOptions", "first_camera", "hangs_alone", "open_source"]

STREAM_SCHEMES = ("rtsp", "rtsps", "http", "https")


def open_source(spec: str, options: CaptureOptions) -> FrameSource:
    """Open what ``spec`` names; raises ``SourceError`` in one sentence where that fails.

    ``/dev/videoN``: V4L2 camera. ``csi://N``: Jetson CSI camera. ``rtsp://``, ``http://``: live
    stream. ``sim:...``: simulated camera. ``file://`` or anything else: path of a video file.
    Sources that are not ``live`` (files, the simulated camera) can be wrapped in ``PacedSource``.
    """
    if not spec:
        raise SourceError("The source is empty: name a camera such as /dev/video0 or a file.")
    if re.fullmatch(r"/dev/video\d+", spec) or spec.startswith(("/dev/v4l/", "v4l2://")):
        from hrd.capture.v4l2 import V4l2Source

        return V4l2Source(spec[len("v4l2://") :] if spec.startswith("v4l2://") else spec, options)
    if spec.startswith("sim:"):
        from hrd.capture.simulated import SimulatedSource

        return SimulatedSource.parse(spec)
    scheme, separator, rest = spec.partition("://")
    if not separator or "/" in scheme:
        return _open_file(spec, spec, options)
    scheme = scheme.lower()
    if scheme == "csi":
        from hrd.capture.csi import CsiSource

        return CsiSource(spec, options)
    if scheme in STREAM_SCHEMES:
        from hrd.capture.stream import StreamSource

        return StreamSource(spec, options)
    if scheme == "file":
        return _open_file(rest, spec, options)
    raise SourceError(
        f"A source of the kind {scheme}:// is not known: "
        "use /dev/video0, csi://0, rtsp://..., sim:bpm=72 or a video file."
    )


def hangs_alone(spec: str) -> bool:
    """Whether ``spec`` names something that is better read in a process of its own: a camera
    whose driver, or a stream whose decoder, may hang or crash. (CSI cameras have one anyway.)"""
    return bool(
        re.fullmatch(r"/dev/video\d+", spec)
        or spec.startswith(("/dev/v4l/", "v4l2://"))
        or spec.partition("://")[0].lower() in STREAM_SCHEMES
    )


def _open_file(path: str, spec: str, options: CaptureOptions) -> FrameSource:
    if is_mistyped_address(path) and not os.path.exists(path):
        raise SourceError(
            f"{shown_address(path)} is neither a file nor an address: "
            "write a camera as rtsp://user:password@camera/path."
        )
    if path == "-":
        path = "/dev/stdin"
    if os.path.isdir(path):
        from hrd.capture.pictures import PictureFolderSource

        return PictureFolderSource(path, spec, options.file_fps)
    from hrd.capture.video import VideoFileSource

    return VideoFileSource(path, spec, options.file_fps, options.stream)
