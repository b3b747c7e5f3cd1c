"""Noise that is correlated as the resampling of a mosaic makes it: its covariance, draws, and whitening.

White noise is convolved with a Gaussian of a given full width at half maximum, the `length`; a share `WHITE` of the
variance stays independent from pixel to pixel, as no resampling removes all of it. So the covariance of an image is
R ⊗ R (1 - WHITE) + WHITE, with R that of one axis, and is inverted exactly.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray

WHITE = 0.01  # share of the variance
SIGMAS = 3.5  # of the Gaussian, to which it reaches
TO_SIGMA = 1 / np.sqrt(8 * np.log(2))


def correlated(white: torch.Tensor, length: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Standard normal noise correlated over `length` (n,) pixels, whose independent part is `white` ``(n, h, w)``."""
    n, height, width = white.shape
    reach = int(np.ceil(SIGMAS * TO_SIGMA * float(length.max())))
    padded = n, height + 2 * reach, width + 2 * reach
    other = torch.randn(padded, generator=generator, dtype=white.dtype, device=white.device)
    smooth = _smoothing(length, height, reach) @ other @ _smoothing(length, width, reach).mT
    return smooth.mul_((1 - WHITE) ** 0.5).add_(white, alpha=WHITE**0.5)


def _smoothing(length: torch.Tensor, npix: int, reach: int) -> torch.Tensor:
    """Matrices ``(n, npix, npix + 2 reach)`` that convolve along one axis, and keep the variance."""
    taps = _taps(length, reach)
    n, n_taps = taps.shape
    padded = taps.new_zeros(n, npix, npix + n_taps)  # rows one longer than wanted, which shift the taps by one each
    padded[:, :, :n_taps] = taps[:, None]
    return padded.flatten(1)[:, : npix * (npix + n_taps - 1)].reshape(n, npix, npix + n_taps - 1)


def _taps(length: torch.Tensor, reach: int) -> torch.Tensor:
    """Kernels ``(n, 2 reach + 1)`` of unit norm."""
    position = torch.arange(-reach, reach + 1, device=length.device)
    sigma = (length * TO_SIGMA).clamp(min=1e-3)[:, None]
    taps = torch.exp(-0.5 * (position / sigma) ** 2) * (position.abs() <= SIGMAS * sigma + 0.5)
    return taps / taps.norm(dim=1, keepdim=True)


def covariance(length: float, npix: int) -> NDArray:
    """Correlation of the pixels of one axis, R ``(npix, npix)``, without the share of independent noise."""
    reach = int(np.ceil(SIGMAS * TO_SIGMA * length))
    matrix = _smoothing(torch.tensor([length], dtype=torch.float64), npix, reach)[0].numpy()
    return matrix @ matrix.T


@lru_cache(maxsize=64)
def _axes(length: float, npix: int) -> tuple[NDArray, NDArray]:
    """Eigenvectors of R in columns, and the standard deviations of their products ``(npix, npix)``."""
    values, vectors = np.linalg.eigh(covariance(length, npix))
    values = np.maximum(values, 0)
    return vectors, np.sqrt((1 - WHITE) * np.outer(values, values) + WHITE)


def whitened_pixels(length: float, mask: torch.Tensor) -> torch.Tensor:
    """Images of single pixels, those of `mask` ``(npix, npix)``, as `whitened` makes them: ``(m, npix²)``."""
    vectors, sigma = (torch.as_tensor(array) for array in _axes(length, len(mask)))
    row, column = mask.cpu().nonzero(as_tuple=True)
    return (vectors[row][:, :, None] * vectors[column][:, None, :] / sigma).flatten(1)


def whitened(slopes: torch.Tensor, lengths: NDArray) -> torch.Tensor:
    """Images ``(m, n, npix, npix)`` in which noise correlated over `lengths` (n,) would be white."""
    result = slopes.clone()
    for i in np.flatnonzero(lengths > 0):
        vectors, sigma = (torch.as_tensor(array).to(slopes) for array in _axes(float(lengths[i]), slopes.shape[-1]))
        result[:, i] = vectors.T @ slopes[:, i] @ vectors / sigma
    return result
