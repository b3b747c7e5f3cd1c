"""Catalogs of galaxies: positions, sizes and names under fixed names and units, in a table scikit-learn can split."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import narwhals.stable.v2 as nw  # scikit-learn's own way to see data frames
import numpy as np
from astropy import units as u
from astropy.coordinates import BaseCoordinateFrame, SkyCoord
from astropy.table import Column, MaskedColumn, QTable, Row, Table
from astropy.utils.data_info import DataInfo
from numpy.typing import NDArray

__all__ = ["Catalog"]

# Common names, in lowercase and without anything but letters and digits: "RA (deg)" is "radeg".
_COMMON = {
    "ra": "ra raj2000 ra2000 radeg radegrees raicrs rightascension objra targetra ramean alphaj2000 alphasky",
    "dec": (
        "dec de decj2000 dej2000 dec2000 de2000 decdeg dedeg decdegrees decicrs deicrs declination objdec targetdec "
        "decmean deltaj2000 deltasky"
    ),
    "half_light_radius": (
        "halflightradius hlr rhalf re reff rearc rearcsec effectiveradius r50 petror50 petror50r petroradr50 "
        "elpetroth50r nsaelpetroth50r shaper"
    ),
    "object_id": "objectid objid id sourceid galaxyid targetid plateifu dr7objid dr8objid",
}
_NAMES = {quantity: frozenset(names.split()) for quantity, names in _COMMON.items()}
_RANGES = {"ra": (0, 360), "dec": (-90, 90)}

_SEXAGESIMAL = re.compile(
    r"(?P<sign>[-+−]?)\s*(?P<first>\d{1,3})\s*(?P<unit>[hd°:]|\s)\s*(?P<minutes>[0-5]?\d)"
    r"(\s*[m'′:\s]\s*((?P<seconds>([0-5]?\d(\.\d*)?)|60(\.0*)?)\s*[s\"″]?)?)?"
)


class _Rows:
    """What scikit-learn indexes a table by: rows by number, by slice or by a mask."""

    def __init__(self, catalog):
        self._catalog = catalog

    def __getitem__(self, rows):
        return self._catalog[rows if isinstance(rows, slice) else np.asarray(rows)]


class Catalog(QTable):
    """A table of galaxies whose columns `ra`, `dec`, `half_light_radius` and `object_id` mean one thing.

    It is an :class:`astropy.table.QTable`, and scikit-learn can split it: it goes through
    :func:`~sklearn.model_selection.train_test_split`, cross-validation and searches as a data frame does.

    ===================  ==================================================================  ======================
    column               content                                                             found by the names
    ===================  ==================================================================  ======================
    `ra`, `dec`          ICRS [deg], finite, in [0, 360] and [-90, 90]                       ``RA``, ``RAJ2000``,
                                                                                             ``objra``, ``DE``, …
    `half_light_radius`  [arcsec], NaN where unknown; only if there is such a column         ``r_e``, ``reff``,
                                                                                             ``petroR50_r``, …
    `object_id`          str, empty where unknown; only if there is such a column            ``objID``, ``id``,
                                                                                             ``plateifu``, …
    ===================  ==================================================================  ======================

    Every other column stays as it was.

    Parameters
    ----------
    data : DataFrame, Table, structured array, SkyCoord, dict, str or path-like, default=None
        The galaxies: a pandas or polars data frame, a pyarrow or astropy table, a structured array, a mapping or
        records, sky coordinates in any frame, or the path of a CSV, FITS, Parquet, VOTable or other file that
        astropy reads. A list of astropy columns, and no data at all, are taken as they are, as astropy's own
        functions need it.
    ra : str, default=None
        The column with the right ascension, or with both coordinates as a SkyCoord. By default the one that is
        named `ra`, whatever its case, else the one with another common name, else the one SkyCoord.
    dec : str, default=None
        The column with the declination.
    half_light_radius : str, default=None
        The column with the half-light radius along the major axis.
    object_id : str, default=None
        The column with the galaxies' names; need not be unique.
    **kwargs : dict
        What :class:`~astropy.table.Table` takes besides, such as ``units={"RA": "hourangle"}`` for data that
        know none, or `meta`.

    Raises
    ------
    ValueError
        If there is no position; if several columns could be meant and none was named; if a unit is not an angle;
        if a position is missing, out of range or unreadable (names the row); or if a file cannot be read.
    FileNotFoundError
        If `data` is a path and no file is there.
    TypeError
        If `data` is nothing of the above.

    Notes
    -----
    Columns with a unit are converted. Without one, positions are degrees and radii arcsec. Text such as
    ``12:30:49.4``, ``12 30 49.4`` or ``12h30m49.4s`` is hours in `ra` (unless the column's unit is deg, or the text
    says ``187d42m21s``) and degrees in `dec`. Positions of equinox J2000 are taken as ICRS, and proper motions are
    ignored. Anything else, such as Galactic coordinates, goes in as a SkyCoord.

    Half-light radii are not checked here: only a cutout that scales with the galaxy needs them. ``FLUX_RADIUS`` is
    often in pixels, and never taken for a radius unless named.

    `loc` and `iloc` select rows by number, as scikit-learn expects, not by a table index. Selected columns are a
    Catalog too, with or without a position.

    Examples
    --------
    >>> from galestim.catalogs import Catalog
    >>> catalog = Catalog({"RAJ2000": ["12:30:49.4", "03:19:48.2"], "DEJ2000": [12.39, 41.51], "r_e": [81.0, 17.6]})
    >>> catalog.round({"ra": 6})
    >>> catalog.pprint()
        ra      dec  half_light_radius
       deg      deg        arcsec
    ---------- ----- -----------------
    187.705833 12.39              81.0
     49.950833 41.51              17.6

    It can be split:

    >>> from sklearn.model_selection import train_test_split
    >>> train, test = train_test_split(catalog, test_size=1, random_state=0)
    >>> type(train).__name__, len(train)
    ('Catalog', 1)

    A position that cannot be is found before anything is fetched:

    >>> Catalog({"ra": [187.7], "dec": [123.4]})
    Traceback (most recent call last):
    ...
    ValueError: row 0: dec=123.4 is outside [-90, 90]; expected ra and dec in degrees
    """

    loc = property(_Rows)
    iloc = property(_Rows)

    def __init__(self, data=None, *, ra=None, dec=None, half_light_radius=None, object_id=None, **kwargs):
        given = {"ra": ra, "dec": dec, "half_light_radius": half_light_radius, "object_id": object_id}
        # astropy builds slices, selections and joins by this very call; what they are made of was checked before.
        if not any(given.values()) and _is_astropys(data, kwargs):
            super().__init__(data, **kwargs)
            return
        table = _as_table(data, given["object_id"], kwargs)
        super().__init__(_standard_columns(table, given), meta=table.meta, copy=False)

    def __setstate__(self, state):
        columns, meta = state
        QTable.__init__(self, columns, meta=meta)

    @classmethod
    def of(cls, data) -> Catalog:
        """Take `data` as a catalog: itself if it is one that is still in order, else what `Catalog` makes of it.

        Parameters
        ----------
        data : Catalog, or anything that `Catalog` takes

        Returns
        -------
        Catalog
            With `ra` and `dec`, checked again: columns of a table may be replaced at any time.
        """
        if isinstance(data, Catalog) and _has_units(data):
            _check_positions(data)
            return data
        return cls(QTable(data) if _is_astropys(data, {}) else data)

    @classmethod
    def read(cls, path, **kwargs) -> Catalog:
        """Read a file, as ``Catalog(path)`` does, or with a `format`, an `hdu` or the like.

        Parameters
        ----------
        path : str, path-like or file-like
        **kwargs
            What :meth:`astropy.table.Table.read` takes.

        Returns
        -------
        Catalog
        """
        return cls(Table.read(path, **kwargs) if kwargs or hasattr(path, "read") else path)

    def take(self, indices, axis=0) -> Catalog:
        """Select rows by number.

        Parameters
        ----------
        indices : array-like of int
        axis : {0}, default=0
            For scikit-learn, which says it.

        Returns
        -------
        Catalog
        """
        return self[np.asarray(indices, dtype=int)]

    def update(self, other, copy=True):
        """Add or replace columns, as :meth:`astropy.table.Table.update` does; they need no position of their own.

        Parameters
        ----------
        other : Table, or anything that Table takes
        copy : bool, default=True
            Whether the columns are copies.
        """
        super().update(other if isinstance(other, Table) else QTable(other, copy=copy), copy=copy)


def _is_astropys(data, kwargs: Mapping) -> bool:
    """Whether astropy asks for a new table: an empty one, a copy, or one of columns that it has."""
    if data is None:
        return kwargs.get("rows") is None
    columns = isinstance(data, list | tuple) and len(data) > 0 and all(map(_is_column, data))
    return columns or isinstance(data, Catalog)


def _is_column(item) -> bool:
    return isinstance(getattr(item, "info", None), DataInfo)


# --- from what the user has to a table ------------------------------------------------------------------------


def _as_table(data, object_id: str | None, kwargs: Mapping) -> Table:
    """A table of `data` that may be changed; its columns share memory with `data` only if ``copy=False``."""
    if isinstance(data, str | os.PathLike):
        data = _read(Path(data).expanduser(), object_id)
    elif isinstance(data, SkyCoord | BaseCoordinateFrame):
        position = SkyCoord(data).icrs
        data = QTable({"ra": np.atleast_1d(position.ra), "dec": np.atleast_1d(position.dec)})
    frame = nw.from_native(data, eager_only=True, pass_through=True)
    if isinstance(frame, nw.DataFrame):
        data = _from_frame(frame)
    if data is not None and not isinstance(data, Table | Row | Mapping | np.ndarray | list | tuple):
        raise TypeError(
            f"data is of type {type(data).__name__}; expected a data frame, an astropy Table, a structured array, a "
            "SkyCoord, a dict of columns, or the path of a CSV, FITS, Parquet or VOTable file."
        )
    if isinstance(data, Mapping) and data and all(np.ndim(value) == 0 for value in data.values()):
        data = [data]  # one galaxy
    # A QTable, but not at once of a Table: it would warn of text with a unit, which may be sexagesimal.
    plain = isinstance(data, Table) and not isinstance(data, QTable)
    return (Table if plain else QTable)(data, **kwargs)


def _from_frame(frame: nw.DataFrame) -> Table:
    """A table of a pandas, polars or pyarrow data frame; integers and text that are missing become masked."""
    return Table({str(series.name): _from_series(series) for series in frame.iter_columns()}, copy=False)


def _from_series(series) -> Column:
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


def _read(path: Path, object_id: str | None) -> Table:
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not a file; expected the path of a table of galaxies.")
    try:
        if path.suffix.lower() == ".csv":
            return _read_csv(path, object_id)
        if path.suffix.lower() in (".parquet", ".pq"):
            return _read_parquet(path)
        return Table.read(path)
    except (ImportError, MemoryError, Warning):
        raise
    except Exception as error:  # damage shows in as many types as there are formats
        said = str(error).strip().partition("\n")[0].rstrip(".:")
        raise ValueError(
            f"{path} cannot be read: {said or type(error).__name__}. Expected a CSV, FITS, Parquet or VOTable file; "
            "for any other, pass the table that you read from it."
        ) from error


def _read_csv(path: Path, object_id: str | None) -> Table:
    """The CSV file with its identifiers as text: they are names, and 00123 keeps its zeros."""
    with path.open(newline="", encoding="utf-8", errors="replace") as file:
        header = [name.strip() for name in next(csv.reader(file), [])]
    ids = [name for name in header if name == object_id or _key(name) in _NAMES["object_id"]]
    return Table.read(path, format="ascii.csv", converters=dict.fromkeys(ids, str))


def _read_parquet(path: Path) -> Table:
    try:
        table = import_module("pyarrow.parquet").read_table(path)
    except ImportError as error:
        raise ImportError("Parquet needs pyarrow, which is not installed; run: pip install pyarrow") from error
    if b"table_meta_yaml" in (table.schema.metadata or {}):  # astropy wrote it, with units
        return Table.read(path, format="parquet")
    return _from_frame(nw.from_native(table, eager_only=True))


# --- which column is which ------------------------------------------------------------------------------------


def _key(name: str) -> str:
    return re.sub("[^a-z0-9]", "", name.lower())


def _find(table: Table, quantity: str, given: str | None) -> str | None:
    """Name of the column with `quantity`: the one the user gave, else the exact name, else a common one."""
    if given is not None:
        if given not in table.colnames:
            raise ValueError(f"{quantity}={given!r} names no column; the table has {_listed(table.colnames)}.")
        return given
    if quantity in table.colnames:
        return quantity
    exact = [name for name in table.colnames if name.lower() == quantity]
    return _only(quantity, exact or [name for name in table.colnames if _key(name) in _NAMES[quantity]])


def _only(quantity: str, candidates: list[str]) -> str | None:
    if len(candidates) > 1:
        raise ValueError(
            f"{quantity} could be any of the columns {_listed(candidates)}; pass {quantity}= the one that is meant, "
            f"for example {quantity}={candidates[0]!r}."
        )
    return candidates[0] if candidates else None


def _not_found(table: Table, quantity: str) -> ValueError:
    common = {"ra": "ra, RAJ2000 or objra", "dec": "dec, DEJ2000 or objdec"}[quantity]
    return ValueError(
        f"no column for {quantity} among {_listed(table.colnames) or 'no columns'}; expected a common name such as "
        f"{common}, or a SkyCoord. Pass {quantity}= the column's name."
    )


def _listed(names: Iterable[str], n: int = 12) -> str:
    names = list(names)
    return ", ".join(map(repr, names[:n])) + (", …" if len(names) > n else "")


def _standard_columns(table: Table, given: dict[str, str | None]) -> dict[str, Any]:
    """Columns of the catalog by name, in the order of `table`."""
    given = _with_coordinates(table, given)
    chosen = {quantity: _find(table, quantity, name) for quantity, name in given.items()}
    for quantity, name in chosen.items():
        if name is None and quantity in _RANGES:
            raise _not_found(table, quantity)
        if name not in (None, quantity) and quantity in table.colnames:
            raise _taken(quantity, name)
        if name is not None and list(chosen.values()).count(name) > 1:
            raise ValueError(f"the column {name!r} is to be more than one of {', '.join(_NAMES)}; name one for each.")
    renamed = {name: quantity for quantity, name in chosen.items() if name is not None}
    columns = {
        renamed.get(name, name): _standard(column, renamed[name]) if name in renamed else column
        for name, column in table.columns.items()
    }
    _check_positions(columns)
    return columns


def _with_coordinates(table: Table, given: dict[str, str | None]) -> dict[str, str | None]:
    """Put `ra` and `dec` into `table` if a SkyCoord column has them; which columns are given then."""
    candidates = [name for name, column in table.columns.items() if isinstance(column, SkyCoord)]
    name = given["ra"] if given["ra"] in candidates else None
    if name is None and candidates and not any(_find(table, quantity, given[quantity]) for quantity in _RANGES):
        name = _only("ra", candidates)
    if name is None:
        return given
    for quantity in _RANGES:
        if quantity in table.colnames:
            raise _taken(quantity, name)
    position = table[name].icrs
    table.add_columns([position.ra, position.dec], indexes=[0, 0], names=["ra", "dec"])
    return {**given, "ra": "ra", "dec": "dec"}


def _taken(quantity: str, name: str | None) -> ValueError:
    return ValueError(
        f"{quantity} is to be made of the column {name!r}, but there is a column {quantity!r} too. "
        "Rename or remove that one."
    )


# --- what is in the columns -----------------------------------------------------------------------------------


def _standard(column, quantity: str):
    # As a plain or masked column, whatever it was: a Quantity, a Longitude, a masked Quantity.
    column = Table([column], names=[quantity], copy=False)[quantity]
    if column.ndim != 1:
        raise ValueError(f"{quantity} has the shape {column.shape}; expected one value per row.")
    if quantity == "object_id":
        return Column([_identifier(value) for value in column.tolist()], dtype=str)
    unit = u.arcsec if quantity == "half_light_radius" else u.deg
    return u.Quantity(_angles(column, quantity, unit), unit, copy=False)


def _identifier(value) -> str:
    """The name of a galaxy as text; numbers without a decimal point, as data frames with gaps give them one."""
    if value is None or value != value:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return (value.decode() if isinstance(value, bytes) else str(value)).strip()


def _angles(column, quantity: str, unit: u.UnitBase) -> NDArray[np.float64]:
    """Values of `column` in `unit`; NaN where there is none."""
    own = _own_unit(column, quantity)
    if column.dtype.kind in "iuf":
        values: NDArray = np.ma.filled(np.ma.array(column, dtype=float, subok=False), np.nan)
        return values if own in (None, unit) else (values * own).to_value(unit)
    if column.dtype.kind not in "USO":
        raise ValueError(f"{quantity} has the dtype {column.dtype}; expected numbers, or text such as '12:30:49.4'.")
    number = 1.0 if own is None else own.to(unit)
    sexagesimal = 15.0 if quantity == "ra" and own != u.deg else 1.0
    cells = enumerate(column.tolist())
    return np.array([_angle(cell, row, quantity, number, sexagesimal) for row, cell in cells], dtype=float)


def _own_unit(column, quantity: str) -> u.UnitBase | None:
    """The unit that `column` says, if it says one."""
    unit = column.unit
    if isinstance(unit, u.UnrecognizedUnit):  # "degrees" is "degree"; VizieR says "h:m:s" of text
        name = str(unit).strip("\"'")
        unit = None if ":" in name else u.Unit(name.lower().rstrip("s"), parse_strict="silent")
    if unit is None or unit == u.dimensionless_unscaled:
        return None
    if unit == u.hour and quantity == "ra":
        return u.hourangle
    if not unit.is_equivalent(u.deg):
        expected = "arcsec, arcmin" if quantity == "half_light_radius" else "deg, hourangle"
        raise ValueError(f"{quantity} has the unit {unit}; expected an angle, such as {expected} or rad. Convert it.")
    return unit


def _angle(cell, row: int, quantity: str, number: float, sexagesimal: float) -> float:
    """What one cell says, in the wanted unit: a number times `number`, or sexagesimal text times `sexagesimal`."""
    text = (cell.decode() if isinstance(cell, bytes) else str(cell)).strip()
    if cell is None or text == "":
        return np.nan
    try:
        return float(text) * number
    except ValueError:
        match = _SEXAGESIMAL.fullmatch(text)
    if match is None or quantity == "half_light_radius":
        expected = "a number" if quantity == "half_light_radius" else "a number, or text such as '12:30:49.4'"
        raise ValueError(f"row {row}: {quantity}={text!r} is not an angle; expected {expected}.")
    scale = {"h": 15.0, "d": 1.0, "°": 1.0}.get(match["unit"], sexagesimal)
    seconds = int(match["first"]) * 3600 + int(match["minutes"]) * 60 + float(match["seconds"] or 0)
    return (-seconds if match["sign"] in ("-", "−") else seconds) * scale / 3600


def _has_units(catalog: Catalog) -> bool:
    """Whether the columns are there and have the units that they should."""
    expected = {"ra": u.deg, "dec": u.deg}
    if "half_light_radius" in catalog.colnames:
        expected["half_light_radius"] = u.arcsec
    columns = ((catalog.columns.get(name), unit) for name, unit in expected.items())
    return all(type(column) is u.Quantity and column.unit == unit for column, unit in columns)


def _check_positions(columns) -> None:
    """Raise a ValueError that names the first row without a position on the sky."""
    for name, (low, high) in _RANGES.items():
        values = columns[name].value
        bad = ~((values >= low) & (values <= high))
        if not bad.any():
            continue
        row = int(np.argmax(bad))
        if np.isnan(values[row]):
            raise ValueError(
                f"row {row}: {name} is missing (NaN, masked or blank); expected ra and dec in degrees. "
                f"Drop such rows (here {np.count_nonzero(np.isnan(values))} of {len(values)})."
            )
        wrap = " (ra % 360 wraps it)" if name == "ra" else ""
        raise ValueError(
            f"row {row}: {name}={values[row]} is outside [{low}, {high}]; expected ra and dec in degrees{wrap}"
        )
