"""Each service's images have north up, the galaxy at the center and its flux, or an error says why there is none."""

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits

from galestim.cutouts import (
    BadReplyError,
    CutoutStore,
    Hips2Fits,
    LegacySurvey,
    MissingCutoutError,
    SkyServer,
    Soda,
    TransientCutoutError,
)
from galestim.testing import GaussianSky, LoopbackSky

from ._services import BANDS, cone, fast, gaussians, request

SODA_ID = "ivo://galestim/loopback?"
HIPS = "galestim/P/loopback/"

# Each makes a source of one band (g) or of pictures, whose values are fluxes per pixel if they are linear.
LINEAR = {
    "legacy": lambda server, **options: LegacySurvey(
        bands="g", zero_is_missing=False, url=server.legacy_url, transport=fast(), **options
    ),
    "hips2fits": lambda server: Hips2Fits(
        HIPS + "g", native_pixel_scale=1.0, url=server.hips2fits_url, transport=fast()
    ),
    "soda": lambda server: Soda(server.soda_url, id=SODA_ID + "g", transport=fast()),
    "rubin": lambda server: Soda(server.rubin_url, id=SODA_ID + "g", transport=fast()),
}
PICTURES = {
    "skyserver": lambda server: SkyServer(url=server.skyserver_url, transport=fast()),
    "legacy jpeg": lambda server: LegacySurvey(format="jpeg", url=server.legacy_url, transport=fast()),
    "hips2fits jpg": lambda server: Hips2Fits(
        HIPS + "color", format="jpg", url=server.hips2fits_url, transport=fast()
    ),
}
EVERY = {**LINEAR, **PICTURES}
PLACES = [(150.0, 0.0), (150.0, 60.0), (150.0, 89.9), (0.0, 30.0), (359.9999, -60.0)]


class Scripted(LoopbackSky):
    """Answers through `script` (handler → bool)."""

    script = None

    def intercept(self, handler):
        return self.script is not None and self.script(handler)


def offset(ra, dec, north, east):
    """The position so many arcsec away."""
    moved = SkyCoord(ra, dec, unit="deg").spherical_offsets_by(east * u.arcsec, north * u.arcsec)
    return moved.ra.deg, moved.dec.deg


def peak(image):
    """Row and column of the light's centroid."""
    light = image.astype(float).sum(axis=-1)
    light = np.clip(light - 0.2 * light.max(), 0, None)
    return np.array([(light * index).sum() / light.sum() for index in np.indices(light.shape)])


def where(asked, north, east):
    """Row and column at which a source so many arcsec away belongs."""
    return (asked.npix - 1) / 2 + np.array([-north, -east]) / asked.pixel_scale


# --- where things are ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("npix", [80, 81])
@pytest.mark.parametrize(("ra", "dec"), PLACES)
@pytest.mark.parametrize("kind", EVERY)
def test_a_source_north_and_east_of_the_center_is_up_and_left_of_it(kind, ra, dec, npix):
    asked = request(ra, dec, npix=npix)
    with LoopbackSky(gaussians(*offset(ra, dec, north=10, east=5))) as server:
        image = EVERY[kind](server).cutout(asked)
    assert image.shape[:2] == (npix, npix)
    tolerance = 0.05 if kind in PICTURES else 0.002
    np.testing.assert_allclose(peak(image), where(asked, north=10, east=5), atol=tolerance)


class HalfAPixelOff(Hips2Fits):
    """What hips2fits does by itself."""

    def wcs(self, request):
        return {**super().wcs(request), "CRPIX1": request.npix / 2, "CRPIX2": request.npix / 2}


def test_the_position_test_notices_half_a_pixel():
    asked = request()
    options = {"url": None, "transport": fast()}
    with LoopbackSky(gaussians(*offset(150.0, 2.0, north=10, east=5))) as server:
        options["url"] = server.hips2fits_url
        image = HalfAPixelOff(HIPS + "color", format="jpg", **options).cutout(asked)
        with pytest.raises(AssertionError):
            np.testing.assert_allclose(peak(image), where(asked, north=10, east=5), atol=0.05)
        np.testing.assert_allclose(peak(image), where(asked, north=9.75, east=5.25), atol=0.05)
        with pytest.raises(BadReplyError, match=r"center is -0\.50 pixels east and 0\.50 pixels north"):
            HalfAPixelOff(HIPS + "g", **options).cutout(asked)


# --- how bright they are ------------------------------------------------------------------------------------


@pytest.mark.parametrize("pixel_scale", [0.262, 0.5, 0.8])
@pytest.mark.parametrize("kind", LINEAR)
def test_flux_is_kept_whatever_the_pixels(kind, pixel_scale):
    asked = request(pixel_scale=pixel_scale, npix=2 * round(16 / pixel_scale))
    with LoopbackSky(gaussians(150.0, 2.0)) as server:
        image = LINEAR[kind](server).cutout(asked)
    assert image.dtype == np.float32
    assert image.sum() == pytest.approx(100, rel=1e-3)


@pytest.mark.parametrize("kind", LINEAR)
def test_constant_surface_brightness_stays_constant(kind):
    sky = GaussianSky([], [], np.zeros((0, 3)), np.zeros(0), bands=BANDS, background=[0.7, 0.0, 0.0])
    with LoopbackSky(sky) as server:
        image = LINEAR[kind](server).cutout(request(pixel_scale=0.4))
    np.testing.assert_allclose(image, 0.7 * 0.4**2, rtol=1e-6)


def test_hips_keep_their_own_units_unless_told_their_pixels():
    with LoopbackSky(gaussians(150.0, 2.0)) as server:
        as_they_are = Hips2Fits(HIPS + "g", url=server.hips2fits_url, transport=fast()).cutout(request())
        fluxes = LINEAR["hips2fits"](server).cutout(request())
    np.testing.assert_allclose(fluxes, as_they_are * 0.5**2, rtol=1e-6)


def per_band(kind, server):
    """A source of r, z, g, in this order."""
    if kind == "legacy":
        return LegacySurvey(bands="rzg", zero_is_missing=False, url=server.legacy_url, transport=fast())
    return Soda(server.soda_url, id=[SODA_ID + band for band in "rzg"], transport=fast())


@pytest.mark.parametrize("kind", ["legacy", "soda"])
def test_each_band_lights_only_its_own_plane(kind):
    for channel, band in enumerate("rzg"):
        flux = [[100.0 * (band == other) for other in BANDS]]
        with LoopbackSky(gaussians(150.0, 2.0, flux)) as server:
            source = per_band(kind, server)
            image = source.cutout(request())
        assert image.shape == (80, 80, source.n_channels)
        expected = np.zeros(3)
        expected[channel] = 100
        np.testing.assert_allclose(image.sum(axis=(0, 1)), expected, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("kind", PICTURES)
def test_the_reddest_band_is_red(kind):
    for channel, band in enumerate("zrg"):
        with LoopbackSky(gaussians(150.0, 2.0, [[100.0 * (band == other) for other in BANDS]])) as server:
            source = PICTURES[kind](server)
            image = source.cutout(request())
        assert (image.dtype, image.shape) == (source.dtype, (80, 80, source.n_channels))
        assert image[35:45, 35:45].mean(axis=(0, 1)).argmax() == channel


# --- what there is not --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", EVERY)
def test_far_outside_the_footprint_is_missing_and_asked_for_once(kind, tmp_path):
    store = CutoutStore(tmp_path)
    with LoopbackSky(cone()) as server:
        source = EVERY[kind](server)
        with pytest.raises(MissingCutoutError, match="at ra=150, dec=-40"):
            source.cutout(request(dec=-40), store)
        n_requests = len(server.log)
        with pytest.raises(MissingCutoutError, match="at ra=150, dec=-40"):
            source.cutout(request(dec=-40), store)
        assert len(server.log) == n_requests <= 2


def test_just_outside_of_sdss_is_black_and_missing():
    with LoopbackSky(cone()) as server:
        with pytest.raises(MissingCutoutError, match="outside its footprint"):
            PICTURES["skyserver"](server).cutout(request(dec=2 + 1.1))
        assert server.log[0].status == 200


@pytest.mark.parametrize("kind", ["hips2fits", "soda"])
def test_what_is_not_covered_is_nan(kind):
    with LoopbackSky(cone(10 / 3600, background=0.1)) as server:
        image = LINEAR[kind](server).cutout(request())[:, :, 0]
    row, column = np.indices(image.shape) - 39.5
    inside = np.hypot(row, column) * 0.5 < 9
    outside = np.hypot(row, column) * 0.5 > 11
    assert np.isfinite(image[inside]).all()
    assert np.isnan(image[outside]).all()


def test_the_zeros_of_legacy_surveys_are_nan_where_that_is_meant():
    with LoopbackSky(cone(10 / 3600, background=0.1)) as server:
        options = {"bands": "g", "url": server.legacy_url, "transport": fast()}
        image = LegacySurvey(**options).cutout(request())
        kept = LegacySurvey(zero_is_missing=False, **options).cutout(request())
    assert np.isnan(image).any()
    np.testing.assert_array_equal(np.nan_to_num(image), kept)
    assert np.isfinite(kept).all()


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("skyserver", {"npix": 63}),
        ("skyserver", {"npix": 2049}),
        ("skyserver", {"pixel_scale": 0.0149}),
        ("skyserver", {"pixel_scale": 2401.0}),
        ("legacy", {"npix": 3001}),
        ("legacy jpeg", {"npix": 3001}),
        ("hips2fits", {"npix": 7072}),
    ],
)
def test_what_the_service_would_change_silently_is_not_sent(kind, change):
    with LoopbackSky(gaussians(150.0, 2.0)) as server:
        with pytest.raises(MissingCutoutError, match=r"gives .*, not .*\. Choose another npix or pixel_scale"):
            EVERY[kind](server).cutout(request()._replace(**change))
        assert server.log == []


@pytest.mark.parametrize("change", [{"npix": 64}, {"pixel_scale": 0.015}])
def test_the_limits_themselves_are_within(change):
    with LoopbackSky(gaussians(150.0, 2.0, 10000.0)) as server:
        asked = request()._replace(**change)
        assert PICTURES["skyserver"](server).cutout(asked).shape == (asked.npix, asked.npix, 3)


# --- what goes wrong ----------------------------------------------------------------------------------------


def test_a_wrong_address_is_no_hole_in_the_sky(tmp_path):
    store = CutoutStore(tmp_path)
    with LoopbackSky(gaussians(150.0, 2.0)) as server:
        source = SkyServer(url=server.url + "/dr99/getjpg", transport=fast())
        for n_requests in (1, 2):
            with pytest.raises(TransientCutoutError, match=r"no image service at .*/dr99/getjpg .*Check release="):
                source.cutout(request(), store)
            assert len(server.log) == n_requests


@pytest.mark.parametrize("format", ["fits", "jpeg"])
def test_an_unknown_layer_is_the_users_mistake_and_not_remembered(format, tmp_path):
    with LoopbackSky(gaussians(150.0, 2.0)) as server:
        source = LegacySurvey(layer="ls-dr99", format=format, url=server.legacy_url, transport=fast())
        with pytest.raises(ValueError, match="has no layer='ls-dr99'; expected one of those that its address bar"):
            source.cutout(request(), CutoutStore(tmp_path))
    assert not [file for file in tmp_path.rglob("*") if file.is_file()]


@pytest.mark.parametrize("bands", ["grx", "x", "gri"])
def test_a_band_that_the_layer_lacks_is_not_replaced_by_others(bands):
    with LoopbackSky(gaussians(150.0, 2.0)) as server:
        source = LegacySurvey(bands=bands, url=server.legacy_url, transport=fast())
        with pytest.raises(ValueError, match=f"has the bands 'grz'; expected bands= some of them.*not '{bands}'"):
            source.cutout(request())


def test_legacy_surveys_outside_takes_two_requests_and_no_patience():
    with LoopbackSky(cone()) as server:
        with pytest.raises(MissingCutoutError, match="the layer ls-dr10 has no image at ra=150, dec=-40"):
            LINEAR["legacy"](server).cutout(request(dec=-40))
        assert [(record.path, record.status) for record in server.log] == [
            ("/viewer/fits-cutout", 500),
            ("/viewer/jpeg-cutout", 200),
        ]


def broken(times):
    """A script that fails so many FITS requests."""
    left = [times]

    def script(handler):
        if "fits-cutout" not in handler.path or not left[0]:
            return False
        left[0] -= 1
        handler.reply(500, "text/html", b"<h1>Server Error (500)</h1>")
        return True

    return script


def test_a_broken_legacy_survey_is_asked_again():
    with Scripted(gaussians(150.0, 2.0)) as server:
        server.script = broken(2)
        assert LINEAR["legacy"](server).cutout(request()).sum() == pytest.approx(100, rel=1e-3)
        assert [record.status for record in server.log] == [500, 200, 500, 200]


def test_a_legacy_survey_that_stays_broken_is_not_outside(tmp_path):
    with Scripted(gaussians(150.0, 2.0)) as server:
        server.script = broken(100)
        with pytest.raises(TransientCutoutError, match="500"):
            LINEAR["legacy"](server).cutout(request(), CutoutStore(tmp_path))
    assert not [file for file in tmp_path.rglob("*") if file.is_file()]


def test_what_hips2fits_says_is_passed_on():
    with LoopbackSky(gaussians(150.0, 2.0)) as server:
        source = Hips2Fits("CDS/P/nothing", url=server.hips2fits_url, transport=fast())
        with pytest.raises(ValueError, match="refuses hips='CDS/P/nothing', projection='TAN': Unknown HiPS: No HiPS"):
            source.cutout(request())
        source = Hips2Fits(HIPS + "g", projection="???", url=server.hips2fits_url, transport=fast())
        with pytest.raises(ValueError, match="Bad WCS"):
            source.cutout(request())


@pytest.mark.parametrize("source", [LegacySurvey(format="png"), Hips2Fits("a", format="jpeg")])
def test_an_unknown_format(source):
    with pytest.raises(ValueError, match=r"format='(png|jpeg)'; expected 'fits' or '(jpeg|jpg)'"):
        source.cutout(request())


def test_other_projections_agree_at_the_center():
    with LoopbackSky(gaussians(150.0, 2.0)) as server:
        source = Hips2Fits(HIPS + "g", projection="SIN", url=server.hips2fits_url, transport=fast())
        np.testing.assert_allclose(peak(source.cutout(request())), 39.5, atol=0.002)


def test_soda_without_pixels_is_missing_in_the_standard_and_at_rubin():
    with LoopbackSky(cone()) as server:
        for url, statuses in ((server.soda_url, [204]), (server.rubin_url, [400])):
            server.log.clear()
            with pytest.raises(MissingCutoutError):
                Soda(url, id=SODA_ID + "g", transport=fast()).cutout(request(dec=-40))
            assert [record.status for record in server.log] == statuses


def test_soda_covers_the_corners():
    with LoopbackSky(gaussians(150.0, 2.0, background=0.1)) as server:
        assert np.isfinite(LINEAR["soda"](server).cutout(request())).all()


def test_an_unknown_id_is_refused_by_the_archive_not_by_the_sky():
    with LoopbackSky(gaussians(150.0, 2.0)) as server:
        with pytest.raises(TransientCutoutError, match="no dataset has the ID nothing"):
            Soda(server.soda_url, id="nothing", transport=fast()).cutout(request())
        with pytest.raises(TransientCutoutError, match="the ID parameter is required"):
            Soda(server.soda_url, transport=fast()).cutout(request())


def id_by_position(asked):
    return SODA_ID + ("g" if asked.dec > 0 else "r")


def test_an_id_that_depends_on_the_position():
    sky = gaussians([150.0, 150.0], [2.0, -2.0], [[1.0, 2.0, 4.0]] * 2)
    with LoopbackSky(sky) as server:
        source = Soda(server.soda_url, id=id_by_position, transport=fast())
        assert source.cutout(request(dec=2)).sum() == pytest.approx(1, rel=1e-3)
        assert source.cutout(request(dec=-2)).sum() == pytest.approx(2, rel=1e-3)


def test_each_channel_is_kept_for_itself(tmp_path):
    store = CutoutStore(tmp_path)
    with LoopbackSky(gaussians(150.0, 2.0)) as server:
        per_band("soda", server).cutout(request(), store)
        Soda(server.soda_url, id=SODA_ID + "z", transport=fast()).cutout(request(), store)
        assert len(server.log) == 3


@pytest.mark.parametrize("shape", [(2, 8, 8), (2**14, 2**13)])
def test_soda_refuses_images_that_are_not_one_plane_of_a_sensible_size(shape):
    def script(handler):
        header = fits.Header({"SIMPLE": True, "BITPIX": 8, "NAXIS": len(shape)})
        header.update({f"NAXIS{i + 1}": n for i, n in enumerate(shape[::-1])})
        handler.reply(200, "application/fits", header.tostring().encode().ljust(2880 * 4, b"\0"))
        return True

    with Scripted(gaussians(150.0, 2.0)) as server:
        server.script = script
        with pytest.raises(BadReplyError):
            LINEAR["soda"](server).cutout(request())
