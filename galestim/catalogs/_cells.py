"""Cells of a catalog's columns: angles in one unit, and identifiers as text."""

from __future__ import annotations

import re

import numpy as np
from astropy import units as u
from astropy.table import Column, Table
from numpy.typing import NDArray

from .._identifiers import identifiers
from .._masked import cells_of

UNITS = {"ra": u.deg, "dec": u.deg, "half_light_radius": u.arcsec, "half_light_semimajor_axis": u.arcsec}
"""Unit of each quantity that is an angle."""

POSITIONS = "ra", "dec"

_SEXAGESIMAL = re.compile(
    r"(?P<sign>[-+−]?)\s*(?P<first>\d{1,3})\s*(?P<unit>[hd°:]|\s)\s*(?P<minutes>[0-5]?\d)"
    r"(\s*[m'′:\s]\s*((?P<seconds>([0-5]?\d(\.\d*)?)|60(\.0*)?)\s*[s\"″]?)?)?"
)


def standard(column, quantity: str):
    """A column as the catalog keeps it: angles in their unit, identifiers as text."""
    # As a plain or masked column, whatever it was: a Quantity, a Longitude, a masked Quantity.
    column = Table([column], names=[quantity], copy=False)[quantity]
    if column.ndim != 1:
        raise ValueError(f"{quantity} has the shape {column.shape}; expected one value per row.")
    if quantity == "object_id":
        return Column(identifiers(column), dtype=str)
    return u.Quantity(_angles(column, quantity, UNITS[quantity]), UNITS[quantity], copy=False)


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
    cells = enumerate(cells_of(column))
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
        expected = "deg, hourangle" if quantity in POSITIONS else "arcsec, arcmin"
        raise ValueError(f"{quantity} has the unit {unit}; expected an angle, such as {expected} or rad. Convert it.")
    return unit


def _angle(cell, row: int, quantity: str, number: float, sexagesimal: float) -> float:
    """Angle of one cell in the wanted unit: a number times `number`, or sexagesimal text times `sexagesimal`."""
    text = (cell.decode() if isinstance(cell, bytes) else str(cell)).strip()
    if cell is None or text == "":
        return np.nan
    try:
        return float(text) * number
    except ValueError:
        match = _SEXAGESIMAL.fullmatch(text)
    if match is None or quantity not in POSITIONS:
        expected = "a number, or text such as '12:30:49.4'" if quantity in POSITIONS else "a number"
        raise ValueError(f"row {row}: {quantity}={text!r} is not an angle; expected {expected}.")
    scale = {"h": 15.0, "d": 1.0, "°": 1.0}.get(match["unit"], sexagesimal)
    seconds = int(match["first"]) * 3600 + int(match["minutes"]) * 60 + float(match["seconds"] or 0)
    return (-seconds if match["sign"] in ("-", "−") else seconds) * scale / 3600
