"""Which source a ``--source`` means."""

from __future__ import annotations

import difflib
import os
import re

from hrd.capture.address import is_mistyped_address, shown_address
from hrd.capture.devices import first_camera
from hrd.capture.options import CaptureOptions
from hrd.capture.source import FrameSource, SourceError

__all__ = ["CaptureOptions", "first_camera", "hangs_alone", "open_source"]

STREAM_SCHEMES = ("rtsp", "rtsps", "http", "https")
KINDS = (*STREAM_SCHEMES, "csi", "file", "v4l2")
"""What may stand before ``://``."""


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
    raise _unknown_kind(scheme)


def check_spec(spec: str) -> None:
    """Raise ``SourceError`` for what cannot be opened whatever is plugged in: an unknown kind of
    source, an option that the simulated camera does not know, a file that is not there. Opens
    nothing, so that this one sentence is all that is said.
    """
    from hrd.capture.files import check_file

    if not spec or spec == "auto" or hangs_alone(spec):
        return
    if spec.startswith("sim:"):
        from hrd.capture.simulated_options import parse_simulated

        parse_simulated(spec)
        return
    scheme, separator, rest = spec.partition("://")
    if separator and "/" not in scheme:
        if scheme.lower() not in KINDS:
            raise _unknown_kind(scheme)
        if scheme.lower() != "file":
            return
        spec = rest
    if spec != "-" and not os.path.isdir(spec):
        _check_address(spec)
        check_file(spec)


def _check_address(path: str) -> None:
    if is_mistyped_address(path) and not os.path.exists(path):
        raise SourceError(
            f"{shown_address(path)} is neither a file nor an address: "
            "write a camera as rtsp://user:password@camera/path."
        )


def _unknown_kind(scheme: str) -> SourceError:
    near = difflib.get_close_matches(scheme.lower(), KINDS, 1)
    hint = f" (did you mean {near[0]}://?)" if near else ""
    return SourceError(
        f"A source of the kind {scheme}:// is not known{hint}: "
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
    _check_address(path)
    if path == "-":
        path = "/dev/stdin"
    if os.path.isdir(path):
        from hrd.capture.pictures import PictureFolderSource

        return PictureFolderSource(path, spec, options.file_fps)
    from hrd.capture.video import VideoFileSource

    return VideoFileSource(path, spec, options.file_fps, options.stream)
