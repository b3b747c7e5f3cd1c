"""Parameters of bulge and disk: their names and units, as estimators predict them and as draws are."""

from __future__ import annotations

import numpy as np
from astropy import units as u
from numpy.typing import NDArray

from ._refine import Refined

ANGLES, RADII = ("bulge_position_angle", "disk_position_angle"), ("bulge_radius", "disk_radius")
PARAMETERS = {  # name: unit
    "bulge_to_total": None,
    "half_light_radius": "arcsec",
    "flux": None,
    **dict.fromkeys(RADII, "arcsec"),
    "bulge_sersic_index": None,
    "disk_sersic_index": None,
    "bulge_axis_ratio": None,
    "disk_axis_ratio": None,
    **dict.fromkeys(ANGLES, "deg"),
    "x_offset": "pix",
    "y_offset": "pix",
}


def check_targets(names) -> None:
    unknown = [name for name in names if name not in PARAMETERS]
    if unknown:
        raise ValueError(
            f"the estimator predicts {', '.join(unknown)}; expected parameters of bulge and disk: "
            f"{', '.join(PARAMETERS)}."
        )


def unit_of(name: str, posterior):
    """Unit of a parameter: the estimator's, if it predicts it."""
    if name in posterior.target_names:
        return posterior.units[posterior.target_names.index(name)]
    if "half_light_radius" in posterior.target_names and name in RADII:
        return posterior.units[posterior.target_names.index("half_light_radius")]
    return PARAMETERS[name]


def factor_of(name: str, unit) -> float:
    """What a parameter is multiplied by to be in `unit`."""
    own = PARAMETERS[name]
    if own is None or unit is None or not u.Unit(unit).is_equivalent(u.Unit(own)):
        return 1.0
    return float(u.Unit(own).to(unit))


def natural_draws(found: Refined, pixel_scale: NDArray) -> dict[str, NDArray]:
    """Draws by the names of `PARAMETERS`, with angles from 0 to 180."""
    draws = {name: values.cpu().numpy() for name, values in found.draws.items()}
    for name in RADII:
        draws[name] = np.exp(draws.pop(name.replace("radius", "ln_radius")))
    for name in ANGLES:
        draws[name] = draws[name] % 180
    return draws
