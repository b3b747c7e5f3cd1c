"""Coverage bin by bin, of bright and faint, large and small galaxies."""

from __future__ import annotations

from numbers import Integral
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binned_statistic_dd, binom

from .._sklearn import Interval, StrOptions, validate_params
from ._coverage import _check_levels, _held, _wilson
from ._inputs import check_rows


class ConditionalCoverage(NamedTuple):
    """Coverage per bin, level and target.

    `levels` (n_levels,); `edges`, of the bins in each feature; `n_galaxies` (n_bins, …), an axis per feature;
    `coverage`, its 95 % Wilson interval `low` and `high`, and `bin_p_value`, (n_bins, …, n_levels, n_targets), NaN in
    empty bins; `p_value` (n_levels, n_targets), of all bins together.
    """

    levels: NDArray[np.float64]
    edges: list[NDArray[np.float64]]
    n_galaxies: NDArray[np.intp]
    coverage: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    bin_p_value: NDArray[np.float64]
    p_value: NDArray[np.float64]


@validate_params(
    {
        "by": ["array-like"],
        "levels": ["array-like"],
        "bins": [Interval(Integral, 1, None, closed="left"), "array-like"],
        "kind": [StrOptions({"equal_tailed", "hdi"})],
    },
    prefer_skip_nested_validation=True,
)
def conditional_coverage(posterior, y, by, levels=(0.6827,), *, bins=5, kind="equal_tailed") -> ConditionalCoverage:
    """Share of galaxies whose credible interval holds the truth, in bins of anything known of them.

    Of a calibrated posterior it equals the level in every bin, up to chance. It sees posteriors that are, target by
    target, too wide, too narrow or off for some galaxies only, such as the bright ones, though errors may cancel over
    all. It does not see wrong correlations between targets.

    Bin by what can be known without the truth: measurements, or a function of the posterior, such as its mean or
    width. In bins of the truth even a right posterior does not cover at its level: in the bin of the largest galaxies
    are those whose sizes it takes to be smaller, as it should.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    posterior : Posterior or array-like of shape (n_galaxies, n_draws, n_targets)
        Rows that are missing cutouts (NaN) are left out.
    y : array-like or table of shape (n_galaxies, n_targets) or (n_galaxies,)
        True values, physical units. Columns of a table are found by the targets' names, and converted to their units.
    by : array-like of shape (n_galaxies,) or (n_galaxies, n_features)
        What to bin by; finite, but for missing cutouts.
    levels : array-like of shape (n_levels,), default=(0.6827,)
        Probabilities of the intervals, between 0 and 1.
    bins : int or array-like, default=5
        How many bins of about as many galaxies each, or increasing edges. An edge belongs to the bin above it, but
        the last. Of several features: one number of bins for all, or a list with a number or edges for each. Galaxies
        outside all bins are left out.
    kind : {"equal_tailed", "hdi"}, default="equal_tailed"
        Intervals with the same probability on either side, or the narrowest ones.

    Returns
    -------
    ConditionalCoverage
        Named tuple of `levels`, `edges`, `n_galaxies`, `coverage`, `low`, `high`, `bin_p_value` and `p_value`. The
        last is the smallest of the bins', made larger for their number.

    Raises
    ------
    ValueError
        If shapes disagree, `y` or `by` is not finite, edges do not increase, no galaxy is inside the bins, a level is
        not between 0 and 1, draws of a galaxy are not finite in part, or every row is missing.

    Notes
    -----
    The p-value of a bin is that of the two-sided exact binomial test, twice the smaller tail. Of B bins with the
    smallest p, it is 1 - (1 - p)^B (Šidák 1967, JASA 62, 626). Both err on the side of a right posterior.

    Examples
    --------
    Too narrow for bright galaxies and too wide for faint ones, which cancels over all:

    >>> import numpy as np
    >>> from galestim.calibration import conditional_coverage, coverage
    >>> from galestim.posteriors import MixturePosterior
    >>> rng = np.random.default_rng(0)
    >>> y, magnitude = rng.normal(size=1000), rng.uniform(18, 22, size=1000)
    >>> width = np.where(magnitude < 20, 0.65, 1.85)
    >>> posterior = MixturePosterior(np.zeros((1000, 1, 1)), width[:, None, None, None])
    >>> coverage(posterior, y, levels=[0.6827]).coverage.round(2)
    array([[0.71]])
    >>> found = conditional_coverage(posterior, y, magnitude, bins=[18, 19, 20, 21, 22])
    >>> found.n_galaxies, found.coverage.ravel().round(2)
    (array([274, 259, 219, 248]), array([0.52, 0.49, 0.95, 0.95]))
    >>> found.p_value < 0.001
    array([[ True]])
    """
    levels = _check_levels(levels)
    held, kept = _held(posterior, y, levels, kind)
    features = check_rows(by, kept, "by")
    edges = _checked_edges(bins, features)
    n_galaxies = binned_statistic_dd(features, None, "count", bins=edges).statistic
    flat = binned_statistic_dd(features, held.reshape(len(held), -1).T.astype(float), "sum", bins=edges).statistic
    if not n_galaxies.any():
        low, high = features.min(axis=0).tolist(), features.max(axis=0).tolist()
        raise ValueError(f"No galaxy is inside the bins; expected edges around some, which go from {low} to {high}.")
    n_held = np.moveaxis(flat, 0, -1).reshape(*n_galaxies.shape, *held.shape[1:])
    measured = _measured(n_held, np.broadcast_to(n_galaxies[..., None, None], n_held.shape), levels[:, None])
    return ConditionalCoverage(levels, edges, n_galaxies.astype(np.intp), *measured)


def _checked_edges(bins, features: NDArray) -> list[NDArray[np.float64]]:
    """Edges of the bins of each feature."""
    n_features = features.shape[1]
    if isinstance(bins, Integral) or (n_features == 1 and np.ndim(bins[0]) == 0):
        bins = [bins] * n_features
    if len(bins) != n_features:
        raise ValueError(f"bins has {len(bins)} entries; expected an int, or for each of {n_features} features one.")
    return [_edges(column, asked) for column, asked in zip(features.T, bins)]


def _edges(column: NDArray, asked) -> NDArray[np.float64]:
    """Edges of bins of one feature: those `asked` for, or of so many bins of as many galaxies each."""
    if isinstance(asked, Integral):
        edges = np.unique(np.quantile(column, np.linspace(0, 1, int(asked) + 1)))  # fewer bins where values repeat
        return edges if len(edges) > 1 else edges[0] + np.arange(2.0)
    edges = np.asarray(asked, dtype=np.float64)
    if edges.ndim != 1 or len(edges) < 2 or not (np.diff(edges) > 0).all():
        raise ValueError(f"bins={edges.tolist()}; expected at least two increasing edges.")
    return edges


def _measured(n_held: NDArray, n: NDArray, levels: NDArray) -> tuple:
    """Coverage, its interval and p-value per bin, and the p-value of all bins."""
    full = n > 0
    share, low, high, p = (np.full(n.shape, np.nan) for _ in range(4))
    share[full] = n_held[full] / n[full]
    low[full], high[full] = _wilson(share[full], n[full])
    level = np.broadcast_to(levels, n.shape)[full]
    tail = np.minimum(binom.cdf(n_held[full], n[full], level), binom.sf(n_held[full] - 1, n[full], level))
    p[full] = np.minimum(1, 2 * tail)
    bins = tuple(range(n.ndim - 2))
    together = -np.expm1(full.sum(axis=bins) * np.log1p(-np.minimum(np.nanmin(p, axis=bins), 1 - 1e-16)))
    return share, low, high, p, together
