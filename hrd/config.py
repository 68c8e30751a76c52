"""Configuration: frozen dataclasses, one TOML file over their defaults, flags over the file.

``hrd.options`` says how a setting is written down; ``hrd.config_text`` prints them all.
"""

from __future__ import annotations

import dataclasses
import os
import sys
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, Mapping, Optional, Union

from hrd.capture.options import CaptureOptions
from hrd.choices import DETECTORS, ENGINES, LEVELS
from hrd.engine.options import TensorRtOptions
from hrd.errors import UsageError
from hrd.estimate.options import EstimatorConfig, QualityConfig
from hrd.face.options import TrackerConfig
from hrd.options import Options, option, show, table
from hrd.paths import SYSTEM_CONFIG
from hrd.protocol import DEFAULT_SOCKET

if TYPE_CHECKING:  # a command that only reads the configuration loads no pipeline
    from hrd.pipeline import PipelineConfig

COMMAND_LINE = "command line"
OWN_PROCESS = ("auto", "always", "never")


@dataclass(frozen=True)
class SourceConfig(Options):
    """Where the frames come from, and what is asked of the camera."""

    spec: str = option(
        "auto",
        """/dev/videoN, csi://N, rtsp://..., a video file, sim:bpm=72, or auto: the first camera;
        hrd help sources tells more.""",
    )
    queue_frames: int = option(
        8,
        """Frames that may wait for the pipeline; the oldest is dropped, and counted, beyond
        that.""",
        "frames",
        1,
        1000,
    )
    loop: bool = option(False, "Play a video file again and again.")
    own_process: str = option(
        "auto",
        """Whether the camera is read in a process of its own, which can be killed when its driver
        hangs: auto (USB cameras and network streams), always (simulated cameras too) or never.""",
        choices=OWN_PROCESS,
    )
    capture: CaptureOptions = table(CaptureOptions)


@dataclass(frozen=True)
class FaceConfig(Options):
    """How the face is found and followed."""

    detector: str = option(
        "auto",
        "What finds the face; auto: BlazeFace where ONNX Runtime is, else OpenCV's cascade.",
        choices=DETECTORS,
    )
    tracker: TrackerConfig = table(TrackerConfig)


@dataclass(frozen=True)
class EngineConfig(Options):
    """What turns the face's colours into a pulse signal."""

    name: str = option("auto", "auto: the best that works here.", choices=ENGINES)
    model: str = option("student", "student, teacher or the path of an ONNX file.")
    threads: int = option(1, "CPU threads of ONNX Runtime; the student needs one.", "", 1, 64)
    tensorrt: TensorRtOptions = table(TensorRtOptions)


@dataclass(frozen=True)
class ReadingConfig(Options):
    """When a reading is good enough to be said."""

    updates_hz: float = option(1.0, "Readings per second.", "Hz", 0.1, 10)
    min_confidence: float = option(0.8, "No bpm below this confidence.", "", 0, 1)
    calibration: str = option(
        "", "A confidence for one's own camera: a file of hrd calibrate; empty: hrd's own."
    )
    estimator: EstimatorConfig = table(EstimatorConfig)
    quality: QualityConfig = table(QualityConfig)


@dataclass(frozen=True)
class SocketConfig(Options):
    """Where and to whom readings are offered."""

    path: str = option(DEFAULT_SOCKET, "The UNIX socket that clients connect to.")
    group: str = option("hrd", "Group that may connect, where it exists.")
    max_clients: int = option(1100, "Clients at once; more are refused.", "clients", 1, 100000)


@dataclass(frozen=True)
class MetricsConfig(Options):
    """Prometheus metrics, on localhost only. Any user of the machine can read them there."""

    enabled: bool = option(False, "Offer metrics at http://127.0.0.1:PORT/metrics.")
    port: int = option(9808, "Port of the metrics.", "", 1, 65535)


@dataclass(frozen=True)
class LogConfig(Options):
    """What the daemon writes about itself on stderr."""

    level: str = option("info", "The least important lines that are written.", choices=LEVELS)


@dataclass(frozen=True)
class Config(Options):
    """The whole configuration; each field is a table of the TOML file."""

    source: SourceConfig = table(SourceConfig)
    face: FaceConfig = table(FaceConfig)
    engine: EngineConfig = table(EngineConfig)
    reading: ReadingConfig = table(ReadingConfig)
    socket: SocketConfig = table(SocketConfig)
    metrics: MetricsConfig = table(MetricsConfig)
    log: LogConfig = table(LogConfig)

    def pipeline(self) -> PipelineConfig:
        """The part that the pipeline needs."""
        from hrd.pipeline import PipelineConfig
        from hrd.pulse import PulseConfig
        from hrd.types import MODEL_FS_HZ

        return PipelineConfig(
            tracker=self.face.tracker,
            pulse=PulseConfig(
                hop_frames=max(1, int(round(MODEL_FS_HZ / self.reading.updates_hz))),
                min_confidence=self.reading.min_confidence,
                calibration=self.reading.calibration,
                estimator=self.reading.estimator,
                quality=self.reading.quality,
            ),
        )


def load_config(path: Optional[Union[str, Path]] = None) -> Config:
    """Defaults with a TOML file over them: ``path``, else /etc/hrd/hrd.toml if it exists.

    Raises ``UsageError`` naming the file and the key if anything in it is invalid.
    """
    found = config_path(path)
    return Config() if found is None else from_table(read_table(found), str(found))


def config_path(path: Optional[Union[str, Path]] = None) -> Optional[Path]:
    """The file that ``load_config`` reads; None where there is none."""
    if path is not None:
        return Path(path)
    return SYSTEM_CONFIG if os.access(SYSTEM_CONFIG, os.R_OK) else None


def read_table(path: Path) -> Dict[str, Any]:
    """A TOML file as nested tables. Raises ``UsageError``."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        # Windows' editors put a byte order mark before UTF-8, which TOML does not know
        return tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        raise UsageError(f"the config {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{path} is not written in UTF-8 (byte {error.start + 1}): save it as UTF-8"
        ) from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not valid TOML: {error}") from error


def from_table(values: Mapping[str, Any], where: str = "config") -> Config:
    """A Config from nested tables. Raises ``UsageError`` naming the key that is wrong."""
    config = _build(Config, values, "", where)
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
    tables = dataclasses.asdict(config)
    for key, value in values.items():
        if value is None:
            continue
        *parents, leaf = key.split(".")
        node = tables
        for parent in parents:
            node = node[parent]
        node[leaf] = value
    return from_table(tables, COMMAND_LINE)


_MAX_CHARS = 300  # of a complaint: it may quote what is wrong, however long that is


def _build(kind: Any, values: Any, prefix: str, where: str) -> Any:
    if not isinstance(values, Mapping):
        raise UsageError(f"{where}: {prefix.rstrip('.')} must be a table, not {show(values)}")
    hints = typing.get_type_hints(kind)
    for key in values:
        if key not in hints:
            raise UsageError(_unknown(prefix, str(key), hints, where))
    built = {}
    for name, value in values.items():
        if dataclasses.is_dataclass(hints[name]):
            built[name] = _build(hints[name], value, f"{prefix}{name}.", where)
        else:
            built[name] = _typed(hints[name], value, prefix + name, where)
    try:
        made = kind(**built)
        made.check()
        return made
    except UsageError as error:
        raise UsageError(f"{where}: {prefix}{str(error)[:_MAX_CHARS]}") from error


def _unknown(prefix: str, key: str, known: Mapping[str, Any], where: str) -> str:
    import difflib

    near = difflib.get_close_matches(key, known, 1)
    hint = f" (did you mean {prefix}{near[0]}?)" if near else ""
    whose = f"the keys of {prefix.rstrip('.')}" if prefix else "the tables"
    return f"{where}: unknown key {prefix}{key[:60]}{hint}; {whose} are {', '.join(known)}"


_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}


def _typed(hint: Any, value: Any, key: str, where: str) -> Any:
    """The value as its setting's type; what may be set is checked by the table itself."""
    if typing.get_origin(hint) is Union:
        if value is None:
            return None
        hint = next(arg for arg in typing.get_args(hint) if arg is not type(None))
    if isinstance(value, int) and value.bit_length() > 63:  # TOML's own limit
        raise UsageError(f"{where}: {key} is too large a number")
    whole = isinstance(value, int) and not isinstance(value, bool)
    if hint is float and whole:
        return float(value)
    if not isinstance(value, hint) or (hint is int and not whole):
        raise UsageError(f"{where}: {key} must be {_WORDS[hint]}, not {show(value)}")
    return value
