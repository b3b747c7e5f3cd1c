"""Predictions as a HATS catalog, by `hats-import`: in constant memory, and taken up again after a crash."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

from .._io.files import locked_folder, written_whole
from .._tables import listed
from ..posteriors import optional_import
from ._folder import COUNTS, MANIFEST

_DONE, _SCHEMA = "hats.properties", "_schema.parquet"
_CHUNK = 100_000  # rows of predictions in memory
_PIXEL_BYTES = 2**27  # rows of one pixel, in memory
_NAME = re.compile(r"[A-Za-z0-9._-]+")
_WHAT = "write_hats"


def write_hats(folder, out, *, client=None, verbose=1):
    """Write the predictions of `predict_catalog` as a HATS catalog, which LSDB, Dask and others read by place.

    `hats-import` sorts the rows into pixels of the sky, one file of predictions at a time. A run that was interrupted
    is taken up by the same call. It needs the extra `hats`.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    folder : str or path-like
        The folder `out` of `predict_catalog`, complete, with ``ra`` and ``dec`` among its columns.
    out : str or path-like
        Folder of the catalog, which is its name, too; made if absent.
    client : distributed.Client, default=None
        Cluster of Dask that does it, whose workers reach both folders by the same paths. None is one thread here.
    verbose : int, default=1
        Whether to show a progress bar for each stage.

    Returns
    -------
    int
        Number of rows in the catalog: all that have a position.

    Raises
    ------
    FileNotFoundError
        If `folder` has no output of `predict_catalog`.
    ValueError
        If that is not complete, or has no positions in degrees; or if the name of `out` has characters other than
        letters, digits, ``.``, ``_`` and ``-``.
    FileExistsError
        If `out` has a catalog, or files of something else.
    BlockingIOError
        If another run is writing to `out`.

    See Also
    --------
    predict_catalog : Its `catalog` may be a HATS catalog, too.

    Notes
    -----
    Columns are those of the predictions, with their units, sorted by ``_healpix_29``. ``_manifest.json`` says what
    they are made from. The catalog is complete when it has ``hats.properties``, which is written last.
    """
    folder, out = Path(folder).expanduser(), Path(out).expanduser().absolute()
    manifest, parts = _complete(folder)
    schema = _schema(parts[0])
    if not _NAME.fullmatch(out.name):
        raise ValueError(f"out={str(out)!r}; expected a name of letters, digits, '.', '_' and '-'.")
    importer = optional_import("hats_import", _WHAT, "hats")
    out.mkdir(parents=True, exist_ok=True)
    with locked_folder(out), _client(client) as dask, open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):
        _begin(out, manifest)
        optional_import("pyarrow.parquet", _WHAT).write_metadata(schema, out / _SCHEMA)
        importer.pipeline_with_client(_arguments(parts, out, verbose), dask)
        (out / _SCHEMA).unlink()
    return _n_rows(out)


def _complete(folder: Path) -> tuple[dict[str, Any], list[Path]]:
    """Manifest of a folder of predictions, and its files, if all rows are there."""
    if not (folder / MANIFEST).is_file():
        raise FileNotFoundError(f"{folder} has no {MANIFEST}; expected a folder that predict_catalog wrote.")
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    progress, parts = manifest.pop("progress"), sorted(folder.absolute().glob("part-*.parquet"))
    if not parts or progress["rows_done"] < progress["rows"]:
        raise ValueError(
            f"{folder} has {progress['rows_done']} of {progress['rows']} rows; finish predict_catalog first."
        )
    return manifest, parts


def _schema(part: Path):
    """Columns of the predictions, if there are positions among them."""
    schema = optional_import("pyarrow.parquet", _WHAT).read_schema(part)
    if lacking := [name for name in ("ra", "dec") if name not in schema.names]:
        raise ValueError(
            f"{part.parent} has no column {listed(lacking)}; pass them among columns= of predict_catalog."
        )
    for name in ("ra", "dec"):
        unit = (schema.field(name).metadata or {}).get(b"unit", b"deg").decode()
        if unit != "deg":
            raise ValueError(
                f"{name} is in {unit}; a HATS catalog has degrees: convert the column before predicting."
            )
    return schema.with_metadata({key: value for key, value in schema.metadata.items() if key != COUNTS} or None)


def _begin(out: Path, manifest: dict[str, Any]) -> None:
    """Refuse to mix what is not of one kind; what an interrupted run left is taken up."""
    kept = out / MANIFEST
    if (out / _DONE).exists():
        raise FileExistsError(f"{out} has a catalog; remove it first, or take another folder.")
    if os.listdir(out) and not (kept.is_file() and json.loads(kept.read_text(encoding="utf-8")) == manifest):
        raise FileExistsError(f"{out} has files that are not of these predictions; take another folder.")
    with written_whole(kept) as finished:
        finished.write_text(json.dumps(manifest, indent=1), encoding="utf-8")


@contextmanager
def _client(client) -> Iterator[Any]:
    """The client that is given, or a worker in this process, who listens to this machine alone."""
    if client is not None:
        yield client
        return
    distributed = optional_import("distributed", _WHAT, "hats")
    quiet = {"dashboard": False, "dashboard_address": "127.0.0.1:0"}
    here = {"processes": False, "protocol": "tcp://", "host": "127.0.0.1", "scheduler_kwargs": quiet}
    with distributed.LocalCluster(1, threads_per_worker=1, **here) as cluster, distributed.Client(cluster) as own:
        yield own


def _arguments(parts: list[Path], out: Path, verbose: int):
    from hats_import.catalog.arguments import ImportArguments

    return ImportArguments(
        output_path=out.parent,
        output_artifact_name=out.name,
        input_file_list=[*parts],
        file_reader=_positioned()(chunksize=_CHUNK),
        use_schema_file=out / _SCHEMA,
        sort_columns="row",
        byte_pixel_threshold=_PIXEL_BYTES,
        progress_bar=bool(verbose),
    )


def _positioned() -> type:
    """Reader of the rows that have a position; a class of hats-import, made only where there is hats-import."""
    from hats_import.catalog.file_readers.parquet import ParquetPyarrowReader

    class Positioned(ParquetPyarrowReader):
        def read(self, input_file, read_columns=None):
            from pyarrow.compute import is_finite

            for table in super().read(input_file, read_columns):
                yield table.filter(is_finite(table["ra"]))

    return Positioned


def _n_rows(out: Path) -> int:
    lines = (out / _DONE).read_text(encoding="utf-8").splitlines()
    return next(int(line.partition("=")[2]) for line in lines if line.startswith("hats_nrows"))
