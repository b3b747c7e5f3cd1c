"""What a camera hands out of a galaxy: a noisy image, a star that is not quite its own, and bad pixels."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils import check_random_state

from .._cutouts import Cutouts
from . import _masks
from ._priors import Uniform, values_of
from ._stars import factor_of_images, noisy_stars, told_stars, trimmed
from ._survey import Band

SIZES = Uniform(2.5, 5.0)  # half of the side of the image of a star, in widths


def observe(cameras, images: torch.Tensor, stars: torch.Tensor, band: Band, random_state) -> Cutouts:
    """`CameraPrior.observe`."""
    rng = np.random.default_rng(check_random_state(random_state).randint(2**31, size=4))
    n = len(images)
    noise = np.broadcast_to(band.sky_noise, n)
    level = noise * band.sky_error * rng.standard_normal(n)
    seen = band.add_noise(images, random_state=int(rng.integers(2**31)))
    seen = (seen + torch.as_tensor(level).to(seen)[:, None, None]).cpu().numpy()
    mask = _bad_pixels(cameras, images, rng)
    if mask is not None:
        _masks.fill(seen, mask, noise, rng)
    return Cutouts(
        seen,
        psf=_stars(cameras, stars, band, rng).cpu().numpy(),
        noise=noise * _factor(values_of(cameras.noise_error, n, rng), rng),
        gain=band.gain,
        mask=mask,
        pixel_scale=band.pixel_scale,
        zero_point=band.zero_point,
        sky_error=band.sky_error,
        psf_error=band.psf_error,
    )


def _bad_pixels(cameras, images: torch.Tensor, rng: np.random.Generator) -> NDArray[np.bool_] | None:
    pixels, mask = images.cpu().numpy(), None
    for name, draw in _masks.KINDS.items():
        entry = getattr(cameras, name)
        if hasattr(entry, "draw") or entry > 0:
            drawn = draw(pixels, values_of(entry, len(pixels), rng), rng)
            mask = drawn if mask is None else mask | drawn
    return mask


def _stars(cameras, stars: torch.Tensor, band: Band, rng: np.random.Generator) -> torch.Tensor:
    """Images of stars of a width that is not quite true, trimmed, with noise."""
    n = len(stars)
    factor = _factor(np.broadcast_to(band.psf_error, n), rng)
    fwhm = widths_of(band)
    half_size = np.maximum(
        np.rint(values_of(SIZES if cameras.stamp_size is None else cameras.stamp_size, n, rng) * fwhm), 2
    )
    included = np.array([psf.includes_pixel for psf in band.psf])  # type: ignore[union-attr]
    factor = factor_of_images(factor, fwhm, included)
    told = trimmed(told_stars(stars, torch.as_tensor(factor)), torch.as_tensor(half_size).to(stars))
    noise = values_of(cameras.stamp_noise, n, rng)
    if not noise.any():
        return told
    generator = torch.Generator(device=stars.device).manual_seed(int(rng.integers(2**31)))
    return noisy_stars(told, torch.as_tensor(noise), generator)


def _factor(error: NDArray, rng: np.random.Generator) -> NDArray[np.float64]:
    """What is handed out over what is true, for errors (n,) that are shares of it; from a half to three halves."""
    return np.clip(1 + error * rng.standard_normal(len(error)), 0.5, 1.5)


def widths_of(band: Band) -> NDArray:
    """Full widths at half maximum [pixels], one or (n,)."""
    psfs: list = [band.psf] if hasattr(band.psf, "transform") else list(band.psf)
    if not all(hasattr(psf, "fwhm") for psf in psfs):
        raise ValueError("psf has no fwhm; expected one that tells its full width at half maximum [arcsec].")
    return np.array([psf.fwhm for psf in psfs]) / band.pixel_scale
