"""Images of galaxies, a bulge and a disk each, summed from their Fourier transform; differentiable in everything."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray

from ._parameters import as_tensors
from ._psf import PSF
from ._quadrature import graded_nodes
from ._sersic import SersicTransforms

TOLERANCE = 2e-4  # share of a point's amplitude below which wave numbers are left out
SHARPEST = 7 * math.pi  # rad per pixel
BATCH = {"cpu": 2**17, "cuda": 2**25}  # wave numbers drawn at a time; on a CPU they stay in its cache


def render(parameters: Mapping, *, npix: int, pixel_scale: float, psf: PSF, device=None, dtype=None) -> torch.Tensor:
    r"""Draw noiseless images of galaxies.

    Parameters
    ----------
    parameters : mapping of str to array-like or Tensor of shape (n,)
        ``flux`` [image units], of all light out to infinity; ``bulge_to_total``; ``bulge_radius`` and
        ``disk_radius``, which hold half of a component's light [arcsec], circularized: the geometric mean of the
        semi-axes; ``bulge_sersic_index`` and ``disk_sersic_index``, 0.5 to 6.2; ``bulge_axis_ratio`` and
        ``disk_axis_ratio``, minor over major; ``bulge_position_angle`` and ``disk_position_angle`` of the major
        axes [deg, east of north]; ``x_offset`` and ``y_offset`` of the center from that of the image [pixels, along
        columns and rows]. Others are ignored.
    npix : int
        Height and width of the images.
    pixel_scale : float
        Side of a pixel [arcsec].
    psf : PSF
        Point-spread function: `MoffatPSF`, `GaussianPSF`, `ImagePSF`, or any hashable object with their
        ``transform`` and ``includes_pixel``.
    device : torch.device or str, default=None
        Where to draw; None: where the parameters are.
    dtype : torch.dtype, default=None
        Of the images; None: that of the parameters if they are tensors, else float32.

    Returns
    -------
    images : Tensor of shape (n, npix, npix)
        Flux in each pixel [image units]; row 0 is north, column 0 is east. The parameters' gradients flow through it.

    Raises
    ------
    ValueError
        If a parameter is missing, has another shape, or is outside its limits, or `psf` is too sharp for the pixels.

    Notes
    -----
    A pixel holds

    .. math:: I(x) = \frac{1}{(2π)^2} \int F(k)\, T(k)\, e^{i k x} d^2k

    with F of the two Sérsic profiles [1]_, and T of point-spread function and pixel. F comes from an exact formula,
    stored as polynomials. The sum runs over wave numbers whose density is graded toward zero instead of over the even
    ones of an FFT: no light returns from periodic copies, which in the wings of bulges would be a percent of the
    flux, and T may reach beyond the pixels' Nyquist frequency. What is left out is below 2e-4 of an image's peak.

    References
    ----------
    .. [1] Sérsic 1963, Boletín de la Asociación Argentina de Astronomía 6, 41; Graham & Driver 2005, PASA 22, 118.

    Examples
    --------
    >>> import torch
    >>> from galestim.simulation import MoffatPSF, render, sim_v1_prior
    >>> galaxies = sim_v1_prior().draw(3, random_state=0)
    >>> camera = {"npix": 96, "pixel_scale": 0.168, "psf": MoffatPSF(0.58)}
    >>> render(galaxies, **camera).shape
    torch.Size([3, 96, 96])

    How the center of the image brightens with the index of the disk:

    >>> galaxies["disk_sersic_index"] = torch.tensor([0.9, 1.0, 1.1], requires_grad=True)
    >>> render(galaxies, **camera)[:, 47:49, 47:49].sum().backward()
    >>> bool((galaxies["disk_sersic_index"].grad > 0).all())
    True
    """
    tensors = as_tensors(parameters, device=device, dtype=dtype)
    return render_tensors(tensors, npix, pixel_scale, psf)


def render_tensors(tensors: Mapping[str, torch.Tensor], npix: int, pixel_scale: float, psf: PSF) -> torch.Tensor:
    """`render` without its checks."""
    offsets = torch.stack([tensors["x_offset"], tensors["y_offset"]]).detach().abs()
    farthest = float(offsets.max()) if offsets.numel() else 0.0
    reach = npix / 2 + (1 if farthest <= 1 else 16 * math.ceil(farthest / 16))  # so that few grids are made
    grid = _Grid(_camera(npix, pixel_scale, psf, reach), tensors["flux"].device, tensors["flux"].dtype)
    components = [_Component(tensors, name, pixel_scale) for name in ("bulge", "disk")]
    size = max(1, BATCH.get(grid.transfer.device.type, BATCH["cuda"]) // grid.transfer.numel())
    n = len(tensors["flux"])
    images = [
        grid.image([component[rows] for component in components], *(tensors[f"{axis}_offset"][rows] for axis in "xy"))
        for rows in (slice(start, start + size) for start in range(0, max(n, 1), size))
    ]
    return torch.cat(images)


class _Component:
    """Bulges or disks: flux, profile, and k² = xx kx² + xy kx ky + yy ky² in which they are round."""

    def __init__(self, tensors: Mapping[str, torch.Tensor], name: str, pixel_scale: float):
        bulge_flux = tensors["flux"] * tensors["bulge_to_total"]
        self.flux = bulge_flux if name == "bulge" else tensors["flux"] - bulge_flux
        self.profile = SersicTransforms(tensors[f"{name}_sersic_index"])
        angle, axis_ratio = torch.deg2rad(tensors[f"{name}_position_angle"]), tensors[f"{name}_axis_ratio"]
        # North is against the rows, east against the columns: the major axis is along (x, y) = (sin, cos).
        scale = (tensors[f"{name}_radius"] / pixel_scale / self.profile.turnover) ** 2
        major, minor, sin, cos = scale / axis_ratio, scale * axis_ratio, torch.sin(angle), torch.cos(angle)
        self.xx = major * sin**2 + minor * cos**2
        self.yy = major * cos**2 + minor * sin**2
        self.xy = 2 * (major - minor) * sin * cos

    def __getitem__(self, rows: slice) -> _Component:
        """Those of some galaxies."""
        chosen = object.__new__(_Component)
        for name, values in vars(self).items():
            setattr(chosen, name, values[rows])
        return chosen

    def spectrum(self, kx: torch.Tensor, ky: torch.Tensor) -> torch.Tensor:
        """Fourier transform ``(n, len(ky), len(kx))``."""
        flux, xx, xy, yy = (v[:, None, None] for v in (self.flux, self.xx, self.xy, self.yy))
        ky = ky[:, None]
        return flux * self.profile(torch.addcmul(yy * ky**2, xx * kx + xy * ky, kx))


class _Grid:
    """Wave numbers per pixel, the transfer function with the weights of the sum, and the waves over the image."""

    kx: torch.Tensor
    ky: torch.Tensor
    transfer: torch.Tensor
    along_rows: torch.Tensor
    along_columns: torch.Tensor

    def __init__(self, camera: dict[str, NDArray], device, dtype):
        for name, array in camera.items():
            tensor = torch.as_tensor(array, device=device)
            setattr(self, name, tensor.to(dtype.to_complex() if tensor.is_complex() else dtype))

    def image(self, components, x_offset: torch.Tensor, y_offset: torch.Tensor) -> torch.Tensor:
        """Sum the waves: ``(n, npix, npix)``."""
        spectrum = sum(component.spectrum(self.kx, self.ky) for component in components) * self.transfer
        spectrum = spectrum * _phase(y_offset, self.ky)[:, :, None]
        rows = (self.along_rows @ spectrum) * _phase(x_offset, self.kx)[:, None, :]
        return torch.view_as_real(rows).flatten(-2) @ self.along_columns


def _phase(offset: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
    """exp(-ikx): what a shift by `offset` is in Fourier space."""
    angle = offset[:, None] * k
    return torch.complex(torch.cos(angle), -torch.sin(angle))


@lru_cache(maxsize=32)
def _camera(npix: int, pixel_scale: float, psf: PSF, reach: float) -> dict[str, NDArray]:
    """What a `_Grid` is made of; images are real, so positive `kx` are enough."""
    limit = _band_limit(psf, pixel_scale)
    kx, weight = graded_nodes(limit, reach + 30 / limit)  # the extent of a point grows as its band shrinks
    ky, weights = np.r_[-kx[::-1], kx], np.r_[weight[::-1], weight]
    pixel = np.arange(npix) - (npix - 1) / 2
    across = np.exp(1j * np.outer(kx, pixel))
    return {
        "kx": kx,
        "ky": ky,
        "transfer": _transfer(psf, pixel_scale, kx, ky) * np.outer(weights, weight) * 2 / (2 * np.pi) ** 2,
        "along_rows": np.exp(1j * np.outer(pixel, ky)),
        "along_columns": np.stack([across.real, -across.imag], axis=1).reshape(-1, npix),  # the real part alone
    }


def _transfer(psf: PSF, pixel_scale: float, kx: NDArray, ky: NDArray) -> NDArray:
    """What becomes of a point: Fourier transform of point-spread function and pixel."""
    transfer = psf.transform(kx / pixel_scale, ky / pixel_scale)
    if psf.includes_pixel:
        return transfer
    return transfer * np.sinc(kx / (2 * np.pi)) * np.sinc(ky / (2 * np.pi))[:, None]


def _band_limit(psf: PSF, pixel_scale: float) -> float:
    """Wave number [rad/pixel] after which a point has no amplitude along the axes."""
    k, zero = np.linspace(0, SHARPEST, 2000), np.zeros(1)
    along_columns, along_rows = _transfer(psf, pixel_scale, k, zero)[0], _transfer(psf, pixel_scale, zero, k)[:, 0]
    seen = np.flatnonzero(np.maximum(abs(along_columns), abs(along_rows)) > TOLERANCE)
    if seen[-1] == len(k) - 1:
        raise ValueError(
            f"{psf} is too sharp for pixel_scale={pixel_scale:g}; expected a full width of half a pixel or "
            "more; both are in arcsec."
        )
    return float(min(k[seen[-1] + 1], getattr(psf, "band_limit", np.inf) * pixel_scale))
