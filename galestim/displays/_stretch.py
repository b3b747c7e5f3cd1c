"""From pixel values of any kind to what a screen can show."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def stretch(image: NDArray) -> NDArray[np.float64]:
    """`image` in [0, 1], as (H, W) for gray and (H, W, 3) for color.

    Parameters
    ----------
    image : ndarray of shape (H, W) or (H, W, C)
        With three channels R, G, B; any other number of channels is averaged to gray. NaN pixels become sky.

    Notes
    -----
    Colors that are ready to show (uint8, or floats within [0, 1]) are kept. All else is stretched in the
    manner of Lupton et al. (2004, PASP 116, 133): the sky, which is the median, goes to black, the brightest
    0.2 % to white, and intensity follows asinh(I / 10σ) with σ the sky noise. The channels keep their ratios,
    and so the colors. Where noise dominates, or the contrast was compressed before, 10σ is near the peak and
    asinh nearly linear.
    """
    if image.dtype == np.uint8 and image.shape[2:] == (3,):
        return image / 255.0
    pixels = np.where(np.isfinite(image), image, np.nan).reshape(*image.shape[:2], -1)
    pixels[..., np.isnan(pixels).all(axis=(0, 1))] = 0  # a band without data
    is_color = pixels.shape[-1] == 3
    if is_color and np.nanmin(pixels) >= 0 and np.nanmax(pixels) <= 1:
        return np.nan_to_num(pixels)
    excess = np.nan_to_num(pixels - np.nanmedian(pixels, axis=(0, 1)))
    if not is_color:
        return np.clip(_asinh(excess.mean(axis=-1)), 0, 1)
    intensity = excess.max(axis=-1)  # of the brightest channel, so that none saturates before the others
    gain = np.divide(_asinh(intensity), intensity, out=np.zeros_like(intensity), where=intensity != 0)
    return np.clip(excess * gain[..., None], 0, 1)


def _asinh(intensity: NDArray[np.float64]) -> NDArray[np.float64]:
    """`intensity` above the sky, stretched so that its 99.8th percentile becomes 1."""
    white = np.percentile(intensity, 99.8)
    if white <= 0:
        return np.zeros_like(intensity)
    sky_noise = 1.4826 * np.median(np.abs(intensity))
    softening = max(10 * sky_noise, 0.01 * white)  # the floor is for images without noise
    return np.arcsinh(intensity / softening) / np.arcsinh(white / softening)
