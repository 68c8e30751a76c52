"""The interface of everything that delivers frames."""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import TYPE_CHECKING, Callable, Iterator, Optional, TypeVar

from hrd.errors import HrdError
from hrd.types import Demand, Frame

if TYPE_CHECKING:
    import numpy as np

_Source = TypeVar("_Source", bound="FrameSource")


class SourceError(HrdError):
    """A source that cannot be opened or has failed; the message says which and what to do."""


@dataclass(frozen=True)
class SourceInfo:
    """What a source says of itself. ``nominal_fps`` is what it claims; rates are measured."""

    spec: str
    kind: str
    width_px: int
    height_px: int
    nominal_fps: Optional[float]
    pixel_format: Optional[str]


def _new_bytes(count: int) -> np.ndarray:
    import numpy as np  # not needed to read the settings of a source

    return np.empty(count, np.uint8)


class FrameSource(abc.ABC):
    """Delivers frames one by one, each with the time of its capture.

    Opened by its constructor (raises ``SourceError``). ``live`` sources run on whether they are
    read or not and stamp frames with ``time.monotonic()``; the others (files) stamp them with
    their presentation time in seconds from the first frame, and wait for the reader.
    """

    live: bool
    info: SourceInfo
    dropped: int = 0
    """Frames that the source itself had to drop because nobody took them."""

    demand: Demand = Demand()
    """What is needed of the frames to come; see ``ask``."""

    def ask(self, demand: Demand) -> None:
        """Say, from any thread, what is needed from now on; a source may take no notice."""
        self.demand = demand

    @property
    def exposure_locked(self) -> Optional[bool]:
        """Whether the camera's exposure is held; None where nobody tries to."""
        return None

    allocate: Callable[[int], np.ndarray] = staticmethod(_new_bytes)
    """Where a picture of so many bytes is to be put, as (N,) uint8, by sources that can choose."""

    @abc.abstractmethod
    def read(self) -> Optional[Frame]:
        """The next frame, or None at the end. Raises ``SourceError`` when the source fails."""

    @abc.abstractmethod
    def close(self) -> None:
        """Release everything; may be called twice."""

    def __iter__(self) -> Iterator[Frame]:
        while True:
            frame = self.read()
            if frame is None:
                return
            yield frame

    def __enter__(self: _Source) -> _Source:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
