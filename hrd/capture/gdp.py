"""GStreamer Data Protocol 1.0: frames through a pipe with their presentation times.

``gdppay`` puts 62 bytes before each buffer, which is the cheapest way to get true times out of a
``gst-launch`` child. Layout, big-endian: version major and minor, flags, padding (1 byte each),
type (2), payload length (4), PTS in ns (8), duration (8), and more that is not needed here. See
gst-plugins-bad, ``gst/gdp/dataprotocol.c``.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Optional

HEADER_BYTES = 62
_NO_TIME = 0xFFFFFFFFFFFFFFFF
_TYPE_BUFFER = 1
_MAX_OTHER_BYTES = 1 << 20  # caps and events are a few hundred bytes


@dataclass(frozen=True)
class GdpHeader:
    """``is_frame`` tells buffers from caps and events, whose payload is to be passed over."""

    is_frame: bool
    payload_bytes: int
    pts_s: Optional[float]


def parse_header(data: bytes) -> GdpHeader:
    """Decode one header; raises ``ValueError`` if it is none."""
    if len(data) != HEADER_BYTES:
        raise ValueError(f"a GDP header has {HEADER_BYTES} bytes, not {len(data)}")
    major, _minor, _flags, _padding, kind, length, pts_ns = struct.unpack_from(">BBBBHIQ", data)
    is_frame = kind == _TYPE_BUFFER
    if major != 1 or (not is_frame and length > _MAX_OTHER_BYTES):
        raise ValueError(f"not a GDP 1.x header: {data[:10].hex()}")
    return GdpHeader(is_frame, length, None if pts_ns == _NO_TIME else pts_ns / 1e9)
