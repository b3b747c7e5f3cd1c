"""Downsampling of images to fewer, larger pixels that conserves flux."""

from __future__ import annotations

from functools import lru_cache, partial
from typing import ClassVar

import numpy as np
from numpy.typing import DTypeLike, NDArray
from PIL import Image
from scipy.sparse import csr_array, kron
from sklearn.base import ClassNamePrefixFeaturesOutMixin

from .._sklearn import StrOptions
from ._base import FlatRowNames, Resizer
from ._cameras import merged


class Downsampler(FlatRowNames, ClassNamePrefixFeaturesOutMixin, Resizer):
    """Resample images to fewer pixels, conserving surface brightness.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    npix : int or (H, W), default=80
        Pixels of the result along both axes, or along each. An axis that has no more than that is left as it
        is: pixels are merged, never invented.
    method : {"area", "pil-bicubic"}, default="area"
        How a new pixel follows from the old ones:

        - "area": their mean, weighted by the area that each shares with it. Exact for any ratio; the mean
          over a block of pixels when the ratio is an integer.
        - "pil-bicubic": `PIL.Image.Image.resize` with ``BICUBIC``, image by image, as in the published spin
          CNN. Neither exact nor fast; for comparison with published results.
    image_shape : (H, W, C) or (H, W), default=None
        How to unfold flat rows; not needed for images. Flat rows come out flat, ``h·w·C`` long.

    Attributes
    ----------
    image_shape_ : tuple of int (H, W, C)
        Shape of the images seen in `fit`.
    n_features_in_ : int
        ``H·W·C``.
    feature_names_in_ : ndarray of str, shape (n_features_in_,)
        Names of the columns seen in `fit`; only if `X` was a data frame.

    Notes
    -----
    "area" conserves surface brightness, so the pixels of an image sum to less: times ``H·W / (h·w)``, the sum
    is the total flux again. A position x (in pixels, 0 at the center of the first) becomes ``(x + 0.5)·w/W -
    0.5``.

    NaN pixels have no weight in "area": a new pixel is the mean of the part that is known, and NaN only where
    nothing is. In "pil-bicubic" a NaN spreads to every new pixel whose kernel touches it.

    "pil-bicubic" rounds and clips uint8 images to integers from 0 to 255, as PIL does, and computes others in
    float32.

    Stretch (`Normalizer`) after downsampling linear images, not before. It needs no `fit`.

    Examples
    --------
    >>> import numpy as np
    >>> from galestim.preprocessing import Downsampler
    >>> image = np.array([[[0, 0, 9], [0, 9, 0], [0, 0, 0]]])
    >>> Downsampler(2).transform(image)
    array([[[1., 5.],
            [1., 1.]]], dtype=float32)
    """

    _parameter_constraints: ClassVar[dict] = {
        **Resizer._parameter_constraints,
        "method": [StrOptions({"area", "pil-bicubic"})],
    }

    def __init__(self, npix=80, *, method="area", image_shape=None):
        self.npix = npix
        self.method = method
        self.image_shape = image_shape

    def _camera_after(self, cutouts, shape):
        if self.method != "area":
            raise ValueError(f"method={self.method!r} does not conserve what Cutouts know of noise; use 'area'.")
        down, across = (area_weights(*sides) for sides in zip(cutouts.shape[1:3], shape))
        return merged(cutouts, shape, (down, across))

    def _transform_into(self, out, images):
        area = self.method == "area"
        resample = _area(images.shape[1:], out.shape[1:], out.dtype) if area else _bicubic
        for resampled, image in zip(out, images):
            resample(resampled, image)


def area_weights(n_in: int, n_out: int) -> NDArray[np.float64]:
    """Share of each new pixel that each old one covers, shape ``(n_out, n_in)``; rows sum to 1.

    Where an old pixel is `n_out` units long and a new one `n_in`, all edges are integers: no rounding
    decides whether two pixels touch.

    Examples
    --------
    >>> area_weights(3, 2) * 3
    array([[2., 1., 0.],
           [0., 1., 2.]])
    """
    new, old = np.arange(n_out)[:, None] * n_in, np.arange(n_in) * n_out
    overlap = np.minimum(new + n_in, old + n_out) - np.maximum(new, old)
    return np.maximum(overlap, 0) / n_in


@lru_cache(maxsize=8)
def _area(shape_in: tuple[int, ...], shape_out: tuple[int, ...], dtype: DTypeLike):
    """Give the area-weighted mean between images of these shapes, as a function of (result, image)."""
    rows = csr_array(area_weights(shape_in[0], shape_out[0]).astype(dtype))
    columns = csr_array(area_weights(shape_in[1], shape_out[1]).astype(dtype))
    return partial(_area_mean, rows, csr_array(kron(columns, np.eye(shape_in[2], dtype=dtype))))


def _area_mean(rows: csr_array, columns: csr_array, result: NDArray, image: NDArray) -> None:
    image = image.reshape(len(image), -1).astype(result.dtype)
    mean = _weighted(rows, columns, image)
    if np.isnan(mean).any():
        known = np.isfinite(image)
        coverage = _weighted(rows, columns, known.astype(result.dtype))
        mean = _weighted(rows, columns, np.where(known, image, 0))
        mean = np.divide(mean, coverage, out=np.full_like(mean, np.nan), where=coverage > 0)
    result[...] = mean.reshape(result.shape)


def _weighted(rows: csr_array, columns: csr_array, image: NDArray) -> NDArray:
    """Merge rows first, as they lie one after the other in memory, then the columns of the few left."""
    merged = rows @ image
    return (columns @ np.ascontiguousarray(merged.T)).T


def _bicubic(result: NDArray, image: NDArray) -> None:
    if image.dtype != np.uint8:
        image = image.astype(np.float32)
    for channel in range(image.shape[-1]):
        plane = Image.fromarray(np.ascontiguousarray(image[..., channel]))
        result[..., channel] = plane.resize(result.shape[1::-1], Image.Resampling.BICUBIC)
