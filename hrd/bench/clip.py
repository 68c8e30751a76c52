"""The video that the bench reads when none is given: a drawn face, compressed as a webcam does."""

from __future__ import annotations

import multiprocessing
import os
from fractions import Fraction

from hrd.capture.simulated import SimulatedSource
from hrd.errors import HrdError


def write_clip_apart(path: str, seconds: float) -> None:
    """``write_clip`` in a process of its own, so that its memory is not taken for the pipeline's.

    Raises ``HrdError`` if that fails.
    """
    child = multiprocessing.get_context("spawn").Process(target=write_clip, args=(path, seconds))
    child.start()
    child.join()
    if child.exitcode != 0:
        raise HrdError(f"the bench's video could not be drawn into {path}; use --source FILE")


def write_clip(path: str, seconds: float, seed: int = 1) -> None:
    """Write 640x480 MJPEG at 30 fps: the format in which a USB camera delivers."""
    import av

    spec = f"sim:bpm=72,seconds={seconds:g},seed={seed},fps=30,size=640x480"
    with SimulatedSource.parse(spec) as source, av.open(os.fspath(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=30)
        stream.width, stream.height = 640, 480
        stream.pix_fmt = "yuvj420p"
        stream.codec_context.time_base = Fraction(1, 30)
        stream.codec_context.options = {"qmin": "3", "qmax": "3"}  # PyAV 12 has no other way
        for frame in source:
            picture = av.VideoFrame.from_ndarray(frame.image, format="rgb24")
            picture.pts = frame.index
            picture.time_base = Fraction(1, 30)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
