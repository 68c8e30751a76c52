"""The video that the bench reads when none is given: a drawn face, compressed as a webcam does."""

from __future__ import annotations

import os
from fractions import Fraction
from typing import Callable, Optional

from hrd.capture.simulated import SimulatedSource


def write_clip(
    path: str, seconds: float, seed: int = 1, on_frame: Optional[Callable[[], None]] = None
) -> None:
    """Write 640x480 MJPEG at 30 fps: the format in which a USB camera delivers."""
    import av

    spec = f"sim:bpm=72,seconds={seconds:g},seed={seed},fps=30,size=640x480"
    with SimulatedSource.parse(spec) as source, av.open(os.fspath(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=30)
        stream.width, stream.height = 640, 480
        stream.pix_fmt = "yuvj420p"
        stream.codec_context.time_base = Fraction(1, 30)
        stream.codec_context.qmin = stream.codec_context.qmax = 3
        for frame in source:
            picture = av.VideoFrame.from_ndarray(frame.image, format="rgb24")
            picture.pts = frame.index
            picture.time_base = Fraction(1, 30)
            container.mux(stream.encode(picture))
            if on_frame is not None:
                on_frame()
        container.mux(stream.encode(None))
