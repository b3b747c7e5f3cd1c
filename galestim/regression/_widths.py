"""How much wider or narrower posteriors must be to hold their share of galaxies that were not trained on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

FACTORS = np.exp(np.linspace(np.log(0.25), np.log(4.0), 113))  # 2.5 % apart
PRIOR_ROWS = 50  # a validation set of so many galaxies says as much as the belief that nothing need be changed


def width_factors(y, weights, means, variances, y_variances, row_weights) -> NDArray[np.float64]:
    r"""Factor on each target's standard deviation that makes central intervals hold what they say.

    Of the probability integral transforms p of the targets, :math:`c = |2p - 1|` is the smallest central interval
    that holds the truth; its distribution should be uniform. The factor makes its Cramér–von Mises distance from
    uniform least, and is drawn towards 1 where rows are few.

    Parameters
    ----------
    y : ndarray of shape (n, k)
        True values, standardized.
    weights : ndarray of shape (n, m)
    means, variances : ndarray of shape (n, m, k)
        Of the components of each posterior.
    y_variances : ndarray of shape (n, k)
        Of the errors of `y`.
    row_weights : ndarray of shape (n,)

    Returns
    -------
    ndarray of shape (k,)
    """
    shrink = len(y) / (len(y) + PRIOR_ROWS)
    factors = np.empty(y.shape[1])
    for target in range(y.shape[1]):
        offset = y[:, None, target] - means[..., target]
        spreads = (np.sqrt(f**2 * variances[..., target] + y_variances[:, None, target]) for f in FACTORS)
        held = (np.abs(2 * (weights * ndtr(offset / spread)).sum(axis=1) - 1) for spread in spreads)
        best = np.argmin([_distance_from_uniform(values, row_weights) for values in held])
        factors[target] = FACTORS[best] ** shrink
    return factors


def _distance_from_uniform(values: NDArray, weights: NDArray) -> float:
    """Cramér–von Mises distance of weighted values in [0, 1]."""
    order = np.argsort(values)
    share = weights[order] / weights.sum()
    return float((share * (values[order] - (np.cumsum(share) - share / 2)) ** 2).sum())
