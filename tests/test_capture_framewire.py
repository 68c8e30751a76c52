"""Frames between two processes: the records, and word of some frames together."""

from __future__ import annotations

import json
import socket
from typing import Dict, Iterator, List, Tuple

import numpy as np
import pytest

from hrd.capture import outlet as outlet_module
from hrd.capture.framewire import SLOTS, Record, Slot, is_frames, pack, unpack
from hrd.capture.outlet import MESSAGE_BYTES, Outlet
from hrd.types import Demand, Frame, Layout, Packing

PLAIN = Layout(Packing.RGB, 4, 2)
LAYOUTS = [
    (PLAIN, (2, 4, 3)),
    (Layout(Packing.RGB, 7, 3, reduced=2), (2, 4, 3)),
    (Layout(Packing.YUYV, 4, 2, chroma=(2, 1), bt709=True), (2, 4, 2)),
    (Layout(Packing.PLANAR, 4, 2, chroma=(2, 1), full_range=True), (16,)),
]


def numbered(index: int, earlier_s: Tuple[float, ...] = (), cut: bool = False) -> Frame:
    return Frame(np.full((2, 4, 3), index, np.uint8), index / 30.0, index, PLAIN, earlier_s, cut)


@pytest.mark.parametrize(("layout", "shape"), LAYOUTS)
def test_a_frame_comes_back_as_it_was(layout: Layout, shape: Tuple[int, ...]) -> None:
    image = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    sent = Frame(image, 12.345678901, 7, layout, (12.1, 12.2), cut=True, unreliable_time=True)
    message = pack(sent, Slot(3, 5), dropped=9)
    assert is_frames(message)
    asked: List[Tuple[Slot, int]] = []

    def picture(slot: Slot, count: int) -> np.ndarray:
        asked.append((slot, count))
        return image.reshape(-1)

    (record,) = unpack(message, picture)
    assert asked == [(Slot(3, 5), image.nbytes)]
    assert record.dropped == 9
    np.testing.assert_array_equal(record.frame.image, image)
    assert record.frame.layout == layout
    assert (record.frame.time_s, record.frame.index) == (12.345678901, 7)
    assert (record.frame.earlier_s, record.frame.cut) == ((12.1, 12.2), True)
    assert record.frame.unreliable_time


@pytest.mark.parametrize("cut", [False, True])
@pytest.mark.parametrize("unreliable_time", [False, True])
def test_what_is_said_of_a_frame_comes_with_it(cut: bool, unreliable_time: bool) -> None:
    sent = Frame(np.zeros((2, 4, 3), np.uint8), 1.0, 1, PLAIN, (), cut, unreliable_time)
    (record,) = unpack(pack(sent, Slot(1, 1), 0), lambda _, count: np.zeros(count, np.uint8))
    assert (record.frame.cut, record.frame.unreliable_time) == (cut, unreliable_time)


def test_a_message_holds_several_frames_in_order() -> None:
    sent = [numbered(1), numbered(2, earlier_s=(0.01, 0.02, 0.03)), numbered(3, cut=True)]
    message = b"".join(pack(frame, Slot(1, frame.index), 0) for frame in sent)
    found = unpack(message, lambda slot, count: np.full(count, slot.number, np.uint8))
    assert [record.frame.index for record in found] == [1, 2, 3]
    assert [record.frame.earlier_s for record in found] == [(), (0.01, 0.02, 0.03), ()]
    assert [record.frame.cut for record in found] == [False, False, True]
    assert [record.frame.image[0, 0, 0] for record in found] == [1, 2, 3]


def test_the_most_frames_together_fit_into_a_message() -> None:
    full = numbered(1, earlier_s=tuple(np.arange(300) / 30.0))
    assert len(pack(full, Slot(1, 1), 0)) * outlet_module.MOST_TOGETHER < MESSAGE_BYTES


class Parent:
    """The other end: what has arrived, by message."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock

    def ask(self, demand: Dict[str, float]) -> None:
        self.socket.send(json.dumps(demand).encode())

    def messages(self) -> List[List[int]]:
        """The frames' indices in each message that waits; other messages left out."""
        found: List[List[int]] = []
        while True:
            try:
                data = self.socket.recv(MESSAGE_BYTES, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return found
            if is_frames(data):
                records: List[Record] = unpack(data, lambda _, count: np.zeros(count, np.uint8))
                found.append([record.frame.index for record in records])


@pytest.fixture
def ends() -> Iterator[Tuple[Outlet, Parent]]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        yield Outlet(ours), Parent(theirs)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> List[float]:
    """The outlet's time, in its only element."""
    now_s = [100.0]
    monkeypatch.setattr(outlet_module.time, "monotonic", lambda: now_s[0])
    return now_s


def test_a_frame_goes_at_once_unless_asked_otherwise(ends: Tuple[Outlet, Parent]) -> None:
    outlet, parent = ends
    for index in range(3):
        outlet.put(numbered(index))
    assert parent.messages() == [[0], [1], [2]]


def test_frames_go_together_for_so_long_as_asked(
    ends: Tuple[Outlet, Parent], clock: List[float]
) -> None:
    outlet, parent = ends
    parent.ask({"reduced": 1, "every_s": 0.0, "together_s": 0.12})
    for index in range(7):
        outlet.put(numbered(index))
        clock[0] += 0.05
    assert parent.messages() == [[0], [1, 2, 3], [4, 5, 6]]  # how fast they come must be known
    assert outlet.demand == Demand(together_s=0.12)


def test_no_more_frames_go_together_than_the_queue_has_room_for(
    ends: Tuple[Outlet, Parent], clock: List[float]
) -> None:
    outlet, parent = ends
    parent.ask({"together_s": 0.1})
    for index in range(11):
        outlet.put(numbered(index))  # a very fast camera
    assert parent.messages() == [[0], [1, 2, 3, 4, 5], [6, 7, 8, 9, 10]]


def test_slow_frames_are_not_held(ends: Tuple[Outlet, Parent], clock: List[float]) -> None:
    """The next is due later than the first may be."""
    outlet, parent = ends
    parent.ask({"together_s": 0.12})
    for index in range(3):
        outlet.put(numbered(index))
        assert parent.messages() == [[index]]
        clock[0] += 0.2


def test_what_is_held_goes_before_the_end_is_told(
    ends: Tuple[Outlet, Parent], clock: List[float]
) -> None:
    outlet, parent = ends
    parent.ask({"together_s": 0.1})
    outlet.put(numbered(0))
    outlet.put(numbered(1))
    assert parent.messages() == [[0]]
    outlet.tell({"end": True})
    assert parent.messages() == [[1]]


def test_frames_without_room_are_dropped_and_a_cut_is_said_by_the_next(
    ends: Tuple[Outlet, Parent],
) -> None:
    outlet, parent = ends
    for index in range(SLOTS):
        outlet.put(numbered(index))
    assert len(parent.messages()) == SLOTS
    outlet.put(numbered(SLOTS, cut=True))
    assert parent.messages() == []
    parent.socket.send(bytes(Slot(1, 0)))
    outlet.put(numbered(SLOTS + 1))
    data = parent.socket.recv(MESSAGE_BYTES)
    (record,) = unpack(data, lambda _, count: np.zeros(count, np.uint8))
    assert (record.frame.index, record.frame.cut, record.dropped) == (SLOTS + 1, True, 1)
