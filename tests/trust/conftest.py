import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot as plt
from sklearn.base import BaseEstimator

from galestim.posteriors import MixturePosterior

matplotlib.use("agg")

SIDE, NOISE = 16, 1.0
PRIOR_MEAN, PRIOR_STD = np.array([60.0, 60.0]), np.array([15.0, 15.0])  # light of core and halo


def templates():
    """A core and a halo, each of unit light, as columns."""
    r2 = np.sum((np.indices((SIDE, SIDE)) - (SIDE - 1) / 2) ** 2, axis=0).ravel()
    shapes = np.stack([np.exp(-r2 / 6), np.exp(-r2 / 30)], axis=1)
    return shapes / shapes.sum(axis=0)


def draw_galaxies(n, seed):
    """Images of cores and halos in white noise, and the light of either."""
    rng = np.random.default_rng(seed)
    y = PRIOR_MEAN + PRIOR_STD * rng.normal(size=(n, 2))
    return (y @ templates().T + NOISE * rng.normal(size=(n, SIDE**2))).reshape(n, SIDE, SIDE), y


class ExactPosterior(BaseEstimator):
    """The posterior of core and halo, which is Gaussian and known; or one that is wrong on purpose."""

    def __init__(self, width=1.0, bias=0.0, wrong_for_bright=1.0):
        self.width = width
        self.bias = bias
        self.wrong_for_bright = wrong_for_bright

    def fit(self, X, y=None):
        return self

    def predict_posterior(self, X):
        X, A = np.reshape(X, (len(X), -1)).astype(float), templates()
        covariance = np.linalg.inv(A.T @ A / NOISE**2 + np.diag(PRIOR_STD**-2.0))
        mean = (X @ A / NOISE**2 + PRIOR_MEAN / PRIOR_STD**2) @ covariance
        bright = mean.sum(axis=1) > PRIOR_MEAN.sum()
        width = self.width * np.where(bright, self.wrong_for_bright, 1.0)
        tril = width[:, None, None] * np.linalg.cholesky(covariance)
        mean = mean + self.bias * np.sqrt(np.diag(covariance))
        return MixturePosterior(mean[:, None], tril[:, None], target_names=["flux", "halo"])


@pytest.fixture(scope="session", name="draw_galaxies")
def _draw_galaxies():
    return draw_galaxies


@pytest.fixture(scope="session")
def exact():
    """Factory of estimators, right by default."""
    return ExactPosterior


@pytest.fixture(autouse=True)
def _figures_stay_in_their_test():
    before = matplotlib.rcParams.copy()
    yield
    plt.close("all")
    assert matplotlib.rcParams == before, "a figure changed matplotlib's global settings"
