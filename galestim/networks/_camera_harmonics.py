"""Circular harmonics of galaxies that are each seen by a camera of its own."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import nn

from ._camera import SCALES, Camera, camera_numbers, gaussian_scales, psf_growth, seen_through, sighted

ORDERS = (0, 1, 2, 4)  # a smooth centered galaxy is even; of the odd ones the dipole tells how well it is centered


class CameraHarmonics(nn.Module):
    """Images in units of their noise → sums with Gaussians times circular harmonics, and numbers of the camera.

    The Gaussians are as many times wider than the point-spread function for all galaxies, and lie about the galaxy's
    own center. Those of one order are made orthogonal, from the smallest on, as if pixels were small and the image
    without end; then white noise stays nearly white. The fluxes are besides divided by what the sky's error adds to
    their noise.

    Parameters
    ----------
    n_scales : int
    """

    def __init__(self, n_scales: int):
        super().__init__()
        self.n_scales = n_scales
        ratio = np.log(np.geomspace(*SCALES, n_scales))
        overlap = 1 / np.cosh(ratio[:, None] - ratio)
        for order in ORDERS:
            factor = np.linalg.cholesky(overlap ** (order + 1) + 1e-8 * np.eye(n_scales))
            self.register_buffer(f"whiten_{order}", torch.from_numpy(np.linalg.inv(factor).T), persistent=False)

    @torch.no_grad()
    def forward(self, x: torch.Tensor, camera: Camera) -> tuple[torch.Tensor, ...]:
        """Sums of each order and quadrupoles of the star ``(n, C, …)``; numbers ``(n, n_numbers)``."""
        sight = sighted(x, camera)
        scales = gaussian_scales(sight.look, self.n_scales)
        light, growth = seen_through(sight.images, sight.look.center, scales, 4), psf_growth(sight, scales)
        flux, *others = (self._white(part, order) for part, order in zip(_harmonics(light.sums, scales), ORDERS))
        flux = _without_sky(flux, self._white(light.total / _norm(0, scales), 0), camera.sky_error)
        numbers = camera_numbers(sight, camera, growth, light, scales)
        real, wide = x.dtype, x.dtype.to_complex()
        return flux.to(real), *(part.to(wide) for part in (*others, _quadrupole(growth.sums))), numbers.to(real)

    def _white(self, sums: torch.Tensor, order: int) -> torch.Tensor:
        matrix = getattr(self, f"whiten_{order}").to(sums.real.dtype)
        return torch.complex(sums.real @ matrix, sums.imag @ matrix) if sums.is_complex() else sums @ matrix


def _norm(order: int, scales: torch.Tensor) -> torch.Tensor:
    """Norm of a Gaussian times the harmonic of an order: ``(n, 1, n_scales)``, as of the noise of its sum."""
    return math.sqrt(math.pi * math.factorial(order)) * scales[:, None]


def _harmonics(sums: torch.Tensor, scales: torch.Tensor) -> list[torch.Tensor]:
    """Sums with (x - iy)^m of each order m, from those with powers of x and y; y runs down, against north."""
    m = sums
    fourth = torch.complex(m[..., 0, 4] - 6 * m[..., 2, 2] + m[..., 4, 0], -4 * (m[..., 1, 3] - m[..., 3, 1]))
    parts = [m[..., 0, 0], torch.complex(m[..., 0, 1], -m[..., 1, 0]), _quadrupole(m), fourth]
    return [part / _norm(order, scales) for order, part in zip(ORDERS, parts)]


def _quadrupole(sums: torch.Tensor) -> torch.Tensor:
    return torch.complex(sums[..., 0, 2] - sums[..., 2, 0], -2 * sums[..., 1, 1])


def _without_sky(flux: torch.Tensor, sky: torch.Tensor, error: torch.Tensor) -> torch.Tensor:
    """Fluxes ``(n, C, n_scales)`` whose covariance is 1 again where the level of the sky is in error.

    `sky` is what a sky of 1 adds to them. With a variance of e² it makes their covariance 1 + e² sky skyᵀ.
    """
    square = sky.square().sum(dim=2, keepdim=True).clamp(min=1e-12)
    added = error.to(flux)[:, None, None] ** 2 * square
    return flux - (1 - (1 + added).rsqrt()) * sky * (sky * flux).sum(dim=2, keepdim=True) / square
