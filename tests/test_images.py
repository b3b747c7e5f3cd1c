import mmap
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest

from galestim._images import ImageEstimator, in_layout_of, input_ndim, missing_rows, release_pages, row_chunks


class Images(ImageEstimator):
    def __init__(self, image_shape=None):
        self.image_shape = image_shape


@pytest.mark.parametrize(
    ("X", "ndim"),
    [
        (np.zeros((2, 3, 4, 1)), 4),
        ([[1, 2], [3, 4]], 2),
        ([np.zeros((3, 4)), np.zeros((3, 4))], 3),
        (pd.DataFrame({"a": [1]}), 2),
        (pl.DataFrame({"a": [1]}), 2),
    ],
)
def test_input_ndim(X, ndim):
    assert input_ndim(X) == ndim


@pytest.mark.parametrize(
    ("shape", "image_shape", "expected"),
    [
        ((5, 6, 7, 3), None, (6, 7, 3)),
        ((5, 6, 7), None, (6, 7, 1)),
        ((5, 42), (6, 7), (6, 7, 1)),
        ((5, 42), (2, 7, 3), (2, 7, 3)),
        ((5, 42), None, (1, 42, 1)),
    ],
)
def test_layouts(shape, image_shape, expected):
    X = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    estimator = Images(image_shape)
    images = estimator._check_images(X, reset=True)
    assert images.shape == (5, *expected)
    assert estimator.image_shape_ == expected
    assert estimator.n_features_in_ == np.prod(expected)
    assert np.shares_memory(images, X)
    np.testing.assert_array_equal(in_layout_of(images, X.ndim), X)


def test_uint8_memmap_is_viewed_and_stays_uint8(tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).integers(0, 255, (9, 8, 8, 3), dtype=np.uint8))
    memmap = np.load(tmp_path / "x.npy", mmap_mode="r")
    images = Images()._check_images(memmap, reset=True)
    assert images.dtype == np.uint8
    assert np.shares_memory(images, memmap)


def test_no_pixels():
    with pytest.raises(
        ValueError, match=r"Found array with 0 feature\(s\) .* images of shape \(H, W, C\) = \(0, 4, 1\)"
    ):
        Images()._check_images(np.zeros((3, 0, 4)), reset=True)


def test_names_of_columns_are_forgotten_on_images():
    estimator = Images()
    estimator._check_images(pd.DataFrame(np.zeros((2, 3)), columns=["p0", "p1", "p2"]), reset=True)
    assert estimator.feature_names_in_.tolist() == ["p0", "p1", "p2"]
    estimator._check_images(np.zeros((2, 3, 3)), reset=True)
    assert not hasattr(estimator, "feature_names_in_")


def test_missing_rows_across_chunks():
    images = np.zeros((5000, 16, 16, 4), dtype=np.float32)  # 20 MB in float32: more than one chunk of finite checks
    images[[7, 4999]] = np.nan
    assert np.flatnonzero(missing_rows(images)).tolist() == [7, 4999]
    images[4321, 3, 3, 0] = np.nan
    assert np.flatnonzero(missing_rows(images, allow_partial=True)).tolist() == [7, 4999]
    with pytest.raises(ValueError, match=r"row 4321 has some NaN pixels\."):
        missing_rows(images)
    images[4998, 0, 0, 1] = -np.inf
    with pytest.raises(ValueError, match=r"row 4998 has infinite pixels \(inf\)\."):
        missing_rows(images, allow_partial=True)


def test_row_chunks_cover_every_row_once():
    images = np.zeros((103, 10, 10, 1))
    chunks = list(row_chunks(images, max_bytes=7 * 800))
    assert [chunk.stop - chunk.start for chunk in chunks] == [7] * 14 + [5]
    assert np.concatenate([np.arange(103)[chunk] for chunk in chunks]).tolist() == list(range(103))
    assert len(list(row_chunks(images, max_bytes=1))) == 103


@pytest.mark.skipif(not hasattr(mmap, "MADV_DONTNEED"), reason="this system cannot release pages")
@pytest.mark.parametrize("mode", ["r", "r+", "c"])
def test_releasing_pages_keeps_every_value(tmp_path, mode):
    values = np.random.default_rng(0).integers(0, 255, (300, 64, 64, 1), dtype=np.uint8)
    np.save(tmp_path / "x.npy", values)
    memmap = np.load(tmp_path / "x.npy", mmap_mode=mode)
    if mode != "r":
        memmap[5] = 7
        values[5] = 7
    release_pages(memmap[10:].reshape(290, -1))
    np.testing.assert_array_equal(memmap, values)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="resident pages are read from Linux's /proc")
def test_released_pages_leave_memory(tmp_path):
    np.save(tmp_path / "x.npy", np.ones((64, 1024, 1024, 1), dtype=np.uint8))
    memmap = np.load(tmp_path / "x.npy", mmap_mode="r")

    def file_pages():
        fields = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
        return int(fields["RssFile"].split()[0]) / 1024  # MiB

    before = file_pages()
    memmap.sum()
    touched = file_pages()
    release_pages(memmap)
    assert touched - before > 48
    assert file_pages() - before < 8


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="resident pages are read from Linux's /proc")
@pytest.mark.parametrize("holes", [False, True])
def test_looking_for_missing_cutouts_keeps_the_file_out_of_memory(tmp_path, holes):
    images = np.ones((500, 256, 256, 1), dtype=np.float32)
    images[::3] = np.nan if holes else 1
    np.save(tmp_path / "x.npy", images)
    memmap, resident = np.load(tmp_path / "x.npy", mmap_mode="r"), []

    def file_pages():
        fields = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
        return int(fields["RssFile"].split()[0]) / 1024  # MiB

    class Watched(np.ndarray):
        """Looks at memory whenever a chunk is taken."""

        def __getitem__(self, rows):
            resident.append(file_pages())
            return super().__getitem__(rows)

    before = file_pages()
    missing_rows(memmap.view(Watched))
    assert len(resident) > 2
    assert max(resident) - before < 40  # one chunk has 32
