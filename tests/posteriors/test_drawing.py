import numpy as np
import pytest
from scipy import stats

from galestim.posteriors import DrawsPosterior
from galestim.posteriors._drawing import numbers


def numbers_of(n, n_samples, seed=0):
    return next(numbers(n, n_samples, seed))[1]


def test_numbers_are_normal_and_independent_of_galaxy_to_galaxy():
    """Also means over many draws, whose errors must average out over galaxies."""
    z = numbers_of(60, 1000).normal(2).reshape(2, 60, 1000)
    assert stats.kstest(z.ravel(), "norm").pvalue > 1e-3
    each = [numbers_of(60, 1000, seed).normal(1).reshape(60, 1000) for seed in range(20)]
    means = np.concatenate(each).mean(axis=1)
    assert stats.kstest(means * np.sqrt(1000), "norm").pvalue > 1e-3
    assert abs(np.corrcoef(means[1:], means[:-1])[0, 1]) < 4 / np.sqrt(len(means))
    assert abs((z[0] * z[1]).mean(axis=1)).max() < 5 / np.sqrt(1000)


def test_normal_numbers_are_finite_and_not_told_by_others():
    """Also those that come of one pair of even ones, half of all apart, and an odd number of them."""
    z = numbers_of(1, 200_001).normal(1)[0]
    assert z.shape == (200_001,)
    assert np.isfinite(z).all()
    first, second = z[:100_000], z[100_001:]
    for power in (1, 2):
        assert abs(np.corrcoef(first**power, second**power)[0, 1]) < 4 / np.sqrt(100_000)
    assert (abs(z) > 4).sum() == pytest.approx(200_001 * 2 * stats.norm.sf(4), abs=4 * np.sqrt(13))


def test_choices_are_as_frequent_as_their_weights():
    rng = np.random.default_rng(0)
    weights = rng.dirichlet(np.full(7, 0.3), size=30)
    weights[:, 2] = 0
    weights /= weights.sum(axis=1, keepdims=True)
    weights[3] = np.nan
    counts, order = numbers_of(30, 1000).choices(weights)
    chosen = np.repeat(np.tile(np.arange(7), 30), counts)[order]
    counts = np.stack([(chosen == i).sum(axis=1) for i in range(7)], axis=1)
    known = np.arange(30) != 3
    error = np.sqrt(1000 * weights * (1 - weights)) + 1
    assert np.all(abs(counts - 1000 * weights)[known] < 5 * error[known])
    assert not counts[known, 2].any()
    runs = (np.diff(chosen, axis=1) == 0).mean(axis=1)[known]  # as of a random order
    expected = (weights**2).sum(axis=1)[known]
    assert np.all(abs(runs - expected) < 5 * np.sqrt(expected * (1 - expected) / 999) + 2e-3)


def test_one_choice_of_many():
    weights = np.broadcast_to([0.25, 0.75], (20_000, 2))
    counts = np.concatenate([drawn.choices(weights[rows])[0] for rows, drawn in numbers(20_000, 1, 0)])
    np.testing.assert_array_equal(counts.reshape(-1, 2).sum(axis=1), 1)
    assert abs(counts[1::2].mean() - 0.75) < 4 * np.sqrt(0.25 * 0.75 / 20_000)


def test_shares_of_components_are_independent_of_galaxy_to_galaxy():
    weights = np.broadcast_to([0.3, 0.7], (500, 2))
    counts = np.concatenate([drawn.choices(weights[rows])[0] for rows, drawn in numbers(500, 1000, 0)])[::2]
    assert abs(np.var(counts) / (1000 * 0.3 * 0.7) - 1) < 4 * np.sqrt(2 / 500)
    assert abs(np.corrcoef(counts[1:], counts[:-1])[0, 1]) < 4 / np.sqrt(500)


def test_seeds_determine_the_draws():
    one, other = (DrawsPosterior(np.arange(30.0).reshape(1, 30, 1)) for _ in range(2))
    np.testing.assert_array_equal(one.sample(50, random_state=1), other.sample(50, random_state=1))
    assert not np.array_equal(one.sample(50, random_state=1), other.sample(50, random_state=2))
    state = np.random.RandomState(0)
    assert not np.array_equal(one.sample(50, state), one.sample(50, state))
