"""A posterior that claims to be right, and galaxies for which it is or is not."""

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin

from galestim.calibration import coverage
from galestim.posteriors import DrawsPosterior, MixturePosterior

LEVELS = np.array([0.2, 0.5, 0.6827, 0.9, 0.9545])
CORRELATED = np.array([[1.0, 0.0], [0.8, 0.6]])
METHODS = ["pit", "local", "conformal"]


class Claim(RegressorMixin, BaseEstimator):
    """Takes its two columns for the latent means of two correlated targets, `shift`, and `width` times as wide."""

    def __init__(self, shift=0.0, width=1.0, transforms=None, form="mixture"):
        self.shift = shift
        self.width = width
        self.transforms = transforms
        self.form = form

    def fit(self, X, y, sample_weight=None, seen=None):
        self.n_features_in_ = 2
        self.y_, self.sample_weight_, self.seen_ = y, sample_weight, seen
        return self

    def predict(self, X):
        return self.predict_posterior(X).mean()

    def predict_posterior(self, X, width=None):
        trils = np.tile(CORRELATED * (width or self.width), (len(X), 1, 1, 1))
        trils[np.isnan(X[:, 0])] = np.nan
        posterior = MixturePosterior(
            X[:, None] + self.shift,
            trils,
            transforms=self.transforms,
            target_names=["a", "b"],
            units=["arcsec", None],
        )
        if self.form == "mixture":
            return posterior
        draws = posterior.sample(300, random_state=0)
        if self.form == "array":
            return draws
        return DrawsPosterior(draws, np.random.default_rng(0).uniform(size=draws.shape[:2]))


def galaxies(n, seed, noise="normal"):
    """Predictors and truths, for which ``Claim()`` is right if the noise is normal."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 2))
    drawn = {
        "normal": lambda: rng.normal(size=(n, 2)),
        "student": lambda: rng.standard_t(3, size=(n, 2)),
        "skewed": lambda: rng.gamma(1.5, size=(n, 2)) - 1.5,
    }[noise]()
    return X, X + drawn @ CORRELATED.T


def found(posterior, y):
    return coverage(posterior, y, LEVELS).coverage
