"""Guesses for bad pixels: the opposite pixel of the galaxy, else the mean at the same distance from its center."""

from __future__ import annotations

import torch

from ._moments import centroid


def filled(images: torch.Tensor, good: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Images ``(n, C, H, W)`` whose bad pixels hold a guess, which depends on the `good` ones ``(n, 1, H, W)`` alone.

    A galaxy of bulge and disk looks the same when it is turned by 180 degrees, so the opposite pixel is an unbiased
    guess, if noisy. It is that about the galaxy's own center, found with the guesses about the image's. `scale` (n,)
    is the σ of the point-spread function [pixels].
    """
    rows = (~good).flatten(1).any(dim=1).nonzero()[:, 0]
    if not len(rows):
        return images
    some, known = torch.where(good[rows], images[rows], 0), good[rows]
    center = centroid(_guessed(some, known, images.new_zeros(len(rows), 2)).mean(dim=1), scale[rows])
    return images.index_copy(0, rows, _guessed(some, known, center))


def _guessed(images: torch.Tensor, good: torch.Tensor, center: torch.Tensor) -> torch.Tensor:
    opposite, known = _opposite(images, good, center)
    return torch.where(good, images, torch.where(known, opposite, _at_same_distance(images, good, center)))


def _opposite(images: torch.Tensor, good: torch.Tensor, center: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Images turned by 180 degrees about their centers to half a pixel, and where these are known."""
    height, width = images.shape[2:]
    across, down = (2 * center).round().long().unbind(dim=1)
    x = width - 1 + across[:, None] - torch.arange(width, device=images.device)
    y = height - 1 + down[:, None] - torch.arange(height, device=images.device)
    inside = ((y >= 0) & (y < height))[:, :, None] & ((x >= 0) & (x < width))[:, None]
    where = y.clamp(0, height - 1)[:, :, None] * width + x.clamp(0, width - 1)[:, None]
    turned = images.flatten(2).gather(2, where.flatten(1)[:, None].expand(-1, images.shape[1], -1))
    known = good.flatten(2).gather(2, where.flatten(1)[:, None]).unflatten(2, (height, width))
    return turned.unflatten(2, (height, width)), known & inside[:, None]


def _at_same_distance(images: torch.Tensor, good: torch.Tensor, center: torch.Tensor) -> torch.Tensor:
    """Mean of the good pixels in rings of one pixel about the center; 0 where a ring has none."""
    height, width = images.shape[2:]
    x = torch.arange(width, device=images.device) - (width - 1) / 2 - center[:, 0, None]
    y = torch.arange(height, device=images.device) - (height - 1) / 2 - center[:, 1, None]
    ring = (x[:, None] ** 2 + y[:, :, None] ** 2).sqrt().long().flatten(1)[:, None]
    n_rings = int(ring.max()) + 1
    weight = good.to(images).flatten(2)
    count = images.new_zeros(len(images), 1, n_rings).scatter_add(2, ring, weight)
    each = ring.expand(-1, images.shape[1], -1)
    light = images.new_zeros(len(images), images.shape[1], n_rings).scatter_add(2, each, images.flatten(2) * weight)
    return (light / count.clamp(min=1)).gather(2, each).unflatten(2, (height, width))
