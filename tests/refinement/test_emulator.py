"""The emulated likelihood is that of rendered images, and its expansion that of its values."""

import numpy as np
import pytest
import torch

from galestim.refinement._coordinates import Coordinates
from galestim.refinement._emulator import Emulator
from galestim.refinement._likelihood import Likelihood
from galestim.simulation import ImagePSF, MoffatPSF, Profiles, render, render_stars, sim_v1_prior, sim_v2_prior

NPIX, SCALE, NOISE = 40, 0.4, 0.05
CAMERAS = {"told": (MoffatPSF(1.0), 0.0), "uncertain": (MoffatPSF(1.0), 0.02), "star": (None, 0.02)}


def lopsided_star() -> ImagePSF:
    star = render_stars(npix=31, pixel_scale=SCALE, psf=MoffatPSF(1.0))[0].numpy()
    star = star + 0.1 * np.roll(star, (1, 2), axis=(0, 1))
    return ImagePSF(star / star.sum(), SCALE)


@pytest.fixture(params=CAMERAS)
def camera(request):
    psf, error = CAMERAS[request.param]
    return lopsided_star() if psf is None else psf, error


@pytest.fixture(params=[sim_v1_prior, sim_v2_prior], ids=["radii", "ratios"])
def prior(request):
    return request.param()


def likelihood_of(camera, prior):
    psf, error = camera
    galaxies = sim_v1_prior().draw(2, random_state=3) | {"flux": np.array([1000.0, 5000.0])}
    clean = render(galaxies, npix=NPIX, pixel_scale=SCALE, psf=psf).flatten(1)
    images = clean + NOISE * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    profiles = Profiles([psf] * 2, np.full(2, SCALE), NPIX, "cpu", np.full(2, error) if error else None)
    variance = torch.full_like(images, NOISE**2)
    coordinates = Coordinates(prior, error > 0)
    return Likelihood(profiles, coordinates, images, variance, torch.full((2,), 3000.0), torch.full((2,), 1e-3))


def around(likelihood, n: int, seed: int) -> torch.Tensor:
    """Shapes ``(2, n, d)`` that vary by many standard deviations of what the images say."""
    d = len(likelihood.coordinates)
    return 0.15 * torch.randn(2, n, d, generator=torch.Generator().manual_seed(seed)).double()


def emulated(likelihood) -> Emulator:
    u = around(likelihood, 128, 1)
    return Emulator(likelihood, u, likelihood.draw(u).transpose(1, 2))


def test_emulated_likelihoods_are_those_of_rendered_images(camera, prior):
    likelihood = likelihood_of(camera, prior)
    u = around(likelihood, 20, 2)
    expected, found = likelihood.fit(likelihood.draw(u)), emulated(likelihood).fit(u)
    assert expected.log_evidence.std(1).min() > 30
    torch.testing.assert_close(found.log_evidence, expected.log_evidence, atol=0.5, rtol=1e-3)
    torch.testing.assert_close(found.best, expected.best, atol=0.3, rtol=1e-2)


def test_the_gradient_is_that_of_the_value(camera, prior):
    likelihood = likelihood_of(camera, prior)
    emulator, u = emulated(likelihood), around(likelihood, 1, 3)
    _, gradient, matrix, _ = emulator.expanded(u)
    for i in range(u.shape[-1]):
        step = torch.zeros(u.shape[-1]).double()
        step[i] = 1e-3
        above, below = (emulator.expanded(u + side * step)[0] for side in (1, -1))
        difference = (above - below) / 2e-3
        torch.testing.assert_close(-gradient[..., i], difference, rtol=0.05, atol=0.02 * float(gradient.abs().max()))
    assert (torch.linalg.eigvalsh(matrix) > 0).all()


def test_single_precision_is_enough(camera, prior):
    """As residuals are those from the best model; those from none would be off by more."""
    likelihood = likelihood_of(camera, prior)
    u, errors = around(likelihood, 1, 4), []
    best, noise = likelihood.draw(u), torch.randn(2, NPIX**2, generator=torch.Generator().manual_seed(0))
    likelihood.images = best[:, 0].sum(1) * 2000 + NOISE * noise
    for _ in range(2):
        emulator, near = emulated(likelihood), u + 0.01 * around(likelihood, 50, 2)
        expected = emulator._solved(emulator._changes(emulator.coordinates.shapes(near)))[-1].log_evidence
        errors.append((emulator.fit(near).log_evidence - expected).abs().max())
        likelihood.refer(likelihood.fit(best).positive()[0][:, 0], best[:, 0])
    assert expected.std(1).min() > 0.3
    assert errors[0] > 1
    assert errors[1] < 0.01
