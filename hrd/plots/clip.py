"""A clip in one look: its waveform with beats, its spectrum over time with the readings on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, List, Sequence, Tuple

import numpy as np

from hrd.estimate.spectrum import periodogram
from hrd.measure.clip import Measurement
from hrd.plots import style
from hrd.types import PulseChunk, Reading
from hrd.words import STATES

WINDOW_S = 10.0
"""Length of the signal that each column of the spectrum is of."""
_STEP_S = 1.0
_BPM = (40.0, 180.0)
_RANGE_DB = 18.0
_GAP_SAMPLES = 2.5
_WAVE_S = 30.0  # a row of the waveform holds so much
_ROWS = 4  # at most; of a longer clip the first


def stretches(chunks: Sequence[PulseChunk]) -> List[Tuple[np.ndarray, np.ndarray]]:
    """The waveform in pieces without a hole: times (N,) in seconds, and samples (N,)."""
    pieces: List[Tuple[List[np.ndarray], List[np.ndarray]]] = []
    end_s = -np.inf
    for chunk in chunks:
        times_s = chunk.start_s + np.arange(len(chunk.bvp)) / chunk.fs_hz
        if not len(times_s):
            continue
        if not pieces or times_s[0] - end_s > _GAP_SAMPLES / chunk.fs_hz:
            pieces.append(([], []))
        pieces[-1][0].append(times_s)
        pieces[-1][1].append(np.asarray(chunk.bvp, float))
        end_s = times_s[-1]
    return [(np.concatenate(times), np.concatenate(values)) for times, values in pieces]


def spectrum_over_time(
    times_s: np.ndarray, bvp: np.ndarray, bpm: np.ndarray
) -> Tuple[np.ndarray, np.ndarray]:
    """Power of the last WINDOW_S before each second, dB below the strongest of that moment.

    ``bpm`` (F,): where. Returns moments (M,) in seconds and power (F, M); no moment where there is
    less signal than half a window.
    """
    fs_hz = 1.0 / float(np.median(np.diff(times_s)))
    moments = np.arange(times_s[0] + 0.5 * WINDOW_S, times_s[-1] + 1e-6, _STEP_S)
    columns = []
    for moment in moments:
        newest = (times_s > moment - WINDOW_S) & (times_s <= moment)
        power = periodogram(bvp[newest], fs_hz).at(bpm / 60.0)
        columns.append(10.0 * np.log10(np.maximum(power, 1e-12) / max(power.max(), 1e-12)))
    return moments, np.array(columns).T.reshape(len(bpm), len(moments))


def draw_clip(path: Path, result: Measurement) -> None:
    """Write the picture of a measured clip. Raises ``HrdError``."""
    pieces = stretches(result.pulse)
    rows = int(min(_ROWS, max(1, np.ceil(result.seconds / _WAVE_S))))
    heights = [1.0] * rows + [2.6, 0.7]
    with style.figure(
        path,
        rows + 2,
        1,
        figsize=(9.0, 1.2 * rows + 5.0),
        gridspec_kw={"height_ratios": heights},
        layout="constrained",
    ) as (figure, axes):
        _waves(axes[:rows], pieces, result.seconds)
        _spectrum(figure, axes[rows], pieces, result)
        _confidence(axes[rows + 1], result)
        said = (
            "no bpm"
            if result.bpm is None
            else (f"{result.bpm:.1f} bpm, confidence {result.confidence:.2f}")
        )
        engine = result.engine + (f", {result.model}" if result.model else "")
        figure.suptitle(f"{Path(result.file).name}: {said} ({engine})", fontsize=11)


def _waves(axes: Any, pieces: List[Tuple[np.ndarray, np.ndarray]], seconds: float) -> None:
    from hrd.evaluation.beats import beat_times

    span_s = min(_WAVE_S, max(seconds, 1.0))
    count = 0
    for times_s, bvp in pieces:
        fs_hz = 1.0 / float(np.median(np.diff(times_s))) if len(times_s) > 1 else 30.0
        beats_s = beat_times(bvp, fs_hz, float(times_s[0]))
        heights = np.interp(beats_s, times_s, bvp)
        count += len(beats_s)
        for axis in axes:
            axis.plot(times_s, bvp, color=style.LINES[0], linewidth=0.9)
            axis.plot(beats_s, heights, "v", color=style.ACCENT, markersize=4)
    for row, axis in enumerate(axes):
        axis.set_xlim(row * span_s, (row + 1) * span_s)
        values = [
            bvp[(times >= row * span_s) & (times < (row + 1) * span_s)] for times, bvp in pieces
        ]
        seen = np.concatenate(values) if values else np.zeros(0)
        if len(seen):
            low, high = np.percentile(seen, [1.0, 99.0])
            room = 0.3 * max(float(high - low), 1e-6)
            axis.set_ylim(low - room, high + room)
        axis.set_yticks([])
    shown_s = span_s * len(axes)
    part = f"; its first {shown_s:.0f} s" if seconds > shown_s + 1.0 else ""
    axes[0].set_title(f"Waveform with beats ({count}){part}", loc="left")
    axes[-1].set_xlabel("time, s")


def _spectrum(
    figure: Any, axis: Any, pieces: List[Tuple[np.ndarray, np.ndarray]], result: Measurement
) -> None:
    bpm = np.arange(_BPM[0], _BPM[1] + 0.5, 1.0)
    shade = None
    for times_s, bvp in pieces:
        if len(times_s) < 2 or times_s[-1] - times_s[0] < 0.5 * WINDOW_S:
            continue
        moments, power = spectrum_over_time(times_s, bvp, bpm)
        if len(moments) < 2:
            continue
        shade = axis.pcolormesh(
            moments,
            bpm,
            power,
            cmap="Greys",
            vmin=-_RANGE_DB,
            vmax=0.0,
            shading="nearest",
            rasterized=True,
        )
    told = [reading for reading in result.readings if reading.bpm is not None]
    if told:
        axis.scatter(
            [reading.time_s for reading in told],
            [reading.bpm for reading in told],
            c=[_shade(reading) for reading in told],
            cmap="viridis",
            vmin=0.5,
            vmax=1.0,
            s=16,
            edgecolors="white",
            linewidths=0.5,
            label="reading (lighter: surer)",
            zorder=3,
        )
    if result.bpm is not None:
        axis.axhline(
            result.bpm,
            color=style.ACCENT,
            linewidth=0.9,
            linestyle="--",
            label=f"whole clip: {result.bpm:.1f} bpm",
        )
    axis.set_xlim(0.0, max(result.seconds, 1.0))
    axis.set_ylim(*_BPM)
    axis.set_ylabel("bpm")
    axis.set_title(
        f"Spectrum of {WINDOW_S:.0f} s up to each second, with the readings on it", loc="left"
    )
    if told or result.bpm is not None:
        axis.legend(loc="upper right", frameon=True, framealpha=0.85, edgecolor="none")
    if shade is not None:
        bar = figure.colorbar(shade, ax=axis, pad=0.01, shrink=0.9)
        bar.set_label("dB from the peak")


def _confidence(axis: Any, result: Measurement) -> None:
    told = [reading for reading in result.readings if reading.confidence is not None]
    axis.vlines(
        [reading.time_s for reading in told],
        0.0,
        [reading.confidence for reading in told],
        color=style.LINES[0],
        linewidth=2.0,
    )
    named = set()
    for reading in result.readings:
        if reading.bpm is None:
            axis.plot(reading.time_s, 0.06, "x", color=style.ACCENT, markersize=3.5)
            named.add(reading.reason.value if reading.reason else STATES[reading.state.value])
    why = f" (x: none, {', '.join(sorted(named))})" if named else ""
    axis.set_title(f"Confidence of each reading{why}", loc="left")
    axis.set_xlim(0.0, max(result.seconds, 1.0))
    axis.set_ylim(0.0, 1.05)
    axis.set_xlabel("time, s")


def _shade(reading: Reading) -> float:
    return 0.0 if reading.confidence is None else reading.confidence
