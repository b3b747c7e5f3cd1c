"""Coverage of credible intervals: the share that holds the truth, the most direct test of an uncertainty."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from astropy.stats import binom_conf_interval
from numpy.typing import NDArray

from .._sklearn import StrOptions, check_sample_weight, validate_params
from ..posteriors import Posterior, warn_beyond
from ._inputs import check_posterior, check_targets, known_rows

_LEVELS = np.arange(1, 20) / 20
_OPTIONS: dict = {
    "levels": ["array-like", None],
    "kind": [StrOptions({"equal_tailed", "hdi"})],
    "sample_weight": ["array-like", None],
}


class Coverage(NamedTuple):
    """Found coverage and its 95 % Wilson interval per level and target, of shape (n_levels, n_targets)."""

    levels: NDArray[np.float64]
    coverage: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


@validate_params(_OPTIONS, prefer_skip_nested_validation=True)
def coverage(posterior, y, levels=(0.6827, 0.9545, 0.9973), *, kind="equal_tailed") -> Coverage:
    """Share of galaxies whose credible interval of each level holds the truth.

    Of a calibrated posterior it equals the level, up to chance. Below, the intervals are too narrow (or off);
    above, they are too wide.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    posterior : Posterior or array-like of shape (n_galaxies, n_draws, n_targets)
        Rows that are missing cutouts (NaN) are left out.
    y : array-like or table of shape (n_galaxies, n_targets) or (n_galaxies,)
        True values, physical units. Columns of a table are found by the targets' names, and converted to their units.
    levels : array-like of shape (n_levels,), default=(0.6827, 0.9545, 0.9973)
        Probabilities of the intervals, between 0 and 1; by default those of 1, 2 and 3 σ.
    kind : {"equal_tailed", "hdi"}, default="equal_tailed"
        Intervals with the same probability on either side, or the narrowest ones.

    Returns
    -------
    Coverage
        Named tuple of `levels` (n_levels,), and of `coverage`, `low` and `high` (n_levels, n_targets). The last
        two bound the coverage that an endless sample would show: the Wilson interval [1]_ of 95 %, which is
        sound for few galaxies and near 0 and 1.

    Raises
    ------
    ValueError
        If shapes disagree, `y` is not finite, a level is not between 0 and 1, draws of a galaxy are not finite in
        part, or every row is missing.

    Notes
    -----
    The narrowest interval of few draws is too narrow, as it is the best of many. At a level of 0.5 it covers about
    0.04 too little with 200 draws and 0.02 with 1000; equal-tailed intervals have no such bias.

    References
    ----------
    .. [1] Brown, Cai & DasGupta 2001, Statistical Science 16, 101: Interval Estimation for a Binomial Proportion,
       equation 4.

    Examples
    --------
    >>> import numpy as np
    >>> from galestim.calibration import coverage
    >>> from galestim.posteriors import MixturePosterior
    >>> y = np.random.default_rng(0).normal(size=(2000, 1))
    >>> honest, bold = (MixturePosterior(np.zeros((2000, 1, 1)), np.full((2000, 1, 1, 1), s)) for s in (1.0, 0.5))
    >>> coverage(honest, y, levels=[0.5, 0.9]).coverage.ravel().round(2)
    array([0.5, 0.9])
    >>> coverage(bold, y, levels=[0.5, 0.9]).coverage.ravel().round(2)
    array([0.26, 0.59])
    """
    levels = _check_levels(levels)
    held, _ = _held(posterior, y, levels, kind)
    found = held.mean(axis=0)
    return Coverage(levels, found, *_wilson(found, len(held)))


@validate_params(_OPTIONS, prefer_skip_nested_validation=True)
def coverage_error(posterior, y, levels=None, *, kind="equal_tailed", sample_weight=None) -> float:
    """Mean absolute difference between the nominal and the found coverage, over levels and targets.

    0 is best. Calibrated posteriors of n galaxies score about 0.33/√n by chance alone. Coverage does not see how
    wide the intervals are, so compare a proper score (:func:`log_score`, :func:`crps`) as well.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    posterior : Posterior or array-like of shape (n_galaxies, n_draws, n_targets)
        Rows that are missing cutouts (NaN) are left out.
    y : array-like or table of shape (n_galaxies, n_targets) or (n_galaxies,)
        True values, physical units. Columns of a table are found by the targets' names, and converted to their units.
    levels : array-like of shape (n_levels,), default=None
        Probabilities of the intervals. None: 0.05, 0.10, …, 0.95.
    kind : {"equal_tailed", "hdi"}, default="equal_tailed"
        Intervals with the same probability on either side, or the narrowest ones.
    sample_weight : array-like of shape (n_galaxies,), default=None
        How much each galaxy counts. None: all the same.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        As :func:`coverage` does.

    Examples
    --------
    >>> import numpy as np
    >>> from galestim.calibration import coverage_error
    >>> rng = np.random.default_rng(0)
    >>> y, draws = rng.normal(size=2000), rng.normal(size=(2000, 100, 1))
    >>> round(coverage_error(draws, y), 2), round(coverage_error(draws / 2, y), 2)
    (0.01, 0.22)
    """
    levels = _check_levels(_LEVELS if levels is None else levels)
    held, kept = _held(posterior, y, levels, kind)
    weight = check_sample_weight(sample_weight, kept)[kept]
    found = np.average(held, axis=0, weights=weight)
    return float(np.abs(found - levels[:, None]).mean())


def _check_levels(levels) -> NDArray[np.float64]:
    levels = np.atleast_1d(np.asarray(levels, dtype=np.float64))
    if levels.ndim != 1 or not np.all((levels > 0) & (levels < 1)):
        raise ValueError(f"levels={levels.tolist()}; expected probabilities between 0 and 1, such as 0.6827.")
    return levels


def _held(posterior, y, levels: NDArray, kind: str) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Masks of the intervals that hold the truth ``(n_kept, n_levels, k)``, and of the rows kept ``(n,)``."""
    posterior = check_posterior(posterior)
    y = check_targets(y, posterior)
    kept = known_rows(posterior)
    posterior, y = posterior[kept], y[kept]
    inside = _in_equal_tailed if kind == "equal_tailed" else _in_narrowest
    return np.stack(list(inside(posterior, y, levels)), axis=1), kept


def _in_equal_tailed(posterior: Posterior, y: NDArray, levels: NDArray):
    # y is in the interval between two quantiles when its own probability is: one cdf serves all levels.
    warn_beyond(posterior._tails, posterior.target_names, levels.tolist(), stacklevel=5)
    known = [1.0 if tails is None else 1 - 2 * tails.share * (1 - 1e-9) for tails in posterior._tails]
    distance = np.minimum(np.abs(2 * posterior.cdf(y) - 1), known)
    return (distance <= level for level in levels)


def _in_narrowest(posterior: Posterior, y: NDArray, levels: NDArray):
    intervals = (posterior.credible_interval(level, kind="hdi") for level in levels)
    return ((interval[..., 0] <= y) & (y <= interval[..., 1]) for interval in intervals)


def _wilson(share: NDArray, n: int | NDArray) -> tuple[NDArray, NDArray]:
    """95 % Wilson interval of a `share` of each `n`."""
    low, high = binom_conf_interval(np.rint(share * n), n, confidence_level=0.95, interval="wilson")
    return low, high
