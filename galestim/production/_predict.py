"""Predictions for some rows of a catalog, as a table of arrow: a function of the model and the rows alone.

It runs here, in other processes or on other machines. While a block of images is looked at, the next one is fetched,
where there is a processor for that or images are waited for.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from threading import Event
from typing import Any

import numpy as np
from astropy.table import QTable, Table
from numpy.typing import NDArray
from sklearn.utils import gen_batches

from ..catalogs import Catalog, mended
from ..cutouts import fetch_reported
from ..posteriors import as_arrow, optional_import
from ._carried import carried_columns
from ._model import Model
from ._summaries import domain, predicted

BLOCK = 512  # rows whose images are in memory together; of such blocks there are three at most
UNLIKE = "there is an image, but no finite prediction: the image is unlike those of the fit"


@dataclass(frozen=True)
class Task:
    """What is to be written of each row.

    Parameters
    ----------
    names : mapping of str to str
        Columns of the catalog with positions and the like, where `Catalog` is to be told.
    columns : tuple of str
        Columns of the catalog that the output has, too.
    full_posterior : bool
        Whether it has all of the posterior.
    schema : pyarrow.Schema or None
        Columns of the output; None as long as nothing was predicted.
    """

    names: Mapping[str, str]
    columns: tuple[str, ...]
    full_posterior: bool
    schema: Any = None


def predict_rows(
    model: Model, table: Table, first: int, task: Task, tick: Callable[[int], Any] = int, *, ahead: bool = True
):
    """Predict all rows of `table`, the first of which has the number `first` in the whole catalog.

    `tick` is told the number of rows that are done. With `ahead`, the next images are fetched meanwhile.
    """
    arrow = optional_import("pyarrow", "predict_catalog")
    catalog, broken = mended(table, task.names)
    fetch, done = partial(_fetched, model, catalog, broken), []
    fetched = _ahead if ahead else _in_turn
    with _quiet(), closing(fetched(fetch, list(gen_batches(len(catalog), BLOCK)))) as blocks:
        for block, (images, report) in blocks:
            columns, _ = _columns(model, catalog[block], images, report, first + block.start, task)
            done.append(_in_order(columns, task.schema, len(report)))
            tick(len(report))
    return arrow.concat_tables(done)


def _in_turn(fetch: Callable, blocks: list[slice]) -> Generator:
    """Each block and what `fetch` gives for it."""
    for block in blocks:
        yield block, fetch(block, Event())


def _ahead(fetch: Callable, blocks: list[slice]) -> Generator:
    """As `_in_turn`, but the next block is fetched by another thread meanwhile."""
    stop = Event()
    with ThreadPoolExecutor(1, thread_name_prefix="galestim-ahead") as pool:
        try:
            coming = pool.submit(fetch, blocks[0], stop)
            for block, following in zip(blocks, [*blocks[1:], None]):
                fetched = coming.result()
                if following is not None:
                    coming = pool.submit(fetch, following, stop)
                yield block, fetched
        finally:
            stop.set()  # else an interruption would wait for the block that is under way


@contextmanager
def _quiet() -> Iterator[None]:
    """No warnings of what the column `reason` says of each row."""
    with warnings.catch_warnings():
        for message in (r"The prediction of row", r"The posterior \w+ of row", ".*have an image but no finite mean"):
            warnings.filterwarnings("ignore", message)
        yield


def _fetched(model: Model, catalog: Catalog, broken: Mapping[int, str], block: slice, stop: Event):
    """Images of a block, and their report, in which rows without a position have NaN for one."""
    here = {row - block.start: why for row, why in broken.items() if block.start <= row < block.stop}
    images, report = fetch_reported(model.fetcher, catalog[block], here, stop)
    for name in ("ra", "dec"):
        report[name][list(here)] = np.nan
    return images, report


def _columns(model: Model, catalog: Catalog, images, report: QTable, first: int, task: Task):
    """Each column as an array of arrow with its unit, for one block; and metadata of the schema."""
    arrow = optional_import("pyarrow", "predict_catalog")
    rows = np.flatnonzero(report["status"] == "ok")
    told, lost, metadata = ({}, [], {}) if images is None else _told(model, images, rows, len(report), task)
    status, reason = (report[name].astype(object) for name in ("status", "reason"))
    status[rows[lost]], reason[rows[lost]] = "missing", UNLIKE
    columns: dict[str, Any] = {"row": (arrow.array(np.arange(first, first + len(report))), None)}
    columns |= carried_columns(catalog, task.columns, np.isnan(report["ra"]) | np.isnan(report["dec"]))
    columns |= {"status": (arrow.array(status.tolist()), None), "reason": (arrow.array(reason.tolist()), None)}
    return columns | told, metadata


def _told(model: Model, images, rows: NDArray, n: int, task: Task):
    """What is told of n rows, of which `rows` have images; which of these have no finite prediction; and metadata."""
    arrow = optional_import("pyarrow", "predict_catalog")
    columns: dict[str, Any] = {}
    metadata: dict[str, str] = {}
    if model.knows_domain:
        inside, why = domain(model, images)
        columns["in_domain"] = arrow.array(_spread(inside, rows, n, False)), None
        columns["domain_reason"] = arrow.array(_spread(why, rows, n, "missing").tolist()), None
    values, posterior = predicted(model, images)
    for name, (column, unit) in values.items():
        columns[name] = arrow.array(_spread(_narrow(column), rows, n, np.nan)), unit
    if task.full_posterior and posterior is not None:
        nested, metadata["galestim"] = as_arrow(posterior, rows, n)
        columns |= {name: (array, None) for name, array in nested.items()}
    return columns, ~np.isfinite([column for column, _ in values.values()]).all(axis=0), metadata


def _narrow(values: NDArray) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        return values.astype(np.float32)


def _spread(values: NDArray, rows: NDArray, n: int, blank) -> NDArray:
    """Values of `rows` among n, `blank` elsewhere."""
    out = np.full(n, blank, dtype=values.dtype)
    out[rows] = values
    return out


# ---- as a table


def tried(model: Model, table: Table, task: Task) -> tuple[Any, list[str]]:
    """Schema of the output, as predictions of `table` tell it, or None; and the reasons of rows without one."""
    catalog, broken = mended(table, task.names)
    images, report = _fetched(model, catalog, broken, slice(0, len(catalog)), Event())
    reasons = [reason for reason in report["reason"].tolist() if reason]
    if images is None:
        return None, reasons
    arrow = optional_import("pyarrow", "predict_catalog")
    with _quiet():
        columns, metadata = _columns(model, catalog, images, report, 0, task)
    fields = [
        arrow.field(name, array.type, metadata={"unit": unit} if unit else None)
        for name, (array, unit) in columns.items()
    ]
    return arrow.schema(fields, metadata or None), reasons


def _in_order(columns: Mapping[str, tuple], schema, n: int):
    """Table of the columns of `schema`; blank are those that could not be told, without an image."""
    arrow = optional_import("pyarrow", "predict_catalog")
    arrays = [columns[field.name][0] if field.name in columns else _blank(field.type, n) for field in schema]
    return arrow.Table.from_arrays([array.cast(field.type) for array, field in zip(arrays, schema)], schema=schema)


def _blank(kind, n: int):
    """What stands in a column of this type where there is no image."""
    arrow = optional_import("pyarrow", "predict_catalog")
    if arrow.types.is_fixed_size_list(kind):
        return arrow.FixedSizeListArray.from_arrays(_blank(kind.value_type, n * kind.list_size), kind.list_size)
    if arrow.types.is_floating(kind):
        return arrow.array(np.full(n, np.nan), kind)
    return arrow.array(["missing"] * n if arrow.types.is_string(kind) else [False] * n, kind)
