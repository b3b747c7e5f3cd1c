"""Convolutions that commute with the eight flips and quarter turns of an image (the group D4, or p4m).

A feature map carries eight orientation planes, ordered ``(orientation, feature)``. Turning the image by an element
of D4 turns each plane and permutes the eight, so their mean over orientations and pixels does not change at all.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import nn

ORDER = 8


def transform(images: torch.Tensor, element: int) -> torch.Tensor:
    """Act with one of D4's eight elements on the last two axes: from 4 up a left-right flip, then quarter turns."""
    flipped = images.flip(-1) if element >= 4 else images
    return torch.rot90(flipped, element % 4, (-2, -1))


def _left_quotients() -> torch.Tensor:
    """``table[g, h]``, the element g⁻¹h; read off the action on a square without symmetry."""
    square = torch.arange(9, device="cpu").reshape(3, 3)
    views = [transform(square, element) for element in range(ORDER)]
    number = {tuple(view.flatten().tolist()): element for element, view in enumerate(views)}
    product = [[number[tuple(transform(view, g).flatten().tolist())] for view in views] for g in range(ORDER)]
    return torch.tensor(product, device="cpu").argsort(dim=1)


@lru_cache(maxsize=16)
def _kernel_index(kernel_size: int) -> torch.Tensor:
    """Index into an ``(8, k, k)`` kernel of each entry of its eight transformed, permuted copies."""
    pixels = torch.arange(ORDER * kernel_size**2, device="cpu").reshape(ORDER, kernel_size, kernel_size)
    copies = [transform(pixels[quotient], g) for g, quotient in enumerate(_left_quotients())]
    return torch.stack(copies)


class LiftingConv(nn.Module):
    """A convolution from an image to eight orientation planes: each kernel is applied in its eight positions.

    Source: Cohen & Welling 2016, *Group equivariant convolutional networks*, section 6.1. The odd kernel keeps the
    size.
    """

    def __init__(self, n_inputs: int, n_outputs: int, kernel_size: int):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(n_outputs, n_inputs, kernel_size, kernel_size))
        nn.init.kaiming_normal_(self.weight)

    def forward(self, x):
        return _same_size(x, torch.cat([transform(self.weight, element) for element in range(ORDER)]))


def _same_size(x: torch.Tensor, kernels: torch.Tensor) -> torch.Tensor:
    """Convolve, with zeros beyond the edges; taps that would meet nothing else on a small map are cut off."""
    reach = [min(k // 2, side - 1) for k, side in zip(kernels.shape[2:], x.shape[2:])]
    rows, columns = (slice(k // 2 - r, k // 2 + r + 1) for k, r in zip(kernels.shape[2:], reach))
    return nn.functional.conv2d(x, kernels[:, :, rows, columns], padding=tuple(reach))


class HalvingLift(LiftingConv):
    """A `LiftingConv` and a `BlurPool` in one strided convolution, which commutes with D4 likewise.

    Beyond the edge lies zero. Parameters are those of `LiftingConv`.
    """

    def forward(self, x):
        kernels = torch.cat([transform(self.weight, element) for element in range(ORDER)])
        for axis, side in ((2, x.shape[2]), (3, x.shape[3])):
            kernels = _blurred(kernels, axis, _taps(side).to(x))
        steps = tuple(min(2, side) for side in x.shape[2:])
        return nn.functional.conv2d(x, kernels, stride=steps, padding=tuple((k - 1) // 2 for k in kernels.shape[2:]))


def _blurred(kernels: torch.Tensor, axis: int, taps: torch.Tensor) -> torch.Tensor:
    """Kernels convolved with `taps` along an axis, longer by all taps but one."""
    copies = [nn.functional.pad(kernels, _one_axis(axis, i, len(taps) - 1 - i)) for i in range(len(taps))]
    return torch.stack(copies).mul(taps.reshape(-1, 1, 1, 1, 1)).sum(0)


def _one_axis(axis: int, before: int, after: int) -> tuple[int, ...]:
    return (before, after) if axis == 3 else (0, 0, before, after)


class GroupConv(nn.Module):
    """A convolution between maps of eight orientation planes that commutes with D4, with an eighth of the weights.

    Source: Cohen & Welling 2016, equation 11: plane g of the output sums over planes h of the input, convolved with
    kernel g⁻¹h turned by g. `n_inputs` and `n_outputs` are features per orientation; the odd kernel keeps the map's
    size.
    """

    index: torch.Tensor

    def __init__(self, n_inputs: int, n_outputs: int, kernel_size: int):
        super().__init__()
        self.kernel_size = kernel_size
        self.weight = nn.Parameter(torch.empty(n_outputs, n_inputs, ORDER * kernel_size**2))
        nn.init.normal_(self.weight, std=math.sqrt(2 / (n_inputs * ORDER * kernel_size**2)))
        self.register_buffer("index", _kernel_index(kernel_size).flatten(), persistent=False)

    def forward(self, x):
        n_outputs, n_inputs, _ = self.weight.shape
        k = self.kernel_size
        kernels = self.weight.index_select(2, self.index).reshape(n_outputs, n_inputs, ORDER, ORDER, k, k)
        kernels = kernels.permute(2, 0, 3, 1, 4, 5).reshape(ORDER * n_outputs, ORDER * n_inputs, k, k)
        return _same_size(x, kernels)


class GroupBatchNorm(nn.BatchNorm2d):
    """Batch normalization that shares its statistics among the eight orientation planes."""

    def forward(self, x):
        n, _, height, width = x.shape
        planes = x.reshape(n * ORDER, self.num_features, height, width)
        return super().forward(planes).reshape(x.shape)


class GroupAffine(nn.Module):
    """A scale and an offset per feature, shared among the eight orientation planes; nothing is normalized.

    Parameters
    ----------
    n_features : int
        Features per orientation.
    """

    def __init__(self, n_features: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(n_features))
        self.bias = nn.Parameter(torch.zeros(n_features))

    def forward(self, x):
        weight, bias = (values.repeat(ORDER)[:, None, None] for values in (self.weight, self.bias))
        return torch.addcmul(bias, x, weight)


class BlurPool(nn.Module):
    """Halve a map without aliasing and without preferring a side.

    A binomial filter, then every second pixel (Zhang 2019, *Making convolutional networks shift-invariant again*).
    The filter has four taps along an even side and three along an odd one, so that the kept samples lie symmetric
    about the middle and flips and turns commute with the pooling. A side of N pixels becomes ⌈N/2⌉.
    """

    def forward(self, x):
        rows, columns = (_halving(side).to(x) for side in x.shape[2:])
        return rows @ (x @ columns.mT)


def _taps(side: int) -> torch.Tensor:
    """Filter along an axis of `side` pixels; a single pixel is left alone."""
    taps = [1.0] if side == 1 else [1.0, 3.0, 3.0, 1.0] if side % 2 == 0 else [1.0, 2.0, 1.0]
    return torch.tensor(taps, dtype=torch.float64) / sum(taps)


@lru_cache(maxsize=64)
def _halving(side: int) -> torch.Tensor:
    """Matrix ``(⌈side/2⌉, side)`` that filters and halves an axis; on a CPU quicker than a depthwise convolution."""
    matrix = torch.zeros((side + 1) // 2, side, dtype=torch.float64)
    for row in range(len(matrix)):
        for number, weight in enumerate(_taps(side).tolist()):
            pixel = 2 * row + number - int(side > 1)  # beyond the edge lies the edge pixel
            matrix[row, min(max(pixel, 0), side - 1)] += weight
    return matrix
