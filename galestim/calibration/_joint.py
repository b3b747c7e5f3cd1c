"""Coverage of regions of highest joint density."""

from __future__ import annotations

from numbers import Integral

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_random_state

from .._sklearn import Interval, validate_params
from ..posteriors import DrawsPosterior, Posterior
from ._inputs import CONFIDENCE, check_posterior, check_targets, draw_chunks, known_rows
from ._sbc import ranks_among
from ._uniformity import Uniformity, uniformity


@validate_params(
    {
        "n_samples": [Interval(Integral, 2, None, closed="left")],
        "confidence": CONFIDENCE,
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def joint_coverage(posterior, y, *, n_samples=200, confidence=0.95, random_state=0) -> Uniformity:
    r"""Share of galaxies whose truth is in the joint region of highest density, of every level.

    Of a calibrated posterior it equals the level, up to chance. It sees joint posteriors that are too wide, too
    narrow or far off, and correlations that are wrong though every target by itself is right. It does not see errors
    that cancel between galaxies, nor on which side of the center truths are, so :func:`pit_uniformity` is better at a
    small bias.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    posterior : Posterior or array-like of shape (n_galaxies, n_draws, n_targets)
        Rows that are missing cutouts (NaN) are left out. Draws have no density; of these, the regions are ellipsoids
        that follow the covariance of the draws.
    y : array-like or table of shape (n_galaxies, n_targets) or (n_galaxies,)
        True values, physical units. Columns of a table are found by the targets' names, and converted to their units.
    n_samples : int, default=200
        Number of draws per galaxy, at least 2, where draws are needed.
    confidence : float, default=0.95
        Share of calibrated posteriors whose coverage stays within the band at all levels at once.
    random_state : int, RandomState instance or None, default=0
        Determines the draws, and the place of a truth between two of them.

    Returns
    -------
    Uniformity
        Named tuple of `levels`, the coverage `ecdf`, and the simultaneous band `low` and `high`, (99,); and of
        `statistic`, `p_value` and `band_p_value`, floats, as of :func:`pit_uniformity`.

    Raises
    ------
    ValueError
        If shapes disagree, `y` is not finite, draws of a galaxy are not finite in part, or every row is missing.

    Notes
    -----
    The level of the smallest region that holds the truth is the share of draws that are denser than it (the expected
    coverage of Hermans et al. 2022, arXiv:2110.06581): of a higher :math:`\log p`, in physical units. Made a rank, it
    is uniform for any number of draws.

    Of draws, the rank is that of the distance from the center, in the metric of the covariance. Center and covariance
    are those of draws and truth together, so that neither is favored.

    Examples
    --------
    Each target by itself is right, but the correlation of 0.8 is missing:

    >>> import numpy as np
    >>> from galestim.calibration import joint_coverage
    >>> from galestim.posteriors import MixturePosterior
    >>> y = np.random.default_rng(0).multivariate_normal([0, 0], [[1, 0.8], [0.8, 1]], size=500)
    >>> test = joint_coverage(MixturePosterior(np.zeros((500, 1, 2)), np.tile(np.eye(2), (500, 1, 1, 1))), y)
    >>> test.p_value < 0.001
    True
    >>> test.levels[29].item(), test.ecdf[29].item(), test.high[29].item()
    (0.3, 0.4, 0.362)
    """
    posterior = check_posterior(posterior)
    y = check_targets(y, posterior)
    known = known_rows(posterior)
    posterior, y = posterior[known], y[known]
    rng = check_random_state(random_state)
    levels = np.empty(len(y))
    for rows, draws in draw_chunks(posterior, n_samples, rng):
        center_first = _outwardness(posterior[rows], np.concatenate([draws, y[rows, None]], axis=1))
        ranks = ranks_among(center_first[:, :-1], center_first[:, -1], rng)
        levels[rows] = (ranks + rng.uniform(size=len(ranks))) / (draws.shape[1] + 1)
    return uniformity(levels, confidence)


def whitened(points: NDArray) -> NDArray[np.float64]:
    """`points` ``(n, s, k)`` of each galaxy moved and stretched to mean 0 and covariance 1, with axes kept."""
    centered = points - points.mean(axis=1, keepdims=True)
    width = centered.std(axis=1, keepdims=True)
    unit = centered / np.where(width > 0, width, 1.0)
    variance, axes = np.linalg.eigh(np.swapaxes(unit, 1, 2) @ unit / points.shape[1])
    scale = np.where(variance > 1e-10, variance, np.inf) ** -0.5  # nothing along an axis without a width
    return unit @ ((axes * scale[:, None]) @ np.swapaxes(axes, 1, 2))


def _outwardness(posterior: Posterior, points: NDArray) -> NDArray[np.float64]:
    """A number ``(n, s)`` that rises with the level of the region around `points` ``(n, s, k)``."""
    if isinstance(posterior, DrawsPosterior):
        return np.linalg.norm(whitened(points), axis=-1)
    return -posterior.log_prob(points)
