"""Catalogs of galaxies: positions, sizes and names under fixed names and units, in a table scikit-learn can split."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO, StringIO

import numpy as np
from astropy.table import QTable, Table
from astropy.utils.data_info import DataInfo

from .._masked import as_index, mask_of
from ._claims import check_table
from ._columns import check_positions, has_units, standard_columns
from ._read import as_table

_NAMED = ("ra", "dec", "half_light_radius", "half_light_semimajor_axis", "object_id")


class _Rows:
    """Rows of a catalog by number, by slice or by a mask, as scikit-learn indexes tables."""

    def __init__(self, catalog):
        self._catalog = catalog

    def __getitem__(self, rows):
        return self._catalog[rows if isinstance(rows, slice) or mask_of(rows) is not None else np.asarray(rows)]


class Catalog(QTable):
    """A table of galaxies in which `ra`, `dec`, `object_id` and two kinds of half-light radius mean one thing each.

    It is an :class:`astropy.table.QTable`, and scikit-learn can split it: it goes through
    :func:`~sklearn.model_selection.train_test_split`, cross-validation and searches as a data frame does.

    ===========================  ====================================================  ==============================
    column                       content                                               found by the names
    ===========================  ====================================================  ==============================
    `ra`, `dec`                  ICRS [deg], finite, in [0, 360] and [-90, 90]         ``RA``, ``RAJ2000``,
                                                                                       ``objra``, ``DE``, …
    `half_light_radius`          R_e [arcsec], circularized: of a circle, or the       ``petroR50_r``,
                                 geometric mean of the semi-axes; NaN where unknown    ``petro_th50_r``; those that
                                                                                       do not say: ``r_e``, ``reff``,
                                                                                       ``r50``, …
    `half_light_semimajor_axis`  R_e along the major axis [arcsec], NaN where unknown  ``elpetro_th50_r``,
                                                                                       ``sersic_th50`` of the NSA;
                                                                                       ``shape_r`` of the Legacy
                                                                                       Surveys
    `object_id`                  str, empty where unknown                              ``objID``, ``id``,
                                                                                       ``plateifu``, …
    ===========================  ====================================================  ==============================

    A catalog has the last three only if there is such a column. The two radii are related by the axis ratio q:
    half_light_radius = √q · half_light_semimajor_axis. Name the column if its name says too little:
    ``Catalog(frame, half_light_semimajor_axis="Reff")``.

    Every other column stays as it was.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    data : DataFrame, Table, structured array, SkyCoord, dict, str or path-like, default=None
        The galaxies: a pandas or polars data frame, a pyarrow or astropy table, a table of FITS, a structured array,
        a mapping or records, sky coordinates in any frame, or the path of a CSV, FITS, Parquet, VOTable or other file
        that astropy reads. Lines with # before the header of a CSV are passed over. A list of astropy columns, and
        no data at all, are taken as they are, as astropy's own functions need it.
    ra : str, default=None
        The column with the right ascension, or with both coordinates as a SkyCoord. By default the one that is
        named `ra`, whatever its case, else the one with another common name, else the one SkyCoord.
    dec : str, default=None
        The column with the declination.
    half_light_radius : str, default=None
        The column with the circularized half-light radius.
    half_light_semimajor_axis : str, default=None
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

    Warns
    -----
    UserWarning
        If names are floats so large that neighboring integers are one, as data frames make them of columns with gaps.

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

    def __init__(
        self,
        data=None,
        *,
        ra=None,
        dec=None,
        half_light_radius=None,
        half_light_semimajor_axis=None,
        object_id=None,
        **kwargs,
    ):
        given = {"ra": ra, "dec": dec, "half_light_radius": half_light_radius}
        given |= {"half_light_semimajor_axis": half_light_semimajor_axis, "object_id": object_id}
        # astropy builds slices, selections and joins by this very call; what they are made of was checked before.
        if all(name is None for name in given.values()) and _is_astropys(data, kwargs):
            super().__init__(data, **kwargs)
            return
        table = as_table(data, given["object_id"], kwargs)
        super().__init__(standard_columns(table, given), meta=table.meta, copy=False)

    def __getitem__(self, item):
        return super().__getitem__(item if mask_of(item) is None else as_index(item))

    def __setstate__(self, state):
        columns, meta = state
        QTable.__init__(self, columns, meta=meta)

    @classmethod
    def of(cls, data, position=True) -> Catalog:
        """Take `data` as a catalog: itself if it is one that is still in order, else what `Catalog` makes of it.

        Parameters
        ----------
        data : Catalog, or anything that `Catalog` takes
        position : bool, default=True
            If False, it may be without `ra` and `dec`, as where images are looked up by `object_id`.

        Returns
        -------
        Catalog
            With `ra` and `dec` if it has any, checked again: columns of a table may be replaced at any time.
        """
        if isinstance(data, Catalog) and has_units(data):
            check_positions(data)
            return data
        data = QTable(data) if _is_astropys(data, {}) else data
        return cls(data) if position else cls._perhaps_without_position(data)

    @classmethod
    def _perhaps_without_position(cls, data) -> Catalog:
        catalog = cls()
        for name, column in standard_columns(as_table(data, None, {}), dict.fromkeys(_NAMED), False).items():
            catalog[name] = column
        return catalog

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
        if hasattr(path, "read"):
            content = path.read()
            check_table(content if isinstance(content, bytes) else content.encode())
            path = BytesIO(content) if isinstance(content, bytes) else StringIO(content)
        elif kwargs:
            check_table(path)
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
    """True if astropy asks for a new table: an empty one, a copy, or one of columns that it has."""
    if data is None:
        return kwargs.get("rows") is None
    columns = isinstance(data, list | tuple) and len(data) > 0 and all(map(_is_column, data))
    return columns or isinstance(data, Catalog)


def _is_column(item) -> bool:
    return isinstance(getattr(item, "info", None), DataInfo)
