"""Center crop of images."""

from __future__ import annotations

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin

from ._base import FlatRowNames, Resizer
from ._cameras import moved_wcs


class CenterCrop(FlatRowNames, ClassNamePrefixFeaturesOutMixin, Resizer):
    """Keep the central pixels of each image.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    npix : int or (H, W), default=80
        Pixels to keep along both axes, or along each. An axis that has no more than that is left as it is.
    image_shape : (H, W, C) or (H, W), default=None
        How to unfold flat rows; not needed for images.

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
    Of N pixels, those from ``(N - npix) // 2`` on are kept. The geometric center, at index (N - 1) / 2, stays
    the center of the crop if N and `npix` are both even or both odd. Otherwise no crop can do that, and its
    center lies half a pixel before (toward index 0).

    Nothing is computed, so every dtype is kept: a crop of uint8 images is uint8. It needs no `fit`.

    Examples
    --------
    >>> import numpy as np
    >>> from galestim.preprocessing import CenterCrop
    >>> images = np.arange(25, dtype=np.uint8).reshape(1, 5, 5)
    >>> CenterCrop(3).transform(images)
    array([[[ 6,  7,  8],
            [11, 12, 13],
            [16, 17, 18]]], dtype=uint8)
    """

    def __init__(self, npix=80, *, image_shape=None):
        self.npix = npix
        self.image_shape = image_shape

    def _output_dtype(self, dtype):
        return dtype

    def _camera_after(self, cutouts, shape):
        top, left = ((old - new) // 2 for old, new in zip(cutouts.shape[1:3], shape))
        pixels = slice(None), slice(top, top + shape[0]), slice(left, left + shape[1])
        noise = cutouts.noise[pixels] if np.ndim(cutouts.noise) > 2 else cutouts.noise
        return {"noise": noise, "wcs": moved_wcs(cutouts.wcs, offset=(left, top))}

    def _transform_into(self, out, images):
        top, left = ((images.shape[axis] - out.shape[axis]) // 2 for axis in (1, 2))
        out[...] = images[:, top : top + out.shape[1], left : left + out.shape[2]]
