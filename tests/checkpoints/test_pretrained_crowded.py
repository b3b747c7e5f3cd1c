"""The model that ships, behind `NeighborMasker`, on images that it cannot make out: its flag or its width says so."""

from __future__ import annotations

import numpy as np
import pytest

from galestim import NeighborMasker, make_pipeline
from galestim.checkpoints import load_pretrained
from galestim.simulation import render_with_stars, sim_v2_cameras, sim_v2_prior

pytest.importorskip("sep")

N, NPIX, SEED = 60, 64, 71


@pytest.fixture(scope="module")
def model():
    return make_pipeline(NeighborMasker(), load_pretrained("any-camera"))


@pytest.fixture(scope="module")
def scene():
    """Galaxies, their cameras, and what draws light through these."""
    prior, cameras = sim_v2_prior(), sim_v2_cameras()
    galaxies = prior.draw(N, random_state=SEED)
    band = cameras.draw(N, SEED, galaxies)

    def light(parameters):
        images, stars = render_with_stars(
            parameters, stamp_npix=cameras.stamp_npix, npix=NPIX, pixel_scale=band.pixel_scale, psf=band.psf
        )
        return images, stars

    return galaxies, band, cameras, light


def beside(galaxies, band, widths, angle=0.7, **changes):
    """The same galaxies as neighbors, so many widths of the star off."""
    fwhm = np.array([psf.fwhm for psf in band.psf]) / band.pixel_scale
    return galaxies | changes | {
        "x_offset": galaxies["x_offset"] + widths * fwhm * np.cos(angle),
        "y_offset": galaxies["y_offset"] + widths * fwhm * np.sin(angle),
    }  # fmt: skip


def seen(scene, others):
    galaxies, band, cameras, light = scene
    own, stars = light(galaxies)
    return cameras.observe(own + light(others)[0], stars, band, SEED)


def confident_and_wrong(model, cutouts, truth):
    """Share of galaxies that are not flagged, and whose true flux is beyond 5σ."""
    masked = model[0].transform(cutouts)
    posterior = model[1].predict_posterior(masked)
    low, high = np.maximum(posterior.credible_interval(0.6827)[:, 2], 1e-9).T
    off = abs(np.log(truth) - np.log(posterior.median()[:, 2])) > 5 * (np.log(high) - np.log(low)) / 2
    return np.mean(off & np.asarray(model[1].in_domain(masked)))


def test_a_star_beside(model, scene):
    galaxies, band, *_ = scene
    point = {name: 0.01 * band.pixel_scale * np.ones(N) for name in ("bulge_radius", "disk_radius")}
    star = beside(galaxies, band, 5.0, **point)
    assert confident_and_wrong(model, seen(scene, star), galaxies["flux"]) < 0.05


@pytest.mark.parametrize(("widths", "most"), [(1.0, 0.4), (2.0, 0.05), (3.0, 0.05)])
def test_two_equal_galaxies_that_merge(model, scene, widths, most):
    """Within a width of the star, two look like one: so few are so near that a posterior may well believe it."""
    galaxies, band, *_ = scene
    twin = beside(galaxies, band, widths)
    assert confident_and_wrong(model, seen(scene, twin), galaxies["flux"]) < most


def test_a_neighbor_on_the_center(model, scene):
    galaxies, band, *_ = scene
    faint = beside(galaxies, band, 0.0, flux=galaxies["flux"] / 3)
    assert confident_and_wrong(model, seen(scene, faint), galaxies["flux"] * 4 / 3) < 0.05


def test_nothing_at_the_center(model, scene):
    galaxies, band, cameras, light = scene
    images, stars = light(beside(galaxies, band, 8.0))
    masked = model[0].transform(cameras.observe(images, stars, band, SEED))
    reasons = model[1].domain(masked)["reason"]
    assert np.mean(reasons == "") < 0.2  # wings of the neighbor, mostly
    assert np.mean(reasons == "no galaxy") > 0.7


def test_all_masked(model, scene):
    galaxies, band, cameras, light = scene
    images, stars = light(galaxies)
    cutouts = cameras.observe(images, stars, band, SEED)[:3]
    cutouts = cutouts.replace(mask=np.ones(cutouts.shape, dtype=bool))
    masked = model[0].transform(cutouts)
    assert not np.any(model[1].in_domain(masked))
    assert np.isnan(model[1].predict_posterior(masked).median()).all()
