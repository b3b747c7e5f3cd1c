"""Resampling of images by affine maps, whatever a network that diverges makes of these."""

from __future__ import annotations

import torch
from torch import nn

FARTHEST = 1e4  # half image sides; all that lies beyond the edge is filled alike


def resampled(
    images: torch.Tensor, matrix: torch.Tensor, size: tuple[int, int], fill: str, *, align_corners: bool
) -> torch.Tensor:
    """Images ``(n, C, H, W)`` at the pixels of `size`, taken to the images by matrices ``(n, 2, 3)``; bilinear.

    NaN where the matrix is not finite. Torch itself may then read beyond the image, which ends the process; so it
    gets finite and bounded positions only.
    """
    finite = matrix.isfinite().all(dim=2).all(dim=1)[:, None, None, None]
    bounded = matrix.nan_to_num(nan=0.0).clamp(-FARTHEST, FARTHEST)
    with torch.autocast(images.device.type, enabled=False):  # a position needs more digits than bfloat16 has
        grid = nn.functional.affine_grid(bounded, [*images.shape[:2], *size], align_corners=align_corners)
        views = nn.functional.grid_sample(images, grid, padding_mode=fill, align_corners=align_corners)
    return torch.where(finite, views, torch.nan)
