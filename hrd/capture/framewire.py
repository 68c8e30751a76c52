"""How frames go from the capture process to the daemon: the format that both ends share.

A picture lies in a slot of shared memory; a record says where, when, and what of. A message holds
one record or more, one after the other.
"""

from __future__ import annotations

import struct
from typing import Callable, List, NamedTuple

import numpy as np

from hrd.picture import layout_of
from hrd.types import Frame, Layout, Packing

SLOTS = 12
"""Frames that fit into the shared memory: those that wait in the daemon's queue, the one that is
looked at and the one that is written. One that finds no room is dropped and counted. Memory that
was never needed is never touched, and so costs nothing."""

_RECORD = struct.Struct("<cBBIQdQBHHBBBBBBBB")
"""Tag, generation of the memory, slot, bytes, index, time, dropped so far; the layout (packing,
width, height, reduced, chroma across and down, full range, BT.709); whether the stream begins anew
there and whether its time is unreliable; the number of earlier times, which follow, 8 bytes each.
"""
_TAG = b"F"
_PACKINGS = tuple(Packing)
_PACKING_NUMBERS = {packing: number for number, packing in enumerate(_PACKINGS)}
_MOST_EARLIER = 255


class Slot(NamedTuple):
    """Where a picture lies: which memory (they are replaced by larger ones), which part of it."""

    generation: int
    number: int


class Record(NamedTuple):
    """A frame as received, and how many had been dropped when it was sent."""

    frame: Frame
    dropped: int


def is_frames(message: bytes) -> bool:
    """Whether a message holds frames (the others are JSON)."""
    return message[:1] == _TAG


def pack(frame: Frame, slot: Slot, dropped: int) -> bytes:
    """The record of a frame whose picture lies in ``slot``."""
    layout = layout_of(frame)
    earlier = frame.earlier_s[-_MOST_EARLIER:]
    record = _RECORD.pack(
        _TAG,
        slot.generation,
        slot.number,
        frame.image.nbytes,
        frame.index,
        frame.time_s,
        dropped,
        _PACKING_NUMBERS[layout.packing],
        layout.width_px,
        layout.height_px,
        layout.reduced,
        *layout.chroma,
        layout.full_range,
        layout.bt709,
        frame.cut,
        frame.unreliable_time,
        len(earlier),
    )
    return record + struct.pack(f"<{len(earlier)}d", *earlier) if earlier else record


def unpack(message: bytes, picture: Callable[[Slot, int], np.ndarray]) -> List[Record]:
    """The frames of a message; ``picture`` gives the bytes in a slot, (N,) uint8."""
    records: List[Record] = []
    begin = 0
    while begin < len(message):
        fields = _RECORD.unpack_from(message, begin)
        _, generation, number, count, index, time_s, dropped = fields[:7]
        packing, width, height, reduced, across, down, full_range, bt709 = fields[7:15]
        cut, unreliable_time, earlier = fields[15:]
        begin += _RECORD.size
        times = struct.unpack_from(f"<{earlier}d", message, begin) if earlier else ()
        begin += 8 * earlier
        layout = Layout(
            _PACKINGS[packing],
            width,
            height,
            reduced,
            (across, down),
            bool(full_range),
            bool(bt709),
        )
        image = _shaped(picture(Slot(generation, number), count), layout)
        frame = Frame(image, time_s, index, layout, times, bool(cut), bool(unreliable_time))
        records.append(Record(frame, dropped))
    return records


def _shaped(flat: np.ndarray, layout: Layout) -> np.ndarray:
    """The picture's bytes in the shape of its layout."""
    if layout.packing is Packing.PLANAR:
        return flat
    if layout.packing is Packing.YUYV:
        return flat.reshape(layout.height_px, layout.width_px, 2)
    rows, columns = (-(-side // layout.reduced) for side in (layout.height_px, layout.width_px))
    return flat.reshape(rows, columns, 3)
