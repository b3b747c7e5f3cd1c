import numpy as np
import pytest

from galestim.cutouts import FitsMosaic
from galestim.simulation import GaussianPSF, MoffatPSF

from ._field import N, gaussian, request, star, wcs_of, write


@pytest.mark.parametrize("rotation", [0, 90, 30])
@pytest.mark.parametrize("pixel_scale", [0.1, 0.2, 0.31, 0.57])
def test_noise_is_that_of_many_noisy_mosaics(tmp_path, rotation, pixel_scale):
    """Variances that differ by a factor of 20; 200 mosaics know each to 10 %, and all together to 0.5 %."""
    wcs, rng, n_drawn = wcs_of(rotation), np.random.default_rng(0), 200
    sigma = np.exp(0.8 * np.sin(np.indices((N, N)).sum(axis=0) / 9))
    cube = write(tmp_path / "cube.fits", (rng.normal(size=(n_drawn, N, N)) * sigma).astype(np.float32), wcs)
    image = write(tmp_path / "image.fits", np.zeros((N, N), np.float32), wcs)
    variance = write(tmp_path / "variance.fits", sigma**2)
    of_many = FitsMosaic(cube).cutout(request(pixel_scale, 20)).var(axis=2)
    noise = FitsMosaic(image, variance=variance).cutout(request(pixel_scale, 20)).noise[0, ..., 0]
    ratio = noise**2 / of_many
    assert ratio.mean() == pytest.approx(1 + 2 / n_drawn, abs=0.03)
    assert ratio.std() == pytest.approx(np.sqrt(2 / n_drawn), rel=0.25)


@pytest.mark.parametrize("rotation", [0, 30])
def test_a_number_and_a_flat_image_of_noise_are_the_same(tmp_path, rotation):
    image = write(tmp_path / "image.fits", np.zeros((N, N), np.float32), wcs_of(rotation))
    flat = write(tmp_path / "noise.fits", np.full((N, N), 0.3))
    told = [FitsMosaic(image, noise=noise).cutout(request(0.33)).noise for noise in (0.3, flat)]
    np.testing.assert_allclose(*told, rtol=1e-5)


@pytest.mark.parametrize("rotation", [0, 90, 30, 137])
@pytest.mark.parametrize("pixel_scale", [0.1, 0.2, 0.45])
def test_stamps_are_what_a_star_becomes(tmp_path, rotation, pixel_scale):
    wcs = wcs_of(rotation)
    image = write(tmp_path / "star.fits", star(wcs), wcs)
    stamp = write(tmp_path / "psf.fits", star_in_middle(41))
    for psf in (stamp, star_in_middle(41), GaussianPSF(1.6 * 2.35482 * 0.2)):
        cutout = FitsMosaic(image, psf=psf).cutout(request(pixel_scale, 27))
        of_star = cutout.images[0, ..., 0]
        assert np.abs(cutout.psf[0, ..., 0] - of_star).max() < 1e-3 * of_star.max()
        assert cutout.psf.sum() == pytest.approx(1, abs=1e-6)


def star_in_middle(n):
    return gaussian(n, (n - 1) / 2, (n - 1) / 2, 1.6)


def test_position_angles_are_those_of_the_sky(tmp_path):
    """North is row 0 and east column 0, however the mosaic lies; its own stamps turn with it."""
    psf = MoffatPSF(0.9, ellipticity=0.3, position_angle=30.0)
    upright, turned = (write(tmp_path / f"{angle}.fits", np.zeros((N, N)), wcs_of(angle)) for angle in (0, 50))
    drawn = [FitsMosaic(path, psf=psf).cutout(request()).psf[0, ..., 0] for path in (upright, turned)]
    assert np.abs(drawn[0] - drawn[1]).max() < 2e-3 * drawn[0].max()
    assert position_angle(drawn[0]) == pytest.approx(30, abs=1)
    # a stamp along the rows of a mosaic whose y axis points to a position angle of 50
    row, column = np.indices((41, 41)) - 20
    along_y = np.exp(-(row**2) / (2 * 3.0**2) - column**2 / (2 * 1.8**2))
    stamp = FitsMosaic(turned, psf=along_y).cutout(request()).psf[0, ..., 0]
    east, north = sky_direction_of_y(wcs_of(50))
    assert position_angle(stamp) == pytest.approx(np.degrees(np.arctan2(east, north)) % 180, abs=1)


def position_angle(stamp):
    row, column = np.indices(stamp.shape) - 20
    north, east = -row, -column
    xx, yy, xy = ((stamp * part).sum() for part in (east**2, north**2, east * north))
    return np.degrees(0.5 * np.arctan2(2 * xy, yy - xx)) % 180


def sky_direction_of_y(wcs):
    (ra0, dec0), (ra1, dec1) = wcs.all_pix2world([[80, 80], [80, 90]], 0)
    return (ra1 - ra0) * np.cos(np.radians(dec0)), dec1 - dec0


def test_wings_outside_of_the_stamp_are_told(tmp_path):
    image = write(tmp_path / "image.fits", np.zeros((N, N)), wcs_of())
    with pytest.warns(UserWarning, match=r"up to .*% of the light of point-spread functions lies outside .* of 9"):
        cutout = FitsMosaic(image, psf=MoffatPSF(1.2, beta=2.0), psf_npix=9).cutout(request())
    assert cutout.psf.shape == (1, 9, 9, 1)
    assert cutout.psf.sum() == pytest.approx(1, abs=1e-6)
