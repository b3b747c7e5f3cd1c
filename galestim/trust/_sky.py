"""The noise of the sky in an image, from the image alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def sky_noise(images: NDArray) -> NDArray[np.float64]:
    """Standard deviation of white noise ``(n, C)`` in images ``(n, H, W, C)``, robust to the galaxy.

    Second differences along both axes leave next to nothing of a smooth light (Immerkær 1996, CVIU 64, 300); their
    median is that of the sky. Correlated noise comes out too low, and alike in images that are alike.
    """
    differences = images.astype(np.result_type(images.dtype, np.float32))
    for axis in (1, 2):
        if images.shape[axis] > 2:
            rest = np.moveaxis(differences, axis, 0)
            second = (rest[:-2] - 2 * rest[1:-1] + rest[2:]) * 6**-0.5
            differences = np.moveaxis(second, 0, axis)
    size = np.abs(differences.reshape(len(images), -1, images.shape[3]))
    brightest = np.abs(images).max(axis=(1, 2)).astype(np.float64)
    robust = 1.4826 * np.median(size, axis=1)
    return np.maximum(robust, 1e-6 * brightest + np.finfo(np.float32).tiny)  # images may be free of noise
