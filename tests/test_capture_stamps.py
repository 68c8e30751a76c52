from __future__ import annotations

import logging
from typing import List, Optional, Sequence, Tuple

import pytest

from hrd.capture.stamps import LOOKAHEAD, FileTimes, NoTimes, Placed, SteadyTimes

PERIOD_S = 1 / 30


def placed(
    pts_s: Sequence[Optional[float]], dts_s: Optional[Sequence[Optional[float]]] = None
) -> Tuple[List[Placed], FileTimes]:
    times = FileTimes("clip")
    result: List[Placed] = []
    for pts, dts in zip(pts_s, dts_s if dts_s is not None else pts_s):
        result += times.push(pts, dts)
    result += times.flush()
    assert len(result) == len(pts_s)
    return result, times


def seconds(result: Sequence[Placed]) -> List[Optional[float]]:
    return [one.time_s for one in result]


def steady(count: int, start_s: float = 0.0) -> List[float]:
    return [start_s + i * PERIOD_S for i in range(count)]


def test_times_start_at_zero_and_keep_their_gaps() -> None:
    result, times = placed([7.0, 7.5, 9.25, 9.3])
    assert seconds(result) == pytest.approx([0.0, 0.5, 2.25, 2.3])
    assert times.first_raw_s == 7.0
    assert not any(one.cut for one in result)


def test_what_is_certain_comes_no_later_than_the_lookahead() -> None:
    times = FileTimes("clip")
    counts = [len(times.push(time_s, time_s)) for time_s in steady(30)]
    assert counts == [0] * LOOKAHEAD + [1] * (30 - LOOKAHEAD)
    assert len(times.flush()) == LOOKAHEAD


def test_frames_that_repeat_a_time_are_left_out_and_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        result, times = placed([0.0, 0.1, 0.1, 0.2, 0.2, 0.3])
    assert seconds(result) == pytest.approx([0.0, 0.1, None, 0.2, None, 0.3])
    assert times.left_out == 2
    assert len(caplog.records) == 1


def test_stray_stamps_are_put_between_their_neighbours() -> None:
    truth = steady(300)
    stamps = [t + (37600.0 if i % 60 == 59 else 0.0) for i, t in enumerate(truth)]
    result, times = placed(stamps)
    assert seconds(result) == pytest.approx(truth, abs=1e-6)
    assert times.repaired == 5
    assert times.jumps == 0
    assert not any(one.cut for one in result)


@pytest.mark.parametrize("off_s", [-5000.0, -0.9, 0.6, 2.0, 59.0, 1e6])
@pytest.mark.parametrize("run", [1, 2, 3])
def test_strays_of_any_size_do_not_move_the_others(off_s: float, run: int) -> None:
    truth = steady(120)
    stamps = [t + (off_s if 50 <= i < 50 + run else 0.0) for i, t in enumerate(truth)]
    result, _ = placed(stamps)
    others = [i for i in range(120) if not 50 <= i < 50 + run]
    assert [result[i].time_s for i in others] == pytest.approx([truth[i] for i in others], abs=1e-6)
    kept = [t for t in seconds(result) if t is not None]
    assert kept == sorted(kept)


def test_a_file_may_begin_with_a_stray() -> None:
    truth = steady(60)
    result, _ = placed([9999.0] + truth[1:])
    assert seconds(result) == pytest.approx(truth, abs=1e-6)


def test_stamps_in_the_order_of_coding_are_put_in_order(caplog: pytest.LogCaptureFixture) -> None:
    # what an AVI with B-frames gives: PTS count packets, DTS come in the order of display
    order = [0, 3, 2, 4, 1, 6, 5, 9, 8, 10, 7, 13, 12, 14, 11, 15]
    with caplog.at_level(logging.WARNING):
        result, _ = placed([0.05 * (i + 1) for i in order], [0.05 * (i + 2) for i in range(16)])
    assert seconds(result) == pytest.approx([0.05 * i for i in range(16)])
    assert sum("order of coding" in r.getMessage() for r in caplog.records) == 1


def test_missing_stamps_are_put_between_the_others() -> None:
    truth = steady(90)
    stamps: List[Optional[float]] = [None if i % 7 == 3 else t for i, t in enumerate(truth)]
    result, times = placed(stamps)
    assert seconds(result) == pytest.approx(truth, abs=1e-6)
    assert times.repaired == 13
    stamps[0] = None
    result, _ = placed(stamps)
    assert seconds(result) == pytest.approx(truth, abs=1e-6)


@pytest.mark.parametrize("value", [None, 0.0, 17.0])
@pytest.mark.parametrize("count", [2, 5, 100])
def test_no_times_at_all_are_never_guessed(value: Optional[float], count: int) -> None:
    with pytest.raises(NoTimes):
        placed([value] * count)


@pytest.mark.parametrize("back_s", [-0.6, -10.0, -37600.0])
def test_a_clock_that_starts_again_is_a_cut(back_s: float) -> None:
    first = steady(60)
    second = steady(60, first[-1] + PERIOD_S + back_s)
    result, times = placed(first + second)
    assert [i for i, one in enumerate(result) if one.cut] == [60]
    assert times.jumps == 1
    assert seconds(result) == pytest.approx(steady(120), abs=1e-6)


def test_a_clock_that_was_set_ahead_is_a_cut_and_no_silence() -> None:
    result, _ = placed(steady(60) + steady(60, 37600.0))
    assert [i for i, one in enumerate(result) if one.cut] == [60]
    assert seconds(result) == pytest.approx(steady(120), abs=1e-6)


def test_silence_is_kept() -> None:
    result, times = placed(steady(60) + steady(60, 12.0))
    assert seconds(result) == pytest.approx(steady(60) + steady(60, 12.0), abs=1e-6)
    assert times.jumps == times.repaired == 0


@pytest.mark.parametrize("fps", [10, 20, 25, 30])
def test_lost_pictures_leave_a_hole_of_any_length(fps: int) -> None:
    """As where a damaged packet takes those up to the next key picture with it."""
    for lost in range(1, 50):
        stamps = [i / fps for i in range(150) if not 60 <= i < 60 + lost]
        result, times = placed(stamps)
        assert seconds(result) == pytest.approx(stamps), lost
        assert times.repaired == 0


def test_slow_motion_is_played_at_the_rate_it_was_taken() -> None:
    times = FileTimes("clip", scale=0.25)
    stamps = steady(40, 3.0)
    result = [one for stamp_s in stamps for one in times.push(stamp_s, stamp_s)]
    result += times.flush()
    assert seconds(result) == pytest.approx([i * PERIOD_S / 4 for i in range(40)])


def test_a_single_frame_has_a_place() -> None:
    assert seconds(placed([5.0])[0]) == [0.0]


def test_steady_times() -> None:
    times = SteadyTimes(25.0)
    assert [times.push(None, 9.0)[0].time_s for _ in range(4)] == pytest.approx(
        [0, 0.04, 0.08, 0.12]
    )
    assert times.last_s == pytest.approx(0.12)
