"""Cutouts become one array as they arrive; at full size, only a few of them are in memory."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .._images import CHUNK_BYTES, release_pages
from .._memmap import empty_array


class Gatherer:
    """Reduce cutouts in chunks and write them to their places in an array.

    Parameters
    ----------
    n : int
        Rows of the array.
    shape : (H, W, C)
        Of the cutouts, before they are reduced.
    dtype : dtype
        Of the cutouts.
    reducer : transformer or None
        Applied to chunks of cutouts.
    memmap : bool or "auto"
        As in `galestim._memmap.empty_array`.
    needs_nan : bool
        Whether the array must have a dtype that has NaN.
    """

    def __init__(self, n: int, shape: tuple[int, int, int], dtype: DTypeLike, reducer, memmap, needs_nan: bool):
        self._reducer = reducer
        like = self._reduce(np.zeros((1, *shape), dtype=dtype))
        if needs_nan and like.dtype.kind != "f":
            like = like.astype(np.result_type(like.dtype, np.float32))
        self.images = empty_array((n, *like.shape[1:]), like.dtype, memmap)
        self._chunk: NDArray = np.empty((min(n, max(1, CHUNK_BYTES // _n_bytes(shape, dtype))), *shape), dtype)
        self._rows: list[int] = []
        self._n_taken = 0

    def put(self, row: int, image: NDArray) -> None:
        """Take the cutout of `row`."""
        self._chunk[len(self._rows)] = image
        self._rows.append(row)
        if len(self._rows) == len(self._chunk):
            self.flush()

    def append(self, _, image: NDArray) -> None:
        """Take the cutout of the first row that has none yet."""
        self.put(self._n_taken + len(self._rows), image)

    def flush(self) -> None:
        """Reduce what was taken since the last time, and write it."""
        if self._rows:
            self.images[self._rows] = self._reduce(self._chunk[: len(self._rows)])
            release_pages(self.images)
            self._n_taken += len(self._rows)
            self._rows.clear()

    def _reduce(self, images: NDArray) -> NDArray:
        if self._reducer is None:
            return images
        reduced = np.asarray(self._reducer.transform(images))
        if reduced.ndim != 4 or len(reduced) != len(images):
            raise ValueError(
                f"reducer={self._reducer!r} made {reduced.shape} of images {images.shape}; "
                "expected one image (H, W, C) for each."
            )
        return reduced


def _n_bytes(shape: tuple[int, ...], dtype: DTypeLike) -> int:
    return int(np.prod(shape)) * np.dtype(dtype).itemsize
