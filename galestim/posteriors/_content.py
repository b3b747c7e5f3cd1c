"""Description of a posterior as numbers, names and JSON, from which files are written and read."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any, NamedTuple

from astropy import units as u
from numpy.typing import NDArray

from ..targets import TARGET_TRANSFORMS
from ._tails import Tails

VERSION = 1
COLUMNS = {"mixture": ("weights", "means", "scale_trils"), "draws": ("weights", "draws")}
"""Of each form, the arrays that have a row per galaxy."""
FORMS: dict[str, type[Any]] = {}
"""The class of each form, filled by `Posterior`, for those that the classes themselves import."""


class Content(NamedTuple):
    """Content of a file, whatever its format; `targets` are descriptions for JSON."""

    version: int
    form: str
    targets: list[dict]
    columns: dict[str, NDArray]
    groups: NDArray | None
    ids: NDArray | None = None

    @property
    def named(self) -> dict[str, list]:
        """Names and units of the targets, as arguments of a posterior."""
        return {
            "target_names": [target["name"] for target in self.targets],
            "units": [target.get("unit") for target in self.targets],
        }

    def weights_like(self, column: str) -> NDArray:
        """Weights ``(n, m)`` for a column ``(n, m, …)``; a single one may have lost its axis in a file."""
        return self.columns["weights"].reshape(self.columns[column].shape[:2])


def described_targets(
    target_names: Sequence[str], units: Sequence, transforms: Sequence | None, tails: Sequence[Tails | None]
) -> list[dict]:
    """Name, unit, transform and unknown tails of each target as text and numbers; draws have no `transforms`."""
    targets: list[dict] = [
        {"name": name} if unit is None else {"name": name, "unit": _unit_text(unit, name)}
        for name, unit in zip(target_names, units)
    ]
    for target, transform in zip(targets, transforms or []):
        target.update(_transform_text(transform, target["name"]))
    for target, tail in zip(targets, tails):
        if tail is not None:
            target["tails"] = tail.described()
    return targets


def _unit_text(unit, name: str) -> str:
    """The name of `unit`, by which astropy must know it again."""
    text = unit.to_string()
    try:
        if u.Unit(text) == unit:
            return text
    except ValueError:
        pass
    raise ValueError(
        f"{name}: astropy does not know the unit {text!r} by its name, so that a file cannot tell it; "
        "name it to astropy with astropy.units.add_enabled_units, here and where you read."
    )


def _transform_text(transform, name: str) -> dict:
    for known, kind in TARGET_TRANSFORMS.items():
        if type(transform) is kind:
            parameters = {
                key: int(value) if isinstance(value, Integral) else float(value)
                for key, value in transform.get_params().items()
            }
            return {"transform": known, "parameters": parameters}
    raise TypeError(
        f"{name}: a file cannot tell the transform {transform!r}, which is none of {', '.join(TARGET_TRANSFORMS)}; "
        "write draws instead: Posterior.from_draws(posterior.sample(1000), target_names=posterior.target_names, "
        "units=posterior.units).write(path)"
    )


def described_transform(target: dict):
    """The transform of a described target."""
    if target.get("transform") not in TARGET_TRANSFORMS:
        raise ValueError(
            f"{target['name']} has the transform {target.get('transform')!r}, expected one of "
            f"{', '.join(TARGET_TRANSFORMS)}."
        )
    return TARGET_TRANSFORMS[target["transform"]](**target["parameters"])
