"""`CompactCNN`, a small residual network that is invariant under flips and quarter turns of the image."""

from __future__ import annotations

import torch
from torch import nn

from ._d4 import ORDER, BlurPool, GroupAffine, GroupBatchNorm, GroupConv, HalvingLift, LiftingConv
from ._dropout import Dropout
from ._readout import RadialReadout
from ._spec import NetworkSpec
from ._split import SplitNetwork, with_context

NORMS: dict[str, type[nn.Module]] = {"batch": GroupBatchNorm, "none": GroupAffine}


class CompactCNN(NetworkSpec):
    """A residual network of 0.2 M weights whose output is the same for all eight flips and quarter turns.

    A galaxy's spin, size or flux does not depend on its position angle, so the network need not learn that: its
    convolutions are equivariant under D4 [1]_ and its features are averaged over orientations and pixels. Maps are
    batch-normalized and halved with an antialiasing filter [2]_ that keeps the symmetry on even and odd sizes.
    Every stage hands its averages to the head, so that coarse and fine structure both count.

    .. versionadded:: 0.1.0

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
    readout : {"mean", "radial"}, default="mean"
        How a stage's map becomes numbers: its mean, for images that are all galaxy, or also its means in apertures
        about the center, which tell the galaxy from its neighbors and its size from its brightness.
    stem : {"full", "strided"}, default="full"
        Whether the first features are made nonlinear on all pixels, or filtered and halved in one step, which takes
        half of the time.
    norm : {"batch", "none"}, default="batch"
        Whether maps are normalized by their batch's mean and spread, or not at all. The batch is no part of a
        galaxy's image: a likelihood that is trained with it gets too wide.

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

    takes_context = True
    sees_directions = False

    def __init__(
        self, widths=(4, 8, 16, 32), blocks=1, hidden=64, dropout=0.2, readout="mean", stem="full", norm="batch"
    ):
        self.widths = widths
        self.blocks = blocks
        self.hidden = hidden
        self.dropout = dropout
        self.readout = readout
        self.stem = stem
        self.norm = norm

    def build(self, image_shape, n_outputs, n_context=0):
        if self.readout not in ("mean", "radial"):
            raise ValueError(f"readout={self.readout!r}; expected 'mean' or 'radial'.")
        if self.stem not in ("full", "strided"):
            raise ValueError(f"stem={self.stem!r}; expected 'full' or 'strided'.")
        if self.norm not in NORMS:
            raise ValueError(f"norm={self.norm!r}; expected 'batch' or 'none'.")
        return _CompactNetwork(self, image_shape[2], n_outputs, n_context)


class _CompactNetwork(SplitNetwork):
    def __init__(self, spec: CompactCNN, n_channels: int, n_outputs: int, n_context: int):
        super().__init__()
        widths, norm = list(spec.widths), NORMS[spec.norm]
        self.stem = _stem(spec.stem, n_channels, widths[0], norm)
        self.stages = nn.ModuleList(
            nn.Sequential(_entry(before, width), *(_ResidualBlock(width, norm) for _ in range(spec.blocks)))
            for before, width in zip([None, *widths], widths)
        )
        radial = spec.readout == "radial"
        self.readouts = nn.ModuleList(
            nn.Sequential(norm(width), nn.SiLU(inplace=True), RadialReadout() if radial else _InvariantMean())
            for width in widths
        )
        n_features = sum(RadialReadout.n_features(width) if radial else width for width in widths)
        self.head = nn.Sequential(
            Dropout(spec.dropout),
            nn.Linear(n_features + n_context, spec.hidden),
            nn.SiLU(inplace=True),
            Dropout(spec.dropout),
            nn.Linear(spec.hidden, n_outputs),
        )

    def trunk(self, x):
        x = self.stem(x)
        features = []
        for stage, readout in zip(self.stages, self.readouts):
            x = stage(x)
            features.append(readout(x))
        return torch.cat(features, dim=1)

    def rest(self, features, context=None):
        dropout, dense = self.head[0], self.head[1:]
        return dense(with_context(dropout(features), context))


def _stem(kind: str, n_channels: int, width: int, norm: type[nn.Module]) -> nn.Sequential:
    """First layers: the image to a map of half its size."""
    if kind == "strided":
        return nn.Sequential(HalvingLift(n_channels, width, 5))
    return nn.Sequential(LiftingConv(n_channels, width, 5), norm(width), nn.SiLU(inplace=True), BlurPool())


def _entry(before: int | None, width: int) -> nn.Module:
    """Halve the map and change its width; the first stage takes the stem's map as it is."""
    return nn.Identity() if before is None else nn.Sequential(BlurPool(), GroupConv(before, width, 1))


class _ResidualBlock(nn.Module):
    """Two normalized convolutions beside the identity; starts as the identity, so depth costs nothing early on."""

    def __init__(self, width: int, norm: type[nn.Module]):
        super().__init__()
        last = GroupConv(width, width, 3)
        nn.init.zeros_(last.weight)
        self.branch = nn.Sequential(
            norm(width),
            nn.SiLU(inplace=True),
            GroupConv(width, width, 3),
            norm(width),
            nn.SiLU(inplace=True),
            last,
        )

    def forward(self, x):
        return x + self.branch(x)


class _InvariantMean(nn.Module):
    """Mean over orientations and pixels, ``(n, 8·K, H, W)`` → ``(n, K)``."""

    def forward(self, x):
        return x.unflatten(1, (ORDER, -1)).mean(dim=(1, 3, 4))
