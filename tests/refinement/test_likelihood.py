"""The likelihood: its solution is that of all parameters at once."""

import numpy as np
import pytest
import torch

from galestim.refinement._coordinates import Coordinates
from galestim.refinement._likelihood import Likelihood
from galestim.simulation import MoffatPSF, Profiles, render, sim_v1_prior, sim_v2_prior

NPIX, SCALE, NOISE, GAIN = 32, 0.4, 0.05, 3000.0


@pytest.fixture(params=[sim_v1_prior, sim_v2_prior], ids=["radii", "ratios"])
def coordinates(request):
    return Coordinates(request.param())


def likelihood_of(coordinates, images, sky_error=1e-3, gain=GAIN):
    n = len(images)
    profiles = Profiles([MoffatPSF(1.0)] * n, np.full(n, SCALE), NPIX, "cpu")
    flat = torch.as_tensor(images, dtype=torch.float32).reshape(n, -1)
    variance = torch.full_like(flat, NOISE**2)
    return Likelihood(profiles, coordinates, flat, variance, torch.full((n,), gain), torch.full((n,), sky_error))


@pytest.fixture
def images():
    galaxies = sim_v1_prior().draw(2, random_state=3)
    clean = render(galaxies, npix=NPIX, pixel_scale=SCALE, psf=MoffatPSF(1.0)).double()
    return clean.numpy() + np.random.default_rng(0).normal(scale=NOISE, size=clean.shape)


def test_coordinates_come_back(coordinates):
    u = torch.randn(3, 4, len(coordinates), generator=torch.Generator().manual_seed(0)).double().clamp(-3, 3)
    torch.testing.assert_close(coordinates.of_shapes(coordinates.shapes(u)), u, atol=1e-6, rtol=1e-6)


def test_the_solution_is_that_of_weighted_least_squares(coordinates, images):
    likelihood = likelihood_of(coordinates, images)
    u = 0.3 * torch.randn(2, 3, len(coordinates), generator=torch.Generator().manual_seed(1)).double()
    components = likelihood.draw(u)
    fit, components = likelihood.fit(components), components.double().numpy()
    for g in range(2):
        weight = likelihood.weight[g].double().numpy()
        for k in range(3):
            design = np.vstack([components[g, k], np.ones(NPIX**2)]).T * weight[:, None]
            data = likelihood.images[g].double().numpy() * weight
            design, data = np.vstack([design, [0, 0, 1e3]]), np.r_[data, 0.0]
            best, (chi2,), *_ = np.linalg.lstsq(design, data)
            np.testing.assert_allclose(fit.best[g, k], best, rtol=1e-3, atol=1e-3 * abs(best).max())
            np.testing.assert_allclose(fit.chi2[g, k], chi2, rtol=1e-5)
            precision = fit.factor[g, k] @ fit.factor[g, k].T
            np.testing.assert_allclose(precision, design.T @ design, rtol=1e-4)


def test_a_reference_changes_nothing(coordinates, images):
    u = 0.3 * torch.randn(2, 3, len(coordinates), generator=torch.Generator().manual_seed(1)).double()
    likelihood = likelihood_of(coordinates, images)
    components = likelihood.draw(u)
    plain = likelihood.fit(components)
    likelihood.fluxes = torch.tensor([[30.0, 50.0, 1e-3], [20.0, 5.0, -1e-3]])
    referred = likelihood.fit(components)
    torch.testing.assert_close(referred.chi2, plain.chi2, rtol=1e-5, atol=0.1)
    torch.testing.assert_close(referred.best, plain.best, rtol=1e-3, atol=1e-2)


def test_bad_pixels_have_no_weight(coordinates, images):
    likelihood = likelihood_of(coordinates, images)
    likelihood.sky_variance[:, 100] = torch.inf
    likelihood.refer(torch.ones(2, 3), torch.ones(2, 2, NPIX**2))
    assert (likelihood.weight[:, 100] == 0).all()
    assert (likelihood.weight[:, :100] > 0).all()
