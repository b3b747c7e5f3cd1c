"""Cutouts of a survey: all that can be had, and a report of all rows; nothing is raised for a row."""

from __future__ import annotations

from collections.abc import Mapping
from threading import Event
from typing import Any

from astropy.table import QTable
from numpy.typing import NDArray

from .._cutouts import Cutouts
from ..catalogs import Catalog
from ._fetcher import CutoutFetcher
from ._gather import gatherer_of
from ._report import Outcome, make_report, outcomes


def fetch_reported(
    fetcher: CutoutFetcher, catalog: Catalog, unusable: Mapping[int, str], stop: Event | None = None
) -> tuple[NDArray | Cutouts | None, QTable]:
    """Images of the rows that have one, in their order, or None; and the report on all rows.

    The fetcher's `on_error` says nothing here but whether images of integers are to be floats. Rows that are
    `unusable` are not asked for, and reported with the reason. Once `stop` is set, no more is asked for: the other
    rows have failed.
    """
    requests = fetcher._requests(catalog)
    rows = [row for row in range(len(requests)) if row not in unusable]
    some = [requests[row] for row in rows]
    became = {row: Outcome("missing", reason, 0.0) for row, reason in unusable.items()}
    gatherer: Any = gatherer_of(fetcher, some, needs_nan=fetcher.on_error == "nan") if some else None
    try:
        arriving = outcomes(fetcher.source, some, fetcher._store(), fetcher.min_coverage) if some else ()
        for row, (image, outcome) in zip(rows, arriving):
            if image is not None:
                gatherer.append(row, image)
            became[row] = outcome
            if stop is not None and stop.is_set():
                break
    except (ValueError, OSError) as error:  # a file that was damaged since, say
        became = dict.fromkeys(rows, Outcome("failed", f"{type(error).__name__}: {error}", 0.0)) | became
    report = make_report(requests, [became.get(row, _STOPPED) for row in range(len(requests))])
    n_images = int((report["status"] == "ok").sum())
    if not n_images:
        return None, report
    gatherer.flush()
    return gatherer.gathered(None)[:n_images], report


_STOPPED = Outcome("failed", "interrupted", 0.0)
