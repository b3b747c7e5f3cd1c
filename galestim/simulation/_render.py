"""Images of galaxies, a bulge and a disk each, summed from their Fourier transform; differentiable in everything."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch

from ._cameras import Cameras, Grid, Rows
from ._near import checked_galaxy, near
from ._parameters import as_tensors
from ._sersic import elliptical

MARGIN = 16  # pixels that the image of a galaxy is away from its next copy, besides the extent of a point


def render(
    parameters: Mapping, *, npix: int, pixel_scale, psf, neighbors=None, device=None, dtype=None
) -> torch.Tensor:
    r"""Draw noiseless images of galaxies.

    .. versionadded:: 0.1.0

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
    pixel_scale : float or array-like of shape (n,)
        Side of a pixel [arcsec], the same for all galaxies or one for each.
    psf : PSF or sequence of n PSF
        Point-spread function, the same for all galaxies or one for each: `MoffatPSF`, `GaussianPSF`, `ImagePSF`, or
        any hashable object with their ``transform`` and ``includes_pixel``. Equal ones are worked out once.
    neighbors : mapping or None, default=None
        The same parameters of all neighbors, and ``galaxy``, the row of the image that each is in, as
        `NeighborPrior.draw` gives them. Their centers may be outside of it.
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
        If a parameter is missing, has another shape, or is outside its limits, there are not as many point-spread
        functions or pixel scales as galaxies, `psf` is too sharp for the pixels, or neighbors have no galaxy.

    Notes
    -----
    A pixel holds

    .. math:: I(x) = \frac{1}{(2π)^2} \int F(k)\, T(k)\, e^{i k x} d^2k

    with F of the two Sérsic profiles [1]_, and T of point-spread function and pixel. F comes from an exact formula,
    stored as polynomials. The sum runs over wave numbers whose density is graded toward zero instead of over the even
    ones of an FFT: no light returns from periodic copies, which in the wings of bulges would be a percent of the
    flux, and T may reach beyond the pixels' Nyquist frequency. What is left out is below 2e-4 of an image's peak.
    Galaxies whose cameras are alike share these wave numbers; their images are those drawn alone to 1e-5 of the peak.
    The transforms of a galaxy and its neighbors are added up before the sum, so that a neighbor costs less than a
    galaxy; what is left out of its light is below 1e-4 of the peak that it would have in the center.

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

    Each galaxy through a point-spread function of its own:

    >>> seeing = [MoffatPSF(fwhm) for fwhm in (0.5, 0.7, 0.9)]
    >>> images = render(galaxies, npix=96, pixel_scale=0.168, psf=seeing)
    >>> images.amax((1, 2)) < render(galaxies, **camera).amax((1, 2))
    tensor([False,  True,  True])

    How the center of the image brightens with the index of the disk:

    >>> galaxies["disk_sersic_index"] = torch.tensor([0.9, 1.0, 1.1], requires_grad=True)
    >>> render(galaxies, **camera)[:, 47:49, 47:49].sum().backward()
    >>> bool((galaxies["disk_sersic_index"].grad > 0).all())
    True
    """
    tensors = as_tensors(parameters, device=device, dtype=dtype)
    return render_tensors(tensors, npix, pixel_scale, psf, Crowd.of(neighbors, tensors["flux"]))


class Crowd:
    """Neighbors of galaxies: parameters as tensors (m,), and the row of the galaxy of each."""

    def __init__(self, tensors: Mapping[str, torch.Tensor], galaxy: np.ndarray):
        self.tensors, self.galaxy = tensors, galaxy

    @classmethod
    def of(cls, neighbors: Mapping | None, like: torch.Tensor) -> Crowd | None:
        """Neighbors of galaxies whose fluxes are `like`, checked; None if there are none."""
        if neighbors is None or not len(neighbors.get("galaxy", [-1])):
            return None
        galaxy = checked_galaxy(neighbors, len(like))
        return cls(as_tensors(neighbors, device=like.device, dtype=like.dtype), galaxy)


def render_tensors(
    tensors: Mapping[str, torch.Tensor], npix: int, pixel_scale, psf, crowd: Crowd | None = None
) -> torch.Tensor:
    """`render` without the checks of its parameters."""
    return _draw(tensors, npix, pixel_scale, psf, _sum, crowd)[:, 0]


def _sum(bulge: torch.Tensor, disk: torch.Tensor) -> list[torch.Tensor]:
    return [bulge + disk]


def render_components(parameters: Mapping, *, npix: int, pixel_scale, psf, device=None, dtype=None) -> torch.Tensor:
    """Draw bulges and disks of unit flux by themselves, as `render` does: ``(n, 2, npix, npix)``."""
    n = len(parameters["bulge_radius"])
    unit = {"flux": [2.0] * n, "bulge_to_total": [0.5] * n}
    tensors = as_tensors({**parameters, **unit}, device=device, dtype=dtype)
    return _draw(tensors, npix, pixel_scale, psf, lambda bulge, disk: [bulge, disk])


def render_stars(*, npix: int, pixel_scale, psf, device=None, dtype=None) -> torch.Tensor:
    """Draw noiseless images of stars, as measurements of a point-spread function show it.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    npix : int
        Height and width of the images, odd: the star is in the center of the middle pixel.
    pixel_scale : float or array-like of shape (n,)
        Side of a pixel [arcsec].
    psf : PSF or sequence of n PSF
        As `render` takes them.
    device : torch.device or str, default=None
        Where to draw.
    dtype : torch.dtype, default=None
        Of the images; None: float32.

    Returns
    -------
    images : Tensor of shape (n, npix, npix)
        Of flux 1 in all; what is outside of the image is missing in its sum.

    Raises
    ------
    ValueError
        If `npix` is even, or as in `render`.

    Examples
    --------
    >>> from galestim.simulation import MoffatPSF, render_stars
    >>> star = render_stars(npix=25, pixel_scale=0.168, psf=MoffatPSF(0.58))
    >>> star.shape, round(star.sum().item(), 3)
    (torch.Size([1, 25, 25]), 0.997)
    """
    if npix % 2 == 0:
        raise ValueError(f"npix={npix}; expected an odd number, so that stars are centered on a pixel.")
    n = 1 if hasattr(psf, "transform") else len(psf)
    flux, center = torch.ones(n, device=device, dtype=dtype), torch.zeros(n, device=device, dtype=dtype)

    def star(grid, rows):
        return (grid.image(flux[rows, None, None], center[rows], center[rows]),)

    return _in_batches(Cameras(psf, pixel_scale, n), npix, npix / 2 + 1, flux, star)[0]


def render_with_stars(parameters: Mapping, *, npix: int, stamp_npix: int, pixel_scale, psf, neighbors=None):
    """Images as `render` draws them, and stars of an odd `stamp_npix` as `render_stars` does: of each, n."""
    tensors = as_tensors(parameters)
    crowd = Crowd.of(neighbors, tensors["flux"])
    if not len(tensors["flux"]):
        return tensors["flux"].new_zeros(0, npix, npix), tensors["flux"].new_zeros(0, stamp_npix, stamp_npix)
    size = max(npix, stamp_npix + 2 - (stamp_npix + npix) % 2)  # so many pixels more or less on each side
    start, first = (size - npix) // 2, size // 2 - stamp_npix // 2
    flux, to_pixel = tensors["flux"], 0.5 * (size % 2 == 0)

    def both(grid, rows):
        center = flux.new_full((len(flux[rows]),), to_pixel)
        star = grid.image(flux.new_ones(len(center), 1, 1), center, center, slice(first, first + stamp_npix))
        (spectrum,), *offsets = galaxy(grid, rows)
        return grid.image(spectrum, *offsets, slice(start, start + npix)), star

    galaxy, cameras, reach = _scenes(tensors, size, pixel_scale, psf, _sum, crowd)
    return _in_batches(cameras, size, reach, flux, both)


def _draw(
    tensors: Mapping[str, torch.Tensor], npix: int, pixel_scale, psf, layers, crowd: Crowd | None = None
) -> torch.Tensor:
    """Images ``(n, layer, npix, npix)`` of the `layers` that the spectra of bulge and disk are put together to."""
    flux = tensors["flux"]
    if not len(flux):
        return flux.new_zeros(0, 2, npix, npix)

    def draw(grid, rows):
        spectra, *offsets = galaxy(grid, rows)
        return (torch.stack([grid.image(spectrum, *offsets) for spectrum in spectra], dim=1),)

    galaxy, cameras, reach = _scenes(tensors, npix, pixel_scale, psf, layers, crowd)
    return _in_batches(cameras, npix, reach, flux, draw)[0]


def _scenes(tensors: Mapping[str, torch.Tensor], npix: int, pixel_scale, psf, layers, crowd: Crowd | None):
    """What gives spectra and offsets of galaxies on a grid, their cameras, and how far waves have to reach."""
    cameras = Cameras(psf, pixel_scale, len(tensors["flux"]))
    scale = cameras.scale_like(tensors["flux"])
    galaxy, farthest = _light(tensors, scale, layers)
    if crowd is None:
        return galaxy, cameras, npix / 2 + (1 if farthest <= 1 else 16 * math.ceil(farthest / 16))  # few grids
    owner = torch.as_tensor(crowd.galaxy, device=tensors["flux"].device)
    neighbor, farther = _light(crowd.tensors, scale[owner] if isinstance(scale, torch.Tensor) else scale, layers)

    def scene(grid, rows):
        (spectrum,), *center = galaxy(grid, rows)
        every = np.arange(len(tensors["flux"]))
        which, whose = near(crowd.galaxy, every[rows if isinstance(rows, slice) else rows.cpu().numpy()])
        around, belongs = (torch.as_tensor(index, device=spectrum.device) for index in (which, whose))
        (others,), *offsets = neighbor(grid, around)
        moved = grid.moved(others, *(theirs - own[belongs] for theirs, own in zip(offsets, center)))
        return [spectrum.to(moved.dtype).index_add(0, belongs, moved)], *center

    return scene, cameras, _reach(npix, max(farthest, farther))


def _light(tensors: Mapping[str, torch.Tensor], pixel_scale: float | torch.Tensor, layers):
    """What gives spectra of bulges and disks, put together to `layers`, and offsets; and the farthest of these."""
    offsets = torch.stack([tensors["x_offset"], tensors["y_offset"]])
    bulge, disk = (_Component(tensors, name, pixel_scale) for name in ("bulge", "disk"))

    def light(grid: Grid, rows: Rows):
        return layers(*(part[rows].spectrum(grid.kx, grid.ky) for part in (bulge, disk))), *offsets[:, rows]

    return light, float(offsets.detach().abs().max()) if offsets.numel() else 0.0


def _reach(npix: int, farthest: float) -> float:
    """Half of the distance from a galaxy or neighbor to its next copies, but for the extent of a point.

    Only sharp light has copies at that distance, so it is enough that they are `MARGIN` outside of the image. It goes
    in steps, so that few grids are made.
    """
    if farthest <= 1:
        return npix / 2 + 1
    return max(npix / 2 + 1, (npix / 2 + 8 * math.ceil(farthest / 8)) / 2 + MARGIN)


def _in_batches(cameras: Cameras, npix: int, reach: float, like: torch.Tensor, draw) -> list[torch.Tensor]:
    """The tensors that `draw` makes of a grid and the rows that are drawn on it, in the order of the galaxies."""
    drawn, parts = [], []
    for grid, rows in cameras.batches(npix, reach, like):
        parts.append(draw(grid, rows))
        drawn.append(rows)
    order = cameras.back(drawn)
    return [torch.cat(part)[order] for part in zip(*parts)]


class _Component:
    """Bulges or disks: flux, profile, and k² = xx kx² + xy kx ky + yy ky² in which they are round."""

    def __init__(self, tensors: Mapping[str, torch.Tensor], name: str, pixel_scale: float | torch.Tensor):
        bulge_flux = tensors["flux"] * tensors["bulge_to_total"]
        self.flux = bulge_flux if name == "bulge" else tensors["flux"] - bulge_flux
        radius = tensors[f"{name}_radius"]
        self.profile, self.xx, self.xy, self.yy = elliptical(tensors, name, radius, pixel_scale)

    def __getitem__(self, rows: Rows) -> _Component:
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
