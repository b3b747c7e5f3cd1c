"""Simulation-based calibration: the rank of each truth among draws, of targets and of anything made of them."""

from __future__ import annotations

from numbers import Integral

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_random_state

from .._sklearn import Interval, validate_params
from ._inputs import CONFIDENCE, check_posterior, check_targets, draw_chunks, known_rows
from ._uniformity import Uniformity, uniformity

_OPTIONS: dict = {
    "quantity": [callable, None],
    "n_samples": [Interval(Integral, 2, None, closed="left")],
    "random_state": ["random_state"],
}


@validate_params(_OPTIONS, prefer_skip_nested_validation=True)
def sbc_ranks(posterior, y, *, quantity=None, n_samples=200, random_state=0) -> NDArray[np.float64]:
    """How many draws of each posterior are below the truth; of calibrated ones every number is as likely.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    posterior : Posterior or array-like of shape (n_galaxies, n_draws, n_targets)
        Rows may be missing cutouts (NaN). Given draws are used as they are, unless they carry weights; they should
        be independent, so thin a Markov chain first.
    y : array-like or table of shape (n_galaxies, n_targets) or (n_galaxies,)
        True values, physical units. Columns of a table are found by the targets' names, and converted to their units.
    quantity : callable, default=None
        What to rank: given values (m, n_targets) in physical units, it returns (m,) or (m, q), such as
        ``lambda v: v[:, 0] * v[:, 1]``. A product sees wrong correlations that single targets do not. None: the
        targets.
    n_samples : int, default=200
        Number of draws per galaxy, at least 2, where draws are needed.
    random_state : int, RandomState instance or None, default=0
        Determines the draws, and the rank of a truth among draws equal to it.

    Returns
    -------
    ndarray of shape (n_galaxies, n_quantities)
        From 0 to the number of draws, whole numbers; NaN for missing cutouts.

    Raises
    ------
    ValueError
        If shapes disagree, `y` is not finite, draws of a galaxy are not finite in part, `quantity` returns another
        shape, or every row is missing.

    Notes
    -----
    The ranks of Talts et al. [1]_, with the test quantities of Modrák et al. [2]_.

    References
    ----------
    .. [1] Talts, Betancourt, Simpson, Vehtari & Gelman 2018, arXiv:1804.06788: Validating Bayesian Inference
       Algorithms with Simulation-Based Calibration.
    .. [2] Modrák et al. 2025, Bayesian Analysis, arXiv:2211.02383: Simulation-Based Calibration Checking for Bayesian
       Computation: The Choice of Test Quantities Shapes Sensitivity.

    Examples
    --------
    >>> import numpy as np
    >>> from galestim.calibration import sbc_ranks
    >>> draws = np.arange(8.0).reshape(1, 4, 2)  # one galaxy: 0, 2, 4, 6 and 1, 3, 5, 7
    >>> sbc_ranks(draws, [[2.5, 0.5]])
    array([[2., 0.]])
    >>> sbc_ranks(draws, [[2.5, 0.5]], quantity=lambda v: v.sum(axis=1))
    array([[1.]])
    """
    return _ranks(posterior, y, quantity, n_samples, check_random_state(random_state))[0]


@validate_params({**_OPTIONS, "confidence": CONFIDENCE}, prefer_skip_nested_validation=True)
def sbc_uniformity(posterior, y, *, quantity=None, n_samples=200, confidence=0.95, random_state=0) -> Uniformity:
    """Whether the :func:`sbc_ranks` of each quantity are uniform, as calibrated posteriors make them.

    It sees what :func:`pit_uniformity` sees: posteriors too wide, too narrow or biased in a target. Of a `quantity`
    that joins targets it sees wrong correlations too. It does not see errors that cancel between galaxies.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    posterior : Posterior or array-like of shape (n_galaxies, n_draws, n_targets)
        Rows that are missing cutouts (NaN) are left out.
    y : array-like or table of shape (n_galaxies, n_targets) or (n_galaxies,)
        True values, physical units. Columns of a table are found by the targets' names, and converted to their units.
    quantity : callable, default=None
        What to rank, as for :func:`sbc_ranks`. None: the targets.
    n_samples : int, default=200
        Number of draws per galaxy, at least 2, where draws are needed.
    confidence : float, default=0.95
        Share of calibrated posteriors whose distribution of ranks stays within the band at all levels at once.
    random_state : int, RandomState instance or None, default=0
        Determines the draws and where in the width of its rank each truth is put.

    Returns
    -------
    Uniformity
        Named tuple as of :func:`pit_uniformity`, of the ranks divided by their number.

    Raises
    ------
    ValueError
        As :func:`sbc_ranks` does.

    Notes
    -----
    Ranks are spread evenly over their width, (rank + V) / (n_draws + 1) with V uniform. That makes them continuous
    without a loss, so that the band of Säilynoja et al. (2022, Statistics and Computing 32, 32) and the test of
    Kolmogorov and Smirnov hold exactly, for any number of draws.

    Examples
    --------
    >>> import numpy as np
    >>> from galestim.calibration import sbc_uniformity
    >>> rng = np.random.default_rng(0)
    >>> y = rng.multivariate_normal([0, 0], [[1, 0.8], [0.8, 1]], size=500)
    >>> draws = rng.normal(size=(500, 100, 2))  # each target by itself is right
    >>> sbc_uniformity(draws, y).p_value > 0.05
    array([ True,  True])
    >>> sbc_uniformity(draws, y, quantity=lambda v: v[:, 0] * v[:, 1]).p_value < 0.001
    array([ True])
    """
    rng = check_random_state(random_state)
    ranks, n_draws = _ranks(posterior, y, quantity, n_samples, rng)
    ranks = ranks[~np.isnan(ranks[:, 0])]
    return uniformity((ranks + rng.uniform(size=ranks.shape)) / (n_draws + 1), confidence)


def ranks_among(draws: NDArray, truth: NDArray, rng: np.random.RandomState) -> NDArray[np.float64]:
    """Number of `draws` ``(n, s, …)`` below `truth` ``(n, …)``; at random among those equal to it."""
    below, equal = ((compare(draws, truth[:, None])).sum(axis=1) for compare in (np.less, np.equal))
    return below + np.floor(rng.uniform(size=truth.shape) * (equal + 1))


def _ranks(posterior, y, quantity, n_samples: int, rng) -> tuple[NDArray[np.float64], int]:
    """Ranks ``(n, q)`` and the number of draws."""
    posterior = check_posterior(posterior)
    y = check_targets(y, posterior)
    known = known_rows(posterior)
    kept, truth = posterior[known], _quantities(quantity, y[known])
    ranks = np.full((len(y), truth.shape[1]), np.nan)
    n_draws, rows_kept = 0, np.flatnonzero(known)
    for rows, draws in draw_chunks(kept, n_samples, rng):
        n, n_draws, k = draws.shape
        ranked = _quantities(quantity, draws.reshape(-1, k)).reshape(n, n_draws, -1)
        ranks[rows_kept[rows]] = ranks_among(ranked, truth[rows], rng)
    return ranks, n_draws


def _quantities(quantity, values: NDArray) -> NDArray[np.float64]:
    """Quantities ``(m, q)`` to be ranked, of `values` ``(m, k)``."""
    if quantity is None:
        return values
    out = np.asarray(quantity(values), dtype=float)
    if out.ndim not in (1, 2) or len(out) != len(values):
        raise ValueError(
            f"quantity returned shape {out.shape} for values of shape {values.shape}; expected ({len(values)},) or "
            f"({len(values)}, q), a row for each row."
        )
    return out.reshape(len(values), -1)
