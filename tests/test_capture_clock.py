from __future__ import annotations

import logging

import numpy as np
import pytest

from hrd.capture.clock import DriverClock, StreamClock
from hrd.rate import FrameRateMeter

PERIOD_S = 1 / 30


# StreamClock


def arrivals(pts_s, delay_s, origin_s=1000.0, drift=0.0):
    """Times of arrival of frames with these PTS: origin of the clocks, drift and delay."""
    return origin_s + np.asarray(pts_s) * (1.0 + drift) + np.asarray(delay_s)


def place_all(clock, pts_s, now_s):
    times = [clock.place(float(p), float(n)) for p, n in zip(pts_s, now_s)]
    kept = [i for i, t in enumerate(times) if t is not None]
    return np.array(kept), np.array([times[i] for i in kept], float)


def test_stream_intervals_are_those_of_the_pts_not_of_the_arrival():
    random = np.random.default_rng(1)
    pts_s = 90000.0 + np.arange(30 * 60) * PERIOD_S
    now_s = arrivals(pts_s, 0.03 + random.exponential(0.02, len(pts_s)), -80000.0)
    kept, times_s = place_all(StreamClock("cam"), pts_s, now_s)
    assert len(kept) >= len(pts_s) - 16  # no more than the warm-up is missing
    settled = kept > 30 * 5
    assert np.std(np.diff(now_s)) > 0.02
    assert np.abs(np.diff(times_s[settled]) - PERIOD_S).max() < 2e-3
    assert np.percentile(np.abs(np.diff(times_s[settled]) - PERIOD_S), 95) < 1e-4
    assert (times_s <= now_s[kept] + 1e-9).all()
    # nothing but the unknowable part of the delay remains
    assert np.abs(times_s[settled] - (pts_s[kept][settled] - 80000.0) - 0.03).max() < 0.01


@pytest.mark.parametrize("drift", [-2e-4, 2e-4])
def test_stream_clock_follows_a_crystal_that_drifts(drift):
    pts_s = np.arange(30 * 600) * PERIOD_S
    delay_s = 0.02 + np.random.default_rng(2).exponential(0.01, len(pts_s))
    now_s = arrivals(pts_s, delay_s, drift=drift)
    kept, times_s = place_all(StreamClock("cam"), pts_s, now_s)
    error_s = times_s - (now_s - delay_s)[kept]
    assert np.abs(error_s[kept > 900] - 0.02).max() < 0.02  # 600 s would have made it 0.12
    assert (np.diff(times_s) > 0).all()


def test_stream_clock_does_not_believe_the_first_burst():
    # a server sends the two seconds that it had kept all at once, then goes on in real time
    pts_s = np.arange(300) * PERIOD_S
    now_s = np.maximum(1000.0 + 0.001 * np.arange(300), 1000.0 + pts_s - 2.0)
    kept, times_s = place_all(StreamClock("cam"), pts_s, now_s)
    assert (times_s <= now_s[kept] + 1e-9).all()
    assert np.abs(times_s - (pts_s[kept] + 998.0)).max() < 0.07
    assert kept[0] <= 76


def test_stream_clock_survives_a_stall_that_is_caught_up():
    pts_s = np.arange(900) * PERIOD_S
    now_s = 1000.0 + pts_s
    stalled = (pts_s > 10.0) & (pts_s < 18.0)
    now_s[stalled] = 1018.0
    kept, times_s = place_all(StreamClock("cam"), pts_s, now_s)
    assert len(kept) > 880
    assert np.abs(times_s - (1000.0 + pts_s[kept])).max() < 0.05


@pytest.mark.parametrize("jump_s", [-500.0, 500.0])
def test_stream_clock_starts_again_when_the_senders_clock_jumps(jump_s, caplog):
    pts_s = 1000.0 + np.arange(600) * PERIOD_S
    now_s = 5000.0 + np.arange(600) * PERIOD_S
    pts_s[300:] += jump_s
    clock = StreamClock("cam")
    with caplog.at_level(logging.WARNING):
        kept, times_s = place_all(clock, pts_s, now_s)
    assert clock.jumps == 1
    assert len(caplog.records) == 1
    assert len(kept) > 580
    assert np.abs(times_s - now_s[kept]).max() < 1e-6


def test_stream_without_pts_gets_times_of_arrival():
    clock = StreamClock("cam", warm_up_s=0.5)
    now_s = 10.0 + np.arange(60) * PERIOD_S
    times = [clock.place(None, float(n)) for n in now_s]
    assert times[:15] == [None] * 15
    assert times[16:] == list(now_s[16:])


def test_stream_whose_first_pts_is_missing_uses_the_others():
    clock = StreamClock("cam", warm_up_s=0.0)
    assert clock.place(3.0, 103.5) == pytest.approx(103.5)
    assert clock.place(None, 103.6) is None
    assert clock.place(3.1, 103.7) == pytest.approx(103.6)
    first = StreamClock("cam", warm_up_s=0.5)
    assert [first.place(None, 103.0), first.place(3.0, 103.1)] == [None, None]
    assert first.place(3.5, 103.62) == pytest.approx(103.6)


# DriverClock


def test_driver_times_are_taken_where_sane():
    clock = DriverClock("cam")
    assert clock.place(99.980, 100.0) == 99.980
    assert clock.place(100.013, 100.020) == 100.013
    assert clock.trusted


def test_stamps_up_to_a_period_ahead_are_taken_as_they_are():
    # the driver names the end of the exposure that has just begun; frames are grabbed with jitter
    clock = DriverClock("vivid")
    random = np.random.default_rng(3)
    driver_s = 50.0 + np.arange(60) * PERIOD_S
    now_s = driver_s - PERIOD_S + random.uniform(0.0, 0.01, 60)
    assert [clock.place(float(d), float(n)) for d, n in zip(driver_s, now_s)] == list(driver_s)
    assert clock.trusted


def test_stamps_two_periods_ahead_are_not_taken():
    clock = DriverClock("cam")
    driver_s = 50.0 + np.arange(60) * PERIOD_S
    now_s = driver_s - 2.1 * PERIOD_S
    times_s = [clock.place(float(d), float(n)) for d, n in zip(driver_s, now_s)]
    assert not clock.trusted
    assert times_s[-20:] == list(now_s[-20:])


@pytest.mark.parametrize(
    "driver_s",
    [
        [0.0] * 10,  # never filled in
        [1.7e9 + i * PERIOD_S for i in range(10)],  # wall clock
        [101.0 + i * PERIOD_S for i in range(10)],  # from the future
        [99.99] * 10,  # stuck
        [-1.0] * 10,
        [float("nan")] * 10,
    ],
)
def test_useless_driver_times_are_given_up_for_good(driver_s, caplog):
    clock = DriverClock("cam")
    now_s = [100.0 + i * PERIOD_S for i in range(10)]
    with caplog.at_level(logging.WARNING):
        times = [clock.place(d, n) for d, n in zip(driver_s, now_s)]
    assert times[1:] == now_s[1:]
    assert not clock.trusted
    assert len(caplog.records) == 1


def test_a_single_bad_driver_time_is_bridged():
    clock = DriverClock("cam")
    times = [clock.place(d, n) for d, n in [(10.0, 10.01), (0.0, 10.04), (10.06, 10.07)]]
    assert times == [10.0, 10.04, 10.06]
    assert clock.trusted


def test_driver_clock_never_runs_back():
    clock = DriverClock("cam")
    times = [clock.place(d, n) for d, n in [(10.0, 10.01), (0.0, 10.5), (10.4, 10.51)]]
    assert times == [10.0, 10.5, None]


# FrameRateMeter


def test_rate_of_a_steady_camera():
    meter = FrameRateMeter()
    for i in range(600):
        meter.push(50.0 + i / 22.0)
    rate = meter.measure()
    assert rate.fps == pytest.approx(22.0)
    assert rate.jitter_ms == pytest.approx(0.0, abs=1e-6)
    assert rate.gaps == 0
    assert meter.fps() == rate.fps
    assert FrameRateMeter().fps() is None


def test_rate_follows_within_the_window():
    meter = FrameRateMeter(window_s=5.0)
    time_s = 0.0
    for fps in [30.0] * 300 + [15.0] * 90:  # six seconds of the slower rate
        time_s += 1.0 / fps
        meter.push(time_s)
    assert meter.measure().fps == pytest.approx(15.0)


def test_jitter_is_the_95th_percentile_of_the_deviation():
    meter = FrameRateMeter(window_s=1000.0)
    time_s = 0.0
    meter.push(time_s)
    for i in range(1000):
        time_s += 0.040 + (0.010 if i % 10 == 0 else 0.0)  # a tenth is 10 ms late
        meter.push(time_s)
    rate = meter.measure()
    assert rate.jitter_ms == pytest.approx(10.0)
    assert rate.fps == pytest.approx(1000 / 41.0)


def test_gaps_are_counted_and_slow_the_rate():
    meter = FrameRateMeter(window_s=100.0)
    for time_s in (0.0, 0.1, 0.2, 1.2, 1.3, 1.55, 1.9):
        meter.push(time_s)
    rate = meter.measure()
    assert rate.gaps == 2
    assert rate.fps == pytest.approx(6 / 1.9)
    assert meter.silent_share() == pytest.approx(1.35 / 1.9)


def test_no_rate_without_frames_or_after_silence():
    meter = FrameRateMeter()
    assert meter.measure().fps is None
    meter.push(1.0)
    assert meter.measure().fps is None
    meter.push(1.1)
    assert meter.measure(now_s=2.0).fps == pytest.approx(10.0)
    assert meter.measure(now_s=7.0).fps is None


def test_rate_starts_again_when_time_steps_back():
    meter = FrameRateMeter()
    for time_s in (10.0, 10.1, 10.2, 0.0, 0.05, 0.1):
        meter.push(time_s)
    assert meter.measure().fps == pytest.approx(20.0)


def test_meter_memory_is_bounded():
    meter = FrameRateMeter(window_s=1.0)
    for i in range(5000):
        meter.push(i / 30)
    assert len(meter._times) <= 32
