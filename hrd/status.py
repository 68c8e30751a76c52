"""What the daemon knows of itself: the STATUS object, for the socket, the metrics and the doctor.

Every field may be None: what is not known is absent on the wire. ``protocol.schema.json`` describes
the same for programs in other languages (a test holds the two together).
"""

from __future__ import annotations

import dataclasses
import typing
from dataclasses import dataclass, field
from typing import Any, Dict, Mapping, Optional, Type, TypeVar, Union

T = TypeVar("T")


@dataclass(frozen=True)
class EngineStatus:
    """What computes the signal, and why it and no other."""

    name: Optional[str] = None
    provider: Optional[str] = None
    reason: Optional[str] = None
    fallbacks: Optional[int] = None


@dataclass(frozen=True)
class ModelStatus:
    """The network, where the engine runs one."""

    name: Optional[str] = None
    params: Optional[int] = None


@dataclass(frozen=True)
class CameraStatus:
    """The source. ``failure``: why it delivers nothing now."""

    source: Optional[str] = None
    kind: Optional[str] = None
    width_px: Optional[int] = None
    height_px: Optional[int] = None
    pixel_format: Optional[str] = None
    nominal_fps: Optional[float] = None
    lost: Optional[int] = None
    failure: Optional[str] = None


@dataclass(frozen=True)
class FaceStatus:
    """What finds the face, and how often it has gone."""

    detector: Optional[str] = None
    lost: Optional[int] = None


@dataclass(frozen=True)
class FrameCount:
    """A number of frames: dropped since the start, or waiting."""

    frames: Optional[int] = None


@dataclass(frozen=True)
class MemoryStatus:
    """Resident memory, in MB (10^6 bytes)."""

    rss_mb: Optional[float] = None


@dataclass(frozen=True)
class ClientCounts:
    """``connected`` now, and counts since the start: ``refused`` (too many clients or
    descriptors), ``cut_off``, ``requests``, ``bad_requests``, ``sent`` (lines), ``dropped``
    (messages)."""

    connected: int = 0
    accepted: int = 0
    refused: int = 0
    cut_off: int = 0
    requests: int = 0
    bad_requests: int = 0
    sent: int = 0
    dropped: int = 0


@dataclass(frozen=True)
class Status:
    """All of it."""

    release: Optional[str] = None
    uptime_s: Optional[float] = None
    state: Optional[str] = None
    engine: EngineStatus = field(default_factory=EngineStatus)
    model: Optional[ModelStatus] = None
    camera: CameraStatus = field(default_factory=CameraStatus)
    face: FaceStatus = field(default_factory=FaceStatus)
    fps: Optional[float] = None
    jitter_ms: Optional[float] = None
    drops: FrameCount = field(default_factory=FrameCount)
    queues: FrameCount = field(default_factory=FrameCount)
    memory: MemoryStatus = field(default_factory=MemoryStatus)
    clients: ClientCounts = field(default_factory=ClientCounts)

    def fields(self) -> Dict[str, Any]:
        """As they go on the wire: None for what is not known, an object too where nothing of it
        is known."""
        known = dataclasses.asdict(self)
        return {
            name: None
            if isinstance(value, dict) and all(item is None for item in value.values())
            else value
            for name, value in known.items()
        }

    @classmethod
    def from_message(cls, message: Mapping[str, Any]) -> Status:
        """From a STATUS object of any release: what it lacks is None, what is new is left out, and
        so is what is of another type."""
        return _build(cls, message)


def _build(kind: Type[T], values: Mapping[str, Any]) -> T:
    built: Dict[str, Any] = {}
    for name, hint in typing.get_type_hints(kind).items():
        value = values.get(name)
        if typing.get_origin(hint) is Union:
            hint = next(arg for arg in typing.get_args(hint) if arg is not type(None))
        if dataclasses.is_dataclass(hint):
            if isinstance(value, Mapping):
                built[name] = _build(typing.cast(Type[Any], hint), value)
        elif isinstance(value, (int, float) if hint is float else hint):
            built[name] = value
    return kind(**built)
