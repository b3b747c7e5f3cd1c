"""Random catalogs, and each of them in every container and file that a user may bring it in."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from astropy import units as u
from astropy.io import fits
from astropy.table import Column, MaskedColumn, QTable, Table
from astropy.utils.masked import Masked
from hypothesis import strategies as st

# --- catalogs ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cells:
    """A column: its cells as Python values, None where there is none, and what it is to be in numpy."""

    name: str
    dtype: str
    cells: list
    unit: str | None = None

    @property
    def mask(self):
        return np.array([cell is None for cell in self.cells])

    def array(self):
        """The cells in their dtype, with something false where there is none."""
        false = {"U": "false", "S": b"false", "b": True}.get(np.dtype(self.dtype).kind, 77)
        return np.array([false if cell is None else cell for cell in self.cells], dtype=self.dtype)

    def masked(self):
        return np.ma.array(self.array(), mask=self.mask)

    def column(self):
        """As a column of astropy, plain if all cells are there."""
        kind = MaskedColumn if self.mask.any() else Column
        return kind(self.masked() if self.mask.any() else self.array(), unit=self.unit, name=self.name)

    def quantity(self):
        """As dictionaries and QTables hold it: a quantity if it has a unit, under a mask if need be."""
        if self.unit is None:
            return self.masked() if self.mask.any() else self.array()
        values = u.Quantity(self.array(), self.unit, dtype=float, subok=True)
        return Masked(values, mask=self.mask) if self.mask.any() else values


FLOATS = {width: st.floats(-(2.0**99), 2.0**99, width=width) for width in (32, 64)}
WORDS = st.text("abcxyz", min_size=1, max_size=5).filter(lambda word: word not in ("nan", "inf"))
VALUES = {
    "i2": st.integers(-(2**15) + 1, 2**15 - 1),
    "i4": st.integers(-(2**31) + 1, 2**31 - 1),
    "i8": st.integers(-(2**62), 2**62),
    "f4": FLOATS[32],
    "f8": FLOATS[64],
    "?": st.booleans(),
    "U5": WORDS,
}
IDS = {
    "i8": st.integers(0, 2**62),
    "U20": st.from_regex(r"[0-9]{1,5}|[A-Z][0-9]{1,3}-[0-9]{2}", fullmatch=True),
    "S20": st.from_regex(r"[0-9]{1,5}|[A-Z][0-9]{1,3}-[0-9]{2}", fullmatch=True).map(str.encode),
}
UNITS = st.sampled_from([None, "nJy", "arcsec", "mag", "km / s", "mag(AB)"])


@st.composite
def catalogs(draw):
    """Columns of a small catalog in any order; some hold what no catalog may."""
    n = draw(st.integers(1, 4))

    def cells(values, missing=True):
        return draw(st.lists(st.none() | values if missing else values, min_size=n, max_size=n))

    order = st.sampled_from(["<", ">"])
    wrong = draw(st.sampled_from([False] * 5 + [True]))
    ra = st.floats(0, 6) if not wrong else st.floats(0, 6) | st.none() | st.just(400.0) | st.just(float("inf"))
    columns = [
        Cells(draw(st.sampled_from(["ra", "RA", "RAJ2000"])), draw(order) + "f8", cells(ra, False), draw(ANGLE)),
        Cells(draw(st.sampled_from(["dec", "DEJ2000"])), "f8", cells(st.floats(-1.5, 1.5), False), draw(ANGLE)),
    ]
    if draw(st.booleans()):
        unit = draw(st.sampled_from([None, "arcsec", "arcmin"]))
        columns.append(Cells("r_e", draw(st.sampled_from(["f4", "f8"])), cells(st.floats(0, 60, width=32)), unit))
    if draw(st.booleans()):
        dtype = draw(st.sampled_from(list(IDS)))
        columns.append(Cells("objID", dtype, cells(IDS[dtype])))
    for name in draw(st.lists(st.sampled_from(["flux", "m_g", "Σ", "z phot", "n"]), unique=True, max_size=3)):
        dtype, masked = draw(st.sampled_from(list(VALUES))), draw(st.booleans())
        swapped = draw(order) + dtype if dtype[0] in "if" else dtype
        unit = draw(UNITS) if dtype[0] == "f" else None
        masked &= unit != "mag(AB)"  # astropy warns of masked magnitudes
        columns.append(Cells(name, swapped, cells(VALUES[dtype], masked), unit))
    return draw(st.permutations(columns))


ANGLE = st.sampled_from([None, "deg", "rad"])

# --- what each container can hold ----------------------------------------------------------------------------


def without_units(columns):
    return [replace(column, unit=None) for column in columns]


def native(columns):
    return [replace(column, dtype=column.dtype.lstrip("<>")) for column in columns]


def as_text(columns):
    """Bytes as text: text columns of data frames hold no bytes."""
    return [
        replace(column, dtype="U20", cells=[cell and cell.decode() for cell in column.cells])
        if column.dtype[0] == "S"
        else column
        for column in columns
    ]


def whole(columns):
    """Columns of which every cell is there."""
    return [column for column in columns if not column.mask.any()]


def in_fits(columns):
    """Columns that a FITS table holds: names in ASCII, no masked truth values, units of the standard."""
    return [
        replace(column, unit=None if column.unit == "mag(AB)" else column.unit)
        for column in columns
        if column.name.isascii() and not (column.dtype == "?" and column.mask.any())
    ]


def in_votable(columns):
    return [column for column in in_fits(as_text(native(columns))) if column.name.isidentifier()]


def in_csv(columns):
    return [column for column in without_units(as_text(columns)) if column.dtype != "?"]


def floats_for_gaps(columns):
    """As pandas holds them by default: integers with gaps are floats."""
    gaps = [column.mask.any() and column.dtype.strip("<>")[0] == "i" for column in columns]
    return [
        replace(column, dtype="f8", cells=[None if cell is None else float(cell) for cell in column.cells])
        if gap
        else column
        for column, gap in zip(columns, gaps)
    ]


# --- containers ----------------------------------------------------------------------------------------------


def table(columns):
    return Table([column.column() for column in columns])


def structured(columns):
    out = np.empty(len(columns[0].cells), dtype=[(column.name, column.dtype) for column in columns])
    for column in columns:
        out[column.name] = column.array()
    return out


def masked_structured(columns):
    out = np.ma.array(structured(columns))
    for column in columns:
        out.mask[column.name] = column.mask
    return out


def objects(column):
    """Cells as an object array of Python values and None."""
    out = np.empty(len(column.cells), dtype=object)
    out[:] = column.cells
    return out


def pandas_default(columns):
    def series(column):
        if column.dtype[-2:-1] == "f" and column.mask.any():
            return column.masked().filled(np.nan)
        return objects(column) if column.mask.any() else column.array()

    return pd.DataFrame({column.name: series(column) for column in columns})


NULLABLE = {"i": "Int64", "f": "Float64", "?": "boolean", "U": "string"}


def pandas_nullable(columns):
    return pd.DataFrame({c.name: pd.array(c.cells, dtype=NULLABLE[c.dtype.strip("<>")[0]]) for c in columns})


def pandas_categorical(columns):
    return pandas_nullable(columns).astype({c.name: "category" for c in columns if c.dtype[0] == "U"})


def pandas_arrow(columns):
    return pyarrow(columns).to_pandas(types_mapper=pd.ArrowDtype)


def polars(columns):
    return pl.DataFrame([pl.Series(c.name, c.cells, dtype=POLARS[c.dtype.strip("<>")[:2]]) for c in columns])


POLARS = {"i2": pl.Int16, "i4": pl.Int32, "i8": pl.Int64, "f4": pl.Float32, "f8": pl.Float64, "?": pl.Boolean}
POLARS |= {"U5": pl.String, "U2": pl.Categorical}


def pyarrow(columns):
    types = {c.name: pa.string() if c.dtype[0] == "U" else pa.from_numpy_dtype(c.dtype) for c in native(columns)}
    return pa.table({c.name: pa.array(c.cells, type=types[c.name]) for c in columns})


def fits_rec(columns):
    return fits.table_to_hdu(table(columns)).data


IN_MEMORY = {
    "dict": (lambda columns: {c.name: c.quantity() for c in columns}, list),
    "Table": (table, list),
    "QTable": (lambda columns: QTable({c.name: c.quantity() for c in columns}), list),
    "structured": (structured, lambda columns: whole(without_units(columns))),
    "recarray": (
        lambda columns: structured(columns).view(np.recarray),
        lambda columns: whole(without_units(columns)),
    ),
    "masked structured": (masked_structured, without_units),
    "FITS_rec": (fits_rec, in_fits),
    "BinTableHDU": (lambda columns: fits.table_to_hdu(table(columns)), in_fits),
    "pandas": (pandas_default, lambda columns: floats_for_gaps(without_units(as_text(columns)))),
    "pandas nullable": (pandas_nullable, lambda columns: native(without_units(as_text(columns)))),
    "pandas categorical": (pandas_categorical, lambda columns: native(without_units(as_text(columns)))),
    "pandas of arrow": (pandas_arrow, lambda columns: native(without_units(as_text(columns)))),
    "polars": (polars, lambda columns: native(without_units(as_text(columns)))),
    "pyarrow": (pyarrow, lambda columns: native(without_units(as_text(columns)))),
}


def written(suffix, **options):
    def write(columns, folder):
        path = folder / f"catalog.{suffix}"
        table(columns).write(path, overwrite=True, **options)
        return path

    return write


def comments_and_csv(columns, folder):
    path = written("csv")(columns, folder)
    path.write_text("#Table1\n" + path.read_text(encoding="utf-8"), encoding="utf-8")
    return path


def frame_to_csv(columns, folder):
    pandas_nullable(columns).to_csv(folder / "catalog.csv", index=False, encoding="utf-8-sig")
    return folder / "catalog.csv"


def frame_to_parquet(columns, folder):
    pq.write_table(pyarrow(columns), folder / "catalog.parquet")
    return folder / "catalog.parquet"


def of_astropys_parquet(reader):
    return lambda columns, folder: reader(written("parquet")(columns, folder))


IN_FILES = {
    "CSV": (written("csv"), in_csv),
    "CSV with #Table1": (comments_and_csv, in_csv),
    "CSV of pandas": (frame_to_csv, lambda columns: native(in_csv(columns))),
    "ECSV": (written("ecsv"), as_text),
    "FITS": (written("fits"), in_fits),
    "VOTable": (written("vot", format="votable"), in_votable),
    "Parquet": (written("parquet"), lambda columns: native(as_text(columns))),
    "Parquet of pyarrow": (frame_to_parquet, lambda columns: native(without_units(as_text(columns)))),
    "HDF5": (written("h5", format="hdf5", path="t", serialize_meta=True), lambda columns: as_text(columns)),
    "Parquet in pyarrow": (of_astropys_parquet(pq.read_table), lambda columns: native(as_text(columns))),
    "Parquet in pandas": (
        of_astropys_parquet(pd.read_parquet),
        lambda columns: native(without_units(as_text(columns))),
    ),
    "Parquet in polars": (
        of_astropys_parquet(pl.read_parquet),
        lambda columns: native(without_units(as_text(columns))),
    ),
}
