"""JPEG over RTP (RFC 2435), as cameras send it: headers are left out and rebuilt by the reader."""

from __future__ import annotations

import struct
from typing import Dict, List, Sequence, Tuple

import cv2
import numpy as np

_MTU = 1400
_TYPE_420 = 1
_TABLES_FOLLOW = 255  # the Q that says so


def rtp_jpeg_frames(
    images: Sequence[np.ndarray], fps: int = 30, quality: int = 92
) -> List[List[bytes]]:
    """The RTP packets of each (H, W, 3) uint8 RGB picture; sides are multiples of 16."""
    frames: List[List[bytes]] = []
    sequence = 7
    for index, image in enumerate(images):
        # 4:2:0 and the standard Huffman tables, which RTP doesn't carry, are OpenCV's choice
        coded = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        tables, scan = _taken_apart(coded.tobytes())
        height, width = image.shape[:2]
        packets: List[bytes] = []
        offset = 0
        while offset < len(scan):
            head = struct.pack(">I", offset)  # type-specific 0 and 24 bits of offset
            head += struct.pack(">BBBB", _TYPE_420, _TABLES_FOLLOW, width // 8, height // 8)
            if offset == 0:
                head += struct.pack(">BBH", 0, 0, len(tables)) + tables
            piece = scan[offset : offset + _MTU - len(head)]
            offset += len(piece)
            marker = 0x80 if offset == len(scan) else 0
            stamp = (90000 * index // fps) & 0xFFFFFFFF
            rtp = struct.pack(">BBHII", 0x80, 26 | marker, sequence & 0xFFFF, stamp, 0x1234)
            packets.append(rtp + head + piece)
            sequence += 1
        frames.append(packets)
    return frames


def _taken_apart(jpeg: bytes) -> Tuple[bytes, bytes]:
    """Quantisation tables (luma, chroma) and the entropy-coded data."""
    tables: Dict[int, bytes] = {}
    at = 2
    while True:
        marker, length = jpeg[at + 1], int.from_bytes(jpeg[at + 2 : at + 4], "big")
        body = jpeg[at + 4 : at + 2 + length]
        at += 2 + length
        if marker == 0xDB:
            while body:
                tables[body[0] & 15] = body[1:65]
                body = body[65:]
        elif marker == 0xC0:
            assert body[7] == 0x22  # two by two samples of luma: 4:2:0
        elif marker == 0xDA:
            return tables[0] + tables[1], jpeg[at : jpeg.rindex(b"\xff\xd9")]
