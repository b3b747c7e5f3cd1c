import numpy as np
import pytest

from galestim.networks import enough_passes


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5])
def test_enough_passes_are_enough(share):
    """Means and σ of so many passes are those of many, to what is promised, for nine tenths of the galaxies."""
    rng = np.random.default_rng(0)
    means = np.sqrt(share) * rng.normal(size=(400, 4000, 1))
    within = np.full((400, 4000, 1), 1 - share)
    n_passes = enough_passes(means[:, :200], within[:, :200])
    some, sigma = means[:, -n_passes:, 0], np.sqrt(means.var(axis=1)[:, 0] + 1 - share)
    off = abs(some.mean(axis=1) - means.mean(axis=1)[:, 0]) / sigma
    assert (off < 0.05).mean() > 0.9
    assert (abs(np.sqrt(some.var(axis=1) + 1 - share) / sigma - 1) < 0.02).mean() > 0.9


def test_widths_that_differ_need_passes_too():
    widths = np.random.default_rng(0).lognormal(0, 0.3, size=(400, 4000, 1))
    n_passes = enough_passes(np.zeros((400, 32, 1)), widths[:, :32])
    some, all_of_them = widths[:, -n_passes:, 0].mean(axis=1), widths.mean(axis=1)[:, 0]
    assert 1 < n_passes < 1000
    assert (abs(np.sqrt(some / all_of_them) - 1) < 0.02).mean() > 0.9


def test_of_passes_that_agree_one_is_enough():
    assert enough_passes(np.zeros((5, 32, 2)), np.ones((5, 32, 2))) == 1


def test_at_most_a_thousand_are_asked_for():
    noise = np.random.default_rng(0).normal(size=(50, 32, 1))
    assert enough_passes(noise, np.full_like(noise, 1e-9)) == 1000
    assert enough_passes(np.full((5, 32, 1), np.nan), np.ones((5, 32, 1))) == 1000
