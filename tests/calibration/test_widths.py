import numpy as np
import pytest
from scipy.stats import norm

from galestim.calibration._widths import Widths, find_widths


def width_factors(*posteriors):
    """Factors for posteriors of one pass."""
    widths = find_widths(*posteriors, n_passes=1, n_mixture=posteriors[1].shape[1])
    assert not widths.spreads.any()
    return widths.factors


def gaussians(n, factor, seed=0, k=2):
    """Truths, and posteriors whose widths are wrong by `factor`."""
    rng = np.random.default_rng(seed)
    std = rng.uniform(0.5, 2, size=(n, 1, k))
    means = rng.normal(size=(n, 1, k))
    y = means[:, 0] + std[:, 0] * rng.normal(size=(n, k))
    return y, np.ones((n, 1)), means, (std / factor) ** 2, np.zeros((n, k)), np.ones(n)


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.0])
def test_finds_the_factor(factor):
    # its standard error is 1/√(2·20 000), and the belief in 1 moves it by 0.2 %
    np.testing.assert_allclose(width_factors(*gaussians(20_000, factor)), factor, rtol=4 * 0.005 + 0.002)


def test_a_few_rows_change_little():
    assert np.all(np.abs(np.log(width_factors(*gaussians(3, 2.0)))) <= np.log(4) * 3 / 53 + 1e-9)


def test_an_outlier_changes_little():
    y, *rest = gaussians(1000, 1.0)
    y[:5] += 1000
    np.testing.assert_allclose(width_factors(y, *rest), width_factors(*gaussians(1000, 1.0)), rtol=0.02)


def test_rows_count_by_their_weight():
    y, weights, means, variances, y_variances, _ = gaussians(4000, 1.0)
    variances[2000:] /= 16
    some = np.repeat([1.0, 1e-9], 2000)
    np.testing.assert_allclose(width_factors(y, weights, means, variances, y_variances, some), 1, rtol=0.06)


def test_errors_of_the_truth_are_not_the_posteriors():
    y, weights, means, variances, _, rows = gaussians(20_000, 1.0)
    noisy = y + np.random.default_rng(1).normal(size=y.shape)
    factors = width_factors(noisy, weights, means, variances, np.ones_like(y), rows)
    np.testing.assert_allclose(factors, 1, rtol=4 * 0.01)


def test_mixtures_are_judged_whole():
    y, weights, means, variances, y_variances, rows = gaussians(5000, 1.0)
    twice = [np.repeat(part, 2, axis=1) for part in (weights / 2, means, variances)]
    np.testing.assert_allclose(
        width_factors(y, *twice, y_variances, rows), width_factors(y, weights, means, variances, y_variances, rows)
    )


def test_long_tails_are_found_in_the_passes():
    rng = np.random.default_rng(0)
    y = rng.standard_t(3, size=(20_000, 1))
    posteriors = np.full((20_000, 32), 1 / 32), np.zeros((20_000, 32, 1)), np.ones((20_000, 32, 1))
    widths = find_widths(y, *posteriors, np.zeros_like(y), np.ones(len(y)), n_passes=32, n_mixture=1)
    factors = widths.of_components(32, 32, 1)
    for level in (0.5, 0.6827, 0.9545, 0.99):
        held = np.abs(2 * norm.cdf(y / factors.T).mean(axis=1) - 1) < level
        assert held.mean() == pytest.approx(level, abs=0.01)


def test_gaussians_of_a_pass_share_its_width():
    factors = Widths(np.array([2.0]), np.array([0.5])).of_components(12, n_passes=2, n_mixture=3)[:, 0]
    low, high = 2 * np.exp([-0.5, 0.5])
    np.testing.assert_allclose(factors, [low, low, low, high, high, high] * 2)


@pytest.mark.parametrize("seed", range(5))
def test_a_few_hundred_galaxies_are_enough(seed):
    y, _, means, variances, y_variances, rows = gaussians(500, 0.65, seed=seed, k=1)
    passes = (np.repeat(part, 32, axis=1) for part in (means, variances))
    widths = find_widths(y, np.full((500, 32), 1 / 32), *passes, y_variances, rows, n_passes=32, n_mixture=1)
    assert widths.factors[0] == pytest.approx(0.65 ** (500 / 550), rel=0.1)
    assert widths.spreads[0] < 0.25
