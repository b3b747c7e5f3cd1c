"""What the measure of a galaxy loses to bad pixels, and to neighbors that are not known exactly."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from ._correlation import whitened_pixels


def without_masked(pixels: torch.Tensor, mask: torch.Tensor | None, lengths: NDArray) -> torch.Tensor:
    """Whitened images ``(m, n, h, w)`` without what the pixels of `mask` ``(n, h, w)`` tell.

    Where noise is correlated over `lengths` (n,), what is left out is all that lies along the whitened images of bad
    pixels: as if each had a parameter of its own. That is the same as the covariance matrix of the good ones alone.
    """
    if mask is None:
        return pixels
    kept = pixels * ~mask
    for i in np.flatnonzero((lengths > 0) & mask.any((1, 2)).cpu().numpy() & ~mask.all((1, 2)).cpu().numpy()):
        bad, told = whitened_pixels(float(lengths[i]), mask[i]).to(pixels), pixels[:, i].flatten(1)
        shares = torch.cholesky_solve(bad @ told.mT, torch.linalg.cholesky(bad @ bad.mT))
        kept[:, i] = (told - shares.mT @ bad).unflatten(1, mask.shape[1:])
    return kept


def lost_to_neighbors(
    slopes: torch.Tensor, of_neighbors: torch.Tensor, galaxy: NDArray, precision: torch.Tensor
) -> torch.Tensor:
    """Fisher information ``(n, p, p)`` that is lost when the parameters of neighbors are marginalized.

    Of whitened derivatives by p parameters of the images ``(p, n, h, w)`` and by q of each neighbor ``(q, m, h, w)``,
    which are in the images `galaxy` (m,) and known before to `precision` ``(m, q, q)``. With the blocks F of the
    Fisher matrix of galaxy (g) and neighbors (n) together, it is F_gn F_nn⁻¹ F_ng.
    """
    lost = slopes.new_zeros(slopes.shape[1], len(slopes), len(slopes))
    for i in np.unique(galaxy):
        these = torch.as_tensor(np.flatnonzero(galaxy == i))
        own, others = slopes[:, i].flatten(1), of_neighbors[:, these].transpose(0, 1).flatten(2).flatten(0, 1)
        fisher, shared = others @ others.mT + torch.block_diag(*precision[these]), others @ own.mT
        scale = fisher.diagonal().sqrt()
        factor, failed = torch.linalg.cholesky_ex(fisher / scale / scale[:, None])
        if failed or not bool((scale > 0).all()):
            raise ValueError(f"nothing constrains all parameters of the neighbors of galaxy {i}; pass their prior.")
        half = torch.linalg.solve_triangular(factor, shared / scale[:, None], upper=False)
        lost[i] = half.mT @ half
    return lost
