"""Scenes: galaxies in several bands, with neighbors and noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from sklearn.utils import check_random_state

from ._near import checked_galaxy
from ._noise import add_noise
from ._parameters import PARAMETERS, as_tensors, place
from ._render import render, render_components
from ._survey import Band

SHAPE = tuple(name for name in PARAMETERS if name not in ("flux", "bulge_to_total"))


def render_scene(
    parameters, bands, *, npix, neighbors=None, with_noise=False, random_state=None, device=None, dtype=None
):
    """Draw galaxies in several bands, with their neighbors and, if wanted, noise.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    parameters : mapping of str to array-like or Tensor of shape (n,) or (n, n_bands)
        As `render` takes them. Those with two axes differ between bands: fluxes and bulge-to-total ratios of two
        components of different color, for instance.
    bands : sequence of Band
        The bands, in the order of the images' last axis; their entries may be one per galaxy.
    npix : int
        Height and width of the images.
    neighbors : mapping or None, default=None
        The same of all neighbors, and ``galaxy``, the row of the image that each is in. Their offsets may be large.
    with_noise : bool, default=False
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
    >>> images = render_scene(galaxies, [hsc_like(band) for band in "gri"], npix=64, with_noise=True, random_state=0)
    >>> images.shape
    torch.Size([2, 64, 64, 3])
    """
    device, dtype = place(parameters, device, dtype)
    images = _in_bands(parameters, bands, npix, device, dtype)
    if neighbors is not None:
        rows = checked_galaxy(neighbors, len(images))
        of_neighbors = [band.of_rows(rows) for band in bands]
        added = torch.as_tensor(rows, device=images.device)
        images = images.index_add(0, added, _in_bands(neighbors, of_neighbors, npix, device, dtype))
    if not with_noise:
        return images
    if any(band.correlation is not None for band in bands):
        rng = check_random_state(random_state)
        noisy = [band.add_noise(one, random_state=rng) for band, one in zip(bands, images.unbind(-1))]
        return torch.stack(noisy, dim=-1)
    sigmas = [band.sky_noise for band in bands]
    gains = [np.inf if band.gain is None else band.gain for band in bands]
    sky_noise, gain = (np.stack(np.broadcast_arrays(*numbers), -1) for numbers in (sigmas, gains))
    return add_noise(images, sky_noise=sky_noise, gain=gain, random_state=random_state)


def _in_bands(parameters: Mapping, bands: Sequence[Band], npix: int, device, dtype) -> torch.Tensor:
    """Noiseless images ``(n, npix, npix, n_bands)``; bulges and disks once for all bands of one camera."""
    of_band = [
        {name: _column(name, parameters[name], i, len(bands)) for name in PARAMETERS if name in parameters}
        for i in range(len(bands))
    ]
    images: list = [None] * len(bands)
    alike = all(np.ndim(parameters[name]) < 2 for name in SHAPE if name in parameters)
    for members in _cameras(bands) if alike else [[i] for i in range(len(bands))]:
        first = bands[members[0]]
        camera: dict = {"npix": npix, "pixel_scale": first.pixel_scale, "psf": first.psf}
        if len(members) == 1:
            images[members[0]] = render(of_band[members[0]], **camera, device=device, dtype=dtype)
            continue
        parts = render_components(of_band[0], **camera, device=device, dtype=dtype)
        for i in members:
            images[i] = _combined(parts, as_tensors(of_band[i], ("flux", "bulge_to_total"), device, dtype))
    return torch.stack(images, dim=-1)


def _cameras(bands: Sequence[Band]) -> list[list[int]]:
    """The bands of each camera."""
    groups: list[list[int]] = []
    for i, band in enumerate(bands):
        for group in groups:
            other = bands[group[0]]
            if band.psf == other.psf and np.array_equal(band.pixel_scale, other.pixel_scale):
                group.append(i)
                break
        else:
            groups.append([i])
    return groups


def _combined(parts: torch.Tensor, light: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Bulges and disks of unit flux ``(n, 2, npix, npix)`` with the light that they have."""
    bulge = light["flux"] * light["bulge_to_total"]
    fluxes = torch.stack([bulge, light["flux"] - bulge], dim=1)
    return (fluxes[:, :, None, None] * parts).sum(1)


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
