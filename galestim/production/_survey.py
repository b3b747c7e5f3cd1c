"""Predictions for a whole catalog, however long: resumed after a crash, in constant memory, on many machines."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from numbers import Integral
from pathlib import Path
from typing import Any

from .._digest import digest
from .._io.files import locked_folder
from .._progress import progress_bar
from .._sklearn import HasMethods, Interval, validate_params
from .._tables import listed
from ..catalogs import names_of
from ._carried import check_columns
from ._folder import Folder
from ._model import Model
from ._pieces import Piece, n_pieces, pieces_of, tables_of
from ._predict import Task, tried
from ._rows import Rows
from ._workers import check_workers, here, in_processes, on_cluster

TRIED, PLACES = 32, 16  # rows that are tried before all others, at each of some places of the catalog
HOPELESS = 3  # partitions in a row without an answer

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CatalogPredictions:
    """What :func:`predict_catalog` has written, in numbers.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    folder : Path
        Where the partitions are.
    n_rows : int
        Rows of the catalog, all of which are in the output.
    n_ok, n_missing, n_failed : int
        Rows with a prediction, without one for good, and those that another run tries again.
    n_resumed : int
        Rows that an earlier run had done.
    """

    folder: Path
    n_rows: int
    n_ok: int
    n_missing: int
    n_failed: int
    n_resumed: int


@validate_params(
    {
        "estimator": [HasMethods(["predict"], "a fitted pipeline that begins with a CutoutFetcher")],
        "out": [str, os.PathLike],
        "names": [Mapping, None],
        "full_posterior": ["boolean"],
        "chunk_size": [Interval(Integral, 1, None, closed="left")],
        "n_jobs": [Integral, None],
        "client": [HasMethods(["submit"], "a client of dask.distributed"), None],
        "resume": ["boolean"],
        "verbose": ["verbose"],
    },
    prefer_skip_nested_validation=True,
)
def predict_catalog(
    estimator,
    catalog,
    out,
    *,
    columns=("object_id", "ra", "dec"),
    names=None,
    full_posterior=False,
    chunk_size=8192,
    n_jobs=None,
    client=None,
    resume=True,
    verbose=1,
):
    """Predict a whole catalog, however long, and write Parquet files of it; run again, it does what is missing.

    Rows become images, and images predictions, some hundred at a time, so that memory does not grow with the catalog;
    the next images are fetched while the last ones are looked at. Each `chunk_size` rows become one file, which
    appears whole or not at all. A run that was interrupted, in whatever way, is taken up by the same call.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    estimator : estimator
        A fitted pipeline that begins with a `CutoutFetcher`, alone or in a search or a `RecalibratedRegressor`. One
        with `predict_posterior` gives summaries of posteriors, any other the point estimates of `predict`.
    catalog : str, path-like, or anything that `Catalog` takes
        A Parquet, FITS or CSV file, of which a few thousand rows at a time are read; a folder of Parquet files, such
        as a HATS catalog; a file of another format or a table, which is in memory as a whole.
    out : str or path-like
        Folder of the output; made if absent.
    columns : sequence of str, default=("object_id", "ra", "dec")
        Columns of the catalog that the output has, too, by the names that `Catalog` gives them. Names of galaxies
        are left out if there are none.
    names : dict of str to str, default=None
        Which columns of the catalog have position, name and radii, as keyword arguments of `Catalog`:
        ``{"ra": "ALPHA_J2000"}``. None: they are found by their common names.
    full_posterior : bool, default=False
        Whether to write all of each posterior, too, as `Posterior.write` does, so that `Posterior.read` reads each
        file of the output; a few kilobytes for each galaxy.
    chunk_size : int, default=8192
        Rows of a file of the output, and of what is lost by a crash.
    n_jobs : int, default=None
        Number of processes on this machine. None is 1, in this process; -1 all processors.
    client : distributed.Client, default=None
        Cluster of Dask that predicts, with ``threads_per_worker=1``; each worker gets the model once. Workers must
        reach the files of the catalog and the source of the images by the same paths; files are written from here.
    resume : bool, default=True
        Whether to go on where an earlier run in `out` ended; False refuses a folder with one.
    verbose : int, default=1
        Whether to show a progress bar with rate and time left (on a terminal and in notebooks).

    Returns
    -------
    CatalogPredictions
        Numbers of rows by what became of them.

    Raises
    ------
    ValueError
        If the estimator does not begin with a `CutoutFetcher`, a column is not in the catalog or has no unit of an
        angle, or no galaxy of those tried at first has an image, before anything is written. If the folder was begun
        with another model, catalog, version of galestim or other settings, or a file changes while it is read.
    FileExistsError
        If the folder has files that are not of an earlier run, or of one, with ``resume=False``.
    BlockingIOError
        If another run is writing to the folder.
    OSError
        If the disk is full or the folder cannot be written to; all files there are whole.
    RuntimeError
        If three files in a row have nothing but failures: a service is down, or files of images are damaged.

    See Also
    --------
    read_predictions : Reads the output as one astropy table.

    Notes
    -----
    A row of the output has ``row``, its number in the catalog from 0; `columns`; ``status`` and ``reason``;
    ``in_domain`` and ``domain_reason``, if the estimator knows its domain (see `PosteriorRegressor.domain`); and
    ``<target>_mean``, ``_std``, ``_median``, and ``_lower_68``, ``_upper_68``, ``_lower_95``, ``_upper_95``, the ends
    of equal-tailed intervals of 68.27 and 95 %, as float32 in the unit that the field's metadata ``unit`` has; or,
    without posteriors, the targets by their names.

    The status is "ok"; "missing", if there is no prediction and will be none: the row has no position, the galaxy no
    image, or the image no finite prediction; or "failed", if the image could not be had this time. Files with such
    rows are written again by the next run.

    ``_manifest.json`` has SHA-256 of the model and of each file of the catalog, settings, versions and the number of
    rows done. What the model and the images are made of is not looked at: mosaics must stay as they are.

    The same call on the same kind of machine with the same number of threads per process gives the same bits,
    wherever it runs and however often it was interrupted, for files and columns alike.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> import numpy as np
    >>> from galestim import CNNRegressor, CompactCNN, CutoutFetcher, make_pipeline, predict_catalog
    >>> from galestim.cutouts import ArrayStack
    >>> from galestim.production import read_predictions
    >>> rng = np.random.default_rng(0)
    >>> images, ids = rng.normal(size=(40, 16, 16, 1)).astype("float32"), [f"G{i}" for i in range(40)]
    >>> catalog = {"object_id": ids, "ra": np.linspace(150, 151, 40), "dec": np.full(40, 2.0)}
    >>> fetcher = CutoutFetcher(ArrayStack(images, ids=ids, pixel_scale=0.5), npix=16)
    >>> model = make_pipeline(fetcher, CNNRegressor(CompactCNN(widths=(2,)), max_epochs=1, random_state=0))
    >>> model = model.fit(catalog, {"spin": rng.uniform(size=40)})
    >>> folder = mkdtemp()
    >>> done = predict_catalog(model, catalog | {"dec": np.r_[95.0, catalog["dec"][1:]]}, folder)
    >>> done.n_ok, done.n_missing
    (39, 1)
    >>> table = read_predictions(folder)
    >>> table.colnames
    ['row', 'object_id', 'ra', 'dec', 'status', 'reason', 'spin']
    >>> print(table["reason"][0])
    dec=95 is outside [-90, 90]; expected degrees
    """
    model, tables = Model.of(estimator), tables_of(catalog)
    task = _task(model, tables, columns, dict(names or {}), full_posterior)
    if client is not None:
        check_workers(client)
    folder = _made(out)
    with locked_folder(folder):
        settings = {"chunk_size": chunk_size, "columns": list(task.columns), "full_posterior": full_posterior}
        output = Folder(
            folder,
            {
                "model": digest(estimator),
                "catalog": [table.fingerprint() for table in tables],
                "settings": settings | {"names": task.names},
            },
        )
        done = output.begin(resume)
        tables = [table.only(_needed(model, table, task)) for table in tables]
        schema = output.schema(min(done)) if done else _tried(model, tables, chunk_size, task)
        task = replace(task, schema=schema)
        done = {number: counts for number, counts in done.items() if not counts["failed"]}
        left = (piece for piece in pieces_of(tables, chunk_size) if piece.number not in done)
        return _run(output, _engine(model, left, task, n_jobs, client), done, tables, verbose)


# ---- before anything is written


def _task(model: Model, tables: list[Rows], columns, names: dict[str, str], full_posterior: bool) -> Task:
    """What is to be done, after every table has been asked for its columns and their units."""
    if not sum(table.n_rows for table in tables):
        raise ValueError("the catalog has no rows; expected at least one galaxy.")
    found = [list(names_of(table.rows(0, 0), names)) for table in tables]
    chosen = [check_columns(columns, one) for one in found]
    if any(one != chosen[0] for one in chosen):
        odd = next(one for one in chosen if one != chosen[0])
        raise ValueError(f"files of the catalog have different columns: {listed(chosen[0])} and {listed(odd)}.")
    for one in found:
        if lacking := [name for name in model.fetcher.source.columns if name not in one]:
            raise ValueError(f"the source of the images needs {listed(lacking)}; the catalog has {listed(one)}.")
    return Task(names, chosen[0], full_posterior)


def _needed(model: Model, table: Rows, task: Task) -> list[str]:
    """Columns of a table that are read."""
    names = names_of(table.rows(0, 0), task.names)
    wanted = {"ra", "dec", "object_id", "half_light_radius", "half_light_semimajor_axis"}
    wanted |= {*task.columns, *model.fetcher.source.columns}
    return [column for name, column in names.items() if name in wanted]


def _tried(model: Model, tables: list[Rows], chunk_size: int, task: Task):
    """Columns of the output, as the first predictions tell them: what fails there would fail everywhere."""
    n = n_pieces(tables, chunk_size)
    places = {round(place * (n - 1) / max(1, PLACES - 1)) for place in range(PLACES)}
    n_tried = 0
    reasons: list[str] = []
    for piece in pieces_of(tables, chunk_size):
        if piece.number not in places:
            continue
        some = piece.table.rows(piece.start, min(piece.stop, piece.start + TRIED))
        schema, without = tried(model, some, task)
        if schema is not None:
            return schema
        n_tried, reasons = n_tried + len(some), reasons + without
    raise ValueError(
        f"none of {n_tried} galaxies that were tried, all over the catalog, has an image: {reasons[0]}. Nothing was "
        "predicted; look at the source of the images, or for rows that it has images of."
    )


def _made(out) -> Path:
    folder = Path(out).expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise NotADirectoryError(f"{folder} is a file; expected a folder for the output, or a new name.") from error
    return folder


# ---- the run


def _engine(model: Model, pieces: Iterator[Piece], task: Task, n_jobs: int | None, client) -> Callable:
    """What predicts, given what is told how many rows are done."""
    if client is not None:
        return lambda tick: on_cluster(client, model, pieces, task, tick)
    if n_jobs not in (None, 1):
        return lambda tick: in_processes(model, pieces, task, n_jobs, tick)
    return lambda tick: here(model, pieces, task, tick)


def _run(output: Folder, engine: Callable, done: Mapping[int, Counter], tables: list[Rows], verbose: int):
    """Write tables as they are ready; stop if there are nothing but failures."""
    n_rows, counts = sum(table.n_rows for table in tables), sum(done.values(), Counter())
    n_resumed, n_hopeless = counts.total(), 0
    output.note(counts, n_rows)
    with progress_bar(n_rows, " galaxies", verbose, done=n_resumed) as bar:
        for piece, table in engine(bar.update):
            found = output.write(piece.number, table)
            counts += found
            output.note(counts, n_rows)
            bar.set_postfix({status: n for status, n in counts.items() if status != "ok"}, refresh=False)
            n_hopeless = n_hopeless + 1 if found["failed"] == len(table) else 0
            if n_hopeless == HOPELESS:
                raise RuntimeError(_hopeless(table))
    if counts["failed"]:
        _log.warning("%d of %d rows have failed; run this again to try them once more.", counts["failed"], n_rows)
    return CatalogPredictions(
        output.path, n_rows, counts["ok"], counts["missing"], counts["failed"], n_resumed=n_resumed
    )


def _hopeless(table: Any) -> str:
    (reason, _), *_ = Counter(table["reason"].to_pylist()).most_common(1)
    return f"none of the last images could be had: {reason}. What is done is kept; run this again when they can."
