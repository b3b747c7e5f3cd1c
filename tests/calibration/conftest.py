import numpy as np
import pytest

from galestim.posteriors import DrawsPosterior

from ._faults import flagged, simulate


@pytest.fixture(scope="session", name="simulate")
def _simulate():
    """Factory of `Galaxies`."""
    return simulate


@pytest.fixture(scope="session")
def share_flagged():
    """Share of simulations, of seeds 0, 1, …, in which a test of galaxies and a seed says that they are wrong."""

    def share(test, fault, repetitions, n=400):
        return float(np.mean([flagged(test(simulate(fault, n, seed), seed)) for seed in range(repetitions)]))

    return share


@pytest.fixture(scope="session")
def as_draws():
    """The same posteriors as draws."""

    def draws(posterior, n_draws=100, seed=1):
        return DrawsPosterior(posterior.sample(n_draws, seed))

    return draws
