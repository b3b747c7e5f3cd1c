"""Output of `predict_catalog` as one table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from astropy import units as u
from astropy.table import QTable

from .._tables import frame_table
from ..posteriors import optional_import
from ._folder import MANIFEST


def read_predictions(folder, columns=None) -> QTable:
    """Read what `predict_catalog` has written, in the order of the catalog, with units.

    All of it is in memory; for what is larger there are ``pyarrow.dataset.dataset(folder)``, Dask, polars and others,
    which take the folder as it is.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    folder : str or path-like
        The folder `out`.
    columns : sequence of str, default=None
        Which columns to read; None for all but the full posteriors.

    Returns
    -------
    astropy.table.QTable

    Raises
    ------
    FileNotFoundError
        If the folder has no output of `predict_catalog`.
    ValueError
        If there is no such column.

    See Also
    --------
    predict_catalog : Has an example.
    """
    folder = Path(folder).expanduser()
    if not (folder / MANIFEST).is_file():
        raise FileNotFoundError(f"{folder} has no {MANIFEST}; expected a folder that predict_catalog wrote.")
    data = optional_import("pyarrow.dataset", "read_predictions").dataset(
        sorted(map(str, folder.glob("part-*.parquet")))
    )
    fields = {field.name: field for field in data.schema}
    if columns is None:
        columns = [name for name, field in fields.items() if not hasattr(field.type, "list_size")]
    if unknown := [name for name in columns if name not in fields]:
        raise ValueError(f"columns has {', '.join(map(repr, unknown))}; expected some of {', '.join(fields)}.")
    table = QTable(frame_table(data.to_table(columns=list(columns)).replace_schema_metadata(None)))
    for name in table.colnames:
        unit = (fields[name].metadata or {}).get(b"unit")
        if unit:
            table[name] = np.ma.filled(table[name], np.nan) << u.Unit(unit.decode())
    return table
