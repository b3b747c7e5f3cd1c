"""VGG-16 with dropout in front of its convolutions, the backbone of GaMPEN."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from ._dropout import Dropout
from ._spec import NetworkSpec
from ._split import SplitNetwork, with_context
from ._weights import read_state_dict, trained_weights

STAGES = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))  # configuration D
POOLED = 7  # side of the map that the dense layers see


class VGG16(NetworkSpec):
    """VGG-16 [1]_ with a dropout layer in front of every convolution but the first, as published in GaMPEN [2]_.

    Thirteen 3×3 convolutions with ReLU, in five stages that each end in a 2×2 max-pooling; average pooling to 7×7;
    two dense layers, each followed by ReLU and dropout; the linear output, which also sees the context.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    dropout : float, default=4e-4
        Rate of all fourteen dropout layers.
    units : int, default=4096
        Width of the two hidden dense layers, in which most weights lie.
    weights : str or Path, default=None
        File with the state dict of a plain VGG-16 in torchvision's layout, such as that of ImageNet, from which
        `initialize` starts the network; None leaves it random. The output always starts afresh, and so do dense
        layers whose shape in the file is another. Images then need one or three channels.

    Notes
    -----
    Images of one channel are repeated to three. On a map smaller than a pooling window, that window is clipped to
    the map, so the network works on images from 1×1 pixel up.

    Random weights are drawn as in [3]_, eq. 10, since signals fade through this many layers otherwise.

    References
    ----------
    .. [1] Simonyan & Zisserman 2015, *Very deep convolutional networks for large-scale image recognition*, ICLR.
    .. [2] Ghosh et al. 2022, ApJ 935, 138 (GaMPEN).
    .. [3] He et al. 2015, *Delving deep into rectifiers*, ICCV.

    Examples
    --------
    >>> import torch
    >>> with torch.device("meta"):  # shapes alone; the weights take half a gigabyte
    ...     network = VGG16().build((96, 96, 3), n_outputs=9)
    >>> sum(weights.numel() for weights in network.parameters())
    134297417
    """

    takes_context = True

    def __init__(self, dropout=4e-4, units=4096, weights=None):
        self.dropout = dropout
        self.units = units
        self.weights = weights

    def build(self, image_shape, n_outputs, n_context=0):
        channels = image_shape[2]
        if self.units < 1:
            raise ValueError(f"units={self.units}; expected the width of the dense layers, at least 1.")
        if self.weights is not None and channels not in (1, 3):
            raise ValueError(
                f"weights={str(self.weights)!r} are for images of three channels (or one, which is repeated), but "
                f"these have {channels}; select channels, or set weights=None."
            )
        return _VGGNetwork(self, image_shape, n_outputs, n_context)

    def initialize(self, module: nn.Module) -> None:
        """Load `weights` into a network that `build` made; `build` itself, as used on unpickling, reads no file.

        Parameters
        ----------
        module : torch.nn.Module
            Changed in place; left as it is if `weights` is None.

        Raises
        ------
        TypeError
            If `module` is none of ours.
        FileNotFoundError
            If there is no such file.
        ValueError
            If it is not a state dict of tensors (nothing in it is executed), or not one of a VGG-16.
        """
        if not isinstance(module, _VGGNetwork):
            raise TypeError(f"got a {type(module).__name__}; expected a network that VGG16.build made.")
        if self.weights is not None:
            _load(module, read_state_dict(self.weights), f"weights={str(self.weights)!r}")


class _VGGNetwork(SplitNetwork):
    def __init__(self, spec: VGG16, image_shape: tuple[int, int, int], n_outputs: int, n_context: int):
        super().__init__()
        *sides, channels = image_shape
        self.channels = 3 if channels == 1 else channels
        layers, sides = _convolutions(self.channels, sides, spec.dropout)
        self.features = nn.Sequential(*layers)
        self.pool = _AveragePool(sides)
        self.classifier = nn.Sequential(
            nn.Linear(STAGES[-1][-1] * POOLED**2, spec.units),
            nn.ReLU(inplace=True),
            Dropout(spec.dropout),
            nn.Linear(spec.units, spec.units),
            nn.ReLU(inplace=True),
            Dropout(spec.dropout),
            nn.Linear(spec.units + n_context, n_outputs),
        )
        for weights in [*self.features.parameters(), *self.classifier[:-1].parameters()]:
            if weights.ndim == 1:
                nn.init.zeros_(weights)
            else:
                nn.init.kaiming_normal_(weights, nonlinearity="relu")

    def trunk(self, x):
        return self.features[:2](x.expand(-1, self.channels, -1, -1))

    def rest(self, features, context=None):
        hidden = self.classifier[:-1](self.pool(self.features[2:](features)).flatten(1))
        return self.classifier[-1](with_context(hidden, context))


def _convolutions(channels: int, sides: list[int], rate: float) -> tuple[list[nn.Module], list[int]]:
    """Everything up to the average pooling, and the sides of the map it gives."""
    layers: list[nn.Module] = []
    for widths in STAGES:
        for width in widths:
            if layers:
                layers.append(Dropout(rate))
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True)]
            channels = width
        window = [min(2, side) for side in sides]
        layers.append(nn.MaxPool2d(tuple(window)))
        sides = [side // w for side, w in zip(sides, window)]
    return layers, sides


class _AveragePool(nn.Module):
    """Adaptive average pooling to 7×7 as matrix products, which every device has for every size of map.

    That of torch refuses, on MPS, maps that do not divide (3×3 for 96 px), and adds up its gradients in any order on
    CUDA.
    """

    down: torch.Tensor
    across: torch.Tensor

    def __init__(self, sides: list[int]):
        super().__init__()
        self.register_buffer("down", _bins(sides[0]), persistent=False)
        self.register_buffer("across", _bins(sides[1]).T, persistent=False)

    def forward(self, x):
        n_pixels = self.down.sum(1, keepdim=True) * self.across.sum(0)
        return self.down @ x @ self.across / n_pixels


def _bins(side: int) -> torch.Tensor:
    """``(7, side)``: 1 for the pixels that each seventh of the side touches, else 0."""
    seventh, pixel = torch.arange(POOLED)[:, None], torch.arange(side)
    touches = (POOLED * (pixel + 1) > side * seventh) & (POOLED * pixel < side * (seventh + 1))
    return touches.to(torch.get_default_dtype())


def _load(network: _VGGNetwork, state: Mapping[str, torch.Tensor], source: str) -> None:
    """Copy what fits; look at everything before anything is changed."""
    fitting: list[tuple[torch.Tensor, torch.Tensor]] = []
    for name, layer in _layers_by_torchvision_name(network).items():
        pairs = [(own, _checked(state, f"{name}.{part}", source)) for part, own in layer.named_parameters()]
        if all(own.shape == read.shape for own, read in pairs):
            fitting += pairs
        elif isinstance(layer, nn.Conv2d):
            own, read = pairs[0]
            raise ValueError(
                f"{source}: {name!r} has weights of shape {tuple(read.shape)}; expected {tuple(own.shape)}, that of "
                "VGG-16 (configuration D) on three channels."
            )
    with torch.no_grad():
        for mine, theirs in fitting:
            mine.copy_(theirs)


def _layers_by_torchvision_name(network: _VGGNetwork) -> dict[str, nn.Module]:
    """Layers that a file can fill, by the names they have where no dropout is between the convolutions."""
    plain = [layer for layer in network.features if not isinstance(layer, Dropout)]
    layers = {f"features.{i}": layer for i, layer in enumerate(plain) if isinstance(layer, nn.Conv2d)}
    return layers | {f"classifier.{i}": network.classifier[i] for i in (0, 3)}


def _checked(state: Mapping[str, torch.Tensor], key: str, source: str) -> torch.Tensor:
    """Entry `key` of a state dict, which must be there and finite."""
    if key not in state:
        known = ", ".join(repr(name) for name in list(state)[:4])
        raise ValueError(
            f"{source} has no {key!r}; expected the state dict of a VGG-16 in torchvision's layout. Its first keys "
            f"are {known or 'none'}."
        )
    hint = " (of ImageNet, IMAGENET1K_V1; IMAGENET1K_FEATURES has no dense layers)"
    return trained_weights(state[key], f"{source}: {key!r}", hint)
