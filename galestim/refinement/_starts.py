"""Shapes to start from: what the network draws of a galaxy, and moments of its image."""

from __future__ import annotations

import torch

from ..simulation import half_light_radius
from ._coordinates import Coordinates

WINDOW = 1.5  # standard deviation of the window of moments, in half-light radii


def starts(likelihood, drawn, n_candidates: int, psf_fwhm, generator: torch.Generator) -> torch.Tensor:
    """Coordinates ``(G, n_candidates, d)`` of shapes that might be those of galaxies.

    Parameters
    ----------
    likelihood : Likelihood
    drawn : dict of str to Tensor of shape (G, m)
        B/T and half-light radii [arcsec] of draws from the network's posteriors, m at least `n_candidates`; what it
        does not tell is missing.
    n_candidates : int
    psf_fwhm : Tensor of shape (G,)
        In pixels.
    generator : torch.Generator
    """
    coordinates, scale = likelihood.coordinates, likelihood.profiles.pixel_scale.double()
    moments = _moments(likelihood, drawn, psf_fwhm)
    u = torch.randn(len(scale), n_candidates, len(coordinates), generator=generator, device=scale.device).double()
    u = torch.where(coordinates.known.to(u.device), 0.7 * u, u)
    shapes = coordinates.shapes(u)
    tilt = 10 * torch.randn(u.shape[:2], generator=generator, device=u.device)
    power = 0.6 + 1.9 * torch.rand(u.shape[:2], generator=generator, device=u.device)
    shapes["disk_position_angle"] = moments["angle"][:, None] + tilt
    shapes["bulge_position_angle"] = moments["angle"][:, None] + 0.5 * tilt
    shapes["disk_axis_ratio"] = (moments["axis_ratio"][:, None] ** power).clamp(0.1, 0.98)
    for axis in "xy":
        shapes[f"{axis}_offset"] = moments[axis][:, None].expand(u.shape[:2])
    radius = (
        drawn["half_light_radius"] if "half_light_radius" in drawn else moments["radius"][:, None] * scale[:, None]
    )
    share = drawn.get("bulge_to_total", torch.full_like(radius, 0.5))
    _set_radii(shapes, _columns(radius, n_candidates), _columns(share, n_candidates), coordinates)
    u = coordinates.of_shapes(shapes)
    if "psf_width" in coordinates.of:
        u[..., coordinates.names.index("psf_width")] = 0
    return torch.where(coordinates.known.to(u.device), u.clamp(-2.2, 2.2), u)


def _columns(values: torch.Tensor, n: int) -> torch.Tensor:
    return values[:, :n] if values.shape[1] >= n else values[:, :1].expand(-1, n)


def _set_radii(shapes, radius: torch.Tensor, share: torch.Tensor, coordinates: Coordinates) -> None:
    """Scale the radii of both components so that half of the light is within `radius`."""
    ratio = shapes["bulge_ln_radius"] - shapes["disk_ln_radius"]
    galaxy = {
        "bulge_to_total": share.clamp(0, 1),
        "bulge_radius": ratio.exp(),
        "disk_radius": torch.ones_like(ratio),
        "bulge_sersic_index": shapes["bulge_sersic_index"],
        "disk_sersic_index": shapes["disk_sersic_index"],
    }
    unit = half_light_radius({name: values.cpu().flatten() for name, values in galaxy.items()}).view_as(ratio.cpu())
    shapes["disk_ln_radius"] = (radius / unit.to(radius)).log()
    shapes["bulge_ln_radius"] = shapes["disk_ln_radius"] + ratio


def _moments(likelihood, drawn, psf_fwhm: torch.Tensor) -> dict[str, torch.Tensor]:
    """Center [pixels], axis ratio, direction [deg, east of north] and a radius [pixels], in a Gaussian window."""
    npix, good = likelihood.profiles.npix, likelihood.weight > 0
    pixel = torch.arange(npix, device=good.device).double() - (npix - 1) / 2
    x, y = pixel.repeat(npix), pixel.repeat_interleave(npix)
    radius = drawn["half_light_radius"].median(1).values if "half_light_radius" in drawn else None
    width = (
        torch.full_like(psf_fwhm, npix / 12).maximum(psf_fwhm)
        if radius is None
        else WINDOW * torch.hypot(radius / likelihood.profiles.pixel_scale.double(), psf_fwhm / 2)
    )
    width = width.clamp(2.0, npix / 6)
    light = likelihood.images.double() * good
    x0, y0 = torch.zeros_like(width), torch.zeros_like(width)
    for _ in range(4):  # the window follows the center
        dx, dy = x - x0[:, None], y - y0[:, None]
        window = light * torch.exp(-0.5 * (dx**2 + dy**2) / width[:, None] ** 2)
        total = window.sum(1).clamp(min=1e-30)
        x0 = (x0 + 2 * (window * dx).sum(1) / total).clamp(-3, 3)
        y0 = (y0 + 2 * (window * dy).sum(1) / total).clamp(-3, 3)
    xx, xy, yy = ((window * a * b).sum(1) / total for a, b in ((dx, dx), (dx, dy), (dy, dy)))
    trace, difference = (xx + yy).clamp(min=1e-3), torch.hypot(xx - yy, 2 * xy)
    share = (difference / trace).clamp(0, 0.9)
    angle = 90 - torch.rad2deg(0.5 * torch.atan2(2 * xy, xx - yy))
    return {
        "x": x0,
        "y": y0,
        "axis_ratio": ((1 - share) / (1 + share)).sqrt(),
        "angle": angle,
        "radius": 1.2 * (trace / 2).sqrt(),
    }
