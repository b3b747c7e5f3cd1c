"""Bulges and disks of unit flux, many shapes for each galaxy: what refinement compares with images."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ._cameras import _groups, _transfer, _waves, band_limit
from ._psf import PSF, Widened
from ._samples import COMPONENTS, Samples
from ._sersic import elliptical

BATCH = {"cpu": 2**17, "cuda": 2**25}  # wave numbers at a time; on a CPU they stay in its cache
ONE = 0x3F800000  # bits of 1 in float32
WIDTH_STEP = 1e-3  # in the logarithm of the width
SYMMETRIC = 1e-6  # largest imaginary amplitude of a point-spread function that is taken for none
MARGIN, POINT = 2, 10  # pixels by which galaxies may be off the center; extent of a point over that of its band
BINS = 6  # 2^6 in an octave of 1 + k², between which profiles are interpolated


def alike(psfs: Sequence[PSF], pixel_scale: NDArray) -> list[NDArray[np.intp]]:
    """Galaxies whose cameras may share wave numbers: rows of each group."""
    limits, abrupt = np.array([band_limit(psf, float(scale)) for psf, scale in zip(psfs, pixel_scale)]).T
    return _groups(limits, abrupt == 1)


class Profiles:
    """What draws bulges and disks of G galaxies, each through its own camera, of `psfs` that are `alike`.

    Waves over an image are cosines and sines, so that all products are real; that takes half of the work that
    `render` has, whose images these are. `samples` are their transforms at a few wave numbers. `width_error` (G,) are
    the errors of the widths of the point-spread functions, as shares of these; None: they are as told.
    """

    def __init__(self, psfs: Sequence[PSF], pixel_scale: NDArray, npix: int, device, width_error=None):
        self.npix, self.device = npix, torch.device(device)
        self.pixel_scale = self._tensor(pixel_scale)
        cameras = [(psf, float(scale)) for psf, scale in zip(psfs, pixel_scale)]
        distinct = list(dict.fromkeys(cameras))
        self.camera = torch.as_tensor([distinct.index(one) for one in cameras], device=self.device)
        limits = [band_limit(*camera)[0] for camera in distinct]
        self._shared = npix, max(limits), npix / 2 + MARGIN + POINT / min(limits)
        k = _waves(*self._shared)["kx"]
        self.k, self.transfer = self._tensor(k), self._quadrants([self._transfer(*one) for one in distinct])
        angle = np.outer(k, np.arange(npix) - (npix - 1) / 2)
        bits = ONE + np.arange(64 << BINS, dtype=np.int32) * (1 << (23 - BINS))
        self.nodes = self._tensor(bits.view(np.float32))  # evenly spaced within each octave
        self.cos, self.sin = self._tensor(np.cos(angle)), self._tensor(np.sin(angle))
        self.slope = self._quadrants([self._slope(*one) for one in distinct]) if width_error is not None else None
        self.width_error = None if width_error is None else self._tensor(width_error)
        self.samples = Samples(distinct, self.camera, max(limits), self.width_error)

    def _tensor(self, values) -> torch.Tensor:
        return torch.as_tensor(np.asarray(values), dtype=torch.float32, device=self.device)

    def _transfer(self, psf: PSF, scale: float) -> NDArray:
        return _transfer(psf, scale, *self._shared)

    def _slope(self, psf: PSF, scale: float) -> NDArray:
        """Derivative of the transfer function by the logarithm of the width."""
        widths: list[Any] = [Widened(psf, 1 + side * WIDTH_STEP) for side in (1, -1)]
        wider, narrower = (self._transfer(one, scale) for one in widths)
        return (wider - narrower) / (2 * WIDTH_STEP)

    def _quadrants(self, transfers: list[NDArray]) -> torch.Tensor:
        """Transfer functions ``(cameras, parts, 2, m, m)`` at ky and -ky; parts are real (imaginary)."""
        m = len(transfers[0]) // 2
        both = np.stack([np.stack([each[m:], each[:m][::-1]]) for each in transfers])
        odd = abs(both.imag).max() > SYMMETRIC * abs(both.real).max() if np.iscomplexobj(both) else False
        return self._tensor(np.stack([both.real, both.imag] if odd else [both.real], axis=1))

    def of_rows(self, rows: torch.Tensor) -> Profiles:
        """Those of some galaxies."""
        some = copy.copy(self)
        some.pixel_scale, some.camera = self.pixel_scale[rows], self.camera[rows]
        some.samples = self.samples.of_rows(rows)
        some.width_error = None if self.width_error is None else self.width_error[rows]
        return some

    def draw(self, shapes: dict[str, torch.Tensor]) -> torch.Tensor:
        """Images of unit flux of bulges and disks.

        Parameters
        ----------
        shapes : dict of str to Tensor of shape (G, K)
            ``ln_radius`` [arcsec], ``sersic_index``, ``axis_ratio``, ``position_angle`` of ``bulge_`` and ``disk_``;
            ``x_offset``, ``y_offset`` [pixels]; ``psf_width``, the logarithm of what the width is over what
            it was told, in units of its error.

        Returns
        -------
        images : Tensor of shape (G, K, 2, npix²)
        """
        n_galaxies, n_shapes = shapes["x_offset"].shape
        flat = {name: values.reshape(-1).float() for name, values in shapes.items()}
        galaxy = torch.arange(n_galaxies, device=self.device).repeat_interleave(n_shapes)
        if self.width_error is not None:
            flat["psf_width"] = flat["psf_width"] * self.width_error[galaxy]
        scale = self.pixel_scale[galaxy]
        parts = [elliptical(flat, name, flat[f"{name}_ln_radius"].exp(), scale) for name in COMPONENTS]
        size = max(1, BATCH.get(self.device.type, BATCH["cuda"]) // (2 * len(self.k) ** 2))
        images = torch.empty(len(galaxy), 2, self.npix**2, device=self.device)
        for start in range(0, len(galaxy), size):
            rows = slice(start, start + size)
            self._draw(flat, parts, self.camera[galaxy[rows]], rows, images[rows])
        return images.view(n_galaxies, n_shapes, 2, -1)

    def _draw(self, flat, parts, cameras, rows: slice, out: torch.Tensor) -> None:
        transfer = self.transfer[cameras] if len(self.transfer) > 1 else self.transfer
        if self.slope is not None:
            width = flat["psf_width"][rows].view(-1, 1, 1, 1, 1)
            transfer = transfer + width * (self.slope[cameras] if len(self.slope) > 1 else self.slope)
        waves = [self._waves(flat[f"{axis}_offset"][rows]) for axis in "xy"]
        for i, part in enumerate(parts):
            out[:, i] = self._sum(self._spectrum(part, rows), transfer, *waves)

    def _waves(self, offset: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Cosines and sines ``(b, m, npix)`` over pixels, from a center that is off by `offset`."""
        cos, sin = (f(offset[:, None, None] * self.k[:, None]) for f in (torch.cos, torch.sin))
        return self.cos * cos + self.sin * sin, self.sin * cos - self.cos * sin

    def _spectrum(self, part, rows: slice) -> torch.Tensor:
        """Fourier transforms ``(b, 2, m, m)`` at positive and negative ky, from tables of their profiles."""
        profile, xx, xy, yy = part[0][rows], *(values[rows, None, None] for values in part[1:])
        square = self.k.square()
        even, odd = xx * square + yy * square[:, None] + 1, xy * (self.k * self.k[:, None])
        values = torch.stack([even + odd, even - odd], dim=1).clamp_(min=1)
        bits = values.view(torch.int32) - ONE
        places = torch.bitwise_right_shift(bits, 23 - BINS)
        n = int(places.max()) + 2
        table = self._unbiased(profile((self.nodes[:n] - 1).expand(len(values), 1, n))[:, 0]).flatten()
        beyond = torch.bitwise_and(bits, 2 ** (23 - BINS) - 1).float().mul_(0.5 ** (23 - BINS))
        places += torch.arange(0, len(table), n, dtype=torch.int32, device=self.device)[:, None, None, None]
        places = places.flatten()
        low, high = table.index_select(0, places), table.index_select(0, places + 1)
        return low.lerp_(high, beyond.flatten()).view_as(values)

    def _unbiased(self, values: torch.Tensor) -> torch.Tensor:
        """Values at nodes, moved so that lines between them are right on average, also where they bend."""
        step = self.nodes[: values.shape[1]].diff()
        slope = values.diff() / step
        bend = slope.diff() * step[:-1] * step[1:] / (6 * (step[:-1] + step[1:]))
        values[:, 1:-1] -= bend
        return values

    def _sum(self, spectrum, transfer, x_waves, y_waves) -> torch.Tensor:
        """Sum the waves in all pixels: ``(b, npix²)``."""
        seen = spectrum[:, None] * transfer
        total, difference = seen[:, :, 0] + seen[:, :, 1], seen[:, :, 0] - seen[:, :, 1]
        (x_cos, x_sin), (y_cos, y_sin) = x_waves, y_waves
        even, odd = total[:, 0] @ x_cos, difference[:, 0] @ x_sin
        if seen.shape[1] == 2:  # a point-spread function that is not symmetric
            even, odd = even - total[:, 1] @ x_sin, odd + difference[:, 1] @ x_cos
        return (y_cos.mT @ even - y_sin.mT @ odd).flatten(1)
