"""Transforms of bulges and disks at a few wave numbers, of which their images are nearly linear functions."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ._cameras import point_transfer
from ._psf import PSF, Widened
from ._sersic import elliptical

LENGTHS, DIRECTIONS = 12, 6  # of wave numbers in half a plane; lengths are evenly spaced in their logarithm
WIDTH_STEP = 1e-2  # in the logarithm of the width of a point-spread function
COMPONENTS = "bulge", "disk"
OWN = {"ln_radius": 1e-3, "sersic_index": 1e-3, "axis_ratio": 1e-3, "position_angle": 0.02}  # steps of differences
COMMON = {"x_offset": 1e-3, "y_offset": 1e-3, "psf_width": 1e-3}  # likewise, of what both components have


class Samples:
    """What samples the transforms of G galaxies, as `Profiles` draws them.

    Parameters
    ----------
    cameras : list of (PSF, float)
        Distinct point-spread functions and pixel scales [arcsec].
    camera : Tensor of shape (G,)
        That of each galaxy.
    limit : float
        Wave number at which cameras end.
    width_error : Tensor of shape (G,) or None
    """

    def __init__(self, cameras: Sequence[tuple[PSF, float]], camera: torch.Tensor, limit: float, width_error):
        self.camera, self.width_error, device = camera, width_error, camera.device
        k = _wave_numbers(limit)
        seen = np.array([_transfer(*one, k, width_error is not None) for one in cameras])
        self.k, self.transfer = torch.as_tensor(np.array(k), device=device), torch.as_tensor(seen, device=device)
        self.pixel_scale = torch.tensor([scale for _, scale in cameras], dtype=torch.float64, device=device)

    def of_rows(self, rows: torch.Tensor) -> Samples:
        """Those of some galaxies."""
        some = copy.copy(self)
        some.camera = self.camera[rows]
        some.width_error = None if self.width_error is None else self.width_error[rows]
        return some

    def __call__(self, shapes: dict[str, torch.Tensor]) -> torch.Tensor:
        """Samples ``(G, 2, K, s)`` of shapes ``(G, K)``, as `Profiles.draw` takes them, and of their type."""
        waves = self._waves(shapes)
        return torch.stack([(self._profile(shapes, name) * waves).flatten(2) for name in COMPONENTS], 1)

    def slopes(self, shapes: dict[str, torch.Tensor]) -> torch.Tensor:
        """What samples change by with each of the m `parameters`: ``(G, 2, K, m, s)``."""
        waves, found = self._waves(shapes), []
        moves = [
            (self._waves(_moved(shapes, name, step)) - waves) / step
            for name, step in COMMON.items()
            if name in shapes
        ]
        for component in COMPONENTS:
            profile = self._profile(shapes, component)
            changes = [profile * move for move in moves]
            for name, step in OWN.items():
                moved = self._profile(_moved(shapes, f"{component}_{name}", step), component)
                changes.append((moved - profile) / step * waves)
            found.append(torch.stack(changes, 2).flatten(3))
        return torch.stack(found, 1)

    @staticmethod
    def parameters(shapes: dict[str, torch.Tensor]) -> list[list[str]]:
        """Names of the parameters of `slopes`, of bulges and of disks."""
        common = [name for name in COMMON if name in shapes]
        return [common + [f"{component}_{name}" for name in OWN] for component in COMPONENTS]

    def _waves(self, shapes) -> torch.Tensor:
        """Cosines and sines, as cameras see them: ``(G, K, 2 or 4, s)``."""
        x, y = shapes["x_offset"], shapes["y_offset"]
        kx, ky = self.k.to(x)
        phase = x[..., None] * kx + y[..., None] * ky
        seen = self.transfer.to(x)[self.camera][:, None]  # (G, 1, 1 or 2, s)
        if self.width_error is not None:
            width = (shapes["psf_width"] * self.width_error[:, None].to(x))[..., None, None]
            seen = torch.cat([seen[:, :, :1].expand(*x.shape, -1, -1), width * seen[:, :, 1:]], 2)
        return (seen[..., None, :] * torch.stack([phase.cos(), phase.sin()], 2)[:, :, None]).flatten(2, 3)

    def _profile(self, shapes, name: str) -> torch.Tensor:
        """Transforms of one component ``(G, K, 1, s)``."""
        flat = {key: values.flatten() for key, values in shapes.items()}
        size, (kx, ky) = shapes["x_offset"].shape, self.k.to(shapes["x_offset"])
        scale = self.pixel_scale[self.camera].to(kx).repeat_interleave(size[1])
        profile, *form = elliptical(flat, name, flat[f"{name}_ln_radius"].exp(), scale)
        xx, xy, yy = (values[:, None, None] for values in form)
        return profile(xx * kx**2 + xy * (kx * ky) + yy * ky**2).view(*size, 1, -1)


def _moved(shapes, name: str, step: float) -> dict[str, torch.Tensor]:
    return shapes | {name: shapes[name] + step}


def _wave_numbers(limit: float) -> tuple[NDArray, NDArray]:
    """Along x and y ``(s,)``, up to that where cameras end."""
    length = np.geomspace(limit / 150, 0.9 * limit, LENGTHS)
    angle = (np.arange(DIRECTIONS) + 0.5) * np.pi / DIRECTIONS
    return np.outer(length, np.cos(angle)).ravel(), np.outer(length, np.sin(angle)).ravel()


def _transfer(psf: PSF, scale: float, k, with_width: bool) -> NDArray:
    """Amplitudes, and what they change by if the width does: ``(1 or 2, s)``."""
    widths: list[Any] = [psf, Widened(psf, 1 + WIDTH_STEP)] if with_width else [psf]
    own, *wider = (abs(np.diagonal(point_transfer(one, scale, *k))) for one in widths)
    area = np.hypot(*k)
    return np.stack([own * area, *((one - own) / WIDTH_STEP * area for one in wider)])
