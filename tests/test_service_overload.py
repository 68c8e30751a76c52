from __future__ import annotations

import logging

import pytest

from hrd.service.overload import Overload


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
