"""The input of every network: pixels as stored become standardized images, on the device."""

from __future__ import annotations

from fnmatch import filter as filter_names
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ._camera import Camera, camera_numbers_of, n_camera_numbers
from ._spatial_transformer import CroppedNetwork
from ._split import ContextAsChannels, SplitNetwork

Inputs = dict[str, torch.Tensor]  # "pixels" (n, H, W, C), and what `Camera` has of the camera


class ImageNetwork(nn.Module):
    """A network with its input: cast, vary (while training), standardize per channel.

    Parameters
    ----------
    network : torch.nn.Module
        Maps ``(n, C, H, W)`` to ``(n, n_outputs)``.
    augmentation : torch.nn.Module or None
    pixel_mean, pixel_scale : ndarray of shape (C,)
        Of the training images; the network sees ``(pixel - mean) / scale``.
    camera : {None, "whole", "numbers"}, default=None
        What of the camera of its images the network is told: nothing, all there is, or numbers as its context.
    stretch : bool, default=False
        Whether the network sees asinh of its images, which are in units of their noise.
    """

    pixel_mean: torch.Tensor
    pixel_scale: torch.Tensor
    numbers_mean: torch.Tensor
    numbers_scale: torch.Tensor

    def __init__(
        self, network: nn.Module, augmentation: nn.Module | None, pixel_mean, pixel_scale, camera=None, stretch=False
    ):
        super().__init__()
        self.network: Any = network
        self.augmentation = nn.Identity() if augmentation is None else augmentation
        self.camera, self.stretch = camera, stretch
        self.slowed: dict[str, float] = {}
        # np.array copies: a read-only memmap behind a tensor is a segmentation fault on the first write
        self.register_buffer("pixel_mean", torch.tensor(np.array(pixel_mean)).reshape(-1, 1, 1))
        self.register_buffer("pixel_scale", torch.tensor(np.array(pixel_scale)).reshape(-1, 1, 1))
        if camera == "numbers":
            n_numbers = n_camera_numbers(len(self.pixel_mean))
            self.register_buffer("numbers_mean", torch.zeros(n_numbers))
            self.register_buffer("numbers_scale", torch.ones(n_numbers))

    def forward(self, pixels: torch.Tensor | None = None, *, digest=None, **camera: torch.Tensor) -> torch.Tensor:
        """``(n, H, W, C)`` of any real dtype, or their digests → ``(n, n_outputs)``."""
        if pixels is not None:
            digest = self._raw_digest(pixels, camera)
        if pixels is None or digest is not None:
            return self.network.rest(self.network.read(digest))
        images, told = self.prepare(pixels, **camera)
        return self.network(images) if told is None else self.network(images, told)

    def trunk(self, pixels: torch.Tensor, **camera: torch.Tensor) -> tuple[Any, torch.Tensor | None]:
        """Features of a `SplitNetwork` and its context: what its ``rest`` takes."""
        digest = self._raw_digest(pixels, camera)
        if digest is not None:
            return self.network.read(digest), None
        images, told = self.prepare(pixels, **camera)
        if isinstance(told, Camera):
            return self.network.trunk(images, told), None
        return self.network.trunk(images), told

    def digest(self, pixels: torch.Tensor, **camera: torch.Tensor) -> torch.Tensor | None:
        """Digests ``(n, n_digest)`` of images, if they are all that `forward` needs; None if not."""
        if not isinstance(self.network, SplitNetwork) or not isinstance(self.augmentation, nn.Identity):
            return None
        digest = self._raw_digest(pixels, camera)
        if digest is not None:
            return digest
        images, told = self.prepare(pixels, **camera)
        if told is None:
            return self.network.digest(images)
        return self.network.digest(images, told) if isinstance(told, Camera) else None

    def _raw_digest(self, pixels: torch.Tensor, camera: Inputs) -> torch.Tensor | None:
        """Digests by a network that standardizes by itself; None of others, or if it is told something."""
        if camera or not getattr(self.network, "standardizes", False):
            return None
        mean, scale = self.pixel_mean.flatten()[:, None], self.pixel_scale.flatten()[:, None]
        return self.network.digest(self._seen(pixels)[0], mean=mean, scale=scale)

    @property
    def wants_examples(self) -> bool:
        """Whether `examine` does anything."""
        return self.camera == "numbers" or getattr(self.network, "wants_examples", False)

    @torch.no_grad()
    def examine(self, inputs: Inputs) -> None:
        """Look at some training images before the training."""
        if self.camera == "numbers":
            numbers = self._numbers(*self._seen(**inputs))
            self.numbers_mean.copy_(numbers.mean(dim=0))
            self.numbers_scale.copy_(numbers.std(dim=0, correction=0).clamp(min=1e-3))
        if getattr(self.network, "wants_examples", False):
            images, told = self.prepare(**inputs)
            self.network.examine(images, *([told] if isinstance(told, Camera) else []))

    @property
    def lr_factors(self) -> dict[str, float]:
        """Learning rates relative to that of the rest, by patterns of weights' names."""
        factors = getattr(self.network, "lr_factors", {})
        patterns = {f"network.{pattern}": factor for pattern, factor in factors.items()}
        slowed = {name: factor for name, factor in self.slowed.items() if factor}
        others = [name for name, _ in self.named_parameters() if name not in slowed]

        def usual(name: str) -> float:
            return next((factor for pattern, factor in patterns.items() if fnmatchcase(name, pattern)), 1.0)

        found = {pattern: factor for pattern, factor in patterns.items() if filter_names(others, pattern)}
        return {name: factor * usual(name) for name, factor in slowed.items()} | found

    def set_lr_factors(self, factors: dict[str, float]) -> None:
        """Learning rates of some weights by name, relative to what they would be; 0 freezes, all others thaw."""
        learned = dict(self.named_parameters())
        for name, weights in learned.items():
            if 0.0 in (factors.get(name), self.slowed.get(name)):  # others are frozen or not as their network wants
                weights.requires_grad_(factors.get(name) != 0)
        self.slowed = {name: factor for name, factor in factors.items() if name in learned}

    def train(self, mode: bool = True):
        """As any module; the statistics of frozen batch normalization stay as they are."""
        super().train(mode)
        for layer in self.modules() if mode and self.slowed else ():
            learn = [weights.requires_grad for weights in layer.parameters(recurse=False)]
            if isinstance(layer, nn.modules.batchnorm._BatchNorm) and learn and not any(learn):
                layer.eval()
        return self

    @property
    def core(self) -> nn.Module:
        """The network that a spec built, without what was put around it."""
        core = self.network
        while isinstance(core, CroppedNetwork | ContextAsChannels):
            core = core.network
        return core

    def prepare(self, pixels: torch.Tensor, **camera: torch.Tensor):
        """``(n, H, W, C)`` of any real dtype → ``(n, C, H, W)``, as the network sees them, and what it is told."""
        images, known = self._seen(pixels, **camera)
        told: Any = known
        if self.camera == "numbers":
            told = ((self._numbers(images, known) - self.numbers_mean) / self.numbers_scale).clamp(-8, 8)
        if self.stretch:
            images = torch.asinh(images)
        return (images - self.pixel_mean) / self.pixel_scale, told

    def _seen(self, pixels: torch.Tensor, **camera: torch.Tensor) -> tuple[torch.Tensor, Camera | None]:
        """Images, varied, and their camera."""
        images = self.augmentation(as_images(pixels, self.pixel_mean.dtype))
        return images, Camera(**camera) if camera else None

    def _numbers(self, images: torch.Tensor, camera: Camera | None) -> torch.Tensor:
        assert camera is not None  # a network that is told numbers is called with a camera
        return camera_numbers_of(images, camera)


def as_images(pixels: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """``(n, H, W, C)`` → ``(n, C, H, W)``, a view where the dtype allows."""
    return pixels.movedim(-1, 1).to(dtype)


def pixel_tensor(images: NDArray, dtype, rows: NDArray | None = None) -> torch.Tensor:
    """Pixels to be read only, uint8 as they are, all else as `dtype`; see `cast_pixels` of the rest."""
    return torch.from_numpy(cast_pixels(images, np.uint8 if images.dtype == np.uint8 else dtype, rows))


def cast_pixels(images: NDArray, dtype, rows: NDArray | None = None) -> NDArray:
    """Images ``(n, H, W, C)`` in the arithmetic of the network; a copy unless they are in it, and may be written to.

    A ValueError names the first of `rows`, from 0 unless given, with a pixel that is finite but infinite as `dtype`.
    """
    with np.errstate(over="ignore"):  # said below
        # torch makes no tensor of what is not to be written to, such as most memmaps
        cast = np.array(images, dtype=dtype, order="C", copy=None if images.flags.writeable else True)
    cast = cast.reshape(-1).reshape(cast.shape)  # axes of length 1 have any stride, by which torch orders its dropout
    if images.dtype.kind == "f" and images.dtype.itemsize > cast.itemsize:
        too_large = np.isinf(cast)
        if too_large.any() and (too_large := too_large & np.isfinite(images)).any():
            i = int(np.argmax(too_large.reshape(len(cast), -1).any(axis=1)))
            raise ValueError(
                f"Input X contains values too large: row {i if rows is None else rows[i]} has the pixel "
                f"{images[i][too_large[i]][0]:g}, which is infinite in {cast.dtype}, the network's arithmetic. "
                "Mend that pixel, scale the images (Normalizer), or set precision='float64'."
            )
    return cast
