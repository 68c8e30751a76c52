"""How readings follow a changing rate: known answers."""

from __future__ import annotations

import pytest

from hrd.evaluation.following import following_figures
from hrd.evaluation.protocol import LiveRow


def row(time_s: float, bpm: float, now: float, recording: str = "a", window=None) -> LiveRow:
    reference = now if window is None else window
    return LiveRow("", "m", recording, recording, time_s, reference, True, bpm, 0.9, None, {}, now)


def test_a_step_counts_as_followed_once_three_readings_in_a_row_are_near():
    # rate goes from 60 to 80 at 25 s; near at 29 (once, by chance), then from 33 s on
    bpm = dict.fromkeys(range(20, 29), 60.0)
    bpm.update({29: 78.0, 30: 62.0, 31: 66.0, 32: 71.0, 33: 76.0, 34: 79.0, 35: 80.0})
    rows = [row(float(t), b, 60.0 if t < 25 else 80.0) for t, b in bpm.items()]
    figures = following_figures(rows, 1, 25.0)
    assert figures["settled_s"] == {"median": 8.0, "p90": 8.0, "never": 0}
    assert figures["largest_jump_bpm"] == pytest.approx(18.0)


def test_a_recording_that_says_nothing_never_follows():
    rows = [row(float(t), 80.0, 80.0) for t in range(25, 40)]
    figures = following_figures(rows, 3, 25.0)
    assert figures["settled_s"]["never"] == 2
    assert figures["settled_s"]["median"] is None


def test_a_silence_between_two_readings_is_no_jump():
    rows = [row(1.0, 60.0, 60.0), row(9.0, 90.0, 90.0), row(10.0, 91.0, 91.0)]
    assert following_figures(rows, 1, None)["largest_jump_bpm"] == pytest.approx(1.0)


def test_the_newest_reading_at_fifteen_seconds_counts():
    good = [row(14.0, 70.0, 70.0, "a"), row(15.0, 71.9, 70.0, "a")]
    late = [row(16.0, 70.0, 70.0, "b")]
    far = [row(15.0, 73.0, 70.0, "c")]
    figures = following_figures(good + late + far, 4, None)
    assert figures["good_by_15_s"] == pytest.approx(0.25)
    assert figures["mae_now"] == pytest.approx((0 + 1.9 + 0 + 3.0) / 4)


def test_nothing_said_gives_no_figures():
    figures = following_figures([], 2, None)
    assert figures == {"mae_now": None, "largest_jump_bpm": None, "good_by_15_s": 0.0}
