import sys

import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot as plt

matplotlib.use("agg")


@pytest.fixture(autouse=True)
def _figures_stay_in_their_test():
    before = matplotlib.rcParams.copy()
    yield
    plt.close("all")
    assert matplotlib.rcParams == before, "a display changed matplotlib's global settings"


@pytest.fixture
def without_matplotlib(monkeypatch):
    """As if matplotlib were not installed."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)


@pytest.fixture
def spins():
    """Actual and predicted spins of 400 galaxies, correlated as the published network's are."""
    rng = np.random.default_rng(7)
    actual = rng.beta(2, 2, 400)
    return actual, 0.2 + 0.6 * actual + rng.normal(scale=0.1, size=400)
