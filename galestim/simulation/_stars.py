"""Images of stars as they are handed out: of a width that is not quite true, trimmed and noisy."""

from __future__ import annotations

import torch

ORDER = 6  # of the interpolation between pixels of a star


def told_stars(stars: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    """Images of stars ``(n, m, m)`` that are `factor` (n,) times as wide, interpolated between their pixels."""
    matrix = _stretching(factor.to(stars), stars.shape[-1])
    return matrix @ stars @ matrix.mT / factor.to(stars)[:, None, None] ** 2


def _stretching(factor: torch.Tensor, npix: int) -> torch.Tensor:
    """Matrices ``(n, npix, npix)`` that interpolate at pixels over `factor`, by Lanczos' kernel."""
    pixel = torch.arange(npix, device=factor.device) - (npix - 1) / 2
    distance = pixel[:, None] / factor[:, None, None] - pixel
    kernel = torch.sinc(distance) * torch.sinc(distance / ORDER) * (distance.abs() < ORDER)
    return kernel / kernel.sum(-1, keepdim=True).clamp(min=0.5)


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
