"""Galaxies with measured spin: λ_R, shapes, masses and types from the tables of SAMI, images from a survey."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from astropy import units as u
from astropy.table import QTable, Table, join, vstack
from numpy.typing import NDArray
from sklearn.datasets import get_data_home
from sklearn.utils import Bunch

from .._io.files import written_whole
from ..catalogs import Catalog
from ..cutouts import LegacySurvey, Transport
from ._measured_spins import best_of_each, spin_fetcher, with_images

KINEMATICS = "samiDR3StelKin.csv"
INPUTS = ("InputCatGAMADR3.csv", "samiDR3InputCatClusters.csv")
TYPES = "samiDR3VisualMorphology.csv"
COLUMNS = {
    KINEMATICS: ("cubeidpub", "catid", "lambdar_re", "lambdar_re_err", "aper_corr_flag"),
    **dict.fromkeys(
        INPUTS, ("catid", "ra_obj", "dec_obj", "r_e", "ellip", "pa", "mstar", "g_i", "z_spec", "bad_class")
    ),
    TYPES: ("catid", "type"),
}


def fetch_sami_spin(
    tables=None,
    *,
    data_home=None,
    fetch_images=True,
    unique=True,
    source=None,
    download_if_missing=True,
    return_X_y=False,
    **fetcher_params,
):
    """Fetch the spin λ_R of SAMI galaxies and color images of them, cut out as in the published spin recipe.

    The spins are those within one effective radius of the third data release, 1928 galaxies; the images have 424×424
    pixels of 0.02 R_e. The tables come with what a catalog knows of each galaxy without an image, so that
    :func:`~galestim.trust.compare_with_catalog` can tell how much an image adds to it.
    **Not yet run against a live survey**, only against a server that imitates one.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    tables : str, path-like or None, default=None
        Where the release's four CSV tables are, under their own names, ``samiDR3StelKin.csv``,
        ``InputCatGAMADR3.csv``, ``samiDR3InputCatClusters.csv`` and ``samiDR3VisualMorphology.csv``: a folder, or
        the address (``http…``) of one, whose files are then kept in `data_home`. None is the folder ``sami`` in
        `data_home`; Data Central (datacentral.org.au) has the tables.
    data_home : str, path-like or None, default=None
        Folder that keeps downloaded tables. None is that of scikit-learn, ``~/scikit_learn_data``.
    fetch_images : bool, default=True
        Whether to fetch the images too: one request per galaxy.
    unique : bool, default=True
        Whether to keep one observation per galaxy, the one with the smallest error of λ_R. If False, split by
        ``groups``, or the test set may hold galaxies that were trained on.
    source : CutoutSource or None, default=None
        Where the images come from; None is the color images of :class:`~galestim.cutouts.LegacySurvey`, which cover
        SAMI's fields and clusters.
    download_if_missing : bool, default=True
        If False, raise an OSError instead of downloading tables.
    return_X_y : bool, default=False
        Whether to return ``(images, lambda_r)``, or ``(catalog, lambda_r)`` without images.
    **fetcher_params : dict
        Of :class:`~galestim.cutouts.CutoutFetcher`: ``cache``, ``memmap``, ``verbose`` and ``reducer``, such as
        ``Downsampler(80)``.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        catalog : Catalog of length n_samples
            ``object_id`` (that of the cube), ``catid``, ``ra``, ``dec`` [deg], ``half_light_semimajor_axis``
            [arcsec], ``lambda_r``, ``lambda_r_error``; ``ellipticity``, ``position_angle`` [deg], ``log_mass`` [log
            solar masses], ``g_i`` [mag], ``redshift``, ``visual_type`` (0 is E, 1 S0, 2 an early and 3 a late spiral,
            halves are between; NaN where the classifiers did not agree); and the flags ``aper_corr_flag`` and
            ``bad_class``, 0 where nothing is amiss.
        images : ndarray or memmap of shape (n_samples, 424, 424, 3), uint8, or what the reducer makes of it, or None
            Row 0 is north, column 0 is east.
        lambda_r, lambda_r_error : ndarray of shape (n_samples,)
            The target and its standard deviation, the `y_err` of estimators of posteriors.
        groups : ndarray of int, shape (n_samples,)
            The galaxy of each row (``catid``), for splitters.
        selection, report : dict of str to int, QTable or None
            How many rows each cut leaves; what became of each cutout, as :attr:`CutoutFetcher.report_`.
        DESCR : str
            This description.
    (X, lambda_r) : tuple, if ``return_X_y`` is True

    Raises
    ------
    OSError
        If a table is missing and must not, or cannot, be downloaded, or lacks a column.
    TransientCutoutError, CutoutFetchError
        If tables, or images, cannot be had now. What arrived is kept: call again to resume.

    Warns
    -----
    UserWarning
        If galaxies have no image; they are left out.

    Notes
    -----
    **Selection.** Cubes with a λ_R, of galaxies in one of the input catalogs, with R_e > 0. Flags cut nothing: of the
    1928 galaxies 436 have ``aper_corr_flag`` 1, as the cube does not reach R_e and λ_R was extrapolated, and 8 a
    ``bad_class``. R_e is taken along the major axis, as the input catalogs' Sérsic fits have it.

    **Repeats.** 251 galaxies have several cubes, but the release gives the λ_R of one alone, so that the noise of λ_R
    is known from its errors only.

    **Sources.** Croom et al. 2021, MNRAS 505, 991 (release); van de Sande et al. 2017, ApJ 835, 104 (λ_R); Bryant et
    al. 2015, MNRAS 447, 2857, and Owers et al. 2017, MNRAS 468, 1824 (input catalogs); Cortese et al. 2016, MNRAS
    463, 170 (types). Fill of these tables was read off the files; the meaning of ``aper_corr_flag`` is from memory.

    Examples
    --------
    >>> from galestim import PosteriorRegressor
    >>> from galestim.datasets import fetch_sami_spin
    >>> data = fetch_sami_spin("sami/", fetch_images=False)  # doctest: +SKIP
    >>> spin = PosteriorRegressor().fit(data.images, data.lambda_r, y_err=data.lambda_r_error)  # doctest: +SKIP
    """
    fetcher = spin_fetcher(LegacySurvey(format="jpeg") if source is None else source, fetcher_params)
    folder = _folder(tables, data_home, download_if_missing)
    catalog, selection = _select({name: _read(folder / name) for name in COLUMNS}, unique)
    data = with_images(catalog, selection, fetcher if fetch_images else None, lambda missing: "")
    if return_X_y:
        return (data.images if fetch_images else data.catalog), data.lambda_r
    error, groups = (np.asarray(data.catalog[name]) for name in ("lambda_r_error", "catid"))
    return Bunch(**data, lambda_r_error=error, groups=groups, DESCR=fetch_sami_spin.__doc__)


def _folder(tables, data_home, download_if_missing: bool) -> Path:
    """Folder with the tables, which are downloaded if they are not there yet."""
    address = str(tables) if str(tables).startswith(("http://", "https://")) else None
    folder = Path(get_data_home(data_home)) / "sami" if tables is None or address else Path(tables).expanduser()
    for name in COLUMNS:
        if (folder / name).exists():
            continue
        if address is None or not download_if_missing:
            raise OSError(
                f"There is no {folder / name}. Download the tables of SAMI's third release, from Data Central "
                f"(datacentral.org.au), as {', '.join(COLUMNS)}, or pass their address as tables=."
            )
        body = Transport(timeouts=(10, 60, 600), max_bytes=2**26).get(f"{address.rstrip('/')}/{name}").body
        folder.mkdir(parents=True, exist_ok=True)
        with written_whole(folder / name) as path:
            path.write_bytes(body)
            _read(path, f"{address}/{name}", name)  # only what can be read is kept
    return folder


def _read(file: Path, called: str | None = None, name: str | None = None) -> Table:
    """The columns of one table that are needed."""
    name = file.name if name is None else name
    try:
        table = Table.read(file, format="ascii.csv")
        return table[list(COLUMNS[name])]
    except (OSError, KeyError, ValueError, IndexError) as error:
        raise OSError(
            f"{called or file} is not that table of SAMI: {error}. Expected a CSV file with the columns "
            f"{', '.join(COLUMNS[name])}."
        ) from error


def _select(tables: dict[str, Table], unique: bool) -> tuple[Catalog, dict[str, int]]:
    """Join the tables, apply the cuts, and count what each leaves."""
    cubes = tables[KINEMATICS]
    counts = {"cubes": len(cubes)}
    cubes = cubes[_floats(cubes["lambdar_re"]) > 0]
    counts["with a spin"] = len(cubes)
    galaxies = vstack([tables[name] for name in INPUTS], join_type="exact", metadata_conflicts="silent")
    rows = join(cubes, galaxies, keys="catid", join_type="inner")
    rows = join(rows, tables[TYPES], keys="catid", join_type="left")
    rows = rows[_floats(rows["r_e"]) > 0]
    counts["with a radius"] = len(rows)
    if unique:
        rows = rows[best_of_each(np.asarray(rows["catid"]), _floats(rows["lambdar_re_err"]))]
    counts["selected"] = len(rows)
    return _catalog(rows), counts


def _catalog(rows: Table) -> Catalog:
    kind = _floats(rows["type"])
    kind[(kind < 0) | (kind > 3)] = np.nan
    columns = {
        "object_id": np.asarray(rows["cubeidpub"]).astype(str),
        "catid": np.asarray(rows["catid"]),
        "ra": _floats(rows["ra_obj"]) * u.deg,
        "dec": _floats(rows["dec_obj"]) * u.deg,
        "half_light_semimajor_axis": _floats(rows["r_e"]) * u.arcsec,
        "lambda_r": _floats(rows["lambdar_re"]),
        "lambda_r_error": _floats(rows["lambdar_re_err"]),
        "ellipticity": _floats(rows["ellip"]),
        "position_angle": _floats(rows["pa"]) * u.deg,
        "log_mass": _floats(rows["mstar"]),
        "g_i": _floats(rows["g_i"]),
        "redshift": _floats(rows["z_spec"]),
        "visual_type": kind,
        "aper_corr_flag": _floats(rows["aper_corr_flag"]),
        "bad_class": _floats(rows["bad_class"]),
    }
    return Catalog(QTable(columns))


def _floats(column) -> NDArray[np.float64]:
    """Numbers, NaN where there is none."""
    return np.ma.filled(np.ma.asarray(column, dtype=np.float64), np.nan)
