"""Outcome of each request, the report on all of them, and the error if some have no image."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import astropy.units as u
import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray

from .._cutouts import Cutouts
from ._errors import CutoutError, CutoutFetchError, MissingCutoutError
from ._source import CutoutRequest, CutoutSource

MAX_REASONS = 5  # told apart in an error's message
MAX_ROWS = 4  # named for each of them


class Outcome(NamedTuple):
    """Status of a request ("ok", "missing" or "failed"), the reason, and the share of finite pixels."""

    status: str
    reason: str
    coverage: float


def outcomes(
    source: CutoutSource, requests: Sequence[CutoutRequest], store, min_coverage: float
) -> Iterator[tuple[NDArray | Cutouts | None, Outcome]]:
    """Ask `source` for `requests`; yield the image, or None, and the outcome of each, in their order."""
    n_channels, dtype = source.n_channels, np.dtype(source.dtype)  # once: a source may have to open a file for it
    knows_camera = source.knows_camera
    for request, answer in zip(requests, _answers(source, requests, store)):
        if isinstance(answer, CutoutError):
            yield None, Outcome("missing" if answer.permanent else "failed", str(answer), 0.0)
            continue
        if isinstance(answer, Cutouts) != knows_camera:
            raise TypeError(
                f"{type(source).__name__} made {type(answer).__name__}, but its knows_camera is {knows_camera}; "
                "expected Cutouts if it is True, else an array."
            )
        shape = (1,) * knows_camera + (request.npix, request.npix, n_channels)
        if answer.shape != shape or not np.can_cast(answer.dtype, dtype, "same_kind"):
            raise ValueError(
                f"{type(source).__name__} made an image of shape {answer.shape} and dtype {answer.dtype}; expected "
                f"{shape} and {dtype}, as its n_channels and dtype say."
            )
        judge: Callable = _good_enough if knows_camera else _enough_covered
        yield judge(answer, min_coverage)


def _answers(
    source: CutoutSource, requests: Sequence[CutoutRequest], store
) -> Iterator[NDArray | Cutouts | CutoutError]:
    """Answers of `source` to all requests; those without a pixel scale do not reach it."""
    sent = [request for request in requests if _has_scale(request)]
    answers = iter(source.cutouts(sent, store))
    for request in requests:
        if not _has_scale(request):
            yield MissingCutoutError(
                f"the pixel scale would be {request.pixel_scale:g} arcsec; expected half_light_semimajor_axis or "
                "half_light_radius > 0 [arcsec]"
            )
            continue
        answer = next(answers, None)
        if answer is None:
            raise RuntimeError(
                f"{type(source).__name__}.cutouts ended before {request}; expected an array or a CutoutError for "
                f"each of {len(sent)} requests."
            )
        yield answer


def _good_enough(cutouts: Cutouts, min_coverage: float) -> tuple[Cutouts | None, Outcome]:
    """As `_enough_covered`; bad pixels count as covered, but one must be good."""
    images, outcome = _enough_covered(cutouts.images, min_coverage)
    if images is None:
        return None, outcome
    if cutouts.missing()[0]:
        return None, Outcome("missing", "all of its pixels are bad: masked, without weight or NaN", outcome.coverage)
    return (cutouts if images is cutouts.images else cutouts.replace(images=images)), outcome


def _has_scale(request: CutoutRequest) -> bool:
    return 0 < request.pixel_scale < math.inf


def _enough_covered(image: NDArray, min_coverage: float) -> tuple[NDArray | None, Outcome]:
    if image.dtype.kind != "f":
        return image, Outcome("ok", "", 1.0)
    finite = np.isfinite(image)
    n_finite = np.count_nonzero(finite)  # the mean of booleans takes ten times as long
    coverage = n_finite / finite.size
    if coverage < min_coverage:
        share = f"{n_finite} of {finite.size} pixel values"
        reason = f"only {share} are finite; expected a share of at least min_coverage={min_coverage}"
        return None, Outcome("missing", reason, coverage)
    return (image if coverage == 1 else np.where(finite, image, np.nan)), Outcome("ok", "", coverage)


def make_report(requests: Sequence[CutoutRequest], outcomes: Sequence[Outcome]) -> QTable:
    """Table of the outcomes, one row per request."""
    ra, dec, pixel_scale, _, object_id = zip(*(request[:5] for request in requests))
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
    """A reason without the numbers and names of its row."""
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
