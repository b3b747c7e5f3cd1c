import numpy as np
import pytest

from galestim.cutouts import FitsMosaic

from ._field import N, request, wcs_of, write

OMEGA = (0.2 / 206264.806) ** 2  # sr of a pixel


def zero_point(tmp_path, pixel_scale=0.2, pixel_values="flux", zero_point=None, **header):
    path = write(tmp_path / "image.fits", np.ones((N, N), np.float32), wcs_of(), **header)
    mosaic = FitsMosaic(path, noise=1.0, zero_point=zero_point, pixel_values=pixel_values)
    return mosaic.cutout(request(pixel_scale)).zero_point


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ({"MAGZERO": 27.0}, 27.0),
        ({"MAGZPT": 24.1}, 24.1),
        ({"PHOTZP": 30}, 30.0),
        ({"FLUXMAG0": 63095734448.0}, 27.0),
        ({"BUNIT": "nJy"}, 31.4),
        ({"BUNIT": "nanomaggy"}, 22.5),
        ({"BUNIT": "uJy/pix"}, 23.9),
        ({"BUNIT": "MJy/sr"}, 8.9 - 2.5 * np.log10(1e6 * OMEGA)),
        ({"BUNIT": "MJy/sr", "PIXAR_SR": 1e-12}, 8.9 - 2.5 * np.log10(1e-6)),
        # of HST/ACS in F814W: AB 25.94
        ({"PHOTFLAM": 7.0723e-20, "PHOTPLAM": 8045.0, "BUNIT": "ELECTRONS/S"}, 25.94),
        ({"PHOTFLAM": 7.0723e-20, "PHOTPLAM": 8045.0, "BUNIT": "ELECTRONS", "EXPTIME": 100.0}, 30.94),
        ({"MAGZERO": 22.5, "BUNIT": "nanomaggies"}, 22.5),
        ({"BUNIT": "adu"}, np.nan),
        ({"BUNIT": "Jy/beam"}, np.nan),
        ({}, np.nan),
    ],
)
def test_what_headers_tell(tmp_path, header, expected):
    assert zero_point(tmp_path, **header) == pytest.approx(expected, abs=0.01, nan_ok=True)


def test_what_is_told_beats_the_header(tmp_path):
    assert zero_point(tmp_path, zero_point=25.0, MAGZERO=27.0) == 25.0
    assert zero_point(tmp_path, zero_point="MYZERO", MAGZERO=27.0, MYZERO=26.5) == 26.5


def test_zero_points_that_differ_are_not_chosen_from(tmp_path):
    with pytest.raises(ValueError, match=r"zero points that differ: MAGZERO → 27, PHOTZP → 30. Pass zero_point="):
        zero_point(tmp_path, MAGZERO=27.0, PHOTZP=30.0)


def test_magnitudes_asked_for_and_none_known(tmp_path):
    with pytest.raises(ValueError, match=r"has no zero point: none of MAGZERO.*Pass zero_point=, the magnitude of"):
        zero_point(tmp_path, zero_point="header", BUNIT="adu")
    with pytest.raises(ValueError, match="has ZP=None; expected a number"):
        zero_point(tmp_path, zero_point="ZP")


@pytest.mark.parametrize("unit", ["mag", "mag/arcsec2", "mag(AB)", "log10(counts)", "dex(cm/s2)"])
def test_units_that_are_not_linear(tmp_path, unit):
    with pytest.raises(ValueError, match="which is no linear flux"):
        zero_point(tmp_path, BUNIT=unit)


@pytest.mark.parametrize("unit", ["MJy/sr", "adu", "photmag_counts"])
@pytest.mark.parametrize("pixel_values", ["flux", "surface_brightness"])
def test_magnitudes_do_not_depend_on_the_pixels(tmp_path, unit, pixel_values):
    """Of the sum over the same square of a flat image."""
    known = None if "Jy" in unit else 25.0
    magnitudes = []
    path = write(tmp_path / "image.fits", np.ones((N, N), np.float32), wcs_of(), BUNIT=unit)
    mosaic = FitsMosaic(path, noise=1.0, gain=2.0, zero_point=known, pixel_values=pixel_values)
    for pixel_scale, npix in ((0.2, 60), (0.4, 30), (0.3, 40)):
        cutout = mosaic.cutout(request(pixel_scale, npix))
        magnitudes.append(cutout.zero_point - 2.5 * np.log10(cutout.images.sum()))
        assert cutout.images.sum() * cutout.gain == pytest.approx(2 * 3600, rel=1e-4)
    assert np.ptp(magnitudes) < 1e-4
