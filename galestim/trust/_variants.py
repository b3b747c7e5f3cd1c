"""Copies of images that show the same galaxy in other ways: turned, shifted, noisier, blurred, beside another."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage
from scipy.special import kv

from .._light import circular_harmonics, sky_noise
from ._features import to_center

WIDER, NOISIER = 1.2, 1.5  # point-spread function and noise, times those of the images
_SIGMA_TO_FWHM = np.sqrt(8 * np.log(2))


def flips_and_quarter_turns(images: NDArray) -> Iterator[NDArray]:
    """The seven (of oblong images, three) others of ``(n, H, W, C)`` that need no resampling."""
    step = 1 if images.shape[1] == images.shape[2] else 2
    for quarter_turns in range(0, 4, step):
        turned = np.rot90(images, quarter_turns, axes=(1, 2))
        if quarter_turns:
            yield np.ascontiguousarray(turned)
        yield np.ascontiguousarray(turned[:, :, ::-1])


def turned(images: NDArray, degrees: float) -> NDArray:
    """Images ``(n, H, W, C)`` turned about their centers, by cubic splines."""
    options = {"axes": (1, 2), "reshape": False, "order": 3, "mode": "mirror"}
    return ndimage.rotate(images.astype(np.float32), degrees, **options)


def shifted(images: NDArray, pixels: float) -> Iterator[NDArray]:
    """Images ``(n, H, W, C)`` shifted to either side along both axes, by cubic splines."""
    for axis in (1, 2):
        for sign in (-1, 1):
            shift = np.zeros(4)
            shift[axis] = sign * pixels
            yield ndimage.shift(images.astype(np.float32), shift, order=3, mode="mirror")


def noisier(images: NDArray, times: float, rng: np.random.RandomState) -> NDArray:
    """Images ``(n, H, W, C)`` with white noise added, of `times` that of their skies."""
    sigma = times * sky_noise(images)[:, None, None]
    return images + sigma * rng.normal(size=images.shape)


def blurred(images: NDArray, fwhm: float, rng: np.random.RandomState) -> NDArray:
    """Images ``(n, H, W, C)`` of a point-spread function a fifth wider than `fwhm` [pixels]; their noise stays white.

    Both are Moffat's with β = 3. What blurs takes noise away at short waves; as much is added there.
    """
    height, columns = images.shape[1:3]
    wave = 2 * np.pi * np.hypot(fft.fftfreq(height)[:, None], fft.rfftfreq(columns))
    kept = (_moffat(WIDER * fwhm * wave) / _moffat(fwhm * wave))[:, :, None]
    sigma = sky_noise(images)
    light, noise = (
        fft.irfft2(fft.rfft2(part, axes=(1, 2)) * transfer, s=(height, columns), axes=(1, 2))
        for part, transfer in ((images, kept), (rng.normal(size=images.shape), np.sqrt(1 - kept**2)))
    )
    noise *= sigma[:, None, None]
    return light + noise * np.median(sigma / sky_noise(light + noise), axis=0)


def _moffat(wave: NDArray) -> NDArray[np.float64]:
    """Fourier transform of a Moffat profile with β = 3 at wave numbers in units of 1 / FWHM: x² K₂(x) / 2."""
    x = np.maximum(wave / (2 * np.sqrt(2 ** (1 / 3) - 1)), 1e-4)
    return x**2 * kv(2, x) / 2


def with_neighbor(images: NDArray, rng: np.random.RandomState) -> NDArray:
    """Images ``(n, H, W, C)``, each with the galaxy that is next in brightness somewhere in it.

    The other one is added as its mean over rings, which has next to no noise.
    """
    n, height, width, _ = images.shape
    order = np.argsort(images.sum(axis=(1, 2, 3)))
    partner = np.empty(n, dtype=np.intp)
    partner[order] = np.r_[order[1:], order[max(n - 2, 0)]]
    centered = np.stack([to_center(channel.astype(np.float32)) for channel in np.moveaxis(images, 3, 0)], axis=3)
    y, x = np.ogrid[:height, :width]
    radius = np.hypot(y - (height - 1) / 2, x - (width - 1) / 2)
    ring = radius.astype(int).ravel()
    mean = np.eye(ring.max() + 1)[ring] / np.bincount(ring)
    radii = radius.ravel() @ mean
    profiles = np.einsum("npc,pr->nrc", centered.reshape(n, ring.size, -1), mean)[:, : min(height, width) // 2]
    profiles[:, -1] = 0.0  # beyond, nothing
    out = images.astype(np.float32)
    for i, (row, column) in enumerate(rng.uniform(size=(n, 2)) * [height - 1, width - 1]):
        distance = np.hypot(y - row, x - column)
        for channel, profile in enumerate(profiles[partner[i]].T):
            out[i, :, :, channel] += np.interp(distance, radii[: len(profile)], profile)
    return out


def sharpest(images: NDArray) -> float:
    """Full width at half maximum [pixels] of the most compact of ``(n, H, W, C)``, a little above that of a star.

    A Gaussian of variance v has, under Gaussian weights of scale s, a mean brightness as 1 / (v + s²). Faint images
    are left out where there are others.
    """
    mean = (images / sky_noise(images)[:, None, None]).mean(axis=3).astype(np.float32)
    scales = np.array([1.0, 2.0])
    weights = circular_harmonics(mean.shape[1], mean.shape[2], scales, order=0).real.reshape(2, -1)
    light = to_center(mean).reshape(len(mean), -1) @ weights.T
    bright = light[:, 1] >= min(20.0, np.median(light[:, 1]))
    inner, outer = np.maximum(light[bright] / weights.sum(axis=1), 1e-9).T
    ratio = np.maximum(inner / outer, 1 + 1e-6)
    variance = (scales[1] ** 2 - scales[0] ** 2 * ratio) / (ratio - 1)
    return float(_SIGMA_TO_FWHM * np.sqrt(np.clip(np.quantile(variance, 0.02), 0.5, None)))
