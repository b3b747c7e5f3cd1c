"""The factor of the noise: 1 of noise, and the scatter of parameters where residuals have structure."""

import math

import torch

from galestim.refinement._model_error import noise_factor

NPIX, N = 40, 60
FWHM = torch.full((N,), 3.0)


def normal(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).double()


def fitted():
    """Lobes of a galaxy, of two to four pixels."""
    x = torch.arange(NPIX).double() - (NPIX - 1) / 2
    waves = [torch.cos(k * x + phase) * torch.exp(-0.5 * (x / 8) ** 2) for k in (0.0, 0.2, 0.4) for phase in (0, 1.0)]
    return torch.stack([a[:, None] * b for a in waves[:3] for b in waves[:3]]).expand(N, -1, -1, -1)


def smoothed(images):
    x = torch.arange(NPIX).double()
    kernel = torch.exp(-0.5 * ((x[:, None] - x) / (3.0 / 2.355)) ** 2)
    return kernel @ images @ kernel


def least_squares(images):
    """Amounts of what is fitted, in orthonormal directions, and what is left."""
    basis = torch.linalg.qr(fitted().flatten(2).mT).Q
    amounts = images.flatten(1)[:, None] @ basis
    return amounts[:, 0], (images.flatten(1) - (amounts @ basis.mT)[:, 0]).view_as(images)


def test_noise_has_a_factor_of_one():
    _, left = least_squares(normal(N, NPIX, NPIX, seed=0))
    found = noise_factor(left, fitted(), FWHM)
    assert (found >= 1).all()
    assert found.median() < 1.1
    assert found.max() < 1.6


def test_structure_as_wide_as_a_star_scatters_parameters_by_the_factor():
    structure = smoothed(normal(N, NPIX, NPIX, seed=1))
    amounts, left = least_squares(normal(N, NPIX, NPIX, seed=0) + structure)
    scatter = amounts.square().mean().sqrt()
    assert scatter > 3
    found = noise_factor(left, fitted(), FWHM).square().mean().sqrt()
    assert 0.6 * scatter < found < 1.1 * scatter


def test_the_factor_grows_with_the_residuals():
    _, left = least_squares(smoothed(normal(N, NPIX, NPIX, seed=1)))
    once, twice = (noise_factor(scale * left, fitted(), FWHM) for scale in (1, 2))
    torch.testing.assert_close(twice, 2 * once)
    assert math.isfinite(once.sum())
