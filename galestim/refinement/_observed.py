"""Images and their cameras, as the likelihood takes them: one for each galaxy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .._cutouts import Cutouts
from ..simulation import PSF, Band, ImagePSF


@dataclass(frozen=True)
class Observed:
    """Images of one band ``(n, npix, npix)``, padded to squares, and what is known of their cameras.

    Bad pixels are 0 and have an infinite variance; rows that are `missing` may hold anything.
    """

    images: NDArray[np.float32]
    variance: NDArray[np.float32]
    psf: Sequence[PSF]
    pixel_scale: NDArray[np.float64]
    gain: NDArray[np.float64]
    zero_point: NDArray[np.float64]
    level_error: NDArray[np.float64]
    psf_error: NDArray[np.float64]
    missing: NDArray[np.bool_]
    shape: tuple[int, int]  # before they were padded

    def signal_to_noise(self) -> NDArray[np.float64]:
        """Of whole images: the root of what their squares are above those of noise alone."""
        variance = self.variance + np.maximum(self.images, 0) / self.gain[:, None, None].astype(np.float32)
        good = np.isfinite(variance)
        excess = np.sum(self.images**2 / variance, axis=(1, 2), dtype=float) - good.sum(axis=(1, 2))
        return np.sqrt(np.maximum(excess, 0))


def observed(X, band: Band | None) -> Observed:
    """`X` with its cameras.

    Raises
    ------
    ValueError
        If it does not know its point-spread function or noise, is stretched, or has several bands.
    """
    cutouts = _as_cutouts(X, band)
    if cutouts.stretched:
        raise ValueError(
            "X is stretched, no longer linear in the flux, so no model can be compared with it. Leave out the "
            "Normalizer, or take Normalizer('scale')."
        )
    n, height, width = cutouts.shape[:3]
    if cutouts.ndim == 4 and cutouts.shape[3] != 1:
        raise ValueError(f"X has {cutouts.shape[3]} channels; expected images of one band to refine.")
    unknown = [name for name in ("psf", "noise") if getattr(cutouts, name) is None]
    if unknown:
        raise ValueError(
            f"X does not know its {' and '.join(unknown)}; expected Cutouts(images, psf=…, noise=…), or arrays with "
            "band=Band(…) given to RefinedRegressor."
        )
    if cutouts.pixel_scale is None and not isinstance(cutouts.psf, np.ndarray):
        raise ValueError(
            "psf is an object, whose width is in arcsec, but pixel_scale is not known; pass pixel_scale=."
        )
    images = np.asarray(cutouts, dtype=np.float32).reshape(n, height, width)
    noise = _noise(cutouts, n, height, width)
    good = np.isfinite(images) & np.isfinite(noise)
    if (noise[good] <= 0).any():
        raise ValueError(
            "noise is 0 or less in some pixels; expected it above 0, as images are compared in units of it."
        )
    level = np.sqrt(_mean_square(noise, good))
    scale, known = _numbers(cutouts.pixel_scale, n, 1.0), _known_psf(cutouts.psf, n)
    missing = ~good.any(axis=(1, 2)) | ~np.isfinite(scale) | ~known
    square = ((0, 0), (0, max(width - height, 0)), (0, max(height - width, 0)))
    return Observed(
        images=np.pad(np.where(good, images, 0), square),
        variance=np.pad(np.where(good, noise**2, np.inf).astype(np.float32), square, constant_values=np.inf),
        psf=_psfs(cutouts.psf, scale, n),
        pixel_scale=np.where(missing, 1.0, scale),
        gain=_finite(_numbers(cutouts.gain, n, np.inf), np.inf),
        zero_point=_finite(_numbers(cutouts.zero_point, n, 27.0), 27.0),
        level_error=level * _finite(_numbers(cutouts.sky_error, n, 0.1), 0.1),
        psf_error=_finite(_numbers(cutouts.psf_error, n, 0.02), 0.02),
        missing=missing,
        shape=(height, width),
    )


def _as_cutouts(X, band: Band | None) -> Cutouts:
    if band is None:
        if not isinstance(X, Cutouts):
            raise ValueError(
                f"X is {type(X).__name__} without a camera; expected Cutouts(images, psf=…, noise=…), or arrays with "
                "band=Band(…) given to RefinedRegressor."
            )
        return X
    camera = {name: getattr(band, name) for name in ("gain", "pixel_scale", "zero_point", "sky_error", "psf_error")}
    return Cutouts(np.asarray(X), psf=band.psf, noise=band.sky_noise, **camera)


def _noise(cutouts: Cutouts, n: int, height: int, width: int) -> NDArray[np.float32]:
    noise = np.asarray(cutouts.noise, dtype=np.float32)
    if noise.ndim > 2:
        return noise.reshape(n, height, width)
    return np.broadcast_to(noise.reshape(-1, 1, 1), (n, height, width))


def _mean_square(noise: NDArray, good: NDArray) -> NDArray[np.float64]:
    total = np.sum(np.where(good, noise, 0) ** 2, axis=(1, 2), dtype=float)
    return total / np.maximum(good.sum(axis=(1, 2)), 1)


def _numbers(values, n: int, default: float) -> NDArray[np.float64]:
    return np.array(np.broadcast_to(default if values is None else values, n), dtype=float)


def _finite(values: NDArray, default: float) -> NDArray[np.float64]:
    return np.where(np.isnan(values), default, values)


def _known_psf(psf, n: int) -> NDArray[np.bool_]:
    if not isinstance(psf, np.ndarray):
        return np.ones(n, dtype=bool)
    stamps = psf[None] if psf.ndim == 2 else psf
    return np.broadcast_to(np.isfinite(stamps).reshape(len(stamps), -1).all(axis=1), n)


def _psfs(psf, scale: NDArray, n: int) -> list:
    """A point-spread function for each galaxy; equal ones are one object."""
    if not isinstance(psf, np.ndarray):
        return list(psf) if isinstance(psf, list) else [psf] * n
    stamps = psf[None] if psf.ndim == 2 else psf
    stamps = np.broadcast_to(stamps, (n, *stamps.shape[1:])).reshape(n, *stamps.shape[1:3])
    made: dict[tuple, PSF | None] = {}
    found = []
    for stamp, side in zip(stamps, scale):
        key = stamp.tobytes(), float(side)
        if key not in made:
            made[key] = ImagePSF(stamp, side) if np.isfinite(stamp).all() and np.isfinite(side) else None
        found.append(made[key])
    return found
