"""Factors on the widths of posteriors, with which these hold their share of galaxies that were not trained on."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize, minimize_scalar
from scipy.special import ndtr, ndtri

BOUNDS = [(-math.log(4.0), math.log(4.0)), (0.0, 1.0)]  # of the logarithm of a factor, and of its spread
PRIOR_ROWS = 50  # a validation set of so many galaxies says as much as the belief that nothing need be changed


class Widths(NamedTuple):
    r"""Factors on the standard deviations of each target, different for the passes of a posterior.

    The p-th of n passes is widened by :math:`f e^{τ z_p}`, where the z are n quantiles of a normal distribution. A
    mixture of Gaussians of different widths has longer tails than one Gaussian: τ says how long.

    Attributes
    ----------
    factors : ndarray of shape (k,)
        f of each target.
    spreads : ndarray of shape (k,)
        τ of each target.
    """

    factors: NDArray[np.float64]
    spreads: NDArray[np.float64]

    def of_components(self, n_components: int, n_passes: int, n_mixture: int) -> NDArray[np.float64]:
        """The factors ``(n_components, k)`` of components in the order of members, passes, Gaussians of a pass."""
        return self.factors * np.exp(self.spreads * _scores(n_components, n_passes, n_mixture)[:, None])


def _scores(n_components: int, n_passes: int, n_mixture: int) -> NDArray[np.float64]:
    """The z of each component: the same for the Gaussians of a pass, with variance 1 over passes (0 for one pass)."""
    z = ndtri((np.arange(n_passes) + 0.5) / n_passes)
    z /= z.std() if n_passes > 1 else 1.0
    return z[np.arange(n_components) // n_mixture % n_passes]


def find_widths(y, weights, means, variances, y_variances, row_weights, n_passes: int, n_mixture: int) -> Widths:
    """Find the widths with which central intervals hold what they say.

    Of the probability integral transforms p of the targets, :math:`c = |2p - 1|` is the smallest central interval
    that holds the truth; its distribution should be uniform. Factor and spread make its Anderson–Darling distance
    from uniform least, which looks at the tails as much as at the core, and are drawn towards 1 and 0 where rows are
    few.

    `y` and `y_variances` ``(n, k)`` are standardized, `weights` ``(n, m)`` and `means` and `variances` ``(n, m, k)``
    those of the components, member by member, of each pass by pass, with `n_mixture` components in a pass. With one
    pass per member the spread is 0.
    """
    shrink = len(y) / (len(y) + PRIOR_ROWS)
    scores = _scores(weights.shape[1], n_passes, n_mixture)
    found = np.empty((y.shape[1], 2))
    for target in range(y.shape[1]):
        offset, error = y[:, None, target] - means[..., target], y_variances[:, None, target]

        def distance(log_factor, spread=0.0, offset=offset, error=error, variance=variances[..., target]):
            factor = np.exp(log_factor + spread * scores)
            held = 2 * (weights * ndtr(offset / np.sqrt(factor**2 * variance + error))).sum(axis=1) - 1
            return _distance_from_uniform(np.abs(held), row_weights)

        found[target] = shrink * _least(distance, n_passes)
    return Widths(np.exp(found[:, 0]), found[:, 1])


def _least(distance: Callable[..., float], n_passes: int) -> NDArray[np.float64]:
    """Logarithm of the factor, and spread, at which `distance` is least; one pass has no spread."""
    if n_passes == 1:
        return np.array([minimize_scalar(distance, bounds=BOUNDS[0], method="bounded").x, 0.0])
    # the first steps must be large: as a function of the two, the distance has small dents
    simplex = np.array([[-0.4, 0.1], [0.4, 0.1], [0.0, 0.5]])
    options = {"initial_simplex": simplex, "xatol": 1e-3, "fatol": 1e-7}
    return minimize(lambda x: distance(*x), simplex[0], method="Nelder-Mead", bounds=BOUNDS, options=options).x


def _distance_from_uniform(values: NDArray, weights: NDArray) -> float:
    """Anderson–Darling distance of weighted values in [0, 1]."""
    order = np.argsort(values)
    values = np.clip(values[order], 1e-6, 1 - 1e-6)
    share = weights[order] / weights.sum()
    below = np.cumsum(share) - share / 2
    return float(-2 * (share * (below * np.log(values) + (1 - below) * np.log1p(-values))).sum())
