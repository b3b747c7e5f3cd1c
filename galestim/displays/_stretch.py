"""Stretch of pixel values to what a screen can show."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .._light import robust_sigma


def stretch(image: NDArray, like: NDArray | None = None) -> NDArray[np.float64]:
    """`image` in [0, 1], as (H, W) for gray and (H, W, 3) for color.

    Three channels are R, G, B, any other number is averaged to gray; NaN pixels become sky. `like` is the image whose
    sky and brightest pixels set the scale, in the same units: a part of an image keeps its grays and colors.

    Colors that are ready to show (uint8, or floats within [0, 1]) are kept. All else is stretched in the
    manner of Lupton et al. (2004, PASP 116, 133): the sky, which is the median, goes to black, the brightest
    0.2 % to white, and intensity follows asinh(I / 10σ) with σ the sky noise. The channels keep their ratios,
    and so the colors. Where noise dominates, or the contrast was compressed before, 10σ is near the peak and
    asinh nearly linear.
    """
    like = image if like is None else like
    if like.dtype == np.uint8 and like.shape[2:] == (3,):
        return np.clip(np.nan_to_num(image / 255.0), 0, 1)
    pixels, reference = _pixels(image), _pixels(like)
    is_color = pixels.shape[-1] == 3
    if is_color and np.nanmin(reference) >= 0 and np.nanmax(reference) <= 1:
        return np.clip(np.nan_to_num(pixels), 0, 1)
    sky = np.nanmedian(reference, axis=(0, 1))
    excess, reference = np.nan_to_num(pixels - sky), np.nan_to_num(reference - sky)
    if not is_color:
        return np.clip(_asinh(excess.mean(axis=-1), reference.mean(axis=-1)), 0, 1)
    intensity = excess.max(axis=-1)  # of the brightest channel, so that none saturates before the others
    shown = _asinh(intensity, reference.max(axis=-1))
    gain = np.divide(shown, intensity, out=np.zeros_like(intensity), where=intensity != 0)
    return np.clip(excess * gain[..., None], 0, 1)


def _pixels(image: NDArray) -> NDArray[np.float64]:
    """`image` as (H, W, C), NaN where a pixel has no value and zero where a whole band has none."""
    pixels = np.where(np.isfinite(image), image, np.nan).reshape(*image.shape[:2], -1)
    pixels[..., np.isnan(pixels).all(axis=(0, 1))] = 0
    return pixels


def _asinh(intensity: NDArray[np.float64], reference: NDArray[np.float64]) -> NDArray[np.float64]:
    """`intensity` above the sky, stretched so that the 99.8th percentile of `reference` becomes 1."""
    white = np.percentile(reference, 99.8)
    if white <= 0:
        return np.zeros_like(intensity)
    # the floor is for images without noise
    softening = max(10 * float(robust_sigma(reference, about=0)), 0.01 * white)
    return np.arcsinh(intensity / softening) / np.arcsinh(white / softening)
