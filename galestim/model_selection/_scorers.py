"""Proper scores of posteriors as scikit-learn scorers."""

from __future__ import annotations

from numbers import Integral

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.metadata_routing import UNUSED
from sklearn.utils.validation import check_is_fitted

from .._descend import descend
from .._estimates import lost_rows
from .._sklearn import Interval, StrOptions, check_sample_weight, validate_parameter_constraints
from ..calibration import (
    check_posterior,
    check_scale,
    check_targets,
    coverage_error,
    crps,
    energy_score,
    known_rows,
    log_score,
)
from ..posteriors import DrawsPosterior

METRICS = ("log_score", "neg_crps", "neg_energy_score", "neg_coverage_error")


class PosteriorScorer(BaseEstimator):
    """A scorer ``(estimator, X, y) → float`` that judges the whole posterior; the larger, the better.

    It goes wherever scikit-learn takes ``scoring=``. The estimator needs `predict_posterior`; fitted searches and
    pipelines around it are seen through, those that hide this method too.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    metric : {"log_score", "neg_crps", "neg_energy_score", "neg_coverage_error"}
        Mean :func:`~galestim.calibration.log_score`; minus the mean :func:`~galestim.calibration.crps` over
        galaxies and targets; minus the mean :func:`~galestim.calibration.energy_score`; or minus the
        :func:`~galestim.calibration.coverage_error`.
    scale : array-like of shape (n_targets,), default=None
        What to divide each target by in the CRPS and the energy score. None: nothing, so targets of large numbers
        rule.
    n_samples : int, default=1000
        Number of draws per galaxy, at least 2, where draws are needed.
    random_state : int, RandomState instance or None, default=0
        Determines these draws. An int makes scores comparable: every call draws alike.

    Notes
    -----
    Missing cutouts are left out. `sample_weight` weights the galaxies; with metadata routing, ask for it:
    ``scorer.set_score_request(sample_weight=True)``. What is random in the estimator itself, such as dropout
    passes, is up to the estimator.

    Examples
    --------
    >>> from galestim.model_selection import PosteriorScorer
    >>> PosteriorScorer("neg_crps", n_samples=200)
    PosteriorScorer(metric='neg_crps', n_samples=200)
    >>> from sklearn.linear_model import LinearRegression
    >>> PosteriorScorer("neg_crps")(LinearRegression().fit([[0.0], [1.0]], [0.0, 1.0]), [[0.0]], [0.0])
    Traceback (most recent call last):
    ...
    TypeError: PosteriorScorer(metric='neg_crps') needs an estimator with predict_posterior; got LinearRegression()...
    """

    _parameter_constraints: dict = {
        "metric": [StrOptions(set(METRICS))],
        "scale": ["array-like", None],
        "n_samples": [Interval(Integral, 2, None, closed="left")],
        "random_state": ["random_state"],
    }
    # What scikit-learn may route to `score`: the sample weight, but not the estimator.
    __metadata_request__score = {"estimator": UNUSED}

    def __init__(self, metric, *, scale=None, n_samples=1000, random_state=0):
        self.metric = metric
        self.scale = scale
        self.n_samples = n_samples
        self.random_state = random_state

    def __call__(self, estimator, X, y, sample_weight=None) -> float:
        return self.score(estimator, X, y, sample_weight)

    def score(self, estimator, X, y, sample_weight=None) -> float:
        """Score the posteriors that a fitted estimator predicts; the same as calling the scorer.

        Parameters
        ----------
        estimator : estimator
            Fitted, with `predict_posterior` or around one that has it.
        X : array-like
            What the estimator takes.
        y : array-like or table of shape (n_samples, n_targets) or (n_samples,)
            True values, physical units. Columns of a table are found by the targets' names.
        sample_weight : array-like of shape (n_samples,), default=None
            How much each row counts. None: all the same.

        Returns
        -------
        float
            -inf if the posterior of an image that is not missing is NaN.

        Raises
        ------
        TypeError
            If nothing inside `estimator` has `predict_posterior`.
        ValueError
            If shapes disagree, `y` is not finite, draws of a galaxy are not finite in part, or every row is a
            missing cutout.
        """
        validate_parameter_constraints(self._parameter_constraints, self.get_params(deep=False), type(self).__name__)
        model, X = self._innermost(estimator, X)
        posterior = check_posterior(model.predict_posterior(X))
        y = check_targets(y, posterior)
        weight = check_sample_weight(sample_weight, y)
        if len(lost_rows(model, X, np.isnan(posterior.weights[:, 0]) & (weight > 0))):
            return -np.inf
        kept = known_rows(posterior)
        if self.metric == "log_score" and isinstance(posterior, DrawsPosterior) and hasattr(model, "log_prob"):
            return float(np.average(model.log_prob(X, y)[kept], weights=weight[kept]))  # draws have no density
        return self._mean_score(posterior[kept], y[kept], weight[kept])

    def _mean_score(self, posterior, y, weight) -> float:
        draws = {"n_samples": self.n_samples, "random_state": self.random_state}
        if self.metric == "neg_coverage_error":
            return -coverage_error(posterior, y, sample_weight=weight)
        if self.metric == "log_score":
            scores = log_score(posterior, y)
        elif self.metric == "neg_energy_score":
            scores = -energy_score(posterior, y, scale=self.scale, **draws)
        else:
            scores = -(crps(posterior, y, **draws) / check_scale(self.scale, y.shape[1])).mean(axis=1)
        return float(np.average(scores, weights=weight))

    def _innermost(self, estimator, X):
        """The estimator with `predict_posterior`, inside searches and pipelines, and `X` as it reaches it."""
        estimator, X = descend(estimator, X)
        if hasattr(estimator, "predict_posterior"):
            return estimator, X
        check_is_fitted(estimator)
        raise TypeError(
            f"{self} needs an estimator with predict_posterior; got {estimator}. Use a posterior regressor, alone, "
            "in a pipeline or in a search that was refitted (refit=True)."
        )

    def _accept_sample_weight(self) -> bool:
        """Tell searches, which ask when metadata routing is off."""
        return True


def posterior_scorers(*, scale=None, n_samples=1000, random_state=0) -> dict[str, PosteriorScorer]:
    """All scores of posteriors, by name, for ``scoring=`` of scikit-learn's searches and cross-validation.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    scale : array-like of shape (n_targets,), default=None
        What to divide each target by in the CRPS and the energy score. None: nothing, so targets of large numbers
        rule.
    n_samples : int, default=1000
        Number of draws per galaxy, at least 2, where draws are needed.
    random_state : int, RandomState instance or None, default=0
        Determines these draws.

    Returns
    -------
    dict from str to PosteriorScorer
        "log_score", "neg_crps", "neg_energy_score" and "neg_coverage_error"; of each, the larger, the better.

    Notes
    -----
    A search needs to know which one decides: ``GridSearchCV(…, scoring=posterior_scorers(), refit="log_score")``.
    The first three are proper [1]_: on average, no posterior beats the true one. The coverage error is not; a
    network that says the same for every galaxy can have the best.

    References
    ----------
    .. [1] Gneiting & Raftery 2007, JASA 102, 359: Strictly Proper Scoring Rules, Prediction, and Estimation.

    Examples
    --------
    >>> from galestim.model_selection import posterior_scorers
    >>> posterior_scorers(n_samples=500)["neg_energy_score"]
    PosteriorScorer(metric='neg_energy_score', n_samples=500)
    """
    return {
        metric: PosteriorScorer(metric, scale=scale, n_samples=n_samples, random_state=random_state)
        for metric in METRICS
    }
