"""Band, prior and galaxies of a simulated set: their checks, and the draw of what is true."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# galestim.simulation is imported where it is used: it brings torch, which galestim.datasets does without

TARGET_NAMES = ["bulge_to_total", "half_light_radius", "flux"]


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


def draw_galaxies(prior, n: int, band, random_state) -> dict[str, NDArray]:
    """Draw what is true of `n` galaxies: the targets first, then all that is drawn."""
    from ..simulation import half_light_radius

    drawn = prior.draw(n, random_state, zero_point=band.zero_point)
    known = drawn if "half_light_radius" in drawn else drawn | {"half_light_radius": half_light_radius(drawn)}
    return {name: known[name] for name in dict.fromkeys([*TARGET_NAMES, *drawn])}


def target_of(galaxies: dict[str, NDArray]) -> NDArray:
    """The targets: ``(n, 3)``."""
    return np.column_stack([galaxies[name] for name in TARGET_NAMES])
