"""What ``hrd doctor --camera`` says of what a camera showed, and what to change. Pure."""

from __future__ import annotations

from typing import Dict, List, Optional

from hrd.config import Config
from hrd.doctor.finding import Finding, Verdict
from hrd.doctor.sight import Sight, gaps
from hrd.estimate.options import QualityConfig
from hrd.types import State
from hrd.words import REASONS, STATES

_FAST_ENOUGH = 0.9
"""Share of the rate asked for that counts as having got it."""
_JITTER_MS = 10.0
_WANDER_PERCENT = 3.0
"""A pulse changes the skin's green by about half a per cent; a filter takes out slow changes of
some times that."""
_FLICKER_PERCENT = 1.0
_SEEN = 0.9


def advise(sight: Sight, config: Config) -> List[Finding]:
    """One finding each of rate, exposure, light, face and signal, in that order."""
    limits = config.reading.quality
    return [
        _rate(sight, config, limits),
        _exposure(sight),
        *_face(sight, limits),
        _signal(sight),
    ]


def _rate(sight: Sight, config: Config, limits: QualityConfig) -> Finding:
    fps, asked = sight.fps, config.source.capture.fps
    values: Dict[str, Optional[float]] = {
        "fps": fps,
        "jitter_ms": sight.jitter_ms,
        "longest_ms": 1e3 * sight.longest_s,
        "too_late": float(sight.too_late),
    }
    if fps is None or sight.jitter_ms is None:
        text = f"{sight.frames} frames in all"
        return _finding("rate", Verdict.FAIL, text, "another camera, cable or port", values)
    text = (
        f"{fps:.1f} frames a second, jitter {sight.jitter_ms:.1f} ms, "
        f"longest silence {1e3 * sight.longest_s:.0f} ms"
    )
    if sight.too_late > 0.02 * sight.frames:
        text += f"; this machine was too slow for {sight.too_late} of them"
        remedy = "end other programs, or set source.capture.fps lower"
        return _finding("rate", Verdict.WARN, text, remedy, values)
    if fps < limits.min_fps:
        text += f": too few ({limits.min_fps:g} are needed)"
        remedy = "more light (in the dark cameras expose for long), MJPG, or a port of USB 2 or 3"
        return _finding("rate", Verdict.WARN, text, remedy, values)
    if fps < _FAST_ENOUGH * asked and sight.info.kind in ("v4l2", "csi"):
        text += f", of {asked:g} asked for"
        remedy = "more light, or v4l2-ctl -c exposure_dynamic_framerate=0"
        return _finding("rate", Verdict.WARN, text, remedy, values)
    if gaps(sight):
        remedy = "another cable or port; end other programs"
        return _finding("rate", Verdict.WARN, f"{text}: a gap", remedy, values)
    if sight.jitter_ms > _JITTER_MS:
        return _finding(
            "rate", Verdict.OK, f"{text} (hrd reckons with each frame's time)", None, values
        )
    return _finding("rate", Verdict.OK, text, None, values)


def _exposure(sight: Sight) -> Finding:
    values: Dict[str, Optional[float]] = {
        "wander_percent": sight.wander_percent,
        "flicker_percent": sight.flicker_percent,
    }
    held = {True: "locked; ", False: "automatic, not lockable; ", None: ""}[sight.exposure_locked]
    text = (
        f"{held}brightness moves by {sight.wander_percent:.1f} %, "
        f"from frame to frame by {sight.flicker_percent:.2f} %"
    )
    if sight.frozen:
        text = "every picture is the very same: the camera has hung up"
        return _finding("exposure", Verdict.WARN, text, "unplug it and plug it in again", values)
    if sight.wander_percent > _WANDER_PERCENT:
        remedy = "even light that does not change; v4l2-ctl -c auto_exposure=1 holds the exposure"
        return _finding("exposure", Verdict.WARN, text, remedy, values)
    if sight.flicker_percent > _FLICKER_PERCENT:
        remedy = "v4l2-ctl -c power_line_frequency=1 (50 Hz; 2: 60 Hz), daylight, or another lamp"
        return _finding("exposure", Verdict.WARN, f"{text}: it flickers", remedy, values)
    return _finding("exposure", Verdict.OK, text, None, values)


def _face(sight: Sight, limits: QualityConfig) -> List[Finding]:
    seen, quality = sight.with_face, sight.quality
    values: Dict[str, Optional[float]]
    if quality is None or seen == 0.0:
        text = f"nobody is to be seen (mean brightness {sight.brightness:.0f} of 255)"
        remedy = "sit in front of the camera, upright and facing it, with light on your face"
        if sight.brightness < limits.min_luma:
            remedy = "turn on a light in front of you; is the lens covered?"
        values = {"with_face": seen, "brightness": sight.brightness}
        return [_finding("face", Verdict.WARN, text, remedy, values)]
    light_values: Dict[str, Optional[float]] = {
        "luma": quality.luma,
        "saturated": quality.saturated,
    }
    text = f"skin at {quality.luma:.0f} of 255, {100 * quality.saturated:.0f} % of it burnt out"
    if quality.luma < limits.min_luma:
        light = _finding(
            "light", Verdict.WARN, text, "turn on a light in front of you", light_values
        )
    elif quality.saturated > limits.max_saturated:
        remedy = REASONS["TOO_BRIGHT"].remedy
        light = _finding("light", Verdict.WARN, text, remedy, light_values)
    else:
        light = _finding("light", Verdict.OK, text, None, light_values)
    values = {
        "with_face": seen,
        "face_px": quality.face_px,
        "motion_per_s": quality.motion_per_s,
    }
    text = f"in {100 * seen:.0f} % of the frames, {quality.face_px:.0f} pixels wide"
    if quality.face_px < limits.min_face_px:
        text += f" ({limits.min_face_px:g} are needed)"
        remedy = "come closer, or set source.capture.width_px and height_px higher"
        return [light, _finding("face", Verdict.WARN, text, remedy, values)]
    if quality.motion_per_s > limits.max_motion_per_s:
        text += ", moving too fast"
        return [light, _finding("face", Verdict.WARN, text, REASONS["MOTION"].remedy, values)]
    if seen < _SEEN:
        remedy = "face the camera, upright, with nothing in front of your face"
        return [light, _finding("face", Verdict.WARN, text, remedy, values)]
    return [light, _finding("face", Verdict.OK, text, None, values)]


def _signal(sight: Sight) -> Finding:
    reading = sight.reading
    if reading is None:
        return _finding("signal", Verdict.WARN, "no reading", "see above", {})
    values: Dict[str, Optional[float]] = {
        "bpm": reading.bpm,
        "confidence": reading.confidence,
        "snr_db": reading.snr_db,
    }
    if reading.state is State.TRACKING:
        text = f"{reading.bpm:.1f} bpm, confidence {reading.confidence:.2f}"
        if reading.snr_db is not None:
            text += f", SNR {reading.snr_db:.1f} dB"
        return _finding("signal", Verdict.OK, text, None, values)
    text = f"no bpm: {STATES[reading.state.value]}"
    remedy = "see above"
    if reading.reason is not None:
        why = REASONS[reading.reason.value]
        text, remedy = f"no bpm: {why.short.partition(':')[0]}", why.remedy
    return _finding("signal", Verdict.WARN, text, remedy, values)


def _finding(
    topic: str,
    verdict: Verdict,
    text: str,
    remedy: Optional[str],
    values: Dict[str, Optional[float]],
) -> Finding:
    known = {name: round(value, 3) for name, value in values.items() if value is not None}
    return Finding(topic, verdict, text, remedy, known)
