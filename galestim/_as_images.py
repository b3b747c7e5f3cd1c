"""Images as users have them, in lists and columns, made an array; and errors that say what was taken for images."""

from __future__ import annotations

import math
import re
from os import PathLike
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from ._masked import without_mask
from ._tables import columns_of, listed

LONG_ROW = 64  # numbers; a flat row of so many was an image once, of 8×8 pixels or more

_Shape = tuple[int, int, int]  # (H, W, C)


def as_array(X, estimator) -> Any:
    """`X` itself, or the array that its images make if each is an object in a list, an array, a series or a column.

    Raises
    ------
    ValueError
        If it is a catalog, names of files, a row of numbers, or images of several sizes.
    """
    if isinstance(X, str | bytes | PathLike):
        _refuse_files(X)
    X = unboxed(X)
    if columns := columns_of(X):
        stacks = [name for name, column in columns if np.ndim(column) > 2]
        _refuse_unless_pixels(X, [name for name, _ in columns], stacks, estimator)
    cells = objects_of(X)
    if cells is not None:
        return stacked(cells)
    if getattr(X, "ndim", 2) == 1:
        raise ValueError(
            f"X is a row of {len(X)} numbers; expected images (n, H, W, C). Are X and y swapped? Reshape your data, "
            "X[None], if it is one image as a flat row."
        )
    return X


def unboxed(X) -> Any:
    """The column of a table that has one alone, of images or of objects; else `X` itself."""
    if hasattr(X, "to_list") and not hasattr(X, "ndim"):  # a series of polars
        values = np.asarray(X)
        return X.to_list() if values.dtype == object else values
    if getattr(X, "shape", (0, 1))[1:] != (1,) or isinstance(X, np.ndarray):
        return X
    columns = columns_of(X) or []
    only = columns[0][1] if len(columns) == 1 else 0.0
    return X if np.ndim(only) < 3 and objects_of(only) is None else np.asarray(only)


def objects_of(X) -> list | None:
    """Content of each row of `X` if that are objects, such as images or names; None if it holds numbers."""
    if isinstance(X, list | tuple):
        first = X[0] if len(X) else 0.0
        return list(X) if _is_object(first) or (isinstance(first, list | tuple) and np.ndim(first) > 1) else None
    shape = getattr(X, "shape", ())
    if len(shape) not in (1, 2) or shape[1:] not in ((), (1,)) or not hasattr(X, "dtype"):
        return None
    if getattr(X.dtype, "kind", "O") in "biufcV":
        return None
    cells = list(np.asarray(X, dtype=object).ravel())
    return cells if cells and (_is_object(cells[0]) or isinstance(cells[0], list)) else None


def _is_object(one) -> bool:
    named = isinstance(one, str | bytes | PathLike | dict | type(None))
    return named or (not isinstance(one, list | tuple) and np.ndim(one) > 0)


def stacked(cells: list) -> NDArray:
    """The images of all rows as one array."""
    for row, one in enumerate(cells):
        if isinstance(one, str | bytes | PathLike):
            _refuse_files(one)
        if not np.ndim(one):
            raise ValueError(
                f"row {row} of X is {one if one is None else type(one).__name__}; expected an image, an array (H, W) "
                "or (H, W, C). Leave the row out, or make the image NaN in every pixel (a missing cutout)."
            )
    images = [np.asarray(without_mask(one)) for one in cells]
    other = next((row for row, image in enumerate(images) if image.shape != images[0].shape), None)
    if other is not None:
        raise ValueError(
            f"row {other} of X is an image of shape {images[other].shape}, row 0 one of shape {images[0].shape}; "
            "expected one shape. Crop or resize each first: CenterCrop(npix).fit_transform(image[None])[0]."
        )
    return np.stack(images)


def _refuse_files(name) -> NoReturn:
    raise ValueError(
        f"X holds text, such as {str(name)!r}; expected images (n, H, W, C). If these are files, "
        "load_image_folder(folder).images reads them, or CutoutFetcher(ImageDirectory(folder), npix=…) in a pipeline."
    )


def _refuse_unless_pixels(X, names: list, stacks: list, estimator) -> None:
    """Raise if `X` is no data frame of pixels, whose columns have no names, or one name and a number each."""
    stems = {re.sub(r"\d+", "#", name) if isinstance(name, str) else "#" for name in names}
    numbered = len(stems) == 1 and "#" in stems.pop()
    if hasattr(X, "dtypes") and (numbered or getattr(estimator, "image_shape", None) is not None):
        return
    cure = (
        f"Pass X[{stacks[0]!r}] alone."
        if stacks
        else (
            "Let a CutoutFetcher get those of a catalog: make_pipeline(CutoutFetcher(source, npix=…), "
            f"{type(estimator).__name__}())."
        )
    )
    raise ValueError(
        f"X is a {type(X).__name__} with the columns {listed(names)}; expected images (n, H, W, C). {cure}"
    )


# --- shapes ---------------------------------------------------------------------------------------------------


def refuse_odd_shape(array_shape: tuple[int, ...], shape: _Shape) -> None:
    """Raise if images that an array gives with `shape` are likely to have another, unless ``image_shape`` says so."""
    height, width, n_channels = shape
    if height < width == n_channels > 4 or height < 6 < min(width, n_channels):
        raise ValueError(
            f"X has images of {height}×{width} pixels with {n_channels} channels: channels first? Expected "
            f"(n, H, W, C). Move them to the end, np.moveaxis(X, 1, -1); or say image_shape={shape} if it is so."
        )
    if len(array_shape) == 2 and width >= LONG_ROW:
        raise ValueError(
            f"X has flat rows of {width} numbers, but image_shape is None; expected images (n, H, W, C), or their "
            f"shape: image_shape={_guessed_shape(width)}, or (1, {width}, 1) if they are one pixel high."
        )


def refuse_single_image(array_shape: tuple[int, ...], own: _Shape) -> None:
    """Raise if an array has the shape of one image of those that have the shape `own`."""
    height, width, n_channels = own
    if array_shape in (own, (height, width) if n_channels == 1 else (n_channels, height, width)):
        raise ValueError(
            f"X has the shape {array_shape}, that of a single image; expected images (n, H, W, C) = (n, {height}, "
            f"{width}, {n_channels}). Pass X[None]."
        )


def refuse_other_shape(array_shape: tuple[int, ...], shape: _Shape, own: _Shape, name: str) -> NoReturn:
    """Raise an error that says how images of `shape` differ from those of the fit, of the shape `own`."""
    refuse_single_image(array_shape, own)
    n, expected = math.prod(shape), math.prod(own)
    cure = "Rows and columns swapped? Give images as in fit."
    if n != expected:
        cure = "Resize or crop them (Downsampler, CenterCrop), or fit again."
    elif shape == (own[2], *own[:2]):
        cure = "Channels first? Move them to the end: np.moveaxis(X, 1, -1)."
    elif len(array_shape) == 2:
        cure = f"Unfold flat rows, X.reshape(-1, {own[0]}, {own[1]}, {own[2]}), or fit with image_shape={own}."
    features = f"X has {n} features, but {name} is expecting {expected} features as input"
    got = features if n != expected else f"X has images of another shape than {name} knows"
    raise ValueError(f"{got}: images of shape (H, W, C) = {own}, as in fit, not {shape}. {cure}")


def _guessed_shape(n: int) -> str:
    """``(H, W, C)`` of a square image of 1 to 5 channels with so many numbers, as text."""
    for n_channels in (1, 3, 4, 5, 2):
        side = math.isqrt(n // n_channels)
        if n == side * side * n_channels:
            return str((side, side, n_channels))
    return "(H, W, C)"
