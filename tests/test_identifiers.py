"""Names of galaxies are the same text on both sides, whatever they were kept as."""

import h5py
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from astropy.table import Column, MaskedColumn, Table

from galestim import Catalog
from galestim._identifiers import identifiers
from galestim.cutouts import ArrayStack, CutoutFetcher

LONG = 1237648720693755918


@pytest.mark.parametrize(
    "values",
    [
        [7, 12],
        [7.0, 12.0],
        np.array([7, 12], dtype=">i8"),
        np.array([7, 12], dtype=">f4"),
        np.array([b"7", b"12"]),
        np.array(["7   ", "12"]),
        np.array([b"7\0\0 ", b"12"], dtype=object),
        [b"7", "12 "],
        pd.Series([7.0, 12.0]),
        pd.Series([7, 12], dtype="Int64"),
        pd.Series(["7", "12"], dtype="category"),
        pl.Series([7, 12]),
        pa.chunked_array([[7, 12]]),
        Column([7, 12]),
        range(7, 17, 5),
    ],
)
def test_one_text_for_every_kind(values):
    assert identifiers(values) == ["7", "12"]


@pytest.mark.parametrize(
    "values",
    [
        ["7", None],
        [7, np.nan],
        [7, pd.NA],
        [7, np.ma.masked],
        np.ma.array([7, 9], mask=[False, True]),
        np.ma.array([b"7", b"9"], mask=[False, True]),
        MaskedColumn([b"7", b"9"], mask=[False, True]),
        pd.Series([7, None]),
        pd.Series([7, None], dtype="Int64"),
        pd.Series(["7", None]),
        pl.Series([7, None]),
        pa.chunked_array([["7", None]]),
    ],
)
def test_no_name(values):
    assert identifiers(values) == ["7", ""]


def test_integers_and_text_are_exact():
    assert identifiers([LONG, None]) == identifiers(np.array([str(LONG), ""])) == [str(LONG), ""]
    assert identifiers(["00123", "1.10", "12.0", "1e5"]) == ["00123", "1.10", "12.0", "1e5"]


@pytest.mark.parametrize(
    ("values", "exact"),
    [
        (pd.Series([1.0, LONG, None]), 2**53),
        (np.array([1.0, -(2.0**53)]), 2**53),
        (np.array([1, 2**24], dtype="f4"), 2**24),
        ([1, float(LONG)], 2**53),
        (["1", "1.237648720693756e+18"], 2**53),
        (["1", f"{LONG}.0"], 2**53),
    ],
)
def test_numbers_that_were_rounded(values, exact):
    message = (
        f"^id holds 1 numbers that may be rounded, the first in row 1: floats from {exact} on leave out integers, so "
        "that a galaxy may have another's name. Read the column as text or as integers"
    )
    with pytest.warns(UserWarning, match=message):
        identifiers(values, "id")


def test_floats_that_are_exact():
    assert identifiers([2.0**53 - 1, 0.5]) == [str(2**53 - 1), "0.5"]


@pytest.mark.parametrize(
    "ids", [[LONG, 5], np.array([LONG, 5], dtype=">i8"), np.array([str(LONG).encode(), b"5 "]), [f"{LONG} ", 5.0]]
)
@pytest.mark.parametrize(
    "asked",
    [
        np.array([5, LONG]),
        [b"5", f" {LONG}"],
        pd.array([5, LONG], dtype="Int64"),
        np.array([5.0, LONG], dtype=object),
    ],
)
def test_both_sides_agree(ids, asked):
    stack = ArrayStack(np.arange(2.0)[:, None, None] * np.ones((2, 3, 3)), ids=ids, pixel_scale=1.0)
    table = {"object_id": asked, "ra": [1.0, 1.0], "dec": [2.0, 2.0]}
    catalog = pd.DataFrame(table) if isinstance(asked, pd.api.extensions.ExtensionArray) else table
    images = CutoutFetcher(stack, npix=3).transform(catalog)
    assert images[:, 0, 0, 0].tolist() == [1, 0]


@pytest.mark.parametrize("ids", [np.array([LONG, 5]), np.array([LONG, 5], dtype=">i8"), [str(LONG), "5"]])
def test_names_in_hdf5(ids, tmp_path):
    with h5py.File(tmp_path / "stack.h5", "w") as file:
        file["images"] = np.arange(2.0)[:, None, None] * np.ones((2, 3, 3))
        file["ids"] = ids
    stack = ArrayStack(tmp_path / "stack.h5", ids="ids", pixel_scale=1.0)
    images = CutoutFetcher(stack, npix=3).transform({"object_id": [5, LONG], "ra": [1.0, 1.0], "dec": [2.0, 2.0]})
    assert images[:, 0, 0, 0].tolist() == [1, 0]


def test_a_galaxy_without_a_name_has_no_image():
    stack = ArrayStack(np.ones((3, 3, 3)), ids=["a", None, ""], pixel_scale=1.0)
    fetcher = CutoutFetcher(stack, npix=3, on_error="nan")
    images = fetcher.transform({"object_id": ["a", None], "ra": [1.0, 1.0], "dec": [2.0, 2.0]})
    assert np.isnan(images).all(axis=(1, 2, 3)).tolist() == [False, True]


def test_masked_bytes_of_a_catalog():
    names = MaskedColumn([b"a ", b"x"], mask=[False, True])
    position = MaskedColumn([b"12 00 00", b"13 00 00"], mask=[False, False])
    catalog = Catalog(Table({"id": names, "ra": position, "dec": [1.0, 2.0]}))
    assert catalog["object_id"].tolist() == ["a", ""]
    with pytest.raises(ValueError, match="row 1: ra is missing"):
        Catalog(Table({"ra": MaskedColumn(position, mask=[False, True]), "dec": [1.0, 2.0]}))
