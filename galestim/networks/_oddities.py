"""What can be odd about the image of a galaxy or its camera, as a few numbers each."""

from __future__ import annotations

import math
from itertools import repeat
from typing import NamedTuple

import torch

from ._camera import N_PSF, N_SCALES, Camera, Look, gaussian_scales, mean_difference
from ._half_turn import half_turn, noise_of
from ._moments import moments

SIGNIFICANT = 5.0  # σ, of the noise of differences
SHARE = 0.003  # of a galaxy's flux that one spot may hold
MODEST = 0.1  # by how much of its light a galaxy may differ from itself turned by 180 degrees
SHARPER = 1.3  # by how much a pixel may stand out more than that of a star
SKY_SHARE = 0.05  # of the mean light of an image, which its rim may have
AT_ONCE = 32  # images, which stay in a core's cache
FAINT = 10.0  # signal-to-noise ratio below which profiles are not looked at
PLATEAU = 3  # brightest pixels that are equal, of a detector that is full


class Oddities(NamedTuple):
    """Measures of n images and their cameras."""

    camera: torch.Tensor  # (n, p), numbers of the camera: point-spread function, depth, errors
    masked: torch.Tensor  # (n,), as all below: share of the core on bad pixels
    signal_to_noise: torch.Tensor  # logarithm, in a Gaussian aperture, in noise that correlates as it does
    offset: torch.Tensor  # larger coordinate of the center from the image's [pixels]; 0 if faint
    noise: torch.Tensor  # logarithm of noise that is measured over that which is told
    roughness: torch.Tensor  # mean difference of neighboring pixels [noise]: little if noise is smooth
    sky: torch.Tensor  # light at the rim of the image, over what it may be
    size: torch.Tensor  # logarithm of the size as seen over that of a star, its error added three times
    core: torch.Tensor  # by how much light is more compact than a Gaussian: galaxies are never less
    asymmetry: torch.Tensor  # largest difference from the image turned by 180 degrees, over what it may be,
    neighbor: torch.Tensor  # within the galaxy, and outside of it
    sharpness: torch.Tensor  # by how much a pixel stands out; 2 or more if the brightest are equal


@torch.no_grad()
def oddities(images: torch.Tensor, camera: Camera) -> Oddities:
    """Measure images ``(n, C, H, W)`` in units of their noise."""
    parts = zip(images.split(AT_ONCE), *(_split(part, len(images)) for part in camera))
    return Oddities(*map(torch.cat, zip(*(_oddities(some, Camera(*told)) for some, *told in parts))))


def _split(part: torch.Tensor | None, n: int):
    return part.split(AT_ONCE) if part is not None else repeat(None, -(-n // AT_ONCE))


def _oddities(images: torch.Tensor, camera: Camera) -> Oddities:
    look = Look(camera.look[:, :2], *camera.look[:, 2:].unbind(dim=1))
    good, root = camera.good, math.sqrt(images.shape[1])
    light, photons = images.mean(dim=1) * root, camera.photons.mean(dim=1) / root
    look = look._replace(flux=look.flux * root)
    turned = half_turn(light, good, look.center, look.psf_scale)
    noise = noise_of(turned)
    correlated = noise / (math.sqrt(math.pi / 2) * turned.scale)
    ratio = look.flux / (2 * math.sqrt(math.pi) * look.scale * correlated)
    error = torch.hypot(0.7 / ratio, camera.psf_error.clamp(min=0.02))
    asymmetry, neighbor = _asymmetries(turned, noise, look, photons)
    return Oddities(
        _camera_numbers(images, camera, look),
        _masked_share(camera, look),
        ratio.log(),
        look.center.abs().amax(dim=1) * (ratio > FAINT),
        _noise_ratio(images, good).log(),
        _roughness(images, good),
        _sky(light, camera, look),
        (look.scale / look.psf_scale).log() + 3 * error,
        _core(light, look, ratio),
        asymmetry,
        neighbor,
        torch.maximum(_sharpness(light, good, camera.psf.mean(dim=1), photons), 2.0 * _is_full(light, good)),
    )


def _camera_numbers(images: torch.Tensor, camera: Camera, look: Look) -> torch.Tensor:
    """What was told: width, growth and ellipticity of the star, side of the image, errors, photons."""
    nowhere, n_channels = torch.zeros_like(look.center), images.shape[1]
    scales = gaussian_scales(look, N_SCALES)[:, :N_PSF]
    psf, each = camera.psf.flatten(0, 1), scales.repeat_interleave(n_channels, dim=0)
    center = nowhere.repeat_interleave(n_channels, dim=0)
    growth = moments(psf, center, each, 0).sums[:, :, 0, 0]
    second = moments(psf, center, each[:, 1:2], 2).sums[:, 0]
    ellipticity = torch.hypot(second[:, 0, 2] - second[:, 2, 0], 2 * second[:, 1, 1]) / second[:, 0, 0].clamp(
        min=1e-6
    )
    growth = (growth[:, 1:] / growth[:, :1].clamp(min=1e-6)).clamp(min=1e-3).log()
    peak = look.flux / (2 * math.pi * look.scale**2)
    of_all = [look.psf_scale.log(), (min(images.shape[2:]) / look.psf_scale).log()]
    of_all += [error.clamp(min=1e-4).log() for error in (camera.sky_error, camera.psf_error)]
    of_channels = [growth.unflatten(0, (-1, n_channels)).flatten(1), ellipticity.reshape(-1, n_channels)]
    photons = torch.log1p(camera.photons * peak[:, None] / math.sqrt(n_channels))
    return torch.cat([torch.stack(of_all, dim=1), *of_channels, photons], dim=1)


def n_told(n_channels: int) -> int:
    """How many numbers of the camera there are."""
    return 4 + (N_PSF + 1) * n_channels


def _masked_share(camera: Camera, look: Look) -> torch.Tensor:
    if camera.good is None:
        return torch.zeros_like(look.flux)
    found = moments((~camera.good).to(look.flux), look.center, look.psf_scale[:, None], 0)
    return found.sums[:, 0, 0, 0] / found.total[:, 0]


def _noise_ratio(images: torch.Tensor, good: torch.Tensor | None) -> torch.Tensor:
    """Noise of pixels at the edges that differ from their opposites; of several channels the farthest from 1."""
    height, width = images.shape[2:]
    edges = torch.ones(height, width, dtype=torch.bool, device=images.device)
    edges[height // 4 : -(height // 4), width // 4 : -(width // 4)] = False
    edges[(height + 1) // 2 :] = False  # those opposite to the rest
    differences = (images[:, :, edges] - images.flip(2, 3)[:, :, edges]).abs() * 0.5**0.5
    if good is None:
        ratio = 1.4826 * differences.median(dim=2).values
    else:
        known = (good & good.flip(1, 2))[:, None, edges]
        ratio = 1.4826 * torch.where(known, differences, torch.nan).nanmedian(dim=2).values.nan_to_num(1.0)
    farthest = ratio.clamp(min=1e-9).log().abs().argmax(dim=1, keepdim=True)
    return ratio.gather(1, farthest)[:, 0].clamp(min=1e-9)


def _roughness(images: torch.Tensor, good: torch.Tensor | None) -> torch.Tensor:
    """Mean difference of neighbors along the four edges, large ones cut; of several channels the smoothest."""
    found = []
    for axis, along in ((2, 3), (3, 2)):
        band = images.shape[axis] // 4
        for start in (0, images.shape[axis] - band):
            known = None if good is None else good.narrow(axis - 1, start, band)
            found.append(mean_difference(images.narrow(axis, start, band), known, 1, along))
    return torch.stack(found).mean(dim=0).amin(dim=1)


def _core(light: torch.Tensor, look: Look, ratio: torch.Tensor) -> torch.Tensor:
    """Share of the light in a small aperture, less that of a Gaussian; 0 of what is faint, or too large.

    Galaxies have more, unless they are stretched or the detector is full.
    """
    scales = look.scale[:, None] * look.scale.new_tensor([0.5, 1.0])
    small, large = moments(light, look.center, scales, 0).sums[:, :, 0, 0].unbind(dim=1)
    told = (look.scale < 0.24 * min(light.shape[1:])) & (ratio > FAINT)
    return torch.where(told, small / large.clamp(min=1.0) - 0.4 + 1.5 / ratio, 0.0)


def _sky(light: torch.Tensor, camera: Camera, look: Look) -> torch.Tensor:
    width = max(3, min(light.shape[1:]) // 16)
    rim = torch.ones(light.shape[1:], dtype=torch.bool, device=light.device)
    rim[width:-width, width:-width] = False
    values = light[:, rim]
    if camera.good is None:
        level = values.median(dim=1).values
    else:
        level = torch.where(camera.good[:, rim], values, torch.nan).nanmedian(dim=1).values.nan_to_num(0.0)
    own = SKY_SHARE * look.flux / light[0].numel()
    may = (camera.sky_error**2 + 0.1**2 + own**2).sqrt()
    return level / may


def _asymmetries(turned, noise: torch.Tensor, look: Look, photons: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    even = turned.even.clamp(min=0)
    error = (noise[:, None, None] ** 2 + 0.5 * photons[:, None, None] * even).sqrt()
    star = 0.5 / (1 + (look.psf_scale / turned.scale) ** 2)  # what half of a difference has of a star of flux 1
    may = SIGNIFICANT * error + MODEST * even + (SHARE * star * look.flux)[:, None, None]
    odd = torch.where(turned.known, turned.odd.abs() / may, 0)
    outside = turned.radius > 2.5 * look.scale[:, None, None]
    return torch.where(outside, 0, odd).amax(dim=(1, 2)), torch.where(outside, odd, 0).amax(dim=(1, 2))


def _sharpness(light, good: torch.Tensor | None, psf: torch.Tensor, photons: torch.Tensor) -> torch.Tensor:
    """Largest second difference of the middle's pixels along rows and columns, over that of noise and of a star."""
    found, light = [], _middle(light)
    good = None if good is None else _middle(good)
    for across in (True, False):
        image, star = (light, psf) if across else (light.mT.contiguous(), psf.mT)
        known = good if good is None or across else good.mT
        of_star = _second(star).abs().amax(dim=(1, 2)) / star.amax(dim=(1, 2)).clamp(min=1e-6)
        brightest = torch.maximum(torch.maximum(image[..., :-2], image[..., 2:]), image[..., 1:-1]).clamp(min=0)
        error = (1.5 + 1.5 * photons[:, None, None] * brightest).sqrt()
        sharp = _second(image).abs() / (6 * error + SHARPER * of_star[:, None, None] * brightest)
        if known is not None:
            sharp = torch.where(known[..., 1:-1] & known[..., :-2] & known[..., 2:], sharp, 0)
        found.append(sharp.amax(dim=(1, 2)))
    return torch.maximum(*found)


def _middle(images: torch.Tensor) -> torch.Tensor:
    """The middle half of images, at least 32 pixels."""
    height, width = (max(side // 4, min(16, side // 2)) for side in images.shape[1:])
    y, x = images.shape[1] // 2, images.shape[2] // 2
    return images[:, y - height : images.shape[1] - y + height, x - width : images.shape[2] - x + width].contiguous()


def _second(image: torch.Tensor) -> torch.Tensor:
    return image[..., 1:-1] - (image[..., :-2] + image[..., 2:]) / 2


def _is_full(light: torch.Tensor, good: torch.Tensor | None) -> torch.Tensor:
    """Whether several pixels are exactly as bright as the brightest, which stands out of the noise."""
    peak = light.amax(dim=(1, 2))
    equal = light == peak[:, None, None]
    equal = equal if good is None else equal & good
    return (equal.sum(dim=(1, 2)) >= PLATEAU) & (peak > SIGNIFICANT)
