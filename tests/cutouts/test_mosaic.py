import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import Column
from astropy.wcs import WCS
from joblib import Parallel, delayed
from scipy.special import erf
from sklearn.base import clone

from galestim import CutoutFetcher
from galestim.cutouts._errors import MissingCutoutError
from galestim.cutouts._mosaic import FitsMosaic
from galestim.cutouts._source import CutoutRequest, CutoutSource

SHAPE = (150, 200)
RA, DEC = 150.0, 2.0


def make_wcs(*, crpix=(100.5, 75.5), rotation=0.0, dec=DEC, pixel_scale=0.2):
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.crpix = ["RA---TAN", "DEC--TAN"], [RA, dec], crpix
    c, s = np.cos(np.radians(rotation)), np.sin(np.radians(rotation))
    wcs.wcs.cd = pixel_scale / 3600 * np.array([[-c, s], [s, c]])
    return wcs


def gaussian(wcs, ra=RA, dec=DEC, shape=SHAPE, flux=100.0):
    """A source of 1.5 px, integrated over pixels."""
    x, y = wcs.all_world2pix(ra, dec, 0)
    parts = [np.diff(erf((np.arange(n + 1) - 0.5 - at) / 1.5 / np.sqrt(2))) / 2 for n, at in zip(shape, (y, x))]
    return flux * np.outer(*parts)


def write(path, image, wcs, **header):
    hdu = fits.PrimaryHDU(np.asarray(image, dtype=np.float32), wcs.to_header())
    hdu.header.update(header)
    hdu.writeto(path)
    return path


def request(ra=RA, dec=DEC, pixel_scale=0.2, npix=33, object_id="NGC 1"):
    return CutoutRequest(ra, dec, pixel_scale, npix, object_id)


def centroid(image):
    rows, columns = np.indices(image.shape)
    return (image * rows).sum() / image.sum(), (image * columns).sum() / image.sum()


@pytest.fixture
def field(tmp_path):
    wcs = make_wcs()
    return write(tmp_path / "field.fits", gaussian(wcs), wcs)


@pytest.mark.parametrize("npix", [32, 33])
@pytest.mark.parametrize("pixel_scale", [0.2, 0.11, 0.5])
@pytest.mark.parametrize("rotation", [0, 40])
def test_cutout_is_centered_and_keeps_flux(tmp_path, rotation, pixel_scale, npix):
    wcs = make_wcs(rotation=rotation)
    mosaic = FitsMosaic(write(tmp_path / "field.fits", gaussian(wcs, RA + 0.001, DEC - 0.0007), wcs))
    cutout = mosaic.cutout(request(RA + 0.001, DEC - 0.0007, pixel_scale, npix))
    assert cutout.shape == (npix, npix, 1)
    assert cutout.dtype == mosaic.dtype == np.float32
    assert cutout.sum() == pytest.approx(100, rel=1e-4)
    assert centroid(cutout[..., 0]) == pytest.approx(((npix - 1) / 2,) * 2, abs=2e-3)


def test_north_is_up_and_east_is_left(tmp_path):
    wcs = make_wcs(rotation=70)
    mosaic = FitsMosaic(write(tmp_path / "field.fits", gaussian(wcs, RA + 2 / 3600, DEC + 1 / 3600), wcs))
    assert centroid(mosaic.cutout(request())[..., 0]) == pytest.approx((16 - 5, 16 - 10), abs=0.01)


def test_north_is_that_of_the_galaxy_and_not_of_the_mosaic(tmp_path):
    # at declination 85°, 3° of right ascension from the mosaic's center, north has turned by 3°
    wcs = make_wcs(dec=85.0, crpix=(-4600.0, 75.5))
    ra, dec = wcs.all_pix2world(100, 75, 0)
    assert ra < RA - 2.9
    mosaic = FitsMosaic(write(tmp_path / "field.fits", gaussian(wcs, ra, dec + 10 / 3600), wcs))
    row, column = centroid(mosaic.cutout(request(float(ra), float(dec), npix=121))[..., 0])
    assert (row, column) == pytest.approx((60 - 50, 60), abs=0.02)


DISTORTIONS = {
    "SIP": {"A_ORDER": 2, "A_2_0": 4e-5, "A_1_1": -3e-5, "B_ORDER": 2, "B_0_2": -4e-5},
    "TPV": {"PV1_1": 1.0, "PV1_4": 3.0, "PV2_1": 1.0, "PV2_4": -2.0},
}


@pytest.mark.parametrize("kind", DISTORTIONS)
def test_distorted_headers(tmp_path, kind):
    header = make_wcs(rotation=25).to_header()
    suffix = "TAN-SIP" if kind == "SIP" else "TPV"
    header.update({"CTYPE1": f"RA---{suffix}", "CTYPE2": f"DEC--{suffix}", **DISTORTIONS[kind]})
    wcs, plain = WCS(header), make_wcs(rotation=25)
    ra, dec = (float(angle) for angle in wcs.all_pix2world(140, 110, 0))
    assert np.abs(np.subtract(plain.all_world2pix(ra, dec, 0), (140, 110))).max() > 0.05
    hdu = fits.PrimaryHDU(gaussian(wcs, ra, dec).astype(np.float32), header)
    hdu.writeto(tmp_path / "field.fits")
    cutout = FitsMosaic(tmp_path / "field.fits").cutout(request(ra, dec))
    assert centroid(cutout[..., 0]) == pytest.approx((16, 16), abs=5e-3)
    assert cutout.sum() == pytest.approx(100, rel=1e-3)


def test_surface_brightness_is_not_scaled(tmp_path):
    path = write(tmp_path / "field.fits", np.full(SHAPE, 3.0), make_wcs())
    cutout = FitsMosaic(path, pixel_values="surface_brightness").cutout(request(pixel_scale=0.4))
    np.testing.assert_allclose(cutout, 3, rtol=1e-6)
    np.testing.assert_allclose(FitsMosaic(path).cutout(request(pixel_scale=0.4)), 12, rtol=1e-6)
    with pytest.raises(ValueError, match="pixel_values='counts'; expected 'flux' or 'surface_brightness'"):
        FitsMosaic(path, pixel_values="counts").cutout(request())


@pytest.mark.parametrize("form", ["dict", "list", "template", "extensions"])
def test_each_band_lights_only_its_own_plane(tmp_path, form):
    wcs = make_wcs()
    images = {"g": gaussian(wcs, flux=10), "r": 0 * gaussian(wcs), "i": gaussian(wcs, flux=30)}
    paths = {band: write(tmp_path / f"field_{band}.fits", image, wcs) for band, image in images.items()}
    if form == "dict":
        mosaic = FitsMosaic(paths, bands=["i", "r", "g"])
    elif form == "list":
        mosaic = FitsMosaic([paths["i"], paths["r"], paths["g"]])
    elif form == "template":
        mosaic = FitsMosaic(tmp_path / "field_{band}.fits", bands="irg")
    else:
        hdus = [fits.ImageHDU(image, wcs.to_header(), name=band) for band, image in images.items()]
        fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(tmp_path / "all.fits")
        mosaic = FitsMosaic(tmp_path / "all.fits", hdu={"i": "i", "r": 2, "g": ("g", 1)})
    assert mosaic.n_channels == 3
    np.testing.assert_allclose(mosaic.cutout(request()).sum(axis=(0, 1)), [30, 0, 10], rtol=1e-4)


def test_band_that_does_not_cover_is_a_nan_plane(tmp_path, field):
    elsewhere = write(tmp_path / "elsewhere.fits", np.ones(SHAPE), make_wcs(dec=-40.0))
    cutout = FitsMosaic([field, elsewhere]).cutout(request())
    assert np.isfinite(cutout[..., 0]).all()
    assert np.isnan(cutout[..., 1]).all()


def test_tiles_are_joined(tmp_path):
    # one image cut in two that overlap by 10 px, and a seam without overlap; the source is on it
    wcs, image = make_wcs(), gaussian(make_wcs())
    for name, start, end in (("a", 0, 100), ("b", 90, 150), ("c", 150, 200)):
        part = make_wcs(crpix=(100.5 - start, 75.5))
        write(tmp_path / f"tile_{name}.fits", image[:, start:end], part)
    whole = FitsMosaic(write(tmp_path / "whole.fits", image, wcs))
    for tiles in (tmp_path / "tile_*.fits", [[tmp_path / f"tile_{name}.fits" for name in "abc"]]):
        mosaic = FitsMosaic(str(tiles) if not isinstance(tiles, list) else tiles)
        assert mosaic.n_channels == 1
        for asked in (request(), request(RA - 40 * 0.2 / 3600, DEC), request(npix=140)):
            np.testing.assert_allclose(mosaic.cutout(asked), whole.cutout(asked), atol=0.02)
        many = list(mosaic.cutouts([request(RA + i * 1e-4, npix=40) for i in range(-30, 30)]))
        np.testing.assert_allclose([np.isfinite(one).all() for one in many], True)


def test_extensions_are_tiles(tmp_path):
    image = gaussian(make_wcs())
    parts = [
        fits.ImageHDU(
            image[:, start : start + 100], make_wcs(crpix=(100.5 - start, 75.5)).to_header(), name="CCD", ver=i
        )
        for i, start in enumerate((0, 100), start=1)
    ]
    fits.HDUList([fits.PrimaryHDU(), *parts]).writeto(tmp_path / "ccds.fits")
    one, both = FitsMosaic(tmp_path / "ccds.fits"), FitsMosaic(tmp_path / "ccds.fits", hdu=[("CCD", 1), ("CCD", 2)])
    assert np.isnan(one.cutout(request())).mean() == pytest.approx(0.5, abs=0.05)
    assert both.cutout(request()).sum() == pytest.approx(100, rel=0.01)


def test_edges_and_outside(field):
    west, outside, far = request(RA - 100 * 0.2 / 3600), request(RA - 0.02), request(RA + 180, -DEC)
    results = list(FitsMosaic(field).cutouts([west, outside, request(), far]))
    assert np.isnan(results[0]).mean() == pytest.approx(0.5, abs=0.05)
    assert np.isfinite(results[0][:, :15]).all()  # east is left
    assert np.isfinite(results[2]).all()
    for result in (results[1], results[3]):
        assert isinstance(result, MissingCutoutError)
    with pytest.raises(MissingCutoutError, match=r"NGC 1 at ra=149.98, dec=2 has no pixel in .*field.fits.*; leave"):
        FitsMosaic(field).cutout(outside)


def test_across_ra_zero(tmp_path):
    wcs = make_wcs()
    wcs.wcs.crval = [0.0, DEC]
    mosaic = FitsMosaic(write(tmp_path / "field.fits", gaussian(wcs, 359.9995), wcs))
    for ra in (359.9995, -0.0005):
        assert centroid(mosaic.cutout(request(ra))[..., 0]) == pytest.approx((16, 16), abs=2e-3)


def test_compressed_floats(tmp_path, field):
    image, header = fits.getdata(field, header=True)
    image[70:72, 95] = np.nan
    packed = fits.CompImageHDU(image, header, quantize_level=1e5, tile_shape=(30, 40))
    fits.HDUList([fits.PrimaryHDU(), packed]).writeto(tmp_path / "field.fits.fz")
    cutout = FitsMosaic(tmp_path / "field.fits.fz").cutout(request())
    assert np.isnan(cutout).sum() == 2
    np.testing.assert_allclose(np.nan_to_num(cutout), np.nan_to_num(FitsMosaic(field).cutout(request())), atol=0.05)


@pytest.mark.parametrize("frame", ["ICRS", "FK5"])
def test_deprecated_keywords_pass_without_warnings(tmp_path, frame):
    wcs = make_wcs()
    at = SkyCoord(RA, DEC, unit="deg").transform_to(frame.lower())  # FK5 is 0.1 px away
    path = write(tmp_path / "field.fits", gaussian(wcs, at.ra.deg, at.dec.deg), wcs)
    with fits.open(path, mode="update") as hdus:
        del hdus[0].header["RADESYS"]
        hdus[0].header.update({"RADECSYS": frame, "EPOCH": 2000.0, "EQUINOX": 2000.0, "DATE-OBS": "31/12/99"})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert centroid(FitsMosaic(path).cutout(request())[..., 0]) == pytest.approx((16, 16), abs=2e-3)


def test_pixel_scale_is_that_of_the_first_image(field, tmp_path):
    assert FitsMosaic(field).pixel_scale == pytest.approx(0.2)
    coarse = write(tmp_path / "coarse.fits", np.ones((9, 9)), make_wcs(pixel_scale=0.5))
    assert FitsMosaic({"K": coarse, "r": field}).pixel_scale == pytest.approx(0.5)
    assert FitsMosaic({"K": coarse, "r": field}, bands=["r"]).pixel_scale == pytest.approx(0.2)


def test_many_come_in_order_whatever_the_memory(field, monkeypatch):
    rng = np.random.default_rng(0)
    requests = [
        request(RA + x, DEC + y, npix=n) for x, y, n in zip(*rng.uniform(-3e-3, 3e-3, (2, 40)), [21] * 25 + [16] * 15)
    ]
    expected = [FitsMosaic(field).cutout(one) for one in requests]
    monkeypatch.setattr("galestim.cutouts._mosaic._CHUNK_BYTES", 10_000)
    monkeypatch.setattr("galestim.cutouts._fits_image._MAPPED_BYTES", 20_000)
    for image, alone in zip(FitsMosaic(field).cutouts(requests), expected, strict=True):
        np.testing.assert_allclose(image, alone, atol=1e-5)


def test_it_is_a_source_and_an_estimator(field):
    mosaic = FitsMosaic({"i": field}, bands=["i"])
    assert isinstance(mosaic, CutoutSource)
    image = mosaic.cutout(request())
    for copy in (clone(mosaic), pickle.loads(pickle.dumps(mosaic))):
        assert copy.get_params() == mosaic.get_params()
        np.testing.assert_array_equal(copy.cutout(request()), image)
    assert len(pickle.dumps(mosaic)) < 1000
    at_once = Parallel(n_jobs=4, backend="threading")(delayed(mosaic.cutout)(request()) for _ in range(20))
    np.testing.assert_array_equal(at_once, [image] * 20)


def test_changed_parameters_are_noticed(field, tmp_path):
    mosaic = FitsMosaic(field)
    mosaic.cutout(request())
    mosaic.set_params(paths=[write(tmp_path / "other.fits", np.ones(SHAPE), make_wcs())])
    np.testing.assert_allclose(mosaic.cutout(request()), 1, rtol=1e-6)


@pytest.mark.parametrize("terms", [{}, {"PV1_0": 0.0, "PV2_0": 0.0}, {"PV1_1": 0.0, "PV2_1": 1.0}])
def test_a_distortion_that_maps_all_to_one_point_has_no_pixels(terms, tmp_path):
    """TPV without its linear terms: positions are infinitely far from the center."""
    header = {**make_wcs().to_header(), "CTYPE1": "RA---TPV", "CTYPE2": "DEC--TPV", **terms}
    hdu = fits.PrimaryHDU(np.ones(SHAPE, "f4"), fits.Header(header))
    hdu.writeto(tmp_path / "a.fits")
    with pytest.raises(MissingCutoutError, match="has no pixel"):
        FitsMosaic(tmp_path / "a.fits").cutout(request(RA + 0.001))


def test_files_that_cannot_be_used(field, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no file '.*missing.fits'; give the path of a FITS image"):
        FitsMosaic(tmp_path / "missing.fits").cutout(request())
    with pytest.raises(FileNotFoundError, match=r"no file '.*none_\*.fits'"):
        FitsMosaic(str(tmp_path / "none_*.fits")).cutout(request())
    fits.PrimaryHDU(np.ones((5, 5))).writeto(tmp_path / "no_wcs.fits")
    with pytest.raises(ValueError, match=r"no_wcs.fits' has no image with a celestial WCS; .* 0 'PRIMARY' \(5, 5\)"):
        FitsMosaic(tmp_path / "no_wcs.fits").cutout(request())
    with pytest.raises(ValueError, match="no image with a celestial WCS at hdu='SCI'"):
        FitsMosaic(field, hdu="SCI").cutout(request())
    (tmp_path / "page.fits").write_text("<html>maintenance</html>" * 200)
    with pytest.raises(ValueError, match=r"page.fits.* begin with SIMPLE"):
        FitsMosaic(tmp_path / "page.fits").cutout(request())
    (tmp_path / "short.fits").write_bytes(field.read_bytes()[:-40_000])
    with pytest.raises(ValueError, match=r"short.fits.* its data are cut off"):
        FitsMosaic(tmp_path / "short.fits").cutout(request())


def test_bands_that_cannot_be_had(field):
    with pytest.raises(ValueError, match=r"no path or hdu for the bands \['z'\]; expected some of \['r'\]"):
        FitsMosaic({"r": field}, bands=["z"]).cutout(request())
    with pytest.raises(ValueError, match=r"2 bands \(\['g', 'r'\]\) for 1 paths; expected as many"):
        FitsMosaic([field], bands="gr").cutout(request())
    with pytest.raises(ValueError, match=r"bands=\['g', 'r'\] of one path, .*; expected '\{band\}' in it, or a dict"):
        FitsMosaic(field, bands="gr").cutout(request())


@pytest.mark.parametrize("projection", ["CAR", "CEA", "AIT", "MOL"])
def test_seam_of_an_all_sky_map(tmp_path, projection):
    cards = {"CTYPE1": f"RA---{projection}", "CTYPE2": f"DEC--{projection}", "CRVAL1": 180.0, "CRVAL2": 0.0}
    cards |= {"CRPIX1": 360.5, "CRPIX2": 180.5, "CDELT1": -0.5, "CDELT2": 0.5}
    image = np.ones((360, 720), dtype=np.float32)
    image[:, :360] = 2.0  # east of the seam, which is 360° west of it
    fits.writeto(tmp_path / "sky.fits", image, fits.Header(cards))
    fetcher = CutoutFetcher(
        FitsMosaic(tmp_path / "sky.fits", pixel_values="surface_brightness"), npix=16, min_coverage=0.9
    )
    images = fetcher.transform({"ra": [20.0, 0.1, 359.9], "dec": [0.0, 1.0, -1.0]})[..., 0]
    assert fetcher.report_["coverage"][0] == 1
    for image in images[1:]:
        known = image[:, np.isfinite(image).all(axis=0)]
        np.testing.assert_allclose(known[:, :6], 1, rtol=1e-3)
        np.testing.assert_allclose(known[:, -6:], 2, rtol=1e-3)


def test_rows_with_too_wide_pixels_fail_alone(field):
    catalog = {"ra": [RA, RA, RA], "dec": [DEC, DEC, DEC], "half_light_radius": [1.0, 1e4, 1.0]}
    fetcher = CutoutFetcher(FitsMosaic(field), npix=3, pixel_scale_re=0.2, on_error="nan", min_coverage=0.1)
    images = fetcher.transform(catalog)
    assert fetcher.report_["status"].tolist() == ["ok", "missing", "ok"]
    assert fetcher.report_["reason"][1].startswith("pixel_scale=2000 arcsec makes a pixel as wide as 10000 of the")
    np.testing.assert_array_equal(images[0], images[2])


@pytest.mark.parametrize("kind", [tuple, np.array, pd.Series, Column, lambda paths: np.array(paths).astype(bytes)])
def test_paths_in_any_sequence(tmp_path, field, kind):
    other = write(tmp_path / "other.fits", np.full(SHAPE, 3.0), make_wcs())
    bands = FitsMosaic(kind([str(other), str(field)]))
    assert bands.n_channels == 2
    assert bands.pixel_scale == pytest.approx(0.2)
    np.testing.assert_allclose(clone(bands).cutout(request())[..., 0], 3, rtol=1e-6)
    tiles = FitsMosaic({"r": kind([str(other), str(field)])})
    assert tiles.cutout(request()).shape == (33, 33, 1)
    assert "FitsMosaic(" in repr(bands)


@pytest.mark.parametrize(
    "paths", [None, 3, {"a.fits"}, (path for path in ["a.fits"]), [None], {"r": [np.nan]}, [[3]]]
)
def test_what_is_no_path(paths):
    with pytest.raises(TypeError, match="expected a path"):
        FitsMosaic(paths).cutout(request())


def test_no_bands_no_tiles_and_bands_that_come_twice(field):
    with pytest.raises(ValueError, match="a band has no tiles, but an empty list; expected at least one path"):
        FitsMosaic({"r": []}).cutout(request())
    with pytest.raises(ValueError, match=r"bands=\['g', 'g'\] has one of them twice; expected each once"):
        FitsMosaic([field, field], bands="gg").cutout(request())
    with pytest.raises(ValueError, match=r"no path or hdu for the bands \[\]; expected some of \['r'\]"):
        FitsMosaic({"r": field}, bands=[]).cutout(request())
