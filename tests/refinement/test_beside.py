"""What is marginalized beside the model: the covariance is that of amounts, and neighbors take nothing else along."""

import re

import numpy as np
import pytest
import torch
from astropy.table import Table

from galestim import Cutouts
from galestim.refinement._beside import PROFILES, SHAPES, checked_neighbors, light_beside
from galestim.refinement._coordinates import Coordinates
from galestim.refinement._emulator import Emulator
from galestim.refinement._likelihood import Likelihood
from galestim.refinement._marginalized import whitened, whitening
from galestim.refinement._observed import observed
from galestim.simulation import MoffatPSF, Profiles, render, sim_v1_prior

NPIX, SCALE, NOISE = 32, 0.4, 0.05
PSF = MoffatPSF(1.0)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).double()


@pytest.fixture
def images():
    galaxies = sim_v1_prior().draw(2, random_state=3)
    return render(galaxies, npix=NPIX, pixel_scale=SCALE, psf=PSF) + NOISE * normal(2, NPIX, NPIX).float()


def seen_of(images):
    camera = {"psf": PSF, "noise": NOISE, "pixel_scale": SCALE, "sky_error": 0.02, "psf_error": 0.0}
    return observed(Cutouts(np.asarray(images), **camera), None)


def likelihood_of(images, **more):
    profiles = Profiles([PSF] * 2, np.full(2, SCALE), NPIX, "cpu")
    flat = torch.as_tensor(images, dtype=torch.float32).flatten(1)
    camera = torch.full_like(flat, NOISE**2), torch.full((2,), 3000.0), torch.full((2,), 1e-3)
    return Likelihood(profiles, Coordinates(sim_v1_prior()), flat, *camera, **more)


def test_whitened_products_are_those_of_the_covariance():
    columns, images = normal(2, 3, 20) * 3, normal(2, 4, 20, seed=1)
    columns[:, 2] = 0  # a galaxy with fewer neighbors than another
    white = whitened(images, whitening(columns))
    covariance = torch.eye(20).double() + columns.mT @ columns
    torch.testing.assert_close(white @ white.mT, images @ torch.linalg.solve(covariance, images.mT))


def test_the_emulated_likelihood_marginalizes_what_the_rendered_one_does(images):
    beside = normal(2, 5, NPIX**2).float()
    likelihood = likelihood_of(images, beside=beside, model_error=0.05)
    u = 0.15 * normal(2, 100, len(likelihood.coordinates))
    drawn = likelihood.draw(u)
    fluxes, _ = likelihood.fit(drawn).positive()
    likelihood.refer(fluxes[:, 0], drawn[:, 0])
    emulator = Emulator(likelihood, u, drawn.transpose(1, 2))
    expected, found = (one[:, :20] for one in (likelihood.fit(drawn).log_evidence, emulator.fit(u).log_evidence))
    assert expected.std(1).min() > 3
    torch.testing.assert_close(found, expected, atol=0.2, rtol=1e-3)


def test_the_light_beside_is_that_of_neighbors(images):
    neighbors = {"galaxy": [1, 1], "x_offset": [6.0, -9.0], "y_offset": [2.0, 0.0]}
    light = light_beside(checked_neighbors(neighbors, 2), seen_of(images), np.arange(2))
    size = len(PROFILES) * len(SHAPES)
    assert light.shape == (2, 2 * size, NPIX**2)
    assert (light[0] == 0).all()
    peak = light[1].view(2, size, NPIX, NPIX)[:, 0].flatten(1).argmax(1)
    middle = (NPIX - 1) / 2
    assert (abs(peak % NPIX - middle - torch.tensor([6.0, -9.0])) <= 1).all()
    assert (abs(peak // NPIX - middle - torch.tensor([2.0, 0.0])) <= 1).all()
    one = {"flux": [1.0], "bulge_to_total": [0.3], "x_offset": [6.2], "y_offset": [1.8]}
    for name, index, radius in (("bulge", 2.0, 0.6), ("disk", 1.0, 1.0)):
        one |= {f"{name}_radius": [radius], f"{name}_sersic_index": [index]}
        one |= {f"{name}_axis_ratio": [0.7], f"{name}_position_angle": [20.0]}
    image = render(one, npix=NPIX, pixel_scale=SCALE, psf=PSF).flatten().double()
    basis = torch.linalg.qr(light[1, :size].double().T).Q
    left = image - basis @ (basis.T @ image)
    assert left.square().sum() < 3e-4 * image.square().sum()


def test_images_that_are_no_squares_keep_their_center(images):
    neighbors = checked_neighbors({"galaxy": [0], "x_offset": [0.0], "y_offset": [0.0]}, 2)
    light = light_beside(neighbors, seen_of(images[:, 2:-2]), np.arange(2))[0, 0].view(NPIX, NPIX)
    rows = torch.arange(NPIX) - (NPIX - 5) / 2
    assert abs((light.sum(1) * rows).sum() / light.sum()) < 0.1


@pytest.mark.parametrize(
    ("neighbors", "message"),
    [
        ({"galaxy": [0]}, "neighbors have no x_offset, y_offset; expected a table with galaxy"),
        (Table({"x_offset": [1.0], "y_offset": [1.0]}), "neighbors have no galaxy;"),
        (
            {"galaxy": [2], "x_offset": [1.0], "y_offset": [1.0]},
            "neighbors are of rows 2 to 2; expected rows of the 2",
        ),
        (
            {"galaxy": [0], "x_offset": [np.nan], "y_offset": [1.0]},
            "x_offset or y_offset of a neighbor is not finite",
        ),
    ],
)
def test_wrong_neighbors(neighbors, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        checked_neighbors(neighbors, 2)


def test_no_neighbors(images):
    assert checked_neighbors(None, 2) is None
    assert checked_neighbors({"galaxy": [], "x_offset": [], "y_offset": []}, 2) is None
    one = checked_neighbors(Table({"galaxy": [1], "x_offset": [4.0], "y_offset": [0.0]}), 2)
    assert light_beside(one, seen_of(images), np.array([0])) is None
