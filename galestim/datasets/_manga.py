"""Galaxies with measured spin: λ_R from the spectra of MaNGA, images from SDSS."""

from __future__ import annotations

import hashlib
import warnings
from pathlib import Path

import numpy as np
from astropy import units as u
from astropy.io import fits
from astropy.table import QTable
from astropy.utils.exceptions import AstropyUserWarning
from numpy.typing import NDArray
from sklearn.datasets import get_data_home
from sklearn.utils import Bunch

from .._io.bounds import check_fits
from .._io.files import written_whole
from ..catalogs import Catalog
from ..cutouts import SkyServer, Transport
from ._measured_spins import best_of_each, spin_fetcher, with_images

URL = "https://data.sdss.org/sas/dr17/env/MANGA_PIPE3D/v3_1_1/3.1.1/SDSS17Pipe3D_v3_1_1.fits"
SHA256 = "ac714809044c02dcb2cc8b5007d02981d9316c34dc398a79f4c07bde4d3496fc"  # of its 55 889 280 bytes
COLUMNS = ("plateifu", "mangaid", "objra", "objdec", "Re_arc", "Lambda_Re", "e_Lambda_Re", "QCFLAG")


def fetch_manga_spin(
    *,
    data_home=None,
    fetch_images=True,
    unique=True,
    source=None,
    url=None,
    download_if_missing=True,
    return_X_y=False,
    **fetcher_params,
):
    """Fetch the spin λ_R of MaNGA galaxies and their SDSS color images, cut out as in the published recipe.

    The spins are those of the Pipe3D catalog of SDSS DR17, about 10 000; the images have 424×424 pixels of 0.02 R_e.
    **Not yet run against the live archive**, only against a synthetic catalog and a simulated SkyServer.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    data_home : str, path-like or None, default=None
        Folder that keeps the catalog (56 MB). None is that of scikit-learn, ``~/scikit_learn_data``.
    fetch_images : bool, default=True
        Whether to fetch the images too: one request per galaxy, at ten per second 17 minutes for all.
    unique : bool, default=True
        Whether to keep one observation per galaxy, the one with the smallest error of λ_R. If False, some galaxies
        have several rows: split by ``groups``, or the test set holds galaxies that were trained on.
    source : CutoutSource or None, default=None
        Where the images come from; None is :class:`~galestim.cutouts.SkyServer`.
    url : str or None, default=None
        Another address of the catalog. None is that of SDSS, where the file must have the known SHA-256.
    download_if_missing : bool, default=True
        If False, raise an OSError instead of downloading the catalog.
    return_X_y : bool, default=False
        Whether to return ``(images, lambda_r)``, or ``(catalog, lambda_r)`` without images.
    **fetcher_params : dict
        Of :class:`~galestim.cutouts.CutoutFetcher`: ``cache``, ``memmap``, ``verbose`` and ``reducer``, such as
        ``Downsampler(80)``; unreduced, the images take 5 GB.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        catalog : Catalog of length n_samples
            ``object_id`` (plate-IFU), ``ra``, ``dec`` [deg], ``half_light_semimajor_axis`` [arcsec], ``mangaid``,
            ``lambda_r``, ``lambda_r_error`` and ``qcflag``: 0 is good, 2 bad, more than 2 a warning.
        images : ndarray or memmap of shape (n_samples, 424, 424, 3), uint8, or what the reducer makes of it, or None
            Row 0 is north, column 0 is east.
        lambda_r : ndarray of shape (n_samples,)
            The target, in (0, 1].
        groups : ndarray of str, shape (n_samples,)
            The galaxy of each row (``mangaid``), for splitters.
        selection, report : dict of str to int, QTable or None
            How many rows each cut leaves; what became of each cutout, as :attr:`CutoutFetcher.report_`.
        DESCR : str
            This description.
    (X, lambda_r) : tuple, if ``return_X_y`` is True

    Raises
    ------
    OSError
        If the catalog is missing and must not be downloaded, has another SHA-256, or is no Pipe3D catalog.
    TransientCutoutError, CutoutFetchError
        If the catalog, or images, cannot be had now. What arrived is kept: call again to resume.

    Notes
    -----
    **Left out, with a warning**: galaxies outside the footprint, or with R_e < 0.75 arcsec; there the recipe asks for
    pixels finer than 0.015 arcsec, to which SkyServer would silently clamp them.

    **Selection.** The published set (github.com/Chris-Duckworth/sdss_CNN) has 6437 images. Its notebook has λ_R from
    an earlier Pipe3D catalog (v2_5_3), one row per *observation*, and drops those without an image. Here the cuts are
    0 < λ_R ≤ 1, R_e > 0, and one row per galaxy; ``qcflag`` cuts nothing. Not reproducible from these columns: the
    rows of v2_5_3, and the frames: R_e was the elliptical Petrosian one of the NSA, along the
    major axis; here it is Pipe3D's ``Re_arc``, taken as such.

    **What was confirmed, and where.** Columns, units and flag values: table ``SDSS17Pipe3D_v3_1_1`` in the schema of
    SDSS's database (VacTables.sql). The first extension: public scripts that read the file. Address, size, SHA-256
    and 10 220 rows: only one third party's download record of October 2026 (github.com/LcosmosS/S.T.A.R.-Labs).
    That a MaNGA-ID means one galaxy, with a few exceptions: SDSS, "Working with MaNGA Data".

    **Sources.** Catalog: Sánchez et al. 2022, ApJS 262, 36. λ_R: Emsellem et al. 2007, MNRAS 379, 401.

    Examples
    --------
    All observations of a galaxy go to the same side of this split:

    >>> from sklearn.model_selection import GroupShuffleSplit
    >>> from galestim.datasets import fetch_manga_spin
    >>> data = fetch_manga_spin(unique=False, fetch_images=False)  # doctest: +SKIP
    >>> splitter = GroupShuffleSplit(1, test_size=0.15, random_state=0)
    >>> train, test = next(splitter.split(data.catalog, groups=data.groups))  # doctest: +SKIP
    """
    fetcher = spin_fetcher(SkyServer() if source is None else source, fetcher_params)
    file = _locate(data_home, url, download_if_missing)
    catalog, selection = _select(_read(file, str(file)), unique)
    data = with_images(catalog, selection, fetcher if fetch_images else None, _too_fine)
    if return_X_y:
        return (data.images if fetch_images else data.catalog), data.lambda_r
    return Bunch(**data, groups=np.asarray(data.catalog["mangaid"]), DESCR=fetch_manga_spin.__doc__)


def _locate(data_home, url: str | None, download_if_missing: bool) -> Path:
    """Path of the catalog, downloaded if it is not there yet."""
    address = URL if url is None else url
    file = Path(get_data_home(data_home)) / address.rpartition("/")[2]
    if file.exists():
        return file
    if not download_if_missing:
        raise OSError(f"There is no {file}. Pass download_if_missing=True, or download it from {address}.")
    body = Transport(timeouts=(10, 60, 1800), max_bytes=2**28).get(address).body
    if url is None and (digest := hashlib.sha256(body).hexdigest()) != SHA256:
        raise OSError(
            f"The catalog at {address} has {len(body)} bytes of SHA-256 {digest}; expected {SHA256}. Try again; if "
            "SDSS has replaced the catalog, pass its address as url= to take it as it is."
        )
    with written_whole(file) as path:
        path.write_bytes(body)
        _read(path, address)  # only what can be read is kept
    return file


def _read(file: Path, name: str) -> dict[str, NDArray]:
    """Read the columns that are needed, in whatever case; no warnings, only what cannot be read matters."""
    try:
        check_fits(file, name)
        with warnings.catch_warnings(action="ignore", category=AstropyUserWarning), fits.open(file) as hdus:
            return {name: np.array(hdus[1].data[name]) for name in COLUMNS}
    except (OSError, IndexError, KeyError, TypeError, ValueError) as error:
        raise OSError(
            f"{name} is not the Pipe3D catalog: {error}. Expected a FITS table, extension 1, with the columns "
            f"{', '.join(COLUMNS)}. Pass another url=, or remove the file to download it again."
        ) from error


def _select(columns: dict[str, NDArray], unique: bool) -> tuple[Catalog, dict[str, int]]:
    """Apply the cuts, and count what each leaves."""
    spin, error, radius = (columns[name].astype(float) for name in ("Lambda_Re", "e_Lambda_Re", "Re_arc"))
    has_spin = (spin > 0) & (spin <= 1)
    rows = np.flatnonzero(has_spin & (radius > 0) & np.isfinite(radius))
    counts = {"observations": len(spin), "with a spin": int(has_spin.sum()), "with a radius": len(rows)}
    if unique:
        rows = rows[best_of_each(columns["mangaid"][rows], error[rows])]
    counts["selected"] = len(rows)
    table = {"object_id": columns["plateifu"], "mangaid": columns["mangaid"], "qcflag": columns["QCFLAG"].astype(int)}
    table |= {
        "ra": columns["objra"] * u.deg,
        "dec": columns["objdec"] * u.deg,
        "half_light_semimajor_axis": radius * u.arcsec,
    }
    return Catalog(QTable(table | {"lambda_r": spin, "lambda_r_error": error})[rows]), counts


def _too_fine(missing: QTable) -> str:
    n = int((missing["pixel_scale"] < SkyServer.scale_limits[0] * u.arcsec).sum())
    return f", {n} of them for R_e < 0.75 arcsec"
