import numpy as np
import pytest
from scipy import stats

from galestim.posteriors._moments import (
    Moments,
    gaussian_covariance,
    gaussian_moments,
    hermite_coefficients,
    mixture_moments,
)
from galestim.targets import AsinhTransform, IdentityTransform, LogitTransform, LogTransform

LATENT = np.stack(np.meshgrid([-6.0, -1.0, 0.3, 2.0], [0.01, 0.4, 1.0, 2.0])).reshape(2, -1)
T = np.linspace(-30, 30, 60001)


class SquareRoot:
    """A transform that a user wrote, of which quadrature knows nothing."""

    def forward(self, y):
        return np.sqrt(y)

    def inverse(self, z):
        return z**2

    def log_abs_det_jacobian(self, y):
        return -np.log(2 * np.sqrt(y))


def integrated(mean, std, transform):
    """Moments by brute force: a Riemann sum, which converges exponentially for a Gaussian."""
    y = transform.inverse(mean + std * T)
    weight = stats.norm.pdf(T)
    weight /= weight.sum()
    first = weight @ y
    return [first, *(weight @ (y - first) ** power for power in (2, 3, 4))]


@pytest.mark.parametrize(
    "transform", [IdentityTransform(), LogTransform(), LogitTransform(-1, 3), AsinhTransform(0.5), SquareRoot()]
)
def test_moments_of_a_gaussian_seen_through_a_transform(transform):
    got = np.array(gaussian_moments(*LATENT, transform)).T
    for (mean, std), moments in zip(LATENT.T, got):
        expected = integrated(mean, std, transform)
        spread = expected[1] ** 0.5
        scale = [max(abs(expected[0]), spread), spread**2, spread**3, expected[3]]  # a third moment may be 0
        assert np.all(np.abs(moments - expected) < 1e-6 * np.array(scale)), (mean, std)


def test_lognormal_moments_are_closed_forms():
    mean, std = LATENT
    oracle = stats.lognorm(std, scale=np.exp(mean))
    moments = gaussian_moments(mean, std, LogTransform())
    np.testing.assert_allclose(moments.mean, oracle.mean(), rtol=1e-13)
    np.testing.assert_allclose(moments.variance, oracle.var(), rtol=1e-10)
    wide = std > 0.1  # where scipy's own formulas do not cancel
    skew, kurtosis = oracle.stats("sk")
    np.testing.assert_allclose((moments.third / moments.variance**1.5)[wide], skew[wide], rtol=1e-10)
    np.testing.assert_allclose((moments.fourth / moments.variance**2 - 3)[wide], kurtosis[wide], rtol=1e-10)


def test_a_mixture_of_one_gaussian_cut_in_two_is_that_gaussian():
    """A large offset costs no digits."""
    one = Moments(*np.array([[1e6, 1e6], [4.0, 4.0], [0.0, 0.0], [48.0, 48.0]]))
    assert mixture_moments(np.array([0.3, 0.7]), one) == pytest.approx((1e6, 4, 0, 48), abs=1e-7)


def test_moments_of_two_points():
    """A coin of 0 and 1 that shows 1 with probability p."""
    p = 0.2
    points = Moments(np.array([0.0, 1.0]), *np.zeros((3, 2)))
    expected = [p, p * (1 - p), p * (1 - p) * (1 - 2 * p), p * (1 - p) * (1 - 3 * p * (1 - p))]
    np.testing.assert_allclose(mixture_moments(np.array([1 - p, p]), points), expected)


def covariance(means, stds, correlation, transforms):
    series = [hermite_coefficients(*latent) for latent in zip(np.array(means), np.array(stds), transforms)]
    return gaussian_covariance(*series, np.asarray(correlation))


@pytest.mark.parametrize("correlation", [-0.95, 0.0, 0.3, 1.0])
def test_covariance_of_two_lognormals(correlation):
    means, stds = [0.3, -1.0], [0.5, 1.5]
    expected = np.exp(sum(means) + (0.25 + 2.25) / 2) * np.expm1(correlation * 0.75)
    got = covariance(means, stds, correlation, [LogTransform(), LogTransform()])
    assert got == pytest.approx(expected, rel=1e-12, abs=1e-15)


@pytest.mark.parametrize("transform", [LogTransform(), LogitTransform(), AsinhTransform(2.0)])
def test_a_fully_correlated_pair_has_the_variance(transform):
    mean, std = np.array([0.4, 0.4]), np.array([1.2, 1.2])
    variance = gaussian_moments(mean[0], std[0], transform).variance
    assert covariance(mean, std, 1.0, [transform, transform]) == pytest.approx(float(variance), rel=1e-9)


def test_covariance_with_an_untransformed_target_is_that_of_stein():
    """Cov(x, exp z) = Cov(x, z) E[exp z]."""
    got = covariance([5.0, 0.2], [3.0, 0.7], -0.6, [IdentityTransform(), LogTransform()])
    assert got == pytest.approx(-0.6 * 3 * 0.7 * np.exp(0.2 + 0.49 / 2), rel=1e-12)


@pytest.mark.parametrize("correlation", [-0.9, 0.5])
def test_covariance_agrees_with_the_product_rule(correlation):
    """Logit and asinh, against Gauss-Hermite nodes in both directions of the Cholesky factor."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(150)
    weights = weights / weights.sum()
    first, second = LogitTransform(), AsinhTransform(0.5)
    x = first.inverse(-1.0 + 2.0 * nodes)[:, None]
    y = second.inverse(0.5 + 1.5 * (correlation * nodes[:, None] + np.sqrt(1 - correlation**2) * nodes))
    expected = weights @ ((x - weights @ x) * y) @ weights
    got = covariance([-1.0, 0.5], [2.0, 1.5], correlation, [first, second])
    assert got == pytest.approx(expected, rel=1e-6)
