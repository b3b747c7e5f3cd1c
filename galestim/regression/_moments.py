"""Weighted mean and spread of pixels and targets, in float64 and bounded memory."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .._images import CHUNK_BYTES, release_pages
from ._rows import TrainingRows


def moments(values: NDArray, weights: NDArray) -> tuple[NDArray, NDArray]:
    """Weighted mean and standard deviation along the first axis; a spread of 0 becomes 1, to divide by."""
    mean = np.average(values, axis=0, weights=weights)
    return mean, _divisor(np.average((values - mean) ** 2, axis=0, weights=weights))


def pixel_moments(images: NDArray, rows: TrainingRows) -> tuple[NDArray, NDArray]:
    """Weighted mean and standard deviation per channel over the given rows of ``(n, H, W, C)`` images."""
    step = max(1, CHUNK_BYTES // (8 * int(np.prod(images.shape[1:]))))
    share = rows.weight / rows.weight.sum()
    shift = images[rows.rows[0]].astype(np.float64).mean(axis=(0, 1))  # sums of squares stay free of cancellation
    mean, square = np.zeros((2, images.shape[3]))
    for start in range(0, len(share), step):
        chunk = slice(start, start + step)
        pixels = images[rows.rows[chunk]].astype(np.float64).reshape(len(share[chunk]), -1, images.shape[3]) - shift
        mean += share[chunk] @ pixels.mean(axis=1)
        square += share[chunk] @ (pixels**2).mean(axis=1)
        release_pages(images)
    return mean + shift, _divisor(square - mean**2)


def _divisor(variance: NDArray) -> NDArray:
    spread = np.sqrt(np.maximum(variance, 0.0))
    return np.where(spread > 0, spread, 1.0)
