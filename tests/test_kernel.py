import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.ndimage import gaussian_filter
from scipy.stats import gaussian_kde

from galestim._kernel import bandwidth, smoothed


def test_smoothing_is_a_convolution_mirrored_at_the_ends():
    counts = np.random.default_rng(0).poisson(3.0, size=(4, 80)).astype(float)
    expected = [gaussian_filter(row, width, mode="reflect", truncate=9) for row, width in zip(counts, [3, 4, 5, 9])]
    assert_allclose(smoothed(counts, np.array([3, 4, 5, 9])), expected, atol=1e-6)
    assert_allclose(smoothed(counts, 5.0).sum(axis=1), counts.sum(axis=1))


@pytest.mark.parametrize("d", [1, 2])
def test_the_bandwidth_is_silvermans(d):
    draws = np.random.default_rng(0).normal(scale=3, size=(d, 1000))
    weights = np.full(1000, 1e-3)
    ours = bandwidth(draws.std(axis=1, ddof=1), np.quantile(draws, [0.25, 0.75], axis=1), weights, d)
    known = gaussian_kde(draws, "silverman").factor * draws.std(axis=1, ddof=1)
    assert_allclose(ours, known * {1: 0.9 / (4 / 3) ** 0.2, 2: 1}[d], rtol=0.05)


def test_draws_far_out_do_not_widen_the_kernel():
    weights = np.full(100, 0.01)
    assert_allclose(bandwidth(np.array([50.0]), np.array([[-0.6745], [0.6745]]), weights), 0.9 * 100**-0.2, rtol=1e-3)
