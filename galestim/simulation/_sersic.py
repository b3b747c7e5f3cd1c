"""Sérsic profiles: Fourier transforms as polynomials, and the light within a radius."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from numpy.polynomial import chebyshev
from numpy.typing import NDArray
from scipy.special import gammainc, gammaincinv, loggamma

MIN_INDEX, MAX_INDEX = 0.5, 6.2  # below 0.5 (a Gaussian) the transform is no longer positive
DEGREE, N_NODES, N_SAMPLES, N_ROWS = 20, 64, 200, 32_769
NEGLIGIBLE = 1e-5  # transforms are fitted relative to themselves above, absolutely below


def half_light_scale(sersic_index: NDArray | float) -> NDArray:
    """The b in exp(-b r^(1/n)), with which r is in half-light radii (Ciotti & Bertin 1999)."""
    return gammaincinv(2 * np.asarray(sersic_index, dtype=float), 0.5)


def enclosed_light(radius: NDArray, sersic_index: NDArray) -> NDArray:
    """Share of the light inside `radius` [half-light radii] (Graham & Driver 2005, equation 2)."""
    return gammainc(2 * sersic_index, half_light_scale(sersic_index) * radius ** (1 / sersic_index))


def sersic_transform(wave_number: NDArray, sersic_index: float) -> NDArray:
    """Fourier transform of a round profile of half-light radius 1 and flux 1, to 1e-12.

    As an inverse Mellin transform: those of the profile and of the Bessel function J0 are Gamma functions, their
    product falls off exponentially along Re(s) = c, and so the trapezoidal rule converges exponentially.
    """
    n, b, step = sersic_index, half_light_scale(sersic_index), 0.15
    s = 0.9 + 1j * step * np.arange(60 / step)
    bessel = (s - 1) * np.log(2) + loggamma(s / 2) - loggamma(1 - s / 2)
    profile = loggamma(n * (2 - s)) - loggamma(2 * n) + n * np.log(b) * s
    weights = np.exp(bessel + profile) * step / np.pi  # the other half of the line is the conjugate
    weights[0] /= 2
    return (np.exp(-np.log(wave_number)[:, None] * s) @ weights).real


def _scales(n, module):
    """The k₀ about which a transform leaves 1, and the range of ln(1 + k²/k₀²) in which it is fitted.

    Both are smooth in n. Beyond, the transform is taken as constant; that of a Gaussian ends early. `module` is
    numpy or torch.
    """
    turnover = 3.5 * module.exp(-n)
    largest = 6 + 300 * (1 - module.exp(-((abs(n - MIN_INDEX) / 0.6) ** 1.5)))
    return turnover, module.log1p((largest / turnover) ** 2)


@lru_cache(maxsize=4)
def _coefficients(device) -> torch.Tensor:
    """Coefficients of ln F, a polynomial in ln(1 + k²/k₀²): a table, evenly spaced in the angle of ln n."""
    angles = np.pi * (np.arange(N_NODES) + 0.5) / N_NODES
    rows = [_fit(MIN_INDEX * (MAX_INDEX / MIN_INDEX) ** ((u + 1) / 2)) for u in np.cos(angles)]
    of_order = np.linalg.solve(chebyshev.chebvander(np.cos(angles), N_NODES - 1), np.array(rows))
    table = np.cos(np.outer(np.linspace(0, np.pi, N_ROWS), np.arange(N_NODES))) @ of_order
    return torch.as_tensor(table, device=device)


def _fit(n: float) -> NDArray:
    """Coefficients of ln F at one Sérsic index."""
    x = np.cos(np.pi * (np.arange(N_SAMPLES) + 0.5) / N_SAMPLES)
    turnover, span = _scales(n, np)
    k = turnover * np.sqrt(np.expm1((x + 1) / 2 * span))
    transform = np.maximum(sersic_transform(k, n), 1e-12)
    weight = transform / (transform + NEGLIGIBLE)
    fitted = np.linalg.lstsq(chebyshev.chebvander(x, DEGREE) * weight[:, None], np.log(transform) * weight)[0]
    return chebyshev.cheb2poly(fitted)


class SersicTransforms:
    """Fourier transforms of n round profiles of half-light radius 1 and flux 1: ln F is a polynomial of degree 20.

    Its variable is ln(1 + k²/k₀²), in which an exponential disk is nearly a line. The coefficients are fitted once
    to `sersic_transform`; F is then right to 5e-6 for n from 0.8, and to 1e-4 down to 0.5.
    """

    def __init__(self, sersic_index: torch.Tensor):
        n, table = sersic_index.double(), _coefficients(sersic_index.device)
        position = 2 * torch.log(n / MIN_INDEX) / np.log(MAX_INDEX / MIN_INDEX) - 1
        place = torch.arccos(position.clamp(-1 + 1e-9, 1 - 1e-9)) * ((N_ROWS - 1) / np.pi)
        row = place.long().clamp(0, N_ROWS - 2)  # that of NaN is any
        coefficients = torch.lerp(table[row], table[row + 1], (place - row)[:, None])
        self.coefficients = coefficients.to(sersic_index)[:, :, None, None]
        turnover, span = _scales(n, torch)
        self.turnover = turnover.to(sersic_index)
        self.scale = (2 / span).to(sersic_index)[:, None, None]

    def __getitem__(self, rows: slice | torch.Tensor) -> SersicTransforms:
        """Those of some galaxies."""
        chosen = object.__new__(SersicTransforms)
        for name, values in vars(self).items():
            setattr(chosen, name, values[rows])
        return chosen

    def __call__(self, wave_number_squared: torch.Tensor) -> torch.Tensor:
        """F at k² (n, h, w) in units of k₀²."""
        x = (torch.log1p(wave_number_squared) * self.scale - 1).clamp(max=1)
        log_transform = self.coefficients[:, DEGREE]
        for i in reversed(range(DEGREE)):
            log_transform = torch.addcmul(self.coefficients[:, i], log_transform, x)
        return torch.exp(log_transform)


def elliptical(shapes, name: str, radius: torch.Tensor, pixel_scale: float | torch.Tensor):
    """The profiles of n bulges or disks, and k² = xx kx² + xy kx ky + yy ky² in which they are round.

    That k² is the one of `SersicTransforms`; kx and ky are in radians per pixel, radii and pixels in one unit. North
    is against the rows, east against the columns: the major axis is along (x, y) = (sin, cos).
    """
    profile = SersicTransforms(shapes[f"{name}_sersic_index"])
    angle, axis_ratio = torch.deg2rad(shapes[f"{name}_position_angle"]), shapes[f"{name}_axis_ratio"]
    scale = (radius / pixel_scale / profile.turnover) ** 2
    major, minor, sin, cos = scale / axis_ratio, scale * axis_ratio, torch.sin(angle), torch.cos(angle)
    return (
        profile,
        major * sin**2 + minor * cos**2,
        2 * (major - minor) * sin * cos,
        major * cos**2 + minor * sin**2,
    )
