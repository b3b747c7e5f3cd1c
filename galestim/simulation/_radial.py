"""Sums over the image of a galaxy, from integrals over wave number of its circularized profile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from ._parameters import as_tensors
from ._psf import PSF, round_transform
from ._sersic import SersicTransforms

N_WAVES = 128
LONGEST, LARGEST = 300.0, 3 * np.pi  # longest wave, in the largest radius or width; largest wave number per pixel
NAMES = ("bulge_to_total", "bulge_radius", "disk_radius", "bulge_sersic_index", "disk_sersic_index")


class Profile(NamedTuple):
    """Of images of unit flux: the sum of the squares of their pixels (n,), and the pixel in their center (n,)."""

    square: NDArray
    center: NDArray


def profile_of(parameters: Mapping, psfs: Sequence[PSF], pixel_scale: NDArray) -> Profile:
    r"""Sum of squares and central pixel of n galaxies of unit flux, each circularized and seen by its camera.

    With the transform P(k) of galaxy, point-spread function and pixel, these are, by Parseval's theorem,

    .. math:: \sum_{pixels} p^2 = \frac{1}{2π} \int k\, P(k)^2 dk, \quad p_{center} = \frac{1}{2π} \int k\, P(k) dk,

    by the trapezoidal rule in ln k.
    """
    tensors = as_tensors(parameters, NAMES, dtype=torch.float64)
    radii = {name: tensors[f"{name}_radius"].numpy() / pixel_scale for name in ("bulge", "disk")}
    widths = np.array([psf.fwhm for psf in psfs]) / pixel_scale  # type: ignore[attr-defined]
    smallest = 1 / (LONGEST * np.maximum(np.maximum(*radii.values()), widths))
    steps = np.log(LARGEST / smallest)[:, None] / (N_WAVES - 1)
    k = smallest[:, None] * np.exp(steps * np.arange(N_WAVES))
    amplitude = _camera(psfs, k, pixel_scale) * _galaxy(tensors, radii, k)
    weight = k**2 * steps / (2 * np.pi)
    return Profile((weight * amplitude**2).sum(1), (weight * amplitude).sum(1))


def _galaxy(tensors: Mapping[str, torch.Tensor], radii: Mapping[str, NDArray], k: NDArray) -> NDArray:
    """Transform of bulge and disk at `k` (n, m) per pixel."""
    parts = []
    for name, radius in radii.items():
        profile = SersicTransforms(tensors[f"{name}_sersic_index"])
        scaled = torch.as_tensor(radius[:, None] * k) / profile.turnover[:, None]
        parts.append(profile(scaled[:, None] ** 2)[:, 0].numpy())
    share = tensors["bulge_to_total"].numpy()[:, None]
    return share * parts[0] + (1 - share) * parts[1]


def _camera(psfs: Sequence[PSF], k: NDArray, pixel_scale: NDArray) -> NDArray:
    """Transform of point-spread function and pixel at `k` (n, m) per pixel; that of a pixel is as of a Gaussian."""
    transfer = np.stack([round_transform(psf, k[i] / pixel_scale[i]) for i, psf in enumerate(psfs)])
    pixel = np.exp(-(k**2) / 24)
    return np.where([[psf.includes_pixel] for psf in psfs], transfer, transfer * pixel)
