"""Transfer functions of cameras, and the wave numbers that the galaxies of a batch share."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray

from ._psf import PSF
from ._quadrature import graded_nodes

TOLERANCE = 2e-4  # share of a point's amplitude below which wave numbers are left out
SHARPEST = 7 * math.pi  # rad per pixel
ALIKE = 1.2  # largest ratio of the band limits of cameras that share their wave numbers
BATCH = {"cpu": 2**17, "cuda": 2**25}  # wave numbers drawn at a time; on a CPU they stay in its cache
Rows = slice | torch.Tensor


class Cameras:
    """Point-spread functions, one or n, and pixel scales of n galaxies [arcsec]; equal ones are worked out once."""

    def __init__(self, psf, pixel_scale, n: int):
        psfs, scales = _per_galaxy_psf(psf, n), _per_galaxy_scale(pixel_scale, n)
        pairs = list(zip(psfs * (n if len(psfs) == 1 else 1), scales * (n if len(scales) == 1 else 1)))
        self.distinct = list(dict.fromkeys(pairs))
        number = {camera: i for i, camera in enumerate(self.distinct)}
        self._scales = scales
        self._of_galaxy = np.array([number[pair] for pair in pairs], dtype=int)

    def scale_like(self, values: torch.Tensor) -> float | torch.Tensor:
        """Pixel scale: a number, or a tensor (n,) of the dtype and device of `values`."""
        return self._scales[0] if len(self._scales) == 1 else torch.as_tensor(self._scales).to(values)

    def batches(self, npix: int, reach: float, like: torch.Tensor) -> Iterator[tuple[Grid, Rows]]:
        """Rows of galaxies that are drawn at a time, and the grid to draw them on.

        Cameras whose band limits are alike share a grid, and a batch has its galaxies in the order of their cameras.
        """
        limits, abrupt = np.array([band_limit(*camera) for camera in self.distinct]).T
        for members in _groups(limits, abrupt == 1):
            extent = 30 / limits[members].min()  # that of a point grows as its band shrinks
            shared = npix, limits[members].max(), reach + extent
            waves = _waves(*shared)
            rows = np.flatnonzero(np.isin(self._of_galaxy, members))
            rows = rows[np.argsort(self._of_galaxy[rows], kind="stable")]
            size = max(1, BATCH.get(like.device.type, BATCH["cuda"]) // (len(waves["kx"]) * len(waves["ky"])))
            for start in range(0, len(rows), size):
                some = rows[start : start + size]
                used, which = np.unique(self._of_galaxy[some], return_inverse=True)
                transfers = [_transfer(*self.distinct[i], *shared) for i in used]
                transfer = transfers[0] if len(transfers) == 1 else np.stack(transfers)[which]
                yield Grid(waves | {"transfer": transfer}, like), self._selection(some, start)

    def _selection(self, rows: NDArray, start: int) -> Rows:
        """`rows` to index tensors with: a slice, if all galaxies have the same camera."""
        return slice(start, start + len(rows)) if len(self.distinct) == 1 else torch.as_tensor(rows)

    def back(self, drawn: list) -> Rows:
        """The index that brings what was drawn of these rows back into the order of the galaxies."""
        return slice(None) if len(self.distinct) == 1 else torch.cat(drawn).argsort()


def _per_galaxy_psf(psf, n: int) -> list[PSF]:
    """One point-spread function, or n."""
    if hasattr(psf, "transform"):
        return [psf]
    psfs = list(psf)
    if len(psfs) != n or not all(hasattr(one, "transform") for one in psfs):
        raise ValueError(
            f"psf has {len(psfs)} entries; expected a point-spread function, such as MoffatPSF(0.7), or a sequence "
            f"of {n} of them, one per galaxy."
        )
    return psfs


def _per_galaxy_scale(pixel_scale, n: int) -> list[float]:
    """One pixel scale, or n."""
    scales = np.asarray(pixel_scale, dtype=float)
    if scales.shape not in ((), (n,)):
        raise ValueError(f"pixel_scale has shape {scales.shape}; expected a number, or ({n},), one per galaxy.")
    if not (np.isfinite(scales) & (scales > 0)).all():
        raise ValueError(f"pixel_scale={scales.min()}; expected positive numbers, in arcsec.")
    return np.atleast_1d(scales).tolist()


def _groups(limits: NDArray, abrupt: NDArray[np.bool_]) -> list[NDArray]:
    """Cameras whose band limits are alike, or the same if amplitudes end abruptly there: indices of each group."""
    steps = np.floor(np.log(limits) / np.log(ALIKE))
    class_of = np.where(abrupt, limits, -1e3 - steps)  # which no limit is
    return [np.flatnonzero(class_of == one) for one in np.unique(class_of)]


class Grid:
    """Wave numbers per pixel, the transfer function with the weights of the sum, and the waves over the image."""

    kx: torch.Tensor
    ky: torch.Tensor
    transfer: torch.Tensor
    along_rows: torch.Tensor
    along_columns: torch.Tensor

    def __init__(self, arrays: dict[str, NDArray], like: torch.Tensor):
        for name in self.__annotations__:
            tensor = torch.as_tensor(arrays[name], device=like.device)
            setattr(self, name, tensor.to(like.dtype.to_complex() if tensor.is_complex() else like.dtype))

    def image(self, spectrum: torch.Tensor, x_offset: torch.Tensor, y_offset: torch.Tensor, pixels=slice(None)):
        """Sum the waves of Fourier transforms ``(n, len(ky), len(kx))`` in `pixels` of both axes: ``(n, h, w)``."""
        spectrum = spectrum * self.transfer * _phase(y_offset, self.ky)[:, :, None]
        rows = (self.along_rows[pixels] @ spectrum) * _phase(x_offset, self.kx)[:, None, :]
        return torch.view_as_real(rows).flatten(-2) @ self.along_columns[:, pixels]

    def moved(self, spectrum: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Fourier transforms ``(n, len(ky), len(kx))`` of what is moved by `x` and `y` (n,) pixels."""
        return spectrum * _phase(y, self.ky)[:, :, None] * _phase(x, self.kx)[:, None, :]


def _phase(offset: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
    """exp(-ikx): what a shift by `offset` is in Fourier space."""
    angle = offset[:, None] * k
    return torch.complex(torch.cos(angle), -torch.sin(angle))


@lru_cache(maxsize=32)
def _waves(npix: int, limit: float, reach: float) -> dict[str, NDArray]:
    """Wave numbers up to `limit`, and their waves over the image; it is real, so positive `kx` are enough."""
    kx, weight = graded_nodes(limit, reach)
    pixel = np.arange(npix) - (npix - 1) / 2
    across = np.exp(1j * np.outer(kx, pixel))
    ky = np.r_[-kx[::-1], kx]
    return {
        "kx": kx,
        "ky": ky,
        "weight": weight,
        "along_rows": np.exp(1j * np.outer(pixel, ky)),
        "along_columns": np.stack([across.real, -across.imag], axis=1).reshape(-1, npix),  # the real part alone
    }


@lru_cache(maxsize=32)
def _transfer(psf: PSF, pixel_scale: float, npix: int, limit: float, reach: float) -> NDArray:
    """Transfer function times the weights of the sum, which end at the camera's own band limit."""
    waves = _waves(npix, limit, reach)
    kx, weight = waves["kx"], waves["weight"]
    own, _ = band_limit(psf, pixel_scale)
    if own < limit:
        weight = weight * np.clip((own - kx) / weight + 0.5, 0, 1)
    weights = np.r_[weight[::-1], weight]
    return point_transfer(psf, pixel_scale, kx, waves["ky"]) * np.outer(weights, weight) * 2 / (2 * np.pi) ** 2


def point_transfer(psf: PSF, pixel_scale: float, kx: NDArray, ky: NDArray) -> NDArray:
    """Transfer function: the Fourier transform of point-spread function and pixel."""
    transfer = psf.transform(kx / pixel_scale, ky / pixel_scale)
    if psf.includes_pixel:
        return transfer
    return transfer * np.sinc(kx / (2 * np.pi)) * np.sinc(ky / (2 * np.pi))[:, None]


@lru_cache(maxsize=1024)
def band_limit(psf: PSF, pixel_scale: float) -> tuple[float, bool]:
    """Wave number [rad/pixel] where the transfer function ends along the axes; whether it drops to zero there."""
    k = np.linspace(0, SHARPEST, 2000)
    last = 0
    for step in (16, 1):  # first roughly, then around the last one that was seen
        tried = np.arange(last, min(last + 17, len(k)) if step == 1 else len(k), step)
        last = int(tried[_is_seen(psf, pixel_scale, k[tried])][-1])
    if last == len(k) - 1:
        raise ValueError(
            f"{psf} is too sharp for pixel_scale={pixel_scale:g}; expected a full width of half a pixel or "
            "more; both are in arcsec."
        )
    measured = getattr(psf, "band_limit", np.inf) * pixel_scale
    return float(min(k[last + 1], measured)), bool(measured < k[last + 1])


def _is_seen(psf: PSF, pixel_scale: float, k: NDArray) -> NDArray[np.bool_]:
    """Mask of the wave numbers at which the transfer function has an amplitude along the axes."""
    zero = np.zeros(1)
    along_columns = point_transfer(psf, pixel_scale, k, zero)[0]
    along_rows = point_transfer(psf, pixel_scale, zero, k)[:, 0]
    return np.maximum(abs(along_columns), abs(along_rows)) > TOLERANCE
