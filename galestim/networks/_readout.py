"""Readout of a feature map in apertures about the center, invariant under flips and quarter turns."""

from __future__ import annotations

import torch
from torch import nn

from ._d4 import ORDER

APERTURES = (0.06, 0.12, 0.24, 0.48)


class RadialReadout(nn.Module):
    """Average each feature over orientations, and over Gaussian apertures about the center of the image.

    Weights that depend on the distance to the center alone keep the symmetry, and let the network tell the galaxy
    in the middle from its neighbors and read off how its light grows with radius, as aperture photometry does.
    Apertures have widths σ of 0.06, 0.12, 0.24 and 0.48 image sides; a fifth is the whole map.
    """

    @staticmethod
    def n_features(width: int) -> int:
        """Numbers that come out of `width` features."""
        return width * (len(APERTURES) + 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``(n, 8·K, H, W)`` → ``(n, 5·K)``."""
        planes = x.unflatten(1, (ORDER, -1)).mean(dim=1)
        rows, columns = (_windows(side, x) for side in planes.shape[2:])
        return torch.einsum("nkyx,ay,ax->nka", planes, rows, columns).flatten(1)


def _windows(side: int, like: torch.Tensor) -> torch.Tensor:
    """Normalized weights along an axis of `side` pixels, ``(5, side)``; a Gaussian in the plane is separable."""
    position = (torch.arange(side, dtype=torch.float64) - (side - 1) / 2) / side
    width = torch.tensor([*APERTURES, torch.inf], dtype=torch.float64)[:, None]
    weights = torch.exp(-0.5 * (position / width) ** 2)
    return (weights / weights.sum(dim=1, keepdim=True)).to(like)
