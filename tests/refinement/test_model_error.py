"""The factor of the noise: 1 of noise, and the scatter of parameters where residuals are larger."""

import pytest
import torch

from galestim.refinement._model_error import noise_factor

N, P, M = 60, 900, 12


def normal(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).double()


@pytest.fixture(scope="module")
def light():
    """What most of the light is in: few pixels."""
    return torch.exp(-torch.arange(P).double() / 40)


@pytest.fixture(scope="module")
def fitted(light):
    return (normal(1, M, P, seed=3) * light).expand(N, -1, -1)


def least_squares(images, fitted):
    """Amounts of what is fitted, in orthonormal directions, and what is left."""
    basis = torch.linalg.qr(fitted.mT).Q
    amounts = images[:, None] @ basis
    return amounts[:, 0], images - (amounts @ basis.mT)[:, 0]


def test_noise_has_a_factor_of_one(fitted):
    found = noise_factor(least_squares(normal(N, P, seed=0), fitted)[1], fitted)
    assert (found >= 1).all()
    assert found.median() < 1.1
    assert found.max() < 1.5


def test_errors_where_the_light_is_scatter_parameters_by_the_factor(light, fitted):
    images = normal(N, P, seed=0) * (1 + 4 * light)
    amounts, left = least_squares(images, fitted)
    scatter = amounts.square().mean().sqrt()
    assert scatter > 3
    assert left.square().mean().sqrt() < 2  # of all pixels, most of which have no light
    torch.testing.assert_close(noise_factor(left, fitted).square().mean().sqrt(), scatter, rtol=0.2, atol=0)


def test_no_more_pixels_than_parameters():
    found = noise_factor(torch.zeros(1, 8).double(), normal(1, 8, 8, seed=0))
    assert found == 1
