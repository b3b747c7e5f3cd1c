"""Spatial transformer: an affine crop of each image, predicted by a small network."""

from __future__ import annotations

import math

import torch
from sklearn.base import BaseEstimator
from torch import nn

from ._d4 import BlurPool, GroupAffine, GroupConv, LiftingConv
from ._readout import RadialReadout
from ._resample import resampled
from ._split import SplitNetwork, with_context

N_NUMBERS = {"crop": 1, "zoom_shift": 3, "similarity": 4, "affine": 6}


class SpatialTransformer(BaseEstimator):
    """Crop each image to its galaxy, by a transformation that a small network predicts from it [1]_ [2]_.

    The transformation starts as the identity. Its scale is told to the network behind it, so that sizes and fluxes
    survive the crop.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    kind : {"crop", "zoom_shift", "similarity", "affine"}, default="crop"
        One zoom about the center; zoom and shift; zoom, rotation and shift; or any affine map (six numbers).
    localization : {"compact", "gampen"}, default="compact"
        The small network: ours, whose zoom is the same for all eight flips and quarter turns of an image, or two
        convolutions and two dense layers as in GaMPEN [2]_.
    max_zoom : float or None, default=4.0
        Each axis is magnified by at most this factor, or shrunk by it. None is the published form: the network's
        numbers *are* the transformation, without a bound.
    npix : int or None, default=None
        Height and width of the crops of square images, in pixels; None means as large as the images.
    lr_factor : float, default=0.1
        Learning rate of the localization, relative to the rest of the network.
    size_target : str or None, default=None
        Name of a target that is a length in pixels, such as the half-light radius of galaxies at all distances. The
        side of the crop then learns to be proportional to it: the estimator adds to its loss five times the
        variance, over each batch, of the logarithm of their ratio. None leaves the crop to the likelihood, which
        cares little how large a galaxy looks in it; that is better where all images have one scale on the sky.
    inform : bool, default=True
        Whether the network behind learns the transformation's numbers; False as published.
    fill : {"border", "zeros"}, default="border"
        What lies beyond the image's edge: the nearest edge pixel, or zero (the mean pixel), as published.

    Notes
    -----
    Crops are sampled bilinearly, corners on corners. An image one pixel high or wide is left as it is.

    References
    ----------
    .. [1] Jaderberg et al. 2015, *Spatial transformer networks*, NeurIPS.
    .. [2] Ghosh et al. 2022, ApJ 935, 138 (GaMPEN).

    Examples
    --------
    >>> import torch
    >>> transformer = SpatialTransformer().build((64, 64, 1))
    >>> crops, context = transformer(torch.rand(5, 1, 64, 64))
    >>> crops.shape, context.shape
    (torch.Size([5, 1, 64, 64]), torch.Size([5, 1]))
    """

    def __init__(
        self,
        kind="crop",
        *,
        localization="compact",
        max_zoom=4.0,
        npix=None,
        lr_factor=0.1,
        size_target=None,
        inform=True,
        fill="border",
    ):
        self.kind = kind
        self.localization = localization
        self.max_zoom = max_zoom
        self.npix = npix
        self.lr_factor = lr_factor
        self.size_target = size_target
        self.inform = inform
        self.fill = fill

    @property
    def n_context(self) -> int:
        """Number of values per galaxy that the network behind is told."""
        return 0 if not self.inform else 1 if self.kind == "crop" else 7

    def crop_shape(self, image_shape: tuple[int, int, int]) -> tuple[int, int, int]:
        """Shape of the crops.

        Parameters
        ----------
        image_shape : tuple of int (H, W, C)
            That of the images.

        Returns
        -------
        tuple of int (h, w, C)

        Raises
        ------
        ValueError
            If `npix` is given and the images are not square.
        """
        height, width, channels = image_shape
        if self.npix is None or min(height, width) == 1:
            return height, width, channels
        if height != width:
            raise ValueError(f"npix={self.npix} needs square images, not {height}×{width}; crop them (CenterCrop).")
        return self.npix, self.npix, channels

    def build(self, image_shape: tuple[int, int, int]) -> nn.Module:
        """Make the module that maps images ``(n, C, H, W)`` to crops ``(n, C, h, w)`` and context.

        Parameters
        ----------
        image_shape : tuple of int (H, W, C)
            That of the images.

        Returns
        -------
        torch.nn.Module

        Raises
        ------
        ValueError
            If a parameter is none of those above.
        """
        _check_choice("kind", self.kind, list(N_NUMBERS))
        _check_choice("localization", self.localization, ["compact", "gampen"])
        _check_choice("fill", self.fill, ["border", "zeros"])
        if self.max_zoom is not None and not self.max_zoom > 1:
            raise ValueError(f"max_zoom={self.max_zoom}; expected a factor above 1, or None for no bound.")
        return Transformer(self, image_shape)


def _check_choice(name: str, value, choices: list[str]) -> None:
    if value not in choices:
        raise ValueError(f"{name}={value!r}; expected one of {', '.join(map(repr, choices))}.")


class Transformer(nn.Module):
    """The module of a `SpatialTransformer`."""

    def __init__(self, spec: SpatialTransformer, image_shape: tuple[int, int, int]):
        super().__init__()
        self.kind, self.max_zoom, self.fill, self.inform = spec.kind, spec.max_zoom, spec.fill, spec.inform
        self.lr_factor = spec.lr_factor
        self.crop_shape = spec.crop_shape(image_shape)
        n_numbers = N_NUMBERS[spec.kind]
        if spec.localization == "gampen":
            self.localization, self.fc_loc = _gampen_localization(image_shape, n_numbers)
        else:
            self.localization, self.fc_loc = _compact_localization(image_shape[2], n_numbers)
        self._start_at_identity(self.fc_loc[-1])

    def _start_at_identity(self, last: nn.Module) -> None:
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        if self.max_zoom is None:
            ones = [0, 4] if self.kind == "affine" else [0]
            last.bias.data[ones] = 1.0

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        return self.cropped(images, self.matrix(images))

    def cropped(self, images: torch.Tensor, matrix: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Crops ``(n, C, h, w)``, and what the network behind is told of them."""
        return self.crop(images, matrix), self._context(matrix) if self.inform else None

    def matrix(self, images: torch.Tensor) -> torch.Tensor:
        """``(n, 2, 3)``: where in the image each point of the crop lies, both in coordinates from -1 to 1."""
        if min(images.shape[2:]) == 1:
            return torch.eye(2, 3).to(images).expand(len(images), 2, 3)
        features = self.localization(images)
        with torch.autocast(images.device.type, enabled=False):  # a position needs more digits than bfloat16 has
            numbers = self.fc_loc(features.to(images.dtype))
        if self.max_zoom is None:
            return _free_matrix(numbers, self.kind)
        height, width = images.shape[2:]
        aspect = (height - 1) / (width - 1)  # a rotation turns pixels, not fractions of the sides
        return _bounded_matrix(numbers, self) * numbers.new_tensor([[1.0, aspect, 1.0], [1 / aspect, 1.0, 1.0]])

    def crop(self, images: torch.Tensor, matrix: torch.Tensor) -> torch.Tensor:
        """Resample images ``(n, C, H, W)`` once."""
        if min(images.shape[2:]) == 1:
            return images
        return resampled(images, matrix, self.crop_shape[:2], self.fill, align_corners=True)

    def _context(self, matrix: torch.Tensor) -> torch.Tensor:
        log_scale = log_side(matrix)
        return log_scale if self.kind == "crop" else torch.cat([log_scale, matrix.flatten(1)], dim=1)


def log_side(matrix: torch.Tensor) -> torch.Tensor:
    """Logarithm of the crop's side in units of the image's, ``(n, 1)``."""
    return 0.5 * torch.linalg.det(matrix[:, :, :2]).abs().clamp(min=1e-6).log()[:, None]


def _bounded_matrix(numbers: torch.Tensor, of: Transformer) -> torch.Tensor:
    """Zoom within the bounds, any rotation, center of the crop inside the image; the identity at zero."""
    assert of.max_zoom is not None
    bound = math.log(of.max_zoom)
    zero = torch.zeros_like(numbers[:, 0])
    if of.kind == "crop":
        scale = torch.exp(bound * torch.tanh(numbers[:, 0] / bound))
        return _rows(scale, zero, zero, zero, scale, zero)
    if of.kind == "zoom_shift":
        scale = torch.exp(bound * torch.tanh(numbers[:, 0] / bound))
        x, y = torch.tanh(numbers[:, 1:]).T
        return _rows(scale, zero, x, zero, scale, y)
    if of.kind == "similarity":
        numbers = torch.stack([numbers[:, 0], numbers[:, 0], numbers[:, 1], zero, *numbers[:, 2:].T], dim=1)
    across, along = torch.exp(bound * torch.tanh(numbers[:, :2] / bound)).T
    cos, sin = numbers[:, 2].cos(), numbers[:, 2].sin()
    shear = torch.tanh(numbers[:, 3])
    x, y = torch.tanh(numbers[:, 4:]).T
    return _rows(cos * across, (cos * shear - sin) * along, x, sin * across, (sin * shear + cos) * along, y)


def _free_matrix(numbers: torch.Tensor, kind: str) -> torch.Tensor:
    """The published form: the numbers are the matrix's entries."""
    zero = torch.zeros_like(numbers[:, 0])
    if kind == "crop":
        return _rows(numbers[:, 0], zero, zero, zero, numbers[:, 0], zero)
    if kind == "zoom_shift":
        zoom, x, y = numbers.T
        return _rows(zoom, zero, x, zero, zoom, y)
    if kind == "similarity":
        a, b, x, y = numbers.T
        return _rows(a, -b, x, b, a, y)
    return numbers.unflatten(1, (2, 3))


def _rows(*entries: torch.Tensor) -> torch.Tensor:
    return torch.stack(entries, dim=1).unflatten(1, (2, 3))


def _gampen_localization(image_shape, n_numbers: int) -> tuple[nn.Sequential, nn.Sequential]:
    """Two unpadded convolutions of 11 and 9 pixels, pooled 3/2, and two dense layers; clipped to small maps."""
    *sides, channels = image_shape
    layers: list[nn.Module] = []
    for width, kernel in ((64, 11), (96, 9)):
        window = [min(kernel, side) for side in sides]
        layers.append(nn.Conv2d(channels, width, tuple(window)))
        sides = [side - w + 1 for side, w in zip(sides, window)]
        window = [min(3, side) for side in sides]
        layers += [nn.MaxPool2d(tuple(window), stride=2), nn.ReLU(inplace=True)]
        sides = [(side - w) // 2 + 1 for side, w in zip(sides, window)]
        channels = width
    dense = [nn.Linear(channels * sides[0] * sides[1], 32), nn.ReLU(inplace=True), nn.Linear(32, n_numbers)]
    return nn.Sequential(*layers, nn.Flatten()), nn.Sequential(*dense)


def _compact_localization(channels: int, n_numbers: int) -> tuple[nn.Sequential, nn.Sequential]:
    """Three group convolutions, down to an eighth of the resolution, averaged in apertures; invariant under D4."""
    layers = [
        BlurPool(),
        LiftingConv(channels, 4, 5),
        GroupAffine(4),
        nn.SiLU(inplace=True),
        BlurPool(),
        GroupConv(4, 8, 3),
        GroupAffine(8),
        nn.SiLU(inplace=True),
        BlurPool(),
        GroupConv(8, 8, 3),
        GroupAffine(8),
        nn.SiLU(inplace=True),
        RadialReadout(),
    ]
    n_features = RadialReadout.n_features(8)
    return nn.Sequential(*layers), nn.Sequential(
        nn.Linear(n_features, 32), nn.SiLU(inplace=True), nn.Linear(32, n_numbers)
    )


class CroppedNetwork(SplitNetwork):
    """A spatial transformer in front of a network, whose context are the transformation's numbers.

    If it `tells_side`, `forward` appends the logarithm of the crop's side to the network's outputs.
    """

    def __init__(self, transformer: Transformer, network: SplitNetwork, tells_side: bool = False):
        super().__init__()
        self.transformer, self.network, self.tells_side = transformer, network, tells_side
        self.wants_examples = getattr(network, "wants_examples", False)
        self.lr_factors = {"transformer.*": transformer.lr_factor}

    def forward(self, x, context=None):
        """As any `SplitNetwork`; one more column, the logarithm of the crop's side, if the loss is to see it."""
        matrix = self.transformer.matrix(x)
        output = self.rest(self._cropped(x, matrix), context)
        return torch.cat([output, log_side(matrix).to(output.dtype)], dim=1) if self.tells_side else output

    def trunk(self, x):
        return self._cropped(x, self.transformer.matrix(x))

    def examine(self, images):
        self.network.examine(self.transformer(images)[0])

    def _cropped(self, x, matrix):
        crops, context = self.transformer.cropped(x, matrix)
        return self.network.trunk(crops), context

    def rest(self, features, context=None):
        features, crop_context = features
        if context is not None:
            crop_context = context if crop_context is None else with_context(crop_context, context)
        return self.network.rest(features, crop_context)
