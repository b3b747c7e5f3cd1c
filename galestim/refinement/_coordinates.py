"""Coordinates without limits for the shape of a galaxy, in which a prior is nearly a standard normal."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from ..simulation import Near

FREE_ANGLE = 20.0  # degrees in the unit of an angle without limits
FREE_RADIUS = 0.5  # of the logarithm
FARTHEST = 6.0  # from the middle, of coordinates with limits
NATURAL = {  # names as `Profiles` draws them, by names of `GalaxyPrior`
    "bulge_radius": "bulge_ln_radius",
    "disk_radius": "disk_ln_radius",
    "radius_ratio": "ln_radius_ratio",
}
ROOT_TWO_PI = math.sqrt(2 * math.pi)


@dataclass(frozen=True)
class Bounded:
    """A value from `low` to `high`, plus that of another parameter: through the normal cumulative distribution."""

    low: float
    high: float
    added_to: str | None = None
    known = True

    def value(self, u: torch.Tensor) -> torch.Tensor:
        """From the coordinate."""
        return self.low + (self.high - self.low) * torch.special.ndtr(u)

    def coordinate(self, value: torch.Tensor) -> torch.Tensor:
        """The inverse of `value`, for values that may be beyond the limits."""
        share = (value - self.low) / max(self.high - self.low, 1e-300)
        return torch.special.ndtri(share.clamp(1e-3, 1 - 1e-3))


@dataclass(frozen=True)
class Free:
    """A value without limits, in a unit; `known` if its prior is normal with a standard deviation of that."""

    unit: float
    known: bool = False
    added_to: str | None = None

    def value(self, u: torch.Tensor) -> torch.Tensor:
        """From the coordinate."""
        return self.unit * u

    def coordinate(self, value: torch.Tensor) -> torch.Tensor:
        """The inverse of `value`."""
        return value / self.unit


class Coordinates:
    """Coordinates u of the shapes of galaxies, of which those with limits are of a prior that is about normal.

    Parameters
    ----------
    prior : GalaxyPrior
    with_width : bool, default=False
        Whether the logarithm of the width of the point-spread function, in units of its error, is one of them.
    """

    def __init__(self, prior, with_width: bool = False):
        self.of: dict[str, Bounded | Free] = {}
        for name, entry in prior.priors.items():
            if name not in ("magnitude", "bulge_to_total", "half_light_radius"):
                self.of[NATURAL.get(name, name)] = _coordinate(name, entry)
        if "ln_radius_ratio" in self.of:
            self.of = {"disk_ln_radius": Free(FREE_RADIUS), **self.of}
        if with_width:
            self.of["psf_width"] = Free(1.0, known=True)
        self.names = list(self.of)
        self.known = torch.tensor([one.known for one in self.of.values()])

    def __len__(self) -> int:
        return len(self.of)

    def shapes(self, u: torch.Tensor) -> dict[str, torch.Tensor]:
        """Shapes ``(…)`` as `Profiles.draw` takes them, of coordinates ``(…, d)``."""
        values: dict[str, torch.Tensor] = {}
        for column, (name, one) in zip(u.unbind(-1), self.of.items()):
            value = one.value(column)
            values[name] = value if one.added_to is None else value + values[one.added_to]
        if "ln_radius_ratio" in values:
            values["bulge_ln_radius"] = values["disk_ln_radius"] + values.pop("ln_radius_ratio")
        return values

    def of_shapes(self, shapes: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Coordinates ``(…, d)`` of shapes, moved inside their limits."""
        values: dict[str, Any] = dict(shapes)
        values["ln_radius_ratio"] = shapes["bulge_ln_radius"] - shapes["disk_ln_radius"]
        values.setdefault("psf_width", torch.zeros_like(shapes["x_offset"]))
        columns = []
        for name, one in self.of.items():
            value = values[name] if one.added_to is None else values[name] - values[one.added_to]
            if name.endswith("angle"):
                value = _near_zero(value) if one.added_to else value
            columns.append(one.coordinate(value))
        return torch.stack(columns, dim=-1)

    def inside(self, u: torch.Tensor) -> torch.Tensor:
        """Coordinates with limits, not so far out that numbers end."""
        return torch.where(self.known.to(u.device), u.clamp(-FARTHEST, FARTHEST), u)

    def log_slope(self, u: torch.Tensor) -> torch.Tensor:
        """Logarithm of the derivatives of the values with limits by their coordinates, summed: ``(…)``."""
        total = torch.zeros_like(u[..., 0])
        for column, one in zip(u.unbind(-1), self.of.values()):
            if isinstance(one, Bounded):
                total = total - 0.5 * column.square() + math.log(max(one.high - one.low, 1e-300) / ROOT_TWO_PI)
        return total

    def normal(self, u: torch.Tensor) -> torch.Tensor:
        """Log density of the prior as far as it is normal: ``(…)``, without a constant."""
        return -0.5 * (u.square() * self.known.to(u)).sum(-1)


def _coordinate(name: str, entry) -> Bounded | Free:
    if isinstance(entry, Near):
        return Bounded(-entry.half_width, entry.half_width, entry.name)
    low, high = entry.low, entry.high
    if name.endswith("angle") and high - low >= 180:
        return Free(FREE_ANGLE)
    if name.endswith("_radius") or name == "radius_ratio":
        return Bounded(math.log(max(low, 1e-6 * high)), math.log(high))
    return Bounded(low, high)


def _near_zero(angle: torch.Tensor) -> torch.Tensor:
    return torch.remainder(angle + 90, 180) - 90
