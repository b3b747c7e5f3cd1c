"""Galaxies with neighbors: how they are drawn, and the limit of what their images tell."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from galestim.simulation import (
    Band,
    MoffatPSF,
    NeighborPrior,
    cramer_rao_bound,
    hsc_like,
    noise_variance,
    render,
    render_stars,
    render_with_stars,
    sim_v1_prior,
    sim_v2_neighbors,
)
from galestim.simulation._correlation import covariance
from galestim.simulation._galaxy_prior import LOGARITHMIC
from galestim.simulation._near import neighbors_of
from galestim.simulation._parameters import PARAMETERS

from ._galsim import COARSE, by_galsim

BAND, PRIOR = hsc_like("i"), sim_v1_prior()
CAMERA = {"npix": 64, "pixel_scale": 0.168, "psf": MoffatPSF(0.58)}


def around(galaxies, galaxy, x, y, flux_ratio=1.0):
    """Neighbors at offsets of the center of the image."""
    drawn, galaxy = PRIOR.draw(len(galaxy), random_state=7), np.array(galaxy, dtype=int)
    flux = flux_ratio * galaxies["flux"][galaxy]
    return drawn | {"galaxy": galaxy, "x_offset": np.array(x), "y_offset": np.array(y), "flux": flux}


# ---- images


def test_scene_as_galsim_draws_it():
    """A neighbor in the image, one whose center is outside, and a star."""
    galsim = pytest.importorskip("galsim")
    galaxies = PRIOR.draw(1, random_state=1)
    neighbors = around(galaxies, [0, 0, 0], [9.3, -44.0, -5.2], [-4.1, 10.5, 12.7], [1.5, 3.0, 0.3])
    star = np.array([False, False, True])
    for name in ("bulge_radius", "disk_radius"):
        neighbors[name] = np.where(star, 1e-3 * 0.168, neighbors[name])
    for name in ("bulge_sersic_index", "disk_sersic_index"):
        neighbors[name] = np.where(star, 1.0, neighbors[name])
    found = render(galaxies, **CAMERA, neighbors=neighbors, dtype=torch.float64)[0].numpy()
    alone = by_galsim(galaxies, 0, **CAMERA)
    expected = alone + by_galsim(neighbors, 0, **CAMERA) + by_galsim(neighbors, 1, **CAMERA)
    point = galsim.Moffat(beta=3.0, fwhm=0.58, flux=neighbors["flux"][2], gsparams=galsim.GSParams(**COARSE))
    offset = neighbors["x_offset"][2], neighbors["y_offset"][2]
    expected += point.drawImage(nx=64, ny=64, scale=0.168, offset=offset, dtype=float).array
    assert abs(found - expected).max() < 2e-4 * expected.max()
    assert abs(expected - alone).max() > 0.1 * expected.max()


def test_scene_is_the_sum_of_its_galaxies_through_the_camera_of_each():
    galaxies = PRIOR.draw(5, random_state=2)
    psfs = [MoffatPSF(0.4), MoffatPSF(1.2), MoffatPSF(0.4), MoffatPSF(0.7), MoffatPSF(0.4)]
    camera = {"npix": 64, "pixel_scale": np.array([0.17, 0.2, 0.17, 0.2, 0.25]), "psf": psfs}
    neighbors = around(galaxies, [4, 1, 1, 0], [48.0, 3.0, -20.0, 0.5], [-10.0, 2.0, 48.0, 0.0])
    galaxy = neighbors["galaxy"]
    alone = render(galaxies, **camera, dtype=torch.float64)
    its = {"pixel_scale": camera["pixel_scale"][galaxy], "psf": [psfs[i] for i in galaxy]}
    light = render(neighbors, **camera | its, dtype=torch.float64)
    found = render(galaxies, **camera, neighbors=neighbors, dtype=torch.float64)
    expected = alone.index_add(0, torch.as_tensor(galaxy), light)
    np.testing.assert_allclose(found, expected, atol=1e-4 * expected.max().item())
    single = render(galaxies, **CAMERA, neighbors=neighbors) - render(galaxies, **CAMERA)
    assert (single[[2, 3]].abs().amax() < 1e-5 * single.amax()) & (single[[0, 1, 4]].amax((1, 2)) > 0).all()


def test_no_neighbors_change_nothing():
    galaxies = PRIOR.draw(3, random_state=0)
    nothing = around(galaxies, [], [], [], [])
    assert torch.equal(render(galaxies, **CAMERA, neighbors=nothing), render(galaxies, **CAMERA))


def test_order_of_neighbors_does_not_matter():
    galaxies = PRIOR.draw(3, random_state=0)
    neighbors = around(galaxies, [2, 0, 2], [5.0, 9.0, -30.0], [1.0, -9.0, 2.0])
    turned = {name: np.asarray(values)[::-1].copy() for name, values in neighbors.items()}
    first, second = (render(galaxies, **CAMERA, neighbors=these) for these in (neighbors, turned))
    np.testing.assert_allclose(first, second, atol=1e-5 * first.max().item())
    some = neighbors_of(neighbors, [2, 1])
    assert some["galaxy"].tolist() == [0, 0]
    assert some["x_offset"].tolist() == [5.0, -30.0]


def test_images_with_stars_beside_them():
    galaxies = PRIOR.draw(3, random_state=0)
    neighbors = around(galaxies, [2, 0], [5.0, 9.0], [1.0, -9.0])
    images, stars = render_with_stars(galaxies, **CAMERA, stamp_npix=25, neighbors=neighbors)
    expected = render(galaxies, **CAMERA, neighbors=neighbors)
    np.testing.assert_allclose(images, expected, atol=1e-4 * expected.max().item())
    star = render_stars(npix=25, pixel_scale=0.168, psf=CAMERA["psf"])
    np.testing.assert_allclose(stars, star.expand(3, -1, -1), atol=1e-4 * star.max().item())


def test_gradients_of_neighbors():
    galaxies = PRIOR.draw(2, random_state=0)
    neighbors = {name: torch.tensor(values) for name, values in around(galaxies, [1], [5.0], [0.0]).items()}
    neighbors["flux"].requires_grad_()
    render(galaxies, **CAMERA, neighbors=neighbors).sum().backward()
    assert 0.5 < neighbors["flux"].grad.item() < 1


@pytest.mark.parametrize("galaxy", [[5], [-1], [0.5], [[0]]])
def test_neighbors_of_nothing(galaxy):
    galaxies = PRIOR.draw(2, random_state=0)
    neighbors = around(galaxies, [0], [5.0], [0.0]) | {"galaxy": galaxy}
    with pytest.raises(ValueError, match="neighbors have no galaxy, or one that does not exist; expected rows of"):
        render(galaxies, **CAMERA, neighbors=neighbors)


def test_neighbors_without_a_parameter():
    galaxies = PRIOR.draw(2, random_state=0)
    neighbors = around(galaxies, [0], [5.0], [0.0])
    del neighbors["flux"]
    with pytest.raises(ValueError, match="parameters lack flux; expected flux, bulge_to_total"):
        render(galaxies, **CAMERA, neighbors=neighbors)


# ---- the limit

NPIX = 24
KNOWN = sim_v2_neighbors().given(BAND, PRIOR)


def slopes_by_differences(galaxies, neighbors, i, band, step=1e-4):
    """Image of galaxy `i` in its scene, and derivatives by its parameters, those of neighbors, sky and width."""
    one = {name: np.array(values[i : i + 1]) for name, values in galaxies.items()}
    others = neighbors_of(neighbors, [i])
    camera = {"npix": NPIX, "pixel_scale": band.pixel_scale, "dtype": torch.float64}

    def draw(one, others, psf=band.psf):
        return render(one, psf=psf, neighbors=others, **camera)[0].numpy()

    def changed(values, name, row, side):
        moved = values[name].copy()
        moved[row] = moved[row] * np.exp(side * step) if name in LOGARITHMIC else moved[row] + side * step
        return values | {name: moved}

    slopes = [
        (draw(changed(one, n, 0, 1), others) - draw(changed(one, n, 0, -1), others)) / (2 * step) for n in PARAMETERS
    ]
    slopes += [np.ones((NPIX, NPIX))]
    wide, narrow = (draw(one, others, MoffatPSF(band.psf.fwhm * (1 + side * step))) for side in (1, -1))
    slopes += [(wide - narrow) / (2 * step)]
    for row in range(len(others["galaxy"])):
        slopes += [
            (draw(one, changed(others, n, row, 1)) - draw(one, changed(others, n, row, -1))) / (2 * step)
            for n in PARAMETERS
        ]
    return draw(one, others), np.array(slopes)


def test_limit_against_an_explicit_fisher_matrix():
    """Two neighbors and none; bad pixels; noise that is correlated or not; an unknown sky and width."""
    galaxies = PRIOR.draw(2, random_state=4)
    neighbors = around(galaxies, [0, 0], [5.0, -14.0], [-2.0, 4.0], [0.7, 1.5])
    mask = np.random.default_rng(0).random((2, NPIX, NPIX)) < 0.05
    mask[0, :, 9] = True
    for length in (0.0, 2.0):
        band = Band(MoffatPSF(0.6), sky_noise=0.05, pixel_scale=0.168, gain=300.0, correlation=length)
        found = cramer_rao_bound(
            galaxies, band, npix=NPIX, prior=PRIOR, neighbors=neighbors, neighbor_prior=KNOWN, mask=mask,
            sky_error=0.1, psf_error=0.02,
        )  # fmt: skip
        correlation = np.eye(NPIX**2) if length == 0 else 0.99 * np.kron(*2 * [covariance(length, NPIX)])
        correlation += 0 if length == 0 else 0.01 * np.eye(NPIX**2)
        for i in range(2):
            image, slopes = slopes_by_differences(galaxies, neighbors, i, band)
            good = ~mask[i].ravel()
            sigma = noise_variance(torch.tensor(image[None]), 0.05, 300.0).sqrt().numpy().ravel()[good]
            noise = sigma[:, None] * correlation[good][:, good] * sigma
            seen = slopes.reshape(len(slopes), -1)[:, good]
            fisher = seen @ np.linalg.solve(noise, seen.T)
            known = [1 / max(PRIOR.variance()[name], 1e-12) for name in PARAMETERS] + [1 / 0.005**2, 1 / 0.02**2]
            fisher[:14, :14] += np.diag(known)
            for row, precision in enumerate(KNOWN.precision(neighbors_of(neighbors, [i]))):
                these = slice(14 + 12 * row, 26 + 12 * row)
                fisher[these, these] += precision
            expected = np.linalg.inv(fisher)[:12, :12]
            std = np.sqrt(expected.diagonal())
            np.testing.assert_allclose(
                found.parameter_covariance[i] / np.outer(std, std), expected / np.outer(std, std), atol=4e-3
            )  # found: 2.4e-3


def test_limit_beside_neighbors_that_are_ever_farther_away():
    galaxies = {name: np.repeat(values, 5) for name, values in PRIOR.draw(1, random_state=5).items()}
    neighbors = around(galaxies, range(5), [1.5, 6.0, 15.0, 40.0, 300.0], np.zeros(5), [1, 1, 1, 1, 1e-3])
    options = {"npix": 40, "prior": PRIOR}
    lonely = cramer_rao_bound(galaxies, BAND, **options).std
    crowded = cramer_rao_bound(galaxies, BAND, neighbors=neighbors, neighbor_prior=KNOWN, **options).std
    price = crowded / lonely
    assert (price[:, 1:] >= 1 - 1e-6).all()
    assert all((near >= far - 1e-6).all() for near, far in pairwise(price[1:]))
    assert (price[1] > 1.1).any()
    np.testing.assert_allclose(price[4], 1, atol=1e-5)


def test_limit_does_not_depend_on_others(monkeypatch):
    galaxies = PRIOR.draw(5, random_state=3)
    neighbors = around(galaxies, [0, 4, 4], [7.0, 12.0, -5.0], [3.0, 0.0, -5.0])
    mask = np.zeros((5, 32, 32), bool)
    mask[:, 5] = True
    options = {"npix": 32, "prior": PRIOR, "neighbors": neighbors, "neighbor_prior": KNOWN, "mask": mask}
    together = cramer_rao_bound(galaxies, BAND, **options)
    monkeypatch.setattr("galestim.simulation._bound.GALAXIES", 4)
    in_parts = cramer_rao_bound(galaxies, BAND, **options)
    np.testing.assert_allclose(in_parts.covariance, together.covariance, rtol=1e-4)
    lonely = cramer_rao_bound(galaxies, BAND, npix=32, prior=PRIOR, mask=mask)
    np.testing.assert_allclose(together.std[1:4], lonely.std[1:4], rtol=1e-4)
    np.testing.assert_allclose(together.signal_to_noise[1:4], lonely.signal_to_noise[1:4], rtol=1e-4)


@pytest.mark.parametrize("length", [None, 2.0])
def test_limit_where_all_pixels_are_bad_is_that_of_the_prior(length):
    galaxies = PRIOR.draw(2, random_state=3)
    band = Band(MoffatPSF(0.6), sky_noise=0.05, pixel_scale=0.168, correlation=length)
    bound = cramer_rao_bound(galaxies, band, npix=16, prior=PRIOR, mask=np.ones((2, 16, 16), bool))
    variance = [PRIOR.variance()[name] for name in PARAMETERS]
    np.testing.assert_allclose(bound.parameter_covariance[0].diagonal(), variance)
    np.testing.assert_array_equal(bound.signal_to_noise, 0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"neighbor_prior": None}, r"neighbor_prior=None with neighbors; expected that of NeighborPrior.given\(…\)."),
        (
            {"mask": np.zeros((2, 3, 3), bool)},
            r"mask has shape \(2, 3, 3\) and dtype torch.bool; expected \(2, 16, 16\)",
        ),
        (
            {"mask": np.zeros((2, 16, 16))},
            r"dtype torch.float64; expected \(2, 16, 16\) and bool, True for bad ones",
        ),
    ],
)
def test_what_the_limit_does_not_take(options, message):
    galaxies = PRIOR.draw(2, random_state=3)
    neighbors = around(galaxies, [0], [5.0], [0.0])
    with pytest.raises(ValueError, match=message):
        cramer_rao_bound(
            galaxies, BAND, npix=16, prior=PRIOR, neighbors=neighbors, **{"neighbor_prior": KNOWN} | options
        )


def test_limit_beside_a_star():
    galaxies = PRIOR.draw(5, random_state=3)
    crowd = NeighborPrior(star_share=1.0)
    neighbors = crowd.draw(galaxies, BAND, PRIOR, random_state=0)
    bound = cramer_rao_bound(
        galaxies, BAND, npix=32, prior=PRIOR, neighbors=neighbors, neighbor_prior=crowd.given(BAND, PRIOR)
    )
    assert np.isfinite(bound.std).all()
