"""What a source answers to requests, and what becomes of each of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ._errors import CutoutError, MissingCutoutError
from ._source import CutoutRequest, CutoutSource


class Outcome(NamedTuple):
    """What became of a request: "ok", "missing" or "failed", why, and the share of finite pixels."""

    status: str
    reason: str
    coverage: float


def outcomes(
    source: CutoutSource, requests: Sequence[CutoutRequest], store, min_coverage: float
) -> Iterator[tuple[NDArray | None, Outcome]]:
    """Ask `source` for `requests`; yield the image, or None, and what became of each, in their order."""
    n_channels, dtype = source.n_channels, np.dtype(source.dtype)  # once: a source may have to open a file for it
    for request, answer in zip(requests, _answers(source, requests, store)):
        if isinstance(answer, CutoutError):
            yield None, Outcome("missing" if answer.permanent else "failed", str(answer), 0.0)
            continue
        shape = (request.npix, request.npix, n_channels)
        if answer.shape != shape or not np.can_cast(answer.dtype, dtype, "same_kind"):
            raise ValueError(
                f"{type(source).__name__} made an image of shape {answer.shape} and dtype {answer.dtype}; expected "
                f"{shape} and {dtype}, as its n_channels and dtype say."
            )
        yield _enough_covered(answer, min_coverage)


def _answers(source: CutoutSource, requests: Sequence[CutoutRequest], store) -> Iterator[NDArray | CutoutError]:
    """What `source` answers to each request; those without a pixel scale do not reach it."""
    sent = [request for request in requests if _has_scale(request)]
    answers = iter(source.cutouts(sent, store))
    for request in requests:
        if not _has_scale(request):
            yield MissingCutoutError(
                f"the pixel scale would be {request.pixel_scale:g} arcsec; expected half_light_radius > 0 [arcsec]"
            )
            continue
        answer = next(answers, None)
        if answer is None:
            raise RuntimeError(
                f"{type(source).__name__}.cutouts ended before {request}; expected an array or a CutoutError for "
                f"each of {len(sent)} requests."
            )
        yield answer


def _has_scale(request: CutoutRequest) -> bool:
    return 0 < request.pixel_scale < math.inf


def _enough_covered(image: NDArray, min_coverage: float) -> tuple[NDArray | None, Outcome]:
    if image.dtype.kind != "f":
        return image, Outcome("ok", "", 1.0)
    finite = np.isfinite(image)
    coverage = float(finite.mean())
    if coverage < min_coverage:
        share = f"{finite.sum()} of {finite.size} pixel values"
        reason = f"only {share} are finite; expected a share of at least min_coverage={min_coverage}"
        return None, Outcome("missing", reason, coverage)
    return (image if coverage == 1 else np.where(finite, image, np.nan)), Outcome("ok", "", coverage)
