"""What a network is told of the camera: tensors of each galaxy, and the numbers that sum them up."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch

from ._fill import filled
from ._moments import Moments, centroid, moments, psf_scale, rough_size

SCALES = (0.8, 16.0)  # of the first and the last Gaussian, in units of the point-spread function's
N_PSF = 7  # Gaussians through which the point-spread function is seen; stamps may end beyond
LAGS = (1, 2, 4)  # pixels; noise that is correlated differs less over these
N_SCALES = 12
N_BRIGHT = 5  # Gaussians in which the galaxy's own photons are told
N_NUMBERS, N_NUMBERS_OF_CHANNEL = 7, N_PSF - 1 + len(LAGS) + N_BRIGHT + 1 + 3


class Camera(NamedTuple):
    """The camera of n galaxies, as a network is told it. Images are in units of the noise.

    Attributes
    ----------
    psf : Tensor of shape (n, C, h, w)
        Images of a star of flux 1, on the pixels of the images.
    photons : Tensor of shape (n, C)
        Variance that a pixel's light adds to its noise: that of a flux of 1, in these units. 0 if that is not known.
    sky_error : Tensor of shape (n,)
        Standard deviation of the error of the sky's level.
    psf_error : Tensor of shape (n,)
        That of the point-spread function's width, as a share of it.
    good : Tensor of bool, of shape (n, 1, H, W), or None
        False where a pixel was bad; it holds a guess.
    """

    psf: torch.Tensor
    photons: torch.Tensor
    sky_error: torch.Tensor
    psf_error: torch.Tensor
    good: torch.Tensor | None = None

    def fill(self, images: torch.Tensor) -> torch.Tensor:
        """Images ``(n, C, H, W)`` whose bad pixels hold a guess."""
        return images if self.good is None else filled(images, self.good, psf_scale(self.psf.mean(dim=1)))


class Sight(NamedTuple):
    """Where to look: a center and a scale for each galaxy, in double precision where the device has it.

    Attributes
    ----------
    images : Tensor of shape (n, C, H, W)
    psf : Tensor of shape (n, C, h, w)
    center : Tensor of shape (n, 2)
        As (x, y) from that of the image [pixels].
    scale : Tensor of shape (n,)
        σ of the point-spread function [pixels].
    """

    images: torch.Tensor
    psf: torch.Tensor
    center: torch.Tensor
    scale: torch.Tensor


def sighted(images: torch.Tensor, camera: Camera) -> Sight:
    """Find the galaxy, and the size of its point-spread function."""
    precise = torch.float32 if images.device.type == "mps" else torch.float64
    images, psf = images.to(precise), camera.psf.to(precise)
    scale = psf_scale(psf.mean(dim=1))
    return Sight(images, psf, centroid(images.mean(dim=1), scale), scale)


def seen_through(images: torch.Tensor, sight: Sight, scales: torch.Tensor, powers: int, center=None) -> Moments:
    """`moments` of each channel: sums ``(n, C, n_scales, …)`` and totals ``(n, C, n_scales)``."""
    n, n_channels = images.shape[:2]
    center = sight.center if center is None else center
    each = (part.repeat_interleave(n_channels, dim=0) for part in (center, scales))
    found = moments(images.flatten(0, 1), *each, powers)
    return Moments(*(part.unflatten(0, (n, n_channels)) for part in found))


def gaussian_scales(sight: Sight, n_scales: int) -> torch.Tensor:
    """Scales ``(n, n_scales)`` of the Gaussians [pixels]."""
    low, high = map(math.log, SCALES)
    steps = torch.linspace(low, high, n_scales, dtype=sight.scale.dtype, device=sight.scale.device)
    return sight.scale[:, None] * steps.exp()


def psf_growth(sight: Sight, scales: torch.Tensor) -> Moments:
    """Moments of the point-spread function through the first Gaussians, relative to its flux through the first."""
    found = seen_through(sight.psf, sight, scales[:, :N_PSF], 2, torch.zeros_like(sight.center))
    return found._replace(sums=found.sums / found.sums[:, :, :1, :1, :1].clamp(min=1e-6))


def camera_numbers_of(images: torch.Tensor, camera: Camera) -> torch.Tensor:
    """`camera_numbers` of images ``(n, C, H, W)`` for a network that looks at these in its own way."""
    sight = sighted(images, camera)
    scales = gaussian_scales(sight, N_SCALES)
    light = seen_through(sight.images, sight, scales[:, :N_BRIGHT], 0)
    return camera_numbers(sight, camera, psf_growth(sight, scales), light, scales)


def rough_units(images: torch.Tensor, camera: Camera) -> torch.Tensor:
    """Logarithms ``(n, 2)`` of a rough half-light radius [pixels] and a rough flux [noise of a pixel] of galaxies.

    In units of these, what is to be inferred is about 1 for all galaxies and cameras. Of several channels their mean.
    """
    sight = sighted(camera.fill(images), camera)
    size = rough_size(sight.images.mean(dim=1), sight.center, sight.scale)
    return torch.stack([size.radius, size.flux], dim=1).log()


def camera_numbers(sight: Sight, camera: Camera, growth: Moments, light: Moments, scales) -> torch.Tensor:
    """What is known of each galaxy's camera and noise as numbers ``(n, n_numbers)``, all about 1.

    None of them changes if image and camera are flipped or turned by a quarter.
    """
    side = min(sight.images.shape[2:])
    size = rough_size(sight.images.mean(dim=1), sight.center, sight.scale)
    errors = (error.to(sight.scale).clamp(min=1e-4).log() for error in (camera.sky_error, camera.psf_error))
    of_all = [sight.scale.log(), (side / sight.scale).log(), *errors, *_phases(sight), (size.scale / sight.scale).log()]
    photons = camera.photons.to(sight.scale)[:, :, None]
    brightness = (light.sums[:, :, :N_BRIGHT, 0, 0] / light.total[:, :, :N_BRIGHT].clamp(min=1e-3)).clamp(min=0)
    of_channels = [
        growth.sums[:, :, 1:, 0, 0].clamp(min=1e-3).log(),
        _roughness(sight.images),
        torch.log1p(photons * brightness),
        torch.asinh(photons),
        _bad_share(sight, camera, scales),
    ]
    return torch.cat([torch.stack(of_all, dim=1), *(part.flatten(1) for part in of_channels)], dim=1)


def n_camera_numbers(n_channels: int) -> int:
    """How many `camera_numbers` there are."""
    return N_NUMBERS + n_channels * N_NUMBERS_OF_CHANNEL


def _phases(sight: Sight) -> list[torch.Tensor]:
    """Where in its pixel a center lies, which coarse pixels notice."""
    height, width = sight.images.shape[2:]
    corner = torch.tensor([(width - 1) / 2 % 1, (height - 1) / 2 % 1]).to(sight.center)
    x, y = torch.cos(2 * math.pi * (sight.center + corner)).unbind(dim=1)
    return [x + y, x * y]


def _roughness(images: torch.Tensor) -> torch.Tensor:
    """Mean difference of pixels some way apart, large ones cut: ``(n, C, 3)``. White noise of σ = 1 has about 1.1."""
    found = []
    for lag in LAGS:
        pairs = images[:, :, lag:] - images[:, :, :-lag], images[..., lag:] - images[..., :-lag]
        found.append(sum(pair.abs().clamp(max=2.5).mean(dim=(2, 3)) for pair in pairs) / 2)
    return torch.stack(found, dim=2)


def _bad_share(sight: Sight, camera: Camera, scales: torch.Tensor) -> torch.Tensor:
    """Share of the weight of some Gaussians that lies on bad pixels: ``(n, C, 3)``."""
    n, n_channels = sight.images.shape[:2]
    if camera.good is None:
        return sight.images.new_zeros(n, n_channels, 3)
    some = scales[:, [0, scales.shape[1] // 3, 2 * scales.shape[1] // 3]]
    bad = seen_through((~camera.good).to(sight.images), sight, some, 0)
    share = bad.sums[..., 0, 0] / bad.total.clamp(min=1e-3)
    return share.expand(n, n_channels, 3)
