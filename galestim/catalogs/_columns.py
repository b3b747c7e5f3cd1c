"""Columns of a catalog: which one is which, by common names, and whether positions are on the sky."""

from __future__ import annotations

import re
from collections.abc import Container
from typing import Any

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.table import Table

from .._tables import listed
from ._cells import POSITIONS, UNITS, standard

# Common names, in lowercase and without anything but letters and digits: "RA (deg)" is "radeg".
_COMMON = {
    "ra": "ra raj2000 ra2000 radeg radegrees raicrs rightascension objra targetra ramean alphaj2000 alphasky",
    "dec": (
        "dec de decj2000 dej2000 dec2000 de2000 decdeg dedeg decdegrees decicrs deicrs declination objdec targetdec "
        "decmean deltaj2000 deltasky"
    ),
    "half_light_radius": (
        "halflightradius hlr rhalf re reff rearc rearcsec effectiveradius r50 petror50 petror50r petroradr50 "
        "petroth50r nsapetroth50r"
    ),
    "half_light_semimajor_axis": (
        "halflightsemimajoraxis elpetroth50r nsaelpetroth50r sersicth50 nsasersicth50 shaper"
    ),
    "object_id": "objectid objid id sourceid galaxyid targetid plateifu dr7objid dr8objid",
}
_NAMES = {quantity: frozenset(names.split()) for quantity, names in _COMMON.items()}
RANGES = dict(zip(POSITIONS, [(0, 360), (-90, 90)]))


def _key(name: str) -> str:
    return re.sub("[^a-z0-9]", "", name.lower())


def may_be(name: str, quantity: str) -> bool:
    """True if `quantity` is commonly called `name`."""
    return _key(name) in _NAMES[quantity]


def _find(table: Table, quantity: str, given: str | None, not_of: Container[str | None] = ()) -> str | None:
    """Name of the column with `quantity`: the one the user gave, else the exact name, else a common one."""
    if given is not None:
        if given not in table.colnames:
            raise ValueError(f"{quantity}={given!r} names no column; the table has {listed(table.colnames)}.")
        return given
    if quantity in table.colnames:
        return quantity
    exact = [name for name in table.colnames if name.lower() == quantity]
    common = [name for name in table.colnames if may_be(name, quantity) and name not in not_of]
    return _only(quantity, exact or common)


def _only(quantity: str, candidates: list[str]) -> str | None:
    if len(candidates) > 1:
        raise ValueError(
            f"{quantity} could be any of the columns {listed(candidates)}; pass {quantity}= the one that is meant, "
            f"for example {quantity}={candidates[0]!r}."
        )
    return candidates[0] if candidates else None


def _not_found(table: Table, quantity: str) -> ValueError:
    common = {"ra": "ra, RAJ2000 or objra", "dec": "dec, DEJ2000 or objdec"}[quantity]
    return ValueError(
        f"no column for {quantity} among {listed(table.colnames) or 'no columns'}; expected a common name such as "
        f"{common}, or a SkyCoord. Pass {quantity}= the column's name."
    )


def standard_columns(table: Table, given: dict[str, str | None], position: bool = True) -> dict[str, Any]:
    """Columns of the catalog by name, in the order of `table`; without `position` they may be without one."""
    given = _with_coordinates(table, given)
    named = set(given.values())  # what the user named for one quantity is no candidate for another
    chosen = {quantity: _find(table, quantity, name, named) for quantity, name in given.items()}
    for quantity, name in chosen.items():
        if name is None and quantity in RANGES and (position or any(chosen[other] for other in RANGES)):
            raise _not_found(table, quantity)
        if name not in (None, quantity) and quantity in table.colnames:
            raise _taken(quantity, name)
        if name is not None and list(chosen.values()).count(name) > 1:
            raise ValueError(f"the column {name!r} is to be more than one of {', '.join(_NAMES)}; name one for each.")
    renamed = {name: quantity for quantity, name in chosen.items() if name is not None}
    columns = {
        renamed.get(name, name): standard(column, renamed[name]) if name in renamed else column
        for name, column in table.columns.items()
    }
    if chosen["ra"] is not None:
        check_positions(columns)
    return columns


def _with_coordinates(table: Table, given: dict[str, str | None]) -> dict[str, str | None]:
    """Put `ra` and `dec` into `table` if a SkyCoord column has them; which columns are given then."""
    candidates = [name for name, column in table.columns.items() if isinstance(column, SkyCoord)]
    name = given["ra"] if given["ra"] in candidates else None
    if name is None and candidates and not any(_find(table, quantity, given[quantity]) for quantity in RANGES):
        name = _only("ra", candidates)
    if name is None:
        return given
    for quantity in RANGES:
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


def has_units(catalog: Table) -> bool:
    """True if positions are there, and all angles have the units that they should."""
    names = {*POSITIONS, *UNITS.keys() & set(catalog.colnames)}
    columns = ((catalog.columns.get(name), UNITS[name]) for name in names)
    return all(type(column) is u.Quantity and column.unit == unit for column, unit in columns)


def check_positions(columns) -> None:
    """Raise a ValueError that names the first row without a position on the sky."""
    for name, (low, high) in RANGES.items():
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
