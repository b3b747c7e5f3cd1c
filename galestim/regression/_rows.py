"""Training rows: present, weighted and each only once; and their moments."""

from __future__ import annotations

import hashlib
import warnings
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import gen_batches

from .._images import CHUNK_BYTES, missing_rows, release_pages, row_chunks


class TrainingRows(NamedTuple):
    """Rows to train on, in an order that depends on their contents alone.

    Attributes
    ----------
    rows : ndarray of int, shape (n_rows,)
        Where each stands in the images.
    weight : ndarray of float, shape (n_rows,)
        Sum of the sample weights of the equal rows it stands for.
    """

    rows: NDArray[np.intp]
    weight: NDArray[np.float64]

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


def training_rows(images: NDArray, labels: NDArray, weights: NDArray) -> TrainingRows:
    """Leave out missing cutouts and rows without weight; merge equal rows, adding their weights.

    Merging makes a weight of 2 the same as giving the row twice, also under random augmentation and dropout, and
    keeps copies of one galaxy from sitting on both sides of the validation split. Sorting the rows by a digest of
    their contents makes the fit independent of the order in which they came.

    Parameters
    ----------
    images : ndarray of shape (n, H, W, C)
    labels : ndarray of shape (n, k)
        Targets, and their errors if there are any.
    weights : ndarray of shape (n,)
    """
    missing = missing_rows(images)
    if missing.all():
        raise ValueError(f"all {len(images)} images are NaN (missing cutouts); there is nothing to fit on.")
    if missing.any():
        warnings.warn(
            f"{missing.sum()} of {len(images)} images are NaN in every pixel (missing cutouts); fit ignores them.",
            stacklevel=5,
        )
    used = np.flatnonzero(~missing & (weights > 0))
    _, first, group = np.unique(_digests(images, labels)[used], return_index=True, return_inverse=True)
    return TrainingRows(used[first], np.bincount(group, weights=weights[used]).astype(np.float64))


def _digests(images: NDArray, labels: NDArray) -> NDArray:
    """A 16-byte digest of each row's pixels and labels."""
    digests = np.empty(len(images), dtype="S32")
    for rows in row_chunks(images):
        for i, (image, label) in enumerate(zip(images[rows], labels[rows]), start=rows.start):
            digests[i] = hashlib.blake2b(image.tobytes() + label.tobytes(), digest_size=16).hexdigest()
        release_pages(images)
    return digests


def moments(values: NDArray, weights: NDArray) -> tuple[NDArray, NDArray]:
    """Weighted mean and standard deviation along the first axis; a spread of 0 becomes 1, to divide by."""
    mean = np.average(values, axis=0, weights=weights)
    return mean, _divisor(np.average((values - mean) ** 2, axis=0, weights=weights))


def pixel_moments(images: NDArray, rows: TrainingRows) -> tuple[NDArray, NDArray]:
    """Weighted mean and standard deviation per channel over the given rows of ``(n, H, W, C)`` images.

    In float64, and in chunks of bounded memory.
    """
    step = max(1, CHUNK_BYTES // (8 * int(np.prod(images.shape[1:]))))
    share = rows.weight / rows.weight.sum()
    shift = images[rows.rows[0]].astype(np.float64).mean(axis=(0, 1))  # sums of squares stay free of cancellation
    mean, square = np.zeros((2, images.shape[3]))
    for chunk in gen_batches(len(share), step):
        pixels = images[rows.rows[chunk]].astype(np.float64).reshape(len(share[chunk]), -1, images.shape[3]) - shift
        mean += share[chunk] @ pixels.mean(axis=1)
        square += share[chunk] @ (pixels**2).mean(axis=1)
        release_pages(images)
    return mean + shift, _divisor(square - mean**2)


def _divisor(variance: NDArray) -> NDArray:
    spread = np.sqrt(np.maximum(variance, 0.0))
    return np.where(spread > 0, spread, 1.0)
