import numpy as np
import pytest
from astropy import units
from astropy.coordinates import SkyCoord
from astropy.wcs import WCS
from scipy.special import gammainc, gammaincinv

from galestim.testing import GaussianSky, _sky
from galestim.testing._mixtures import DE_VAUCOULEURS, EXPONENTIAL, flux_within

PLACES = [(150.0, 2.0), (0.0001, 0.0), (359.9999, 60.0), (10.0, 89.9), (200.0, 90.0), (30.0, -90.0)]


def moved(ra, dec, angle, distance):
    """The position at a distance [arcsec] and an angle [deg, east of north], by astropy."""
    place = SkyCoord(ra, dec, unit="deg").directional_offset_by(angle * units.deg, distance * units.arcsec)
    return place.ra.deg, place.dec.deg


def centroid(image):
    rows, columns = np.indices(image.shape)
    return (image * rows).sum() / image.sum(), (image * columns).sum() / image.sum()


# --- light at a position ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ra", "dec"), PLACES)
def test_a_gaussian_is_a_gaussian_everywhere(ra, dec):
    sky = GaussianSky([ra], [dec], [[1.0, 2.0, 5.0]], 3.0, 0.5, 30.0)
    peak = np.array([1, 2, 5]) / (2 * np.pi * 3.0 * 1.5)
    np.testing.assert_allclose(sky.surface_brightness(ra, dec), peak, rtol=1e-12)
    along, across = (sky.surface_brightness(*moved(ra, dec, angle, 4.0)) for angle in (30.0, 120.0))
    np.testing.assert_allclose(along, peak * np.exp(-0.5 * (4 / 3) ** 2), rtol=1e-5)
    np.testing.assert_allclose(across, peak * np.exp(-0.5 * (4 / 1.5) ** 2), rtol=1e-5)


def test_positions_of_any_shape():
    sky = GaussianSky([10.0], [0.0], [[1.0, 2.0]], 3.0, bands="gr")
    ra, dec = np.meshgrid(10 + np.linspace(-5, 5, 7) / 3600, np.linspace(-9, 9, 4) / 3600)
    values = sky.surface_brightness(ra, dec)
    assert values.shape == (4, 7, 2)
    np.testing.assert_allclose(sky.surface_brightness(ra.ravel(), dec.ravel()), values.reshape(-1, 2))
    np.testing.assert_allclose(sky.surface_brightness(ra[2, 5], dec[2, 5]), values[2, 5])
    assert sky.surface_brightness([], []).shape == (0, 2)


def test_the_other_side_of_the_sky_is_dark():
    sky = GaussianSky([10.0], [20.0], [1.0], 3000.0)
    places = np.meshgrid(np.arange(0, 360, 5.0), np.arange(-90, 91, 5.0))
    far = SkyCoord(*places, unit="deg").separation(SkyCoord(10.0, 20.0, unit="deg")).deg > 10
    whole = sky.surface_brightness(*places)
    assert whole[~far].max() > 0
    assert whole[far].max() == 0  # the opposite point, where offsets vanish too, among them


def test_sources_add_up_wherever_they_are():
    rng = np.random.default_rng(0)
    n = 60
    ra, dec = 200 + rng.uniform(-60, 60, n) / 3600, 45 + rng.uniform(-40, 40, n) / 3600
    flux, sigma, ratio, angle = (
        rng.random((n, 3)),
        rng.uniform(0.3, 9, n),
        rng.uniform(0.2, 1, n),
        rng.uniform(0, 360, n),
    )
    places = 200 + rng.uniform(-30, 30, 200) / 3600, 45 + rng.uniform(-30, 30, 200) / 3600
    together = GaussianSky(ra, dec, flux, sigma, ratio, angle).surface_brightness(*places)
    alone = [GaussianSky(*(v[i : i + 1] for v in (ra, dec, flux, sigma, ratio, angle))) for i in range(n)]
    np.testing.assert_allclose(together, sum(sky.surface_brightness(*places) for sky in alone), rtol=1e-9)


def test_reach_leaves_nothing_to_see():
    # What is drawn in windows is, to the stated 1.5e-8 of the peak, the Gaussian without any.
    sky, step = GaussianSky([10.0], [0.0], [1.0], 3.0, 0.4, 70.0), 0.7
    up, left = np.meshgrid(*[(40 - np.arange(81)) * step] * 2, indexing="ij")
    sine, cosine = np.sin(np.radians(70)), np.cos(np.radians(70))
    along, across = left * sine + up * cosine, left * cosine - up * sine
    expected = np.exp(-0.5 * ((along / 3) ** 2 + (across / 1.2) ** 2)) / (2 * np.pi * 3 * 1.2)
    image = sky.image(10.0, 0.0, (81, 81), step)[..., 0] / step**2
    np.testing.assert_allclose(image, expected, atol=1.6e-8 * expected.max())


# --- images -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ra", "dec"), [*PLACES[:4], (123.0, -89.0)])
@pytest.mark.parametrize("shape", [(41, 50), (50, 41)])
def test_image_is_the_sky_at_the_pixels_of_a_tan_projection(ra, dec, shape):
    places = [moved(ra, dec, angle, distance) for angle, distance in ((0, 0), (40, 8), (200, 6))]
    sky = GaussianSky(*np.transpose(places), [5.0, 2.0, 1.0], [1.5, 2.0, 3.0], 0.6, 20.0)
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval = ["RA---TAN", "DEC--TAN"], [ra, dec]
    wcs.wcs.crpix, wcs.wcs.cdelt = [(shape[1] + 1) / 2, (shape[0] + 1) / 2], [-0.5 / 3600, 0.5 / 3600]
    columns, rows = np.meshgrid(np.arange(shape[1]), np.arange(shape[0]))
    expected = sky.surface_brightness(*wcs.pixel_to_world_values(columns, rows)) * 0.5**2
    image = sky.image(ra, dec, shape, 0.5)
    np.testing.assert_allclose(image[::-1], expected, rtol=1e-6, atol=1e-9)  # FITS counts rows from the south


@pytest.mark.parametrize(("ra", "dec"), [(150.0, 0.0), (359.9995, 60.0), (20.0, 89.9)])
@pytest.mark.parametrize("size", [60, 61])
def test_north_is_up_and_east_is_left(ra, dec, size):
    north = moved(ra, dec, 0, 10.0)
    sky = GaussianSky(*np.transpose([moved(*north, 90, 5.0)]), [1.0], 1.0)
    image = sky.image(ra, dec, (size, size), 0.5)[..., 0]
    middle = (size - 1) / 2
    np.testing.assert_allclose(centroid(image), (middle - 20, middle - 10), atol=0.02)


@pytest.mark.parametrize("sigma", [1.0, 1.7, 6.0])
def test_flux_is_kept(sigma):
    sky = GaussianSky([10.0], [20.0], [[1.0, 20.0, 300.0]], sigma, 0.8, 25.0)
    for pixel_scale in (0.4, 0.8):
        image = sky.image(10.00001, 20.00002, (151, 151), pixel_scale)
        np.testing.assert_allclose(image.sum(axis=(0, 1)), [1, 20, 300], rtol=1e-6)


def test_constant_sky():
    sky = GaussianSky([], [], np.empty((0, 2)), [], bands="gr", background=[1.0, 7.0])
    image = sky.image(0.0, 89.0, (20, 30), 2.0)
    np.testing.assert_allclose(image, np.broadcast_to([4.0, 28.0], (20, 30, 2)), rtol=1e-12)


def test_each_band_lights_its_own_plane():
    sky = GaussianSky([10.0, 10.001, 10.002], [0.0] * 3, np.diag([1.0, 2.0, 3.0]), 1.0)
    planes = sky.image(10.001, 0.0, (41, 41), 0.5).transpose(2, 0, 1)
    columns = [centroid(plane)[1] for plane in planes]
    np.testing.assert_allclose(columns, [20 + 7.2, 20, 20 - 7.2], atol=0.01)


@pytest.mark.parametrize(
    ("footprint", "inside", "outside"),
    [
        ((0.0, 89.9, 0.3), [(180.0, 89.9), (0.0, 89.7)], [(180.0, 89.7), (0.0, 89.5)]),
        ((359.0, 1.0, -1.0, 1.0), [(0.0, 0.0), (359.5, -0.9), (360.5, 0.9)], [(2.0, 0.0), (358.0, 0.0), (0.0, 1.1)]),
        ((0.0, 360.0, -1.0, 1.0), [(0.0, 0.0), (180.0, 0.0)], [(0.0, 2.0)]),
        (None, [(0.0, 0.0), (77.0, -90.0)], []),
    ],
)
def test_footprint(footprint, inside, outside):
    sky = GaussianSky([0.0], [0.0], [1.0], 1.0, footprint=footprint)
    assert [bool(sky.covers(*place)) for place in inside] == [True] * len(inside)
    assert [bool(sky.covers(*place)) for place in outside] == [False] * len(outside)


def test_image_is_nan_outside_the_footprint():
    sky = GaussianSky([10.0], [0.0], [1.0], 2.0, footprint=(10.0, 11.0, -1.0, 1.0))  # from the middle to the east
    image = sky.image(10.0, 0.0, (40, 40), 0.5)
    assert np.isfinite(image[:, :20]).all()
    assert np.isnan(image[:, 20:]).all()


# --- galaxies -----------------------------------------------------------------------------------------------


def sersic_share(radius, n):
    return gammainc(2 * n, gammaincinv(2 * n, 0.5) * radius ** (1 / n))


@pytest.mark.parametrize(("mixture", "n", "accuracy"), [(EXPONENTIAL, 1, 2e-4), (DE_VAUCOULEURS, 4, 3e-3)])
def test_light_of_the_mixtures_grows_as_that_of_the_profiles(mixture, n, accuracy):
    radius = np.geomspace(0.001, 100, 500)
    np.testing.assert_allclose(flux_within(radius, mixture), sersic_share(radius, n), atol=accuracy)


@pytest.mark.parametrize(
    ("mixture", "n", "limits", "accuracy"), [(EXPONENTIAL, 1, (0.05, 4), 0.01), (DE_VAUCOULEURS, 4, (0.1, 8), 0.05)]
)
def test_surface_brightness_of_the_mixtures(mixture, n, limits, accuracy):
    radius = np.geomspace(*limits, 500)
    shares, variances = mixture
    brightness = (shares / (2 * np.pi * variances) * np.exp(-0.5 * radius[:, None] ** 2 / variances)).sum(axis=1)
    step = 1e-4 * radius
    annulus = sersic_share(radius + step, n) - sersic_share(radius - step, n)
    np.testing.assert_allclose(brightness, annulus / (4 * np.pi * radius * step), rtol=accuracy)


@pytest.mark.parametrize("bulge_to_total", [0.0, 0.3, 1.0])
def test_half_of_the_light_is_within_the_half_light_radius(bulge_to_total):
    sky = GaussianSky.from_galaxies([10.0], [0.0], [100.0], [4.0], [bulge_to_total], psf_fwhm=0.0)
    size, step = 401, 0.1
    image = sky.image(10.0, 0.0, (size, size), step)[..., 1]
    distance = np.hypot(*(np.indices((size, size)) - (size - 1) / 2)) * step
    assert image[distance < 4.0].sum() == pytest.approx(50.0, rel=0.01)


def test_axis_ratio_and_position_angle_of_a_disk():
    sky = GaussianSky.from_galaxies([10.0], [0.0], [1.0], [5.0], [0.0], 0.4, 30.0, psf_fwhm=0.0)
    image = sky.image(10.0, 0.0, (501, 501), 0.25)[..., 1]
    up, left = np.meshgrid(*[(250 - np.arange(501)) * 0.25] * 2, indexing="ij")
    covariance = np.array([[(image * a * b).sum() for a in (up, left)] for b in (up, left)]) / image.sum()
    (minor, major), vectors = np.linalg.eigh(covariance)
    assert np.sqrt(minor / major) == pytest.approx(0.4, rel=1e-3)
    assert np.degrees(np.arctan(vectors[1, 1] / vectors[0, 1])) == pytest.approx(30.0, abs=0.05)


def test_psf_adds_its_variance():
    images = [
        GaussianSky.from_galaxies([10.0], [0.0], [1.0], [2.0], [0.0], 0.5, 0.0, psf_fwhm=fwhm).image(
            10.0, 0.0, (301, 301), 0.25
        )[..., 1]
        for fwhm in (0.0, 2.0)
    ]
    up = (150 - np.arange(301)) * 0.25
    sharp, blurred = ((image.sum(axis=1) * up**2).sum() for image in images)
    assert blurred - sharp == pytest.approx((2.0 / np.sqrt(8 * np.log(2))) ** 2, rel=1e-3)


def test_colors_of_bulge_and_disk():
    bulge, disk = (
        GaussianSky.from_galaxies([10.0], [0.0], [100.0], [3.0], [share])
        .image(10.0, 0.0, (600, 600), 0.5)
        .sum((0, 1))
        for share in (1.0, 0.0)
    )
    np.testing.assert_allclose(-2.5 * np.log10(bulge / bulge[1]), [0.8, 0.0, -0.4], atol=1e-6)
    np.testing.assert_allclose(-2.5 * np.log10(disk / disk[1]), [0.3, 0.0, -0.1], atol=1e-6)
    assert disk[1] == pytest.approx(100.0, rel=1e-4)


def test_every_galaxy_has_its_own_parameters():
    sky = GaussianSky.from_galaxies(
        [10.0, 10.1], [0.0, 0.0], [10.0, 70.0], [2.0, 4.0], [0.0, 0.0], [1.0, 0.3], [0.0, 90.0], psf_fwhm=0.0
    )
    round_one, flat = (sky.image(ra, 0.0, (121, 121), 0.5)[..., 1] for ra in (10.0, 10.1))
    np.testing.assert_allclose([round_one.sum(), flat.sum()], [10, 70], rtol=0.01)
    np.testing.assert_allclose(round_one, round_one.T, atol=1e-9)
    assert flat[60, 20:100].sum() > 2 * flat[20:100, 60].sum()


# --- mosaics ------------------------------------------------------------------------------------------------


def test_mosaic_puts_sources_where_its_wcs_says(monkeypatch):
    monkeypatch.setattr(_sky, "TILE", 37)  # borders of tiles, also through sources
    ra, dec = 359.99 + np.array([0.0, 0.02]), 60 + np.array([0.0, 0.012])
    sky = GaussianSky(ra, dec, [[1, 2, 3], [10, 20, 30]], 2.0)
    hdu = sky.to_mosaic(0.0, 60.005, (200, 150), 0.5, "i")
    assert hdu.data.dtype == np.float32
    columns, rows = WCS(hdu.header).world_to_pixel_values(ra % 360, dec)
    for column, row, flux in zip(columns, rows, [3, 30], strict=True):
        box = hdu.data[int(row) - 25 : int(row) + 26, int(column) - 25 : int(column) + 26]
        assert box.sum() == pytest.approx(flux, rel=1e-4)
        np.testing.assert_allclose(centroid(box), (row - int(row) + 25, column - int(column) + 25), atol=1e-3)


def test_mosaic_at_the_pole():
    # Where FITS' default orientation turns by 180 degrees.
    sky = GaussianSky([70.0], [89.99], [1.0], 3.0)
    hdu = sky.to_mosaic(0.0, 90.0, (200, 200), 0.5, "r")
    x, y = WCS(hdu.header).world_to_pixel_values(70.0, 89.99)
    np.testing.assert_allclose(centroid(hdu.data), (y, x), atol=1e-3)


def test_mosaic_is_the_image_upside_down_with_noise():
    sky = GaussianSky([10.0], [0.0], [100.0], 3.0)
    image = sky.image(10.0, 0.0, (90, 70), 0.4)[..., 0]
    first, second = (sky.to_mosaic(10.0, 0.0, (90, 70), 0.4, "g", noise=0.1, random_state=3).data for _ in range(2))
    np.testing.assert_array_equal(first, second)
    noise = first[::-1] - image
    assert noise.std() == pytest.approx(0.1, rel=0.05)
    assert abs(noise.mean()) < 0.01


def test_mosaic_knows_its_bands():
    with pytest.raises(ValueError, match=r"band='z'; expected one of \('g', 'r', 'i'\)"):
        GaussianSky([10.0], [0.0], [1.0], 3.0).to_mosaic(10.0, 0.0, (9, 9), 0.4, "z")


# --- what may come in ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"dec": [0.0, 123.4]}, r"row 1: dec=123.4 is outside \[-90, 90\]; expected ra and dec in degrees"),
        ({"ra": [1.0, np.nan]}, "ra contains NaN or infinity; expected finite numbers"),
        ({"ra": [1.0]}, r"ra and dec have shapes \(1,\) and \(2,\); expected \(n_sources,\) twice"),
        ({"flux": np.ones((2, 4))}, r"flux has shape \(2, 4\); expected \(2,\) or \(2, 3\): sources, bands"),
        ({"sigma": [1.0, 0.0]}, r"sigma=0; expected \(0, 3600\] arcsec"),
        ({"sigma": [1.0, 2.0, 3.0]}, r"sigma has shape \(3,\); expected a number or one for each of the 2 positions"),
        ({"axis_ratio": 1.5}, r"axis_ratio=1.5; expected \(0, 1\]"),
        ({"bands": ("g", "g", "r")}, "expected different names of one character each"),
        ({"footprint": (1.0, 2.0, 0.0)}, r"footprint=\(1.0, 2.0, 0.0\); expected \(ra, dec, radius\)"),
    ],
)
def test_bad_skies(changes, sentence):
    good = {"ra": [1.0, 2.0], "dec": [0.0, 1.0], "flux": [1.0, 1.0], "sigma": 2.0}
    with pytest.raises(ValueError, match=sentence):
        GaussianSky(**(good | changes))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"bulge_to_total": [1.2]}, r"bulge_to_total=1.2; expected \[0, 1\]"),
        ({"half_light_semimajor_axis": [-1.0]}, r"half_light_semimajor_axis=-1; expected \(0, 300\] arcsec"),
        ({"disk_colors": (0.0, 0.1)}, r"colors have shape \(2,\); expected one for each band, \(3,\)"),
        ({"psf_fwhm": -1.0}, "psf_fwhm=-1.0; expected an angle of at least 0 arcsec"),
    ],
)
def test_bad_galaxies(changes, sentence):
    good = {"ra": [1.0], "dec": [0.0], "flux": [1.0], "half_light_semimajor_axis": [2.0], "bulge_to_total": [0.5]}
    with pytest.raises(ValueError, match=sentence):
        GaussianSky.from_galaxies(**(good | changes))
