"""Which camera the daemon reads, and in whose process."""

from __future__ import annotations

import logging
import threading

from hrd.capture.address import shown_address
from hrd.capture.child import ChildSource
from hrd.capture.open import first_camera, hangs_alone, open_source
from hrd.capture.source import FrameSource, SourceError
from hrd.config import SourceConfig
from hrd.service.camera import Camera

logger = logging.getLogger(__name__)

SIMULATED = "sim:bpm=72"
"""What ``--source auto`` plays when there is no camera (never as a service)."""


def resolve_source(spec: str, simulate: bool = True) -> str:
    """``auto`` -> the first camera, or the simulated one (with a warning that says so).

    With ``simulate`` off, no camera is a ``SourceError``: nobody is to take a drawn face's
    heart rate for his own.
    """
    if spec != "auto":
        return spec
    camera = first_camera()
    if camera is not None:
        logger.info("source: %s, the first camera", camera)
        return camera
    if not simulate:
        raise SourceError("There is no camera: plug one in, or set source.spec in the config.")
    logger.warning(
        "no camera found: using the SIMULATED one (%s); its readings are of a drawn face", SIMULATED
    )
    return SIMULATED


def open_camera(
    source: SourceConfig, stop: threading.Event, persist: bool = False, simulate: bool = True
) -> Camera:
    """The camera that is asked for. ``persist``: one that is not there yet is waited for; else
    raises ``SourceError``. ``stop``: cuts the wait short."""
    capture = source.capture

    def open_one(stop: threading.Event) -> FrameSource:
        spec = resolve_source(source.spec, simulate)
        alone = {"auto": hangs_alone(spec), "always": _is_camera(spec), "never": False}
        if alone[source.own_process]:
            return ChildSource(spec, capture, stop)
        return open_source(spec, capture)

    return Camera(
        open_one,
        queue_frames=source.queue_frames,
        loop=source.loop,
        wedged_s=capture.read_timeout_s + capture.settle_s + 3.0,
        opening_s=capture.open_timeout_s + capture.settle_s + capture.read_timeout_s + 8.0,
        persist=persist,
        spec=shown_address(source.spec),
        stop=stop,
    )


def _is_camera(spec: str) -> bool:
    return hangs_alone(spec) or spec.startswith("sim:")
