"""What users give as images and their camera."""

import re

import numpy as np
import pandas as pd
import polars as pl
import pytest
from astropy import units as u
from astropy.nddata import CCDData
from astropy.table import Column
from astropy.utils.masked import Masked
from astropy.wcs import WCS

from galestim import Cutouts
from galestim.simulation import MoffatPSF

N = 5
IMAGES = np.arange(N * 36.0).reshape(N, 6, 6)
BAD = np.zeros(IMAGES.shape, dtype=bool)
BAD[1], BAD[3, 2, 2] = True, True
STAMPS = np.full((N, 3, 3), 1 / 9)


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"pixel_scale": 0.01 * u.arcmin}, 0.6),
        ({"pixel_scale": Column(np.full(N, 1e-4), unit="deg")}, [0.36] * N),
        ({"pixel_scale": 200 * u.mas / u.pix}, 0.2),
        ({"zero_point": 27 * u.ABmag}, 27.0),
        ({"zero_point": [27, 28, 29, 30, 31] * u.mag}, [27, 28, 29, 30, 31]),
        ({"psf_error": 3 * u.percent}, 0.03),
        ({"noise": 2 * u.uJy}, 2000.0),
        ({"noise": Column(np.arange(5.0), unit="uJy")}, [0, 1000, 2000, 3000, 4000]),
        ({"noise": IMAGES[..., :] * u.uJy}, IMAGES * 1000),
        ({"noise": 2.0}, 2.0),
        ({"noise": pl.Series([None, 1.0, 2.0, 3.0, 4.0])}, [np.nan, 1, 2, 3, 4]),
        ({"noise": [None, 1, 2, 3, 4]}, [np.nan, 1, 2, 3, 4]),
        ({"gain": pd.Series([None, 1, 2, 3, 4], dtype="Int64")}, [np.nan, 1, 2, 3, 4]),
    ],
)
def test_units_and_blanks(parameters, expected):
    cutouts = Cutouts(IMAGES * u.nJy, **parameters)
    found = getattr(cutouts, *parameters)
    assert type(cutouts.images) is np.ndarray
    assert type(found) in (float, np.ndarray)
    np.testing.assert_allclose(found, expected)


@pytest.mark.parametrize(
    "images",
    [
        np.ma.array(IMAGES, mask=BAD),
        [np.ma.array(image, mask=bad) for image, bad in zip(IMAGES, BAD)],
        [CCDData(image, unit="adu", mask=bad) for image, bad in zip(IMAGES, BAD)],
        Masked(IMAGES * u.adu, mask=BAD),
        CCDData(IMAGES, unit="adu", mask=BAD),
        pd.Series([np.ma.array(image, mask=bad) for image, bad in zip(IMAGES, BAD)]),
    ],
    ids=["array", "list of arrays", "list of CCDData", "quantity", "CCDData", "series"],
)
def test_masks_of_images(images):
    cutouts = Cutouts(images)
    np.testing.assert_array_equal(cutouts.bad_pixels(), BAD)
    assert cutouts.missing().tolist() == [False, True, False, False, False]


def test_a_mask_that_is_masked_is_bad():
    mask = np.ma.array(np.zeros_like(BAD), mask=BAD)
    np.testing.assert_array_equal(Cutouts(IMAGES, mask=mask).bad_pixels(), BAD)


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"noise": "0.1"}, ValueError, "noise is '0.1', a str; expected numbers."),
        ({"gain": ["high"] * N}, ValueError, "a list; expected numbers."),
        ({"noise": 2 * u.arcsec}, ValueError, "noise has the unit 'arcsec'; expected 'nJy', or what converts to it."),
        ({"pixel_scale": 1 * u.kpc}, ValueError, "pixel_scale has the unit 'kpc'; expected 'arcsec'"),
        ({"psf": MoffatPSF}, TypeError, "expected stamps, an object such as MoffatPSF(0.6), or a list of n."),
        ({"psf": [MoffatPSF(0.6)] * 4 + [None]}, TypeError, "psf is or holds a list; expected stamps"),
        ({"psf": 0.6}, ValueError, "psf has shape (); expected a stamp (h, w)"),
        ({"psf": "psf.fits"}, ValueError, "psf is 'psf.fits', a str; expected numbers."),
        ({"psf": np.ma.array(STAMPS, mask=BAD[:, 2:5, 2:5])}, ValueError, "psf of row 3 has the sum nan"),
        ({"wcs": WCS(naxis=2)}, TypeError, "wcs is or holds a WCS; expected a list of n WCS."),
        ({"wcs": [None] * N}, TypeError, "wcs is or holds a NoneType; expected a list of n WCS."),
    ],
)
def test_mistakes(parameters, error, message):
    with pytest.raises(error, match=re.escape(message)):
        Cutouts(IMAGES * u.nJy, **parameters)


def test_a_masked_stamp_is_not_known():
    psf = Cutouts(IMAGES, psf=np.ma.array(STAMPS, mask=np.arange(N)[:, None, None] + np.zeros((3, 3)) == 1)).psf
    assert np.isnan(psf).all(axis=(1, 2)).tolist() == [False, True, False, False, False]


def test_images_of_two_units():
    with pytest.raises(
        ValueError, match=r"^images have the units \['Jy', 'nJy'\]; expected one unit. Convert them.$"
    ):
        Cutouts([CCDData(IMAGES[0], unit="nJy"), CCDData(IMAGES[1], unit="Jy")])


def test_a_camera_is_not_lost():
    with pytest.raises(TypeError, match=r"^images are Cutouts already; expected an array."):
        Cutouts(Cutouts(IMAGES, noise=0.1))


def test_one_image_in_color():
    with pytest.raises(ValueError, match=r"\(32, 32, 3\).* A single image is images\[None\].$"):
        Cutouts(np.zeros((32, 32, 3)))


def test_rows_and_parts():
    cutouts = Cutouts(IMAGES, psf=STAMPS, noise=np.arange(N), gain=2.0)
    assert len(cutouts[[]]) == 0
    assert len(cutouts[np.ma.array([True] * N, mask=[True] + [False] * 4)]) == 4
    both = Cutouts.concatenate([cutouts, cutouts.replace(mask=BAD)])
    assert both.mask.sum() == BAD.sum()
    for parts in ([], [IMAGES], cutouts):
        with pytest.raises(TypeError, match="expected a list of one or more Cutouts"):
            Cutouts.concatenate(parts)


@pytest.mark.parametrize("suffix", ["fits", "h5"])
@pytest.mark.parametrize("n", [N, 1, 0])
def test_files_keep_one_number_apart_from_one_for_each(tmp_path, suffix, n):
    cutouts = Cutouts(IMAGES.astype(np.float16), psf=STAMPS, noise=np.ones(N), gain=np.nan, pixel_scale=[0.2] * N)[:n]
    cutouts.write(tmp_path / f"cutouts.{suffix}")
    read = Cutouts.read(tmp_path / f"cutouts.{suffix}")
    np.testing.assert_array_equal(read.images, cutouts.images)
    for name, value in cutouts.context.items():
        assert np.shape(getattr(read, name)) in {np.shape(value), (n,) if n == 0 else np.shape(value)}
