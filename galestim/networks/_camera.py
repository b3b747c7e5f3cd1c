"""What a network is told of the camera: tensors of each galaxy, and the numbers that sum them up."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch

from ._fill import filled
from ._moments import Moments, centroid, moments, psf_scale, rough_size

SCALES = (0.8, 16.0)  # of the first and the last Gaussian, in units of the point-spread function's
N_PSF = 7  # Gaussians through which the point-spread function is seen; stamps may end beyond
CUT, OF_WHITE_NOISE = 2.5, 1.1  # largest difference of two pixels that counts; the mean of these
LAGS = (1, 2, 4)  # pixels; noise that is correlated differs less over these
OF_GALAXY = (0.35, 0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0)  # scales of more Gaussians, in units of the galaxy's own
N_SCALES = 12
N_BRIGHT = 5  # Gaussians in which the galaxy's own photons are told
N_NUMBERS, N_NUMBERS_OF_CHANNEL = 7, N_PSF - 1 + len(LAGS) + N_BRIGHT + 1 + 3 + 4 * len(OF_GALAXY)


class Look(NamedTuple):
    """Where to look for each galaxy: what is measured first, by the simplest means."""

    center: torch.Tensor  # (n, 2), as (x, y) from that of the image [pixels]
    psf_scale: torch.Tensor  # (n,), σ of the point-spread function [pixels]
    scale: torch.Tensor  # (n,), σ of the galaxy as it is seen [pixels]
    radius: torch.Tensor  # (n,), rough half-light radius [pixels]
    flux: torch.Tensor  # (n,), rough flux in units of the noise


class Camera(NamedTuple):
    """The camera of n galaxies, as a network is told it. Images are in units of the noise.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    psf : Tensor of shape (n, C, h, w)
        Images of a star of flux 1, on the pixels of the images.
    photons : Tensor of shape (n, C)
        Variance that a pixel's light adds to its noise: that of a flux of 1, in these units. 0 if that is not known.
    sky_error : Tensor of shape (n,)
        Standard deviation of the error of the sky's level.
    psf_error : Tensor of shape (n,)
        That of the point-spread function's width, as a share of it.
    look : Tensor of shape (n, 6)
        What is measured of the galaxy first: its center, as (x, y) from that of the image [pixels]; σ of the
        point-spread function and of the galaxy as it is seen [pixels]; a rough half-light radius [pixels] and flux.
    good : Tensor of bool, of shape (n, H, W), or None, default=None
        False where a pixel was bad; it holds a guess.
    """

    psf: torch.Tensor
    photons: torch.Tensor
    sky_error: torch.Tensor
    psf_error: torch.Tensor
    look: torch.Tensor
    good: torch.Tensor | None = None


def looked_at(
    images: torch.Tensor, psf: torch.Tensor, good: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Images ``(n, C, H, W)`` whose bad pixels hold a guess, and the `Look` at their galaxies as columns ``(n, 6)``.

    Of several channels it is at their mean.
    """
    psf_width = psf_scale(psf.mean(dim=1))
    if good is not None:
        images = filled(images, good[:, None], psf_width)
    light = images.mean(dim=1)
    center = centroid(light, psf_width)
    size = rough_size(light, center, psf_width)
    return images, torch.stack([*center.unbind(dim=1), psf_width, *size], dim=1)


class Sight(NamedTuple):
    """What is measured of images and point-spread functions, in double precision where the device has it."""

    images: torch.Tensor  # (n, C, H, W)
    psf: torch.Tensor  # (n, C, h, w)
    look: Look


def sighted(images: torch.Tensor, camera: Camera) -> Sight:
    """Images and camera in the arithmetic of their measurement."""
    precise = torch.float32 if images.device.type == "mps" else torch.float64
    look = camera.look.to(precise)
    return Sight(images.to(precise), camera.psf.to(precise), Look(look[:, :2], *look[:, 2:].unbind(dim=1)))


def seen_through(images: torch.Tensor, center: torch.Tensor, scales: torch.Tensor, powers: int) -> Moments:
    """`moments` of each channel: sums ``(n, C, n_scales, …)`` and totals ``(n, C, n_scales)``."""
    n, n_channels = images.shape[:2]
    center, scales = (part.repeat_interleave(n_channels, dim=0) for part in (center, scales))
    found = moments(images.flatten(0, 1), center, scales, powers)
    return Moments(*(part.unflatten(0, (n, n_channels)) for part in found))


def gaussian_scales(look: Look, n_scales: int) -> torch.Tensor:
    """Scales ``(n, n_scales)`` of the Gaussians [pixels]."""
    low, high = map(math.log, SCALES)
    steps = torch.linspace(low, high, n_scales, dtype=look.psf_scale.dtype, device=look.psf_scale.device)
    return look.psf_scale[:, None] * steps.exp()


def psf_growth(sight: Sight, scales: torch.Tensor) -> Moments:
    """Moments of the point-spread function through the first Gaussians, relative to its flux through the first."""
    found = seen_through(sight.psf, torch.zeros_like(sight.look.center), scales[:, :N_PSF], 2)
    return found._replace(sums=found.sums / found.sums[:, :, :1, :1, :1].clamp(min=1e-6))


def camera_numbers_of(images: torch.Tensor, camera: Camera) -> torch.Tensor:
    """`camera_numbers` of images ``(n, C, H, W)`` for a network that looks at these in its own way."""
    sight = sighted(images, camera)
    scales = gaussian_scales(sight.look, N_SCALES)
    light = seen_through(sight.images, sight.look.center, scales[:, :N_BRIGHT], 0)
    return camera_numbers(sight, camera, psf_growth(sight, scales), light, scales).to(images.dtype)


def camera_numbers(sight: Sight, camera: Camera, growth: Moments, light: Moments, scales) -> torch.Tensor:
    """What is known of each galaxy's camera and noise as numbers ``(n, n_numbers)``, all about 1.

    None of them changes if image and camera are flipped or turned by a quarter.
    """
    look, side = sight.look, min(sight.images.shape[2:])
    errors = (error.to(scales).clamp(min=1e-4).log() for error in (camera.sky_error, camera.psf_error))
    relative = (look.scale / look.psf_scale).log()
    of_all = [look.psf_scale.log(), (side / look.psf_scale).log(), *errors, *_phases(sight), relative]
    photons = camera.photons.to(scales)[:, :, None]
    brightness = light.sums[:, :, :N_BRIGHT, 0, 0] / light.total[:, :, :N_BRIGHT].clamp(min=1e-3)
    of_channels = [
        growth.sums[:, :, 1:, 0, 0].clamp(min=1e-3).log(),
        _roughness(sight.images, camera.good).to(scales),
        torch.log1p(photons * brightness.clamp(min=0)),
        torch.asinh(photons),
        _bad_share(sight, camera, scales),
        *_profile(sight),
    ]
    return torch.cat([torch.stack(of_all, dim=1), *(part.flatten(1) for part in of_channels)], dim=1)


def n_camera_numbers(n_channels: int) -> int:
    """How many `camera_numbers` there are."""
    return N_NUMBERS + n_channels * N_NUMBERS_OF_CHANNEL


def _phases(sight: Sight) -> list[torch.Tensor]:
    """Where in its pixel a center lies, which coarse pixels notice."""
    height, width = sight.images.shape[2:]
    corner = torch.tensor([(width - 1) / 2 % 1, (height - 1) / 2 % 1]).to(sight.look.center)
    x, y = torch.cos(2 * math.pi * (sight.look.center + corner)).unbind(dim=1)
    return [x + y, x * y]


def _roughness(images: torch.Tensor, good: torch.Tensor | None) -> torch.Tensor:
    """Mean difference of pixels some way apart, along rows and columns: ``(n, C, 3)``."""
    images = images.float()
    found = [mean_difference(images, good, lag, 2) + mean_difference(images, good, lag, 3) for lag in LAGS]
    return torch.stack(found, dim=2) / 2


def mean_difference(images: torch.Tensor, good: torch.Tensor | None, lag: int, axis: int) -> torch.Tensor:
    """Mean absolute difference of good pixels so far apart along an axis, large ones cut: ``(n, C)``.

    White noise of σ = 1 has about 1.1, and so has an image without a single pair.
    """
    n = max(images.shape[axis] - lag, 0)
    pairs = (images.narrow(axis, images.shape[axis] - n, n) - images.narrow(axis, 0, n)).abs_().clamp_(max=CUT)
    if good is None:
        return pairs.mean(dim=(2, 3)).nan_to_num(OF_WHITE_NOISE)
    good = good[:, None]
    known = good.narrow(axis, images.shape[axis] - n, n) & good.narrow(axis, 0, n)
    return ((pairs * known).sum(dim=(2, 3)) / known.sum(dim=(2, 3))).nan_to_num(OF_WHITE_NOISE)


def _profile(sight: Sight) -> list[torch.Tensor]:
    """How a galaxy's light and that of its point-spread function grow with radius, ``(n, C, n_scales)`` each.

    The radii are in units of the galaxy's own, and its fluxes too, so galaxies of one shape have one profile.
    """
    look = sight.look
    scales = look.scale[:, None] * torch.tensor(OF_GALAXY).to(look.scale)
    light = seen_through(sight.images, look.center, scales, 2).sums / look.flux[:, None, None, None, None]
    flux, across, down = light[..., 0, 0], light[..., 0, 2], light[..., 2, 0]
    elongation = torch.hypot(across - down, 2 * light[..., 1, 1])
    psf = seen_through(sight.psf, torch.zeros_like(look.center), scales, 0).sums[..., 0, 0]
    return [flux, across + down - 2 * flux, elongation, psf]


def _bad_share(sight: Sight, camera: Camera, scales: torch.Tensor) -> torch.Tensor:
    """Share of the weight of some Gaussians that lies on bad pixels: ``(n, C, 3)``."""
    n, n_channels = sight.images.shape[:2]
    if camera.good is None:
        return scales.new_zeros(n, n_channels, 3)
    some = scales[:, [0, scales.shape[1] // 3, 2 * scales.shape[1] // 3]]
    bad = seen_through((~camera.good)[:, None].to(scales), sight.look.center, some, 0)
    return (bad.sums[..., 0, 0] / bad.total.clamp(min=1e-3)).expand(n, n_channels, 3)
