"""Warnings of a fit to what is allowed, but hardly ever meant: marks of missing labels, magnitudes, a few rows."""

from __future__ import annotations

import re
import warnings

import numpy as np
from numpy.typing import NDArray

from ..targets import LogTransform, resolve_transforms
from ._rows import TrainingRows
from ._targets import Targets

FEW = 4  # rows, of which no network learns what holds for others
MAGNITUDE = re.compile(r"mag(nitudes?|s)?([^a-z]|$)|^m_[a-z]$", re.IGNORECASE)


def warn_of_the_odd(targets: Targets, target_transforms, rows: TrainingRows) -> None:
    """Warn of what the training rows look like, if that is hardly ever meant for a fit."""
    if len(rows.rows) < FEW:
        _warn(f"fit has {len(rows.rows)} distinct images to learn from; expected hundreds, better thousands.")
    transforms = resolve_transforms(target_transforms, targets.names)
    for j, (name, transform) in enumerate(zip(targets.names, transforms)):
        column, unit = targets.values[rows.rows, j], None if targets.units is None else targets.units[j]
        for mark in _marks(column):
            others, at = column[column != mark], np.flatnonzero(targets.values[:, j] == mark)
            _warn(
                f"the target {name!r} is {mark:g} in {len(at)} of {len(targets.values)} rows, first in row {at[0]}, "
                f"and {others.min():.3g} to {others.max():.3g} in the others: a mark of missing values? Leave these "
                "rows out."
            )
        if isinstance(transform, LogTransform) and _are_magnitudes(name if targets.named else None, unit, column):
            _warn(
                f"the target {name!r}, {column.min():.3g} to {column.max():.3g}, has the transform 'log': "
                "magnitudes? These are logarithms; expected 'identity' for them, and 'log' for fluxes."
            )


def warn_of_no_names(targets: Targets, target_transforms) -> None:
    """Warn if radii and fluxes cannot be told from other targets of a fit that is told of cameras."""
    logarithms = [isinstance(t, LogTransform) for t in resolve_transforms(target_transforms, targets.names)]
    if not targets.named and any(logarithms):
        _warn(
            "the targets have no names, so radii and fluxes among them are learned as they are, not in units of "
            "each galaxy's pixels and noise; expected a table with columns such as 'half_light_radius' and 'flux'."
        )


def _warn(message: str) -> None:
    warnings.warn(message, stacklevel=7)  # the caller of `fit`


def _marks(column: NDArray) -> list[float]:
    """The lowest and the highest label, if it looks like a mark."""
    ends = dict.fromkeys([float(column.min()), float(column.max())])
    return [end for end in ends if (column != end).any() and _is_mark(end, column[column != end])]


def _is_mark(value: float, others: NDArray) -> bool:
    """True if a value is far from all others, and is -1 among positive ones, all nines, or beyond all measure."""
    gap, spread = np.abs(others - value).min(), np.subtract(*np.quantile(others, [0.75, 0.25]))
    nines = set(f"{abs(value):.10g}") <= set("9.") and abs(value) >= 9
    huge = abs(value) >= 1e9 and gap > 1e3 * np.abs(others).max()
    apart = gap > 3 * spread and gap > abs(value) / 2
    one_of_two = others.min() == others.max()  # classes, such as -1 and 1
    return bool((value == -1 and others.min() > 0 and not one_of_two) or (apart and (nines or huge)))


def _are_magnitudes(name: str | None, unit: str | None, column: NDArray) -> bool:
    """True if a target is one by its name or unit or, without these, by its values."""
    if name is None and unit is None:
        return bool(column.min() > 10 and column.max() < 32)
    return bool(MAGNITUDE.search(name or "")) or "mag" in (unit or "").lower()
