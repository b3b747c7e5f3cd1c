"""What became of every row of a catalog, as a table and, if rows failed, as an error."""

from __future__ import annotations

import re
from collections.abc import Sequence

import astropy.units as u
import numpy as np
from astropy.table import QTable

from ._outcomes import Outcome
from ._source import CutoutRequest

MAX_REASONS = 5  # told apart in an error's message
MAX_ROWS = 4  # named for each of them


class CutoutFetchError(RuntimeError):
    """Cutouts are missing or could not be fetched; raised after all others were tried.

    Parameters
    ----------
    message : str
        How many, which, why, and what to do.
    report : QTable or None, default=None
        One row per row of the catalog, with the columns of :attr:`CutoutFetcher.report_`; an attribute, too.
    """

    def __init__(self, message, report=None):
        super().__init__(message)
        self.report = report


def make_report(requests: Sequence[CutoutRequest], outcomes: Sequence[Outcome]) -> QTable:
    """Table of what became of each request."""
    ra, dec, pixel_scale, _, object_id = zip(*requests, strict=True)
    status, reason, coverage = zip(*outcomes, strict=True)
    return QTable(
        {
            "row": np.arange(len(requests)),
            "object_id": np.array(object_id, dtype=str),
            "ra": np.array(ra) * u.deg,
            "dec": np.array(dec) * u.deg,
            "pixel_scale": np.array(pixel_scale) * u.arcsec,
            "status": np.array(status, dtype=str),
            "reason": np.array(reason, dtype=str),
            "coverage": np.array(coverage, dtype=np.float64),
        }
    )


def fetch_error(report: QTable, kept: bool) -> CutoutFetchError:
    """Say which rows of `report` have no image, why, and what to do; `kept`: whether a cache keeps the others."""
    without = report[report["status"] != "ok"]
    counts = {status: int((report["status"] == status).sum()) for status in ("missing", "failed")}
    how_many = " and ".join(f"{count} {status}" for status, count in counts.items() if count)
    lines = [f"{len(without)} of {len(report)} cutouts could not be had: {how_many}."]
    return CutoutFetchError("\n".join([*lines, *_reasons(without), *_advice(counts, kept)]), report)


def _reasons(without: QTable) -> list[str]:
    """One line for each kind of reason, the most frequent first: which rows, and the reason of the first."""
    alike: dict[str, list[int]] = {}
    for i, reason in enumerate(without["reason"].tolist()):
        alike.setdefault(_kind(reason), []).append(i)
    groups = sorted(alike.values(), key=len, reverse=True)
    lines = [f"  {len(group)} × {_rows(without[group])}: {without['reason'][group[0]]}" for group in groups]
    if len(lines) > MAX_REASONS:
        lines[MAX_REASONS:] = [f"  … and {len(lines) - MAX_REASONS} other reasons; see the report."]
    return lines


def _kind(reason: str) -> str:
    """What stays of a reason without the numbers and names of its row."""
    return re.sub(r"'[^']*'|[-+]?\d[\d.:e+-]*|\b(nan|inf)\b", "…", reason)


def _rows(rows: QTable) -> str:
    named = [f"{row} ({name!r})" for row, name in zip(rows["row"][:MAX_ROWS], rows["object_id"][:MAX_ROWS].tolist())]
    return ("row " if len(rows) == 1 else "rows ") + ", ".join(named) + (", …" if len(rows) > MAX_ROWS else "")


def _advice(counts: dict[str, int], kept: bool) -> list[str]:
    advice = []
    if counts["failed"]:
        kept_what = "what was fetched is kept in the cache" if kept else "with a cache, only that would be fetched"
        advice.append(f"Run this again to try again what has failed: {kept_what}.")
    if counts["missing"]:
        advice.append(
            'What is missing stays missing: pass on_error="nan" to get NaN images for it, or use '
            'acquire(catalog, on_error="skip"), which leaves its rows out.'
        )
    return [*advice, "The table of all rows is report_ of the fetcher, and report of this error."]
