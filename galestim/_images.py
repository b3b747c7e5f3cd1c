"""Validation of images: one place that turns what the user has into ``(n, H, W, C)``.

The checks never copy the pixels: a uint8 memmap of any size comes back as a view of itself, and what must look at
every pixel does so in chunks of bounded size.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils import check_array
from sklearn.utils.validation import validate_data

from ._as_images import as_array, objects_of, refuse_odd_shape, refuse_other_shape, refuse_single_image, unboxed
from ._masked import without_mask
from ._sklearn import check_feature_names

CHUNK_BYTES = 32 * 2**20
"""Work on at most this many bytes of pixels at a time; large enough that the loop over chunks costs nothing."""


def input_ndim(X) -> int:
    """Number of dimensions of `X`, without converting it.

    Examples
    --------
    >>> input_ndim([[1, 2], [3, 4]]), input_ndim(np.zeros((5, 8, 8, 3)))
    (2, 4)
    """
    X = unboxed(X)
    cells = objects_of(X)
    if cells is not None:
        return 1 + np.ndim(cells[0])
    if hasattr(X, "ndim"):
        return int(X.ndim)
    if hasattr(X, "shape"):  # polars data frames have no ndim
        return len(X.shape)
    return 1 + np.ndim(X[0]) if isinstance(X, list | tuple) and len(X) else np.ndim(np.asarray(X))


def row_chunks(images: NDArray, max_bytes: int = CHUNK_BYTES) -> Iterator[slice]:
    """Slices over the rows of `images`, each covering at most `max_bytes` of pixels (and at least one row)."""
    bytes_per_row = max(1, images[:1].nbytes)
    step = max(1, max_bytes // bytes_per_row)
    for start in range(0, len(images), step):
        yield slice(start, min(start + step, len(images)))


def release_pages(images: NDArray) -> None:
    """Let the operating system take back the pages of a file-backed array; a no-op for any other.

    Pages that were read count as this process's memory until the system needs them elsewhere. Dropping them keeps
    the resident size bounded; they stay in the file cache, so the next read is cheap. A copy-on-write map
    (``mode="c"``) is left alone, because its changes live only in those pages.
    """
    mode: str | None = None
    base: Any = images
    while base is not None and not isinstance(base, mmap.mmap):
        mode = getattr(base, "mode", mode)
        base = getattr(base, "base", None)
    if base is not None and mode in ("r", "r+", "w+") and hasattr(mmap, "MADV_DONTNEED"):
        base.madvise(mmap.MADV_DONTNEED)


def missing_rows(images: NDArray, *, allow_partial: bool = False, first_row: int = 0) -> NDArray[np.bool_]:
    """Mask (n,) of the *missing cutouts*, that is, of images ``(n, H, W, C)`` that are NaN in every pixel.

    A ValueError names the first row, counted from `first_row`, with an infinite pixel, or with some NaN unless
    `allow_partial`.
    """
    if hasattr(images, "missing"):  # images that know their camera, and their bad pixels
        return images.missing()
    missing = np.zeros(len(images), dtype=bool)
    if images.dtype.kind != "f":
        return missing
    for rows in row_chunks(images):
        chunk = images[rows].reshape(rows.stop - rows.start, -1)
        with np.errstate(all="ignore"):
            odd = np.flatnonzero(~np.isfinite(chunk.sum(axis=1)))  # as are those of rows with an odd pixel
        if len(odd):
            missing[rows.start + odd] = _missing_of(chunk[odd], first_row + rows.start + odd, allow_partial)
        release_pages(images)
    return missing


def _missing_of(chunk: NDArray, rows: NDArray[np.intp], allow_partial: bool) -> NDArray[np.bool_]:
    """Mask of the missing among flat images, after a look at every pixel; errors call them `rows`."""
    n_nan, n_infinite = (test(chunk).sum(axis=1) for test in (np.isnan, np.isinf))
    _raise_if_any(n_infinite > 0, rows, "infinite pixels (inf). Make these NaN")
    missing = n_nan == chunk.shape[1]
    if not allow_partial:
        _raise_if_any((n_nan > 0) & ~missing, rows, "some NaN pixels. Put a MaskFiller in front")
    return missing


def _raise_if_any(bad: NDArray[np.bool_], rows: NDArray[np.intp], what: str) -> None:
    if bad.any():
        raise ValueError(
            f"Input X contains NaN or infinity: row {rows[np.argmax(bad)]} has {what}, "
            "drop the row, or make all of it NaN (a missing cutout)."
        )


class ImageEstimator(BaseEstimator):
    """Base of everything that takes images; gives subclasses `_check_images`.

    A subclass has a parameter ``image_shape``. Images are ``(n, H, W)``, ``(n, H, W, C)``, or flat rows
    ``(n, H·W·C)`` that ``image_shape=(H, W, C)`` or ``(H, W)`` unfolds. A short flat row without ``image_shape`` is
    an image one pixel high with one channel.

    Attributes
    ----------
    image_shape_ : tuple of int (H, W, C)
        Shape of the images seen in `fit`.
    n_features_in_ : int
        ``H·W·C``.
    """

    image_shape: tuple[int, ...] | None
    image_shape_: tuple[int, int, int]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags

    def _check_images(self, X, *, reset: bool) -> NDArray:
        """`X` as an array ``(n, H, W, C)`` of its own dtype, a view wherever numpy allows one.

        With ``reset=True`` the shape is remembered; otherwise it must be the remembered one.
        """
        X = as_array(without_mask(X), self)
        if input_ndim(X) > 2:
            X = check_array(X, allow_nd=True, dtype="numeric", ensure_all_finite=False, estimator=self)
            check_feature_names(self, X, reset=reset)
        else:
            shape = getattr(X, "shape", None) or np.asarray(X).shape
            if not reset and shape[1:] != (self.n_features_in_,):
                refuse_single_image(shape, self.image_shape_)
            X = validate_data(self, X, reset=reset, dtype="numeric", ensure_all_finite=False)
        return X.reshape(len(X), *self._check_shape(X.shape, reset))

    def _check_shape(self, array_shape: tuple[int, ...], reset: bool) -> tuple[int, int, int]:
        """``(H, W, C)`` of images in an array of this shape; remembered with ``reset=True``, else as remembered."""
        shape = self._image_shape_of(array_shape[1:])
        if min(shape) == 0:
            raise ValueError(
                f"Found array with 0 feature(s) (shape=({array_shape[0]}, 0)) while a minimum of 1 is required: "
                f"images of shape (H, W, C) = {shape} have no pixels."
            )
        if reset:
            if self.image_shape is None:
                refuse_odd_shape(array_shape, shape)
            self.image_shape_ = shape
            self.n_features_in_ = int(np.prod(shape))
        elif shape != self.image_shape_ and not (self._takes_any_side() and shape[2] == self.image_shape_[2]):
            refuse_other_shape(array_shape, shape, self.image_shape_, type(self).__name__)
        return shape

    def _takes_any_side(self) -> bool:
        """Whether images may be higher and wider, or less so, than those of the fit."""
        return False

    def _image_shape_of(self, row_shape: tuple[int, ...]) -> tuple[int, int, int]:
        """``(H, W, C)`` of rows that have the shape `row_shape`."""
        if len(row_shape) == 3:
            return tuple(int(v) for v in row_shape)  # type: ignore[return-value]
        if len(row_shape) == 2:
            return int(row_shape[0]), int(row_shape[1]), 1
        if len(row_shape) != 1:
            raise ValueError(
                f"Found array with dim {len(row_shape) + 1}. {type(self).__name__} expected <= 4: (n, H, W, C), "
                "(n, H, W), or flat rows with image_shape=(H, W, C)."
            )
        if self.image_shape is None:
            return 1, int(row_shape[0]), 1
        shape = tuple(int(v) for v in self.image_shape)
        if len(shape) not in (2, 3) or min(shape) < 1:
            raise ValueError(f"image_shape={self.image_shape!r}; expected (H, W, C) or (H, W), each at least 1.")
        if int(np.prod(shape)) != row_shape[0]:
            raise ValueError(
                f"X has {row_shape[0]} features, but image_shape={shape} needs {'×'.join(map(str, shape))} = "
                f"{int(np.prod(shape))}; pass the (H, W, C) of the flattened images."
            )
        return self._image_shape_of(shape)


def in_layout_of(images: NDArray, ndim: int) -> NDArray:
    """Fold ``(n, H, W, C)`` back to what the caller passed: flat for `ndim` ≤ 2, ``(n, H, W)`` for 3."""
    if ndim <= 2:
        return images.reshape(len(images), -1)
    return images[..., 0] if ndim == 3 else images
