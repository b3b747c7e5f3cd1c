"""Base of the image transformers: the layout that comes in goes out, in bounded memory."""

from __future__ import annotations

from abc import abstractmethod
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from numpy.typing import DTypeLike, NDArray
from sklearn.base import TransformerMixin, clone
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from .._cutouts import Cutouts
from .._images import ImageEstimator, in_layout_of, input_ndim, missing_rows, release_pages, row_chunks
from .._io.memmap import empty_array
from .._sklearn import Interval, fit_context

CACHE_BYTES = 2 * 2**20
"""Bytes of pixels transformed at a time: they stay in the processor's cache, and Python calls are few."""


def _named(transformer) -> bool:
    return getattr(transformer, "_fitted_on_rows", True)


class FlatRowNames:
    """Feature names, for transformers fitted on flat rows only.

    Pixels of an image have no names, and no data frame holds images. Without `get_feature_names_out`,
    scikit-learn returns the plain array, whatever ``set_output`` asks for.
    """

    @available_if(_named)
    def get_feature_names_out(self, input_features=None):
        """Names of the output columns; available unless the transformer was fitted on images.

        Parameters
        ----------
        input_features : array-like of str or None, default=None
            Names of the input columns; those seen in `fit` if None.

        Returns
        -------
        ndarray of str objects, shape (n_features_out,)
        """
        return super().get_feature_names_out(input_features)  # type: ignore[misc]


class ImageTransformer(TransformerMixin, ImageEstimator):
    """Base of the transformers: a subclass says what shape comes out, and how to fill it.

    Images are ``(n, H, W, C)``, ``(n, H, W)``, or flat rows with ``image_shape``; the result has the same
    layout. Its dtype is float64 for float64 and float32 for all else. NaN pixels are allowed, infinite ones
    are an error. A memmap is read chunk by chunk, never copied whole.
    """

    _parameter_constraints: ClassVar[dict] = {"image_shape": ["array-like", None]}

    @abstractmethod
    def _output_shape(self, shape: tuple[int, int, int]) -> tuple[int, int, int]:
        """``(H, W, C)`` after the transform of images ``(H, W, C)``."""

    @abstractmethod
    def _transform_into(self, out: NDArray, images: NDArray) -> None:
        """Write the transform of `images` ``(m, H, W, C)``, of any dtype, into `out`."""

    def _learn(self, images: NDArray) -> None:
        """Set the fitted attributes; nothing for a stateless transformer."""

    def _output_dtype(self, dtype: np.dtype) -> DTypeLike:
        return dtype if dtype in (np.float32, np.float64) else np.float32

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.requires_fit = False
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Remember the shape of the images, and learn from them what the transform needs.

        Parameters
        ----------
        X : array-like of shape (n_samples, H, W, C), (n_samples, H, W) or (n_samples, H·W·C)
            Images of any real dtype.
        y : None
            Ignored.

        Returns
        -------
        self
        """
        images = self._check_images(X, reset=True)
        self._n_features_out = int(np.prod(self._output_shape(self.image_shape_)))
        self._fitted_on_rows = input_ndim(X) <= 2
        self._learn(images)
        return self

    def transform(self, X):
        """Transform the images.

        Parameters
        ----------
        X : Cutouts, or array-like of shape (n_samples, H, W, C), (n_samples, H, W) or (n_samples, H·W·C)
            Images of the shape seen in `fit`, if there was one.

        Returns
        -------
        Cutouts or ndarray
            In the layout of `X`. What `Cutouts` know of their camera is that of the new images.

        Raises
        ------
        ValueError
            If a pixel is infinite, or if the images have another shape than in `fit`.
        """
        check_is_fitted(self)
        if isinstance(X, Cutouts):
            return self._transform_cutouts(X)
        images = self._images_to_transform(X)
        missing_rows(images, allow_partial=True)  # raises if a pixel is infinite
        shape = self._output_shape(images.shape[1:])
        out = np.empty((len(images), *shape), dtype=self._output_dtype(images.dtype))
        for rows in row_chunks(images, CACHE_BYTES):
            self._transform_into(out[rows], images[rows])
            release_pages(images)
        return in_layout_of(out, input_ndim(X))

    def _transform_cutouts(self, cutouts: Cutouts) -> Cutouts:
        """Images and camera, a part at a time; bad pixels have no weight, and NaN is masked."""
        like = self.transform(np.asarray(cutouts[:1]))
        images = empty_array((len(cutouts), *like.shape[1:]), like.dtype)
        for rows in cutouts.chunks():
            images[rows] = self.transform(np.asarray(cutouts[rows]))
            release_pages(images)
        changes = self._camera_after(cutouts, images.shape[1:3])
        mask = None if cutouts.bad_pixels() is None else np.isnan(images)
        return cutouts.replace(images, **{"mask": mask, **changes})

    def _camera_after(self, cutouts: Cutouts, shape: tuple[int, int]) -> dict[str, Any]:
        """Changes of what is known of the camera, by the transform to images of this shape."""
        return {}

    def _images_to_transform(self, X) -> NDArray:
        """`X` as ``(n, H, W, C)``; an unfitted transformer takes any shape and does not remember it."""
        if hasattr(self, "image_shape_"):
            return self._check_images(X, reset=False)
        return clone(self)._check_images(X, reset=True)


class Resizer(ImageTransformer):
    """Base of the transformers that bring images to at most `npix` pixels."""

    _parameter_constraints: ClassVar[dict] = {
        **ImageTransformer._parameter_constraints,
        "npix": [Interval(Integral, 1, None, closed="left"), "array-like"],
    }

    npix: int | tuple[int, int]

    def _output_shape(self, shape):
        height, width = self._height_and_width()
        return min(height, shape[0]), min(width, shape[1]), shape[2]

    def _height_and_width(self) -> tuple[int, int]:
        sides = np.asarray([self.npix, self.npix] if isinstance(self.npix, Integral) else self.npix)
        if sides.shape != (2,) or sides.dtype.kind not in "iu" or sides.min() < 1:
            raise ValueError(f"npix={self.npix!r}; expected a number of pixels or (H, W), each an int of at least 1.")
        return int(sides[0]), int(sides[1])
