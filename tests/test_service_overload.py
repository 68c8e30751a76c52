from __future__ import annotations

import logging
from typing import List

import numpy as np
import pytest

from hrd.capture.queue import FrameQueue
from hrd.service.overload import PERIOD_S, Overload
from hrd.types import Demand, Frame


def play(overload: Overload, from_s: float, seconds: float, every: int, dropped: int) -> int:
    """30 frames a second, of which every so manyth is worked on; the drops so far."""
    for index in range(int(seconds * 30)):
        took_one = index % every == 0
        dropped += not took_one
        overload.note(from_s + index / 30.0, took_one, dropped)
    return dropped


def test_a_machine_that_keeps_up_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    overload = Overload()
    with caplog.at_level(logging.INFO):
        play(overload, 0.0, 60.0, 1, 7)
    assert (overload.text, caplog.text) == ("", "")


def test_one_that_is_too_slow_is_said_once_and_so_is_the_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    overload = Overload()
    with caplog.at_level(logging.INFO):
        dropped = play(overload, 0.0, 45.0, 3, 0)
        assert overload.text == "this machine is too slow: 200 of 300 frames dropped"
        play(overload, 45.0, 25.0, 1, dropped)
    assert overload.text == ""
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert "200 of 301 frames were dropped" in caplog.text
    assert "keeps up with its camera again" in caplog.text


def test_a_short_burst_is_no_matter() -> None:
    overload = Overload()
    dropped = play(overload, 0.0, 9.4, 1, 0)
    play(overload, 9.4, 0.6, 15, dropped)  # 17 of 300
    play(overload, 10.0, 1.0, 1, dropped + 17)
    assert overload.text == ""


GROUPED = Demand(2, together_s=0.16)


def test_while_frames_are_dropped_they_are_asked_for_one_by_one() -> None:
    overload = Overload()
    overload.note(0.0, True, 7)  # of the camera before
    assert overload.ease(GROUPED) is GROUPED
    overload.note(1.0, True, 8)
    assert overload.ease(GROUPED) == Demand(2, together_s=0.0)
    overload.note(1.0 + PERIOD_S - 0.1, True, 8)
    assert overload.ease(GROUPED) == Demand(2, together_s=0.0)
    overload.note(1.0 + PERIOD_S, True, 8)
    assert overload.ease(GROUPED) is GROUPED


def taken_s(together: int, work_s: float) -> List[float]:
    """Times of the frames that a pipeline gets which needs ``work_s`` for each, of a camera with 30
    a second that come so many together."""
    frames, taken, now_s = FrameQueue(8), [], 0.0
    image = np.zeros((1, 1, 3), np.uint8)
    coming = [Frame(image, index / 30.0, index) for index in range(600)]
    while coming:
        while coming and coming[0].index // together * together + together - 1 <= now_s * 30.0:
            frames.put(coming.pop(0))
        frame = frames.get(0.0) if frames.depth else None
        if frame is not None:
            taken.append(frame.time_s)
        now_s += work_s
    return taken


@pytest.mark.parametrize(("work_s", "grouped_ms", "single_ms"), [(0.05, 27, 17), (0.066, 42, 5)])
def test_one_by_one_is_more_even(work_s: float, grouped_ms: int, single_ms: int) -> None:
    """The spread of the steps between the frames that are worked on, in ms."""
    spreads = [1e3 * np.std(np.diff(taken_s(together, work_s)[20:])) for together in (5, 1)]
    assert spreads == pytest.approx([grouped_ms, single_ms], abs=1.0)
