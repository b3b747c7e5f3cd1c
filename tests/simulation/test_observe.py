"""What cameras hand out: noise, level of the sky, stars and bad pixels."""

import numpy as np
import pytest
import torch

from galestim.simulation import CameraPrior, DoubleMoffatPSF, GaussianPSF, MoffatPSF, Uniform, render_stars
from galestim.simulation._psf import Widened
from galestim.simulation._stars import factor_of_images, told_stars

N = 300


def observed(n=N, npix=40, random_state=0, **entries):
    prior = CameraPrior(**{"fwhm": 4.0, "pixel_scale": 0.2, "sky_noise": 0.1, "stamp_npix": 41, **entries})
    band = prior.draw(n, random_state=0)
    stars = render_stars(npix=41, pixel_scale=band.pixel_scale, psf=band.psf)
    return prior.observe(torch.full((n, npix, npix), 2.0), stars, band, random_state), stars.numpy(), band


def width(stars):
    """From the light of the central pixel, which of all widths is the best known one of Gaussians."""
    return stars[:, 20, 20] ** -0.5


def test_noise_and_level_are_those_of_the_camera():
    cutouts, _, _ = observed(gain=100.0, sky_error=0.5)
    level = cutouts.images.mean(axis=(1, 2)) - 2
    assert level.std() == pytest.approx(0.05, rel=0.15)
    deviations = cutouts.images - cutouts.images.mean(axis=(1, 2), keepdims=True)
    assert deviations.std() == pytest.approx(np.sqrt(0.01 + 2 / 100), rel=0.01)
    assert (cutouts.noise == 0.1).all()
    assert (cutouts.gain == 100).all()
    assert (cutouts.sky_error == 0.5).all()


def test_noise_is_correlated():
    cutouts, _, _ = observed(correlation_length=3.0, sky_error=0.0)
    noise = (cutouts.images - 2) / 0.1
    assert noise.var() == pytest.approx(1, rel=0.03)
    sigma = 3 / 2.3548
    for lag in (1, 3):  # of a Gaussian, and 1 % of independent noise
        expected = 0.99 * np.exp(-(lag**2) / (4 * sigma**2))
        assert (noise[:, :, lag:] * noise[:, :, :-lag]).mean() == pytest.approx(expected, abs=0.02)
        assert (noise[:, lag:] * noise[:, :-lag]).mean() == pytest.approx(expected, abs=0.02)


def test_stars_are_wrong_by_what_is_stated():
    cutouts, stars, band = observed(n=1000, psf_error=0.05, gaussian_share=1.0, stamp_size=5.0)
    sums = stars.sum((1, 2))
    error = width(cutouts.psf) / width(stars / sums[:, None, None]) - 1
    of_pixel = (4.0 / 2.3548) ** 2 / ((4.0 / 2.3548) ** 2 + 1 / 12)
    assert error.std() / of_pixel == pytest.approx(0.05, rel=0.1)
    assert error.mean() == pytest.approx(0, abs=0.006)
    np.testing.assert_array_equal(cutouts.psf_error, band.psf_error)


@pytest.mark.parametrize(
    "psf",
    [
        GaussianPSF(2.5, 0.1, 30.0),
        MoffatPSF(2.5, 2.0, 0.1, 30.0),
        DoubleMoffatPSF(3.0, 3.0, 0.2, 2.5, 2.5),
        MoffatPSF(8.0, 2.0),
    ],
)
@pytest.mark.parametrize("factor", [0.97, 1.02])
def test_wider_stars_are_those_of_wider_profiles(psf, factor):
    exact = render_stars(npix=65, pixel_scale=1.0, psf=Widened(psf, factor), dtype=torch.float64)
    narrow = render_stars(npix=65, pixel_scale=1.0, psf=psf, dtype=torch.float64)
    of_image = factor_of_images(np.array([factor]), np.array([psf.fwhm]), np.array([False]))
    told = told_stars(narrow, torch.as_tensor(of_image))
    assert (told - exact).abs().max() < 1.5e-3 * exact.max()


def test_stars_are_trimmed_and_sum_to_one():
    cutouts, stars, _ = observed(stamp_size=Uniform(1.5, 4.0), psf_error=0.0)
    np.testing.assert_allclose(cutouts.psf.sum((1, 2)), 1, atol=1e-5)
    half = (cutouts.psf[:, 20] > 0).sum(axis=1) // 2
    assert (half.min(), half.max()) == (6, 16)
    np.testing.assert_array_equal(half, (cutouts.psf[:, :, 20] > 0).sum(axis=1) // 2)
    inside = cutouts.psf > 0
    ratio = cutouts.psf[inside] / stars[inside]
    assert 0.99 < ratio.min() < ratio.max() < 1.2  # the same but for what was cut off


def test_stars_are_noisy():
    cutouts, _, _ = observed(stamp_noise=0.01, psf_error=0.0, stamp_size=4.0)
    clean, _, _ = observed(psf_error=0.0, stamp_size=4.0)
    error = (cutouts.psf - clean.psf) / clean.psf[:, 20, 20].mean()
    assert error[:, 20, 20].std() == pytest.approx(0.01, rel=0.15)
    wing = clean.psf[0, 20, 28] / clean.psf[0, 20, 20]
    assert error[:, 20, 28].std() == pytest.approx(0.01 * np.sqrt(wing), rel=0.15)
    np.testing.assert_allclose(cutouts.psf.sum((1, 2)), 1, atol=1e-5)
    assert (cutouts.psf[clean.psf == 0] == 0).all()


def test_bad_pixels_are_masked_and_hold_anything():
    cutouts, _, _ = observed(random_mask=Uniform(0.0, 0.1), cosmic_rays=0.02)
    share = cutouts.mask.mean(axis=(1, 2))
    assert share.mean() == pytest.approx(0.069, abs=0.005)
    assert share.min() < 0.03 < 0.1 < share.max()
    assert abs(cutouts.images[cutouts.mask]).max() > 1000
    assert abs(cutouts.images[~cutouts.mask] - 2).max() < 1
    assert np.isnan(np.asarray(cutouts)).sum() == cutouts.mask.sum()


def test_columns_and_rays():
    columns = observed(bad_columns=0.5)[0].mask
    assert columns.all(axis=1).sum() / N == pytest.approx(0.5, abs=0.15)
    assert (columns.any(axis=1) == columns.all(axis=1)).all()
    rays = observed(n=200, npix=96, cosmic_rays=0.01)[0].mask
    assert rays.mean() == pytest.approx(0.01, rel=0.15)
    neighbors = (rays[:, 1:] & rays[:, :-1]).sum() + (rays[:, :, 1:] & rays[:, :, :-1]).sum()
    assert neighbors > 0.4 * rays.sum()  # they are tracks, not points


def test_cores_are_saturated():
    prior = CameraPrior(fwhm=4.0, pixel_scale=0.2, sky_noise=0.1, saturation=0.3, stamp_npix=21)
    band = prior.draw(N, random_state=0)
    stars = render_stars(npix=21, pixel_scale=0.2, psf=band.psf)
    mask = prior.observe(100 * stars, stars, band, random_state=0).mask
    assert mask[:, 10, 10].mean() == pytest.approx(0.3, abs=0.1)
    assert mask[mask[:, 10, 10]].sum(axis=(1, 2)).max() < 25
    assert not mask[~mask[:, 10, 10]].any()


def test_the_same_seed_gives_the_same():
    entries = {"random_mask": 0.02, "stamp_noise": 0.01, "gain": 3.0}
    first, again, other = (observed(10, random_state=seed, **entries)[0] for seed in (0, 0, 1))
    for name in ("images", "psf", "mask"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
        assert not np.array_equal(getattr(first, name), getattr(other, name))


def test_without_bad_pixels_there_is_no_mask():
    assert observed(3)[0].mask is None
