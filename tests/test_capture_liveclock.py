from __future__ import annotations

import itertools
from typing import Iterable, List, Optional, Tuple

import numpy as np
import pytest

from hrd.capture.liveclock import FallsBehind, NetworkClock

Placed = List[Tuple[float, float, bool]]  # arrival, time, cut


def play(
    clock: NetworkClock,
    pts_s: Iterable[float],
    now_s: Iterable[float],
    sizes: Iterable[int] = itertools.repeat(0),
) -> Placed:
    placed: Placed = []
    for pts, now, size in zip(pts_s, now_s, sizes):
        time_s = clock.place(float(pts), float(now), int(size))
        if time_s is not None:
            placed.append((float(now), time_s, clock.take_cut()))
    return placed


def sent(
    real_fps: float, stamp_fps: float, seconds: float, jitter_s: float = 0.0, seed: int = 1
) -> Tuple[np.ndarray, np.ndarray]:
    """Stamps and arrivals of a camera that sends at one rate and stamps at another."""
    count = int(real_fps * seconds)
    delay_s = np.random.default_rng(seed).exponential(jitter_s, count) if jitter_s else 0.0
    now_s = 1000.0 + np.arange(count) / real_fps + delay_s
    return 500.0 + np.arange(count) / stamp_fps, np.maximum.accumulate(now_s)


def rate_after(placed: Placed, start_s: float) -> float:
    times = np.array([time for now, time, _ in placed if now >= start_s])
    return float((len(times) - 1) / (times[-1] - times[0]))


@pytest.mark.parametrize(
    ("real_fps", "stamp_fps"), [(21, 25), (15, 25), (30, 60), (24, 25), (12.5, 25), (25, 30)]
)
@pytest.mark.parametrize("jitter_s", [0.0, 0.01])
def test_stamps_that_run_slow_are_noticed_within_seconds(
    real_fps: float, stamp_fps: float, jitter_s: float
) -> None:
    clock = NetworkClock("cam")
    placed = play(clock, *sent(real_fps, stamp_fps, 30.0, jitter_s))
    cuts = [now - 1000.0 for now, _, cut in placed if cut]
    assert clock.by_arrival
    assert len(cuts) == 1
    assert cuts[0] < 7.0
    # the rate that a pulse is read at is the world's from there on: 84 bpm stay 84 within 0.5
    assert rate_after(placed, 1000.0 + cuts[0] + 1.0) == pytest.approx(real_fps, rel=0.005)
    # and nothing gets later and later
    assert max(abs(now - time) for now, time, _ in placed[-100:]) < 0.1


@pytest.mark.parametrize(("real_fps", "stamp_fps"), [(30, 15), (30, 25), (60, 30)])
def test_stamps_that_run_fast_are_read_at_the_worlds_rate_too(
    real_fps: float, stamp_fps: float
) -> None:
    placed = play(NetworkClock("cam"), *sent(real_fps, stamp_fps, 30.0, 0.005))
    assert rate_after(placed, 1001.0) == pytest.approx(real_fps, rel=0.01)


def test_a_pace_only_a_little_wrong_is_noticed_within_a_minute() -> None:
    clock = NetworkClock("cam")
    placed = play(clock, *sent(29.8, 30, 90.0, 0.01))
    assert clock.by_arrival
    assert max(now - time for now, time, _ in placed) < 0.6


@pytest.mark.parametrize("seed", range(5))
def test_a_camera_that_keeps_time_is_never_suspected(seed: int) -> None:
    clock = NetworkClock("cam")
    pts_s, now_s = sent(30, 30 * 1.0001, 300.0, 0.03, seed)
    placed = play(clock, pts_s, now_s)
    assert not clock.by_arrival
    assert not any(cut for _, _, cut in placed)
    assert len(placed) > 0.99 * len(pts_s)


def test_a_stall_that_is_caught_up_is_no_wrong_clock() -> None:
    pts_s, now_s = sent(30, 30, 60.0)
    stalled = (now_s > 1020.0) & (now_s < 1024.0)
    now_s[stalled] = 1024.0
    clock = NetworkClock("cam")
    placed = play(clock, pts_s, now_s)
    assert not clock.by_arrival
    assert not any(cut for _, _, cut in placed)


def test_a_burst_at_the_start_is_no_wrong_clock() -> None:
    # a server sends the two seconds that it had kept at once
    pts_s, now_s = sent(30, 30, 40.0)
    now_s = np.maximum(1000.0 + 0.001 * np.arange(len(now_s)), now_s - 2.0)
    clock = NetworkClock("cam")
    play(clock, pts_s, now_s)
    assert not clock.by_arrival


def test_a_camera_that_slows_down_in_the_dark_is_followed() -> None:
    # 30 a second for 20 s, then really 20 with the stamps of 30
    now_s = 1000.0 + np.concatenate([np.arange(600) / 30, 20.0 + np.arange(600) / 20])
    pts_s = 500.0 + np.arange(1200) / 30
    placed = play(NetworkClock("cam"), pts_s, now_s)
    cuts = [now - 1000.0 for now, _, cut in placed if cut]
    assert len(cuts) == 1
    assert 20.0 < cuts[0] < 25.0
    assert rate_after(placed, 1000.0 + cuts[0] + 1.0) == pytest.approx(20.0, rel=0.01)


def test_stamps_that_keep_time_again_are_used_again() -> None:
    now_s = 1000.0 + np.concatenate([np.arange(400) / 20, 20.0 + np.arange(1200) / 30])
    pts_s = 500.0 + np.arange(1600) / 30
    clock = NetworkClock("cam")
    placed = play(clock, pts_s, now_s)
    assert not clock.by_arrival
    assert sum(cut for _, _, cut in placed) == 2
    assert rate_after(placed, 1045.0) == pytest.approx(30.0, rel=0.005)


@pytest.mark.parametrize("key_frame", [3, 6, 10, 30])
def test_frames_that_a_network_holds_up_more_and_more_are_a_fault(key_frame: int) -> None:
    # 30 a second through a line that carries 24: a key frame takes as long as several others
    sizes = np.where(np.arange(1200) % 30 == 0, 5000 * key_frame, 5000)
    line_s = np.cumsum(sizes) / (sizes.mean() * 24.0)
    with pytest.raises(FallsBehind):
        play(NetworkClock("cam"), 500.0 + np.arange(1200) / 30, 1000.0 + line_s, sizes)


def test_large_frames_of_a_camera_with_a_wrong_clock_are_no_slow_network() -> None:
    # a key frame of 100 KB takes 8 ms longer through 100 Mbit/s
    key = np.arange(1200) % 30 == 0
    clock = NetworkClock("cam")
    for i in range(1200):
        clock.place(
            i / 25, 1000.0 + i / 21 + (0.008 if key[i] else 0.0), 100000 if key[i] else 9000
        )
    assert clock.by_arrival


def test_frames_that_stay_late_are_a_fault() -> None:
    pts_s, now_s = sent(30, 30, 60.0)
    now_s[now_s > 1020.0] += 2.0
    with pytest.raises(FallsBehind):
        play(NetworkClock("cam"), pts_s, now_s)


@pytest.mark.parametrize("off_s", [37600.0, -37600.0, 0.5, -0.5, 3.0])
def test_stray_stamps_cost_their_frames_only(off_s: float) -> None:
    pts_s, now_s = sent(30, 30, 20.0)
    pts_s[59::60] += off_s
    clock = NetworkClock("cam")
    placed = play(clock, pts_s, now_s)
    assert clock.strays == 10 or clock.strays == 9  # the last one has nobody after it
    assert not any(cut for _, _, cut in placed)
    assert len(placed) >= 600 - 10 - 16
    assert max(abs(now - time) for now, time, _ in placed) < 1e-6


@pytest.mark.parametrize("jump_s", [-500.0, -0.7, 0.7, 3.0, 500.0])
def test_a_clock_that_is_set_begins_anew(jump_s: float) -> None:
    pts_s, now_s = sent(30, 30, 20.0)
    pts_s[300:] += jump_s
    placed = play(NetworkClock("cam"), pts_s, now_s)
    assert sum(cut for _, _, cut in placed) == 1
    assert len(placed) > 580
    assert max(abs(now - time) for now, time, _ in placed) < 1e-6


def test_one_stamp_for_all_frames_is_none() -> None:
    now_s = 1000.0 + np.arange(90) / 30
    placed = play(NetworkClock("cam"), np.zeros(90), now_s)
    assert [time for _, time, _ in placed][-60:] == list(now_s[-60:])


def test_frames_without_stamps_have_the_time_of_their_arrival() -> None:
    clock = NetworkClock("cam", warm_up_s=0.5)
    times: List[Optional[float]] = [clock.place(None, 10.0 + i / 30) for i in range(60)]
    assert times[:15] == [None] * 15
    assert times[16:] == [10.0 + i / 30 for i in range(16, 60)]
