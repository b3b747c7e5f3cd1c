import gc
import os
import re
import struct
import zlib
from collections import namedtuple
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from astropy.table import Table
from PIL import Image

from galestim._io import memmap as _memmap
from galestim.datasets import _folder, load_image_folder

SDSS = Path(__file__).parents[3] / "shared" / "data" / "sdss_jpeg"


def write(folder, name, color=(10, 20, 30), size=(12, 8), mode="RGB", **options):
    file = folder / name
    Image.new(mode, size, color).save(file, **options)
    return file


@pytest.fixture
def folder(tmp_path):
    """Three PNGs of distinct noise, 12 wide and 8 high; `pixels` of name "b" is what the file b.png holds."""
    rng = np.random.default_rng(0)
    for name in "cab":
        Image.fromarray(rng.integers(0, 256, (8, 12, 3), dtype=np.uint8)).save(tmp_path / f"{name}.png")
    return tmp_path


def pixels(folder, name):
    return np.asarray(Image.open(folder / f"{name}.png"))


def test_without_catalog_images_are_sorted_by_name(folder):
    data = load_image_folder(folder)
    assert data.images.shape == (3, 8, 12, 3)
    assert data.images.dtype == np.uint8
    assert data.object_id.tolist() == ["a", "b", "c"]
    assert data.catalog is None
    for image, name in zip(data.images, "abc", strict=True):
        np.testing.assert_array_equal(image, pixels(folder, name))


@pytest.mark.parametrize("kind", [pd.DataFrame, pl.DataFrame, Table])
def test_rows_follow_the_catalog(folder, kind):
    catalog = kind({"object_id": ["b", "c", "a"], "lambda_r": [0.1, 0.2, 0.3]})
    data = load_image_folder(str(folder), catalog)
    assert data.catalog is catalog
    assert data.object_id.tolist() == ["b", "c", "a"]
    for image, name in zip(data.images, "bca", strict=True):
        np.testing.assert_array_equal(image, pixels(folder, name))


def test_integer_identifiers_and_another_column(tmp_path):
    write(tmp_path, "17.JPG")
    write(tmp_path, "5.jpeg")
    data = load_image_folder(tmp_path, pd.DataFrame({"plateifu": [17, 5]}), id_column="plateifu")
    assert data.object_id.tolist() == ["17", "5"]


def test_csv_keeps_zeros_of_identifiers_and_turns_blanks_into_nan(tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    write(images, "007.png")
    write(images, "7.png")
    (tmp_path / "catalog.csv").write_text("object_id,lambda_r,n\n007,,3\n7,0.5,\n")
    data = load_image_folder(images, tmp_path / "catalog.csv")
    assert data.object_id.tolist() == ["007", "7"]
    np.testing.assert_array_equal(np.asarray(data.catalog["lambda_r"]), [np.nan, 0.5])
    np.testing.assert_array_equal(np.asarray(data.catalog["n"]), [3, np.nan])


def test_fits_catalog(folder, tmp_path_factory):
    file = tmp_path_factory.mktemp("catalog") / "catalog.fits"
    Table({"object_id": ["c", "a", "b"], "lambda_r": [0.1, 0.2, 0.3]}).write(file)
    assert load_image_folder(folder, file).object_id.tolist() == ["c", "a", "b"]


def test_gray_images_have_no_channel_axis(tmp_path):
    write(tmp_path, "a.png", 5, mode="L")
    write(tmp_path, "b.jpg", 6, mode="L")
    assert load_image_folder(tmp_path).images.shape == (2, 8, 12)


def test_other_files_are_left_alone(folder):
    (folder / "notes.txt").write_text("no image")
    (folder / "._a.png").write_bytes(b"a resource fork of macOS")
    (folder / "sub.png").mkdir()
    assert len(load_image_folder(folder).images) == 3


def test_extensions_choose_among_twins(folder):
    write(folder, "a.jpg")
    assert load_image_folder(folder, extensions=".png").object_id.tolist() == ["a", "b", "c"]
    assert load_image_folder(folder, extensions=[".jpg"]).object_id.tolist() == ["a"]


# --- memmap -------------------------------------------------------------------------------------------------


def test_memmap_holds_the_same_pixels_and_is_read_only(folder):
    in_memory, mapped = load_image_folder(folder), load_image_folder(folder, memmap=True, n_jobs=2)
    assert isinstance(mapped.images, np.memmap)
    np.testing.assert_array_equal(mapped.images, in_memory.images)
    with pytest.raises(ValueError, match="read-only"):
        mapped.images[0] = 0


def test_auto_maps_large_sets_only(folder, monkeypatch):
    n_bytes = load_image_folder(folder).images.nbytes
    monkeypatch.setattr(_folder, "MEMMAP_BYTES", n_bytes)
    assert not isinstance(load_image_folder(folder).images, np.memmap)
    monkeypatch.setattr(_folder, "MEMMAP_BYTES", n_bytes - 1)
    assert isinstance(load_image_folder(folder).images, np.memmap)


def test_temporary_file_is_not_removed_by_another_process(tmp_path):
    file = tmp_path / "images.npy"
    file.touch()
    _memmap._remove(file, owner=os.getpid() + 1)
    assert file.exists()
    _memmap._remove(file, owner=os.getpid())
    assert not file.exists()


def test_memmap_at_a_path_is_kept(folder, tmp_path_factory):
    file = tmp_path_factory.mktemp("map") / "images.npy"
    expected = np.array(load_image_folder(folder, memmap=file).images)
    gc.collect()
    np.testing.assert_array_equal(np.load(file), expected)


def test_a_failure_spares_an_older_file(folder, tmp_path_factory):
    file = tmp_path_factory.mktemp("map") / "images.npy"
    file.write_bytes(b"precious")
    (folder / "b.png").write_bytes((folder / "b.png").read_bytes()[:-60])
    with pytest.raises(ValueError, match="Cannot read"):
        load_image_folder(folder, memmap=file)
    assert file.read_bytes() == b"precious"


@pytest.mark.parametrize("memmap", [True, "path"])
def test_no_file_is_left_after_a_failure(folder, tmp_path_factory, monkeypatch, memmap):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    monkeypatch.setattr("tempfile.tempdir", str(elsewhere))
    (folder / "b.png").write_bytes((folder / "b.png").read_bytes()[:-60])
    with pytest.raises(ValueError, match="Cannot read"):
        load_image_folder(folder, memmap=elsewhere / "images.npy" if memmap == "path" else memmap)
    assert not list(elsewhere.iterdir())


def test_full_disk_is_an_error_that_spares_an_older_file(folder, tmp_path_factory, monkeypatch):
    file = tmp_path_factory.mktemp("map") / "images.npy"
    file.write_bytes(b"precious")
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage(1, 1, 0))
    with pytest.raises(OSError, match=r"The images take 0\.0 GiB, but .* has 0\.0 GiB free; pass memmap= a path on "):
        load_image_folder(folder, memmap=file)
    assert file.read_bytes() == b"precious"


# --- what cannot be loaded ----------------------------------------------------------------------------------


def ids(*names):
    return pd.DataFrame({"object_id": list(names)})


def table(text):
    """A file of a catalog in the folder."""

    def make(folder):
        (folder / "catalog.csv").write_text(text)
        return folder, folder / "catalog.csv"

    return make


def broken_jpeg(folder):
    (folder / "d.jpg").write_bytes(b"<html>404 not found</html>")
    return (folder,)


def with_image(*args, **options):
    def make(folder):
        write(folder, *args, **options)
        return (folder,)

    return make


NO_IMAGES = {
    "no folder": (lambda f: (f / "x",), "{folder}/x is not a folder; expected a folder of images."),
    "a file": (lambda f: (f / "a.png",), "{folder}/a.png is not a folder; expected a folder of images."),
    "nothing": (
        lambda f: (f / "empty",),
        "{folder}/empty holds no image; expected files that end in .jpg, .jpeg, .png. Pass other extensions=, or the "
        "subfolder that holds the images.",
    ),
}
BAD = {
    "twins": (
        with_image("b.jpg"),
        "The object 'b' has 2 images in {folder}: b.jpg, b.png; expected one. Remove the others, or pass "
        "extensions=('.png',).",
    ),
    "no column": (
        lambda f: (f, pd.DataFrame({"name": ["a"], "y": [1]})),
        "The catalog has no column 'object_id'; it has 'name', 'y'. Pass id_column=.",
    ),
    "no column in a file": (
        table("name,y\na,1\n"),
        "The catalog has no column 'object_id'; it has 'name', 'y'. Pass id_column=.",
    ),
    "no rows": (lambda f: (f, ids()), "The catalog has no rows; expected one row per image."),
    "no images of some": (
        lambda f: (f, ids("a", "b", "c", *"uvwxyz")),
        "6 of 9 objects of the catalog have no image in {folder}: 'u', 'v', 'w', 'x', 'y', …. Expected files named "
        "after the column 'object_id', such as u.png; add the images, or drop these rows.",
    ),
    "twice": (
        lambda f: (f, ids(*"abacb")),
        "2 of 3 objects occur more than once in the column 'object_id': 'a', 'b'. Expected one row per image; drop "
        "the duplicates.",
    ),
    "no rows of some": (
        lambda f: (f, ids("b")),
        "2 of 3 images in {folder} have no row in the catalog: 'a', 'c'. Add the rows, or pass unlabeled='ignore' to "
        "leave these images out.",
    ),
    "no JPEG": (
        broken_jpeg,
        "Cannot read the image {folder}/d.jpg: cannot identify image file '{folder}/d.jpg'. Expected a complete JPEG "
        "or PNG; fetch it again, or remove it.",
    ),
    "sizes": (
        with_image("d.png", size=(10, 9)),
        "1 of 4 images differ in size (width×height) from the others, which have 12×8: the first is {folder}/d.png "
        "with 10×9. Expected all images alike. Resize or crop them, or load them separately.",
    ),
    "modes": (
        with_image("0.png", 5, mode="L"),
        "1 of 4 images differ in mode from the others, which have RGB: the first is {folder}/0.png with L. Expected "
        "all images alike. Convert them, for example with PIL.Image.convert.",
    ),
}


def fails(sentence, *args, error=ValueError, **kwargs):
    with pytest.raises(error, match=f"^{re.escape(sentence)}$"):
        load_image_folder(*args, **kwargs)


@pytest.mark.parametrize("name", [*NO_IMAGES, *BAD])
def test_what_cannot_be_loaded(folder, name):
    (folder / "empty").mkdir()
    make, sentence = (NO_IMAGES | BAD)[name]
    error = FileNotFoundError if name in NO_IMAGES else ValueError
    fails(sentence.format(folder=folder), *make(folder), error=error)


def test_bad_options(folder):
    fails("unlabeled='drop'; expected 'raise' or 'ignore'.", folder, unlabeled="drop")
    fails("memmap=3; expected 'auto', True, False or the path of a .npy file.", folder, memmap=3)
    sentence = "catalog is of type list; expected the path of a table, a data frame, an astropy Table or None."
    fails(sentence, folder, ["a"], error=TypeError)


def test_unlabeled_images_may_be_left_out(folder):
    assert load_image_folder(folder, ids("b"), unlabeled="ignore").object_id.tolist() == ["b"]


def test_an_extension_without_its_dot_finds_nothing(folder):
    with pytest.raises(FileNotFoundError, match=r"holds no image; expected files that end in png\."):
        load_image_folder(folder, extensions="png")


def test_object_cannot_leave_the_folder(folder):
    inner = folder / "inner"
    inner.mkdir()
    write(inner, "d.png")
    with pytest.raises(ValueError, match=r"1 of 1 objects of the catalog have no image in .*: '\.\./a'"):
        load_image_folder(inner, pd.DataFrame({"object_id": ["../a"]}))


def test_other_formats_are_not_decoded(folder):
    Image.new("RGB", (12, 8)).save(folder / "d.jpg", format="BMP")
    with pytest.raises(ValueError, match=r"Cannot read the image .*d\.jpg"):
        load_image_folder(folder)


@pytest.mark.parametrize("extension", ["png", "jpg"])
@pytest.mark.parametrize("kept", [0.0, 0.02, 0.3, 0.6, 0.9])
def test_truncated_images(tmp_path, extension, kept):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / f"a.{extension}")
    file = tmp_path / f"b.{extension}"
    Image.fromarray(noise).save(file)
    content = file.read_bytes()
    file.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(ValueError, match=rf"^Cannot read the image .*b\.{extension}: .* Expected a complete JPEG or"):
        load_image_folder(tmp_path)


@pytest.mark.parametrize("extension", ["png", "jpg"])
def test_damaged_images_load_or_raise_value_error(tmp_path, extension):
    rng = np.random.default_rng(0)
    file = tmp_path / f"a.{extension}"
    Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(file)
    content, n_errors = file.read_bytes(), 0
    for _ in range(200):
        damaged = bytearray(content)
        for position in rng.integers(0, len(content), 3):
            damaged[position] = rng.integers(256)
        file.write_bytes(damaged)
        try:
            load_image_folder(tmp_path, n_jobs=1)
        except ValueError:
            n_errors += 1
    assert n_errors > 0


@pytest.mark.parametrize(("mode", "color"), [("RGBA", (1, 2, 3, 4)), ("P", 1), ("I;16", 1000), ("1", 1)])
def test_other_modes_are_not_converted(folder, mode, color):
    file = write(folder, "d.png", color, mode=mode)
    fails(
        f"The image {file} has mode {mode}; expected 8-bit gray (L) or 8-bit color (RGB). Convert it, for "
        "example with PIL.Image.convert.",
        folder,
    )


@pytest.mark.parametrize("limit", [95, 40])  # Pillow warns above the limit and raises above its double
def test_decompression_bomb(folder, monkeypatch, limit):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with pytest.raises(
        ValueError,
        match=r"^Refusing to decode the image .*a\.png: Image size \(96 pixels\) exceeds limit of .* "
        r"If it is genuine, raise PIL\.Image\.MAX_IMAGE_PIXELS\.$",
    ):
        load_image_folder(folder)


# --- real images --------------------------------------------------------------------------------------------


@pytest.mark.skipif(not SDSS.is_dir(), reason="needs ../shared/data/sdss_jpeg")
def test_sdss_images():
    some = Table.read(SDSS / "catalog.csv")[::7]
    data = load_image_folder(SDSS, some, memmap=True, unlabeled="ignore")
    assert data.images.shape == (200, 424, 424, 3)
    assert set(np.asarray(data.catalog["spiral"])) == {0, 1}
    for row in (0, 100, 199):
        with Image.open(SDSS / f"{data.object_id[row]}.jpg") as image:
            np.testing.assert_array_equal(data.images[row], np.asarray(image))


@pytest.mark.parametrize("orientation", [3, 6])
def test_exif_orientation_is_applied(tmp_path, orientation):
    upright = np.arange(96, dtype=np.uint8).reshape(8, 12)
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.rot90(upright, 2 if orientation == 3 else 1))
    stored.save(tmp_path / "a.png", exif=exif)
    Image.fromarray(upright).save(tmp_path / "b.png")
    np.testing.assert_array_equal(load_image_folder(tmp_path).images, [upright] * 2)


def test_png_of_16_bits_per_color_stops_the_load(tmp_path):
    rows = b"".join(b"\0" + np.arange(36, dtype=">u2").tobytes() for _ in range(12))  # 12 × 12 pixels of 3 colors
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", 12, 12, 16, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    ]
    parts = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    ]
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    with pytest.raises(ValueError, match=r"a.png has mode RGB;16B; expected 8-bit gray \(L\) or 8-bit color \(RGB\)"):
        load_image_folder(tmp_path)


def test_jpeg_of_many_scans_stops_the_load(tmp_path):
    Image.new("L", (12, 12)).save(tmp_path / "a.jpg", progressive=True)
    content = (tmp_path / "a.jpg").read_bytes()
    first = content.index(b"\xff\xda")
    (tmp_path / "a.jpg").write_bytes(content[:first] + content[first:-2] * 300 + content[-2:])
    with pytest.raises(ValueError, match=r"Cannot read the image .*a.jpg: it has more than 100 scans"):
        load_image_folder(tmp_path)
