"""Color images stretched as those of SDSS are (Lupton et al. 2004, PASP 116, 133)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Factors of i, r, g in the color images of SDSS; they apply to nanomaggies per SDSS pixel of 0.396 arcsec.
SDSS_SCALES = 0.396**2 * np.array([4.9, 5.7, 7.8], dtype=np.float32)


def sdss_colors(sky: NDArray) -> NDArray[np.uint8]:
    """Red, green and blue of surface brightness in i, r and g ``(..., 3)`` [nanomaggies per arcsec²].

    The intensity is stretched, the color kept, and no channel saturates alone.

    Examples
    --------
    >>> sdss_colors(np.array([0.6, 0.4, 0.2], dtype=np.float32)).tolist()
    [69, 53, 36]
    """
    scaled = sky * SDSS_SCALES
    intensity = np.maximum(scaled.sum(axis=-1, keepdims=True), 1e-6)
    scaled *= np.arcsinh(3 * intensity) / (3 * intensity)
    scaled /= np.maximum(scaled.max(axis=-1, keepdims=True), 1)
    return np.clip(256 * scaled, 0, 255).astype(np.uint8)
