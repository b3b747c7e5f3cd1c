"""One reader of FITS for all sources: where pixels lie, cubes, and files that change."""

import os
import pickle

import numpy as np
import pytest
from astropy.coordinates import FK4, FK5, SkyCoord
from astropy.io import fits
from astropy.wcs import WCS, DistortionLookupTable
from sklearn.base import clone

from galestim import CutoutFetcher
from galestim.cutouts import FitsMosaic, ImageDirectory, MissingCutoutError
from galestim.cutouts._fits_image import FitsImage, _remembered

from ._fits import DEC, NPIX, RA, SCALE, flat, header, request


def point(ra=RA, dec=DEC, *, wcs, n=NPIX):
    """A round source of 1.5 px at a position of ICRS."""
    x, y = wcs.world_to_pixel(SkyCoord(ra, dec, unit="deg"))
    rows, columns = np.indices((n, n))
    return np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / 4.5).astype(np.float32)


def center(image):
    image = np.nan_to_num(image)
    rows, columns = np.indices(image.shape)
    return (image * rows).sum() / image.sum(), (image * columns).sum() / image.sum()


# --- where they lie -----------------------------------------------------------------------------------------

FRAMES = {
    "ICRS": ("icrs", "RA---TAN", "DEC--TAN", {}),
    "FK5": ("fk5", "RA---TAN", "DEC--TAN", {"RADESYS": "FK5", "EQUINOX": 2000.0}),
    "FK5, J1975": (FK5(equinox="J1975"), "RA---TAN", "DEC--TAN", {"RADESYS": "FK5", "EQUINOX": 1975.0}),
    "FK4, B1950": ("fk4", "RA---TAN", "DEC--TAN", {"RADESYS": "FK4", "EQUINOX": 1950.0}),
    "FK4, B1900": (FK4(equinox="B1900"), "RA---TAN", "DEC--TAN", {"RADESYS": "FK4", "EQUINOX": 1900.0}),
    "Galactic": ("galactic", "GLON-TAN", "GLAT-TAN", {}),
    "Galactic, latitude first": ("galactic", "GLAT-TAN", "GLON-TAN", {}),
    "declination first": ("icrs", "DEC--TAN", "RA---TAN", {}),
}


def in_frame(name, **more):
    """Header of an image about (RA, DEC) whose axes are those of another frame."""
    frame, first, second, cards = FRAMES[name]
    at = SkyCoord(RA, DEC, unit="deg").transform_to(frame).spherical
    angles = at.lon.deg, at.lat.deg
    sides, angles = ((SCALE, -SCALE), angles[::-1]) if "LAT" in first or "DEC" in first else ((-SCALE, SCALE), angles)
    return header(*angles, axes=(first, second), sides=sides, **cards, **more)


@pytest.mark.parametrize("name", FRAMES)
def test_mosaics_in_any_frame(tmp_path, name):
    top = in_frame(name)
    fits.writeto(tmp_path / "7.fits", point(RA + 1.2 / 3600, DEC + 0.8 / 3600, wcs=WCS(top)), top)
    cutout = FitsMosaic(tmp_path / "7.fits").cutout(request())[..., 0]
    assert center(cutout) == pytest.approx((15 - 4, 15 - 6), abs=0.02)


@pytest.mark.parametrize("name", ["Galactic", "Galactic, latitude first", "declination first", "FK4, B1900"])
def test_images_of_a_directory_that_are_not_north_up_in_icrs(tmp_path, name):
    fits.writeto(tmp_path / "7.fits", np.ones((NPIX, NPIX), np.float32), in_frame(name))
    if name == "FK4, B1900":  # turned by 0.3°, which is little
        assert ImageDirectory(tmp_path).cutout(request()).mean() == 1
        return
    with pytest.raises(MissingCutoutError, match=r"7.fits is rotated; expected rows along east .* Use FitsMosaic"):
        ImageDirectory(tmp_path).cutout(request())


def test_galactic_image_that_is_north_up_in_icrs(tmp_path):
    at = SkyCoord(RA, DEC, unit="deg").galactic
    north = SkyCoord(RA, DEC + 1e-3, unit="deg").galactic
    angle = at.position_angle(north).rad
    turn = {"PC1_1": np.cos(angle), "PC1_2": -np.sin(angle), "PC2_1": np.sin(angle), "PC2_2": np.cos(angle)}
    top = header(at.l.deg, at.b.deg, axes=("GLON-TAN", "GLAT-TAN"), **turn)
    fits.writeto(tmp_path / "7.fits", point(RA, DEC + 0.8 / 3600, wcs=WCS(top)), top)
    cutout = ImageDirectory(tmp_path).cutout(request())[..., 0]
    assert center(cutout) == pytest.approx((15 - 4, 15), abs=0.05)


def lookup_table(path, shift=0.5):
    """A file whose WCS moves x by `shift` pixels by a lookup table, which lies in an extension."""
    wcs = WCS(header())
    tables = np.full((4, 4), shift, dtype=np.float32), np.zeros((4, 4), dtype=np.float32)
    wcs.cpdis1, wcs.cpdis2 = (DistortionLookupTable(table, (1.0, 1.0), (1.0, 1.0), (10.0, 10.0)) for table in tables)
    hdus = wcs.to_fits(relax=True)
    hdus[0].data = point(wcs=WCS(header()))
    hdus.writeto(path)
    return path


def test_lookup_tables_of_distortion(tmp_path):
    lookup_table(tmp_path / "7.fits")
    mosaic, folder = FitsMosaic(tmp_path / "7.fits"), ImageDirectory(tmp_path)
    assert center(mosaic.cutout(request())[..., 0]) == pytest.approx((15, 15.5), abs=0.01)
    assert center(folder.cutout(request())[..., 0]) == pytest.approx((15, 15), abs=0.01)


@pytest.mark.parametrize(
    ("cards", "match"),
    [
        ({"sides": (-SCALE, 2 * SCALE)}, r"7.fits has pixels of 0.2″ × 0.4″; expected 0.2″ on both sides. Use Fits"),
        ({"sides": (-SCALE / 2, SCALE / 2)}, r"7.fits has pixels of 0.1″ × 0.1″; expected 0.2″ on both sides"),
        (
            {"dec": DEC - 0.8 / 3600},
            r"has ra=150, dec=2 -?0.0 pixels east and 4.0 pixels north of its middle; expected",
        ),
        ({"ra": RA - 180.0, "dec": -DEC}, r"pixels north of its middle; expected the galaxy there. Use FitsMosaic"),
    ],
)
def test_images_of_a_directory_that_are_of_another_place_or_scale(tmp_path, cards, match):
    fits.writeto(tmp_path / "7.fits", np.ones((NPIX, NPIX), np.float32), header(**cards))
    with pytest.raises(MissingCutoutError, match=match):
        ImageDirectory(tmp_path).cutout(request())


def test_pixels_that_are_not_square(tmp_path):
    top = header(sides=(-SCALE, 2 * SCALE))
    fits.writeto(tmp_path / "7.fits", np.ones((NPIX, NPIX), np.float32), top)
    mosaic = FitsMosaic(tmp_path / "7.fits")
    assert mosaic.pixel_scale == pytest.approx(SCALE * 2**0.5)
    np.testing.assert_allclose(mosaic.cutout(request()), 0.5, rtol=1e-5)  # half of a pixel's flux


@pytest.mark.parametrize(
    ("axes", "what"),
    [(("FREQ", "VELO"), "has no image with a celestial"), (("HPLN-TAN", "HPLT-TAN"), "its WCS cannot")],
)
def test_axes_that_are_no_known_sky(tmp_path, axes, what):
    fits.writeto(tmp_path / "7.fits", np.ones((NPIX, NPIX), np.float32), header(axes=axes))
    with pytest.raises(ValueError, match=rf"7.fits'.* {what}"):
        FitsMosaic(tmp_path / "7.fits").cutout(request())


# --- cubes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lead", [(3,), (1, 3), (3, 1)])
@pytest.mark.parametrize("container", [".fits", ".fits.gz", ".fits.fz"])
def test_planes_of_a_cube_are_channels(tmp_path, container, lead):
    top = header()
    planes = point(wcs=WCS(top)) * np.array([1, 0, 5], dtype=np.float32)[:, None, None]
    planes[1, 3:5] = np.nan
    cube = planes.reshape(*lead, NPIX, NPIX)
    if container == ".fits.fz":
        shape = (*[1] * len(lead), 8, NPIX)
        kind = fits.CompImageHDU(cube, top, quantize_level=0, compression_type="GZIP_1", tile_shape=shape)
    else:
        kind = fits.ImageHDU(cube, top)
    fits.HDUList([fits.PrimaryHDU(), kind]).writeto(tmp_path / f"7{container}")
    for source in (FitsMosaic(tmp_path / f"7{container}"), ImageDirectory(tmp_path)):
        assert source.n_channels == 3
        cutout = source.cutout(request())
        np.testing.assert_allclose(cutout, np.moveaxis(planes[:, ::-1], 0, -1), atol=2e-5)


@pytest.mark.parametrize("third", [{}, {"WCSAXES": 3, "CTYPE3": "FREQ", "CRVAL3": 1e9, "CDELT3": 1e6, "CRPIX3": 1.0}])
def test_distorted_cube(tmp_path, third):
    sip = {"A_ORDER": 2, "A_2_0": 2e-3, "B_ORDER": 2, "B_0_2": -2e-3}
    image = header(axes=("RA---TAN-SIP", "DEC--TAN-SIP"), **sip)
    plane = point(RA + 0.8 / 3600, wcs=WCS(image))
    image.update(third)
    fits.writeto(tmp_path / "7.fits", np.stack([plane, 2 * plane]), image)
    cutout = FitsMosaic(tmp_path / "7.fits").cutout(request(RA + 0.8 / 3600))
    for channel, sum_ in enumerate((1, 2)):
        assert center(cutout[..., channel]) == pytest.approx((15, 15), abs=0.05)
        assert cutout[15, 15, channel] == pytest.approx(sum_, rel=0.02)


def test_cubes_and_images_together(tmp_path):
    top = header()
    fits.writeto(tmp_path / "cube.fits", np.stack([np.full((NPIX, NPIX), k, np.float32) for k in (1, 2)]), top)
    fits.writeto(tmp_path / "one.fits", np.full((NPIX, NPIX), 3, np.float32), top)
    mosaic = FitsMosaic([tmp_path / "one.fits", tmp_path / "cube.fits", tmp_path / "one.fits"])
    images = CutoutFetcher(mosaic, npix=9).transform({"ra": [RA, RA], "dec": [DEC, DEC]})
    np.testing.assert_allclose(images.mean(axis=(1, 2)), [[3, 1, 2, 3]] * 2, rtol=1e-6)
    with pytest.raises(ValueError, match=r"one.fits' has 1 planes, but '.*cube.fits' has 2; expected all tiles"):
        FitsMosaic([[tmp_path / "cube.fits", tmp_path / "one.fits"]]).cutout(request())


def test_tiles_of_cubes_are_joined(tmp_path):
    planes = np.stack([np.full((NPIX, 40), k, np.float32) for k in (1, 2)])
    for name, shift in (("a", 0), ("b", 20)):
        top = header()
        top["CRPIX1"] = 20.5 - shift
        fits.writeto(tmp_path / f"{name}.fits", planes[:, :, shift : shift + 20], top)
    cutout = FitsMosaic(str(tmp_path / "?.fits")).cutout(request(npix=9))
    np.testing.assert_allclose(cutout.mean(axis=(0, 1)), [1, 2], rtol=1e-5)


def test_an_image_goes_before_a_cube(tmp_path):
    cube, image = np.ones((2, NPIX, NPIX), np.float32), np.full((NPIX, NPIX), 3, np.float32)
    hdus = [fits.PrimaryHDU(), fits.ImageHDU(cube, header()), fits.ImageHDU(image, header())]
    fits.HDUList(hdus).writeto(tmp_path / "7.fits")
    assert FitsMosaic(tmp_path / "7.fits").cutout(request(npix=5)).mean() == pytest.approx(3)
    assert FitsMosaic(tmp_path / "7.fits", hdu=1).cutout(request(npix=5)).shape == (5, 5, 2)


def test_cube_whose_planes_are_not_the_sky(tmp_path):
    top = header(axes=("FREQ", "RA---TAN"), CTYPE3="DEC--TAN", CUNIT3="deg")
    fits.writeto(tmp_path / "7.fits", np.ones((5, 6, 7), np.float32), top)
    for source in (FitsMosaic(tmp_path / "7.fits"), ImageDirectory(tmp_path)):
        with pytest.raises((ValueError, MissingCutoutError), match="axes are FREQ, RA---TAN, DEC--TAN; expected the"):
            source.cutout(request())


REWRITTEN = {
    "values": {},
    "a larger image": {"n": 61},
    "a smaller image": {"n": 11},
    "more cards": {f"K{i}": i for i in range(60)},
    "doubles": {"dtype": np.float64},
    "integers": {"dtype": np.int16},
    "the opposite sides": {"sides": (SCALE, -SCALE)},
}


# --- files that change --------------------------------------------------------------------------------------


@pytest.mark.parametrize("settled", [False, True])
@pytest.mark.parametrize("how", REWRITTEN)
def test_rewritten_files_are_noticed(tmp_path, how, settled):
    path = tmp_path / "7.fits"
    mosaic = FitsMosaic(path)
    for value, cards in ((1, {}), (2, REWRITTEN[how]), (3, {})):
        flat(path, value, **cards)
        if settled:  # as files are that were written some time ago
            os.utime(path, ns=(value * 10**9, value * 10**9))
        for source in (mosaic, clone(mosaic), ImageDirectory(tmp_path)):
            assert source.cutout(request(npix=9)).mean() == pytest.approx(value)


def test_replaced_file_of_the_same_size_and_time(tmp_path):
    path = flat(tmp_path / "7.fits", 1)
    os.utime(path, ns=(10**18, 10**18))
    mosaic = FitsMosaic(path)
    assert np.isfinite(mosaic.cutout(request())).all()
    os.replace(flat(tmp_path / "new.fits", 1, dec=-DEC), path)
    os.utime(path, ns=(10**18, 10**18))
    with pytest.raises(MissingCutoutError, match="has no pixel in"):
        mosaic.cutout(request())


def test_rewritten_between_chunks(tmp_path, monkeypatch):
    monkeypatch.setattr("galestim.cutouts._mosaic._CHUNK_BYTES", 1)
    arriving = FitsMosaic(flat(tmp_path / "7.fits", 1)).cutouts([request(npix=9)] * 2)
    assert next(arriving).mean() == pytest.approx(1)
    flat(tmp_path / "7.fits", 2, n=61)
    assert next(arriving).mean() == pytest.approx(2)


def test_rewritten_while_it_is_read(tmp_path):
    image = FitsImage(flat(tmp_path / "7.fits", 1))
    flat(tmp_path / "7.fits", 1, n=61)
    with pytest.raises(ValueError, match=r"7.fits' was rewritten while it was read; fetch again"), image.opened():
        pass


def test_tiles_that_a_pattern_finds_later(tmp_path):
    flat(tmp_path / "a.fits", 1)
    mosaic = FitsMosaic(str(tmp_path / "*.fits"))
    assert mosaic.cutout(request(npix=9)).mean() == pytest.approx(1)
    flat(tmp_path / "b.fits", 2, ra=10.0)
    assert mosaic.cutout(request(10.0, npix=9)).mean() == pytest.approx(2)


def test_headers_are_read_once_in_a_process(tmp_path):
    for i in range(5):
        os.utime(flat(tmp_path / f"{i}.fits", i), ns=(10**18, 10**18))
    mosaic = FitsMosaic(str(tmp_path / "*.fits"))
    mosaic.cutout(request())
    read = _remembered.cache_info().misses
    for copy in (mosaic, clone(mosaic), pickle.loads(pickle.dumps(mosaic)), FitsMosaic(str(tmp_path / "?.fits"))):
        copy.cutout(request())
    assert _remembered.cache_info().misses == read
    assert len(pickle.dumps(mosaic)) < 500
