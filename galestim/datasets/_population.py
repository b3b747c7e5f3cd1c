"""What a simulated set is made of: checks of band, priors, sizes and dtype, and the draw of what is true."""

from __future__ import annotations

from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

# galestim.simulation is imported where it is used: it brings torch, which galestim.datasets does without

TARGET_NAMES = ["bulge_to_total", "half_light_radius", "flux"]


class Population(NamedTuple):
    """Galaxies of an epoch: parameters, targets (n, 3), epochs of birth (n,), cameras, and neighbors, if any."""

    parameters: dict[str, NDArray]
    target: NDArray
    birth: NDArray
    cameras: Any  # a Band with entries one per galaxy, or that of all
    neighbors: dict[str, NDArray] | None


def checked_band(band, *, own_cameras=False):
    """A `Band` of one camera for all galaxies, or a `CameraPrior` if allowed; None is that of the benchmark."""
    from ..simulation import Band, CameraPrior, hsc_like

    band = hsc_like("i") if band is None else band
    if own_cameras and isinstance(band, CameraPrior):
        return band
    if not isinstance(band, Band):
        raise ValueError(f"band={band!r}; expected a galestim.simulation.Band, such as hsc_like('i'), or None.")
    if band.per_galaxy:
        raise ValueError("band has entries per galaxy; expected one camera for all, or None.")
    return band


def checked_prior(prior):
    """A `GalaxyPrior`, or whatever draws as it does; None is that of the benchmark."""
    from ..simulation import sim_v1_prior

    prior = sim_v1_prior() if prior is None else prior
    if not hasattr(prior, "draw"):
        raise ValueError(
            f"prior={prior!r}; expected a galestim.simulation.GalaxyPrior, such as sim_v1_prior(), or None."
        )
    return prior


def checked_neighbors(neighbors):
    """A `NeighborPrior`, or None."""
    from ..simulation import NeighborPrior

    if neighbors is not None and not isinstance(neighbors, NeighborPrior):
        raise ValueError(f"neighbors={neighbors!r}; expected a galestim.simulation.NeighborPrior, or None.")
    return neighbors


def draw_galaxies(prior, n: int, band, random_state) -> dict[str, NDArray]:
    """Draw what is true of `n` galaxies: the targets first, then all that is drawn."""
    from ..simulation import half_light_radius

    drawn = prior.draw(n, random_state, zero_point=band.zero_point)
    known = drawn if "half_light_radius" in drawn else drawn | {"half_light_radius": half_light_radius(drawn)}
    return {name: known[name] for name in dict.fromkeys([*TARGET_NAMES, *drawn])}


def target_of(galaxies: dict[str, NDArray]) -> NDArray:
    """The targets: ``(n, 3)``."""
    return np.column_stack([galaxies[name] for name in TARGET_NAMES])


def checked_sizes(npix) -> list[int]:
    """Sizes that are cut out of the largest of them."""
    sizes = [int(npix)] if isinstance(npix, Integral) else list(npix)
    if not sizes or not all(isinstance(size, int | np.integer) and size >= 1 for size in sizes):
        raise ValueError(f"npix={npix!r}; expected a positive number of pixels, or some of them.")
    if len({size % 2 for size in sizes}) > 1:
        raise ValueError(f"npix={npix!r}; expected all even or all odd, so that they have the same center.")
    return [int(size) for size in sizes]


def checked_dtype(dtype) -> np.dtype:
    """A dtype of real floating-point numbers."""
    dtype = np.dtype(dtype)
    if dtype.kind != "f":
        raise ValueError(f"dtype={dtype}; expected one of floating-point numbers, such as float32.")
    return dtype


def with_neighbors(known: dict[str, NDArray] | None, rows: NDArray, new: dict[str, NDArray] | None) -> Any:
    """Neighbors with those of the galaxies `rows` replaced by `new` ones."""
    if known is None or new is None:
        return None
    stay, new = ~np.isin(known["galaxy"], rows), new | {"galaxy": rows[new["galaxy"]]}
    return {name: np.concatenate([values[stay], new[name]]) for name, values in known.items()}


def center(images: Any, npix: int) -> Any:
    """The middle of images ``(n, npix, npix)``."""
    start = (images.shape[-1] - npix) // 2
    return images[:, start : start + npix, start : start + npix]
