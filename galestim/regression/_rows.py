"""Training rows: present, weighted and each only once; and their moments."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import gen_batches

from .._images import CHUNK_BYTES, missing_rows, release_pages
from ..networks import cast_pixels


class TrainingRows(NamedTuple):
    """Rows to train on, in an order that depends on their contents alone."""

    rows: NDArray[np.intp]  # where each stands in the images
    weight: NDArray[np.float64]  # sum of the sample weights of the equal rows it stands for

    def split(self, fraction: float, rng: np.random.RandomState) -> tuple[TrainingRows, TrainingRows | None]:
        """Set a random `fraction` of the rows aside for validation; None when `fraction` is 0."""
        if fraction == 0:
            return self, None
        n = len(self.rows)
        n_valid = max(1, round(fraction * n))
        if n_valid >= n:
            raise ValueError(
                f"validation_fraction={fraction} of n_samples = {n} distinct images leaves none to train on; "
                "give more images, or validation_fraction=0."
            )
        order = rng.permutation(n)
        return self.some(np.sort(order[n_valid:])), self.some(np.sort(order[:n_valid]))

    def some(self, which) -> TrainingRows:
        """Some of the rows: a slice, or where they stand among these."""
        return TrainingRows(self.rows[which], self.weight[which])


def training_rows(images, labels: NDArray, weights: NDArray, dtype=np.float64) -> TrainingRows:
    """Leave out missing cutouts and rows without weight; merge equal rows, adding their weights.

    Merging makes a weight of 2 the same as giving the row twice, also under random augmentation and dropout, and
    keeps copies of one galaxy from sitting on both sides of the validation split. Sorting the rows by a digest of
    their contents makes the fit independent of the order in which they came. `labels` ``(n, k)`` are targets, and
    their errors if there are any; rows that `dtype`, the arithmetic of the network, cannot tell apart are equal.
    """
    missing = missing_rows(images)
    if missing.all():
        raise ValueError(f"all {len(images)} images are NaN (missing cutouts); there is nothing to fit on.")
    if missing.any():
        warnings.warn(
            f"{missing.sum()} of {len(images)} images are NaN in every pixel (missing cutouts); fit ignores them.",
            stacklevel=6,
        )
    used = np.flatnonzero(~missing & (weights > 0))
    _, first, group = np.unique(_digests(images, labels, dtype)[used], return_index=True, return_inverse=True)
    return TrainingRows(used[first], np.bincount(group, weights=weights[used]).astype(np.float64))


def _digests(images, labels: NDArray, dtype) -> NDArray:
    """A digest of each row's pixels and labels: of their values, however they are stored.

    The order is that of a digest in float32, whatever `dtype`: all precisions set the same galaxies aside.
    """
    digests = np.empty(len(images), dtype="S64")
    labels = labels.astype(np.float64) + 0.0  # no -0.0
    for rows in _chunks(len(images), images.shape[1:]):
        fine = _content(images[rows], dtype, np.arange(len(images))[rows])
        with np.errstate(over="ignore"):
            coarse = fine.astype(np.float32)
        for i, row in enumerate(zip(coarse, labels[rows], fine), start=rows.start):
            image, label, exact = (part.tobytes() for part in row)
            digests[i] = _digest(image + label) + (b"" if coarse.dtype == fine.dtype else _digest(exact))
        release_pages(images)
    return digests


def _content(images, dtype, rows: NDArray) -> NDArray:
    """All that is known of some images, as rows of numbers of `dtype`."""
    if isinstance(images, np.ndarray):
        return cast_pixels(images, dtype, rows) + 0  # no -0.0
    told = images.inputs(dtype, rows).values()
    return np.concatenate([np.reshape(part, (len(images), -1)).astype(dtype) for part in told], axis=1) + 0


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=16).hexdigest().encode()


def _chunks(n: int, image_shape: tuple[int, ...]) -> Iterator[slice]:
    """Slices over `n` images, each of bounded memory in float64."""
    return gen_batches(n, max(1, CHUNK_BYTES // (8 * int(np.prod(image_shape)))))


def moments(values: NDArray, weights: NDArray) -> tuple[NDArray, NDArray]:
    """Weighted mean and standard deviation along the first axis; a spread of 0 becomes 1, to divide by."""
    mean = np.average(values, axis=0, weights=weights)
    return mean, _divisor(np.average((values - mean) ** 2, axis=0, weights=weights))


def pixel_moments(images: NDArray, rows: TrainingRows, dtype=np.float64) -> tuple[NDArray, NDArray]:
    """Weighted mean and standard deviation per channel over the given rows of ``(n, H, W, C)`` images.

    Of their values in `dtype`, the arithmetic of the network; computed in float64, in chunks of bounded memory.
    """

    def pixels_of(some: NDArray) -> NDArray:
        return cast_pixels(images[some], dtype, some).astype(np.float64).reshape(len(some), -1, images.shape[3])

    share = rows.weight / rows.weight.sum()
    shift = pixels_of(rows.rows[:1])[0].mean(axis=0)  # sums of squares stay free of cancellation
    mean, square = np.zeros((2, images.shape[3]))
    for chunk in _chunks(len(share), images.shape[1:]):
        pixels = pixels_of(rows.rows[chunk]) - shift
        mean += share[chunk] @ pixels.mean(axis=1)
        square += share[chunk] @ (pixels**2).mean(axis=1)
        release_pages(images)
    return mean + shift, _divisor(square - mean**2)


def _divisor(variance: NDArray) -> NDArray:
    spread = np.sqrt(np.maximum(variance, 0.0))
    return np.where(spread > 0, spread, 1.0)
