import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS

from galestim import Catalog, CutoutFetcher
from galestim.cutouts import FitsMosaic
from galestim.datasets import make_sky
from galestim.simulation import (
    Band,
    GaussianPSF,
    ImagePSF,
    LogUniform,
    MoffatPSF,
    Uniform,
    half_light_radius,
    hsc_like,
    render,
    sim_v1_prior,
)

NOISELESS = Band(MoffatPSF(0.58), sky_noise=0.0, pixel_scale=0.168)
RENDERED = ("flux", *(name for name in sim_v1_prior().priors if name[:5] in ("bulge", "disk_")))


def prior(**changes):
    return sim_v1_prior().replace(**changes)


def magnitudes(faintest, brightest):
    """Of these fluxes at zero point 27."""
    return Uniform(*(27 - 2.5 * np.log10([brightest, faintest])))


THIN_DISKS = prior(
    bulge_to_total=Uniform(0, 1e-6), disk_axis_ratio=Uniform(0.25, 0.3), disk_radius=LogUniform(0.8, 1)
)


def parameters(catalog, rows):
    """Rows of the catalog as `render` takes them, in the middle of a stamp."""
    columns = {name: np.asarray(u.Quantity(catalog[name]).value)[rows] for name in RENDERED}
    return columns | {"x_offset": np.zeros(len(rows)), "y_offset": np.zeros(len(rows))}


def moments(images, radius):
    """Centroid (rows, columns) and position angle [deg] of the light within `radius` [pixels] of the middle."""
    row, column = np.indices(images.shape[1:]) - (images.shape[1] - 1) / 2
    light = images * (np.hypot(row, column) < radius)
    light = light / light.sum(axis=(1, 2), keepdims=True)
    north, east = -row, -column
    angle = 0.5 * np.arctan2((2 * light * east * north).sum((1, 2)), (light * (north**2 - east**2)).sum((1, 2)))
    return (light * row).sum((1, 2)), (light * column).sum((1, 2)), np.degrees(angle) % 180


def isolated(sky, distance):
    """Rows of galaxies whose neighbors are farther than `distance` [pixels]."""
    x, y = sky.catalog["x"].value, sky.catalog["y"].value
    apart = np.hypot(x[:, None] - x, y[:, None] - y) + 1e9 * np.eye(len(x))
    return np.flatnonzero(apart.min(axis=1) > distance)


# --- the file, and what is cut from it ----------------------------------------------------------------------


@pytest.mark.parametrize("rotation", [0.0, 30.0, 200.0])
def test_a_cutout_has_the_galaxy_of_its_row(tmp_path, rotation):
    compact = prior(
        bulge_sersic_index=Uniform(2.5, 2.6), bulge_radius=LogUniform(0.15, 0.2), magnitude=magnitudes(500, 6000)
    )
    sky = make_sky(
        25, shape=(900, 1000), prior=compact, rotation=rotation, path=tmp_path / "field.fits", random_state=0
    )
    images = CutoutFetcher(FitsMosaic(sky.path), npix=61).fit_transform(sky.catalog)[..., 0]
    rows = isolated(sky, 70)
    assert len(rows) >= 8
    down, right, _ = moments(images[rows], 12)
    assert np.hypot(down, right).max() < 0.1
    row, column = np.indices((61, 61)) - 30
    aperture = np.hypot(row, column) < 20
    truth = render(parameters(sky.catalog, rows), npix=61, pixel_scale=0.168, psf=MoffatPSF(0.58)).numpy()
    fluxes, expected = (stamps[:, aperture].sum(axis=1, dtype=float) for stamps in (images[rows], truth))
    sigma = np.sqrt(aperture.sum() * 0.055**2 + expected / 3000)
    assert abs((fluxes - expected) / sigma).max() < 4  # and a wing of a neighbor is far below
    assert (expected > 0.8 * sky.catalog["flux"][rows]).all()


@pytest.mark.parametrize("rotation", [0.0, 30.0])
@pytest.mark.parametrize("dec", [-30.0, 89.9])  # where north differs between the galaxies of a mosaic
def test_position_angles_are_from_north_through_east(tmp_path, rotation, dec):
    options = {"band": NOISELESS, "prior": THIN_DISKS, "center": (150, dec), "rotation": rotation, "random_state": 1}
    sky = make_sky(12, shape=(800, 800), path=tmp_path / "field.fits", **options)
    rows = isolated(sky, 80)
    images = CutoutFetcher(FitsMosaic(sky.path), npix=61).fit_transform(sky.catalog[rows])[..., 0]
    _, _, measured = moments(images, 25)
    expected = moments(
        render(parameters(sky.catalog, rows), npix=61, pixel_scale=0.168, psf=MoffatPSF(0.58)).numpy(), 25
    )
    assert len(rows) >= 5
    catalog = sky.catalog["disk_position_angle"][rows].value
    assert abs((measured - catalog + 90) % 180 - 90).max() < 1
    assert abs((measured - expected[2] + 90) % 180 - 90).max() < 0.2


def test_the_file_is_what_was_returned(tmp_path):
    sky = make_sky(3, shape=(150, 160), rotation=10, path=str(tmp_path / "field.fits"), random_state=0)
    with fits.open(sky.path) as hdus:
        np.testing.assert_array_equal(hdus[0].data, sky.image)
        again = WCS(hdus[0].header)
        assert hdus[0].header["MAGZPT"] == 27.0
    np.testing.assert_allclose(again.all_pix2world(3.0, 7.0, 0), sky.wcs.all_pix2world(3.0, 7.0, 0), rtol=1e-12)
    assert sky.wcs.pixel_shape == (160, 150)
    make_sky(3, shape=(150, 160), path=sky.path, random_state=1)  # replaces it
    assert not np.array_equal(fits.getdata(sky.path), sky.image)
    assert make_sky(1, shape=(20, 30)).path is None


# --- WCS and catalog ----------------------------------------------------------------------------------------


def test_center_rotation_and_handedness():
    for rotation in (0, 30, 270):
        sky = make_sky(1, shape=(101, 201), center=(359.99, 60.0), rotation=rotation, random_state=0)
        middle, above, left = (sky.wcs.pixel_to_world(*pixel) for pixel in ((100, 50), (100, 51), (99, 50)))
        assert middle.separation(SkyCoord(359.99, 60.0, unit="deg")) < 1e-6 * u.arcsec
        assert middle.separation(above).arcsec == pytest.approx(0.168, rel=1e-6)
        assert middle.position_angle(above).deg % 360 == pytest.approx(rotation, abs=1e-3) or rotation == 0
        assert middle.position_angle(left).deg % 360 == pytest.approx((rotation + 90) % 360, abs=1e-3)
    upright = make_sky(1, shape=(101, 201), center=(150.0, 0.0), random_state=0).wcs
    assert upright.pixel_to_world(100, 51).dec > 0 * u.deg  # north is up
    assert upright.pixel_to_world(99, 50).ra > 150 * u.deg  # east is left


def test_catalog():
    sky = make_sky(40, shape=(400, 500), rotation=77, random_state=0)
    catalog = sky.catalog
    units = {"ra": u.deg, "half_light_radius": u.arcsec, "disk_radius": u.arcsec, "disk_position_angle": u.deg}
    assert {name: catalog[name].unit for name in units} == units
    x, y = sky.wcs.all_world2pix(catalog["ra"], catalog["dec"], 0)
    np.testing.assert_allclose([x, y], [catalog["x"].value, catalog["y"].value], atol=1e-6)
    assert x.min() >= 69.5
    assert x.max() <= 500 - 70.5
    assert y.min() < 90
    assert y.max() > 310
    np.testing.assert_allclose(
        catalog["half_light_radius"].value, half_light_radius(parameters(catalog, np.arange(40)))
    )
    np.testing.assert_allclose(catalog["flux"], 10 ** (-0.4 * (catalog["magnitude"].value - 27)))
    assert len(Catalog(catalog)) == 40


def test_same_seed_same_sky_and_only_what_changes_changes():
    sky, same, other = (make_sky(5, shape=(200, 200), random_state=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(sky.image, same.image)
    assert not np.array_equal(sky.image, other.image)
    blurred = make_sky(5, shape=(200, 200), band=hsc_like("g"), random_state=0)
    for name in ("ra", "flux", "x"):
        np.testing.assert_array_equal(blurred.catalog[name], sky.catalog[name])


# --- the picture --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("band", [NOISELESS, hsc_like("i")])
def test_stamps_do_not_show(band):
    bright = prior(
        magnitude=magnitudes(6000, 6300), bulge_to_total=Uniform(0.9, 1.0), bulge_radius=LogUniform(0.4, 1.5)
    )
    for seed in range(3):
        sky = make_sky(1, shape=(401, 501), band=band, prior=bright, random_state=seed)
        truth = parameters(sky.catalog, [0]) | {"x_offset": sky.catalog["x"].value - 250}
        truth["y_offset"] = 200 - sky.catalog["y"].value
        expected = render(truth, npix=501, pixel_scale=0.168, psf=MoffatPSF(0.58))[0].numpy()[450:49:-1]
        if band.sky_noise:
            deviate = (sky.image - expected) / np.sqrt(0.055**2 + expected / 3000)
            assert abs(deviate.mean()) < 0.012  # of which 0.002 is chance
            assert deviate.std() == pytest.approx(1, abs=0.01)
        else:
            lacking = expected - sky.image
            assert abs(lacking).max() < 3e-4 * expected.max()
            assert abs(lacking[expected < 1e-3 * expected.max()]).max() < 2e-5 * expected.max()


def test_galaxies_are_summed_and_cut_at_the_edges():
    wide = prior(
        magnitude=magnitudes(6000, 6300), bulge_to_total=Uniform(0.9, 1.0), bulge_radius=LogUniform(1.4, 1.5)
    )
    sky = make_sky(4, shape=(90, 60), band=NOISELESS, prior=wide, random_state=0)
    expected = np.zeros((90, 60))
    for row, (x, y) in enumerate(zip(sky.catalog["x"].value, sky.catalog["y"].value)):
        truth = parameters(sky.catalog, [row]) | {"x_offset": np.array([x - 29.5]), "y_offset": np.array([44.5 - y])}
        expected += render(truth, npix=90, pixel_scale=0.168, psf=MoffatPSF(0.58))[0].numpy()[::-1, 15:75]
    np.testing.assert_allclose(sky.image, expected, atol=3e-4 * expected.max())


def test_a_measured_psf_is_in_the_orientation_of_the_image():
    row, column = np.indices((31, 31)) - 15
    star = np.exp(-(row**2 + column**2) / 8) + 0.3 * np.exp(-((row - 6) ** 2 + (column - 3) ** 2) / 8)
    points = prior(bulge_radius=LogUniform(1e-4, 2e-4), disk_radius=LogUniform(1e-4, 2e-4))
    band = Band(ImagePSF(star, 0.168), sky_noise=0.0, pixel_scale=0.168)
    image = make_sky(1, shape=(120, 120), band=band, prior=points, rotation=50, random_state=0).image
    top, left = np.unravel_index(image.argmax(), image.shape)
    assert image[top + 6, left + 3] > 5 * abs(image[top - 6, left + 3])
    assert image[top + 6, left + 3] == pytest.approx(0.3 * image[top, left], rel=0.2)


def test_noise_is_that_of_sky_and_photons_of_the_sum():
    crowd = prior(magnitude=magnitudes(3000, 6000))
    band = Band(GaussianPSF(0.6), sky_noise=0.1, pixel_scale=0.168, gain=20.0)
    clean = make_sky(30, shape=(200, 200), band=Band(GaussianPSF(0.6), 0.0, 0.168), prior=crowd, random_state=0).image
    noisy = make_sky(30, shape=(200, 200), band=band, prior=crowd, random_state=0).image
    deviate = (noisy - clean) / np.sqrt(0.01 + clean / 20)
    for pixels in (clean < 0.3, (clean >= 0.3) & (clean < 5), clean >= 5):
        assert pixels.sum() > 500
        assert deviate[pixels].std() == pytest.approx(1, abs=4 / np.sqrt(2 * pixels.sum()))


# --- what cannot be drawn -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"n_samples": 0}, r"The 'n_samples' parameter of make_sky must be an int in the range \[1, inf\)"),
        ({"shape": (100,)}, r"^shape=\(100,\); expected \(height, width\), in pixels\.$"),
        ({"shape": (100, 0.5)}, r"^shape=\(100, 0\.5\); expected \(height, width\), in pixels\.$"),
        ({"center": (150, 91)}, r"^center=\(150, 91\); expected \(ra, dec\) in degrees, with dec in \[-90, 90\]\.$"),
        ({"center": (150, 2, 3)}, r"^center=\(150, 2, 3\); expected \(ra, dec\) in degrees"),
        ({"band": "i"}, r"^band='i'; expected a galestim\.simulation\.Band, such as hsc_like\('i'\), or None\.$"),
        (
            {"prior": {}},
            r"^prior=\{\}; expected a galestim\.simulation\.GalaxyPrior, such as sim_v1_prior\(\), or None\.$",
        ),
    ],
)
def test_bad_parameters(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        make_sky(**{"n_samples": 1, "shape": (100, 100)} | options)
