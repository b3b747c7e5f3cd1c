import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.wcs import WCS, Sip
from scipy.special import erf

from galestim.cutouts._placement import Placement
from galestim.cutouts._resample import ArrayImage, resample_all, resample_onto
from galestim.cutouts._sky_to_pixel import SkyToPixel
from galestim.cutouts._source import CutoutRequest

SIZE = 160


def make_wcs(ra=150.0, dec=2.0, *, rotation=0.0, flipped=False, pixel_scale=0.2, projection="TAN", size=SIZE):
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = [f"RA---{projection}", f"DEC--{projection}"]
    wcs.wcs.crval, wcs.wcs.crpix = [ra, dec], [size / 2 + 0.3, size / 2 - 0.2]
    c, s, side = np.cos(np.radians(rotation)), np.sin(np.radians(rotation)), 1 if flipped else -1
    wcs.wcs.cd = pixel_scale / 3600 * np.array([[side * c, s], [-side * s, c]])
    wcs.wcs.set()
    return wcs


def gaussian(x, y, sigma=1.5, size=SIZE):
    """Flux of a Gaussian of total flux 1 on each pixel."""
    edges = np.arange(size + 1) - 0.5
    return np.outer(*(np.diff(erf((edges - center) / sigma / np.sqrt(2))) / 2 for center in (y, x)))


def source_at(wcs, ra, dec, sigma=1.5):
    return gaussian(*wcs.all_world2pix(ra, dec, 0), sigma=sigma)


def flux_and_centroid(image):
    """Total, row, column."""
    image = np.nan_to_num(np.asarray(image, dtype=float))
    rows, columns = np.indices(image.shape)
    return image.sum(), (image * rows).sum() / image.sum(), (image * columns).sum() / image.sum()


def request(ra=150.0, dec=2.0, pixel_scale=0.2, npix=64):
    return CutoutRequest(ra, dec, pixel_scale, npix, "galaxy")


@pytest.mark.parametrize("npix", [64, 65])
@pytest.mark.parametrize("dec", [0.0, 60.0, -89.9])
@pytest.mark.parametrize(
    ("rotation", "flipped"), [(0, False), (0, True), (90, False), (180, True), (33, False), (33, True)]
)
def test_gaussian_keeps_its_flux_and_sits_in_the_middle(rotation, flipped, dec, npix):
    wcs = make_wcs(0.0, dec, rotation=rotation, flipped=flipped)
    ra, dec = wcs.all_pix2world([[83.3, 75.6]], 0)[0]
    for pixel_scale in (0.2, 0.15, 0.45):
        cutout = resample_onto(source_at(wcs, ra, dec), wcs, request(ra, dec, pixel_scale, npix))
        flux, row, column = flux_and_centroid(cutout)
        assert flux == pytest.approx(1, abs=3e-5)
        assert (row, column) == pytest.approx(((npix - 1) / 2,) * 2, abs=2e-3)


@pytest.mark.parametrize("npix", [64, 65])
@pytest.mark.parametrize(("ra", "dec"), [(0.0, 0.0), (359.9995, 60.0), (10.0, 89.9)])
@pytest.mark.parametrize(("rotation", "flipped"), [(0, False), (117, True)])
def test_source_10_arcsec_north_and_5_east_is_there(rotation, flipped, ra, dec, npix):
    source = SkyCoord(ra, dec, unit="deg").directional_offset_by(
        np.arctan2(5, 10) * u.rad, np.hypot(5, 10) * u.arcsec
    )
    wcs = make_wcs(ra, dec, rotation=rotation, flipped=flipped)
    cutout = resample_onto(source_at(wcs, source.ra.deg, source.dec.deg), wcs, request(ra, dec, 0.4, npix))
    middle = (npix - 1) / 2
    assert flux_and_centroid(cutout)[1:] == pytest.approx((middle - 25, middle - 12.5), abs=2e-3)


@pytest.mark.parametrize("rotation", [0, 90, 0.2, 30])
@pytest.mark.parametrize("pixel_scale", [0.2, 0.13, 0.5])
def test_constant_surface_brightness_stays_constant(rotation, pixel_scale):
    wcs = make_wcs(rotation=rotation)
    cutout = resample_onto(np.full((SIZE, SIZE), 7.0), wcs, request(150.0004, 2.0003, pixel_scale, 40))
    np.testing.assert_allclose(cutout, 7 * (pixel_scale / 0.2) ** 2, rtol=1e-6)
    same = resample_onto(
        np.full((SIZE, SIZE), 7.0), wcs, request(150.0004, 2.0003, pixel_scale, 40), surface_brightness=True
    )
    np.testing.assert_allclose(same, 7, rtol=1e-6)


def test_pixels_that_coincide_are_copied():
    wcs, image = make_wcs(dec=0.0), np.random.default_rng(0).normal(size=(SIZE, SIZE))
    ra, dec = wcs.all_pix2world([[80, 70]], 0)[0]
    cutout = resample_onto(image, wcs, request(ra, dec, npix=21))
    np.testing.assert_allclose(cutout, image[70 - 10 : 70 + 11, 80 - 10 : 80 + 11][::-1], atol=2e-5)


def test_larger_pixels_that_coincide_with_blocks_hold_their_sums():
    wcs, image = make_wcs(dec=0.0), np.random.default_rng(0).normal(size=(SIZE, SIZE))
    ra, dec = wcs.all_pix2world([[79.5, 79.5]], 0)[0]
    cutout = resample_onto(image, wcs, request(ra, dec, pixel_scale=0.8, npix=20))
    np.testing.assert_allclose(cutout, image[40:120, 40:120].reshape(20, 4, 20, 4).sum(axis=(1, 3))[::-1], atol=2e-4)


@pytest.mark.parametrize("rotation", [0, 30])
def test_a_point_source_is_hardly_blurred(rotation):
    wcs, sigma = make_wcs(rotation=rotation), 1.0  # 2.4 px FWHM
    ra, dec = wcs.all_pix2world([[80.5, 80.5]], 0)[0]
    cutout = resample_onto(source_at(wcs, ra, dec, sigma), wcs, request(ra, dec, npix=31))
    exact = gaussian(15, 15, sigma, size=31)
    assert np.abs(cutout - exact).max() < 0.025 * exact.max()


@pytest.mark.parametrize("rotation", [0, 90, 30])
def test_nan_stays_where_it_is_and_nothing_rings_around_it(rotation):
    wcs, image = make_wcs(rotation=rotation), np.full((SIZE, SIZE), 100.0)
    image[70:76, 60:63] = np.nan
    image[:, 95:] = np.inf
    cutout = resample_onto(image, wcs, request(150.0001, 2.0001, npix=64))
    np.testing.assert_allclose(cutout[np.isfinite(cutout)], 100, rtol=1e-6)
    sky = wcs.all_pix2world([[61, 73], [57, 73], [94, 70], [97, 70]], 0)
    grid = tangent_grid(request(150.0001, 2.0001, npix=64))
    hole, beside, last, beyond = np.rint(grid.all_world2pix(sky, 0)).astype(int)
    assert np.isfinite(cutout[beside[1], beside[0]])
    assert np.isfinite(cutout[last[1], last[0]])
    assert np.isnan(cutout[hole[1], hole[0]])
    assert np.isnan(cutout[beyond[1], beyond[0]])


def test_each_unknown_pixel_hides_one():
    wcs, image = make_wcs(dec=0.0), np.ones((SIZE, SIZE))
    image[70:76, 60:63] = np.nan
    image[90, 90] = np.nan
    assert np.isnan(resample_onto(image, wcs, request(150.0001, 0.0001, npix=64))).sum() == 19


def tangent_grid(request):
    """Give the WCS of a cutout: row 0 is north."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval = ["RA---TAN", "DEC--TAN"], [request.ra, request.dec]
    wcs.wcs.crpix, wcs.wcs.cdelt = [(request.npix + 1) / 2] * 2, [-request.pixel_scale / 3600] * 2
    return wcs


@pytest.mark.parametrize("pixel_scale", [0.2, 0.6])
def test_pixels_beyond_the_image_are_nan(pixel_scale):
    wcs = make_wcs(dec=0.0)
    corner = wcs.all_pix2world([[0, 0]], 0)[0]  # south-east
    cutout = resample_onto(np.ones((SIZE, SIZE)), wcs, request(*corner, pixel_scale, npix=20))
    known = np.isfinite(cutout)
    assert known[:10, 10:].all()
    assert not known[11:].any()
    assert not known[:, :9].any()
    assert np.isnan(resample_onto(np.ones((SIZE, SIZE)), wcs, request(151.0, 2.0))).all()


def sip_wcs():
    wcs = make_wcs(projection="TAN-SIP", rotation=20)
    a, b, none = np.zeros((4, 4)), np.zeros((4, 4)), np.zeros((4, 4))
    a[2, 0], a[1, 1], a[0, 3] = 3e-5, -2e-5, 4e-8
    b[0, 2], b[1, 1], b[3, 0] = -2e-5, 3e-5, -5e-8
    wcs.sip = Sip(a, b, none, none, wcs.wcs.crpix)
    return wcs


def tpv_wcs():
    header = make_wcs(rotation=20).to_header()
    header.update(CTYPE1="RA---TPV", CTYPE2="DEC--TPV", PV1_1=1.0, PV1_4=2.0, PV1_7=300.0, PV2_1=1.0, PV2_4=-1.5)
    return WCS(header)


def galactic_wcs():
    wcs = make_wcs()
    center = SkyCoord(150.0, 2.0, unit="deg").galactic
    wcs.wcs.ctype, wcs.wcs.crval = ["GLON-ZEA", "GLAT-ZEA"], [center.l.deg, center.b.deg]
    wcs.wcs.set()
    return wcs


@pytest.mark.parametrize("wcs", [sip_wcs(), tpv_wcs(), galactic_wcs()], ids=["SIP", "TPV", "Galactic"])
def test_distortions_and_frames(wcs):
    (ra, dec), (other_ra, other_dec) = wcs.all_pix2world([[90, 70], [76, 84]], 0)
    if wcs.wcs.ctype[0].startswith("GLON"):
        sky = SkyCoord([ra, other_ra], [dec, other_dec], unit="deg", frame="galactic").icrs
        (ra, other_ra), (dec, other_dec) = sky.ra.deg, sky.dec.deg
    image = gaussian(90, 70) + gaussian(76, 84)
    asked = request(ra, dec, npix=65)
    cutout = resample_onto(image, wcs, asked)
    x, y = tangent_grid(asked).all_world2pix(other_ra, other_dec, 0)
    assert cutout.sum() == pytest.approx(2, abs=1e-3)
    for column, row in ((32, 32), (x, y)):
        box = cutout[round(float(row)) - 6 :, round(float(column)) - 6 :][:13, :13]
        flux, dy, dx = flux_and_centroid(box)
        assert flux == pytest.approx(1, abs=2e-3)
        offset = np.array([dy - 6 + round(float(row)) - row, dx - 6 + round(float(column)) - column])
        np.testing.assert_allclose(offset, 0, atol=5e-3)


def test_wide_cutout_of_a_curved_projection():
    wcs = make_wcs(dec=70.0, projection="CAR", pixel_scale=60)
    wcs.wcs.crval = [150.0, 0.0]
    wcs.wcs.crpix = [SIZE / 2, SIZE / 2 - 70 * 60 * 60 / 60]
    wcs.wcs.set()
    ra, dec = wcs.all_pix2world(120, 110, 0)
    asked = request(150.0, 70.0, 60.0, npix=128)
    x, y = tangent_grid(asked).all_world2pix(ra, dec, 0)
    cutout = resample_onto(gaussian(120, 110, sigma=4), wcs, asked)
    flux, row, column = flux_and_centroid(cutout)
    assert flux == pytest.approx(1, abs=1e-3)
    assert (row, column) == pytest.approx((float(y), float(x)), abs=0.05)  # a large source is not symmetric in CAR


def test_channels_are_independent():
    wcs, rng = make_wcs(rotation=10), np.random.default_rng(0)
    image = rng.normal(size=(SIZE, SIZE, 2)).astype(np.float32)
    cutout = resample_onto(image, wcs, request(npix=20))
    assert cutout.shape == (20, 20, 2)
    assert cutout.dtype == np.float32
    for channel in range(2):
        np.testing.assert_array_equal(cutout[..., channel], resample_onto(image[..., channel], wcs, request(npix=20)))


@pytest.mark.parametrize("npix", [5, 33, 48])
@pytest.mark.parametrize(("rotation", "flipped"), [(0, False), (180, True), (90, True), (270, False)])
def test_many_shifted_together_are_the_same_as_each_resampled(rotation, flipped, npix):
    wcs, image = (
        make_wcs(dec=0.0, rotation=rotation, flipped=flipped),
        np.random.default_rng(0).normal(size=(SIZE, SIZE)),
    )
    sky = wcs.all_pix2world(np.random.default_rng(1).uniform(40, 120, (30, 2)), 0)
    requests = [request(*at, npix=npix) for at in sky.tolist()]
    placement = Placement(SkyToPixel(wcs), requests)
    image[60, 60] = np.nan
    assert placement.only_shifted(image.shape).any()
    planes = {k: np.empty((npix, npix), dtype=np.float32) for k in range(len(requests))}
    resample_all(ArrayImage(image), placement, planes)
    for k, plane in planes.items():
        np.testing.assert_allclose(plane, resample_onto(image, wcs, requests[k]), atol=0.02)


def test_wcs_without_sky_is_refused():
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["LINEAR", "LINEAR"]
    with pytest.raises(ValueError, match=r"no celestial axes \(CTYPE 'LINEAR', 'LINEAR'\); expected a pair such as"):
        resample_onto(np.zeros((5, 5)), wcs, request())


def test_pixels_of_unreasonable_size_are_refused():
    with pytest.raises(ValueError, match="pixel_scale=200 arcsec makes a pixel as wide as 1000 of the image's"):
        resample_onto(np.ones((SIZE, SIZE)), make_wcs(), request(pixel_scale=200.0, npix=3))
