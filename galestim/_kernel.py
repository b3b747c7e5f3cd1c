"""Kernel densities of weighted draws, as smoothed histograms."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dct, idct

_FACTORS = {1: 0.9, 2: 1.0}
"""Of the bandwidth, by number of dimensions: Silverman 1986, Density Estimation, equations 3.31 and 4.14."""


def bandwidth(std: NDArray, quartiles: NDArray, weights: NDArray, n_dimensions: int = 1) -> NDArray[np.float64]:
    """Silverman's bandwidth (n,), in the units of the draws, for kernels of one or two dimensions.

    Where the `quartiles` ``(2, n)`` are near, a few draws far out do not widen the kernel. Of draws with `weights` w,
    which sum to 1, 1 / Σ w² count.
    """
    spread = np.minimum(std, (quartiles[1] - quartiles[0]) / 1.349)
    return _FACTORS[n_dimensions] * spread * (weights**2).sum(axis=-1) ** (1 / (n_dimensions + 4))


def smoothed(counts: NDArray, width: NDArray) -> NDArray[np.float64]:
    """Histograms ``(..., n_cells)``, convolved with Gaussians of standard deviation `width` ``(...)`` [cells].

    They are mirrored at their ends, so that bounded draws do not leak out.
    """
    frequency = np.pi * np.arange(counts.shape[-1]) / counts.shape[-1]
    damping = np.exp(-0.5 * (frequency * np.asarray(width)[..., None]) ** 2)
    return np.maximum(idct(dct(counts) * damping), 0)
