import io
import json

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS
from PIL import Image

from galestim.testing import GaussianSky, LoopbackSky

from ._here import HERE, get

OUTSIDE = {"ra": 170.0, "dec": 2.0}


def picture(reply):
    assert reply.headers["Content-Type"] in ("image/jpeg", "image/png")
    return np.asarray(Image.open(io.BytesIO(reply.content))).astype(float)


def image(reply):
    assert reply.status_code == 200
    with fits.open(io.BytesIO(reply.content)) as hdus:
        return hdus[0].data.astype(float), hdus[0].header


def centroid(plane):
    rows, columns = np.indices(plane.shape)
    return (plane * rows).sum() / plane.sum(), (plane * columns).sum() / plane.sum()


def misplaced(data, header, sky):
    """Distance [pixels] of the light's center from where the header says that the source is."""
    row, column = centroid(np.nan_to_num(data))
    x, y = WCS(header, naxis=2).world_to_pixel_values(*sky._gaussians.positions[0])
    return np.hypot(column - x, row - y)


# --- SkyServer ----------------------------------------------------------------------------------------------


def test_skyserver_shows_north_up_and_east_left(server):
    reply = get(server.skyserver_url, HERE, scale=0.5, width=100, height=80)
    pixels = picture(reply)
    assert reply.status_code == 200
    assert pixels.shape == (80, 100, 3)
    np.testing.assert_allclose(centroid(pixels.sum(axis=2)), (39.5 - 20, 49.5 - 10), atol=0.1)


@pytest.mark.parametrize("band", [0, 1, 2])
def test_skyserver_shows_i_r_g_as_red_green_blue(band):
    with LoopbackSky(GaussianSky([150.0], [2.0], np.eye(3)[[band]] * 100, 2.0)) as server:
        pixels = picture(get(server.skyserver_url, HERE, scale=0.5, width=64, height=64))
    assert pixels.mean(axis=(0, 1)).argmax() == 2 - band


def test_skyserver_stretches_as_sdss():
    # A constant sky of 0.01, 0.02, 0.03 nanomaggies per SDSS pixel in g, r, i, by hand.
    brightness = np.array([0.01, 0.02, 0.03]) / 0.396**2
    with LoopbackSky(GaussianSky([], [], np.empty((0, 3)), [], background=brightness)) as server:
        pixels = picture(get(server.skyserver_url, HERE, scale=0.5, width=64, height=64))
    scaled = np.array([0.03 * 4.9, 0.02 * 5.7, 0.01 * 7.8])
    total = scaled.sum()
    np.testing.assert_allclose(pixels[32, 32], 256 * scaled * np.arcsinh(3 * total) / (3 * total), atol=2.5)


def test_skyserver_clamps_without_a_word(server):
    assert picture(get(server.skyserver_url, HERE, scale=0.5, width=10, height=4000)).shape == (2048, 64, 3)
    tiny, least = (get(server.skyserver_url, HERE, scale=scale).content for scale in (0.001, 0.015))
    assert tiny == least
    assert picture(get(server.skyserver_url, HERE)).shape == (128, 128, 3)


def test_skyserver_outside_is_a_404_that_is_a_jpeg(server):
    reply = get(server.skyserver_url, OUTSIDE, scale=0.4, width=300, height=200)
    assert reply.status_code == 404
    assert reply.reason == "NOT FOUND. Requested (ra, dec) is outside the SDSS footprint."
    assert picture(reply).shape == (200, 300, 3)


def test_skyserver_just_outside_is_black(server):
    # 6 arcmin from the footprint
    reply = get(server.skyserver_url, ra=150.0, dec=2.6, scale=0.4, width=64, height=64)
    assert reply.status_code == 200
    assert picture(reply).max() == 0
    assert get(server.skyserver_url, ra=150.0, dec=2.7, scale=0.4, width=64, height=64).status_code == 404


@pytest.mark.parametrize("query", [{"ra": 1}, {"ra": "abc", "dec": 0}, {"ra": 1, "dec": 2, "width": "many"}])
def test_skyserver_says_what_it_cannot_read_in_json(server, query):
    reply = get(server.skyserver_url, query)
    assert reply.status_code == 400
    assert reply.json()["ErrorCode"] == 400
    assert "ra must be in [0,360]" in reply.json()["ErrorMessage"]


def test_skyserver_ignores_case_and_serves_any_release(server):
    assert get(server.url + "/DR16/skyserverws/imgcutout/getJpeg", RA=150, Dec=2).status_code == 200


# --- Legacy Surveys -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [0.2, 0.262, 0.524])
def test_legacy_gives_nanomaggies_per_native_pixel_in_the_order_asked_for(server, sky, scale):
    data, header = image(get(server.legacy_url + "/fits-cutout", HERE, pixscale=scale, size=201, bands="irg"))
    assert data.shape == (3, 201, 201)
    assert [header[f"BAND{i}"] for i in range(3)] == list("irg")
    np.testing.assert_allclose(data.sum(axis=(1, 2)) * (scale / 0.262) ** 2, [400, 200, 100], rtol=1e-4)
    assert max(misplaced(plane, header, sky) for plane in data) < 1e-2


def test_legacy_sdss_layer_has_larger_pixels(server):
    data, _ = image(get(server.legacy_url + "/fits-cutout", HERE, size=200, bands="r", layer="sdss"))
    assert data.shape == (200, 200)  # one band has no third axis
    assert data.sum() == pytest.approx(200, rel=1e-4)


def test_legacy_zoom(server):
    by_zoom, by_scale = (
        get(server.legacy_url + "/fits-cutout", HERE, size=30, **how).content
        for how in ({"zoom": 13}, {"pixscale": 0.524})
    )
    assert by_zoom == by_scale


def test_legacy_gives_all_bands_if_it_lacks_one(server):
    data, header = image(get(server.legacy_url + "/fits-cutout", HERE, size=20, bands="rz"))
    assert header["BANDS"] == "gri"
    assert data.shape == (3, 20, 20)


def test_legacy_clamps_without_a_word(server):
    assert picture(get(server.legacy_url + "/jpeg-cutout", HERE, width=4000, height=2)).shape == (2, 3000, 3)


def test_legacy_knows_no_such_layer(server):
    for kind in ("fits", "jpeg"):
        reply = get(f"{server.legacy_url}/{kind}-cutout", HERE, layer="nonsense")
        assert (reply.status_code, reply.text) == (200, "no such layer")


def test_legacy_outside_is_gray_or_broken(server):
    assert get(server.legacy_url + "/fits-cutout", OUTSIDE).status_code == 500
    reply = get(server.legacy_url + "/jpeg-cutout", OUTSIDE, size=40)
    assert reply.status_code == 200
    assert np.unique(picture(reply)).tolist() == [32]


def test_legacy_is_zero_where_nothing_was_observed():
    sky = GaussianSky([150.0], [2.0], [1.0], 2.0, background=1.0, footprint=(150.0, 151.0, 1.0, 3.0))
    with LoopbackSky(sky) as server:
        data, _ = image(get(server.legacy_url + "/fits-cutout", HERE, size=40, bands="r"))
    assert (data[:, 20:] == 0).all()
    assert (data[:, :20] > 0).all()


def test_legacy_jpeg_shows_north_up(server):
    pixels = picture(get(server.legacy_url + "/jpeg-cutout", HERE, size=80, pixscale=0.5))
    np.testing.assert_allclose(centroid(pixels.sum(axis=2)), (39.5 - 20, 39.5 - 10), atol=0.2)


@pytest.mark.parametrize("query", [{}, {"ra": "x", "dec": 1}, {"ra": 150, "dec": 2, "size": 0}])
def test_legacy_breaks_on_what_it_cannot_read(server, query):
    assert get(server.legacy_url + "/fits-cutout", query).status_code == 500


# --- hips2fits ----------------------------------------------------------------------------------------------


def grid(size, crpix, **changes):
    cards = {
        "NAXIS1": size, "NAXIS2": size, "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 150.0, "CRVAL2": 2.0,
        "CRPIX1": crpix, "CRPIX2": crpix, "CDELT1": -0.5 / 3600, "CDELT2": 0.5 / 3600,
    }  # fmt: skip
    return json.dumps(cards | changes)


FIELD = {**HERE, "fov": 100 * 0.5 / 3600, "width": 100, "height": 100}


def test_hips2fits_is_half_a_pixel_off_unless_told_otherwise(server, sky):
    default, header = image(get(server.hips2fits_url, FIELD, hips="galestim/P/loopback/r", projection="TAN"))
    assert header["CRPIX1"] == 50
    centered, _ = image(get(server.hips2fits_url, hips="r", wcs=grid(100, 50.5)))
    np.testing.assert_allclose(centroid(centered), (49.5 + 20, 49.5 - 10), atol=0.01)  # row 0 is south
    np.testing.assert_allclose(np.subtract(centroid(centered), centroid(default)), 0.5, atol=0.01)
    assert misplaced(default, header, sky) < 0.01


def test_hips2fits_values_do_not_change_with_scale(server):
    for size in (100, 250):
        data, _ = image(get(server.hips2fits_url, FIELD, hips="r", width=size, height=size))
        assert data.sum() * (50 / size) ** 2 == pytest.approx(200, rel=1e-4)


def test_hips2fits_in_galactic_coordinates(server, sky):
    center = SkyCoord(150, 2, unit="deg").galactic
    galactic = {"CTYPE1": "GLON-TAN", "CTYPE2": "GLAT-TAN", "CRVAL1": center.l.deg, "CRVAL2": center.b.deg}
    data, header = image(get(server.hips2fits_url, hips="r", wcs=grid(100, 50.5, **galactic)))
    glon, glat = WCS(header).pixel_to_world_values(*centroid(data)[::-1])
    place = SkyCoord(glon, glat, unit="deg", frame="galactic").icrs
    np.testing.assert_allclose((place.ra.deg, place.dec.deg), sky._gaussians.positions[0], atol=0.01 / 3600)


def test_hips2fits_is_nan_outside(server):
    data, _ = image(get(server.hips2fits_url, {**FIELD, **OUTSIDE}, hips="r"))
    assert np.isnan(data).all()


def test_hips2fits_pictures(server):
    assert picture(get(server.hips2fits_url, FIELD, hips="r", format="png")).shape == (100, 100, 4)
    gray = picture(
        get(server.hips2fits_url, FIELD, hips="r", format="jpg", min_cut="0", max_cut="100%", stretch="sqrt")
    )
    np.testing.assert_allclose(gray[..., 0], gray[..., 2])
    assert centroid(gray[..., 0])[0] < 49  # row 0 is north
    assert gray.max() > 250
    color = picture(get(server.hips2fits_url, FIELD, hips="galestim/P/loopback/color", format="jpg"))
    assert color[..., 0].mean() > color[..., 2].mean() > 0
    planes, _ = image(get(server.hips2fits_url, FIELD, hips="galestim/P/loopback/color"))
    np.testing.assert_allclose(planes.transpose(1, 2, 0)[::-1].mean(axis=(0, 1)), color.mean(axis=(0, 1)), atol=1)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"hips": "CDS/P/DSS2/red"}, "No HiPS matches CDS/P/DSS2/red"),
        ({"format": "gif"}, "Unknown value gif for format parameter"),
        ({"stretch": "azs", "format": "jpg"}, "Unknown value azs for stretch parameter"),
        ({"ra": "x"}, "Unknown value x for ra parameter"),
        ({"wcs": "{"}, "Expecting property name"),
        ({"wcs": json.dumps({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN"})}, "NAXIS1 and NAXIS2"),
        ({"projection": "XYZ"}, ""),
    ],
)
def test_hips2fits_errors_are_json(server, changes, said):
    reply = get(server.hips2fits_url, {**FIELD, "hips": "r", **changes})
    assert reply.status_code == 400
    assert reply.json()["title"]
    assert said in reply.json()["description"]


def test_hips2fits_requires_a_hips(server):
    assert get(server.hips2fits_url, FIELD).json() == {
        "title": "Missing parameter",
        "description": 'The "hips" parameter is required.',
    }


# --- SODA ---------------------------------------------------------------------------------------------------

DATASET = "ivo://galestim/loopback?r"


@pytest.mark.parametrize(
    "region",
    [
        {"CIRCLE": "150 2 0.006"},
        {"circle": "150 2 0.006"},
        {"POS": "CIRCLE 150 2 0.006"},
        {"POLYGON": "149.994 1.994 150.006 1.994 150.006 2.006 149.994 2.006"},
        {"POS": "RANGE 149.994 150.006 1.994 2.006"},
    ],
)
def test_soda_cuts_a_rotated_mosaic(server, sky, region):
    data, header = image(get(server.soda_url, region, ID=DATASET))
    assert abs(header["CD1_2"]) > 1e-5
    assert data.sum() == pytest.approx(200, rel=1e-4)
    assert misplaced(data, header, sky) < 0.01


@pytest.mark.parametrize("place", [(150.2, 2.1), (149.7, 1.9), (150.0, 89.9), (0.001, -60.0)])
def test_soda_covers_the_circle_and_its_header_is_true(place):
    ra, dec = place
    sky = GaussianSky([ra], [dec], [1.0], 1.0)
    with LoopbackSky(sky) as server:
        data, header = image(get(server.soda_url, ID=DATASET, CIRCLE=f"{ra} {dec} 0.005"))
    assert misplaced(data, header, sky) < 0.01
    row, column = centroid(data)
    reach = 18 / 0.25  # pixels
    assert reach <= min(row, column, data.shape[0] - 1 - row, data.shape[1] - 1 - column) < reach + 2


def test_soda_gives_only_what_there_is():
    edge = GaussianSky([150.0], [2.0], [1.0], 2.0, footprint=(150.0, 151.0, 1.0, 3.0))
    with LoopbackSky(edge) as server:
        part, header = image(get(server.soda_url, ID=DATASET, CIRCLE="149.996 2 0.005"))
    assert part.shape[1] < 2 * 18 / 0.25
    assert np.isnan(part).any()
    ra, _ = WCS(header).pixel_to_world_values(*np.argwhere(np.isfinite(part)).T[::-1])
    assert ra.min() >= 150


def test_soda_without_pixels(server):
    query = {"ID": DATASET, "CIRCLE": "170 2 0.01"}
    reply = get(server.soda_url, query)
    assert (reply.status_code, reply.content) == (204, b"")
    reply = get(server.rubin_url, query)
    assert reply.status_code == 400
    assert reply.text.startswith("UsageError")


def test_rubin_redirects_to_the_image(server):
    reply = get(server.rubin_url, ID=DATASET, CIRCLE="150 2 0.006")
    assert [step.status_code for step in reply.history] == [303]
    assert image(reply)[0].sum() == pytest.approx(200, rel=1e-4)


@pytest.mark.parametrize(
    ("query", "begins"),
    [
        ({"CIRCLE": "150 2 0.01"}, "UsageError"),
        ({"ID": "ivo://other", "CIRCLE": "150 2 0.01"}, "UsageError"),
        ({"ID": DATASET}, "UsageError"),
        ({"ID": DATASET, "CIRCLE": "150 2"}, "UsageError"),
        ({"ID": DATASET, "CIRCLE": "150 2 nan"}, "UsageError"),
        ({"ID": DATASET, "CIRCLE": "150 2 5"}, "UsageError"),
        ({"ID": [DATASET, DATASET], "CIRCLE": "150 2 0.01"}, "MultiValuedParamNotSupported"),
    ],
)
def test_soda_errors_are_text(server, query, begins):
    reply = get(server.soda_url, query)
    assert reply.status_code in (400, 404)
    assert reply.headers["Content-Type"] == "text/plain"
    assert reply.text.startswith(begins)
