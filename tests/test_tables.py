import re

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from astropy import units as u
from astropy.table import Column, MaskedColumn, QTable, Table
from astropy.utils.masked import Masked
from scipy.sparse import csr_array

from galestim._tables import column_names, frame_table, named_columns

ONE, HOLE = [1.0, 2.0, 3.0], [False, True, False]
MASKED_ONE = np.ma.array([1, 999, 3], mask=HOLE)


@pytest.mark.parametrize(
    ("data", "name", "unit"),
    [
        (ONE, None, None),
        (np.array([1, 2, 3], dtype=object), None, None),
        (np.float32(ONE), None, None),
        (pd.Series(ONE, name="flux"), "flux", None),
        (pd.Series(ONE, name=0), None, None),
        (pl.Series("flux", ONE), "flux", None),
        (pa.chunked_array([ONE]), None, None),
        (Column(ONE, name="flux", unit="Jy"), "flux", "Jy"),
        (ONE * u.arcsec, None, "arcsec"),
        (u.Quantity(ONE), None, None),
    ],
)
def test_a_column_keeps_its_name_and_unit(data, name, unit):
    columns = named_columns(data)
    assert columns.values.tolist() == [[1.0], [2.0], [3.0]]
    assert columns.values.dtype == np.float64
    assert columns.names == (name if name is None else [name]) == column_names(data)
    assert columns.units == (unit if unit is None else [unit])
    assert columns.one_dimensional
    assert columns.shape == (3,)


@pytest.mark.parametrize(
    "data",
    [
        [1, None, 3],
        MASKED_ONE,
        pd.Series([1, None, 3], dtype="Int64"),
        pl.Series("x", [1, None, 3]),
        pa.chunked_array([[1, None, 3]]),
        MaskedColumn(MASKED_ONE),
        MaskedColumn(np.array([1, "?", 3], dtype=object), mask=HOLE),
        Masked([1.0, 999, 3] * u.m, mask=HOLE),
    ],
)
def test_a_cell_without_a_value_is_nan_and_masked(data):
    columns = named_columns(data)
    np.testing.assert_array_equal(columns.values, [[1], [np.nan], [3]])
    np.testing.assert_array_equal(columns.mask[:, 0], HOLE)


TWO = {"radius": [1.0, 2.0], "flux": [3.0, 4.0]}
STRUCTURED = np.array([(1, 3), (2, 4)], dtype=[("radius", "i4"), ("flux", "f8")])


@pytest.mark.parametrize(
    "data",
    [TWO, pd.DataFrame(TWO), pl.DataFrame(TWO), pa.table(TWO), Table(TWO), STRUCTURED, np.ma.array(STRUCTURED)],
    ids=["dict", "pandas", "polars", "pyarrow", "astropy", "structured", "masked structured"],
)
def test_a_table_of_any_library(data):
    columns = named_columns(data)
    assert columns.values.tolist() == [[1, 3], [2, 4]]
    assert columns.names == ["radius", "flux"] == column_names(data)
    assert columns.units is None
    assert not columns.one_dimensional
    assert columns.in_order_of(["flux"]).tolist() == [[3], [4]]
    assert named_columns(data, select=["flux"]).names == ["flux"]


def test_units_of_tables_and_of_quantities():
    table = QTable({"radius": ONE * u.arcsec, "flux": Masked(ONE * u.nJy, mask=HOLE), "bulge_to_total": ONE})
    assert named_columns(table).units == ["arcsec", "nJy", None]
    assert named_columns(np.ones((2, 2)) * u.m).units == ["m", "m"]


def test_numbers_are_no_names():
    assert named_columns(pd.DataFrame(np.zeros((2, 2)))).names is None
    assert column_names(np.zeros((2, 2))) is None


def test_the_input_is_not_changed():
    y = np.zeros((2, 1))
    named_columns(y).values[:] = 7
    assert not y.any()


def test_columns_are_found_by_name():
    columns = named_columns(TWO)
    assert columns.in_order_of(["flux", "radius"]).tolist() == [[3, 1], [4, 2]]
    assert columns.in_order_of(["y0", "y1"]).tolist() == columns.values.tolist()
    sentence = (
        "y has the columns 'radius', 'flux', but none named 'size'; expected 'flux', 'size'. Add or rename columns, "
        "or pass an array without names."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        columns.in_order_of(["flux", "size"])


COLUMNS_AND_CLASSES = "Pass a column itself and not its name, and of classes a column of 0 and 1 for each."


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (["spiral"], "y holds text, such as 'spiral'; expected numbers. " + COLUMNS_AND_CLASSES),
        ([1j], "Complex data not supported: y is complex; expected real numbers."),
        (np.zeros((2, 2, 2)), "y has shape (2, 2, 2); expected (n,) or (n, k): a row for each galaxy."),
        (np.float64(1), "y has shape (); expected (n,) or (n, k): a row for each galaxy."),
        (
            np.array([{}], dtype=object),
            "y holds what is no number: float() argument must be a string or a real number, not 'dict'; "
            "expected numbers.",
        ),
        (Table({"a": ["x"]}), "column 'a' of y holds text, such as 'x'; expected numbers. " + COLUMNS_AND_CLASSES),
        (Table({"a": [[1, 2]]}), "column 'a' of y has shape (1, 2); expected one value per row."),
        ({"a": [1], "b": [1, 2]}, "y has columns of the lengths {'a': 1, 'b': 2}; expected one length."),
        (
            pd.DataFrame([[1, 2]], columns=["a", "a"]),
            "Two columns of the data frame have one name; expected different names.",
        ),
    ],
)
def test_what_is_no_table_of_numbers(data, sentence):
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        named_columns(data)


def test_a_column_that_is_not_there():
    with pytest.raises(ValueError, match=r"^catalog has no column 'ra'; expected some of 'radius', 'flux'\.$"):
        named_columns(TWO, select=["ra"], what="catalog")


def test_lazy_and_sparse_data_have_no_values_yet():
    with pytest.raises(TypeError, match=r"^A lazy LazyFrame holds no values yet; call \.collect\(\)"):
        named_columns(pl.LazyFrame(TWO))
    with pytest.raises(TypeError, match=r"^y is sparse; expected a dense array\. Convert it with \.toarray\(\)\.$"):
        named_columns(csr_array(np.eye(2)))


@pytest.mark.parametrize("library", [pd.DataFrame, pl.DataFrame, pa.table])
def test_a_frame_becomes_a_table(library):
    table = frame_table(library({"object_id": ["a", None], "n": [1, 2]}))
    assert table["object_id"].tolist() == ["a", None]
    assert table["n"].tolist() == [1, 2]
    assert frame_table(table) is None
