"""The full-screen view of ``hrd watch`` but for the terminal: flow, wave, picture and files."""

from __future__ import annotations

import math
import xml.dom.minidom
from typing import Any, Dict, List

import pytest

from hrd.protocol import hr_message
from hrd.types import Reading, Reason, State
from hrd.watch import layout, picture, ratecurve, setupview
from hrd.watch.canvas import Canvas, printable
from hrd.watch.layout import Shown
from hrd.watch.model import Model, csv_lines
from hrd.watch.playout import MARGIN_S, Playout
from hrd.watch.sweep import DOTS_PER_S, Sweep
from hrd.wire import HeartRate
from hrd.words import REASONS

START_S = 1_700_000_000.0
SIZES = [(80, 24), (120, 40), (60, 16), (40, 12), (20, 5), (10, 2), (1, 1), (200, 60)]


def hr(second: float, bpm: float = 72.0, **known: Any) -> Dict[str, Any]:
    reading = Reading(0.0, State.TRACKING, bpm, 0.93, snr_db=8.0, fps=30.0)
    return hr_message(reading, START_S + second, 41.0, **known)


def refusal(second: float, reason: Reason = Reason.WEAK_SIGNAL) -> Dict[str, Any]:
    state = REASONS[reason.value].state
    return hr_message(Reading(0.0, state, reason=reason, fps=30.0), START_S + second, 41.0)


def sine(time_s: float) -> float:
    return math.sin(2.0 * math.pi * 1.2 * time_s)


def chunk(second: int) -> List[float]:
    return [sine(second + k / 30.0) for k in range(30)]


def model(*messages: Dict[str, Any]) -> Model:
    made = Model("/run/hrd/hrd.sock")
    made.take({"class": "VERSION", "proto": "1.1", "release": "9"}, 0.0)
    for k, message in enumerate(messages):
        made.take(message, float(k))
    return made


# The flow.


def test_a_wave_that_comes_once_a_second_is_played_evenly() -> None:
    wave = Playout()
    steps = []
    for tick in range(30 * 20):  # thirty pictures a second
        if tick % 30 == 0:
            wave.push(START_S + tick // 30, 30.0, chunk(tick // 30))
        before_s = wave.position_s
        wave.advance(1.0 / 30.0)
        if before_s is not None and wave.position_s is not None:
            steps.append(wave.position_s - before_s)
    assert all(0.9 / 30.0 <= step <= 1.3 / 30.0 for step in steps)
    assert wave.position_s == pytest.approx(START_S + 20.0 - MARGIN_S, abs=0.1)


def test_between_samples_the_wave_is_where_the_sine_is() -> None:
    wave = Playout()
    for second in range(3):
        wave.push(START_S + second, 30.0, chunk(second))
    for k in range(290):
        assert wave.at(START_S + k / 100.0) == pytest.approx(sine(k / 100.0), abs=0.02)
    assert wave.at(START_S - 0.1) is None
    assert wave.at(START_S + 3.1) is None


def test_nothing_is_drawn_across_a_gap() -> None:
    wave = Playout()
    wave.push(START_S, 30.0, chunk(0))
    wave.push(START_S + 2.0, 30.0, chunk(2))
    assert wave.at(START_S + 1.5) is None


def test_a_late_chunk_makes_the_wave_wait_and_a_long_silence_is_skipped() -> None:
    wave = Playout()
    wave.push(START_S, 30.0, chunk(0))
    wave.advance(5.0)
    assert wave.position_s == wave.end_s == pytest.approx(START_S + 29 / 30.0)
    wave.push(START_S + 60.0, 30.0, chunk(60))
    assert wave.position_s == pytest.approx(START_S + 60.0 - MARGIN_S)


def test_a_clock_that_is_set_back_begins_another_wave() -> None:
    wave = Playout()
    wave.push(START_S, 30.0, chunk(0))
    wave.push(START_S - 3600.0, 30.0, chunk(0))
    assert wave.position_s == pytest.approx(START_S - 3600.0 - MARGIN_S)
    assert wave.end_s == pytest.approx(START_S - 3600.0 + 29 / 30.0)


def test_the_flow_forgets() -> None:
    wave = Playout()
    for second in range(600):
        wave.push(START_S + second, 30.0, chunk(second))
    assert len(wave.between(0.0, START_S + 1e6)) <= 40 * 30 + 130


# The beam.


def swept(seconds: int, columns: int = 78, rows: int = 6) -> Sweep:
    wave, sweep = Playout(), Sweep(columns, rows)
    for second in range(seconds):
        wave.push(START_S + second, 30.0, chunk(second))
        for _ in range(15):
            wave.advance(1.0 / 15.0)
            sweep.advance(wave)
    return sweep


def test_the_beam_draws_every_beat() -> None:
    sweep = swept(12)
    dots = sweep.dots
    top = "".join(dots.char(column, 0) for column in range(dots.columns))
    peaks = len([part for part in top.split(" ") if part])
    assert peaks == pytest.approx(1.2 * (sweep.seconds - 0.4), abs=1.5)
    ahead = [c for c in range(dots.columns) if all(dots.char(c, r) == " " for r in range(6))]
    assert 3 <= len(ahead) <= 5  # what the beam has wiped


def test_only_what_is_under_the_beam_changes() -> None:
    wave, sweep = Playout(), Sweep(78, 6)
    changes = []
    for second in range(20):
        wave.push(START_S + second, 30.0, chunk(second))
        for _ in range(15):
            wave.advance(1.0 / 15.0)
            changes.append(len(sweep.advance(wave)))
    assert max(changes[15 * 10 :]) <= 8
    assert sum(changes[15 * 10 :]) >= 10 * DOTS_PER_S / 2


def test_without_a_wave_nothing_is_drawn() -> None:
    assert Sweep(20, 4).advance(Playout()) == set()


# What is known.


def test_an_old_reading_is_not_carried_on() -> None:
    known = model(hr(0), hr(1))
    assert known.reading(1.5) is not None
    assert known.reading(60.0) is None
    assert known.silence(60.0) == "the daemon has said nothing for 59 s"
    known.lose("the daemon is gone")
    assert known.reading(1.5) is None
    assert known.silence(1.5) == "the daemon is gone"


def test_ten_minutes_are_kept_and_no_more() -> None:
    known = model(*(hr(second) for second in range(800)))
    assert len(known.history) == 601
    assert known.tracking_s() == 600.0


def test_the_reading_told_again_at_a_new_connection_counts_once() -> None:
    assert len(model(hr(0), hr(0), hr(1)).history) == 2


def test_nobodys_pulse_is_drawn() -> None:
    known = model(hr(0))
    known.take({"class": "PPG", "time": START_S, "fs_hz": 30.0, "bvp": chunk(0)}, 1.0)
    assert known.wave.position_s is not None
    known.take(refusal(1, Reason.NO_FACE), 2.0)
    assert known.wave.position_s is None


@pytest.mark.parametrize("bvp", [None, "x", [], 7])
def test_a_strange_waveform_is_left_out(bvp: object) -> None:
    known = model()
    known.take({"class": "PPG", "time": START_S, "fs_hz": 30.0, "bvp": bvp}, 1.0)
    assert known.wave.position_s is None


def test_readings_as_a_table() -> None:
    lines = csv_lines([HeartRate.from_message(m) for m in (hr(0, 71.84), refusal(1))])
    assert lines == [
        "time,unix_s,state,bpm,confidence,reason,snr_db,fps,latency_ms",
        "2023-11-14T22:13:20Z,1700000000.000,tracking,71.8,0.93,,8.0,30.0,41.0",
        "2023-11-14T22:13:21Z,1700000001.000,unsure,,,WEAK_SIGNAL,,30.0,41.0",
    ]


# The picture.


def drawn(known: Model, width: int, height: int, now_s: float, **shown: Any) -> Canvas:
    canvas = Canvas(width, height, shown.pop("fancy", True))
    layout.draw(canvas, known, Shown(**{"tabs": (known.name,), **shown}), now_s, 8.0)
    return canvas


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("fancy", [True, False])
@pytest.mark.parametrize("shown", [{}, {"help": True}, {"setup": True}, {"note": "saved"}])
def test_every_size_can_be_drawn(
    width: int, height: int, fancy: bool, shown: Dict[str, Any]
) -> None:
    known = model(*(hr(second) if second % 7 else refusal(second) for second in range(40)))
    known.take(SETUP, 39.0)
    lines = drawn(known, width, height, 39.5, fancy=fancy, **shown).lines()
    assert len(lines) == height
    assert max(map(len, lines)) <= width
    if not fancy:
        assert all(line.isascii() for line in lines)


@pytest.mark.parametrize(("width", "height"), [(80, 24), (40, 12), (30, 3)])
def test_the_bpm_is_there_at_every_size(width: int, height: int) -> None:
    text = "\n".join(drawn(model(hr(0, 71.8)), width, height, 0.5).lines())
    assert "71.8 bpm" in text
    assert "tracking" in text


def test_what_a_terminal_of_80x24_shows() -> None:
    text = "\n".join(drawn(model(hr(0), hr(1, 74.0)), 80, 24, 1.5).lines())
    for words in (
        "confidence 0.93",
        "93 times in 100",
        "8.0 dB",
        "strong",
        "30.0 fps",
        "latency 41 ms",
        "pulse, 8 s",
        "bpm, 10 minutes",
        "q quit",
    ):
        assert words in text


@pytest.mark.parametrize("reason", list(REASONS))
def test_without_a_bpm_it_says_why_and_what_to_do(reason: str) -> None:
    text = "\n".join(drawn(model(refusal(0, Reason[reason])), 120, 40, 0.5).lines())
    assert "no bpm" in text
    assert REASONS[reason].remedy[:60] in text
    assert "██" not in text.replace("██████  ██████", "")  # two hyphens, no digits


def test_a_daemon_that_is_gone_leaves_no_number() -> None:
    known = model(hr(0, 71.8))
    known.lose("the daemon is gone; waiting for it")
    text = "\n".join(drawn(known, 80, 24, 0.5).lines())
    assert "no bpm: the daemon is gone" in text
    assert "71" not in text


def test_the_rate_has_gaps_where_nothing_was_said() -> None:
    readings = [
        HeartRate.from_message(hr(s) if s < 200 or s >= 400 else refusal(s)) for s in range(600)
    ]
    past = ratecurve.slots(readings, 60, 600.0, readings[-1].time_s)
    assert [bpm for bpm, _ in past[:19]] == [72.0] * 19
    assert [bpm for bpm, _ in past[20:39]] == [None] * 19
    assert all(told for _, told in past)
    assert [bpm for bpm, _ in past[41:]] == [72.0] * 19


@pytest.mark.parametrize(
    ("rates", "limits"), [([], (60, 80)), ([72.0, 73.0], (60, 80)), ([58.0, 121.0], (50, 130))]
)
def test_the_scale_is_in_tens(rates: List[float], limits: Any) -> None:
    low, high = ratecurve.scale(rates)
    assert high - low >= 20.0
    assert low % 10 == high % 10 == 0.0
    assert (low, high) == limits


def test_what_a_camera_says_cannot_move_the_cursor() -> None:
    assert printable("a\x1b[2Jb\nc\u0301宽") == "a?[2Jb?c??"


# Camera set-up.

SETUP: Dict[str, Any] = {
    "class": "SETUP",
    "time": START_S,
    "width_px": 640,
    "height_px": 480,
    "fps": 30.0,
    "limits": {"face_px": 48.0, "luma": 25.0, "saturated": 0.35, "motion_per_s": 0.6, "fps": 12.0},
    "box": {"x_px": 0.0, "y_px": 100.0, "w_px": 200.0, "h_px": 200.0},
    "face_px": 200.0,
    "luma": 12.0,
    "saturated": 0.0,
    "motion_per_s": 0.05,
    "in_the_way": ["TOO_DARK"],
}


def test_set_up_names_what_is_in_the_way() -> None:
    found = {check.name: check for check in setupview.checks(SETUP)}
    assert not found["light"].good
    assert [name for name, check in found.items() if not check.good] == ["light"]
    assert setupview.advice(SETUP) == ["too dark: turn on a light"]


def test_a_face_at_the_edge_is_sent_to_the_middle() -> None:
    message = {**SETUP, "in_the_way": [], "box": {**SETUP["box"], "x_px": 560.0}}
    assert setupview.advice(message) == [
        "the face is cut off by the picture's edge: move to the middle"
    ]
    assert setupview.advice({**SETUP, "in_the_way": []}) == ["nothing is in the way"]


def test_the_face_is_drawn_as_in_a_mirror() -> None:
    known = model(hr(0))
    known.take(SETUP, 0.0)
    lines = drawn(known, 120, 40, 0.5, setup=True).lines()
    row = next(line for line in lines if line.count("┌") == 2 or "│  " in line and "┌" in line[2:])
    picture_end = row.rindex("│") if "│" in row else len(row)
    assert row.index("┌", 2) > picture_end / 2  # at the camera's left, so at the mirror's right


# Files.


def test_a_saved_picture_is_whole_xml_and_its_table_has_the_readings(tmp_path: Any) -> None:
    known = model(hr(0), hr(1, 75.0))
    canvas = drawn(known, 80, 24, 1.5)
    name = picture.save(canvas, known.history, tmp_path, START_S)
    document: Any = xml.dom.minidom.parse(str(tmp_path / f"{name}.svg"))
    texts = [node.firstChild.data for node in document.getElementsByTagName("text")]
    assert any("confidence 0.93" in text for text in texts)
    assert not document.getElementsByTagName("script")
    rows = (tmp_path / f"{name}.csv").read_text().splitlines()
    assert len(rows) == 3
    assert ",75.0," in rows[2]


def test_a_name_with_markup_stays_text() -> None:
    canvas = Canvas(40, 1)
    canvas.text(0, 0, "<script>&")
    parsed: Any = xml.dom.minidom.parseString(picture.svg_of(canvas))
    assert parsed.getElementsByTagName("text")[0].firstChild.data == "<script>&"
