"""Tests of accuracy with random points: coverage of balls around references, of any joint posterior."""

from __future__ import annotations

from numbers import Integral

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_random_state

from .._sklearn import Interval, StrOptions, validate_params
from .._tables import target_values
from ..posteriors import Posterior
from ._inputs import (
    CONFIDENCE,
    check_finite,
    check_posterior,
    check_rows,
    check_scale,
    check_targets,
    draw_chunks,
    known_rows,
)
from ._sbc import ranks_among
from ._uniformity import Uniformity, uniformity

_OFF_CENTER = 0.5  # standard deviations; from the very center no side is seen, from afar no width


@validate_params(
    {
        "references": [StrOptions({"posterior", "random"}), "array-like"],
        "scale": ["array-like", None],
        "n_samples": [Interval(Integral, 2, None, closed="left")],
        "confidence": CONFIDENCE,
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def tarp(
    posterior, y, *, references="posterior", scale=None, n_samples=200, confidence=0.95, random_state=0
) -> Uniformity:
    """Expected coverage of balls around reference points, with radii that end at the truth.

    Of a calibrated posterior it equals the level, whatever the references. It needs draws only, and sees joint
    posteriors that are too wide, too narrow, biased, or of wrong correlations. It does not see errors that cancel
    between galaxies.

    What it sees hangs on the references, which must know the image. Random ones are far from most posteriors, where
    errors on either side cancel: a bias or a wrong correlation hardly shows, and wrong widths show less. A posterior
    that ignores the image, and says what is true of all galaxies, passes with them always.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    posterior : Posterior or array-like of shape (n_galaxies, n_draws, n_targets)
        Rows that are missing cutouts (NaN) are left out.
    y : array-like or table of shape (n_galaxies, n_targets) or (n_galaxies,)
        True values, physical units. Columns of a table are found by the targets' names, and converted to their units.
    references : {"posterior", "random"} or array-like of shape (n_galaxies, n_targets), default="posterior"
        Centers of the balls. "posterior": half a standard deviation above the mean of each posterior, in every
        target. "random": a draw of another galaxy's posterior, which knows nothing of the image; for comparison
        only. An array: points made from the images in any way, but not from the truths, such as measurements in a
        catalog or another estimator's predictions. Only such points show that a posterior ignores what they know.
    scale : array-like of shape (n_targets,), default=None
        What to divide each target by before distances are taken. None: the standard deviation of each posterior.
    n_samples : int, default=200
        Number of draws per galaxy, at least 2, where draws are needed.
    confidence : float, default=0.95
        Share of calibrated posteriors whose coverage stays within the band at all levels at once.
    random_state : int, RandomState instance or None, default=0
        Determines draws, references, and the place of a truth between two draws.

    Returns
    -------
    Uniformity
        Named tuple of `levels`, the expected coverage `ecdf`, and the simultaneous band `low` and `high`, (99,); and
        of `statistic`, `p_value` and `band_p_value`, floats, as of :func:`pit_uniformity`.

    Raises
    ------
    ValueError
        If shapes disagree, `y` or a reference is not finite, draws of a galaxy are not finite in part or fewer than
        2, a scale is not positive, or every row is missing.

    Notes
    -----
    Algorithm 2 of Lemos et al. [1]_. The share of draws nearer to the reference than the truth is made a rank,
    uniform for any number of draws. They prove that a posterior is right if it passes with any references that are
    functions of the image; those that are independent of it prove less. Means and standard deviations are those of
    draws and truth together, so that neither is favored.

    References
    ----------
    .. [1] Lemos, Coogan, Hezaveh & Perreault-Levasseur 2023, ICML 40, 19256: Sampling-Based Accuracy Testing of
       Posterior Estimators for General Inference.

    Examples
    --------
    A posterior that ignores the image and says what is true of all galaxies:

    >>> import numpy as np
    >>> from galestim.calibration import tarp
    >>> rng = np.random.default_rng(1)
    >>> y, draws = rng.normal(size=(500, 2)), rng.normal(size=(500, 200, 2))
    >>> tarp(draws, y).p_value > 0.05, tarp(draws, y, references="random").p_value > 0.05
    (True, True)
    >>> measured = y + rng.normal(size=y.shape)  # from the images
    >>> tarp(draws, y, references=measured).p_value < 0.001
    True
    """
    posterior = check_posterior(posterior)
    y = check_targets(y, posterior)
    known = known_rows(posterior)
    centers = None if isinstance(references, str) else _checked_references(references, posterior, known)
    scale = None if scale is None else check_scale(scale, posterior.n_targets)
    posterior, y = posterior[known], y[known]
    rng = check_random_state(random_state)
    if centers is None and references == "random":
        centers = _of_another(posterior.sample(1, rng)[:, 0], rng)
    values = np.empty(len(y))
    for rows, draws in draw_chunks(posterior, n_samples, rng):
        values[rows] = _shares_inside(None if centers is None else centers[rows], draws, y[rows], scale, rng)
    return uniformity(values, confidence)


def _checked_references(references, posterior: Posterior, known: NDArray) -> NDArray[np.float64]:
    """Points ``(n_known, k)``, columns of a table by the names and units of the targets."""
    references = target_values(references, posterior.target_names, posterior.units, "references")
    references, k = check_rows(references, known, "references"), posterior.n_targets
    if references.shape[1] != k:
        raise ValueError(f"references has {references.shape[1]} columns; expected {k}, one for each target.")
    return references


def _of_another(points: NDArray, rng: np.random.RandomState) -> NDArray[np.float64]:
    """For each galaxy the point of another one, at random."""
    order = rng.permutation(len(points))
    out = np.empty_like(points)
    out[order] = points[np.roll(order, 1)]
    return out


def _shares_inside(centers, draws, y, scale, rng) -> NDArray[np.float64]:
    """Share of `draws` ``(n, s, k)`` nearer to their center ``(n, k)`` than the truth is, as a level ``(n,)``."""
    points = np.concatenate([check_finite(draws), y[:, None]], axis=1)  # the truth is one among equals
    mean, std = points.mean(axis=1), points.std(axis=1)
    centers = mean + _OFF_CENTER * std if centers is None else centers
    scale = np.where(std > 0, std, 1.0)[:, None] if scale is None else scale
    distance = np.linalg.norm((points - centers[:, None]) / scale, axis=-1)
    ranks = ranks_among(distance[:, :-1], distance[:, -1], rng)
    return (ranks + rng.uniform(size=len(ranks))) / (draws.shape[1] + 1)
