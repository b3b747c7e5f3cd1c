"""Normalization of pixel values for networks."""

from __future__ import annotations

import warnings
from numbers import Real
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.base import OneToOneFeatureMixin
from sklearn.utils.validation import check_is_fitted

from .._images import missing_rows, release_pages, row_chunks
from .._light import median_deviation, rim
from .._sklearn import Interval, StrOptions
from ._base import CACHE_BYTES, FlatRowNames, ImageTransformer
from ._cameras import scaled

_LEARNED = {"asinh": "softening_", "standard": "mean_"}
_MAX_SKY_IMAGES = 1000
_SIGMA_PER_MAD = 1.482602218505602  # of a normal distribution: 1 / Φ⁻¹(3/4)


class Normalizer(FlatRowNames, OneToOneFeatureMixin, ImageTransformer):
    """Bring pixel values to a common range or scale.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    kind : {"minmax", "scale", "asinh", "standard"}, default="minmax"
        What becomes of a pixel value x:

        - "minmax": ``(x - min) / (max - min)`` of its own image: [0, 1], as in the published spin CNN. The
          brightness of an image is lost; a constant image becomes 0.
        - "scale": ``x / scale``. Keeps the brightness.
        - "asinh": ``asinh(x / softening)``: linear in the noise, logarithmic in the bright parts. For linear,
          sky-subtracted images.
        - "standard": ``(x - mean) / standard deviation`` of its channel, over all pixels of the training
          images.
    per_channel : bool, default=False
        Whether "minmax" treats each channel by itself, which discards the colors, or all jointly.
    scale : float, default=255
        Divisor of "scale"; 255 brings 8-bit images to [0, 1].
    softening : float or array-like of shape (C,), default=None
        Where "asinh" turns from linear to logarithmic, in the units of the pixels, for all channels or each.
        None learns it in `fit`: the noise of the sky.
    image_shape : (H, W, C) or (H, W), default=None
        How to unfold flat rows; not needed for images.

    Attributes
    ----------
    softening_ : ndarray of shape (C,)
        Softening of each channel, in the units of the pixels; "asinh" only.
    mean_, scale_ : ndarray of shape (C,)
        Mean and standard deviation of each channel, in the units of the pixels; "standard" only. A channel
        that is constant has ``scale_`` 1.
    image_shape_ : tuple of int (H, W, C)
        Shape of the images seen in `fit`.
    n_features_in_ : int
        ``H·W·C``.
    feature_names_in_ : ndarray of str, shape (n_features_in_,)
        Names of the columns seen in `fit`; only if `X` was a data frame.

    Notes
    -----
    The softening is the standard deviation σ of the sky, the natural choice of Lupton, Gunn & Szalay (1999,
    AJ 118, 1406), who derive 1.04 σ. It is estimated, channel by channel, as 1.4826 times the median absolute
    deviation of the pixels within a tenth of the image of its edge, and the median of that over the training
    images (at most 1000, evenly spaced): neighbors on the edge, and a galaxy that fills some of the frames,
    hardly matter. It is 1 where that is 0, as in images without noise.

    NaN pixels stay NaN and are otherwise ignored. "minmax" and "scale" need no `fit`.

    Examples
    --------
    >>> import numpy as np
    >>> from galestim.preprocessing import Normalizer
    >>> images = np.array([[[10, 20], [20, 30]], [[7, 7], [7, 7]]], dtype=np.uint8)
    >>> Normalizer("minmax").transform(images)
    array([[[0. , 0.5],
            [0.5, 1. ]],
    <BLANKLINE>
           [[0. , 0. ],
            [0. , 0. ]]], dtype=float32)
    >>> sky = np.random.default_rng(0).normal(scale=0.02, size=(100, 32, 32, 1))
    >>> Normalizer("asinh").fit(sky).softening_.round(3)
    array([0.02])
    """

    _parameter_constraints: ClassVar[dict] = {
        **ImageTransformer._parameter_constraints,
        "kind": [StrOptions({"minmax", "scale", "asinh", "standard"})],
        "per_channel": ["boolean"],
        "scale": [Interval(Real, 0, None, closed="neither")],
        "softening": [Interval(Real, 0, None, closed="neither"), "array-like", None],
    }

    def __init__(self, kind="minmax", *, per_channel=False, scale=255.0, softening=None, image_shape=None):
        self.kind = kind
        self.per_channel = per_channel
        self.scale = scale
        self.softening = softening
        self.image_shape = image_shape

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.requires_fit = self.kind in _LEARNED
        return tags

    def _output_shape(self, shape):
        return shape

    def _camera_after(self, cutouts, shape):
        if self.kind != "scale":  # noise and zero point of a galaxy are lost
            return {"stretched": True, "noise": None, "gain": None, "zero_point": None}
        noise = None if cutouts.noise is None else cutouts.noise / self.scale
        return {"noise": noise, **scaled(cutouts, self.scale)}

    def _learn(self, images):
        if self.kind == "standard":
            _rows_present(images)
            self.mean_, self.scale_ = _mean_and_std(images)
        elif self.kind == "asinh":
            learned = self.softening is None
            self.softening_ = _sky_noise(images) if learned else self._given_softening(images.shape[-1])

    def _given_softening(self, n_channels: int) -> NDArray[np.float64]:
        given = np.asarray(self.softening, dtype=np.float64)
        if given.shape not in ((), (1,), (n_channels,)) or not np.all(given > 0):
            raise ValueError(
                f"softening={self.softening!r}; expected a positive number, "
                f"or one for each of the {n_channels} channels."
            )
        return np.broadcast_to(given, n_channels).copy()

    def _transform_into(self, out, images):
        out[...] = images
        offset, scale = (_as_rows(values, out) for values in self._offset_and_scale(out))
        rows = out.reshape(len(out), out.shape[1], -1)  # a view: `out` is contiguous
        rows -= offset
        rows /= scale
        if self.kind == "asinh":
            np.arcsinh(out, out=out)

    def _offset_and_scale(self, images: NDArray):
        if self.kind in _LEARNED:
            check_is_fitted(self, _LEARNED[self.kind])
        if self.kind == "standard":
            return self.mean_, self.scale_
        if self.kind == "asinh":
            return 0, self.softening_
        if self.kind == "scale":
            return 0, self.scale
        return _minimum_and_range(images, axis=(1, 2) if self.per_channel else (1, 2, 3))


def _as_rows(values, images: NDArray) -> NDArray:
    """Repeat `values` along a row of pixels of `images`, as numpy is slow on vectors of few channels."""
    n, _, width, n_channels = images.shape
    return np.broadcast_to(values, (n, 1, width, n_channels)).astype(images.dtype).reshape(n, 1, -1)


def _minimum_and_range(images: NDArray, axis: tuple[int, ...]) -> tuple[NDArray, NDArray]:
    """Of each image, ignoring NaN; a range of 0 is given as 1."""
    low, high = (
        # one row of pixels after the other, as they lie in memory, and then the row that is left
        smaller.reduce(smaller.reduce(images, axis=1, keepdims=True), axis=axis, keepdims=True)
        for smaller in (np.fmin, np.fmax)
    )
    return low, np.where(high > low, high - low, 1)


def _mean_and_std(images: NDArray) -> tuple[NDArray, NDArray]:
    """Of each channel, ignoring NaN; in two passes, as a sum of squares cancels on a bright background."""
    mean = _moment(images, np.zeros(images.shape[-1]), power=1)
    std = np.sqrt(_moment(images, mean, power=2))
    return mean, np.where(std > 1e-10 * np.abs(mean), std, 1.0)  # less is the rounding of a constant channel


def _moment(images: NDArray, center: NDArray, *, power: int) -> NDArray:
    """Mean of ``(x - center) ** power`` over all pixels of each channel."""
    width, n_channels = images.shape[2:]
    total, count = np.zeros((2, width * n_channels))
    for rows in row_chunks(images, CACHE_BYTES):
        values = (images[rows].reshape(-1, width * n_channels) - np.tile(center, width)) ** power
        known = ~np.isnan(values)
        total += values.sum(axis=0, where=known)
        count += known.sum(axis=0)
        release_pages(images)
    total, count = (columns.reshape(width, n_channels).sum(axis=0) for columns in (total, count))
    return np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)


def _sky_noise(images: NDArray) -> NDArray:
    """Noise of the pixels near the edge, robustly: the median over images of their scaled MAD."""
    rows = _rows_present(images)
    edge = rim(*images.shape[1:3])
    with warnings.catch_warnings():
        # a channel, or the edge of an image, may be unknown
        warnings.filterwarnings("ignore", "All-NaN slice", RuntimeWarning)
        deviations = [
            median_deviation(images[row][edge].astype(np.float64), axis=0, ignore_nan=True)
            for row in rows[:: -(-len(rows) // _MAX_SKY_IMAGES)]
        ]
        noise = _SIGMA_PER_MAD * np.nanmedian(deviations, axis=0)
    release_pages(images)
    return np.where(noise > 0, noise, 1.0)


def _rows_present(images: NDArray) -> NDArray[np.intp]:
    rows = np.flatnonzero(~missing_rows(images, allow_partial=True))
    if len(rows) == 0:
        raise ValueError(f"All {len(images)} images are NaN everywhere; Normalizer has no pixels to learn from.")
    return rows
