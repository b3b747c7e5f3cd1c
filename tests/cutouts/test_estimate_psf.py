"""Point-spread functions measured from the stars of fields whose truth is known."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS

from galestim import Cutouts
from galestim.cutouts import FitsMosaic, estimate_psf

galsim = pytest.importorskip("galsim")
pytest.importorskip("photutils")

NPIX = 400


class SimulatedField:
    """Stars on a coarse grid, galaxies between them, noise of 1 and a sky that is not flat."""

    def __init__(self, fwhm=3.2, n_side=6, galaxies=60, seed=0):
        rng = np.random.default_rng(seed)
        self.psf = galsim.Moffat(beta=3, fwhm=fwhm).shear(g1=0.03, g2=-0.02)
        self.image = galsim.ImageD(NPIX, NPIX)
        side = np.arange(n_side) * (NPIX / n_side) + NPIX / n_side / 2
        self.stars = np.array([(x, y) for x in side for y in side]) + rng.uniform(-3, 3, (n_side**2, 2))
        for (x, y), flux in zip(self.stars, 10 ** rng.uniform(4, 5, len(self.stars))):
            self.add(self.psf.withFlux(flux), x, y)
        places = rng.uniform(0, NPIX, (galaxies, 2))
        away = [np.hypot(*(self.stars - place).T).min() > 24 for place in places]
        for x, y in places[away]:
            galaxy = galsim.Sersic(n=rng.uniform(0.7, 3), half_light_radius=rng.uniform(1.5, 4))
            galaxy = galaxy.shear(g1=rng.normal(0, 0.15)).withFlux(10 ** rng.uniform(4, 5))
            self.add(galsim.Convolve(galaxy, self.psf), x, y)
        row = np.arange(NPIX)[:, None]
        self.pixels = self.image.array + 100 + row / 40 + rng.normal(size=(NPIX, NPIX))
        self.truth = self.stamp(self.psf)

    def add(self, profile, x, y):
        column, row = round(x), round(y)
        stamp = profile.drawImage(nx=81, ny=81, scale=1, offset=(x - column, y - row))
        stamp.setCenter(column + 1, row + 1)
        shared = stamp.bounds & self.image.bounds
        if shared.isDefined():
            self.image[shared] += stamp[shared]

    @staticmethod
    def stamp(psf):
        stamp = psf.drawImage(nx=41, ny=41, scale=1).array
        return stamp / stamp.sum()


@pytest.fixture(scope="module")
def field():
    return SimulatedField()


@pytest.fixture(scope="module")
def estimate(field):
    return estimate_psf(field.pixels)


def moments(stamp):
    """σ and both components of the ellipticity, by GalSim."""
    found = galsim.hsm.FindAdaptiveMom(galsim.Image(np.ascontiguousarray(stamp, dtype=float)))
    return found.moments_sigma, found.observed_shape.g1, found.observed_shape.g2


def test_width_and_shape_of_moffat_stars(field, estimate):
    stamp = np.asarray(estimate)
    sigma, g1, g2 = moments(field.truth)
    assert stamp.shape == (41, 41)
    assert stamp.sum() == pytest.approx(1)
    assert moments(stamp)[0] == pytest.approx(sigma, rel=0.01)
    assert moments(stamp)[1:] == pytest.approx((g1, g2), abs=0.003)
    assert abs(stamp - field.truth).max() < 0.02 * field.truth.max()


def test_full_width(field, estimate):
    # of the truth drawn on finer pixels, which the pixel has widened as it has the stars
    half = field.truth.max() / 2
    fine = galsim.Convolve(field.psf, galsim.Pixel(1)).drawImage(nx=401, ny=401, scale=0.1, method="no_pixel").array
    assert half == pytest.approx(fine.max() * 100 / 2, rel=0.03)
    width = 0.1 * 2 * np.sqrt((fine > fine.max() / 2).sum() / np.pi)
    assert estimate.fwhm == pytest.approx(width, rel=0.01)


def test_only_stars_are_taken_for_stars(field, estimate):
    found = np.column_stack([estimate.stars["x"], estimate.stars["y"]])
    distance = np.hypot(*(found[:, None] - field.stars).transpose(2, 0, 1)).min(axis=1)
    assert len(found) > 10
    assert distance.max() < 0.1


def test_center_is_the_middle_pixel(estimate):
    y, x = np.indices((41, 41)) - 20
    light = np.asarray(estimate) * np.exp(-(x**2 + y**2) / 18)
    assert [(light * axis).sum() / light.sum() for axis in (x, y)] == pytest.approx([0, 0], abs=0.02)


@pytest.mark.parametrize("unit", [1e-12, 1e6])
def test_image_units_do_not_matter(field, estimate, unit):
    scaled = estimate_psf(field.pixels * unit)
    assert scaled.fwhm == pytest.approx(estimate.fwhm, rel=1e-3)
    assert scaled.stars["flux"] / unit == pytest.approx(np.asarray(estimate.stars["flux"]), rel=1e-3)


def test_stars_may_be_given(field):
    given = Table({"x": field.stars[:9, 0], "y": field.stars[:9, 1]})
    by_table, by_rows = estimate_psf(field.pixels, given), estimate_psf(field.pixels, field.stars[:9])
    assert 3 <= len(by_table.stars) <= 9
    assert np.array_equal(np.asarray(by_table), np.asarray(by_rows))
    assert moments(np.asarray(by_table))[0] == pytest.approx(moments(field.truth)[0], rel=0.01)


def test_masked_and_saturated_stars_are_left_out(field, estimate):
    bright = estimate.stars["x", "y", "flux"][np.argsort(-np.asarray(estimate.stars["flux"]))[:3]]
    mask = np.zeros(field.pixels.shape, dtype=bool)
    hot = field.pixels.copy()
    for x, y in bright["x", "y"].iterrows():
        mask[round(y), round(x)] = True
        hot[round(y), round(x)] = 1e9
    masked = estimate_psf(hot, mask=mask)
    saturated = estimate_psf(hot, saturation=1e8)
    for other in (masked, saturated):
        apart = np.hypot(*(other.stars[axis][:, None] - np.asarray(bright[axis]) for axis in "xy"))
        assert apart.min() > 5
        assert moments(np.asarray(other))[0] == pytest.approx(moments(field.truth)[0], rel=0.01)


def test_mosaic_on_disk(field, estimate, tmp_path):
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.crpix = ["RA---TAN", "DEC--TAN"], [150.0, 2.0], [200.0, 200.0]
    wcs.wcs.cdelt = [-0.2 / 3600, 0.2 / 3600]
    fits.PrimaryHDU(field.pixels, wcs.to_header()).writeto(tmp_path / "field.fits")
    mosaic = FitsMosaic(tmp_path / "field.fits")
    assert np.asarray(estimate_psf(mosaic)) == pytest.approx(np.asarray(estimate), abs=1e-7)
    ra, dec = wcs.all_pix2world(field.stars[:9], 0).T
    on_sky = estimate_psf(mosaic, {"ra": ra, "dec": dec})
    assert np.asarray(on_sky) == pytest.approx(np.asarray(estimate_psf(field.pixels, field.stars[:9])), abs=1e-7)


def test_feeds_cutouts(estimate):
    assert Cutouts(np.zeros((3, 20, 20)), psf=estimate).psf.shape == (41, 41)


def test_too_few_stars(field, estimate):
    good = [estimate.stars[axis][0] for axis in "xy"]
    with pytest.raises(ValueError, match=r"1 of 2 positions are bright .* expected 3 or more stars\. Give their"):
        estimate_psf(field.pixels, np.array([[2.0, 2.0], good]))
    with pytest.raises(ValueError, match="0 of 0 sources"):
        estimate_psf(np.random.default_rng(0).normal(size=(200, 200)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"npix": 40}, "npix=40; expected an odd number"),
        ({"stars": np.zeros(3)}, r"stars has shape \(3,\)"),
        ({"stars": {"ra": [150.0], "dec": [2.0]}}, "no columns x and y"),
        ({"mask": np.zeros((3, 3), dtype=bool)}, r"mask has shape \(3, 3\)"),
    ],
)
def test_wrong_arguments(field, arguments, message):
    with pytest.raises(ValueError, match=message):
        estimate_psf(field.pixels, **arguments)


def test_nothing_but_bad_pixels():
    with pytest.raises(ValueError, match="0 of 40000 pixels are sky"):
        estimate_psf(np.full((200, 200), np.nan))


def test_says_that_sources_are_smaller_than_its_stars():
    field = SimulatedField(n_side=1, galaxies=0)  # one star, and galaxies that are all alike
    galaxy = galsim.Convolve(galsim.Gaussian(half_light_radius=2, flux=5e4), field.psf)
    field.image.setZero()
    field.add(field.psf.withFlux(5e4), 200, 200)
    for x in (60, 130, 270, 340):
        field.add(galaxy, x, 100)
    pixels = field.image.array + np.random.default_rng(0).normal(size=field.pixels.shape)
    with pytest.warns(UserWarning, match="1 bright sources are smaller than the 4 that are taken for stars"):
        estimate_psf(pixels)
