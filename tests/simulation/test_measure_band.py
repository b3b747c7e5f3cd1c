"""Cameras measured from images whose camera is known."""

import numpy as np
import pytest
import torch

from galestim import Cutouts, Normalizer
from galestim.simulation import Band, MoffatPSF, add_noise, render, sim_v1_prior

pytest.importorskip("photutils")

SCALE = 0.2  # arcsec
PSF = MoffatPSF(0.7)


def noise(shape, sigma, correlation=None, seed=0):
    return add_noise(torch.zeros(shape), sky_noise=sigma, correlation=correlation, random_state=seed).numpy()


def stamps(n, sigma, correlation=None, npix=96, gain=3000.0):
    """Galaxies in the middle of stamps, on a sky of 3."""
    light = render(sim_v1_prior().draw(n, random_state=0), npix=npix, pixel_scale=SCALE, psf=PSF)
    return 3 + add_noise(light, sky_noise=sigma, gain=gain, correlation=correlation, random_state=1).numpy()


@pytest.mark.parametrize("correlation", [1.0, 2.0, 3.0])
def test_correlated_noise_of_a_mosaic(correlation):
    mosaic = noise((1, 400, 400), 0.05, correlation)[0]
    band = Band.from_images(mosaic, psf=PSF, pixel_scale=SCALE, gain=3000.0)
    assert band.sky_noise == pytest.approx(0.05, rel=0.02)
    assert band.correlation == pytest.approx(correlation, rel=0.04)
    assert (band.psf, band.pixel_scale, band.gain) == (PSF, SCALE, 3000.0)


@pytest.mark.parametrize("correlation", [None, 1.0, 2.0])
def test_noise_of_cutouts_is_blind_to_their_galaxies(correlation):
    cutouts = Cutouts(stamps(60, 0.05, correlation), psf=PSF, pixel_scale=SCALE, gain=3000.0, zero_point=26.0)
    band = Band.from_images(cutouts)
    assert band.sky_noise == pytest.approx(0.05, rel=0.02)
    assert band.correlation == (None if correlation is None else pytest.approx(correlation, rel=0.04))
    assert (band.psf, band.pixel_scale, band.gain, band.zero_point) == (PSF, SCALE, 3000.0, 26.0)


def test_white_noise_has_no_correlation():
    assert Band.from_images(noise((1, 300, 300), 1.0)[0], psf=PSF, pixel_scale=SCALE).correlation is None


def test_noise_is_measured_under_a_mask():
    mosaic = noise((1, 300, 300), 0.05)[0]
    mask = np.zeros(mosaic.shape, dtype=bool)
    mask[:, ::7] = True
    mosaic[mask] = 1e9
    assert Band.from_images(mosaic, psf=PSF, pixel_scale=SCALE, mask=mask).sky_noise == pytest.approx(0.05, rel=0.02)


def test_a_mosaic_tells_its_point_spread_function():
    side = np.arange(4) * 90 + 60.0
    mosaic = noise((1, 400, 400), 1.0)[0].astype(float)
    star = 2e4 * render(point(), npix=81, pixel_scale=SCALE, psf=PSF)[0].numpy()
    for x in side.astype(int):
        for y in side.astype(int):
            mosaic[y - 40 : y + 41, x - 40 : x + 41] += star
    band = Band.from_images(mosaic, pixel_scale=SCALE)
    k = np.array([0.0, 1.0, 2.0, 4.0])  # rad per arcsec
    told = PSF.transform(k, [0.0])[0] * np.sinc(k * SCALE / (2 * np.pi))  # the image has the pixel in it
    assert abs(band.psf.transform(k, [0.0])[0]) == pytest.approx(told, abs=0.01)


def point():
    return {name: np.ones(1) for name in ("flux", *sim_v1_prior().priors)} | {
        "bulge_to_total": np.zeros(1),
        "disk_radius": np.full(1, 1e-3),
        "x_offset": np.zeros(1),
        "y_offset": np.zeros(1),
    }


def test_mean_of_the_stamps_of_cutouts():
    each = np.random.default_rng(0).uniform(1, 2, (60, 9, 9))
    each /= each.sum(axis=(1, 2), keepdims=True)
    band = Band.from_images(Cutouts(stamps(60, 0.05), psf=each, pixel_scale=SCALE))
    assert band.psf.image == pytest.approx(each.mean(axis=0))


@pytest.mark.parametrize(
    ("images", "arguments", "message"),
    [
        (np.zeros((300, 300)), {"psf": PSF}, r"do not tell the pixel_scale \[arcsec\]"),
        (np.random.default_rng(0).normal(size=(5, 64, 64)), {"pixel_scale": SCALE}, "do not tell the psf"),
        (np.random.default_rng(0).normal(size=(200, 200)), {"pixel_scale": SCALE}, "expected 3 or more stars"),
        (np.zeros((5, 64, 64, 2)), {"psf": PSF, "pixel_scale": SCALE}, "have 2 bands; expected one"),
        (np.full((5, 8, 8), 1.0), {"psf": PSF, "pixel_scale": SCALE}, "none of 5 images has enough sky"),
    ],
)
def test_what_cannot_be_measured(images, arguments, message):
    with pytest.raises(ValueError, match=message):
        Band.from_images(images, **arguments)


def test_cameras_that_differ():
    images = noise((3, 64, 64), 1.0)
    with pytest.raises(ValueError, match=r"pixel_scale goes from 0\.2 to 0\.3; expected images of one camera"):
        Band.from_images(Cutouts(images, psf=PSF, pixel_scale=[0.2, 0.2, 0.3]))
    with pytest.raises(ValueError, match="psf is one object for each galaxy"):
        Band.from_images(Cutouts(images, psf=[PSF] * 3, pixel_scale=0.2))


def test_stretched_images_are_refused():
    stretched = Normalizer("asinh").fit_transform(Cutouts(noise((3, 64, 64), 1.0), psf=PSF, pixel_scale=0.2))
    with pytest.raises(ValueError, match="stretched; expected linear"):
        Band.from_images(stretched)
