"""Statistics of predictions against truths: binned means, correlations with intervals, errors."""

from __future__ import annotations

from numbers import Integral, Real
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc
from sklearn.utils import check_random_state

from .._sklearn import Interval, StrOptions, validate_params

MIN_PER_BIN = 5
"""A mean and a spread of fewer galaxies than this say nothing."""

_CHUNK = 2**19  # resampled values held at a time: 4 MB per array, which a cache can hold


class Correlation(NamedTuple):
    """A correlation coefficient, its confidence interval and its p-value; NaN where a variable is constant."""

    value: float
    low: float
    high: float
    p_value: float


class BinnedMeans(NamedTuple):
    """In each bin of x: mean of x, mean and standard deviation of y, number of points; of shape (n_bins,)."""

    center: NDArray[np.float64]
    mean: NDArray[np.float64]
    std: NDArray[np.float64]
    n_points: NDArray[np.int64]


@validate_params(
    {"n_bins": [Interval(Integral, 1, None, closed="left")], "bin_strategy": [StrOptions({"quantile", "uniform"})]},
    prefer_skip_nested_validation=True,
)
def binned_means(x, y, *, n_bins=10, bin_strategy="quantile") -> BinnedMeans:
    """Mean and standard deviation of `y` in bins of `x`, of equal count or equal width.

    There are never so many bins that they hold fewer than five points on average, empty ones are left out, and equal
    values of `x` share one. The standard deviation is that of the points, divided by n.
    """
    n_bins = max(1, min(n_bins, len(x) // MIN_PER_BIN))
    fractions = np.linspace(0, 1, n_bins + 1)
    edges = np.quantile(x, fractions) if bin_strategy == "quantile" else x.min() + fractions * np.ptp(x)
    bin_of = np.clip(np.searchsorted(edges, x, side="right") - 1, 0, n_bins - 1)
    _, bin_of, count = np.unique(bin_of, return_inverse=True, return_counts=True)
    units = [np.abs(values).max() or 1.0 for values in (x, y)]  # sums and squares of huge values overflow
    center, mean = (unit * (np.bincount(bin_of, v / unit) / count) for v, unit in zip((x, y), units))
    variance = np.bincount(bin_of, ((y - mean[bin_of]) / units[1]) ** 2) / count
    return BinnedMeans(center, mean, units[1] * np.sqrt(variance), count)


@validate_params(
    {
        "n_bootstrap": [Interval(Integral, 1, None, closed="left")],
        "confidence_level": [Interval(Real, 0, 1, closed="neither")],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def bootstrap_correlations(
    x, y, *, n_bootstrap=1000, confidence_level=0.95, random_state=None
) -> tuple[Correlation, Correlation]:
    """Pearson and Spearman correlation of `x` and `y` (n,) with percentile intervals over resampled pairs [1]_.

    A resample is a vector of counts, so that the ranks within it are cumulative sums over one sort of the data, and
    no resample is sorted again. Both coefficients see the same ones. p-values are as in `p_value`.

    References
    ----------
    .. [1] Efron & Tibshirani 1993, An Introduction to the Bootstrap, section 13.3.
    """
    rng = check_random_state(random_state)
    once = np.ones((1, len(x)))
    values = [pearson(x, y, once)[0], spearman(x, y, once)[0]]
    chunk = max(1, _CHUNK // len(x))
    resampled: list[NDArray] = []
    for start in range(0, n_bootstrap, chunk):
        counts = resample_counts(len(x), min(chunk, n_bootstrap - start), rng)
        resampled.append(np.stack([pearson(x, y, counts), spearman(x, y, counts)]))
    tail = (1 - confidence_level) / 2
    first, second = (
        Correlation(float(value), *_finite_quantiles(row, [tail, 1 - tail]), p_value(float(value), len(x)))
        for value, row in zip(values, np.concatenate(resampled, axis=1))
    )
    return first, second


def p_value(r: float, n: int) -> float:
    """Probability of a correlation of `n` independent pairs that is `r` or stronger, of either sign.

    Student's t test with n - 2 degrees of freedom: exact for Gaussian values, and close for ranks of 10 or more.
    In terms of r it is an incomplete beta function (Student 1908, Biometrika 6, 302).
    """
    half = n / 2 - 1
    return float(2 * betainc(half, half, (1 - min(abs(r), 1.0)) / 2)) if half > 0 else np.nan


def resample_counts(n: int, n_resamples: int, rng: np.random.RandomState) -> NDArray[np.float64]:
    """Counts of `n` points in each resample, of shape (n_resamples, n)."""
    drawn = rng.randint(n, size=(n_resamples, n)) + n * np.arange(n_resamples)[:, None]
    return np.bincount(drawn.ravel(), minlength=n * n_resamples).reshape(n_resamples, n).astype(np.float64)


def pearson(x: NDArray, y: NDArray, counts: NDArray) -> NDArray[np.float64]:
    """Pearson correlation of `x` and `y`, (n,) or (m, n), in each resample of `counts` (m, n); or NaN."""
    dx, dy = _deviations(x, counts), _deviations(y, counts)
    covariance = np.sum(counts * dx * dy, axis=1)
    scale = np.sqrt(np.sum(counts * dx**2, axis=1) * np.sum(counts * dy**2, axis=1))
    with np.errstate(invalid="ignore"):
        # deviations are of order one, so what is left of a constant is rounding
        return np.where(scale > 1e-14 * counts.sum(axis=1), covariance / np.maximum(scale, 1e-300), np.nan)


def spearman(x: NDArray, y: NDArray, counts: NDArray) -> NDArray[np.float64]:
    """Spearman correlation of each resample in `counts` (m, n): the Pearson correlation of its midranks."""
    return pearson(midranks(x, counts), midranks(y, counts), counts)


def midranks(values: NDArray, counts: NDArray) -> NDArray[np.float64]:
    """Rank of each of `values` (n,) within each resample in `counts` (m, n), ties sharing their mean rank."""
    order = np.argsort(values, kind="stable")
    is_new = np.diff(values[order], prepend=np.nan) != 0
    tied = np.add.reduceat(counts[:, order], np.flatnonzero(is_new), axis=1)
    ranks = np.cumsum(tied, axis=1) - (tied - 1) / 2
    group_of = np.empty(len(values), dtype=np.intp)
    group_of[order] = np.cumsum(is_new) - 1
    return ranks[:, group_of]


def root_mean_squared_error(x: NDArray, y: NDArray) -> float:
    """Square root of the mean of (x - y)², in the units of `x`."""
    unit = max(np.abs(x).max(), np.abs(y).max()) or 1.0  # squares of huge values overflow
    return float(unit * np.sqrt(np.mean((x / unit - y / unit) ** 2)))


def _deviations(x: NDArray, counts: NDArray) -> NDArray[np.float64]:
    """`x` less its mean in each resample, in units of the range of `x`; the shift first keeps the digits."""
    x = (x - x.flat[0]) / (np.ptp(x) or 1.0)
    mean = np.sum(counts * x, axis=1, keepdims=True) / counts.sum(axis=1, keepdims=True)
    return x - mean


def _finite_quantiles(values: NDArray, levels: list[float]) -> tuple[float, float]:
    finite = values[np.isfinite(values)]  # a resample of one repeated galaxy has no correlation
    low, high = np.quantile(finite, levels) if len(finite) else (np.nan, np.nan)
    return float(low), float(high)
