import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.special import gammaincinv, j0

from galestim.simulation._sersic import (
    MAX_INDEX,
    MIN_INDEX,
    SersicTransforms,
    enclosed_light,
    half_light_scale,
    sersic_transform,
)

K = np.geomspace(1e-3, 60, 300)  # per half-light radius


def test_half_of_the_light_is_inside_the_half_light_radius():
    n = np.linspace(0.5, 6.2, 20)
    np.testing.assert_allclose(enclosed_light(np.ones(20), n), 0.5, rtol=1e-12)
    growing = enclosed_light(np.geomspace(0.01, 100, 50)[:, None], n)
    assert (np.diff(growing, axis=0) >= 0).all()
    np.testing.assert_allclose(growing[-1], 1, atol=3e-3)


def test_transforms_of_gaussian_and_exponential_are_known():
    sigma = 1 / np.sqrt(2 * gammaincinv(1, 0.5))
    np.testing.assert_allclose(sersic_transform(K, 0.5), np.exp(-0.5 * (sigma * K) ** 2), atol=1e-12)
    np.testing.assert_allclose(sersic_transform(K, 1.0), (1 + (K / half_light_scale(1.0)) ** 2) ** -1.5, atol=1e-12)


@pytest.mark.parametrize("n", [0.8, 2.0, 4.0, 6.0])
def test_transform_is_the_integral_over_the_profile(n):
    b = half_light_scale(n)
    for k in (0.01, 0.1, 1.0):

        def ring(log_r, k=k):  # in ln r, in which the cusp is smooth
            r = np.exp(log_r)
            return 2 * np.pi * r**2 * np.exp(-b * r ** (1 / n)) * j0(k * r)

        options = {"limit": 2000, "epsabs": 0.0, "epsrel": 1e-10}
        span = (-25, n * np.log(60 / b))
        light = quad(lambda log_r: ring(log_r, 0.0), *span, **options)[0]
        expected = quad(ring, *span, **options)[0] / light
        np.testing.assert_allclose(sersic_transform(np.array([k]), n), expected, atol=1e-7)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_polynomials_are_as_good_as_documented(dtype):
    for n, tolerance in [
        (0.5, 1e-4),
        (0.57, 1e-4),
        (0.65, 1e-4),
        *((n, 6e-6) for n in np.linspace(0.8, MAX_INDEX, 12)),
    ]:
        transforms = SersicTransforms(torch.tensor([n], dtype=dtype))
        squared = (torch.tensor(K, dtype=dtype)[None, None] / transforms.turnover) ** 2
        np.testing.assert_allclose(transforms(squared)[0, 0], sersic_transform(K, n), atol=tolerance)


def test_slope_in_the_index_is_right_too():
    n = torch.linspace(0.8, 6.0, 14, dtype=torch.float64, requires_grad=True)
    transforms = SersicTransforms(n)
    transforms((1.0 / transforms.turnover[:, None, None]) ** 2).sum().backward()
    step, one = 1e-4, np.ones(1)
    for value, slope in zip(n.tolist(), n.grad):
        expected = (sersic_transform(one, value + step) - sersic_transform(one, value - step)) / (2 * step)
        np.testing.assert_allclose(slope, expected[0], atol=1e-4)


def test_an_unknown_index_has_no_transform_and_limits_have_slopes():
    n = torch.tensor([np.nan, MIN_INDEX, MAX_INDEX], dtype=torch.float64, requires_grad=True)
    transforms = SersicTransforms(n)
    found = transforms(torch.ones(3, 1, 1, dtype=torch.float64))[:, 0, 0]
    assert torch.isnan(found[0])
    assert torch.isfinite(found[1:]).all()
    found[1:].sum().backward()
    assert torch.isfinite(n.grad[1:]).all()
