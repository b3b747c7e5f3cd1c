"""Test of uniformity of numbers, one behind PIT, ranks and TARP."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.signal import fftconvolve
from scipy.stats import binom, kstest, poisson

_LEVELS = np.arange(1, 100) / 100
_N_HALVINGS = 30
_LARGE = 10**5  # values, from which on Fourier transforms are faster


class Uniformity(NamedTuple):
    """Share of values up to each level, the band that calibrated posteriors stay in, and two tests.

    `levels`, `low` and `high` are (99,), at 0.01, 0.02, …, 0.99; `ecdf` is (99, n_targets), and `statistic`,
    `p_value` and `band_p_value` are (n_targets,), or (99,) and floats if there is one value per galaxy. `statistic`
    and `p_value` are those of Kolmogorov and Smirnov; `band_p_value` is the probability that calibrated posteriors
    come as close to the edges of such a band, or leave it as far.
    """

    levels: NDArray[np.float64]
    ecdf: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    statistic: NDArray[np.float64] | float
    p_value: NDArray[np.float64] | float
    band_p_value: NDArray[np.float64] | float


def uniformity(values: NDArray, confidence: float) -> Uniformity:
    """Test of finite `values` ``(n, k)`` or ``(n,)``, independent from galaxy to galaxy."""
    n = len(values)
    counts = np.array([np.searchsorted(np.sort(column), _LEVELS, side="right") for column in values.reshape(n, -1).T])
    tests = [kstest(column, "uniform") for column in values.reshape(n, -1).T]
    ecdf = (counts / n).T
    statistic, p_value = (np.array([getattr(test, name) for test in tests]) for name in ("statistic", "pvalue"))
    band_p_value = np.array([_band_p_value(count, n) for count in counts])
    low, high = (edge / n for edge in _band(n, confidence))
    if values.ndim == 1:
        numbers = statistic.item(), p_value.item(), band_p_value.item()
        return Uniformity(_LEVELS.copy(), ecdf[:, 0], low, high, *numbers)
    return Uniformity(_LEVELS.copy(), ecdf, low, high, statistic, p_value, band_p_value)


@lru_cache(maxsize=32)
def _band(n: int, confidence: float) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Lowest and highest counts of the simultaneous band: the narrowest of those that hold `confidence`."""
    low, high = np.log((1 - confidence) / len(_LEVELS)), 0.0  # by Bonferroni, the band of `low` is wide enough
    for _ in range(_N_HALVINGS):
        middle = (low + high) / 2
        wide_enough = _inside_probability(n, *_pointwise(n, np.exp(middle))) >= confidence
        low, high = (middle, high) if wide_enough else (low, middle)
    return _pointwise(n, np.exp(low))


def _band_p_value(counts: NDArray, n: int) -> float:
    """Probability that uniform values come to a count as unlikely by itself as the least likely of `counts`."""
    tails = 2 * np.minimum(binom.cdf(counts, n, _LEVELS), binom.sf(counts - 1, n, _LEVELS))
    return float(np.clip(1 - _inside_probability(n, *_pointwise(n, tails.min() * (1 + 1e-9))), 0, 1))


def _pointwise(n: int, gamma: float) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Lowest and highest counts at each level that have at least `gamma` / 2 of probability on either side."""
    low = binom.ppf(min(gamma, 1) / 2, n, _LEVELS)
    high = n - binom.ppf(min(gamma, 1) / 2, n, 1 - _LEVELS)
    return low.astype(np.intp), high.astype(np.intp)


def _inside_probability(n: int, low: NDArray, high: NDArray) -> float:
    """Probability that the counts of `n` uniform values stay within `low` and `high` at all levels.

    They are those of a Poisson process with a total of n, whose steps from level to level are independent.
    """
    if (low > high).any():
        return 0.0
    convolve = np.convolve if n < _LARGE else fftconvolve
    chain, start = np.ones(1), 0  # probability of each count from `start` on
    for first, last in zip(low, high):
        chain, start = convolve(chain, _steps(n))[first - start : last - start + 1], first
    rest = poisson.pmf(n - start - np.arange(len(chain)), n * (1 - _LEVELS[-1]))
    return float(chain @ rest / poisson.pmf(n, n))


@lru_cache(maxsize=32)
def _steps(n: int) -> NDArray[np.float64]:
    """Probability of each number of values between two levels, to far beyond where it matters."""
    rate = n * _LEVELS[0]
    return poisson.pmf(np.arange(int(rate + 12 * np.sqrt(rate)) + 30), rate)
