"""Images in several bands, and with neighbors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from ._noise import add_noise
from ._parameters import PARAMETERS
from ._render import render
from ._survey import Band


def render_scene(parameters, bands, *, npix, neighbors=None, noise=False, random_state=None, device=None, dtype=None):
    """Draw galaxies in several bands, with their neighbors and, if wanted, noise.

    Parameters
    ----------
    parameters : mapping of str to array-like or Tensor of shape (n,) or (n, n_bands)
        As `render` takes them. Those with two axes differ between bands: fluxes and bulge-to-total ratios of two
        components of different color, for instance.
    bands : sequence of Band
        The bands, in the order of the images' last axis.
    npix : int
        Height and width of the images.
    neighbors : mapping or None, default=None
        The same of all neighbors, and ``galaxy``, the row of the image that each is in. Their offsets may be large.
    noise : bool, default=False
        Whether to add the noise of the bands.
    random_state : int, RandomState instance or None, default=None
        Determines the noise.
    device : torch.device or str, default=None
        Where to draw; None: where the parameters are.
    dtype : torch.dtype, default=None
        Of the images; None: that of the parameters if they are tensors, else float32.

    Returns
    -------
    images : Tensor of shape (n, npix, npix, n_bands)
        Flux in each pixel [image units of the band]; row 0 is north, column 0 is east.

    Raises
    ------
    ValueError
        If parameters have not as many columns as there are bands, neighbors have no galaxy, or as in `render`.

    Examples
    --------
    >>> import numpy as np
    >>> from galestim.simulation import hsc_like, render_scene, sim_v1_prior
    >>> galaxies = sim_v1_prior().draw(2, random_state=0)
    >>> galaxies["flux"] = galaxies["flux"][:, None] * [0.5, 0.8, 1.0]  # fainter in the blue
    >>> images = render_scene(galaxies, [hsc_like(band) for band in "gri"], npix=64, noise=True, random_state=0)
    >>> images.shape
    torch.Size([2, 64, 64, 3])
    """
    images = torch.stack([_one_band(parameters, bands, i, npix, device, dtype) for i in range(len(bands))], dim=-1)
    if neighbors is not None:
        light = [_one_band(neighbors, bands, i, npix, images.device, images.dtype) for i in range(len(bands))]
        images = images.index_add(0, _rows(neighbors, len(images), images.device), torch.stack(light, dim=-1))
    if not noise:
        return images
    gains = [torch.inf if band.gain is None else band.gain for band in bands]
    return add_noise(images, sky_noise=[band.sky_noise for band in bands], gain=gains, random_state=random_state)


def _one_band(parameters: Mapping, bands: Sequence[Band], i: int, npix: int, device, dtype) -> torch.Tensor:
    """Noiseless images of one band."""
    chosen = {name: _column(name, parameters[name], i, len(bands)) for name in PARAMETERS if name in parameters}
    band = bands[i]
    return render(chosen, npix=npix, pixel_scale=band.pixel_scale, psf=band.psf, device=device, dtype=dtype)


def _column(name: str, values, i: int, n_bands: int):
    """The values of band `i`."""
    values = values if isinstance(values, torch.Tensor) else torch.as_tensor(values, dtype=torch.float64).numpy()
    if values.ndim < 2:
        return values
    if values.shape[1:] != (n_bands,):
        raise ValueError(
            f"{name} has shape {tuple(values.shape)}; expected (n,) or (n, {n_bands}), one column per band."
        )
    return values[:, i]


def _rows(neighbors: Mapping, n: int, device) -> torch.Tensor:
    """The images that the neighbors are in."""
    rows = torch.as_tensor(neighbors.get("galaxy", [-1]), dtype=torch.long, device=device)
    if rows.numel() and (rows.min() < 0 or rows.max() >= n):
        raise ValueError(f"neighbors have no galaxy, or one that does not exist; expected rows of the {n} images.")
    return rows
