"""Random zoom, rotation, flips and shifts of images while a network trains."""

from __future__ import annotations

import math

import torch
from sklearn.base import BaseEstimator
from torch import nn

from .._randomness import own_generator
from ._resample import resampled


class Augmentation(BaseEstimator):
    """Random zoom, rotation, flips and shift, drawn anew for every image and epoch.

    The defaults are those of the published spin network. All of it is one affine map, so each image is resampled
    once (bilinear); it runs where the network runs, and not at all in validation and prediction.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    zoom : float, default=0.25
        The galaxy is enlarged or shrunk by a factor drawn from ``[1 - zoom, 1 + zoom]``.
    rotation : float, default=45.0
        Degrees; the angle is drawn from ``[-rotation, rotation]``. 180 gives every orientation.
    horizontal_flip, vertical_flip : bool, default=True
        Whether to flip half of the images left-right, and half of them up-down.
    shift : float, default=0.05
        The galaxy is moved along each axis by up to this fraction of the image's side.
    fill : {"border", "zeros"}, default="border"
        What lies beyond the edge: the nearest edge pixel, or zero.

    Notes
    -----
    An image that is one pixel high or wide has no geometry to vary and is left as it is.

    Examples
    --------
    >>> import torch
    >>> views = Augmentation(rotation=180.0).build()
    >>> views(torch.rand(8, 3, 64, 64)).shape
    torch.Size([8, 3, 64, 64])
    """

    def __init__(
        self, *, zoom=0.25, rotation=45.0, horizontal_flip=True, vertical_flip=True, shift=0.05, fill="border"
    ):
        self.zoom = zoom
        self.rotation = rotation
        self.horizontal_flip = horizontal_flip
        self.vertical_flip = vertical_flip
        self.shift = shift
        self.fill = fill

    def build(self) -> nn.Module:
        """Make the torch module that maps images ``(n, C, H, W)`` to random views of them, while it is training."""
        if not 0 <= self.zoom < 1:
            raise ValueError(f"zoom={self.zoom}; expected a fraction in [0, 1).")
        if self.fill not in ("border", "zeros"):
            raise ValueError(f"fill={self.fill!r}; expected 'border' or 'zeros'.")
        return _RandomViews(self)


class _RandomViews(nn.Module):
    def __init__(self, spec: Augmentation):
        super().__init__()
        self.spec = spec

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        n, _, height, width = images.shape
        if not self.training or min(height, width) == 1:
            return images
        view = random_affine(self.spec, n, height, width).to(images)
        return resampled(images, view, (height, width), self.spec.fill, align_corners=False)


def random_affine(spec: Augmentation, n: int, height: int, width: int) -> torch.Tensor:
    """``(n, 2, 3)`` matrices from output to input positions, in the ±1 coordinates of `affine_grid`.

    Drawn on the CPU in float64, so that the views do not depend on the device or the precision.
    """
    zoom = 1 + spec.zoom * _uniform(n)
    angle = math.radians(spec.rotation) * _uniform(n)
    across = torch.where((_uniform(n) < 0) & bool(spec.horizontal_flip), -1.0, 1.0) / zoom
    along = torch.where((_uniform(n) < 0) & bool(spec.vertical_flip), -1.0, 1.0) / zoom
    aspect = height / width  # a rotation turns pixels, not fractions of the sides
    matrices = torch.empty(n, 2, 3, dtype=torch.float64)
    matrices[:, 0, 0] = across * angle.cos()
    matrices[:, 0, 1] = -across * angle.sin() * aspect
    matrices[:, 1, 0] = along * angle.sin() / aspect
    matrices[:, 1, 1] = along * angle.cos()
    matrices[:, 0, 2] = 2 * spec.shift * _uniform(n)
    matrices[:, 1, 2] = 2 * spec.shift * _uniform(n)
    return matrices


def _uniform(n: int) -> torch.Tensor:
    """Random numbers in [-1, 1]."""
    return 2 * torch.rand(n, dtype=torch.float64, generator=own_generator("cpu")) - 1
