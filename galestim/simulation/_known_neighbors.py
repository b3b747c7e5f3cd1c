"""What is known of neighbors before the image is seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._camera_prior import log_variance
from ._near import checked_galaxy
from ._survey import Band

CENTERED = 1.0  # pixels, to which a position is known


@dataclass(frozen=True)
class KnownNeighbors:
    """What is known of neighbors of a `NeighborPrior`."""

    neighbors: Any
    band: Band
    prior: Any
    cameras: Any

    def precision(self, parameters) -> NDArray:
        """Inverse covariances (m, 12, 12), as `GalaxyPrior.precision`, with positions known to a pixel."""
        variance: dict[str, Any] = {"x_offset": CENTERED**2, "y_offset": CENTERED**2}
        variance["flux"] = (0.4 * np.log(10)) ** 2 * self._magnitudes()
        if "half_light_radius" in self.prior.variance():
            variance |= self._radii(parameters)
        return self.prior.precision(parameters, variance=variance)

    def _magnitudes(self) -> float:
        """Variance of the magnitudes, by their quantiles."""
        return float(self.neighbors._differences((np.arange(4096) + 0.5) / 4096).var())

    def _radii(self, parameters) -> dict[str, Any]:
        """Variance of the logarithm of radii, if another than that of the prior."""
        if self.neighbors.relative_radius is not None:
            return {"half_light_radius": log_variance(self.neighbors.relative_radius)}
        if self.cameras is None:
            return {}
        variance = self.cameras.given(self.band, self.prior).variance
        if "half_light_radius" not in variance:
            return {}
        of_galaxies = variance["half_light_radius"]
        return {"half_light_radius": of_galaxies[checked_galaxy(parameters, len(of_galaxies))]}
