"""Images of stars as they are handed out: of a width that is not quite true, trimmed and noisy."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

ORDER = 6  # of the interpolation between pixels of a star, to how many on each side it reaches
CLOSE = 1e-4  # pixels, at which the value is that of the pixel


def told_stars(stars: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    """Images of stars ``(n, m, m)`` that are `factor` (n,) times as wide, interpolated between their pixels."""
    matrix = _stretching(factor.to(stars), stars.shape[-1])
    return matrix @ stars @ matrix.mT / factor.to(stars)[:, None, None] ** 2


def factor_of_images(factor: NDArray, fwhm: NDArray, includes_pixel: NDArray[np.bool_]) -> NDArray:
    """Factor on the width of images of stars of width `fwhm` [pixels], whose pixel stays as it is, unless included.

    As the second moments of point-spread function and pixel add up.
    """
    variance = fwhm**2 * 12 / (8 * np.log(2))  # over that of a pixel
    return np.where(includes_pixel, factor, np.sqrt((variance * factor**2 + 1) / (variance + 1)))


def _stretching(factor: torch.Tensor, npix: int) -> torch.Tensor:
    """Matrices ``(n, npix, npix)`` that interpolate at pixels over `factor`, by a windowed sinc; constant beyond."""
    number = torch.arange(npix, device=factor.device)
    wanted = (number - (npix - 1) / 2)[:, None] / factor[:, None, None] + (npix - 1) / 2
    distance = wanted.clamp(0, npix - 1) - number
    distance = torch.where(distance.abs() < CLOSE, CLOSE, distance)
    window = (1 - (distance / ORDER) ** 2).clamp_(min=0).square_()
    signs = 1 - 2 * (number % 2)  # a sinc has the same sine at all pixels, with alternating signs
    kernel = window.mul_(signs).div_(distance)
    return kernel.div_(kernel.sum(-1, keepdim=True))


def trimmed(stars: torch.Tensor, half_size: torch.Tensor) -> torch.Tensor:
    """Stars that are zero beyond `half_size` (n,) pixels along rows and columns, and sum to 1."""
    inside = _inside(stars, half_size)
    stars = torch.where(inside, stars, 0)
    return stars / stars.sum((1, 2), keepdim=True)


def _inside(stars: torch.Tensor, half_size: torch.Tensor) -> torch.Tensor:
    pixel = (torch.arange(stars.shape[-1], device=stars.device) - (stars.shape[-1] - 1) / 2).abs()
    near = pixel <= half_size[:, None]
    return near[:, :, None] & near[:, None, :]


def noisy_stars(stars: torch.Tensor, noise: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Stars with the noise of their photons, `noise` (n,) of the brightest pixel; sums stay 1, and zeros zero."""
    peak = stars.amax((1, 2), keepdim=True)
    normal = torch.randn(stars.shape, generator=generator, dtype=stars.dtype, device=stars.device)
    error = (stars.clamp(min=0) * peak).sqrt() * normal * noise.to(stars)[:, None, None]
    error = error - stars * error.sum((1, 2), keepdim=True)
    return stars + error
