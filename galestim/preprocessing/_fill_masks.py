"""Guesses for bad pixels, for networks that take no masks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.base import OneToOneFeatureMixin

from ._base import FlatRowNames, ImageTransformer


class MaskFiller(FlatRowNames, OneToOneFeatureMixin, ImageTransformer):
    """Fill the bad pixels of each image with what the good ones let expect.

    A galaxy looks nearly the same when it is turned by 180 degrees, so a bad pixel gets the value of the one that is
    opposite about the center of the image; where that is bad too, the mean of the good ones at the same distance from
    the center. Good pixels stay as they are, and what bad ones held never matters. An estimator that is told the
    camera (`PosteriorRegressor` with `Cutouts`) needs no filler: it fills for itself, about the galaxy's own center.

    .. versionadded:: 0.1.0

    Parameters
    ----------
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

    See Also
    --------
    galestim.regression.PosteriorRegressor : Told of masks by `Cutouts`.

    Notes
    -----
    Bad is what ``Cutouts.mask`` says, and NaN. An image without a good pixel is a missing cutout and stays NaN; all
    others come out without a bad pixel, and without a mask. Each channel is filled from its own pixels, or left NaN
    if it has none.

    Examples
    --------
    >>> import numpy as np
    >>> from galestim.preprocessing import MaskFiller
    >>> MaskFiller().transform([[[np.nan, 2.0], [3.0, 4.0]], [[np.nan, 2.0], [3.0, np.nan]]])
    array([[[4. , 2. ],
            [3. , 4. ]],
    <BLANKLINE>
           [[2.5, 2. ],
            [3. , 2.5]]])
    """

    def __init__(self, *, image_shape=None):
        self.image_shape = image_shape

    def _output_shape(self, shape):
        return shape

    def _transform_into(self, out, images):
        out[...] = images
        rows = np.flatnonzero(np.isnan(out).any(axis=(1, 2, 3)))
        if len(rows):
            some = out[rows]
            some = np.where(np.isnan(some), some[:, ::-1, ::-1], some)
            out[rows] = np.where(np.isnan(some), _at_same_distance(some), some)


def _at_same_distance(images: NDArray) -> NDArray:
    """Means of the good pixels in rings of one pixel, of the whole image where a ring has none."""
    n, height, width, n_channels = images.shape
    y, x = (np.arange(side) - (side - 1) / 2 for side in (height, width))
    ring = np.hypot(y[:, None], x).astype(int)
    of_image = np.arange(n * n_channels).reshape(n, 1, 1, n_channels)
    where = of_image * (ring.max() + 1) + ring[:, :, None]
    good = ~np.isnan(images)
    count = np.bincount(where[good], minlength=where.max() + 1)
    light = np.bincount(where[good], weights=images[good], minlength=where.max() + 1)
    count, light = (per_ring.reshape(n, n_channels, -1) for per_ring in (count, light))
    with np.errstate(invalid="ignore"):  # a channel without a good pixel stays NaN
        overall = light.sum(axis=2, keepdims=True) / count.sum(axis=2, keepdims=True)
        means = np.where(count > 0, light / np.maximum(count, 1), overall)
    return means.reshape(-1)[where]
