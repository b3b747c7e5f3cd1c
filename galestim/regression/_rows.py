"""Which rows a fit really uses: present, weighted, and each only once."""

from __future__ import annotations

import hashlib
import warnings
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._images import missing_rows, release_pages, row_chunks
from ._stream import ImageStream


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


def training_rows(images: NDArray | ImageStream, targets: NDArray, weights: NDArray) -> TrainingRows:
    """Leave out missing cutouts and rows without weight; merge equal rows, adding their weights.

    Merging makes a weight of 2 the same as giving the row twice, also under random augmentation and dropout, and
    keeps copies of one galaxy from sitting on both sides of the validation split. Sorting the rows by a digest of
    their contents makes the fit independent of the order in which they came.

    Parameters
    ----------
    images : ndarray or ImageStream of shape (n, H, W, C)
        Of a stream no two rows are equal, and their order matters.
    targets : ndarray of shape (n, k)
    weights : ndarray of shape (n,)
    """
    if isinstance(images, ImageStream):
        used = np.flatnonzero(weights > 0)
        return TrainingRows(used, weights[used])
    missing = missing_rows(images)
    if missing.all():
        raise ValueError(f"all {len(images)} images are NaN (missing cutouts); there is nothing to fit on.")
    if missing.any():
        warnings.warn(
            f"{missing.sum()} of {len(images)} images are NaN in every pixel (missing cutouts); fit ignores them.",
            stacklevel=4,
        )
    used = np.flatnonzero(~missing & (weights > 0))
    _, first, group = np.unique(_digests(images, targets)[used], return_index=True, return_inverse=True)
    return TrainingRows(used[first], np.bincount(group, weights=weights[used]).astype(np.float64))


def _digests(images: NDArray, targets: NDArray) -> NDArray:
    """A 16-byte digest of each row's pixels and targets."""
    digests = np.empty(len(images), dtype="S32")
    for rows in row_chunks(images):
        for i, (image, target) in enumerate(zip(images[rows], targets[rows]), start=rows.start):
            digests[i] = hashlib.blake2b(image.tobytes() + target.tobytes(), digest_size=16).hexdigest()
        release_pages(images)
    return digests
