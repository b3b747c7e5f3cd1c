"""Targets: read from any table, and as the network learns them, transformed to the real line and standardized."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_consistent_length

from .._tables import NamedColumns, as_unit, named_columns, refuse_unknown
from ..targets import check_domain, clip_labels
from ._rows import moments

_AFFIX = re.compile(r"^(e|err|error|sigma)_|_?(err|error|sigma|std)$", re.IGNORECASE)  # of names of errors
DIRECTIONS = {"position_angle", "pa", "e1", "e2", "g1", "g2", "x_offset", "y_offset"}


class Targets(NamedTuple):
    """Targets in their own units."""

    values: NDArray[np.float64]  # (n, k)
    names: list[str]  # of the table's columns, or y, or y0, y1, …
    named: bool  # whether the names came with the values
    units: list[str | None] | None
    one_dimensional: bool  # whether given as (n,), the shape that predictions are to have
    errors: NDArray[np.float64] | None = None  # (n, k), standard deviations

    def like_those_of(self, names: list[str], units: list[str | None] | None) -> Targets:
        """The same in the order and units of an earlier fit, on which a warm start goes on, or a ValueError."""
        alone = self.one_dimensional and len(names) == 1  # a series of another name is taken, with a warning
        if len(self.names) != len(names) or (self.named and not alone and sorted(self.names) != sorted(names)):
            raise ValueError(
                f"y has the targets {self.names}, but warm_start=True goes on from a fit on {names}; give the same "
                "targets, or set warm_start=False."
            )
        own = self.names if self.named else None
        values = NamedColumns(self.values, own, self.units, alone).in_order_of(names, units)
        errors = self.errors
        if errors is not None:
            errors = NamedColumns(errors, list(names) if alone else own, self.units, False).in_order_of(
                names, units, "y_err", errors=True
            )
        return self._replace(values=values, names=names, units=units, errors=errors)

    def digested(self) -> NDArray[np.float64]:
        """Values and errors side by side: rows that are equal in these are one."""
        return self.values if self.errors is None else np.hstack([self.values, self.errors])


class TargetCodec(NamedTuple):
    """The map from targets in their own units to what the network learns, and back."""

    names: list[str]
    transforms: list[Any]  # k of them, to the real line
    mean: NDArray[np.float64]  # (k,), of the transformed targets
    scale: NDArray[np.float64]  # (k,)

    @classmethod
    def of(cls, targets: Targets, transforms: list[Any], rows, weight: NDArray, offsets=0.0) -> TargetCodec:
        """The codec whose mean and scale are those of the given rows; `offsets` are as in `encode`.

        A target outside of the domain of its transform, or without a finite variance, is a ValueError.
        """
        unscaled = cls(targets.names, transforms, np.zeros(len(transforms)), np.ones(len(transforms)))
        latent = unscaled.encode(targets.values, offsets)[rows]
        with np.errstate(over="ignore", invalid="ignore"):
            mean, scale = moments(latent, weight)
        huge = ~np.isfinite(mean + scale)
        if huge.any():
            raise ValueError(
                f"the target {targets.names[int(np.argmax(huge))]!r} has a variance beyond what 64 bits hold; "
                "expected values of less than 1e150. Take another unit, or the transform 'log'."
            )
        return cls(targets.names, transforms, mean, scale)

    def encode(self, values: NDArray, offsets: NDArray | float = 0.0) -> NDArray[np.float64]:
        """Targets ``(n, k)`` → standardized latent ones, less `offsets` ``(n, k)`` that images tell by themselves."""
        check_domain(values, self.transforms, self.names)
        values = clip_labels(values, self.transforms)
        latent = np.column_stack([t.forward(column) for t, column in zip(self.transforms, values.T)])
        return (latent - offsets - self.mean) / self.scale

    def decode(self, latent: NDArray, offsets: NDArray | float = 0.0) -> NDArray[np.float64]:
        """Standardized latent targets ``(n, k)`` → those in their own units; the inverse of `encode`."""
        latent = latent * self.scale + self.mean + offsets
        return np.column_stack([t.inverse(column) for t, column in zip(self.transforms, latent.T)])

    def variance(self, targets: Targets) -> NDArray[np.float64]:
        """Variance ``(n, k)`` of the standardized targets, to first order in their errors."""
        values = clip_labels(targets.values, self.transforms)
        slope = np.column_stack([np.exp(t.log_abs_det_jacobian(c)) for t, c in zip(self.transforms, values.T)])
        return (targets.errors * slope / self.scale) ** 2


def read_targets(y, X, estimator, y_err=None) -> Targets:
    """`y` and its errors, whatever kind of table they are.

    A ValueError says if `y` is missing, not numeric, not finite (it names the first row), or of another length than
    `X`, or `y_err` is negative or of another shape.
    """
    if y is None:
        raise ValueError(
            f"This {type(estimator).__name__} estimator requires y to be passed, but the target y is None."
        )
    columns = named_columns(y)
    refuse_unknown(columns.values)
    check_consistent_length(X, columns.values)
    k = columns.values.shape[1]
    names = columns.names or (["y"] if columns.one_dimensional else [f"y{i}" for i in range(k)])
    for name, unit in zip(names, columns.units or []):
        as_unit(unit, name)
    errors = None if y_err is None else _check_errors(y_err, names, columns)
    return Targets(columns.values, names, columns.names is not None, columns.units, columns.one_dimensional, errors)


def forbid_constant(targets: Targets, rows: NDArray) -> None:
    """Refuse a target that has one value in all of these rows."""
    values = targets.values[rows]
    constant = (values == values[:1]).all(axis=0)
    if len(values) > 1 and constant.any():
        name = targets.names[int(np.argmax(constant))]
        raise ValueError(
            f"the target {name!r} is the same in all {len(values)} training rows, so there is nothing to learn; "
            "leave it out, or give rows in which it varies."
        )


def forbid_directions(names: list[str], by: str | None) -> None:
    """Refuse targets that change when an image is turned or flipped, if `by` turns or flips images."""
    for name in names if by else []:
        if name.lower() in DIRECTIONS:
            raise ValueError(
                f"the target {name!r} changes when an image is turned or flipped, but {by} makes those images one. "
                "Leave the target out, or set augmentation=None and a network that sees directions (VGG16, SpinCNN)."
            )


def _check_errors(y_err, names: list[str], targets: NamedColumns) -> NDArray[np.float64]:
    """Errors of the targets as ``(n, k)``, none negative; a table's columns by the names of the targets."""
    columns = named_columns(y_err, what="y_err")
    if columns.names is not None and not set(names) <= set(columns.names):
        columns = replace(columns, names=[_AFFIX.sub("", name) for name in columns.names])
    errors = columns.in_order_of(names, targets.units, "y_err", errors=True)
    if errors.shape != targets.values.shape:
        raise ValueError(
            f"y_err has shape {errors.shape}; expected {targets.values.shape}, an error for every target."
        )
    refuse_unknown(errors, "y_err")
    if (errors < 0).any():
        raise ValueError(f"y_err is negative in row {int(np.argmax((errors < 0).any(axis=1)))}; expected σ ≥ 0.")
    return errors
