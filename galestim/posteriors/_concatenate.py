"""Posteriors of several sets of galaxies as one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from numbers import Real
from typing import Any

import numpy as np
from astropy import units as u
from numpy.typing import NDArray

from ..targets import AsinhTransform, IdentityTransform, LogitTransform, LogTransform
from ._base import Posterior
from ._draws import DrawsPosterior
from ._mixture import MixturePosterior
from ._tails import joined


def concatenate(posteriors: Iterable[Posterior]) -> Any:
    """Join posteriors of several sets of galaxies: those of the first, then those of the second, and so on.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    posteriors : sequence of MixturePosterior or of DrawsPosterior
        All of one form and of the same targets. Targets in another order are put in that of the first, and other
        units are converted to those of the first. Of mixtures, the transforms have to be the same.

    Returns
    -------
    MixturePosterior or DrawsPosterior
        Galaxies that have fewer components or draws than others are given some of weight 0, which count for nothing.
        Its `ids` are empty for galaxies without one; None if none has one.

    Raises
    ------
    TypeError
        If something is no posterior, or mixtures and draws are mixed.
    ValueError
        If there is none, or names, units or transforms differ.

    Examples
    --------
    >>> import numpy as np
    >>> from galestim.posteriors import DrawsPosterior, concatenate
    >>> arcsec = DrawsPosterior(np.full((2, 10, 1), 30.0), target_names=["half_light_radius"], units=["arcsec"])
    >>> arcmin = DrawsPosterior(np.full((1, 10, 1), 0.5), target_names=["half_light_radius"], units=["arcmin"])
    >>> concatenate([arcsec, arcmin])
    DrawsPosterior(3 galaxies; targets: half_light_radius [arcsec])
    >>> concatenate([arcsec, arcmin]).median().ravel()
    array([30., 30., 30.])
    """
    parts: list[Any] = list(posteriors)
    _check_forms(parts)
    first = parts[0]
    parts = [first, *(_like(part, first, number) for number, part in enumerate(parts[1:], start=1))]
    named = {"target_names": first.target_names, "units": first.units, "ids": _joined_ids(parts)}
    if isinstance(first, DrawsPosterior):
        size = max(part.draws.shape[1] for part in parts)
        arrays = (_stacked(parts, name, size, [0] * len(parts)) for name in ("draws", "weights"))
        tails = zip(*(part._tails for part in parts))
        return DrawsPosterior(*arrays, **named)._with_tails([joined(of_target) for of_target in tails])
    return _joined_mixtures(parts, named)


def _check_forms(parts: list) -> None:
    if not parts:
        raise ValueError("no posteriors to concatenate; expected at least one.")
    for number, part in enumerate(parts):
        if not isinstance(part, Posterior):
            raise TypeError(f"number {number} is a {type(part).__name__}; expected a sequence of posteriors.")
        if part._form != parts[0]._form:
            raise TypeError(
                f"number 0 is a {type(parts[0]).__name__} and number {number} a {type(part).__name__}; expected one "
                "form. A mixture becomes draws by Posterior.from_draws(mixture.sample(1000), "
                "target_names=mixture.target_names, units=mixture.units, ids=mixture.ids)."
            )


def _like(part, first, number: int):
    """`part` with the targets, order and units of `first`."""
    if set(part.target_names) != set(first.target_names):
        raise ValueError(
            f"number {number} has the targets {part.target_names}; expected {first.target_names}, those of number 0. "
            "posterior[names] is the posterior of some targets alone."
        )
    part = part if part.target_names == first.target_names else part[first.target_names]
    for target, unit in enumerate(first.units):
        part = _in_unit(part, target, unit, number)
    if isinstance(first, MixturePosterior):
        _check_transforms(part, first, number)
    return part


def _in_unit(part, target: int, unit, number: int):
    """`part` with one target in another unit."""
    own, name = part.units[target], part.target_names[target]
    if own == unit:
        return part
    try:
        factor = own.to(unit)
    except (AttributeError, TypeError, u.UnitsError):
        raise ValueError(
            f"{name} has the unit {own} in number {number} and {unit} in number 0; expected units of one kind, or "
            "none in both."
        ) from None
    units = [unit if i == target else other for i, other in enumerate(part.units)]
    scale = np.where(np.arange(part.n_targets) == target, factor, 1.0)
    if isinstance(part, DrawsPosterior):
        named = {"target_names": part.target_names, "units": units, "ids": part.ids}
        tails = [None if tail is None else tail.times(number) for tail, number in zip(part._tails, scale.tolist())]
        return DrawsPosterior(part.draws * scale, part.weights, **named)._with_tails(tails)
    return _scaled_mixture(part, target, factor, units)


def _scaled_mixture(part: MixturePosterior, target: int, factor: float, units: list) -> MixturePosterior:
    """Values of a target times `factor`, by the transform's parameters if it has some, else by latent moments."""
    transforms = list(part.transforms)
    means, scale_trils, transform = part.means.copy(), part.scale_trils.copy(), transforms[target]
    if type(transform) is LogTransform:
        means[..., target] += np.log(factor)
    elif type(transform) is IdentityTransform:
        means[..., target] *= factor
        scale_trils[:, :, target] *= factor
    elif type(transform) is AsinhTransform:
        transforms[target] = AsinhTransform(transform.softening * factor)
    elif type(transform) is LogitTransform:
        transforms[target] = LogitTransform(transform.low * factor, transform.high * factor, transform.margin)
    else:
        raise ValueError(
            f"{part.target_names[target]} has the transform {transform!r}, which is unknown in other units; expected "
            "the same unit in all posteriors, or draws."
        )
    return MixturePosterior(
        means,
        scale_trils,
        part.weights,
        groups=part.groups,
        target_names=part.target_names,
        units=units,
        transforms=transforms,
        ids=part.ids,
    )


def _check_transforms(part: MixturePosterior, first: MixturePosterior, number: int) -> None:
    for name, own, other in zip(first.target_names, part.transforms, first.transforms):
        if own is not other and (type(own) is not type(other) or not _same_parameters(vars(own), vars(other))):
            raise ValueError(
                f"{name} has the transform {own!r} in number {number} and {other!r} in number 0; expected the same. "
                "Draws have none: Posterior.from_draws makes posteriors of them."
            )


def _same_parameters(own: dict, other: dict) -> bool:
    """True if two transforms are one, but for rounding in a conversion of units."""
    return own.keys() == other.keys() and all(
        math.isclose(value, other[name], rel_tol=1e-12)
        if isinstance(value, Real) and isinstance(other[name], Real)
        else np.array_equal(value, other[name])
        for name, value in own.items()
    )


def _joined_ids(parts: Sequence[Posterior]) -> NDArray[np.str_] | None:
    if all(part.ids is None for part in parts):
        return None
    return np.concatenate([np.full(len(part), "") if part.ids is None else part.ids for part in parts])


def _joined_mixtures(parts: list[MixturePosterior], named: dict) -> MixturePosterior:
    """Posteriors whose components are of the same passes share columns; others have columns of their own."""
    starts: dict[bytes, int] = {}
    groups = np.empty(0, dtype=np.int64)
    for part in parts:
        if part.groups.tobytes() not in starts:
            starts[part.groups.tobytes()] = len(groups)
            groups = np.append(groups, part.groups - part.groups.min() + groups.max(initial=-1) + 1)
    places = [starts[part.groups.tobytes()] for part in parts]
    arrays = (_stacked(parts, name, len(groups), places) for name in ("means", "scale_trils", "weights"))
    return MixturePosterior(*arrays, groups=groups, transforms=parts[0].transforms, **named)


def _stacked(parts: list, name: str, size: int, places: Sequence[int]) -> NDArray[np.float64]:
    """An array of all posteriors, `size` columns wide, each at its place: 0 beside it, NaN in missing galaxies."""
    stacked = []
    for part, place in zip(parts, places):
        own = getattr(part, name)
        wide = np.zeros((len(own), size, *own.shape[2:]))
        wide[np.isnan(part.weights[:, 0])] = np.nan
        wide[:, place : place + own.shape[1]] = own
        stacked.append(wide)
    return np.concatenate(stacked)
