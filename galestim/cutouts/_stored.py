"""What sources of ready-made images share: they are looked up by name, and taken as they are."""

from __future__ import annotations

import math
from numbers import Real
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from .._sklearn import Interval
from ._errors import MissingCutoutError
from ._source import CutoutRequest, CutoutSource


class StoredImages(BaseEstimator, CutoutSource):
    """Base of the sources of images that were cut before: by object_id, never resampled, at most cropped."""

    looks_up_names = True  # the fetcher asks for a catalog with object_id

    _parameter_constraints: ClassVar[dict] = {"pixel_scale": [Interval(Real, 0, None, closed="neither"), None]}

    def _check_scale(self, request: CutoutRequest) -> None:
        if self.pixel_scale is not None and not math.isclose(request.pixel_scale, self.pixel_scale, rel_tol=1e-6):
            raise ValueError(
                f"{type(self).__name__} has pixel_scale={self.pixel_scale} arcsec, but was asked for "
                f"{request.pixel_scale:g}; expected the same, as its images are not resampled. Leave out pixel_scale "
                "and pixel_scale_re of the fetcher, or the pixel_scale of this source if it is not known."
            )


def crop_to(npix: int, image: NDArray) -> NDArray:
    """The middle ``(npix, npix)`` of `image` ``(H, W, C)``, without moving its center by half a pixel.

    Examples
    --------
    >>> crop_to(2, np.arange(16).reshape(4, 4, 1))[:, :, 0]
    array([[ 5,  6],
           [ 9, 10]])
    """
    margins = np.array(image.shape[:2]) - npix
    if margins.min() < 0 or (margins % 2).any():
        height, width = image.shape[:2]
        raise MissingCutoutError(
            f"the image has {height}×{width} pixels; expected npix={npix} along each side, or an even number more"
        )
    top, left = margins // 2
    return image[top : top + npix, left : left + npix]
