"""Light of galaxies through a grid of small apertures about their centers, and how it differs by a half turn."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch

STEP, SMALLEST = 2.0, 1.5  # pixels between apertures; least σ of one
MASKED = 0.3  # share of bad pixels above which an aperture is not believed


class HalfTurn(NamedTuple):
    """Gaussian apertures of images of galaxies, and of the images turned by 180 degrees about the galaxy's center."""

    odd: torch.Tensor  # (n, p, p), half of the difference of both, in units of the noise of a pixel
    even: torch.Tensor  # (n, p, p), half of the sum
    radius: torch.Tensor  # (p, p), distance of the apertures from the center [pixels]
    known: torch.Tensor  # (n, p, p), whether aperture and opposite lie within the image and on good pixels
    scale: torch.Tensor  # (n,), σ of the apertures [pixels]


def half_turn(light: torch.Tensor, good: torch.Tensor | None, center: torch.Tensor, psf: torch.Tensor) -> HalfTurn:
    """Apertures of images `light` ``(n, H, W)`` about `center` ``(n, 2)``, as wide as a star of the scale `psf` is.

    Their centers need not be those of pixels, so that a galaxy between pixels is as symmetric as one on them.
    """
    scale, sides = psf.clamp(min=SMALLEST), light.shape[:0:-1]
    reach = int(min(sides) / 2 / STEP)
    steps = STEP * torch.arange(-reach, reach + 1, dtype=light.dtype, device=light.device)
    across, down = (_apertures(side, center[:, axis], scale, steps) for axis, side in enumerate(sides))
    seen = down @ light @ across.transpose(1, 2)
    inside_x, inside_y = (
        steps.abs() + center[:, axis, None].abs() <= (side - 1) / 2 for axis, side in enumerate(sides)
    )
    known = inside_y[:, :, None] & inside_x[:, None]
    if good is not None:
        bad = down @ (~good).to(light) @ across.transpose(1, 2)
        some = bad > MASKED * (down.sum(2)[:, :, None] * across.sum(2)[:, None])
        known = known & ~some & ~some.flip(1, 2)
    turned = seen.flip(1, 2)
    return HalfTurn((seen - turned) / 2, (seen + turned) / 2, torch.hypot(steps[:, None], steps), known, scale)


def _apertures(side: int, center: torch.Tensor, scale: torch.Tensor, steps: torch.Tensor) -> torch.Tensor:
    pixel = torch.arange(side, dtype=steps.dtype, device=steps.device) - (side - 1) / 2
    return torch.exp(-0.5 * ((pixel - center[:, None, None] - steps[:, None]) / scale[:, None, None]) ** 2)


def noise_of(turned: HalfTurn) -> torch.Tensor:
    """Noise ``(n,)`` of the half differences, that of white noise if it is more; blind to a few neighbors."""
    white = math.sqrt(math.pi / 2) * turned.scale
    known, odd = turned.known[:, ::2, ::2], turned.odd[:, ::2, ::2]  # a quarter of them tells as much
    values = torch.where(known, odd.abs(), torch.nan).flatten(1)
    return torch.maximum(1.4826 * values.nanmedian(dim=1).values.nan_to_num(0.0), white)
