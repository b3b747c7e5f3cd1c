import re

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.table import Column, MaskedColumn, QTable, Table
from astropy.utils.masked import Masked
from scipy.sparse import csr_array, dok_array

from galestim._tables import column_names, frame_table, is_unnamed, named_columns, target_values

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
    for unnamed in (["y0", "y1"], ["y"], None):
        assert columns.in_order_of(unnamed).tolist() == columns.values.tolist()
        assert is_unnamed(unnamed)
    assert not is_unnamed(["y0", "flux"])
    assert named_columns({"y1": [1.0], "y0": [2.0]}).in_order_of(["y0", "y1"]).tolist() == [[2, 1]]
    assert named_columns({"y1": [1.0], "y0": [2.0]}).in_order_of(["a", "b"]).tolist() == [[1, 2]]
    sentence = (
        "y has the columns 'radius', 'flux', but none named 'size'; expected 'flux', 'size'. Add or rename columns, "
        "or pass an array without names."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        columns.in_order_of(["flux", "size"])


@pytest.mark.parametrize("name", ["Flux", "flux ", "radius_true"])
def test_tables_of_other_names_are_refused(name):
    for data in (Table({name: ONE}), {name: ONE, "other": ONE}):
        with pytest.raises(ValueError, match="but none named 'flux'; expected 'flux'"):
            target_values(data, ["flux"])


@pytest.mark.parametrize("name", ["Flux", "flux ", "radius_true"])
def test_a_single_column_of_another_name_is_taken_with_a_warning(name):
    for data in (pd.Series(ONE, name=name), Column(ONE, name=name), pl.Series(name, ONE)):
        with pytest.warns(UserWarning, match=f"^y is named '{name}', and taken for the target 'flux'.$"):
            assert target_values(data, ["flux"]).ravel().tolist() == list(ONE)
    with (
        pytest.warns(UserWarning, match="is named"),
        pytest.raises(ValueError, match=r"the unit 'kpc'.*expected 'nJy'"),
    ):
        target_values(Column(ONE, name=name, unit="kpc"), ["flux"], ["nJy"])


def test_a_quantity_of_a_table_has_the_name_of_its_column():
    table = QTable({"radius": ONE * u.arcmin})
    assert column_names(table["radius"]) == column_names(table["radius"][1:]) == ["radius"]
    assert named_columns(table["radius"]).names == ["radius"]
    assert column_names(ONE * u.arcmin) is None


def test_lists_of_quantities():
    found = named_columns([1 * u.arcmin, 90 * u.arcsec])
    assert found.values.tolist() == [[1.0], [1.5]]
    assert found.units == ["arcmin"]
    with pytest.raises(ValueError, match=r"^y is a list of quantities: .*Expected units that convert"):
        named_columns([1 * u.arcmin, 90 * u.kpc])


def test_a_sparse_mapping_is_no_table():
    with pytest.raises(TypeError, match=r"^y is sparse; expected a dense array"):
        named_columns(dok_array(np.eye(3)))


def test_columns_that_are_not_asked_for_are_not_read():
    table = Table({"id": ["a", "b"], "flux": [3, 4], "spectrum": [[1, 2], [3, 4]], "radius": [1, 2]})
    assert target_values(table, ["radius", "flux"]).tolist() == [[1, 3], [2, 4]]


RADII = np.array([60.0, 90.0])


@pytest.mark.parametrize(
    ("data", "own", "expected"),
    [
        (Table({"radius": RADII * u.arcsec}), "arcmin", [1, 1.5]),
        (QTable({"radius": Masked(RADII * u.arcsec, mask=[True, False])}), u.arcmin, [np.nan, 1.5]),
        (RADII * u.arcsec, u.arcmin, [1, 1.5]),
        (Column(RADII, unit="arcsec", name="radius"), "arcsec", [60, 90]),
        (RADII, "arcmin", [60, 90]),
        (RADII * u.arcsec, None, [60, 90]),
        ([18.9, 16.4] * u.ABmag, "Jy", [1e-4, 1e-3]),
        ([3631.0, 36.31] * u.Jy, "mag(AB)", [0, 5]),
        ([50.0, 100.0] * u.percent, "", [0.5, 1]),
    ],
)
def test_units_are_converted(data, own, expected):
    np.testing.assert_allclose(target_values(data, ["radius"], [own])[:, 0], expected, atol=1e-4)


@pytest.mark.parametrize(("unit", "expected"), [("Jy", "arcsec"), ("nanomaggies", "arcsec"), ("mag(AB)", "arcsec")])
def test_units_that_do_not_convert_are_refused(unit, expected):
    table = Table({"flux": ONE, "radius": Column(ONE, unit=u.Unit(unit, parse_strict="silent"))})
    sentence = (
        f"y has the unit '{unit}' in the column 'radius'; expected '{expected}', or what converts to it. Convert it."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        target_values(table, ["radius", "flux"], [expected, None])


def test_errors_of_magnitudes_are_differences():
    errors = named_columns([0.1, 0.2] * u.mag, what="y_err")
    assert errors.in_order_of(None, ["mag(AB)"], "y_err", errors=True)[:, 0].tolist() == [0.1, 0.2]
    with pytest.raises(ValueError, match="y_err has the unit 'mag' in the column 0; expected 'Jy'"):
        errors.in_order_of(None, ["Jy"], "y_err", errors=True)


MASKED = QTable({"n": MaskedColumn([1, 9], mask=[False, True]), "radius": RADII * u.arcsec}, meta={"survey": "x"})


@pytest.mark.parametrize(
    "container",
    [
        lambda path: fits.getdata(path("fits")),
        lambda path: fits.getdata(path("fits"))[:2],
        lambda path: fits.BinTableHDU(fits.getdata(path("fits"))),
        lambda path: pq.read_table(path("parquet")),
        lambda path: pq.read_table(path("parquet")).slice(0, 2),
        lambda path: MASKED,
    ],
    ids=["FITS_rec", "FITS slice", "HDU", "pyarrow", "pyarrow slice", "QTable"],
)
def test_a_container_keeps_what_its_file_says(container, tmp_path):
    def path(suffix):
        MASKED.write(tmp_path / f"t.{suffix}")
        return tmp_path / f"t.{suffix}"

    columns = named_columns(container(path))
    np.testing.assert_array_equal(columns.values, [[1, 60], [np.nan, 90]])
    assert columns.units == [None, "arcsec"]


@pytest.mark.parametrize(
    "read", [pd.read_parquet, pl.read_parquet, lambda path: pq.read_table(path).replace_schema_metadata()]
)
def test_masks_that_astropy_put_beside_their_columns(read, tmp_path):
    MASKED.write(tmp_path / "t.parquet")
    frame = read(tmp_path / "t.parquet")
    assert named_columns(frame).names == ["n", "radius"]
    np.testing.assert_array_equal(named_columns(frame).values[:, 0], [1, np.nan])
    assert frame_table(frame)["n"].mask.tolist() == [False, True]


def test_half_of_what_astropy_wrote(tmp_path):
    MASKED.write(tmp_path / "t.parquet")
    half = pq.read_table(tmp_path / "t.parquet").select(["n"])
    with pytest.raises(ValueError, match=r"columns of the pyarrow .* Expected all of them"):
        named_columns(half)


def test_attributes_of_a_frame_are_metadata():
    frame = pd.DataFrame(TWO)
    frame.attrs["survey"] = "x"
    assert frame_table(frame).meta == {"survey": "x"}


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
