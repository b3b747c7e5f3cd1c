"""Profiles: the same bulges and disks that the renderer draws, through any point-spread function."""

import numpy as np
import pytest
import torch

from galestim.simulation import GaussianPSF, ImagePSF, MoffatPSF, Profiles, alike, sim_v1_prior
from galestim.simulation._psf import Widened
from galestim.simulation._render import render_components

NPIX, SCALE = 48, 0.3


def star():
    row, column = np.indices((25, 25)) - 12.0
    image = np.exp(-((row - 0.4) ** 2 + 1.3 * column**2) / 8)
    image[14:20, 6:10] += 0.02  # of no symmetry
    return ImagePSF(image, SCALE)


def shapes_of(galaxies, shape):
    named = {}
    for part in ("bulge", "disk"):
        named[f"{part}_ln_radius"] = np.log(galaxies[f"{part}_radius"])
        for name in ("sersic_index", "axis_ratio", "position_angle"):
            named[f"{part}_{name}"] = galaxies[f"{part}_{name}"]
    named |= {name: galaxies[name] for name in ("x_offset", "y_offset")}
    return {name: torch.tensor(values).reshape(shape) for name, values in named.items()}


@pytest.mark.parametrize(
    "psfs",
    [
        [MoffatPSF(1.0)] * 2,
        [MoffatPSF(1.0, ellipticity=0.1, position_angle=30.0), GaussianPSF(0.95)],
        [star()] * 2,
    ],
    ids=["round", "two", "stars"],
)
def test_images_are_those_of_the_renderer(psfs):
    galaxies = sim_v1_prior().draw(8, random_state=0)
    images = Profiles(psfs, np.full(2, SCALE), NPIX, "cpu").draw(shapes_of(galaxies, (2, 4)))
    of_each = [psfs[0]] * 4 + [psfs[1]] * 4
    expected = render_components(galaxies, npix=NPIX, pixel_scale=SCALE, psf=of_each).reshape(2, 4, 2, -1)
    peak = expected.amax(-1, keepdim=True)
    assert ((images - expected).abs() / peak).max() < 2e-5


def test_some_galaxies_have_the_same_images():
    galaxies = sim_v1_prior().draw(2, random_state=0)
    profiles = Profiles([MoffatPSF(1.0), GaussianPSF(1.0)], np.array([SCALE, 0.31]), NPIX, "cpu")
    shapes = shapes_of(galaxies, (2, 1))
    rows = torch.tensor([1])
    some = profiles.of_rows(rows).draw({name: values[rows] for name, values in shapes.items()})
    torch.testing.assert_close(some, profiles.draw(shapes)[rows])


def test_the_width_of_the_point_spread_function_varies():
    galaxies, psf = sim_v1_prior().draw(2, random_state=0), MoffatPSF(1.0)
    profiles = Profiles([psf] * 2, np.full(2, SCALE), NPIX, "cpu", width_error=np.full(2, 0.01))
    shapes = shapes_of(galaxies, (2, 1))
    told = profiles.draw(shapes | {"psf_width": torch.zeros(2, 1)})
    wider = profiles.draw(shapes | {"psf_width": torch.full((2, 1), 2.0)})
    expected = render_components(galaxies, npix=NPIX, pixel_scale=SCALE, psf=Widened(psf, 1.02)).reshape(2, 1, 2, -1)
    change = (expected - told).abs().amax(-1)
    assert ((wider - expected).abs().amax(-1) < 0.05 * change).all()


def test_cameras_that_differ_are_apart():
    assert [list(rows) for rows in alike([MoffatPSF(0.6)] * 2, np.full(2, SCALE))] == [[0, 1]]
    assert len(alike([MoffatPSF(0.6), MoffatPSF(1.5)], np.full(2, SCALE))) == 2
