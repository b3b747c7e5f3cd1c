"""Light beside a galaxy: neighbors at known places, of unknown brightness, size and shape, to be marginalized."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from ..simulation import neighbors_of, render
from ._observed import Observed

PROFILES = (0.1, 1.0), (0.5, 1.0), (1.2, 1.0), (3.0, 1.0), (1.0, 4.0)  # half-light radius [FWHM], Sérsic index
MIDDLE = 1  # of these, by which fluxes are measured
STEP = 0.1  # pixels, of derivatives
SHAPES = (  # axis ratio, position angle, offsets
    (1.0, 0.0, 0.0, 0.0),
    *((0.4, angle, 0.0, 0.0) for angle in (0.0, 45.0, 90.0, 135.0)),
    (1.0, 0.0, STEP, 0.0),
    (1.0, 0.0, 0.0, STEP),
)
AMOUNT, LEAST = 2.0, 5.0  # standard deviation of amounts, over the flux that is measured; its least, over its error


def checked_neighbors(neighbors, n: int) -> dict[str, NDArray] | None:
    """Rows of images and offsets [pixels] of neighbors, as arrays; None if there are none.

    Raises
    ------
    ValueError
        If something is missing, or a neighbor is in no image.
    """
    if neighbors is None:
        return None
    names = "galaxy", "x_offset", "y_offset"
    missing = [name for name in names if name not in (getattr(neighbors, "colnames", None) or neighbors)]
    if missing:
        raise ValueError(
            f"neighbors have no {', '.join(missing)}; expected a table with galaxy, the row of the image that each "
            "is in, and x_offset and y_offset, its distance from the center of the image [pixels]."
        )
    galaxy, *offsets = (np.asarray(neighbors[name]) for name in names)
    if len(galaxy) and (galaxy.min() < 0 or galaxy.max() >= n):
        raise ValueError(f"neighbors are of rows {galaxy.min()} to {galaxy.max()}; expected rows of the {n} images.")
    if not np.isfinite(offsets).all():
        raise ValueError("x_offset or y_offset of a neighbor is not finite; expected where it is.")
    found = dict(zip(names, (galaxy.astype(np.intp), *(one.astype(float) for one in offsets))))
    return found if len(galaxy) else None


def light_beside(neighbors: Mapping | None, seen: Observed, rows: NDArray) -> torch.Tensor | None:
    """Images ``(G, k, npix²)`` whose amounts are standard normal, of which the neighbors of `rows` are sums.

    A few profiles, what becomes of them if they are stretched, and their derivatives with position.
    """
    around = None if neighbors is None else neighbors_of(neighbors, rows)
    if around is None or not len(around["galaxy"]):
        return None
    images = _profiles(around, seen, rows)  # (m, profiles, shapes, npix²)
    columns = images - images[:, :, :1]
    columns[:, :, 0] = images[:, :, 0]
    columns[:, :, -2:] /= STEP
    columns *= _amounts(images[:, MIDDLE, 0], around["galaxy"], seen, rows)[:, None, None, None]
    columns = columns.flatten(1, 2)
    order = np.concatenate([np.arange(count) for count in np.bincount(around["galaxy"], minlength=len(rows))])
    light = torch.zeros(len(rows), int(order.max()) + 1, *columns.shape[1:])
    by_galaxy = np.argsort(around["galaxy"], kind="stable")
    light[around["galaxy"][by_galaxy], order] = columns[by_galaxy]
    return light.flatten(1, 2)


def _profiles(around: Mapping, seen: Observed, rows: NDArray) -> torch.Tensor:
    """Images of flux 1 ``(m, profiles, shapes, npix²)``."""
    m, size = len(around["galaxy"]), len(PROFILES) * len(SHAPES)
    owner = np.repeat(rows[around["galaxy"]], size)
    psfs, scale = [seen.psf[i] for i in owner], seen.pixel_scale[owner]
    widths, index = (np.tile(np.repeat(one, len(SHAPES)), m) for one in np.transpose(PROFILES))
    radius = widths * [psf.fwhm for psf in psfs]
    ratio, angle, dx, dy = (np.tile(one, m * len(PROFILES)) for one in np.transpose(SHAPES))
    one = np.ones(m * size)
    height, width = ((seen.images.shape[1] - side) / 2 for side in seen.shape)  # images are padded at their ends
    profiles = {
        "flux": one,
        "bulge_to_total": 0 * one,
        "x_offset": np.repeat(around["x_offset"] - width, size) + dx,
        "y_offset": np.repeat(around["y_offset"] - height, size) + dy,
    }
    for name in ("bulge", "disk"):
        profiles |= {f"{name}_radius": radius, f"{name}_sersic_index": index}
        profiles |= {f"{name}_axis_ratio": ratio, f"{name}_position_angle": angle}
    images = render(profiles, npix=seen.images.shape[1], pixel_scale=scale, psf=psfs)
    return images.flatten(1).unflatten(0, (m, len(PROFILES), len(SHAPES)))


def _amounts(profile: torch.Tensor, galaxy: NDArray, seen: Observed, rows: NDArray) -> torch.Tensor:
    """Standard deviations (m,) of fluxes, from the light at each place, the galaxy's own among it."""
    owner = rows[galaxy]
    image, variance = (torch.as_tensor(a[owner]).flatten(1) for a in (seen.images, seen.variance))
    information = (profile.square() / variance).sum(1).clamp(min=1e-30)
    flux = (profile * image / variance).sum(1) / information
    return AMOUNT * flux.maximum(LEAST * information.rsqrt())
