"""What can be asked of the simulated camera, ``sim:key=value,...``; what it shows is drawn in
``hrd.capture.simulated``."""

from __future__ import annotations

import difflib
import typing
from dataclasses import dataclass
from typing import Dict, Optional, Tuple, Union

from hrd.capture.source import SourceError
from hrd.errors import UsageError
from hrd.options import Option, Options, option, options_of

PREFIX = "sim:"

FACE, PHOTO, WALL, DARK, NO_FACE = "face", "photo", "wall", "dark", "noface"
KINDS = (FACE, PHOTO, WALL, DARK, NO_FACE)

DIFFICULTIES = ("still", "typical", "hard")
MIN_BPM, MAX_BPM = 35.0, 220.0
"""As ``hrd.sim`` knows them (a test compares); repeated so that ``--help`` loads no NumPy."""

_MAX_SIDE_PX = 4096
_SWITCH = {"on": True, "off": False}


@dataclass(frozen=True)
class SimulatedConfig(Options):
    """What a simulated camera shows; every field but ``spec`` is a key of the spec."""

    spec: str = PREFIX
    bpm: float = option(72.0, "Heart rate.", "beats per minute", MIN_BPM, MAX_BPM)
    to: Optional[float] = option(
        None, "Heart rate from at= on.", "beats per minute", MIN_BPM, MAX_BPM
    )
    at: float = option(30.0, "When the rate goes to to=.", "seconds", 0, 1e6)
    ramp: float = option(
        0.0, "How fast the rate goes to to=; 0: at once.", "bpm per minute", 0, 1000
    )
    variability: float = option(1.0, "Variability of the rate.", "times a resting adult's", 0, 3)
    seconds: Optional[float] = option(None, "Length; endless without.", "seconds", 0.1, 1e6)
    seed: int = option(0, "Another face for another seed.", "", 0, 2**31 - 1)
    motion: str = option("still", "How the head moves.", choices=DIFFICULTIES)
    light: str = option("still", "How the light changes.", choices=DIFFICULTIES)
    skin: Optional[int] = option(
        None, "Skin group after Fitzpatrick, from light to dark; any without.", "", 1, 6
    )
    fps: float = option(30.0, "Frame rate of the camera.", "frames per second", 1, 240)
    size: Tuple[int, int] = option(
        (640, 480), f"WIDTHxHEIGHT, even, 64 to {_MAX_SIDE_PX}, such as 640x480.", "pixels"
    )
    jitter: float = option(0.0, "Standard deviation of a frame's time.", "frame periods", 0, 0.4)
    drops: float = option(0.0, "Share of the frames that never arrive.", "", 0, 0.9)
    pulse: bool = option(True, "Whether the face has a pulse: on or off.")
    ac: Optional[float] = option(
        None,
        """Peak to peak over mean of the green channel where skin shows the pulse best; what the
        skin group has without.""",
        "per cent",
        0,
        5,
    )
    kind: str = option(
        FACE,
        """What is seen: a face, a photo of one (no pulse, no blinking), a wall, a dark room or a
        room with nobody in it (noface).""",
        choices=KINDS,
    )
    noise: float = option(1.0, "Noise of the sensor.", "times a decent webcam's", 0, 20)
    quality: int = option(0, "Quality of JPEG compression; 0: none.", "", 0, 100)
    freeze: Optional[float] = option(
        None, "When the picture freezes; never without.", "seconds", 0, 1e6
    )


def parse_simulated(spec: str) -> SimulatedConfig:
    """Read ``sim:key=value,...``. Raises ``SourceError`` that names what is invalid."""
    if not spec.startswith(PREFIX):
        raise SourceError(f"{spec!r} is no simulated camera: those begin with {PREFIX}")
    known = options_of(SimulatedConfig)
    values: Dict[str, object] = {}
    for item in spec[len(PREFIX) :].split(","):
        if not item.strip():
            continue
        key, separator, text = (part.strip() for part in item.partition("="))
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            raise SourceError(
                f"The simulated camera knows no {key!r}{hint}; it knows {', '.join(sorted(known))}."
            )
        if not separator:
            raise SourceError(f"The simulated camera's {key} needs a value: {allowed(key)}.")
        try:
            value = _read(_bare(key), text)
            known[key].check(key, value)
        except (ValueError, KeyError, UsageError):
            raise SourceError(
                f"The simulated camera's {key} cannot be {text!r}: {allowed(key)}."
            ) from None
        values[key] = value
    return SimulatedConfig(spec=spec, **values)  # type: ignore[arg-type]


def allowed(key: str) -> str:
    """What a key may be set to, for a person."""
    known, hint = options_of(SimulatedConfig)[key], _bare(key)
    if known.choices:
        return f"one of {known.allowed}"
    if hint is bool:
        return "on or off"
    if hint not in (int, float):
        return known.meaning.rstrip(".")
    what = "a whole number" if hint is int else "a number"
    of = f" of {known.unit}" if known.unit and not known.unit.startswith("times") else ""
    return f"{what}{of} from {known.allowed}"


def describe() -> Dict[str, Tuple[Option, str]]:
    """Every key -> what is known of it, and its default as it would be written in a spec."""
    defaults = SimulatedConfig()
    found = {}
    for key, known in options_of(SimulatedConfig).items():
        value = getattr(defaults, key)
        if isinstance(value, tuple):
            text = "x".join(map(str, value))
        elif isinstance(value, bool):
            text = "on" if value else "off"
        elif isinstance(value, float):
            text = f"{value:g}"
        else:
            text = "" if value is None else str(value)
        found[key] = known, text
    return found


def _bare(key: str) -> object:
    """The type of a key's value, without its Optional."""
    hint = typing.get_type_hints(SimulatedConfig)[key]
    if typing.get_origin(hint) is Union:
        return next(arg for arg in typing.get_args(hint) if arg is not type(None))
    return hint


def _read(kind: object, text: str) -> object:
    """A value of a field's type. Raises ``ValueError`` or ``KeyError``."""
    if kind is bool:
        return _SWITCH[text]
    if kind is int:
        return int(text)
    if kind is float:
        return float(text)
    if kind is str:
        return text
    width, height = (int(part) for part in text.lower().split("x"))
    if not all(64 <= side <= _MAX_SIDE_PX and side % 2 == 0 for side in (width, height)):
        raise ValueError(text)
    return width, height
