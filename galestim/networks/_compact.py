"""Our own network: small enough for a CPU, and blind to how the galaxy happens to lie on the sky."""

from __future__ import annotations

import torch
from torch import nn

from ._d4 import ORDER, BlurPool, GroupBatchNorm, GroupConv, LiftingConv
from ._dropout import Dropout
from ._spec import NetworkSpec


class CompactCNN(NetworkSpec):
    """A residual network of 0.2 M weights whose output is the same for all eight flips and quarter turns.

    A galaxy's spin, size or flux does not depend on its position angle, so the network need not learn that: its
    convolutions are equivariant under D4 [1]_ and its features are averaged over orientations and pixels. Maps are
    batch-normalized and halved with an antialiasing filter [2]_ that keeps the symmetry on even and odd sizes.
    Every stage hands its averages to the head, so that coarse and fine structure both count.

    Parameters
    ----------
    widths : sequence of int, default=(4, 8, 16, 32)
        Features per orientation in each stage; a stage has half the resolution of the one before, and the first
        half that of the image. The maps have eight times as many channels.
    blocks : int, default=1
        Residual blocks of two convolutions per stage.
    hidden : int, default=64
        Units of the dense layer in front of the output.
    dropout : float, default=0.2
        Dropout rate in front of the dense layer and of the output.

    Notes
    -----
    The invariance is exact by construction: it holds to rounding, for any weights, and for images of any size and
    shape from 1×1 pixel up.

    References
    ----------
    .. [1] Cohen & Welling 2016, *Group equivariant convolutional networks*, ICML.
    .. [2] Zhang 2019, *Making convolutional networks shift-invariant again*, ICML.

    Examples
    --------
    >>> import torch
    >>> network = CompactCNN().build((64, 64, 3), n_outputs=2).eval()
    >>> images = torch.rand(5, 3, 64, 64)
    >>> torch.allclose(network(images), network(images.rot90(1, (2, 3)).flip(3)), atol=1e-5)
    True
    """

    def __init__(self, widths=(4, 8, 16, 32), blocks=1, hidden=64, dropout=0.2):
        self.widths = widths
        self.blocks = blocks
        self.hidden = hidden
        self.dropout = dropout

    def build(self, image_shape, n_outputs):
        return _CompactNetwork(image_shape[2], n_outputs, list(self.widths), self.blocks, self.hidden, self.dropout)


class _CompactNetwork(nn.Module):
    def __init__(self, n_channels, n_outputs, widths, blocks, hidden, dropout):
        super().__init__()
        self.stem = nn.Sequential(
            LiftingConv(n_channels, widths[0], 5),
            GroupBatchNorm(widths[0]),
            nn.SiLU(inplace=True),
            BlurPool(),
        )
        self.stages = nn.ModuleList(
            nn.Sequential(_entry(before, width), *(_ResidualBlock(width) for _ in range(blocks)))
            for before, width in zip([None, *widths], widths)
        )
        self.readouts = nn.ModuleList(nn.Sequential(GroupBatchNorm(width), nn.SiLU(inplace=True)) for width in widths)
        self.head = nn.Sequential(
            Dropout(dropout),
            nn.Linear(sum(widths), hidden),
            nn.SiLU(inplace=True),
            Dropout(dropout),
            nn.Linear(hidden, n_outputs),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        features = []
        for stage, readout in zip(self.stages, self.readouts):
            x = stage(x)
            features.append(_invariant(readout(x)))
        return self.head(torch.cat(features, dim=1))


def _entry(before: int | None, width: int) -> nn.Module:
    """Halve the map and change its width; the first stage takes the stem's map as it is."""
    return nn.Identity() if before is None else nn.Sequential(BlurPool(), GroupConv(before, width, 1))


class _ResidualBlock(nn.Module):
    """Two normalized convolutions beside the identity; starts as the identity, so depth costs nothing early on."""

    def __init__(self, width: int):
        super().__init__()
        last = GroupConv(width, width, 3)
        nn.init.zeros_(last.weight)
        self.branch = nn.Sequential(
            GroupBatchNorm(width),
            nn.SiLU(inplace=True),
            GroupConv(width, width, 3),
            GroupBatchNorm(width),
            nn.SiLU(inplace=True),
            last,
        )

    def forward(self, x):
        return x + self.branch(x)


def _invariant(x: torch.Tensor) -> torch.Tensor:
    """Mean over orientations and pixels, ``(n, 8·K, H, W)`` → ``(n, K)``."""
    return x.unflatten(1, (ORDER, -1)).mean(dim=(1, 3, 4))
