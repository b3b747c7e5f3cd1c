"""Tables and columns of any library, as numbers with names, units and masks.

One reader for targets, labels and catalogs, so that a table that one function understands is understood by all.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import narwhals.stable.v2 as nw  # scikit-learn's own way to see data frames
import numpy as np
from astropy import units as u
from astropy.io.fits import BinTableHDU, FITS_rec
from astropy.table import Column, MaskedColumn, Table
from numpy.typing import NDArray
from scipy.sparse import issparse

from ._masked import mask_of, without_mask
from ._sklearn import safe_indexing


@dataclass(frozen=True, eq=False)
class NamedColumns:
    """Columns of numbers, and what their table says of them.

    `values` ``(n_samples, n_columns)`` are NaN where a cell is masked, null, None or NaN, never a fill value, and a
    copy. `names` are None for data without names, or with numbers for names; `units` are names, None if no column has
    one.
    """

    values: NDArray[np.float64]
    names: list[str] | None
    units: list[str | None] | None
    one_dimensional: bool

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the data: ``(n_samples,)`` or ``(n_samples, n_columns)``."""
        return self.values.shape[:1] if self.one_dimensional else self.values.shape

    @property
    def mask(self) -> NDArray[np.bool_]:
        """Cells without a value, ``(n_samples, n_columns)``."""
        return np.isnan(self.values)

    def in_order_of(
        self, names: Sequence[str] | None, units: Sequence | None = None, what: str = "y", errors: bool = False
    ) -> NDArray[np.float64]:
        """Values of the columns `names` in `units`, whatever their order; as they stand where there are no names.

        A column whose unit is another is converted, one without a unit is taken to have it; `errors` says that values
        are standard deviations of what has these units. A ValueError, which calls the data `what`, says if a name is
        not there or a unit does not convert. A single column that is no table is taken for the only one wanted, with
        a warning if it has another name.
        """
        own = self.names or []
        if (
            self.one_dimensional
            and own
            and names
            and len(names) == 1
            and own != list(names)
            and not is_unnamed(names)
        ):
            if not errors:
                warnings.warn(f"{what} is named {own[0]!r}, and taken for the target {names[0]!r}.", stacklevel=4)
            own = list(names)
        order = list(range(self.values.shape[1]))
        if names and own and (set(names) <= set(own) or not (is_unnamed(names) or is_unnamed(own))):
            if missing := [name for name in names if name not in own]:
                raise ValueError(
                    f"{what} has the columns {listed(own)}, but none named {listed(missing)}; expected "
                    f"{listed(names)}. Add or rename columns, or pass an array without names."
                )
            order = [own.index(name) for name in names]
        values = self.values[:, order]
        for column, (place, unit) in enumerate(zip(order, units or [])):
            if self.units is not None and unit is not None and self.units[place] is not None:
                label = f"{what} has the unit {self.units[place]!r} in the column {own[place] if own else place!r}"
                values[:, column] = converted(values[:, column], self.units[place], unit, label, errors)
        return values


def named_columns(data, *, select: Sequence[str] | None = None, what: str = "y") -> NamedColumns:
    """Numbers, names and units of targets, labels or a catalog, of any library; of a table, the columns of `select`.

    `what` is what errors call the data. It is a ValueError if cells are not numbers, a name is missing or double,
    columns differ in length or there are more than two dimensions, and a TypeError if the data are sparse or lazy.
    """
    columns = columns_of(data)
    if columns is None:
        return _from_array(data, what)
    columns = columns if select is None else _selected(columns, select, what)
    names = _as_names(name for name, _ in columns)
    label = f"column {{!r}} of {what}"
    numbers = [_numbers(column, label.format(name), n_dimensions=1) for name, column in columns]
    if len({len(column) for column in numbers}) > 1:
        lengths = {name: len(column) for (name, _), column in zip(columns, numbers)}
        raise ValueError(f"{what} has columns of the lengths {lengths}; expected one length.")
    values = np.column_stack(numbers) if numbers else np.empty((_length(data), 0))
    return NamedColumns(values, names, _as_units([_unit(column) for _, column in columns]), False)


def target_values(
    y, names: Sequence[str] | None, units: Sequence | None = None, what: str = "y", errors: bool = False
) -> NDArray[np.float64]:
    """Values ``(n, k)`` of targets that are known by names and units; other columns of a table are not read."""
    select = names if names and set(names) <= set(column_names(y) or []) else None
    return named_columns(y, select=select, what=what).in_order_of(names, units, what, errors)


def refuse_unknown(values: NDArray, what: str = "y") -> None:
    """Raise a ValueError that counts the rows that are not finite, and names the first."""
    bad = ~np.isfinite(values).all(axis=1)
    if bad.any():
        raise ValueError(
            f"Input {what} contains NaN or infinity in {bad.sum()} of {len(bad)} rows, first in row "
            f"{int(np.argmax(bad))}; expected finite values. Masked and empty cells count as NaN; drop those rows."
        )


def is_unnamed(names: Iterable[str] | None) -> bool:
    """True if `names` are none, or those that targets without names get: `y`, or `y0`, `y1`."""
    return all(re.fullmatch(r"y\d*", name) for name in names or [])


def converted(values: NDArray, own, unit, label: str, errors: bool = False) -> NDArray:
    """`values` in `unit`; if they are `errors`, the unit of a magnitude is that of a difference of magnitudes.

    Where that cannot be, the ValueError begins with `label`.
    """
    own, unit = (u.Unit(name, parse_strict="silent") for name in (own, unit))
    if errors:
        own, unit = (getattr(given, "function_unit", given) for given in (own, unit))
    if own == unit:
        return values
    try:
        return u.Quantity(values, own, subok=True).to_value(unit)
    except (ValueError, TypeError) as error:  # of units, and of those that astropy does not know
        raise ValueError(f"{label}; expected {str(unit)!r}, or what converts to it. Convert it.") from error


def as_unit(unit, name: str) -> u.UnitBase | None:
    """`unit` as astropy knows it, or None; a ValueError if it does not know it."""
    try:
        return None if unit is None else u.Unit(unit)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{name}: unit {unit!r}; expected an astropy unit, its name, or None. {error}") from None


def rows_of(data, rows: NDArray[np.intp]):
    """Some rows of what scikit-learn indexes, and of astropy tables, which it does not."""
    return data[rows] if isinstance(data, Table) else safe_indexing(data, rows)


def splittable(data):
    """`data` with a length that is its number of rows: a mapping of columns as a table."""
    return Table(dict(data)) if isinstance(data, Mapping) and not isinstance(data, Table) else data


def is_table(data) -> bool:
    """True if `data` are columns with names or numbers for names, not an array or a single column."""
    return columns_of(data) is not None


def column_names(data) -> list[str] | None:
    """Names of the columns of a table, or of one column; None if there are none, or only numbers."""
    columns = columns_of(data)
    if columns is not None:
        return _as_names(name for name, _ in columns)
    named = data.info if isinstance(data, u.Quantity) and "info" in vars(data) else data  # a column of a QTable
    name = getattr(named, "name", None)
    return [name] if isinstance(name, str) else None


def frame_table(frame) -> Table | None:
    """A table of pandas, polars, pyarrow or FITS as an astropy table; None for anything else.

    Integers and text that are missing become masked, floats NaN. Units, masks and other data are kept where the
    table has them, ``attrs`` of pandas as ``meta``.
    """
    if (table := _astropys(frame)) is not None:
        return table
    columns = _frame_columns(frame)
    if columns is None:
        return None
    meta = dict(getattr(frame, "attrs", {}))
    return Table({str(name): column for name, column in columns}, meta=meta, copy=False)


def series_column(data):
    """A series of pandas, polars or pyarrow as an astropy column, masked where it has no value; all else as it is."""
    series = nw.from_native(data, series_only=True, pass_through=True)
    return _series_column(series) if isinstance(series, nw.Series) else data


def listed(names: Iterable[Any], n: int = 12) -> str:
    """The first `n` names, quoted, with commas."""
    names = list(names)
    return ", ".join(map(repr, names[:n])) + (", …" if len(names) > n else "")


# --- which columns there are ----------------------------------------------------------------------------------


def columns_of(data) -> list[tuple[Any, Any]] | None:
    """Names and columns of a table, from left to right; None for what is none."""
    if issparse(data):  # one kind of it is a mapping
        return None
    table = _astropys(data)
    data = data if table is None else table
    if isinstance(data, Table | Mapping):
        return list((data.columns if isinstance(data, Table) else data).items())
    if getattr(getattr(data, "dtype", None), "names", None):
        return [(name, data[name]) for name in data.dtype.names]
    return _frame_columns(data)


def _astropys(data) -> Table | None:
    """Tables that astropy reads itself, with units, masks and nulls: of FITS, and Parquet that it wrote."""
    if isinstance(data, FITS_rec):
        data = BinTableHDU(data)
    if isinstance(data, BinTableHDU):
        return Table.read(data)
    if type(data).__module__.partition(".")[0] != "pyarrow" or not hasattr(data, "schema"):
        return None
    if b"table_meta_yaml" not in (data.schema.metadata or {}):
        return None
    from pyarrow.parquet import write_table

    file = BytesIO()
    write_table(data, file)
    try:
        return Table.read(file, format="parquet")
    except (KeyError, ValueError) as error:
        said = str(error).partition("\n")[0]
        raise ValueError(
            f"The columns of the pyarrow table are not those that astropy wrote: {said}. Expected all of them; pass "
            "what astropy reads from the file, or leave out its description: table.replace_schema_metadata(None)."
        ) from error


def _frame_columns(data) -> list[tuple[Any, Any]] | None:
    """Names and astropy columns of a data frame; None for what is none."""
    try:
        frame = nw.from_native(data, pass_through=True)
    except nw.exceptions.DuplicateError as error:
        raise ValueError("Two columns of the data frame have one name; expected different names.") from error
    if isinstance(frame, nw.LazyFrame):
        raise TypeError(f"A lazy {type(data).__name__} holds no values yet; call .collect() or .compute() first.")
    if not isinstance(frame, nw.DataFrame):
        return None
    return _masked_by([(series.name, _series_column(series)) for series in frame.iter_columns()])


def _masked_by(columns: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    """Columns under the masks that stand beside them as x.mask, where astropy puts them in files."""
    found = dict(columns)
    masks = {f"{name}.mask": name for name in found if _is_bool(found.get(f"{name}.mask"))}
    for mask, name in masks.items():
        found[name] = MaskedColumn(found[name], mask=found.pop(mask) | np.ma.getmaskarray(found[name]))
    return list(found.items())


def _is_bool(column) -> bool:
    return getattr(getattr(column, "dtype", None), "kind", None) == "b"


def _selected(columns: list[tuple[Any, Any]], select: Sequence[str], what: str) -> list[tuple[Any, Any]]:
    found = dict(columns)
    if missing := [name for name in select if name not in found]:
        raise ValueError(f"{what} has no column {listed(missing)}; expected some of {listed(found)}.")
    return [(name, found[name]) for name in select]


def _as_names(names: Iterable[Any]) -> list[str] | None:
    names = list(names)
    return [str(name) for name in names] if names and all(isinstance(name, str) for name in names) else None


def _as_units(units: list[str | None]) -> list[str | None] | None:
    return units if any(units) else None


def _length(data) -> int:
    return len(data) if hasattr(data, "__len__") and not isinstance(data, Mapping) else 0


def _unit(column) -> str | None:
    unit = getattr(column, "unit", None)
    return None if unit is None else str(unit) or None


# --- what is in them ------------------------------------------------------------------------------------------


def _from_array(data, what: str) -> NamedColumns:
    """Columns of what is no table: an array, a list, a series, an astropy column or quantity."""
    if isinstance(data, list | tuple) and any(isinstance(cell, u.Quantity) for cell in data):
        data = _quantity(data, what)
    names, unit = column_names(data), _unit(data)
    values = _numbers(series_column(data), what)
    if values.ndim not in (1, 2):
        raise ValueError(f"{what} has shape {values.shape}; expected (n,) or (n, k): a row for each galaxy.")
    flat = values.ndim == 1
    values = values[:, None] if flat else values
    named = names if names and len(names) == values.shape[1] else None
    return NamedColumns(values, named, _as_units([unit] * values.shape[1]), flat)


def _quantity(cells: Sequence, what: str) -> u.Quantity:
    """A list of quantities as one."""
    try:
        return u.Quantity(cells)
    except (ValueError, TypeError) as error:  # of units
        raise ValueError(f"{what} is a list of quantities: {error}. Expected units that convert.") from error


def _numbers(column, what: str, n_dimensions: int | None = None) -> NDArray[np.float64]:
    """A column as float64, NaN where it has no value."""
    if issparse(column):
        raise TypeError(f"{what} is sparse; expected a dense array. Convert it with .toarray().")
    column = without_mask(column) if isinstance(column, list | tuple) else column
    mask = mask_of(column)
    cells = np.asarray(getattr(column, "unmasked", column))
    if n_dimensions is not None and cells.ndim != n_dimensions:
        raise ValueError(f"{what} has shape {cells.shape}; expected one value per row.")
    if cells.dtype.kind == "c":
        raise ValueError(f"Complex data not supported: {what} is complex; expected real numbers.")
    if cells.dtype.kind in "US" and cells.size:
        raise ValueError(
            f"{what} holds text, such as {str(cells.flat[0])!r}; expected numbers. Pass a column itself and not its "
            "name, and of classes a column of 0 and 1 for each."
        )
    if cells.dtype.kind not in "iufbO":
        raise ValueError(f"{what} has the dtype {cells.dtype}; expected numbers.")
    if mask is not None and cells.dtype.kind == "O":
        cells = np.where(mask, np.nan, cells)  # what lies under a mask need not be a number
    values = _floats(cells, what)
    if mask is not None:
        values[mask] = np.nan
    return values


def _floats(cells: NDArray, what: str) -> NDArray[np.float64]:
    try:
        return np.array(cells, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{what} holds what is no number: {error}; expected numbers.") from error


def _series_column(series) -> Column:
    blank = series.is_null().to_numpy()
    if series.dtype.is_float() or not blank.any():
        return Column(_text_or_numbers(series.to_numpy()))
    known = _text_or_numbers(series.drop_nulls().to_numpy())
    values = np.zeros((len(blank), *known.shape[1:]), dtype=known.dtype)
    values[~blank] = known
    return MaskedColumn(values, mask=blank)


def _text_or_numbers(values: NDArray) -> NDArray:
    """`values`, as an array of text if they are objects that are text."""
    if values.dtype.kind == "O" and len(values) and all(isinstance(value, str) for value in values):
        return values.astype(str)
    return values
