"""Numbers of FITS files mean the same however they are stored, and damaged files are named."""

import bz2
import gzip
import warnings

import numpy as np
import pytest
from astropy.io import fits

from galestim import CutoutFetcher
from galestim.cutouts import FitsMosaic, ImageDirectory, decode_fits
from galestim.cutouts._fits_image import FitsImage

from ._fits import DEC, NPIX, RA, SCALE, header, request

# --- format × container × source ----------------------------------------------------------------------------

FORMATS = {  # stored numbers, cards, and what they stand for; the last number is BLANK or NaN
    "unsigned bytes": (np.uint8, [3, 200, 255], {"BLANK": 255}, [3, 200, np.nan]),
    "bytes": (np.uint8, [3, 200, 0], {"BZERO": -128, "BLANK": 0}, [-125, 72, np.nan]),
    "16 bits": (np.int16, [-7, 320, -32768], {"BLANK": -32768}, [-7, 320, np.nan]),
    "unsigned 16 bits": (np.int16, [-31768, 5, 32767], {"BZERO": 32768, "BLANK": 32767}, [1000, 32773, np.nan]),
    "unsigned 16 bits, a float": (
        np.int16,
        [-31768, 5, -1],
        {"BZERO": 32768.0, "BSCALE": 1.0, "BLANK": -1},
        [1000, 32773, np.nan],
    ),
    "scaled 16 bits": (np.int16, [0, 100, -1], {"BSCALE": 0.25, "BZERO": 10.0, "BLANK": -1}, [10, 35, np.nan]),
    "unsigned 32 bits": (np.int32, [-(2**31) + 9, -(2**31) + 5, 4], {"BZERO": 2**31, "BLANK": 4}, [9, 5, np.nan]),
    "64 bits": (np.int64, [-1001, 1003, 17], {"BLANK": 17}, [-1001, 1003, np.nan]),
    "unsigned 64 bits": (
        np.int64,
        [-(2**63) + 1001, -(2**63) + 3, 0],
        {"BZERO": 2**63, "BLANK": 0},
        [1001, 3, np.nan],
    ),
    "floats": (np.float32, [0.5, -7, np.nan], {"BLANK": 7}, [0.5, -7, np.nan]),
    "scaled floats": (np.float64, [0.5, 1e3, np.nan], {"BSCALE": 2.0, "BZERO": 1.0}, [2, 2001, np.nan]),
}
CONTAINERS = [".fits", ".fits.gz", ".fits.fz", ".fits.bz2"]
SOURCES = {
    "mosaic": lambda folder, container: FitsMosaic(folder / f"7{container}"),
    "directory": lambda folder, container: ImageDirectory(folder, extensions=container),
}


def thirds(values, dtype):
    """An image whose first column, middle and last columns hold three values."""
    image = np.full((NPIX, NPIX), values[1], dtype=dtype)
    image[:, 0], image[:, -5:] = values[0], values[2]
    return image


def plain_bytes(image, cards):
    bits = {"u": 8, "i": 8, "f": -8}[image.dtype.kind] * image.dtype.itemsize
    top = fits.Header({"SIMPLE": True, "BITPIX": bits, "NAXIS": image.ndim})
    for axis, n in enumerate(image.shape[::-1], start=1):
        top[f"NAXIS{axis}"] = n
    top.update(cards)
    text = top.tostring().encode("ascii")
    data = image.astype(image.dtype.newbyteorder(">")).tobytes()
    return text + data + b"\0" * (-len(data) % 2880)


def write(path, image, cards):
    """Write stored numbers and cards as they are, in the container that the name says."""
    if path.suffix == ".fz":
        tiles = fits.CompImageHDU(image, compression_type="GZIP_1", quantize_level=0)
        fits.HDUList([fits.PrimaryHDU(), tiles]).writeto(path)
        with fits.open(path, mode="update", disable_image_compression=True) as hdus:
            hdus[1].header.update(cards)
    else:
        path.write_bytes(
            {".gz": gzip.compress, ".bz2": bz2.compress}.get(path.suffix, bytes)(plain_bytes(image, cards))
        )
    return path


TILED = [form for form, (dtype, *_) in FORMATS.items() if dtype != np.int64]  # tiles have no integers of 64 bits
CASES = [(form, container) for container in CONTAINERS for form in (TILED if ".fz" in container else FORMATS)]


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize(("form", "container"), CASES)
def test_stored_numbers_mean_the_same_everywhere(tmp_path, form, container, source):
    dtype, numbers, cards, meant = FORMATS[form]
    write(tmp_path / f"7{container}", thirds(numbers, dtype), dict(header()) | cards)
    cutout = SOURCES[source](tmp_path, container).cutout(request())[..., 0]
    expected = thirds(meant, float)
    cutout[:, 1:11], expected[:, 1:11] = 0, 0  # the spline of a mosaic rings beside the first column
    np.testing.assert_allclose(cutout, expected, rtol=1e-6 if source == "directory" else 1e-4)


@pytest.mark.parametrize("form", [form for form in FORMATS if form != "floats"])  # astropy warns of its BLANK
def test_replies_of_services_mean_the_same(tmp_path, form):
    dtype, numbers, cards, meant = FORMATS[form]
    body = write(tmp_path / "7.fits", thirds(numbers, dtype), dict(header()) | cards).read_bytes()
    np.testing.assert_allclose(decode_fits(body, request())[..., 0], thirds(meant, float), rtol=1e-6)


@pytest.mark.parametrize(("key", "value"), [("BSCALE", "2"), ("BZERO", "none"), ("BLANK", "-1")])
def test_numbers_that_are_none(tmp_path, key, value):
    write(tmp_path / "7.fits", np.ones((NPIX, NPIX), np.int16), dict(header()) | {key: value})
    with pytest.raises(ValueError, match=rf"7.fits' cannot be read: {key}='{value}'; expected a number"):
        FitsMosaic(tmp_path / "7.fits").cutout(request())


# --- damaged files ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("kept", [0.1, 0.5, 0.95])
def test_truncated_files_are_named(tmp_path, container, kept):
    rng = np.random.default_rng(0)
    path = write(tmp_path / f"7{container}", rng.normal(size=(151, 151)).astype(np.float32), dict(header(n=151)))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole))])
    with pytest.raises(ValueError, match=rf"7{container}"):
        FitsMosaic(path).cutout(request())
    with pytest.raises(ValueError, match=rf"None of 1 images can be read. The first: .*7{container}"):
        ImageDirectory(tmp_path, extensions=container).cutout(request())


def test_rows_of_damaged_tiles_fail_alone(tmp_path):
    path = tmp_path / "7.fits.fz"
    image = np.random.default_rng(0).normal(size=(120, 120)).astype(np.float32)
    tiles = fits.CompImageHDU(image, header(n=120), compression_type="GZIP_1", quantize_level=0, tile_shape=(20, 120))
    fits.HDUList([fits.PrimaryHDU(), tiles]).writeto(path)
    content = bytearray(path.read_bytes())
    last = content.rindex(b"\x1f\x8b\x08")
    content[last + 200 : last + 260] = bytes(60)
    path.write_bytes(content)
    fetcher = CutoutFetcher(FitsMosaic(path), npix=9, on_error="nan")
    decs = [DEC, DEC + 50 * SCALE / 3600, DEC - 0.001]
    images = fetcher.transform({"ra": [RA] * 3, "dec": decs})
    assert fetcher.report_["status"].tolist() == ["ok", "missing", "ok"]
    assert "7.fits.fz' is damaged" in fetcher.report_["reason"][1]
    assert np.isfinite(images[[0, 2]]).all()


def test_damaged_headers_do_not_warn(tmp_path):
    fits.writeto(tmp_path / "7.fits", np.ones((NPIX, NPIX), np.float32), header(RADECSYS="FK5"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert ImageDirectory(tmp_path).cutout(request()).mean() == 1


@pytest.mark.parametrize("card", [b"ZTILE2", b"ZBITPIX", b"ZNAXIS2", b"ZCMPTYPE", b"TFORM1", b"TTYPE1"])
def test_a_compressed_image_without_one_of_its_cards_is_named(card, tmp_path):
    file = tmp_path / "7.fits.fz"
    image = fits.CompImageHDU(np.ones((20, 20), "f4"), compression_type="GZIP_1", quantize_level=0)
    fits.HDUList([fits.PrimaryHDU(), image]).writeto(file)
    file.write_bytes(file.read_bytes().replace(card.ljust(8), b"X" * 8))
    with pytest.raises(ValueError, match=r"7\.fits\.fz"), FitsImage(file, celestial=False).opened() as planes:
        planes[0].read(slice(0, 20), slice(0, 20))
