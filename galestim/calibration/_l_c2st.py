"""Local classifier two-sample test: a classifier that tries to tell truths from draws, galaxy by galaxy."""

from __future__ import annotations

from numbers import Integral
from typing import NamedTuple

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler
from sklearn.utils import check_random_state, gen_batches

from .._sklearn import HasMethods, Interval, validate_params
from ._inputs import check_finite, check_posterior, check_rows, check_targets, draw_chunks, known_rows
from ._joint import whitened

_N_WHITENED = 200  # draws that say where a posterior is and how wide
_MAX_DEVIATION = 5.0
_CHUNK = 2**15  # points that a classifier judges at a time


class LC2ST(NamedTuple):
    """Distance of a classifier's verdicts from "either", and its p-value: of all galaxies, and of each ``(n,)``."""

    statistic: float
    p_value: float
    local_statistic: NDArray[np.float64]
    local_p_value: NDArray[np.float64]


@validate_params(
    {
        "features": ["array-like", None],
        "classifier": [HasMethods(["fit", "predict_proba"]), None],
        "n_samples": [Interval(Integral, 1, None, closed="left")],
        "n_null": [Interval(Integral, 1, None, closed="left")],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def l_c2st(
    posterior, y, features=None, *, classifier=None, n_samples=20, n_null=100, n_jobs=None, random_state=0
) -> LC2ST:
    """Local classifier two-sample test: can truths be told from draws, and for which galaxies.

    With features that say which galaxies may differ, it sees all that a classifier can learn: posteriors too wide,
    too narrow, biased, of wrong correlations, and any of these for some galaxies only. It needs more galaxies for
    that than tests made for one fault, and with too simple a classifier it sees nothing.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    posterior : Posterior or array-like of shape (n_galaxies, n_draws, n_targets)
        Rows that are missing cutouts (NaN) are left out. Of given draws, at least 2 per galaxy.
    y : array-like or table of shape (n_galaxies, n_targets) or (n_galaxies,)
        True values, physical units. Columns of a table are found by the targets' names, and converted to their units.
    features : array-like of shape (n_galaxies,) or (n_galaxies, n_features), default=None
        What is known of each galaxy without its truth, such as magnitude and size, or a summary of its image;
        finite, but for missing cutouts. None: mean and log of the standard deviation of each target.
    classifier : scikit-learn classifier, default=None
        Given deviations from the posterior (n_targets) and features, it predicts probabilities. Fix its
        ``random_state``, if it has one. None: logistic regression on polynomials of degree 3.
    n_samples : int, default=20
        Number of draws of each galaxy at which the classifier is asked; fewer if fewer are given.
    n_null : int, default=100
        Number of classifiers that learn from exchanged truths and draws; no p-value is less than 1 / (n_null + 1).
    n_jobs : int, default=None
        Number of classifiers that learn at the same time. None: one.
    random_state : int, RandomState instance or None, default=0
        Determines draws and exchanges.

    Returns
    -------
    LC2ST
        Named tuple of `statistic` and `p_value`, floats, over all galaxies; and of `local_statistic` and
        `local_p_value`, (n_galaxies,), NaN for missing cutouts. Of calibrated posteriors 5 % of the local p-values
        are below 0.05 on average, but those of similar galaxies together or not at all: trust `p_value` first.

    Raises
    ------
    ValueError
        If shapes disagree, `y` or `features` is not finite, draws are not finite, or every row is missing.

    Notes
    -----
    A classifier learns to tell (truth, features) from (draw, features), one pair per galaxy. The local statistic is
    the mean of (d - ½)² over other draws of the galaxy, where d is its verdict [1]_. Under the null
    hypothesis truth and draw of each galaxy may be exchanged, which gives classifiers to compare with and exact
    p-values.

    Truths and draws are compared as deviations from their own posterior, in its mean and covariance, so that the
    classifier need not learn it. These are of 200 draws, or those given, and the truth, so that exchanges stay exact.
    Deviations beyond 5 count as 5.

    References
    ----------
    .. [1] Linhart, Gramfort & Rodrigues 2023, NeurIPS 36, arXiv:2306.03580: L-C2ST: Local Diagnostics for Posterior
       Approximations in Simulation-Based Inference.

    Examples
    --------
    Posteriors of bright galaxies that are too narrow:

    >>> import numpy as np
    >>> from galestim.calibration import l_c2st
    >>> from galestim.posteriors import MixturePosterior
    >>> rng = np.random.default_rng(0)
    >>> y, magnitude = rng.normal(size=800), rng.uniform(18, 22, size=800)
    >>> width = np.where(magnitude < 19, 0.4, 1.0)
    >>> posterior = MixturePosterior(np.zeros((800, 1, 1)), width[:, None, None, None])
    >>> test = l_c2st(posterior, y, magnitude, n_null=50, random_state=2)
    >>> round(test.p_value, 2)
    0.02
    >>> flagged = test.local_p_value < 0.05
    >>> float(flagged[magnitude < 19].mean().round(2)), float(flagged[magnitude > 20].mean().round(2))
    (1.0, 0.16)
    """
    posterior = check_posterior(posterior)
    y = check_targets(y, posterior)
    known = known_rows(posterior)
    features = None if features is None else check_rows(features, known, "features")
    rng = check_random_state(random_state)
    points = _points(posterior[known], y[known], features, n_samples, rng)
    swapped = rng.uniform(size=(n_null + 1, len(points))) < 0.5
    swapped[0] = False
    classifier = _polynomial() if classifier is None else classifier
    each = Parallel(n_jobs=n_jobs)(delayed(_distances)(clone(classifier), points, swap) for swap in swapped)
    local = np.full((2, len(y)), np.nan)
    local[:, known] = _compared(np.array(each))
    statistic, p_value = _compared(np.mean(each, axis=1))
    return LC2ST(float(statistic), float(p_value), *local)


def _points(posterior, y: NDArray, features: NDArray | None, n_samples: int, rng) -> NDArray[np.float64]:
    """Truth, a draw to be told from it, and draws to ask at; ``(n, 2 + n_samples, k + p)``."""
    parts = []
    for rows, draws in draw_chunks(posterior, max(_N_WHITENED, n_samples + 1), rng):
        pool = np.concatenate([y[rows, None], check_finite(draws)], axis=1)
        known = _summary(pool) if features is None else features[rows]
        order = 1 + rng.uniform(size=draws.shape[:2]).argsort(axis=1)[:, : n_samples + 1]
        order = np.pad(order, ((0, 0), (1, 0)))
        deviations = np.take_along_axis(np.clip(whitened(pool), -_MAX_DEVIATION, _MAX_DEVIATION), order[..., None], 1)
        parts.append(np.dstack([deviations, np.repeat(known[:, None], order.shape[1], axis=1)]))
    return np.concatenate(parts)


def _summary(pool: NDArray) -> NDArray[np.float64]:
    """Mean and log width of each target, ``(n, 2 k)``."""
    width = pool.std(axis=1)
    return np.hstack([pool.mean(axis=1), np.log(np.where(width > 0, width, 1.0))])


def _polynomial():
    return make_pipeline(
        StandardScaler(),
        PolynomialFeatures(3, include_bias=False),
        StandardScaler(),
        LogisticRegression(max_iter=1000),
    )


def _distances(classifier, points: NDArray, swapped: NDArray) -> NDArray[np.float64]:
    """Mean of (d - ½)² per galaxy ``(n,)``, of a classifier that learned with some pairs exchanged."""
    n, _, n_columns = points.shape
    is_truth = np.column_stack([~swapped, swapped])
    classifier.fit(points[:, :2].reshape(-1, n_columns), is_truth.ravel().astype(int))
    asked = points[:, 2:].reshape(-1, n_columns)
    verdicts = np.concatenate(
        [classifier.predict_proba(asked[rows])[:, 1] for rows in gen_batches(len(asked), _CHUNK)]
    )
    return ((verdicts.reshape(n, -1) - 0.5) ** 2).mean(axis=1)


def _compared(statistics: NDArray) -> tuple[NDArray, NDArray]:
    """The first of `statistics` ``(1 + n_null, …)``, and its p-value among the others."""
    return statistics[0], (1 + (statistics[1:] >= statistics[0]).sum(axis=0)) / len(statistics)
