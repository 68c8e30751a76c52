"""Socket protocol 1: the messages the daemon sends and the requests it understands.

Pure functions, standard library only: the server, the client and the tests share them. One UTF-8
JSON object per line, each with a ``class``. A value that is not known is absent, never null.
``protocol.schema.json`` (JSON Schema, draft 2020-12) describes every line; docs/protocol.md
explains it. The conventions are gpsd's.
"""

from __future__ import annotations

import json
import math
import pkgutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Dict, FrozenSet, Iterable, Mapping, Optional

from hrd.errors import HrdError

if TYPE_CHECKING:  # hrd.types imports numpy, which a client can do without
    from hrd.status import Status
    from hrd.types import Reading

PROTO = "1.1"
"""``major.minor``. The minor number grows with new fields, the major one when old clients break."""

DEFAULT_SOCKET = "/run/hrd/hrd.sock"

STREAMS: Dict[str, str] = {"ppg": "PPG", "setup": "SETUP", "features": "FEATURES"}
"""Field of ``WATCH`` -> class of the messages that it adds to the readings."""

MAX_REQUEST_BYTES = 4096
"""The longest request line, its newline not counted."""

_QUOTE_CHARS = 80

Message = Dict[str, Any]


class ProtocolError(HrdError):
    """A line that is not a request of this protocol; the message quotes it, shortened."""


@dataclass(frozen=True)
class Request:
    """What a client asks for. All but ``kind`` matters to ``WATCH`` only.

    ``kind``: ``WATCH``, ``POLL`` or ``STATUS``. ``enable``: send every new HR (and what else is
    asked for) from now on. ``ppg``, ``setup``, ``features``: send PPG, SETUP,
    FEATURES as well.
    """

    kind: str
    enable: bool = True
    ppg: bool = False
    setup: bool = False
    features: bool = False

    @property
    def streams(self) -> FrozenSet[str]:
        """The classes of messages that are to be sent beside the readings."""
        return frozenset(kind for name, kind in STREAMS.items() if getattr(self, name))


def version_message(release: str) -> Message:
    """The first message on every connection. ``release``: the version of hrd."""
    return {"class": "VERSION", "proto": PROTO, "release": release}


def hr_message(
    reading: Reading, wall_time_s: float, latency_ms: Optional[float] = None, **extra: object
) -> Message:
    """One reading as it goes on the wire.

    ``wall_time_s``: Unix time of the newest frame used (of the statement itself where there is no
    frame). ``latency_ms``: from that frame's capture to now. ``extra``: further fields. Raises
    ``ValueError`` for a reading that breaks the one rule of the protocol: bpm and confidence in
    ``tracking``, a reason in every other state, and never both.
    """
    state = reading.state.value
    message: Message = {"class": "HR", "time": round(float(wall_time_s), 3), "state": state}
    if state == "tracking":
        bpm, confidence = _finite(reading.bpm), _finite(reading.confidence)
        if bpm is None or confidence is None or reading.reason is not None:
            raise ValueError(
                f"a tracking reading needs bpm and confidence and no reason: {reading}"
            )
        if not (bpm > 0.0 and 0.0 <= confidence <= 1.0):
            raise ValueError(f"bpm must be positive and confidence within 0..1: {reading}")
        message["bpm"] = round(bpm, 1)
        message["confidence"] = round(confidence, 2)
    else:
        if reading.bpm is not None or reading.confidence is not None or reading.reason is None:
            raise ValueError(f"a reading in {state} needs a reason, and neither bpm nor confidence")
        message["reason"] = reading.reason.value
    _put(message, "snr_db", reading.snr_db, 1)
    _put(message, "fps", reading.fps, 2)
    _put(message, "latency_ms", latency_ms, 1)
    message.update(extra)
    return message


def ppg_message(wall_time_s: float, fs_hz: float, bvp: Iterable[float], **extra: object) -> Message:
    """A stretch of waveform. ``wall_time_s``: Unix time of the first sample; ``bvp``: finite
    samples at ``fs_hz``, arbitrary unit, four significant digits are kept."""
    samples = [float(f"{float(value):.4g}") for value in bvp]
    if not all(math.isfinite(value) for value in samples):
        raise ValueError("bvp holds a sample that is not finite")
    message: Message = {
        "class": "PPG",
        "time": round(float(wall_time_s), 4),
        "fs_hz": round(float(fs_hz), 4),
        "bvp": samples,
    }
    message.update(extra)
    return message


def features_message(wall_time_s: float, engine: str, explain: Message) -> Message:
    """What a reading's confidence was computed from. ``wall_time_s``: the reading's;
    ``engine``: the engine's name; ``explain``: of ``hrd.estimate.explain.as_json``."""
    return {
        "class": "FEATURES",
        "time": round(float(wall_time_s), 3),
        "engine": engine,
        "explain": explain,
    }


def status_message(status: Status, wall_time_s: float) -> Message:
    """What the daemon knows of itself; what it does not know is None here and left out of the
    line."""
    return {"class": "STATUS", "time": round(float(wall_time_s), 3), **status.fields()}


def error_message(message: str) -> Message:
    """The answer to what cannot be answered; the connection lives on."""
    return {"class": "ERROR", "message": message}


def encode(message: Mapping[str, object]) -> bytes:
    """The message as one line: compact ASCII JSON and a newline.

    Fields that are None, NaN or infinite are left out, at any depth; in a list, where leaving one
    out would shift the others, they raise ``ValueError``. Numbers of NumPy are taken as numbers.
    """
    text = json.dumps(_known(message), separators=(",", ":"), allow_nan=False)
    return text.encode("ascii") + b"\n"


def parse_request(line: bytes) -> Request:
    """The request in one line, with or without its newline; raises ``ProtocolError``.

    Strict, so that a misspelt field is answered and not ignored: ``WATCH`` takes ``enable`` and
    the fields of ``STREAMS`` (true or false), ``POLL`` and ``STATUS`` take nothing.
    """
    try:
        # Not json.loads(line): that would guess UTF-16 and UTF-32 as well.
        request = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError):  # bad UTF-8 and bad JSON are ValueErrors
        raise ProtocolError(
            f"not a request: {quote(line)};"
            ' send one JSON object per line, such as {"class":"POLL"}'
        ) from None
    if not isinstance(request, dict):
        raise ProtocolError(f"not a JSON object: {quote(line)}")
    kind = request.pop("class", None)
    if not isinstance(kind, str) or kind not in ("WATCH", "POLL", "STATUS"):
        raise ProtocolError(f"no WATCH, POLL or STATUS class in {quote(line)}")
    options: Dict[str, bool] = {}
    for name, value in request.items():
        if kind != "WATCH" or (name != "enable" and name not in STREAMS):
            raise ProtocolError(
                f"{kind} does not know the field {quote(name)} of protocol {PROTO} in {quote(line)}"
            )
        if not isinstance(value, bool):
            raise ProtocolError(f"{name} must be true or false in {quote(line)}")
        options[name] = value
    return Request(kind, **options)


def quote(line: object) -> str:
    """A line or text as it may be printed: shortened, control characters and bad UTF-8 escaped."""
    if isinstance(line, (bytes, bytearray)):
        # A character takes at most four bytes, so this is enough for the shortened text.
        text = bytes(line[: 4 * _QUOTE_CHARS + 4]).decode("utf-8", "backslashreplace")
    else:
        text = str(line)
    text = text.strip()
    return repr(text) if len(text) <= _QUOTE_CHARS else repr(text[:_QUOTE_CHARS]) + "..."


def load_schema() -> Dict[str, Any]:
    """The published JSON Schema of the protocol, as shipped in the package."""
    data = pkgutil.get_data("hrd", "protocol.schema.json")
    if data is None:
        raise HrdError("protocol.schema.json is missing from the package: install hrd again.")
    schema: Dict[str, Any] = json.loads(data.decode("utf-8"))
    return schema


def _finite(value: Optional[float]) -> Optional[float]:
    if value is None or not math.isfinite(value):
        return None
    return float(value)


def _put(message: Message, name: str, value: Optional[float], digits: int) -> None:
    known = _finite(value)
    if known is not None:
        message[name] = round(known, digits)


def _known(value: object) -> object:
    """``value`` without the fields that hold nothing; text made fit for UTF-8."""
    tolist = getattr(value, "tolist", None)
    if tolist is not None:  # NumPy's scalars and arrays, without importing NumPy
        value = tolist()
    if isinstance(value, Mapping):
        fields = ((str(name), _known(item)) for name, item in value.items())
        return {name: item for name, item in fields if not _nothing(item)}
    if isinstance(value, (list, tuple)):
        items = [_known(item) for item in value]
        if any(_nothing(item) for item in items):
            raise ValueError("a list in a message holds None, NaN or infinity")
        return items
    if isinstance(value, str):  # file names may hold lone surrogates, which UTF-8 cannot
        return value.encode("utf-8", "replace").decode("utf-8")
    return value


def _nothing(value: object) -> bool:
    return value is None or (isinstance(value, float) and not math.isfinite(value))
