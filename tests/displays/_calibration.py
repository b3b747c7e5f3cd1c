"""Galaxies and an estimator for the displays that compare posteriors with truths."""

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.linear_model import BayesianRidge

from galestim.posteriors import MixturePosterior


def galaxies(n=2000, widths=(1.0, 0.5, 2.0), seed=0):
    """Posteriors as wide as they should be, half as wide, twice as wide; and the truths."""
    rng = np.random.default_rng(seed)
    y = rng.normal(size=(n, len(widths)))
    means = y + rng.normal(size=y.shape)
    scale_trils = np.tile(np.diag(widths), (n, 1, 1, 1))
    return MixturePosterior(means[:, None], scale_trils, target_names=["honest", "too_bold", "too_shy"]), y


class Posteriors(RegressorMixin, BaseEstimator):
    """Bayesian ridge regression, as posteriors."""

    def fit(self, X, y):
        self.model_ = BayesianRidge().fit(X, y)
        return self

    def predict_posterior(self, X):
        mean, std = self.model_.predict(X, return_std=True)
        return MixturePosterior(mean[:, None, None], std[:, None, None, None])
