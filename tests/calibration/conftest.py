from typing import NamedTuple

import numpy as np
import pytest

from galestim.posteriors import DrawsPosterior, MixturePosterior

CORRELATION = 0.8
BRIGHT = 0.3  # share of the galaxies


class Galaxies(NamedTuple):
    posterior: MixturePosterior
    y: np.ndarray
    magnitude: np.ndarray


def simulate(fault=None, n=400, seed=0):
    """Posteriors of two correlated targets, right or with one fault, of galaxies of magnitude 18 to 22."""
    rng = np.random.default_rng(seed)
    magnitude = rng.uniform(18, 22, size=n)
    width = np.exp(0.3 * (magnitude - 20))  # fainter, wider
    mean = rng.normal(scale=2, size=(n, 2))
    tril = width[:, None, None] * np.linalg.cholesky([[1, CORRELATION], [CORRELATION, 1]])
    y = mean + np.einsum("nij,nj->ni", tril, rng.normal(size=(n, 2)))
    if fault == "too wide":
        tril = 1.3 * tril
    elif fault == "too narrow":
        tril = tril / 1.3
    elif fault == "biased":
        mean = mean + 0.3 * width[:, None]
    elif fault == "correlation":  # each target by itself stays right
        tril = width[:, None, None] * np.eye(2)
    elif fault == "bright":
        bright = magnitude < 18 + 4 * BRIGHT
        tril = np.where(bright, 0.6, 1.0)[:, None, None] * tril
    elif fault == "cancel":  # bright galaxies too narrow, faint ones too wide
        tril = np.where(magnitude < 20, 0.7, 1.6)[:, None, None] * tril
    elif fault is not None:
        raise ValueError(fault)
    return Galaxies(MixturePosterior(mean[:, None], tril[:, None]), y, magnitude)


@pytest.fixture(scope="session", name="simulate")
def _simulate():
    """Factory of `Galaxies`."""
    return simulate


@pytest.fixture(scope="session")
def share_flagged():
    """Share of simulations, of seeds 0, 1, …, in which a test's p-values are below 0.05."""

    def share(test, fault, repetitions, n=400):
        """`test` of galaxies and a seed returns p-values; any one of several is enough after Bonferroni."""
        p = [np.ravel(test(simulate(fault, n, seed), seed)) for seed in range(repetitions)]
        return float(np.mean([values.min() * len(values) < 0.05 for values in p]))

    return share


@pytest.fixture(scope="session")
def as_draws():
    """The same posteriors as draws."""

    def draws(posterior, n_draws=100, seed=1):
        return DrawsPosterior(posterior.sample(n_draws, seed))

    return draws
