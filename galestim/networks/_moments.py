"""Gaussian-weighted moments of images: sums of the light times powers of the position, and what is measured by them.

The weight exp(-r²/2s²) is a product of one factor along the rows and one along the columns, and so are the powers. So
a galaxy may have scales s and a center of its own at the price of two products of matrices.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch

FAINT = 4.0  # signal-to-noise ratio below which a size or center is not believed
SMALLEST, LARGEST = 0.7, 12.0  # sizes of galaxies, in units of that of their point-spread function
FARTHEST = 3.0  # pixels that a galaxy's center may lie off that of its image
HALF_LIGHT = 1.1774  # radius that holds half of a Gaussian's light, in units of its σ


class Moments(NamedTuple):
    """Weighted moments of images."""

    sums: torch.Tensor  # (n, n_scales, powers + 1, powers + 1), at (a, b): Σ I (y/s)^a (x/s)^b exp(-r²/2s²)
    total: torch.Tensor  # (n, n_scales), Σ exp(-r²/2s²) over the image: what it gives of a sky of one


def moments(images: torch.Tensor, center: torch.Tensor, scales: torch.Tensor, powers: int) -> Moments:
    """Moments of images ``(n, H, W)`` about a `center` ``(n, 2)`` each, as (x, y) from that of the image [pixels].

    `scales` ``(n, n_scales)`` are the s [pixels], `powers` is the highest power of a coordinate.
    """
    across, down = (_weights(size, center[:, axis], scales, powers) for axis, size in enumerate(images.shape[:0:-1]))
    n, n_scales, n_powers, width = across.shape
    rows = torch.bmm(across.reshape(n, n_scales * n_powers, width), images.transpose(1, 2))
    sums = down @ rows.reshape(n, n_scales, n_powers, -1).transpose(2, 3)
    return Moments(sums, down[:, :, 0].sum(-1) * across[:, :, 0].sum(-1))


def _weights(size: int, center: torch.Tensor, scales: torch.Tensor, powers: int) -> torch.Tensor:
    """(x/s)^a exp(-x²/2s²) along one axis: ``(n, n_scales, powers + 1, size)``."""
    pixel = torch.arange(size, dtype=center.dtype, device=center.device) - (size - 1) / 2
    position = (pixel - center[:, None])[:, None] / scales[:, :, None]
    weights = position.new_empty(*scales.shape, powers + 1, size)
    torch.exp(-0.5 * position * position, out=weights[:, :, 0])
    for power in range(powers):
        torch.mul(weights[:, :, power], position, out=weights[:, :, power + 1])
    return weights


def _about(images: torch.Tensor, center: torch.Tensor, scale: torch.Tensor, powers: int) -> torch.Tensor:
    """Sums ``(n, powers + 1, powers + 1)`` at one scale ``(n,)`` for each image."""
    return moments(images, center, scale[:, None], powers).sums[:, 0]


def psf_scale(psf: torch.Tensor, n_steps: int = 6) -> torch.Tensor:
    """Adaptive size σ ``(n,)`` [pixels] of point-spread functions ``(n, h, w)``, about their stamps' centers.

    That of the round Gaussian whose weighted second moment is its own [1]_: the wings, which stamps cut off at
    different places, hardly count.

    References
    ----------
    .. [1] Bernstein & Jarvis 2002, AJ 123, 583, section 3.1.
    """
    center, scale = psf.new_zeros(len(psf), 2), psf.new_full((len(psf),), 2.0)
    for _ in range(n_steps):
        sums = _about(psf, center, scale, 2)
        square = (sums[:, 0, 2] + sums[:, 2, 0]) / sums[:, 0, 0].clamp(min=1e-6) * scale**2
        scale = square.clamp(0.09, 400.0).sqrt()
    return scale


def centroid(images: torch.Tensor, scale: torch.Tensor, n_steps: int = 3) -> torch.Tensor:
    """Centers ``(n, 2)`` of galaxies, as (x, y) from that of the image [pixels]; images in units of their noise.

    The light is weighted by a Gaussian of twice the `scale` ``(n,)`` of the point-spread function; faint galaxies
    stay where they are.
    """
    scale = 2 * scale
    noise = math.sqrt(math.pi) * scale
    center = images.new_zeros(len(images), 2)
    for _ in range(n_steps):
        sums = _about(images, center, scale, 1)
        flux = sums[:, 0, 0]
        step = 2 * scale * flux / (flux**2 + (3 * noise) ** 2)
        moved = torch.stack([sums[:, 0, 1], sums[:, 1, 0]], dim=1) * step[:, None]
        center = (center + moved.clamp(-1.5, 1.5)).clamp(-FARTHEST, FARTHEST)
    return center


class Size(NamedTuple):
    """A rough size and flux of galaxies, by adaptive moments."""

    scale: torch.Tensor  # (n,), σ [pixels] of the round Gaussian that the galaxy is most like, as it is seen
    radius: torch.Tensor  # (n,), its half-light radius [pixels] without the point-spread function; above 0
    flux: torch.Tensor  # (n,), its flux in units of the noise of a pixel; above 0


def rough_size(images: torch.Tensor, center: torch.Tensor, psf: torch.Tensor, n_steps: int = 6) -> Size:
    """Size and flux of galaxies in images ``(n, H, W)`` in units of their noise; `psf` is the `psf_scale`."""
    usual, scale = 1.5 * psf, 1.5 * psf
    largest = torch.minimum(LARGEST * psf, torch.full_like(psf, 0.25 * min(images.shape[1:])))
    for _ in range(n_steps):
        sums, noise = _about(images, center, scale, 2), math.sqrt(math.pi) * scale
        flux = sums[:, 0, 0]
        signal = (flux / noise).clamp(min=0) ** 2
        trust = signal / (signal + FAINT**2)
        square = (sums[:, 0, 2] + sums[:, 2, 0]) / torch.maximum(flux, 0.1 * noise) * scale**2
        scale = (trust * square + (1 - trust) * usual**2).clamp(min=1e-3).sqrt()
        scale = torch.minimum(torch.maximum(scale, SMALLEST * psf), largest)
    flux, noise = 2 * _about(images, center, scale, 0)[:, 0, 0], 2 * math.sqrt(math.pi) * scale
    radius = HALF_LIGHT * ((scale**2 - psf**2).clamp(min=0) + (0.3 * psf) ** 2).sqrt()
    return Size(scale, radius, (flux.clamp(min=0) ** 2 + noise**2).sqrt())
