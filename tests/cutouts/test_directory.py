import os
import warnings

import numpy as np
import pytest
from astropy.io import fits
from PIL import Image

from galestim.catalogs import Catalog
from galestim.cutouts import CutoutFetcher, CutoutFetchError, CutoutRequest, ImageDirectory, MissingCutoutError


def noise(*shape, dtype=np.uint8):
    return np.random.default_rng(0).uniform(0, 255, shape).astype(dtype)


def request(name, npix=12):
    return CutoutRequest(10.0, 20.0, 0.4, npix, name)


def wcs(east_x=-1.0, north_y=1.0, tilt=0.0, **other):
    """Header of a tangent plane whose axes go along east and north, or against them."""
    kinds = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 10.0, "CRVAL2": 20.0, "CRPIX1": 6.5, "CRPIX2": 6.5}
    matrix = {"CD1_1": east_x, "CD1_2": tilt, "CD2_1": -tilt, "CD2_2": north_y}
    matrix = {key: value * 0.4 / 3600 for key, value in matrix.items()}
    return fits.Header(kinds | matrix | other)


@pytest.mark.parametrize(("shape", "channels"), [((12, 12), 1), ((12, 12, 3), 3)])
def test_png_is_taken_as_it_is_seen(tmp_path, shape, channels):
    images = noise(2, *shape)
    for name, image in zip("ab", images):
        Image.fromarray(image).save(tmp_path / f"{name}.png")
    catalog = Catalog({"ra": [1.0, 2.0, 3.0], "dec": [0.0, 0.0, 0.0], "object_id": ["b", "a", "b"]})
    fetched = CutoutFetcher(ImageDirectory(tmp_path, pixel_scale=0.4), npix=12).transform(catalog)
    assert fetched.dtype == np.uint8
    np.testing.assert_array_equal(fetched, images.reshape(2, 12, 12, channels)[[1, 0, 1]])


def test_jpeg_decodes_as_pillow_does(tmp_path):
    Image.fromarray(noise(12, 12, 3)).save(tmp_path / "a.JPEG")
    expected = np.asarray(Image.open(tmp_path / "a.JPEG"))
    np.testing.assert_array_equal(ImageDirectory(str(tmp_path)).cutout(request("a")), expected)


@pytest.mark.parametrize("extension", [".fits", ".fits.gz", ".fits.fz"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16])
def test_fits_without_wcs_has_north_in_its_last_row(tmp_path, extension, dtype):
    image = noise(12, 12, dtype=dtype)
    kind = fits.CompImageHDU if extension == ".fits.fz" else fits.ImageHDU
    fits.HDUList([fits.PrimaryHDU(), kind(image)]).writeto(tmp_path / f"a{extension}")
    cutout = ImageDirectory(tmp_path).cutout(request("a"))
    assert cutout.dtype == np.float32
    np.testing.assert_allclose(cutout[..., 0], image[::-1], atol=4 if extension == ".fits.fz" else 0, rtol=1e-6)


@pytest.mark.parametrize(
    ("header", "rows", "columns"),
    [(wcs(), -1, 1), (wcs(east_x=1), -1, -1), (wcs(north_y=-1), 1, 1), (wcs(east_x=1, north_y=-1, tilt=0.01), 1, -1)],
)
def test_fits_planes_are_turned_by_their_wcs(tmp_path, header, rows, columns):
    planes = noise(2, 12, 12, dtype=np.float32)
    fits.writeto(tmp_path / "a.fits", planes, header)
    cutout = ImageDirectory(tmp_path).cutout(request("a"))
    np.testing.assert_array_equal(cutout, np.moveaxis(planes, 0, 2)[::rows, ::columns])


def test_rotated_fits_is_missing(tmp_path):
    fits.writeto(tmp_path / "a.fits", noise(12, 12))
    fits.writeto(tmp_path / "b.fits", noise(12, 12), wcs(tilt=0.5))
    fits.writeto(tmp_path / "c.fits", noise(12, 12), wcs(east_x=0, north_y=0, tilt=1))
    for name in "bc":
        with pytest.raises(MissingCutoutError, match=r"c?b?\.fits is rotated; expected .* Use FitsMosaic"):
            ImageDirectory(tmp_path).cutout(request(name))


def test_old_headers_do_not_warn(tmp_path):
    fits.writeto(tmp_path / "a.fits", noise(12, 12), wcs(RADECSYS="FK5", **{"DATE-OBS": "31/12/99"}))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cutout = ImageDirectory(tmp_path).cutout(request("a"))
    np.testing.assert_array_equal(cutout[::-1, :, 0], noise(12, 12))


def write_problems(folder):
    good = noise(12, 12, 3)
    Image.fromarray(good).save(folder / "a.png")
    (folder / "cut.png").write_bytes((folder / "a.png").read_bytes()[:200])
    (folder / "html.jpg").write_text("<html>Service temporarily unavailable</html>")
    (folder / "damaged.fits").write_bytes(b"SIMPLE  =                    T" + b" " * 100)
    fits.HDUList([fits.PrimaryHDU()]).writeto(folder / "empty.fits")
    Image.fromarray(good[..., 0]).save(folder / "gray.png")
    Image.fromarray(good).convert("CMYK").save(folder / "cmyk.jpg")
    Image.fromarray(good).save(folder / "twice.png")
    Image.fromarray(good).save(folder / "twice.jpg")
    fits.writeto(folder / "other.fits", noise(12, 12))


PROBLEMS = {
    "cut": "Expected a complete JPEG or PNG; fetch it again, or remove it",
    "html": "html.jpg: cannot identify image file",
    "damaged": "damaged.fits cannot be read: ",
    "empty": "empty.fits' has no image of 2 or more dimensions",
    "gray": "gray.png has 1 channels of uint8, but the first image of its folder, a.png, has 3 of uint8; expected",
    "cmyk": "cmyk.jpg has mode CMYK; expected 8-bit gray (L) or 8-bit color (RGB)",
    "twice": "has 2 files: twice.jpg, twice.png",
    "other": "other.fits has 1 channels of float32, but the first image of its folder, a.png, has 3 of uint8",
    "absent": "has no file 'absent.jpg', nor with another extension",
    "../a": "has no file",
}


def test_each_bad_file_is_reported_and_the_good_one_comes(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    write_problems(folder)
    names = ["a", *PROBLEMS]
    (tmp_path / "a.png").write_bytes((folder / "a.png").read_bytes())  # outside of the folder
    catalog = Catalog({"ra": np.ones(len(names)), "dec": np.zeros(len(names)), "object_id": names})
    fetcher = CutoutFetcher(ImageDirectory(folder), npix=12, pixel_scale=1, on_error="nan")
    images = fetcher.transform(catalog)
    np.testing.assert_array_equal(images[0], noise(12, 12, 3))
    assert np.isnan(images[1:]).all()
    assert fetcher.report_["status"].tolist() == ["ok"] + ["missing"] * len(PROBLEMS)
    for reason, expected in zip(fetcher.report_["reason"][1:].tolist(), PROBLEMS.values()):
        assert expected in reason


def test_huge_images_are_not_decoded(tmp_path, monkeypatch):
    Image.new("L", (12, 12)).save(tmp_path / "a.png")
    Image.new("L", (100, 100)).save(tmp_path / "bomb.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 9999)
    with pytest.raises(MissingCutoutError, match=r"Refusing to decode the image .*bomb\.png: Image size \(10000"):
        ImageDirectory(tmp_path).cutout(request("bomb"))


def test_hidden_files_and_folders_are_left_alone(tmp_path):
    Image.fromarray(noise(12, 12)).save(tmp_path / "b.Png")
    (tmp_path / "._b.png").write_bytes(b"a resource fork of macOS")
    (tmp_path / "a.png").mkdir()
    assert ImageDirectory(tmp_path).n_channels == 1
    np.testing.assert_array_equal(ImageDirectory(tmp_path).cutout(request("b"))[..., 0], noise(12, 12))


def test_a_name_may_go_on_before_the_extension(tmp_path):
    for band, value in {"g": 1, "r": 2}.items():
        Image.new("L", (12, 12), value).save(tmp_path / f"7_{band}.png")
    for band, value in {"g": 1, "r": 2}.items():
        assert (ImageDirectory(tmp_path, extensions=f"_{band}.png").cutout(request("7")) == value).all()


def test_no_folder_and_no_images(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere is not a folder; expected a folder of images"):
        ImageDirectory(tmp_path / "nowhere").cutout(request("a"))
    with pytest.raises(FileNotFoundError, match=r"holds no image; expected files that end in \.jpg, \.jpeg, \.png, "):
        ImageDirectory(tmp_path).cutout(request("a"))


def test_files_are_read_row_by_row(tmp_path):
    """A file that appears later is found: nothing about the folder is remembered."""
    source = ImageDirectory(tmp_path, extensions=".png")
    Image.fromarray(noise(12, 12)).save(tmp_path / "a.png")
    with pytest.raises(MissingCutoutError):
        source.cutout(request("b"))
    os.rename(tmp_path / "a.png", tmp_path / "b.png")
    assert source.cutout(request("b")).shape == (12, 12, 1)


def first_truncated_jpeg(file):
    Image.fromarray(noise(12, 12, 3)).save(file.with_suffix(".jpg"))
    file.with_suffix(".jpg").write_bytes(file.with_suffix(".jpg").read_bytes()[:-200])


FIRST = {
    "a truncated JPEG": first_truncated_jpeg,
    "a file of macOS": lambda file: (file.parent / "._a.jpg").write_bytes(b"a resource fork"),
    "a page": lambda file: file.with_suffix(".jpg").write_text("<html>"),
    "an empty file": lambda file: file.with_suffix(".png").write_bytes(b""),
    "damaged FITS": lambda file: file.with_suffix(".fits").write_bytes(b"SIMPLE  =                    T"),
    "nothing": lambda file: file.with_suffix(".jpg").symlink_to("nowhere"),
}


@pytest.mark.parametrize("kind", FIRST)
def test_a_bad_file_that_comes_first_fails_alone(tmp_path, kind):
    FIRST[kind](tmp_path / "a")
    Image.fromarray(noise(12, 12, 3)).save(tmp_path / "b.png")
    fetcher = CutoutFetcher(ImageDirectory(tmp_path), npix=12, pixel_scale=1, on_error="nan")
    names = ["b", "a", "b"]
    images = fetcher.transform({"ra": [1.0, 2.0, 3.0], "dec": [0.0, 0.0, 0.0], "object_id": names})
    assert fetcher.report_["status"].tolist() == ["ok", "missing", "ok"]
    np.testing.assert_array_equal(images[[0, 2]], [noise(12, 12, 3)] * 2)


def test_no_file_can_be_read(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.jpg").write_text("<html>")
    with pytest.raises(ValueError, match=r"None of 2 images can be read. The first: Cannot read the image .*a.jpg"):
        ImageDirectory(tmp_path).cutout(request("b"))


@pytest.mark.parametrize("name", ["x" * 5000, "a/../b", "\0", "", "."])
def test_names_that_no_file_can_have(tmp_path, name):
    Image.fromarray(noise(12, 12)).save(tmp_path / "b.png")
    fetcher = CutoutFetcher(ImageDirectory(tmp_path), npix=12, pixel_scale=1, on_error="nan")
    fetcher.transform(Catalog({"ra": [1.0, 2.0], "dec": [0.0, 0.0], "object_id": ["b", name]}))
    assert fetcher.report_["status"].tolist() == ["ok", "missing"]


def test_a_file_that_may_not_be_read_fails_alone(tmp_path, monkeypatch):
    for name in "ab":
        Image.fromarray(noise(12, 12)).save(tmp_path / f"{name}.png")
    source = ImageDirectory(tmp_path)
    arriving = source.cutouts([request("a"), request("b"), request("a")])
    assert next(arriving).shape == (12, 12, 1)
    (tmp_path / "b.png").unlink()  # between the list of files and its turn
    assert "b.png" in str(next(arriving))
    assert next(arriving).shape == (12, 12, 1)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("extension", [".png", ".jpg"])
def test_exif_orientation_is_applied(tmp_path, extension, orientation):
    upright = np.kron(np.array([[0, 80, 160], [240, 40, 120]], np.uint8), np.ones((8, 8), np.uint8))
    image = Image.fromarray(np.pad(upright, ((0, 8), (0, 0)), constant_values=200))
    back = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # Pillow's transpositions that undo an orientation
    stored = image if orientation == 1 else image.transpose(Image.Transpose(back[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / f"a{extension}", exif=exif, **({"quality": 95} if extension == ".jpg" else {}))
    cutout = ImageDirectory(tmp_path).cutout(request("a", npix=24))[..., 0]
    np.testing.assert_allclose(
        cutout.astype(int), np.asarray(image).astype(int), atol=0 if extension == ".png" else 12
    )


def test_positions_may_be_rounded(tmp_path):
    """To four decimals: 0.18 arcsec at most, which are four pixels of these."""
    header = wcs(0.1, 0.1)  # pixels of 0.04 arcsec
    fits.writeto(tmp_path / "a.fits", noise(12, 12, dtype=np.float32), header)
    for step, status in ((0.00005, "ok"), (0.0005, "missing")):
        ra, dec = (header[f"CRVAL{axis}"] + step for axis in (1, 2))
        fetcher = CutoutFetcher(ImageDirectory(tmp_path), npix=12, pixel_scale=0.04, on_error="nan", cache=None)
        fetcher.transform({"object_id": ["a"], "ra": [ra], "dec": [dec]})
        assert fetcher.report_["status"].tolist() == [status]


def test_files_of_250_pixels_are_cut_to_239_for_a_table_without_positions(tmp_path):
    image = np.random.default_rng(0).normal(size=(250, 250)).astype(np.float32)
    for name in ("17", "4"):
        fits.writeto(tmp_path / f"{name}.fits", image, wcs(CRPIX1=125.5, CRPIX2=125.5))
    table = {"object_id": [4, 17], "custom_logit_bt": [0.3, -1.2]}
    fetcher = CutoutFetcher(ImageDirectory(tmp_path, any_parity=True), npix=239, pixel_scale=0.4)
    images = fetcher.fit_transform(table)
    np.testing.assert_array_equal(images[0, ..., 0], image[::-1][5:244, 5:244])
    assert np.isnan(fetcher.report_["ra"]).all()
    assert list(fetcher.acquire(table).catalog["object_id"]) == ["4", "17"]
    with pytest.raises(CutoutFetchError, match=r"250×250 pixels; .* or any_parity=True of ImageDirectory"):
        CutoutFetcher(ImageDirectory(tmp_path), npix=239, pixel_scale=0.4).transform(table)


def test_half_a_position_is_an_error(tmp_path):
    Image.fromarray(noise(12, 12)).save(tmp_path / "4.png")
    with pytest.raises(ValueError, match="no column for dec among 'object_id', 'RA'"):
        CutoutFetcher(ImageDirectory(tmp_path), npix=12, pixel_scale=1).transform({"object_id": [4], "RA": [10.0]})
