"""`SpinCNN`, the published network that predicts a galaxy's spin from a color image."""

from __future__ import annotations

from torch import nn

from ._dropout import Dropout
from ._spec import NetworkSpec, per_layer


class SpinCNN(NetworkSpec):
    """The published spin network: five convolutions, three dense layers, 5,994,145 weights on 80×80×3.

    Each convolution is unpadded and followed by its 2×2 max-pooling (where it has one), a ReLU and dropout. The
    last map is flattened (43,200 features on 80×80) and passes through a dense layer with ReLU and dropout, a
    linear one, and the linear output.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    filters : sequence of int, default=(64, 96, 128, 192, 192)
        Channels of each convolution; their number sets the depth.
    kernel_sizes : sequence of int, default=(6, 5, 2, 2, 2)
        Side of each kernel, in pixels.
    conv_dropout : sequence of float, default=(0.5, 0.25, 0.25, 0.25, 0.25)
        Dropout rate after each convolution.
    pool_after : sequence of int, default=(2, 3)
        Convolutions (counted from 1) that are followed by a max-pooling.
    pool_size : int, default=2
        Side of the pooling window, in pixels.
    dense_units : sequence of int, default=(128, 64)
        Units of the dense layers; all but the last are followed by ReLU and dropout.
    dense_dropout : float, default=0.25
        Dropout rate after the dense layers that have a ReLU.

    Notes
    -----
    On a map smaller than a kernel or a pooling window, that kernel or window is clipped to the map, so the network
    works on images from 1×1 pixel up.

    ReLU and max-pooling commute exactly; pooling first does a quarter of the work.

    Examples
    --------
    >>> network = SpinCNN().build((80, 80, 3), n_outputs=1)
    >>> sum(weights.numel() for weights in network.parameters())
    5994145
    """

    def __init__(
        self,
        filters=(64, 96, 128, 192, 192),
        kernel_sizes=(6, 5, 2, 2, 2),
        conv_dropout=(0.5, 0.25, 0.25, 0.25, 0.25),
        pool_after=(2, 3),
        pool_size=2,
        dense_units=(128, 64),
        dense_dropout=0.25,
    ):
        self.filters = filters
        self.kernel_sizes = kernel_sizes
        self.conv_dropout = conv_dropout
        self.pool_after = pool_after
        self.pool_size = pool_size
        self.dense_units = dense_units
        self.dense_dropout = dense_dropout

    def build(self, image_shape, n_outputs):
        *sides, channels = image_shape
        filters = list(self.filters)
        kernels = per_layer("kernel_sizes", self.kernel_sizes, len(filters))
        rates = per_layer("conv_dropout", self.conv_dropout, len(filters))
        layers: list[nn.Module] = []
        for number, (width, kernel, rate) in enumerate(zip(filters, kernels, rates), start=1):
            window = [min(kernel, side) for side in sides]
            layers.append(nn.Conv2d(channels, width, tuple(window)))
            sides = [side - w + 1 for side, w in zip(sides, window)]
            if number in self.pool_after:
                window = [min(self.pool_size, side) for side in sides]
                layers.append(nn.MaxPool2d(tuple(window)))
                sides = [side // w for side, w in zip(sides, window)]
            layers += [nn.ReLU(inplace=True), Dropout(rate)]
            channels = width
        return nn.Sequential(*layers, nn.Flatten(), *self._dense(channels * sides[0] * sides[1], n_outputs))

    def _dense(self, n_inputs: int, n_outputs: int) -> list[nn.Module]:
        layers: list[nn.Module] = []
        units = list(self.dense_units)
        for number, width in enumerate(units, start=1):
            layers.append(nn.Linear(n_inputs, width))
            if number < len(units):
                layers += [nn.ReLU(inplace=True), Dropout(self.dense_dropout)]
            n_inputs = width
        return [*layers, nn.Linear(n_inputs, n_outputs)]
