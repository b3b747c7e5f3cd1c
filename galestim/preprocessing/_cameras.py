"""Cameras of images whose pixels were merged, cut or scaled."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._cutouts import Cutouts


def merged(cutouts: Cutouts, shape: tuple[int, int], weights: tuple[NDArray, NDArray]) -> dict[str, Any]:
    """The camera whose pixels are means of those of `cutouts`, in images of `shape`.

    A mean over an area of A old pixels has A times the gain, and a flux that is A times smaller. `weights` ``(h, H)``
    and ``(w, W)`` are the shares of the old rows and columns in the new ones.
    """
    steps = [old / new for old, new in zip(cutouts.shape[1:3], shape)]
    if steps[0] != steps[1] and (cutouts.psf is not None or cutouts.pixel_scale is not None):
        raise ValueError(
            f"images of {cutouts.shape[1:3]} pixels become {shape}: pixels that are not square, which psf= and "
            "pixel_scale= cannot describe. Crop the images to the new aspect ratio first."
        )
    area = steps[0] * steps[1]
    return {
        "psf": _merged_psf(cutouts.psf, steps[0], cutouts.shape[1]),
        "noise": _merged_noise(cutouts, weights),
        "wcs": moved_wcs(cutouts.wcs, scale=(steps[1], steps[0])),
        **scaled(cutouts, area),
        "pixel_scale": None if cutouts.pixel_scale is None else cutouts.pixel_scale * steps[0],
    }


def scaled(cutouts: Cutouts, divisor: float) -> dict[str, Any]:
    """Gain and zero point of fluxes that were divided by a number."""
    gain, zero_point = cutouts.gain, cutouts.zero_point
    return {
        "gain": None if gain is None else gain * divisor,
        "zero_point": None if zero_point is None else zero_point - 2.5 * np.log10(divisor),
    }


def moved_wcs(wcs: list | None, *, scale=(1.0, 1.0), offset=(0.0, 0.0)) -> list | None:
    """WCS of images without their first `offset` (x, y) pixels, and with pixels `scale` times larger."""
    if wcs is None:
        return None
    moved = [one.deepcopy() for one in wcs]
    for one in moved:
        if one.has_distortion and tuple(scale) != (1.0, 1.0):
            raise ValueError("wcs has distortions, which do not survive larger pixels; leave wcs= out.")
        one.wcs.crpix = (one.wcs.crpix - 0.5 - np.asarray(offset)) / scale + 0.5
        if one.wcs.has_cd():
            one.wcs.cd = one.wcs.cd * scale
        else:
            one.wcs.pc = one.wcs.pc * (np.asarray(scale) / scale[0])
            one.wcs.cdelt = one.wcs.cdelt * scale[0]
        one.wcs.set()
    return moved


def _merged_psf(psf, step: float, n_old: int):
    """Point-spread functions on pixels that are `step` times larger."""
    objects = [psf] if hasattr(psf, "transform") else psf if isinstance(psf, list) else []
    if any(one.includes_pixel for one in objects):
        raise ValueError("psf holds images of stars as objects; give their stamps, on the pixels of the images.")
    if objects and not step.is_integer():  # parts of pixels smear the image
        raise ValueError(
            f"pixels become {step:g} times larger, which smears the image; of a psf= of objects this is not known: "
            f"give stamps, or an npix that divides {n_old}."
        )
    if psf is None or objects:
        return psf
    stamps = psf[..., None] if psf.ndim < 4 else psf
    down, across = (_stamp_weights(size, step) for size in stamps.shape[-3:-1])
    merged = np.einsum("ai,...ijc,bj->...abc", down, stamps, across, optimize=True).astype(psf.dtype)
    return merged[..., 0] if psf.ndim < 4 else merged


def _stamp_weights(size: int, step: float) -> NDArray[np.float64]:
    """Share of each old pixel that lies in a new one, whose center is that of the stamp: ``(n_new, size)``."""
    n_new = int(np.ceil(size / step - 1e-9))
    edges = size / 2 + (np.arange(n_new + 1) - n_new / 2) * step
    old = np.arange(size)
    return np.maximum(np.minimum(edges[1:, None], old + 1) - np.maximum(edges[:-1, None], old), 0)


def _merged_noise(cutouts: Cutouts, weights: tuple[NDArray, NDArray]):
    """Noise of the means; where pixels have noise of their own, or are bad, that of each new pixel."""
    noise, bad = cutouts.noise, cutouts.bad_pixels()
    if noise is None:
        return None
    if np.ndim(noise) <= 2 and bad is None:
        return noise * np.sqrt(np.prod([(share**2).sum(axis=1).mean() for share in weights]))
    variance = _of_each_pixel(noise, cutouts.shape) ** 2
    known = np.ones(cutouts.shape, dtype=bool) if bad is None else ~bad
    total = _weighted(np.where(known, variance, 0), *(share**2 for share in weights))
    covered = _weighted(known.astype(np.float64), *weights)
    variance = np.divide(total, covered**2, out=np.full_like(total, np.nan), where=covered > 0)
    return np.sqrt(variance).astype(np.float32)


def _of_each_pixel(noise, shape: tuple[int, ...]) -> NDArray:
    """`noise` of any form as images."""
    if np.ndim(noise) in (1, 2):
        noise = np.reshape(noise, (shape[0], 1, 1, *([] if len(shape) == 3 else [-1])))
    return np.broadcast_to(noise, shape)


def _weighted(images: NDArray, down: NDArray, across: NDArray) -> NDArray:
    """Weighted sums of the pixels of images (n, H, W) or (n, H, W, C)."""
    return np.einsum("ai,nij...,bj->nab...", down, images, across, optimize=True)
