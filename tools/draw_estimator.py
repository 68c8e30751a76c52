"""Draws the pictures of docs/estimator.md: a real window on its way through the estimator.

Usage: python tools/draw_estimator.py FILM [--out docs/estimator] [--at SECONDS]

FILM: any film of a face; the page's is of a person who sat still for ten seconds. Only signals are
drawn. Needs matplotlib (`pip install 'hrd[train]'`).
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, List, Optional, Tuple

import numpy as np

from hrd.capture.open import open_source
from hrd.config import load_config
from hrd.engine.select import open_engine
from hrd.estimate.baseband import baseband
from hrd.estimate.estimator import BEATS_S, WINDOW_SHARES, Estimate, EstimatorConfig
from hrd.estimate.explain import Explainer, Explanation
from hrd.estimate.ratefilter import GRID_BPM, FilterConfig, log_likelihood
from hrd.estimate.spectrum import periodogram, rate_score
from hrd.face.detect import open_detector
from hrd.pipeline import Pipeline
from hrd.types import PulseChunk, Reading

BLUE, ORANGE, GREY, GREEN, RED = "#1f6fb2", "#d9731a", "#8a8f98", "#2f8f4e", "#b8403a"


class Clip:
    """A film read by the live pipeline: its signal, and every estimate with its explanation."""

    def __init__(self, film: str) -> None:
        config = load_config(None)
        engine = open_engine("onnx", "student").engine
        chunks: List[PulseChunk] = []
        explainer = Explainer()
        self.estimates: List[Tuple[float, Estimate]] = []
        self._counts: List[int] = []  # samples there were at each estimate
        self.explained: List[Tuple[Reading, Explanation]] = []

        def on_estimate(time_s: float, estimate: Estimate) -> None:
            explainer.on_estimate(time_s, estimate)
            self.estimates.append((time_s, estimate))
            self._counts.append(sum(len(chunk.bvp) for chunk in chunks))

        detector = open_detector(config.face.detector)
        pipeline = Pipeline(detector, engine, config.pipeline(), chunks.append, on_estimate)
        with open_source(film, config.source.capture) as source:
            for frame in source:
                self._keep(pipeline.push(frame), explainer, pipeline)
        self._keep(pipeline.finish(), explainer, pipeline)
        self.fs_hz = chunks[0].fs_hz
        self.start_s = chunks[0].start_s
        self.bvp = np.concatenate([chunk.bvp for chunk in chunks])

    def _keep(self, reading: Optional[Reading], explainer: Explainer, pipeline: Pipeline) -> None:
        if reading is None:
            return
        pulse = pipeline.pulse
        explanation = explainer.explain(pulse.engine.info.name, reading, pulse.gate_says)
        if explanation is not None:
            self.explained.append((reading, explanation))

    def window(self, number: int) -> Tuple[np.ndarray, np.ndarray]:
        """Times and samples of the window that an estimate was read from."""
        last = self._counts[number]
        first = last - int(round(self.estimates[number][1].window_s * self.fs_hz))
        return self.start_s + np.arange(first, last) / self.fs_hz, self.bvp[first:last]


def figure(plt: Any, height: float) -> Tuple[Any, Any]:
    """A figure as wide as the page, with one plain pair of axes."""
    shape, axes = plt.subplots(figsize=(8.0, height), layout="constrained")
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=9)
    return shape, axes


def draw(clip: Clip, number: int, out: Path) -> None:
    """Write the pictures of the estimate ``number``."""
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    plt.rcParams.update({"svg.hashsalt": "hrd", "svg.fonttype": "path", "font.size": 10})
    end_s, estimate = clip.estimates[number]
    reading, explanation = clip.explained[number]
    time_s, bvp = clip.window(number)

    def save(shape: Any, name: str) -> None:
        shape.savefig(out / f"{name}.svg", metadata={"Date": None})
        plt.close(shape)

    shape, axes = figure(plt, 2.2)
    axes.plot(time_s, bvp, color=BLUE, linewidth=1.3)
    axes.axvspan(time_s[-1] - BEATS_S, time_s[-1], color=BLUE, alpha=0.08, linewidth=0)
    axes.set(xlabel="seconds", ylabel="signal", xlim=(time_s[0], time_s[-1]))
    save(shape, "signal")

    shape, axes = figure(plt, 2.6)
    spectrum = periodogram(bvp, clip.fs_hz)
    score, fundamental = rate_score(spectrum, GRID_BPM)
    axes.plot(GRID_BPM, 100 * fundamental, color=BLUE, linewidth=1.3, label="periodogram")
    axes.plot(
        GRID_BPM,
        100 * score,
        color=ORANGE,
        linewidth=1.3,
        linestyle="--",
        label="with the second harmonic",
    )
    axes.axvline(estimate.bpm, color=GREY, linewidth=0.8, linestyle=":")
    axes.set(xlabel="bpm", ylabel="% of the variance", xlim=(42, 200), ylim=(0, None))
    axes.legend(frameon=False)
    save(shape, "periodogram")

    shape, axes = figure(plt, 2.6)
    likelihoods = []
    longest_s = EstimatorConfig().max_window_s
    for share, colour in zip(WINDOW_SHARES, (GREY, ORANGE, GREEN, BLUE)):
        part = periodogram(bvp[-int(share * longest_s * clip.fs_hz) :], clip.fs_hz)
        likelihoods.append(
            log_likelihood(
                rate_score(part, GRID_BPM)[0], FilterConfig().independent_per_s * part.duration_s
            )
        )
        weight = np.exp(likelihoods[-1] - likelihoods[-1].max())
        label = f"newest {part.duration_s:.0f} s"
        axes.plot(GRID_BPM, weight / weight.sum(), color=colour, linewidth=1.0, label=label)
    together = np.exp(np.logaddexp.reduce(likelihoods) - np.max(likelihoods))
    axes.plot(
        GRID_BPM, together / together.sum(), color="black", linewidth=1.3, linestyle="--",
        label="their mean",
    )  # fmt: skip
    axes.legend(frameon=False)
    axes.set(xlabel="bpm", ylabel="probability", xlim=(42, 120), ylim=(0, None))
    save(shape, "likelihood")

    shape, axes = figure(plt, 2.6)
    band = baseband(bvp, clip.fs_hz, estimate.bpm)
    turns = np.unwrap(np.angle(band.value)) / (2.0 * np.pi)
    beats = turns + estimate.bpm / 60.0 * band.time_s
    at_s = time_s[0] + band.time_s
    axes.plot(at_s, beats - beats[0], color=BLUE, linewidth=1.3)
    axes.axvspan(time_s[-1] - BEATS_S, time_s[-1], color=BLUE, alpha=0.08, linewidth=0)
    axes.set(xlabel="seconds", ylabel="beats so far", xlim=(time_s[0], time_s[-1]))
    axes.grid(axis="y", linewidth=0.4)
    save(shape, "beats")

    shape, axes = figure(plt, 4.2)
    terms = [("start", explanation.start)]
    terms += [(term.feature, term.log_odds) for term in explanation.terms]
    names = [name for name, _ in terms][::-1]
    values = np.array([value for _, value in terms][::-1])
    axes.barh(names, values, color=np.where(values >= 0, GREEN, RED), height=0.7)
    axes.axvline(0.0, color=GREY, linewidth=0.8)
    axes.set(
        xlabel=f"log odds; together {values.sum():+.1f}: confidence {explanation.confidence:.2f}"
    )
    save(shape, "confidence")
    print(f"estimate at {end_s:.1f} s: {estimate.bpm:.1f} bpm, {reading.state.value}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("film", metavar="FILM")
    parser.add_argument("--out", type=Path, default=Path("docs/estimator"))
    parser.add_argument("--at", type=float, metavar="SECONDS", help="which estimate (the last)")
    args = parser.parse_args()
    clip = Clip(args.film)
    if not clip.estimates:
        parser.exit(1, f"{args.film} holds too little signal to draw\n")
    times_s = np.array([time_s for time_s, _ in clip.estimates])
    at_s = times_s[-1] if args.at is None else args.at
    args.out.mkdir(parents=True, exist_ok=True)
    draw(clip, int(np.abs(times_s - at_s).argmin()), args.out)


if __name__ == "__main__":
    main()
