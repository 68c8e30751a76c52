"""Messages on the pipe between the daemon and its worker (layout: see this package's docstring).

Used by both sides, so it must run on Python 3.6.
"""

import json
import struct
import zlib
from typing import Any, Dict, List, NamedTuple, Optional, Union

PROTOCOL = 1
MAGIC = b"HRDT"

HELLO, PROBE, DEVICE, BUILD, PROGRESS, BUILT = 1, 2, 3, 4, 5, 6
LOAD, LOADED, RUN, RESULT, SHUTDOWN, ERROR = 7, 8, 9, 10, 11, 12

# kinds of ERROR
ABSENT = "absent"  # a module is missing, or there is no GPU: trying again is no use
MEMORY = "memory"  # out of memory, the GPU's or the machine's
ENGINE = "engine"  # the serialised engine can't be used: build it anew
FAILED = "failed"  # anything else

_HEADER = struct.Struct("<4sBBHIII")
_MAX_JSON_BYTES = 1 << 20
_MAX_BLOB_BYTES = 1 << 29

Blob = Union[bytes, bytearray, memoryview]


class FramingError(Exception):
    """What came is no message."""


class VersionError(FramingError):
    """The other side speaks another version of the protocol."""


class Message(NamedTuple):
    """One message. ``fields``: its JSON object."""

    kind: int
    seq: int
    fields: Dict[str, Any]
    blob: bytes


def encode(kind: int, seq: int, fields: Optional[Dict[str, Any]] = None, blob: Blob = b"") -> bytes:
    """A message as bytes. Raises ``FramingError`` if it is too large to be sent."""
    text = json.dumps(fields or {}, separators=(",", ":")).encode("utf-8")
    if len(text) > _MAX_JSON_BYTES or len(blob) > _MAX_BLOB_BYTES:
        raise FramingError(f"a message of {len(text)} + {len(blob)} bytes is too large")
    crc = zlib.crc32(blob, zlib.crc32(text))
    header = _HEADER.pack(MAGIC, PROTOCOL, kind, seq & 0xFFFF, len(text), len(blob), crc)
    return b"".join((header, text, blob))


class Decoder:
    """Bytes in, in pieces of any size; messages out."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> List[Message]:
        """The messages that ``data`` completes. ``FramingError``: the stream is lost."""
        self._buffer += data
        messages: List[Message] = []
        while True:
            message = self._take()
            if message is None:
                return messages
            messages.append(message)

    def _take(self) -> Optional[Message]:
        buffer = self._buffer
        start = bytes(buffer[: len(MAGIC)])
        if start != MAGIC[: len(start)]:
            raise FramingError(f"{bytes(buffer[:16])!r} where a message should begin")
        if len(buffer) > len(MAGIC) and buffer[len(MAGIC)] != PROTOCOL:
            raise VersionError(f"protocol {buffer[len(MAGIC)]}, not {PROTOCOL}")
        if len(buffer) < _HEADER.size:
            return None
        _, _, kind, seq, json_bytes, blob_bytes, crc = _HEADER.unpack_from(buffer)
        if json_bytes > _MAX_JSON_BYTES or blob_bytes > _MAX_BLOB_BYTES:
            raise FramingError(f"a message of {json_bytes} + {blob_bytes} bytes")
        middle = _HEADER.size + json_bytes
        end = middle + blob_bytes
        if len(buffer) < end:
            return None
        text, blob = bytes(buffer[_HEADER.size : middle]), bytes(buffer[middle:end])
        if zlib.crc32(blob, zlib.crc32(text)) != crc:
            raise FramingError("a message with a wrong checksum")
        try:
            fields = json.loads(text.decode("utf-8"))
        except ValueError as error:
            raise FramingError("a message whose JSON can't be read") from error
        if not isinstance(fields, dict):
            raise FramingError("a message whose JSON is no object")
        del buffer[:end]
        return Message(kind, seq, fields, blob)
