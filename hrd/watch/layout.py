"""Where things are in the full-screen view, and how they are drawn, whatever the terminal's size.

Pure: a model and the time in, characters out. The waveform has a place of its own (``Places.wave``)
that is drawn between times, by ``hrd.watch.sweep``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Sequence, Tuple

from hrd.watch import digits
from hrd.watch.canvas import Canvas, Style
from hrd.watch.model import HISTORY_S, Model
from hrd.watch.ratecurve import draw_rate
from hrd.watch.setupview import draw_setup
from hrd.watch.whyview import draw_line, draw_why
from hrd.wire import HeartRate
from hrd.words import REASONS, STATES

_STRONG_DB, _FAIR_DB = 6.0, 2.0
_NUMBER_COLUMNS = 30


@dataclass(frozen=True)
class Place:
    """A rectangle of characters."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True)
class Places:
    """Where the parts are; None for what there is no room for. Row 0 is the header."""

    number: Optional[Place]
    said: Place
    wave: Optional[Place]
    rate: Optional[Place]
    why_y: Optional[int]
    facts_y: Optional[int]
    keys_y: Optional[int]


@dataclass(frozen=True)
class Shown:
    """What a person has chosen to see. ``note``: said in place of the keys for a while."""

    tab: int = 0
    tabs: Tuple[str, ...] = ("",)
    paused: bool = False
    help: bool = False
    setup: bool = False
    why: bool = False
    note: str = ""


def places(width: int, height: int) -> Places:
    """What fits, most important first: what is said, the wave, the large number, the rate."""
    roomy = height >= 16 and width >= 60
    x = 1 if width >= 60 else 0
    inner = max(1, width - 2 * x)
    top = 2 if height >= 20 else 1
    keys_y = height - 1 if height >= 8 else None
    facts_y = height - 2 if height >= 12 else None
    if roomy:
        number = Place(x, top, _NUMBER_COLUMNS, digits.ROWS)
        said = Place(x + _NUMBER_COLUMNS, top, inner - _NUMBER_COLUMNS, digits.ROWS)
        why_y = top + digits.ROWS if height >= 20 else None
        free_y = top + digits.ROWS + (1 if height >= 20 else 0)
    else:
        number, why_y = None, None
        said = Place(x, top, inner, min(2, max(1, height - 1)))
        free_y = top + said.height
    end = min(y for y in (facts_y, keys_y, height) if y is not None)
    left = end - free_y
    if left < 3:
        return Places(number, said, None, None, why_y, facts_y, keys_y)
    if left < 9:
        return Places(number, said, Place(x, free_y, inner, left), None, why_y, facts_y, keys_y)
    wave_rows = (left + 1) // 2
    wave = Place(x, free_y, inner, wave_rows)
    rate = Place(x, free_y + wave_rows, inner, left - wave_rows)
    return Places(number, said, wave, rate, why_y, facts_y, keys_y)


def wave_area(place: Place) -> Place:
    """The part of the wave's place that the beam runs over: all but the title."""
    return Place(place.x, place.y + 1, place.width, place.height - 1)


def draw(canvas: Canvas, model: Model, shown: Shown, now_s: float, wave_s: float) -> Places:
    """Draw all but the wave itself; ``wave_s``: how many seconds of it are to be seen."""
    where = places(canvas.width, canvas.height)
    reading = model.reading(now_s)
    _header(canvas, model, shown, reading)
    if shown.help:
        _help(canvas, where)
        return where
    if where.number is not None:
        _number(canvas, where.number, reading)
    _said(canvas, where.said, model, reading, now_s, large=where.number is not None)
    found = model.why(now_s)
    if shown.why:
        area = _below(canvas, where)
        _title(canvas, area.x, area.y, area.width, "why the confidence is what it is")
        draw_why(canvas, area.x, area.y + 1, area.width, area.height - 1, found)
    elif shown.setup:
        area = _below(canvas, where)
        _title(canvas, area.x, area.y, area.width, "camera set-up, as in a mirror")
        draw_setup(canvas, area.x, area.y + 1, area.width, area.height - 1, model.setup_view(now_s))
    else:
        if where.why_y is not None and found is not None and _is_about(reading):
            draw_line(canvas, 1, where.why_y, canvas.width - 2, found)
        if where.wave is not None:
            _title(canvas, where.wave.x, where.wave.y, where.wave.width, f"pulse, {wave_s:.0f} s")
        if where.rate is not None:
            place = where.rate
            minutes = HISTORY_S / 60.0
            _title(canvas, place.x, place.y, place.width, f"bpm, {minutes:.0f} minutes")
            draw_rate(
                canvas,
                place.x,
                place.y + 1,
                place.width,
                place.height - 1,
                model.history,
                HISTORY_S,
            )
    if where.facts_y is not None:
        x = 1 if canvas.width >= 60 else 0
        canvas.text(x, where.facts_y, facts(model, reading), Style.DIM, canvas.width - x)
    if where.keys_y is not None:
        _keys(canvas, where.keys_y, shown)
    return where


def _is_about(reading: Optional[HeartRate]) -> bool:
    """Whether the signal, and nothing before it, has decided what is said."""
    return reading is not None and (reading.tracking or reading.reason == "WEAK_SIGNAL")


def _below(canvas: Canvas, where: Places) -> Place:
    """Everything under what is said, for a view that takes it all."""
    y = where.said.y + where.said.height
    end = min(y for y in (where.facts_y, where.keys_y, canvas.height) if y is not None)
    return Place(
        where.said.x if where.number is None else where.number.x,
        y,
        canvas.width - 2 if canvas.width >= 60 else canvas.width,
        max(1, end - y),
    )


def _header(canvas: Canvas, model: Model, shown: Shown, reading: Optional[HeartRate]) -> None:
    x = canvas.text(1 if canvas.width >= 60 else 0, 0, "hrd", Style.BOLD) + 2
    if len(shown.tabs) > 1:
        for number, tab in enumerate(shown.tabs, 1):
            here = number - 1 == shown.tab
            label = f"[{number} {tab}]" if here else f" {number} {tab} "
            x = canvas.text(x, 0, label, Style.BOLD if here else Style.DIM) + 1
    else:
        x = canvas.text(x, 0, shown.tabs[0], Style.DIM)
    right = "paused" if shown.paused else ""
    if right:
        canvas.text(max(x + 1, canvas.width - len(right) - 1), 0, right, Style.WARN)


def _number(canvas: Canvas, place: Place, reading: Optional[HeartRate]) -> None:
    if reading is None or reading.bpm is None or not reading.tracking:
        digits.draw(canvas, place.x, place.y, "--", Style.DIM)
        return
    text = f"{reading.bpm:.0f}"
    digits.draw(canvas, place.x, place.y, text, Style.BOLD)
    canvas.text(place.x + digits.width_of(text) + 1, place.y + place.height - 1, "bpm", Style.DIM)


def _said(
    canvas: Canvas,
    place: Place,
    model: Model,
    reading: Optional[HeartRate],
    now_s: float,
    large: bool,
) -> None:
    """State, confidence or reason, in words, and what to do."""
    rows = list(said(model, reading, now_s, canvas.fancy, large))[: place.height]
    for k, (text, style) in enumerate(rows):
        canvas.text(place.x, place.y + k, text, style, place.width)


def said(
    model: Model, reading: Optional[HeartRate], now_s: float, fancy: bool, large: bool
) -> Sequence[Tuple[str, Style]]:
    """The lines of it; with the bpm first unless that is drawn ``large``."""
    if reading is None:
        return ((f"no bpm: {model.silence(now_s)}", Style.WARN),)
    if not reading.tracking or reading.bpm is None:
        state = STATES.get(reading.state, reading.state)
        known = REASONS.get(reading.reason or "")
        why = known.short.partition(":")[0] if known else (reading.reason or "no reason given")
        rows = [(f"no bpm: {state}", Style.WARN), (why, Style.BOLD)]
        if known:
            rows.append((f"what to do: {known.remedy}", Style.PLAIN))
        if large and reading.snr_db is not None:
            rows.append((_signal(reading.snr_db, fancy), Style.DIM))
        return rows
    confidence = reading.confidence if reading.confidence is not None else 0.0
    head = STATES["tracking"]
    if not large:
        head = f"{'♥ ' if fancy else ''}{reading.bpm:.1f} bpm, {head}"
    steady_s = model.tracking_s()
    rows = [(f"{head}, seen for {_duration(steady_s)}" if large else head, Style.GOOD)]
    times = f"{100 * confidence:.0f}" if confidence < 0.99 else "over 99"
    rows += [
        (f"confidence {confidence:.2f}  {bar(confidence, 16, fancy)}", Style.PLAIN),
        (f"within 5 bpm of the truth {times} times in 100", Style.DIM),
    ]
    if reading.snr_db is not None:
        rows.append((_signal(reading.snr_db, fancy), Style.PLAIN))
    rows.append((f"{reading.bpm:.1f} bpm, over the last 8 s", Style.DIM))
    return rows


def _signal(snr_db: float, fancy: bool) -> str:
    word = "strong" if snr_db >= _STRONG_DB else "fair" if snr_db >= _FAIR_DB else "weak"
    share = min(1.0, max(0.0, (snr_db + 6.0) / 18.0))
    return f"signal {snr_db:5.1f} dB  {bar(share, 16, fancy)} {word}"


def bar(share: float, cells: int, fancy: bool) -> str:
    """A share of 0..1 as a bar; in eighths of a character where the terminal can."""
    share = min(1.0, max(0.0, share))
    if not fancy:
        full = round(share * cells)
        return "#" * full + "." * (cells - full)
    eighths = round(share * cells * 8)
    full, rest = divmod(eighths, 8)
    part = " ▏▎▍▌▋▊▉"[rest] if rest else ""
    return "█" * full + part + "░" * (cells - full - len(part))


def facts(model: Model, reading: Optional[HeartRate]) -> str:
    """Camera, engine and queue in a line, what matters most first."""
    parts = []
    if reading is not None:
        if reading.fps is not None:
            parts.append(f"{reading.fps:.1f} fps")
        if reading.latency_ms is not None:
            parts.append(f"latency {reading.latency_ms:.0f} ms")
    status = model.status
    if status is not None:
        if status.drops.frames is not None:
            parts.append(f"{status.drops.frames} drops")
        if status.jitter_ms is not None:
            parts.append(f"jitter {status.jitter_ms:.1f} ms")
        engine = [part for part in (status.engine.name, status.model and status.model.name) if part]
        if engine:
            parts.append(" ".join(engine))
        if status.camera.source:
            parts.append(status.camera.source)
        if status.uptime_s is not None:
            parts.append(f"up {_duration(status.uptime_s)}")
        if status.memory.rss_mb is not None:
            parts.append(f"{status.memory.rss_mb:.0f} MB")
        if status.camera.failure:
            parts.insert(0, status.camera.failure)
    return " | ".join(parts)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h"


KEYS = (
    ("q", "quit", "end this view; the daemon goes on"),
    ("p", "pause", "hold the picture; what comes meanwhile is kept"),
    ("s", "save", "what is seen as SVG, its readings as CSV, in this folder"),
    ("c", "camera", "the camera set-up view: where the face is, and what is in the way"),
    ("w", "why", "why the confidence is what it is: what speaks for the reading, what against"),
    ("?", "help", "this page"),
)
_TAB_KEYS = ("tab", "next", "the next daemon or face; 1 to 9 one of them")


def _keys(canvas: Canvas, y: int, shown: Shown) -> None:
    x = 1 if canvas.width >= 60 else 0
    if shown.note:
        canvas.text(x, y, shown.note, Style.BOLD, canvas.width - x)
        return
    keys = KEYS + ((_TAB_KEYS,) if len(shown.tabs) > 1 else ())
    for key, word, _ in keys:
        if x + len(key) + len(word) + 1 >= canvas.width:
            return
        x = canvas.text(x, y, key, Style.BOLD)
        x = canvas.text(x + 1, y, word, Style.DIM) + 2


def _help(canvas: Canvas, where: Places) -> None:
    rows = [f"{key:5}{meaning}" for key, _, meaning in (*KEYS, _TAB_KEYS)]
    rows += [
        "",
        "The wave runs from left to right and wipes what was there, as on a monitor.",
        "It is a second or two old: the daemon sends it once a second.",
        "bpm: a dot for each reading; a gap where nothing was said. The strip below:",
        "= a reading, - a reason instead of one, blank: no daemon.",
        "Confidence: how often such a reading is within 5 bpm of the truth.",
        "hrd never invents a reading: without a bpm it says why, and what to do.",
    ]
    for k, text in enumerate(rows):
        canvas.text(1, 2 + k, text, Style.PLAIN, canvas.width - 2)


def _title(canvas: Canvas, x: int, y: int, width: int, text: str) -> None:
    rule = "─" if canvas.fancy else "-"
    end = canvas.text(x, y, f"{text} ", Style.DIM, width)
    for column in range(end, x + width):
        canvas.put(column, y, rule, Style.DIM)
