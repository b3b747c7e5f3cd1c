"""The log density of a `GalaxyPrior`, for draws of galaxies."""

from __future__ import annotations

import copy
import math

import torch

from ._coordinates import NATURAL, Coordinates

DERIVED = ("magnitude", "bulge_to_total", "half_light_radius")


class LogPrior:
    """Of shapes by their coordinates, and of what depends on fluxes too."""

    def __init__(self, prior, coordinates: Coordinates, zero_point: torch.Tensor):
        self.priors, self.coordinates = prior.priors, coordinates
        self.zero_point = zero_point[:, None, None]

    def of_rows(self, rows: torch.Tensor) -> LogPrior:
        """That of some galaxies."""
        some = copy.copy(self)
        some.zero_point = self.zero_point[rows]
        return some

    def of_shapes(self, shapes: dict[str, torch.Tensor], u: torch.Tensor) -> torch.Tensor:
        """Density of coordinates ``(G, K, d)`` with shapes ``(G, K)``, of what fluxes have no part in."""
        values = {name: self._natural(name, shapes) for name in self.priors if name not in DERIVED}
        total = self.coordinates.log_slope(u)
        for name, value in values.items():
            total = total + _log_density(self.priors[name], value, values)
            if name.endswith("_radius") or name == "radius_ratio":  # the coordinate is of the logarithm
                total = total + value.log()
        if "psf_width" in self.coordinates.of:
            total = total - 0.5 * u[..., self.coordinates.names.index("psf_width")].square()
        return total

    @staticmethod
    def _natural(name: str, shapes: dict[str, torch.Tensor]) -> torch.Tensor:
        if name == "radius_ratio":
            return (shapes["bulge_ln_radius"] - shapes["disk_ln_radius"]).exp()
        if name.endswith("angle"):
            return shapes[name] % 180
        return shapes[NATURAL[name]].exp() if name in NATURAL else shapes[name]

    def of_light(self, light: dict[str, torch.Tensor]) -> torch.Tensor:
        """Density of the fluxes ``(G, K, m)`` of the whole and of its bulge, and of the half-light radius."""
        flux = light["flux"]
        magnitude = self.zero_point - 2.5 * flux.log10()
        total = _log_density(self.priors["magnitude"], magnitude, {}) + math.log(2.5 / math.log(10))
        total = total + _log_density(self.priors["bulge_to_total"], light["bulge_to_total"], {})
        if "half_light_radius" in self.priors:  # whose logarithm follows that of the disk, at a given ratio
            radius = light["half_light_radius"]
            total = total + _log_density(self.priors["half_light_radius"], radius, {}) + radius.log()
        return total - 2 * flux.log()


def _log_density(entry, value: torch.Tensor, others) -> torch.Tensor:
    """Of one prior; numpy does it."""
    found = entry.log_density(value.cpu().numpy(), {name: one.cpu().numpy() for name, one in others.items()})
    return torch.as_tensor(found).to(value)
