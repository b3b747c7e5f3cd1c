"""Probability integral transform, the place of each truth in its posterior, and a test that it is uniform."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_random_state, gen_batches

from .._sklearn import validate_params
from ..posteriors import DrawsPosterior
from ._inputs import CONFIDENCE, check_posterior, check_targets, known_rows
from ._uniformity import Uniformity, uniformity

_CHUNK = 2**21  # draws compared at a time


@validate_params({"random_state": ["random_state"]}, prefer_skip_nested_validation=True)
def pit(posterior, y, *, random_state=0) -> NDArray[np.float64]:
    """Probability integral transform: the probability that each posterior gives to values below the truth.

    Uniform between 0 and 1 for calibrated posteriors. A histogram like a cup: posteriors are too narrow; like a cap:
    too wide; a slope: truths are higher, or lower, than they say.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    posterior : Posterior or array-like of shape (n_galaxies, n_draws, n_targets)
        Rows may be missing cutouts (NaN).
    y : array-like or table of shape (n_galaxies, n_targets) or (n_galaxies,)
        True values, physical units. Columns of a table are found by the targets' names, and converted to their units.
    random_state : int, RandomState instance or None, default=0
        Where between two draws, or among equal ones, a truth lies. Of no effect on a MixturePosterior.

    Returns
    -------
    ndarray of shape (n_galaxies, n_targets)
        NaN for missing cutouts.

    Raises
    ------
    ValueError
        If shapes disagree, `y` is not finite, draws of a galaxy are not finite in part, or every row is missing.

    Notes
    -----
    Exact for a mixture [1]_. Of n draws with r below a truth and t equal to it, it is (r + V(t + 1)) / (n + 1) with V
    uniform, which is uniform for any n if truth and draws come from one distribution. Weighted draws count by their
    weights, as :math:`1 / Σ w^2` draws.

    References
    ----------
    .. [1] Dawid 1984, JRSS A 147, 278: Statistical Theory: The Prequential Approach.

    Examples
    --------
    >>> import numpy as np
    >>> from galestim.calibration import pit
    >>> from galestim.posteriors import MixturePosterior
    >>> posterior = MixturePosterior(means=np.zeros((3, 1, 1)), scale_trils=np.ones((3, 1, 1, 1)))
    >>> pit(posterior, [-1.0, 0.0, 2.0]).ravel().round(3)
    array([0.159, 0.5  , 0.977])
    """
    posterior = check_posterior(posterior)
    y = check_targets(y, posterior)
    known_rows(posterior)  # an error if one is unknown in part
    if not isinstance(posterior, DrawsPosterior):
        return posterior.cdf(y)
    place = check_random_state(random_state).uniform(size=y.shape)
    values = np.empty_like(y)
    for rows in gen_batches(len(y), max(1, _CHUNK // posterior.draws[0].size)):
        values[rows] = _among_draws(posterior.draws[rows], posterior.weights[rows], y[rows], place[rows])
    return values


@validate_params({"confidence": CONFIDENCE, "random_state": ["random_state"]}, prefer_skip_nested_validation=True)
def pit_uniformity(posterior, y, *, confidence=0.95, random_state=0) -> Uniformity:
    """Whether the :func:`pit` of each target is uniform, as calibrated posteriors make it.

    It sees posteriors that are, target by target, too wide, too narrow or biased. It does not see wrong correlations
    between targets, nor errors that cancel between galaxies.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    posterior : Posterior or array-like of shape (n_galaxies, n_draws, n_targets)
        Rows that are missing cutouts (NaN) are left out.
    y : array-like or table of shape (n_galaxies, n_targets) or (n_galaxies,)
        True values, physical units. Columns of a table are found by the targets' names, and converted to their units.
    confidence : float, default=0.95
        Share of calibrated posteriors whose distribution of values stays within the band at all levels at once.
    random_state : int, RandomState instance or None, default=0
        As for :func:`pit`.

    Returns
    -------
    Uniformity
        Named tuple of `levels` (99,); `ecdf` (99, n_targets), the share of values up to each level; `low` and `high`
        (99,), the simultaneous band around the levels; and `statistic` and `p_value` of Kolmogorov and Smirnov and
        `band_p_value`, (n_targets,). The last is below 1 - `confidence` when `ecdf` leaves the band; the band is the
        better of the two at seeing wrong tails.

    Raises
    ------
    ValueError
        As :func:`pit` does.

    Notes
    -----
    The band is that of Säilynoja, Bürkner & Vehtari [1]_: at each level the same probability of a
    binomial count, chosen such that all counts are inside with probability `confidence`. This probability is exact
    here: counts of uniform values are those of a Poisson process, given its total.

    References
    ----------
    .. [1] Säilynoja, Bürkner & Vehtari 2022, Statistics and Computing 32, 32: Graphical test for discrete uniformity
       and its applications in goodness-of-fit evaluation and multiple sample comparison.

    Examples
    --------
    >>> import numpy as np
    >>> from galestim.calibration import pit_uniformity
    >>> from galestim.posteriors import MixturePosterior
    >>> y = np.random.default_rng(0).normal(size=(500, 2))
    >>> widths = np.diag([1.0, 0.7])  # the second target's are too narrow
    >>> test = pit_uniformity(MixturePosterior(np.zeros((500, 1, 2)), np.tile(widths, (500, 1, 1, 1))), y)
    >>> test.p_value > 0.05
    array([ True, False])
    >>> ((test.low[:, None] <= test.ecdf) & (test.ecdf <= test.high[:, None])).all(axis=0)
    array([ True, False])
    """
    values = pit(posterior, y, random_state=random_state)
    return uniformity(values[~np.isnan(values[:, 0])], confidence)


def _among_draws(draws: NDArray, weights: NDArray, y: NDArray, place: NDArray) -> NDArray[np.float64]:
    """Probability below `y` ``(n, k)`` in a posterior known by weighted draws ``(n, s, k)``; `place` is uniform."""
    below, equal = (
        np.einsum("ns,nsk->nk", weights, compare(draws, y[:, None]).astype(float)) for compare in (np.less, np.equal)
    )
    size = 1 / (weights**2).sum(axis=1, keepdims=True)
    return (size * below + place * (size * equal + 1)) / (size + 1)
