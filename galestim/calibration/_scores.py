"""Proper scores of posteriors, which on average are best for the true one."""

from __future__ import annotations

from numbers import Integral

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf
from sklearn.utils import check_random_state, gen_batches

from .._sklearn import Interval, validate_params
from ..posteriors import MixturePosterior, Posterior
from ..targets import IdentityTransform
from ._inputs import check_posterior, check_scale, check_targets, draw_chunks

_MAX_COMPONENTS = 100  # beyond, the pairs of components of an exact CRPS cost more than draws
_N_SHIFTS = 4  # pairs per draw in an energy score
_CHUNK = 2**20  # pairs of components held at a time

_OPTIONS: dict = {"n_samples": [Interval(Integral, 2, None, closed="left")], "random_state": ["random_state"]}


def log_score(posterior, y) -> NDArray[np.float64]:
    """Logarithm of the probability density that each joint posterior gives to the truth.

    The larger, the better. It is the one score that looks at the density at the truth only; it is local and severe:
    a truth in the far tail, or outside the support (-inf), outweighs many good ones. Labels of a logit target at its
    bounds are moved inside its margins first, as in a fit.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    posterior : Posterior
        One with a density, so not one made of draws.
    y : array-like or table of shape (n_galaxies, n_targets) or (n_galaxies,)
        True values, physical units. Columns of a table are found by the targets' names, and converted to their units.

    Returns
    -------
    ndarray of shape (n_galaxies,)
        In nats, of a density in the targets' physical units; NaN for missing cutouts.

    Raises
    ------
    ValueError
        If shapes disagree or `y` is not finite.
    TypeError
        If the posterior is made of draws.

    Notes
    -----
    The logarithmic score of Gneiting & Raftery 2007, JASA 102, 359 (section 4.1).

    Examples
    --------
    >>> import numpy as np
    >>> from galestim.calibration import log_score
    >>> from galestim.posteriors import MixturePosterior
    >>> posterior = MixturePosterior(means=np.zeros((2, 1, 1)), scale_trils=np.ones((2, 1, 1, 1)))
    >>> log_score(posterior, [0.0, 3.0]).round(2)
    array([-0.92, -5.42])
    """
    posterior = check_posterior(posterior)
    return posterior.log_prob(check_targets(y, posterior))


@validate_params(_OPTIONS, prefer_skip_nested_validation=True)
def crps(posterior, y, *, n_samples=1000, random_state=0) -> NDArray[np.float64]:
    """Continuous ranked probability score of each target: the absolute error, generalized to distributions.

    The smaller, the better; in the unit of the target. It rewards being close as well as being sure, and forgives
    a single outlier more than :func:`log_score` does.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    posterior : Posterior or array-like of shape (n_galaxies, n_draws, n_targets)
        Given draws are used as they are, unless they carry weights.
    y : array-like or table of shape (n_galaxies, n_targets) or (n_galaxies,)
        True values, physical units. Columns of a table are found by the targets' names, and converted to their units.
    n_samples : int, default=1000
        Number of draws per galaxy, at least 2, where draws are needed.
    random_state : int, RandomState instance or None, default=0
        Determines these draws.

    Returns
    -------
    ndarray of shape (n_galaxies, n_targets)
        NaN for missing cutouts, and where draws overflow.

    Raises
    ------
    ValueError
        If shapes disagree, `y` is not finite, or there is a single draw.

    Notes
    -----
    With X and X' independent draws, the score is [1]_ (equation 21, with the sign changed)

    .. math:: E|X - y| - ½ E|X - X'|.

    It is exact [2]_ (equation 5) for mixtures of up to 100 Gaussians in a target that is not transformed.
    Otherwise both expectations are means over draws, the second over pairs of different ones, which makes
    them unbiased for any number of draws ("fair" [3]_). Sorted draws give the pairs in O(n_samples log n_samples).

    References
    ----------
    .. [1] Gneiting & Raftery 2007, JASA 102, 359: Strictly Proper Scoring Rules, Prediction, and Estimation.
    .. [2] Grimit, Gneiting, Berrocal & Johnson 2006, QJRMS 132, 2925: The continuous ranked probability score for
       circular variables and its application to mesoscale forecast ensemble verification.
    .. [3] Ferro 2014, QJRMS 140, 1917: Fair scores for ensemble forecasts.

    Examples
    --------
    >>> import numpy as np
    >>> from galestim.calibration import crps
    >>> from galestim.posteriors import MixturePosterior
    >>> posterior = MixturePosterior(means=np.zeros((2, 1, 1)), scale_trils=np.ones((2, 1, 1, 1)))
    >>> crps(posterior, [0.0, 3.0]).round(3)
    array([[0.234],
           [2.437]])
    """
    posterior = check_posterior(posterior)
    y = check_targets(y, posterior)
    exact = _exact_targets(posterior)
    scores = np.empty_like(y)
    for target in np.flatnonzero(exact).tolist():
        scores[:, target] = _mixture_crps(posterior, target, y[:, target])
    if not exact.all():
        for rows, draws in draw_chunks(posterior, n_samples, random_state):
            scores[rows, ~exact] = _fair_crps(draws[..., ~exact], y[rows][:, ~exact])
    return scores


@validate_params({**_OPTIONS, "scale": ["array-like", None]}, prefer_skip_nested_validation=True)
def energy_score(posterior, y, *, scale=None, n_samples=1000, random_state=0) -> NDArray[np.float64]:
    """Energy score: the :func:`crps` of the joint posterior, with distances in the space of all targets.

    The smaller, the better. Unlike a mean over targets, it sees whether their correlations are right.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    posterior : Posterior or array-like of shape (n_galaxies, n_draws, n_targets)
        Given draws are used as they are, unless they carry weights.
    y : array-like or table of shape (n_galaxies, n_targets) or (n_galaxies,)
        True values, physical units. Columns of a table are found by the targets' names, and converted to their units.
    scale : array-like of shape (n_targets,), default=None
        What to divide each target by, for example its standard deviation over the training set. None: nothing, so
        targets of large numbers rule.
    n_samples : int, default=1000
        Number of draws per galaxy, at least 2.
    random_state : int, RandomState instance or None, default=0
        Determines the draws and their pairs.

    Returns
    -------
    ndarray of shape (n_galaxies,)
        NaN for missing cutouts, and where draws overflow.

    Raises
    ------
    ValueError
        If shapes disagree, `y` is not finite, a scale is not positive, or there is a single draw.

    Notes
    -----
    With X and X' independent draws, the score is [1]_ (equation 22 with β = 1, with the sign changed)

    .. math:: E‖X - y‖ - ½ E‖X - X'‖.

    Both expectations are means over draws. The second pairs each draw with the next four, after a shuffle: pairs
    of different draws, so that the mean is unbiased ("fair" [2]_), whatever order the draws came in. Of 1000
    draws, all pairs would cost 125 times more distances and lower the variance by a tenth (by a third where the
    truth is the very center); more draws lower it for less.

    References
    ----------
    .. [1] Gneiting & Raftery 2007, JASA 102, 359: Strictly Proper Scoring Rules, Prediction, and Estimation.
    .. [2] Ferro 2014, QJRMS 140, 1917: Fair scores for ensemble forecasts.

    Examples
    --------
    >>> import numpy as np
    >>> from galestim.calibration import energy_score
    >>> from galestim.posteriors import MixturePosterior
    >>> posterior = MixturePosterior(means=np.zeros((2, 1, 2)), scale_trils=np.tile(np.eye(2), (2, 1, 1, 1)))
    >>> energy_score(posterior, [[0.0, 0.0], [3.0, 4.0]]).round(1)
    array([0.4, 4.2])
    """
    posterior = check_posterior(posterior)
    y = check_targets(y, posterior)
    scale = check_scale(scale, posterior.n_targets)
    rng = check_random_state(random_state)
    scores = np.empty(len(y))
    for rows, draws in draw_chunks(posterior, n_samples, rng):
        scores[rows] = _fair_energy(draws / scale, y[rows] / scale, rng)
    return scores


def _exact_targets(posterior: Posterior) -> NDArray[np.bool_]:
    """Mask of the marginals that are mixtures of few Gaussians in physical units ``(k,)``."""
    if not isinstance(posterior, MixturePosterior) or posterior.means.shape[1] > _MAX_COMPONENTS:
        return np.zeros(posterior.n_targets, dtype=bool)
    return np.array([isinstance(transform, IdentityTransform) for transform in posterior.transforms])


def _mixture_crps(posterior: MixturePosterior, target: int, y: NDArray) -> NDArray[np.float64]:
    """Exact CRPS ``(n,)`` of the Gaussian-mixture marginal of one target."""
    mu = posterior.means[:, :, target]
    sigma = np.linalg.norm(posterior.scale_trils[:, :, target], axis=-1)
    weight = posterior.weights
    to_truth = (weight * _mean_absolute(mu - y[:, None], sigma)).sum(axis=1)
    between = np.empty(len(y))
    for rows in gen_batches(len(y), max(1, _CHUNK // mu.shape[1] ** 2)):
        m, s, w = mu[rows], sigma[rows], weight[rows]
        pairs = _mean_absolute(m[:, :, None] - m[:, None], np.hypot(s[:, :, None], s[:, None]))
        between[rows] = np.einsum("ni,nij,nj->n", w, pairs, w)
    return to_truth - 0.5 * between


def _mean_absolute(mu: NDArray, sigma: NDArray) -> NDArray[np.float64]:
    """E|X| for X ~ N(μ, σ²)."""
    z = mu / sigma
    return mu * erf(z / np.sqrt(2)) + sigma * np.sqrt(2 / np.pi) * np.exp(-0.5 * z**2)


def _fair_crps(draws: NDArray, y: NDArray) -> NDArray[np.float64]:
    """CRPS ``(n, k)`` of draws ``(n, s, k)``."""
    s = draws.shape[1]
    # The i-th smallest draw is the larger one in i pairs and the smaller one in s - 1 - i.
    rank = 2 * np.arange(s) - s + 1
    with np.errstate(all="ignore"):
        half_spread = np.einsum("s,nsk->nk", rank / (s * (s - 1)), np.sort(draws, axis=1))
        return np.abs(draws - y[:, None]).mean(axis=1) - half_spread


def _fair_energy(draws: NDArray, y: NDArray, rng: np.random.RandomState) -> NDArray[np.float64]:
    """Energy score ``(n,)`` of draws ``(n, s, k)``."""
    shuffled = draws[:, rng.permutation(draws.shape[1])]
    shifts = range(1, 1 + min(_N_SHIFTS, draws.shape[1] - 1))  # no draw meets itself
    with np.errstate(all="ignore"):
        to_truth = np.linalg.norm(draws - y[:, None], axis=-1).mean(axis=1)
        spread = [np.linalg.norm(shuffled - np.roll(shuffled, h, axis=1), axis=-1).mean(axis=1) for h in shifts]
        return to_truth - 0.5 * np.mean(spread, axis=0)
