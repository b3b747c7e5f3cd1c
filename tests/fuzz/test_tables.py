"""Catalogs × containers × masks × units: read right, or refused with a clear error, and never anything else.

``GALESTIM_FUZZ_CASES=10000 pytest tests/fuzz/test_tables.py`` tries more; their counts are printed at the end.
"""

import os

import numpy as np
import pytest
from astropy import units as u
from hypothesis import HealthCheck, given, seed, settings

from galestim import Catalog
from galestim._tables import named_columns

from ._catalogs import IN_FILES, IN_MEMORY, catalogs

N_CASES = int(os.environ.get("GALESTIM_FUZZ_CASES", 520))
CONTAINERS = IN_MEMORY | {name: (make, holds) for name, (make, holds) in IN_FILES.items()}
STANDARD = {"RA": "ra", "RAJ2000": "ra", "DEJ2000": "dec", "r_e": "half_light_radius", "objID": "object_id"}
UNIT = {"ra": u.deg, "dec": u.deg, "half_light_radius": u.arcsec}

FEWER = {"HDF5": 6}  # times, as each file is looked through in a process of its own


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz")


@pytest.mark.parametrize("container", CONTAINERS)
def test_a_catalog_in_any_container(container, folder, outcomes):
    make, holds = CONTAINERS[container]
    n_cases = max(1, N_CASES // len(CONTAINERS) // FEWER.get(container, 1))

    @seed(list(CONTAINERS).index(container))  # else all containers would have the same cases
    @settings(max_examples=n_cases, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(catalogs())
    def every_case(columns):
        columns = holds(columns)
        if not {"ra", "dec"} <= {STANDARD.get(column.name, column.name) for column in columns}:
            return  # the container holds no catalog at all
        data = make(columns, folder) if container in IN_FILES else make(columns)
        outcome = judged(data, columns)
        outcomes[outcome] += 1
        assert outcome in ("right", "refused")

    every_case()
    assert outcomes["right"] > outcomes["refused"]


def judged(data, columns) -> str:
    """ "right", "refused", or an AssertionError that says what is wrong."""
    try:
        catalog = Catalog(data)
        numbers = numbers_of(data, catalog, columns)
    except (ValueError, TypeError, Warning) as error:
        return "refused" if may_be_refused(columns, error) else f"wrong: {error}"
    assert not may_be_refused(columns, None)
    assert catalog.colnames == [STANDARD.get(column.name, column.name) for column in columns]
    for column in columns:
        assert_column(catalog[STANDARD.get(column.name, column.name)], column)
    expected = [column for column in columns if column.name in (numbers.names or [])]
    for values, column in zip(numbers.values.T, expected, strict=True):
        np.testing.assert_array_equal(values, [np.nan if cell is None else float(cell) for cell in as_held(column)])
    assert (numbers.units or [None] * len(expected)) == [column.unit for column in expected]
    return "right"


def numbers_of(data, catalog, columns):
    """Columns of numbers, besides those of the catalog, as targets are read."""
    others = [c.name for c in columns if c.name not in STANDARD and c.name not in UNIT and c.dtype[-1] not in "05"]
    others = [c.name for c in columns if c.name in others and c.dtype.strip("<>")[0] in "if?"]
    return named_columns(catalog if hasattr(data, "parent") else data, select=others)


def may_be_refused(columns, error) -> bool:
    """Whether a catalog holds what none may: no position, one out of range, or ids that were rounded."""
    for column in columns:
        cells = [cell for cell in column.cells if cell is not None]
        if STANDARD.get(column.name, column.name) in ("ra", "dec"):
            degrees = (np.array(cells, dtype=float) * (u.Unit(column.unit) if column.unit else u.deg)).to_value(u.deg)
            if len(cells) < len(column.cells) or not (np.abs(degrees) <= 360).all():
                return True
        if column.name == "objID" and any(isinstance(cell, float) and cell >= 2**53 for cell in cells):
            return error is None or isinstance(error, UserWarning)
    return False


def as_held(column):
    """The cells as their dtype holds them."""
    return [None if cell is None else np.array(cell, dtype=column.dtype).item() for cell in column.cells]


def assert_column(found, column):
    """That a column of the catalog has the values, gaps and unit of `column`."""
    name = STANDARD.get(column.name, column.name)
    cells = as_held(column)
    if name == "object_id":
        texts = ["" if cell is None else cell.decode() if isinstance(cell, bytes) else cell for cell in cells]
        assert found.tolist() == [str(int(text)) if isinstance(text, float) else str(text) for text in texts]
        return
    if name in UNIT:
        values = np.array([np.nan if cell is None else cell for cell in cells], dtype=float)
        assert found.unit == UNIT[name]
        expected = (values * (u.Unit(column.unit) if column.unit else UNIT[name])).to_value(UNIT[name])
        np.testing.assert_allclose(found.value, expected, rtol=1e-12)
        return
    assert (found.unit or None) == (u.Unit(column.unit) if column.unit else None)
    assert cells_of(found) == [cell.decode() if isinstance(cell, bytes) else cell for cell in cells]


def cells_of(found):
    """The cells of a column or quantity as Python values, None where there is none; text that is empty is none."""
    mask = np.asarray(getattr(found, "mask", np.zeros(len(found), bool)))
    values = np.asarray(getattr(found, "unmasked", found)).tolist()
    values = [value.decode() if isinstance(value, bytes) else value for value in values]
    return [None if gap or value in (None, "") or value != value else value for gap, value in zip(mask, values)]
