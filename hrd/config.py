"""Configuration: frozen dataclasses, one TOML file over their defaults, flags over the file."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import sys
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Tuple, Union

from hrd.capture.options import CaptureOptions
from hrd.engine.options import PRECISIONS, TensorRtOptions
from hrd.errors import UsageError
from hrd.estimate.estimator import EstimatorConfig
from hrd.face.track import TrackerConfig
from hrd.paths import SYSTEM_CONFIG
from hrd.pipeline import PipelineConfig
from hrd.protocol import DEFAULT_SOCKET
from hrd.pulse import PulseConfig
from hrd.quality import QualityConfig

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SourceConfig:
    """Where the frames come from, and what is asked of the camera."""

    spec: str = "auto"
    """/dev/videoN, csi://N, rtsp://..., a video file, sim:bpm=72, or auto: the first camera."""
    queue_frames: int = 8
    """Frames that may wait for the pipeline; the oldest is dropped, and counted, beyond that."""
    loop: bool = False
    """Play a video file again and again."""
    own_process: str = "auto"
    """Whether the camera is read in a process of its own, which can be killed when its driver
    hangs: auto (USB cameras and network streams), always (simulated cameras too) or never."""
    capture: CaptureOptions = field(default_factory=CaptureOptions)


@dataclass(frozen=True)
class FaceConfig:
    """How the face is found and followed."""

    detector: str = "auto"
    """auto, mediapipe or opencv."""
    tracker: TrackerConfig = field(default_factory=TrackerConfig)


@dataclass(frozen=True)
class EngineConfig:
    """What turns the face's colours into a pulse signal."""

    name: str = "auto"
    """auto, tensorrt, onnx or pos."""
    model: str = "student"
    """student, teacher or the path of an ONNX file."""
    threads: int = 1
    """CPU threads of ONNX Runtime; the student needs one."""
    tensorrt: TensorRtOptions = field(default_factory=TensorRtOptions)


@dataclass(frozen=True)
class ReadingConfig:
    """When a reading is good enough to be said."""

    updates_hz: float = 1.0
    """Readings per second."""
    min_confidence: float = 0.8
    """No bpm below this confidence."""
    estimator: EstimatorConfig = field(default_factory=EstimatorConfig)
    quality: QualityConfig = field(default_factory=QualityConfig)


@dataclass(frozen=True)
class SocketConfig:
    """Where and to whom readings are offered."""

    path: str = DEFAULT_SOCKET
    group: str = "hrd"
    """Group that may connect, where it exists."""
    max_clients: int = 1100


@dataclass(frozen=True)
class MetricsConfig:
    """Prometheus metrics, on localhost only. Any user of the machine can read them there."""

    enabled: bool = False
    port: int = 9808


@dataclass(frozen=True)
class LogConfig:
    """What the daemon writes about itself on stderr."""

    level: str = "info"
    """debug, info, warning or error."""


@dataclass(frozen=True)
class Config:
    """The whole configuration; each field is a table of the TOML file."""

    source: SourceConfig = field(default_factory=SourceConfig)
    face: FaceConfig = field(default_factory=FaceConfig)
    engine: EngineConfig = field(default_factory=EngineConfig)
    reading: ReadingConfig = field(default_factory=ReadingConfig)
    socket: SocketConfig = field(default_factory=SocketConfig)
    metrics: MetricsConfig = field(default_factory=MetricsConfig)
    log: LogConfig = field(default_factory=LogConfig)

    def pipeline(self) -> PipelineConfig:
        """The part that the pipeline needs."""
        from hrd.types import MODEL_FS_HZ

        return PipelineConfig(
            tracker=self.face.tracker,
            pulse=PulseConfig(
                hop_frames=max(1, int(round(MODEL_FS_HZ / self.reading.updates_hz))),
                min_confidence=self.reading.min_confidence,
                estimator=self.reading.estimator,
                quality=self.reading.quality,
            ),
        )


_CHOICES: Dict[str, Tuple[str, ...]] = {
    "source.own_process": ("auto", "always", "never"),
    "face.detector": ("auto", "mediapipe", "opencv"),
    "engine.name": ("auto", "tensorrt", "onnx", "pos"),
    "engine.tensorrt.precision": PRECISIONS,
    "log.level": ("debug", "info", "warning", "error"),
}

# Least and greatest value of every number that could be set to nonsense.
_LIMITS: Dict[str, Tuple[float, float]] = {
    "source.queue_frames": (1, 1000),
    "face.tracker.detect_every_s": (0.0, 10),
    "face.tracker.search_every_s": (0.0, 10),
    "face.tracker.hold_s": (0.0, 10),
    "face.tracker.deadband": (0, 0.5),
    "face.tracker.size_deadband": (0, 1),
    "engine.threads": (1, 64),
    "engine.tensorrt.workspace_mb": (1, 4096),
    "engine.tensorrt.deadline_s": (0.05, 1.5),
    "engine.tensorrt.build_limit_s": (10, 86400),
    "reading.updates_hz": (0.1, 10),
    "reading.min_confidence": (0, 1),
    "reading.estimator.min_window_s": (2, 60),
    "reading.estimator.max_window_s": (4, 60),
    "reading.quality.min_face_px": (8, 4000),
    "reading.quality.min_luma": (0, 255),
    "reading.quality.max_saturated": (0, 1),
    "reading.quality.max_motion_per_s": (0, 100),
    "reading.quality.min_fps": (1, 240),
    "reading.quality.frozen_s": (0.1, 60),
    "socket.max_clients": (1, 100000),
    "metrics.port": (1, 65535),
}


def load_config(path: Optional[Union[str, Path]] = None) -> Config:
    """Defaults with a TOML file over them: ``path``, else /etc/hrd/hrd.toml if it exists.

    Raises ``UsageError`` naming the file and the key if anything in it cannot be meant.
    """
    if path is None:
        if not os.access(SYSTEM_CONFIG, os.R_OK):
            return Config()
        path = SYSTEM_CONFIG
    path = Path(path)
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"the config {path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # bad TOML and bad UTF-8 are ValueErrors
        raise UsageError(f"{path} is not valid TOML: {error}") from error
    return from_table(table, str(path))


def from_table(table: Mapping[str, Any], where: str = "config") -> Config:
    """A Config from nested tables. Raises ``UsageError`` naming the key that is wrong."""
    config = _build(Config, table, "", where)
    assert isinstance(config, Config)
    estimator = config.reading.estimator
    if estimator.min_window_s > estimator.max_window_s:
        raise UsageError(
            f"{where}: reading.estimator.min_window_s ({estimator.min_window_s:g}) is longer than "
            f"max_window_s ({estimator.max_window_s:g})"
        )
    return config


def override(config: Config, values: Mapping[str, Any]) -> Config:
    """``config`` with dotted keys set, e.g. ``{"engine.name": "pos"}``; None leaves a key alone.

    Raises ``UsageError`` as ``load_config`` does.
    """
    table = dataclasses.asdict(config)
    for key, value in values.items():
        if value is None:
            continue
        *parents, leaf = key.split(".")
        node = table
        for parent in parents:
            node = node[parent]
        node[leaf] = value
    return from_table(table, "command line")


def to_toml(config: Config) -> str:
    """The effective configuration as TOML that ``load_config`` reads back."""
    lines: List[str] = []
    _dump(dataclasses.asdict(config), "", lines)
    return "\n".join(lines).strip() + "\n"


_MAX_CHARS = 300  # of a complaint: it may quote what is wrong, however long that is


def _build(kind: Any, table: Any, prefix: str, where: str) -> Any:
    if not isinstance(table, Mapping):
        raise UsageError(f"{where}: {prefix.rstrip('.')} must be a table, not {_show(table)}")
    hints = typing.get_type_hints(kind)
    fields = {item.name: item for item in dataclasses.fields(kind)}
    for key in table:
        if key not in fields:
            raise UsageError(
                f"{where}: unknown key {prefix}{key}; "
                f"{'the keys of ' + prefix.rstrip('.') if prefix else 'the tables'} "
                f"are {', '.join(fields)}"
            )
    values = {}
    for name, value in table.items():
        hint = hints[name]
        key = prefix + name
        if dataclasses.is_dataclass(hint):
            values[name] = _build(hint, value, key + ".", where)
        else:
            values[name] = _checked(hint, value, key, where)
    try:
        return kind(**values)
    except UsageError as error:
        raise UsageError(f"{where}: {prefix}{str(error)[:_MAX_CHARS]}") from error


_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}


def _checked(hint: Any, value: Any, key: str, where: str) -> Any:
    optional = typing.get_origin(hint) is Union
    if optional:
        if value is None:
            return None
        hint = next(arg for arg in typing.get_args(hint) if arg is not type(None))
    if isinstance(value, int) and value.bit_length() > 63:  # TOML's own limit
        raise UsageError(f"{where}: {key} is a number too large to be meant")
    right = isinstance(value, hint) and not (hint is not bool and isinstance(value, bool))
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        value, right = float(value), True
    if not right:
        raise UsageError(f"{where}: {key} must be {_WORDS[hint]}, not {_show(value)}")
    choices = _CHOICES.get(key)
    if choices and value not in choices:
        raise UsageError(f"{where}: {key} must be one of {', '.join(choices)}, not {_show(value)}")
    if key in _LIMITS:
        low, high = _LIMITS[key]
        if not low <= value <= high:  # also catches nan
            raise UsageError(
                f"{where}: {key} must be between {low:g} and {high:g}, not {_show(value)}"
            )
    return value


def _show(value: Any) -> str:
    try:
        text = json.dumps(value, default=str)
    except ValueError:  # Python prints no whole number of more than 4,300 digits
        text = "a very long number"
    return text if len(text) <= 60 else text[:57] + "..."


def _dump(table: Mapping[str, Any], prefix: str, lines: List[str]) -> None:
    leaves = {k: v for k, v in table.items() if not isinstance(v, Mapping) and v is not None}
    if leaves:
        lines.append(f"[{prefix}]")
        # JSON's text, numbers and booleans are TOML's too
        lines.extend(f"{key} = {json.dumps(value)}" for key, value in leaves.items())
        lines.append("")
    for key, value in table.items():
        if isinstance(value, Mapping):
            _dump(value, f"{prefix}.{key}" if prefix else key, lines)
