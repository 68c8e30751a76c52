"""Following the heart rate through successive spectra: a causal Bayes filter on a bpm grid.

Every update brings spectra of several lengths of the newest signal. A long one separates a steady
pulse from noise best; a short one follows a rate that runs. Which of them the heart is like just
now is not known: each is a model, all are as likely beforehand, and the likelihood of a rate is
their mean.

A smoother fed with wrong peaks smooths wrong peaks. Here every rate keeps its probability from
one update to the next (the forward pass of a hidden Markov model whose states are the rates), so
that one bad window can't drag the reading away, and a wrong start is left when the data speak
against it.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Optional, Sequence

import numpy as np

from hrd.estimate.spectrum import MAX_BPM, MIN_BPM, Spectrum, rate_score
from hrd.types import NEAR_BPM

_STEP_BPM = 0.5
GRID_BPM = np.arange(MIN_BPM, MAX_BPM + 0.5 * _STEP_BPM, _STEP_BPM)
_NEAR_STEPS = int(NEAR_BPM / _STEP_BPM)

_USUAL_BPM, _USUAL_SPREAD = 78.0, 0.45


def _prior() -> np.ndarray:
    """Rates of people before a camera, before anything is measured: log-normal, and wide enough
    that a second or two of clear signal overrules it (at 45 and 180 bpm a third of the density at
    60). It decides between a heart and the slow drift of a weak signal."""
    weight = np.exp(-0.5 * (np.log(GRID_BPM / _USUAL_BPM) / _USUAL_SPREAD) ** 2)
    return weight / weight.sum()


PRIOR = _prior()


@dataclass(frozen=True)
class FilterConfig:
    """How the filter weighs spectra."""

    drift_bpm_per_sqrt_s: float = 3.0
    """Standard deviation of the rate's walk over one second."""
    jump_probability: float = 0.02
    """Chance per second that the past says nothing: new data can always overrule it."""
    memory: float = 0.8
    """Weight of the past's log probability: successive windows overlap, so it is not all news."""
    independent_per_s: float = 3.0
    """Independent samples per second of band-passed signal that the likelihood counts."""


@dataclass(frozen=True)
class FilteredRate:
    """``bpm``: mean of the rates round the most probable one. ``posterior``: probability, by the
    filter's own lights, that the rate is within NEAR_BPM of it."""

    bpm: float
    posterior: float


class HeartRateFilter:
    """``update`` with each new spectrum; the rate's probability is carried along."""

    def __init__(self, config: Optional[FilterConfig] = None) -> None:
        self._config = config or FilterConfig()
        self.reset()

    def reset(self) -> None:
        """Back to what is known before any signal."""
        self._probability = PRIOR
        self._fresh = True

    def update(self, spectra: Sequence[Spectrum], step_s: float) -> FilteredRate:
        """Weigh spectra of one moment (at least one), ``step_s`` >= 0 seconds after the ones
        before."""
        independent_per_s = self._config.independent_per_s
        likelihoods = [
            log_likelihood(rate_score(one, GRID_BPM)[0], independent_per_s * one.duration_s)
            for one in spectra
        ]
        likelihood = functools.reduce(np.logaddexp, likelihoods)
        before = self._probability if self._fresh else self._predict(step_s)
        log_posterior = likelihood + np.log(before)
        weight = np.exp(log_posterior - log_posterior.max())
        self._probability = weight / weight.sum()
        self._fresh = False

        best = int(np.argmax(_window_sum(self._probability)))
        near = slice(max(0, best - _NEAR_STEPS), best + _NEAR_STEPS + 1)
        posterior = float(self._probability[near].sum())
        bpm = float(self._probability[near] @ GRID_BPM[near]) / posterior
        return FilteredRate(bpm, posterior)

    def _predict(self, step_s: float) -> np.ndarray:
        """The rates' probabilities before the new spectrum is seen."""
        config = self._config
        past = self._probability**config.memory
        past /= past.sum()
        sigma = config.drift_bpm_per_sqrt_s * math.sqrt(max(step_s, 1e-3))
        walked = np.convolve(past, _walk(round(sigma, 4)), mode="same")
        jump = min(1.0, config.jump_probability * step_s)
        return (1.0 - jump) * walked + jump * PRIOR


@functools.lru_cache(maxsize=16)
def _walk(sigma_bpm: float) -> np.ndarray:
    """Where a rate has walked to, in steps of the grid."""
    reach = int(np.ceil(4.0 * sigma_bpm / _STEP_BPM))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) * _STEP_BPM / sigma_bpm) ** 2)
    return kernel / kernel.sum()


def log_likelihood(score: np.ndarray, degrees: float) -> np.ndarray:
    """Of sinusoids that explain ``score`` (K,) of the variance, in noise of unknown level, with so
    many independent samples (Bretthorst 1988, Student-t form); up to a constant."""
    return -0.5 * degrees * np.log(np.maximum(1.0 - score, 1e-3))


def _window_sum(probability: np.ndarray) -> np.ndarray:
    """Probability within +-1 bpm of each grid point: of a whole peak, not of its sharpest point."""
    return np.convolve(probability, np.ones(5), mode="same")
