"""Features of the light of a galaxy: growth and asymmetries, which no flip or quarter turn changes.

A galaxy by itself is nearly the same upside down; a neighbor, an artifact or a cut-off image is not. So most of what
can be wrong with an image shows in the difference between it and itself turned by 180 degrees about its center.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from .._images import row_chunks
from .._light import circular_harmonics, log_scales, sky_noise

N_SCALES = 12
SMOOTHINGS = (0.0, 1.5, 4.0)  # pixels: a bad pixel, a star, a galaxy
MODEST = 0.02  # asymmetries of this share of the light are not looked at, as the noise of photons is one
WINDOW, REACH, STEPS = 3.0, 3.0, 4  # pixels, pixels and rounds of the search for the center
CHUNK_BYTES = 2**20  # of float32 pixels: what is made of them stays in the processor's cache


def light_features(images: NDArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Growth of the light ``(n, 12·C)`` of images ``(n, H, W, C)``, and their noise and asymmetries ``(n, 4·C)``."""
    n, height, width, channels = images.shape
    filters = circular_harmonics(height, width, log_scales(height, width, N_SCALES), order=0).real
    dtype = np.float64 if images.dtype == np.float64 else np.float32
    filters = filters.reshape(N_SCALES, -1).T.astype(dtype)
    growth, rest = np.empty((n, channels, N_SCALES)), np.empty((n, channels, 1 + len(SMOOTHINGS)))
    for rows in row_chunks(images, CHUNK_BYTES * images.dtype.itemsize // 4):
        sigma = sky_noise(images[rows])
        for channel in range(channels):
            pixels = images[rows, :, :, channel] / sigma[:, channel, None, None]
            centered = to_center(pixels.astype(dtype))
            growth[rows, channel] = np.arcsinh(centered.reshape(len(centered), -1) @ filters)
            rest[rows, channel] = np.column_stack([np.log(sigma[:, channel]), asymmetries(centered)])
    return growth.reshape(n, -1), rest.reshape(n, -1)


def to_center(images: NDArray) -> NDArray:
    """Move each of the images ``(n, H, W)``, by less than 3 pixels, so that its galaxy is in the center."""
    y, x = brightest_point(images).T
    height, width = images.shape[1:]
    phase_y, phase_x = (
        np.exp(2j * np.pi * shift[:, None] * frequency).astype((1j * images[:0]).dtype)
        for shift, frequency in ((y, fft.fftfreq(height)), (x, fft.rfftfreq(width)))
    )
    if height % 2 == 0:
        phase_y[:, height // 2] = phase_y[:, height // 2].real  # that wave has no direction
    return fft.irfft2(fft.rfft2(images) * phase_y[:, :, None] * phase_x[:, None], s=(height, width))


def brightest_point(images: NDArray) -> NDArray:
    """Center (y, x) of the light around the middle of the images ``(n, H, W)``, from there; ``(n, 2)``.

    The centroid under a Gaussian window that follows it, as in Bernstein & Jarvis 2002, AJ 123, 583, section 3.
    """
    y, x = (np.arange(side, dtype=images.dtype) - (side - 1) / 2 for side in images.shape[1:])
    center = np.zeros((len(images), 2), dtype=images.dtype)
    for _ in range(STEPS):
        dy, dx = y - center[:, :1], x - center[:, 1:]
        in_rows, in_columns = (np.exp(-0.5 * (distance / WINDOW) ** 2) for distance in (dy, dx))
        sums = images @ np.stack([in_columns, in_columns * dx], axis=2)  # over columns
        light, moment_x = np.einsum("nh,nhj->jn", in_rows, sums)
        moment_y = np.einsum("nh,nh->n", in_rows * dy, sums[:, :, 0])
        step = 2 * np.stack([moment_y, moment_x], axis=1) / np.maximum(light, 1.0)[:, None]
        center = np.clip(center + step, -REACH, REACH)
    return center


def asymmetries(images: NDArray) -> NDArray[np.float64]:
    """Difference of centered images ``(n, H, W)``, in units of their noise, from themselves upside down.

    Logarithm of the largest difference at each of the smoothings, in units of its noise and of what is modest.
    """
    upside_down = images[:, ::-1, ::-1]
    odd, even = (images - upside_down) * 0.5**0.5, (images + upside_down) * (0.5 * MODEST)
    peaks = []
    for smoothing in SMOOTHINGS:
        difference, light = (_upper_half(part, smoothing) ** 2 for part in (odd, even))
        peaks.append(np.log((difference / (1 + light)).max(axis=(1, 2)) + 0.1))
    return np.stack(peaks, axis=1) / 2


def _upper_half(images: NDArray, smoothing: float) -> NDArray:
    """Half of the images, smoothed by a Gaussian that keeps their noise as it is; the other half is as large."""
    if smoothing == 0:
        return images[:, : (images.shape[1] + 1) // 2]
    down, along = (_smoother(side, smoothing).astype(images.dtype) for side in images.shape[1:])
    return down[: (len(down) + 1) // 2] @ images @ along.T


def _smoother(side: int, smoothing: float) -> NDArray:
    """Matrix ``(n_points, side)`` of Gaussians of norm 1, at as many points as are needed."""
    centers = np.linspace(0, side - 1, int(np.ceil(side / smoothing)))[:, None]
    weight = np.exp(-0.5 * ((np.arange(side) - centers) / smoothing) ** 2)
    return weight / np.sqrt((weight**2).sum(axis=1, keepdims=True))
