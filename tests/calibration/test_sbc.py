import numpy as np
import pytest
from scipy.stats import chisquare

from galestim.calibration import pit_uniformity, sbc_ranks, sbc_uniformity


def product(values):
    return values[:, 0] * values[:, 1]


def test_ranks_count_the_draws_below(simulate):
    posterior, y, _ = simulate(n=40)
    draws = posterior.sample(30, 0)
    np.testing.assert_array_equal(sbc_ranks(draws, y), (draws < y[:, None]).sum(axis=1))
    expected = (product(draws.reshape(-1, 2)).reshape(40, 30) < product(y)[:, None]).sum(axis=1)
    np.testing.assert_array_equal(sbc_ranks(draws, y, quantity=product)[:, 0], expected)


def test_several_quantities_at_once(simulate):
    posterior, y, _ = simulate(n=20)
    draws = posterior.sample(30, 0)
    ranks = sbc_ranks(draws, y, quantity=lambda v: np.column_stack([v[:, 0], product(v)]))
    expected = [sbc_ranks(draws, y)[:, 0], sbc_ranks(draws, y, quantity=product)[:, 0]]
    np.testing.assert_array_equal(ranks.T, expected)


def test_every_rank_is_as_likely(simulate):
    posterior, y, _ = simulate(n=2000)
    ranks = sbc_ranks(posterior, y, n_samples=9)
    assert all(chisquare(np.bincount(column.astype(int), minlength=10)).pvalue > 0.01 for column in ranks.T)


def test_equal_draws_leave_no_rank_out():
    values = np.random.default_rng(0).integers(3, size=(3000, 10, 1))
    ranks = sbc_ranks(values[:, 1:], values[:, 0]).ravel()
    assert chisquare(np.bincount(ranks.astype(int), minlength=10)).pvalue > 0.01


def test_missing_cutouts_have_no_rank(simulate):
    posterior, y, _ = simulate(n=30)
    draws = posterior.sample(20, 0)
    expected = sbc_ranks(draws, y)
    draws[4] = np.nan
    ranks = sbc_ranks(draws, y)
    assert np.isnan(ranks[4]).all()
    np.testing.assert_array_equal(np.delete(ranks, 4, axis=0), np.delete(expected, 4, axis=0))


def test_same_seed_same_ranks(simulate):
    posterior, y, _ = simulate(n=30)
    first, second, other = (sbc_ranks(posterior, y, random_state=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, second)
    assert (first != other).any()


def test_ranks_among_many_draws_are_the_transform(simulate):
    posterior, y, _ = simulate("too wide", n=300)
    ranked, exact = sbc_uniformity(posterior, y, n_samples=2000), pit_uniformity(posterior, y)
    np.testing.assert_allclose(ranked.ecdf, exact.ecdf, atol=0.03)
    np.testing.assert_array_equal(ranked.low, exact.low)


def test_bad_input_is_told(simulate):
    posterior, y, _ = simulate(n=5)
    with pytest.raises(ValueError, match=r"^quantity returned shape \(2,\) for values of shape \(5, 2\); expected"):
        sbc_ranks(posterior, y, quantity=lambda v: v.mean(axis=0))
    with pytest.raises(ValueError, match="'n_samples' parameter of sbc_ranks"):
        sbc_ranks(posterior, y, n_samples=1)
