"""Assumptions of the sources of cutouts about the real services; run `pytest -m live` with a network.

The tests on simulated services (tests/cutouts) rest on these assumptions, which were read from the services' source
and documentation, and have not yet been run against them: where one fails, the assumption, or the piece
of sky chosen here, is what to look at first. One run sends about 40 requests, politely.
"""

import json

import numpy as np
import pytest
from astropy.io import fits

from galestim.cutouts import CutoutRequest, Hips2Fits, LegacySurvey, MissingCutoutError, SkyServer, Soda, Transport
from galestim.cutouts._decode import decode_jpeg, read_fits

pytestmark = pytest.mark.live

# A bright spiral galaxy, alone in its neighborhood; the image recorded from SkyServer shows it.
RA, DEC = 197.614455642896, 18.438168853724
UNCOVERED = 266.4, -29.0  # the center of the Milky Way, which the Legacy Surveys leave out
TRANSPORT = Transport(max_retries=2)


def request(ra=RA, dec=DEC, pixel_scale=0.4, npix=128):
    return CutoutRequest(ra, dec, pixel_scale, npix, "live")


def get(url, expect=(200,), **params):
    return TRANSPORT.get(url, params, expect=expect)


def centroid(image):
    """Row and column of the brightest fifth of the light."""
    light = np.nan_to_num(image.astype(float)).sum(axis=-1)
    light = np.clip(light - 0.5 * light.max(), 0, None)
    return np.array([(light * index).sum() / light.sum() for index in np.indices(light.shape)])


def assert_north_is_up_and_east_is_left(source, tolerance=1.0, **options):
    """Moving the cutout north and east moves the galaxy down and right."""
    here = centroid(source.cutout(request(**options)))
    moved = request(**options)
    moved = moved._replace(dec=DEC + 8 / 3600, ra=RA + 4 / 3600 / np.cos(np.radians(DEC)))
    shift = centroid(source.cutout(moved)) - here
    np.testing.assert_allclose(shift, np.array([8, 4]) / moved.pixel_scale, atol=tolerance)


# --- SkyServer ----------------------------------------------------------------------------------------------

SKYSERVER = SkyServer(transport=TRANSPORT)


def test_skyserver_shows_the_galaxy_at_the_center():
    asked = request()
    image = SKYSERVER.cutout(asked)
    offset = (centroid(image) - (asked.npix - 1) / 2) * asked.pixel_scale
    assert np.abs(offset).max() < 0.5  # arcsec; recorded images suggest 0.2 to the south and west


def test_skyserver_has_north_up_and_east_left():
    assert_north_is_up_and_east_is_left(SKYSERVER)


def test_skyserver_has_the_red_band_first():
    core = SKYSERVER.cutout(request())[60:68, 60:68].mean(axis=(0, 1))
    assert core[0] > core[2]


def test_skyserver_clamps_without_a_word():
    place = {"ra": RA, "dec": DEC}
    small = get(SKYSERVER.endpoint(), **place, scale=0.4, width=32, height=32)
    assert decode_jpeg(small.body, 64).shape == (64, 64, 3)
    large = get(SKYSERVER.endpoint(), **place, scale=0.4, width=2100, height=2100)
    assert decode_jpeg(large.body, 2048).shape == (2048, 2048, 3)
    fine, finest = (
        get(SKYSERVER.endpoint(), **place, scale=scale, width=64, height=64).body for scale in (0.001, 0.015)
    )
    np.testing.assert_array_equal(decode_jpeg(fine, 64), decode_jpeg(finest, 64))


def test_skyserver_outside_is_404_with_a_jpeg():
    reply = get(SKYSERVER.endpoint(), (404,), ra=0.0, dec=-80.0, scale=0.4, width=64, height=64)
    assert reply.body.startswith(b"\xff\xd8")
    with pytest.raises(MissingCutoutError):
        SKYSERVER.cutout(request(0.0, -80.0))


def test_skyserver_without_such_a_release_is_404_without_a_jpeg():
    url = SkyServer(release="dr99").endpoint()
    reply = get(url, (200, 404, 500), ra=RA, dec=DEC, scale=0.4, width=64, height=64)
    assert reply.status != 200
    assert not reply.body.startswith(b"\xff\xd8")


# --- Legacy Surveys -----------------------------------------------------------------------------------------


def legacy(**options):
    return LegacySurvey(transport=TRANSPORT, **options)


def test_legacy_surveys_center_and_orient_their_images():
    image = legacy(bands="r").cutout(request())
    np.testing.assert_allclose(centroid(image), 63.5, atol=1.5)
    assert_north_is_up_and_east_is_left(legacy(bands="r"))
    assert_north_is_up_and_east_is_left(legacy(format="jpeg"))


def test_legacy_surveys_give_flux_per_native_pixel():
    fluxes = [
        np.nansum(legacy(bands="r").cutout(request(pixel_scale=51.2 / npix, npix=npix))) for npix in (196, 128, 98)
    ]
    np.testing.assert_allclose(fluxes, fluxes[0], rtol=0.02)


def test_legacy_surveys_tell_the_camera():
    """Pixels scatter as their noise says, and the star is one, with its light in the middle."""
    cutout = legacy(bands="gr", camera=True).cutout(request(pixel_scale=0.262))
    assert cutout.psf.shape[::3] == (1, 2)
    stamp = cutout.psf[0, ..., 0]
    assert np.unravel_index(stamp.argmax(), stamp.shape) == tuple(n // 2 for n in stamp.shape)
    rim = np.r_[:16, 112:128]
    scatter = (np.asarray(cutout) / cutout.noise)[0, rim]
    spread = 1.4826 * np.nanmedian(np.abs(scatter - np.nanmedian(scatter, axis=(0, 1))), axis=(0, 1))
    assert np.all((spread > 0.5) & (spread < 1.5)), spread


def test_legacy_surveys_send_bands_in_the_order_asked_for():
    together = legacy(bands="zg").cutout(request())
    np.testing.assert_allclose(together[..., 0], legacy(bands="z").cutout(request())[..., 0], rtol=1e-5)
    np.testing.assert_allclose(together[..., 1], legacy(bands="g").cutout(request())[..., 0], rtol=1e-5)


def test_legacy_surveys_name_the_bands_in_the_header():
    url = legacy().endpoint()
    body = get(url, ra=RA, dec=DEC, pixscale=0.4, size=32, layer="ls-dr10", bands="zg").body
    assert read_fits(body, lambda shape: None)[1]["BANDS"] == "zg"


def test_legacy_surveys_do_not_complain_of_wrong_bands_and_layers():
    with pytest.raises(ValueError, match="has the bands"):
        legacy(bands="gq").cutout(request(npix=32))
    for format in ("fits", "jpeg"):
        with pytest.raises(ValueError, match="has no layer"):
            legacy(layer="ls-dr99", format=format).cutout(request(npix=32))


@pytest.mark.parametrize("format", ["fits", "jpeg"])
def test_legacy_surveys_outside_are_gray_or_fail(format):
    with pytest.raises(MissingCutoutError):
        legacy(format=format).cutout(request(*UNCOVERED))


def test_legacy_surveys_clamp_to_3000():
    url = legacy(format="jpeg").endpoint()
    body = get(url, ra=RA, dec=DEC, pixscale=0.262, size=3001, layer="ls-dr10").body
    assert decode_jpeg(body, 3000).shape == (3000, 3000, 3)


# --- hips2fits ----------------------------------------------------------------------------------------------

HIPS = "CDS/P/PanSTARRS/DR1/r"


def test_hips2fits_honors_the_wcs():
    source = Hips2Fits(HIPS, transport=TRANSPORT)
    np.testing.assert_allclose(centroid(source.cutout(request())), 63.5, atol=1.5)  # decode checks the header
    assert_north_is_up_and_east_is_left(source)


def test_hips2fits_pictures_have_north_up():
    source = Hips2Fits("CDS/P/PanSTARRS/DR1/color-i-r-g", format="jpg", transport=TRANSPORT)
    assert_north_is_up_and_east_is_left(source)


def test_hips2fits_by_itself_is_half_a_pixel_off():
    url = Hips2Fits(HIPS).endpoint()
    size = {"width": 64, "height": 64, "fov": 64 * 0.4 / 3600}
    body = get(url, hips=HIPS, ra=RA, dec=DEC, projection="TAN", format="fits", **size).body
    header = fits.Header.fromstring(body[:28800].decode("ascii", "replace"))
    assert header["CRPIX1"] == 32


def test_hips2fits_answers_mistakes_in_json():
    source = Hips2Fits("CDS/P/no such survey", transport=TRANSPORT)
    reply = get(source.endpoint(), source.expect, **source.query(request()))
    assert {"title"} <= json.loads(reply.body).keys()
    with pytest.raises(ValueError, match="refuses hips="):
        source.cutout(request())


def test_hips2fits_is_nan_outside():
    with pytest.raises(MissingCutoutError):
        Hips2Fits(HIPS, transport=TRANSPORT).cutout(request(0.0, -80.0))


# --- SODA ---------------------------------------------------------------------------------------------------

# The CFHT Legacy Survey's deep field in COSMOS, as CADC documents its service.
SODA = Soda(
    "https://ws.cadc-ccda.hia-iha.nrc-cnrc.gc.ca/caom2ops/sync", id="cadc:CFHTSG/D2.I.fits", transport=TRANSPORT
)


def test_soda_covers_the_cutout():
    image = SODA.cutout(request(150.570478, 2.172356, pixel_scale=0.3))
    assert np.isfinite(image).all()
    assert image.std() > 0


def test_soda_without_pixels_is_missing():
    with pytest.raises(MissingCutoutError):
        SODA.cutout(request(0.0, -80.0))
