"""Transforms of targets from physical units to the real line, where a posterior may be Gaussian.

A radius is positive and a bulge-to-total ratio lies in [0, 1]; a Gaussian knows of neither. Networks learn, and
posteriors are mixtures of Gaussians, in the *latent* space these maps lead to; `log_abs_det_jacobian` brings
densities back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._masked import without_mask
from ._tables import listed
from ._target_transform import TargetTransform

__all__ = [
    "AsinhTransform",
    "IdentityTransform",
    "LogTransform",
    "LogitTransform",
    "check_domain",
    "clip_labels",
    "resolve_transforms",
]

_LOG_2 = np.log(2.0)
_LARGE = 1e300  # above it, asinh(x) is ln 2x to the last digit; a quotient of floats may be too large for one
_LOG_LARGE = np.log(2 * _LARGE)
_METHODS = ("forward", "inverse", "log_abs_det_jacobian")


class IdentityTransform(TargetTransform):
    """The identity, z = y: for targets that may have any value.

    .. versionadded:: 0.1.0

    Examples
    --------
    >>> from galestim.targets import IdentityTransform
    >>> IdentityTransform().forward([-2, 0.5])
    array([-2. ,  0.5])
    """


class LogTransform(TargetTransform):
    """The logarithm, z = ln y: for positive targets whose errors are relative: radii, fluxes, masses.

    .. versionadded:: 0.1.0

    Examples
    --------
    >>> from galestim.targets import LogTransform
    >>> log = LogTransform()
    >>> log.forward([0.5, 1, 2]).round(3)
    array([-0.693,  0.   ,  0.693])
    >>> log.outside([-1, 0, 2])
    array([ True,  True, False])
    """

    _support = (0.0, np.inf)

    def _forward(self, y):
        return np.log(y)

    def _inverse(self, z):
        return np.exp(z)

    def _log_slope(self, y):
        return -np.log(y)


class LogitTransform(TargetTransform):
    """The logit, z = ln((y - low) / (high - y)): for targets between two bounds, such as ratios.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    low : float, default=0.0
        The lower bound, in the units of the target. A label may be equal to it: see `clip`.
    high : float, default=1.0
        The upper bound, likewise.
    margin : float, default=0.005
        `clip` moves labels nearer to a bound than this fraction of ``high - low`` to that distance from it; greater
        than 0 and less than 0.5.

    Raises
    ------
    ValueError
        By any method, unless the bounds are finite, ``low < high`` and ``0 < margin < 0.5``.

    Notes
    -----
    The logit of a label at a bound is infinite, and that of one next to it an outlier that would rule the training.
    So `clip` moves labels to within ``[low + margin·(high - low), high - margin·(high - low)]``, where a model
    learns from them and a log score is evaluated. Distributions know no margin: all else is exact over the whole of
    ``(low, high)``, so that densities integrate to 1, and draws pile up nowhere.

    References
    ----------
    Ghosh et al. (2022), ApJ 935, 138, predict the bulge-to-total ratio through its logit.

    Examples
    --------
    >>> from galestim.targets import LogitTransform
    >>> logit = LogitTransform()
    >>> logit.clip([0, 0.001, 0.5, 0.9, 1])
    array([0.005, 0.005, 0.5  , 0.9  , 0.995])
    >>> logit.forward([0, 0.001, 0.5, 0.9, 1]).round(3)
    array([  -inf, -6.907,  0.   ,  2.197,    inf])
    >>> logit.inverse([-7, 7]).round(4)
    array([9.000e-04, 9.991e-01])
    """

    _bounds_are_labels = True

    def __init__(self, low=0.0, high=1.0, margin=0.005):
        self.low = low
        self.high = high
        self.margin = margin

    @property
    def support(self) -> tuple[float, float]:
        """The open interval ``(low, high)`` into which `inverse` maps, in physical units."""
        if not (-np.inf < self.low < self.high < np.inf and self.high - self.low < np.inf and 0 < self.margin < 0.5):
            raise ValueError(
                f"low={self.low!r}, high={self.high!r}, margin={self.margin!r}; "
                "expected finite low < high, and 0 < margin < 0.5."
            )
        return float(self.low), float(self.high)

    def _clip(self, y):
        low, high = self.support
        edge = self.margin * (high - low)
        least = max(low + edge, np.nextafter(low, high))  # not the bound, even if rounding leaves no margin
        most = min(high - edge, np.nextafter(high, low))
        return np.clip(y, least, most)

    def _forward(self, y):
        low, high = self.support
        return np.log(y - low) - np.log(high - y)

    def _inverse(self, z):
        low, high = self.support
        distance = np.exp(-np.abs(z))  # from the nearer bound: no rounding leads beyond it
        distance /= 1 + distance
        distance *= high - low
        bound = np.clip(np.copysign(np.inf, z), low, high)  # quicker than np.where
        return bound - np.copysign(distance, z)

    def _log_slope(self, y):
        low, high = self.support
        return np.log(high - low) - np.log(y - low) - np.log(high - y)


class AsinhTransform(TargetTransform):
    """The scaled asinh, z = asinh(y / softening): for targets of large range that noise makes negative.

    Linear for ``|y|`` much less than `softening`, logarithmic for much greater.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    softening : float, default=1.0
        Where linear turns to logarithmic, in the units of the target: about its noise.

    Raises
    ------
    ValueError
        By `forward`, `inverse` and `log_abs_det_jacobian`, unless `softening` is positive and finite.

    References
    ----------
    Lupton, Gunn & Szalay (1999), AJ 118, 1406.

    Examples
    --------
    >>> from galestim.targets import AsinhTransform
    >>> AsinhTransform(softening=2).forward([-2000, 0, 0.02, 2000]).round(3)
    array([-7.601,  0.   ,  0.01 ,  7.601])
    """

    def __init__(self, softening=1.0):
        self.softening = softening

    def _checked_softening(self) -> float:
        if not 0 < self.softening < np.inf:
            raise ValueError(f"softening={self.softening!r}; expected a positive number.")
        return float(self.softening)

    def _forward(self, y):
        softening = self._checked_softening()
        ratio = np.abs(y) / softening
        logarithmic = np.log(np.abs(y)) - np.log(softening) + _LOG_2  # where the ratio is beyond floats
        return np.copysign(np.where(ratio < _LARGE, np.arcsinh(ratio), logarithmic), y)

    def _inverse(self, z):
        softening = self._checked_softening()
        size = np.abs(z)
        exponential = np.exp(size - _LOG_2 + np.log(softening))
        return np.copysign(np.where(size < _LOG_LARGE, softening * np.sinh(size), exponential), z)

    def _log_slope(self, y):
        return -np.log(np.hypot(self._checked_softening() / 2, y / 2)) - _LOG_2  # halves, whose hypotenuse is a float


TARGET_TRANSFORMS: dict[str, type[TargetTransform]] = {
    "identity": IdentityTransform,
    "log": LogTransform,
    "logit": LogitTransform,
    "asinh": AsinhTransform,
}
"""The transforms that a name stands for, with their default parameters."""


def resolve_transforms(transforms, target_names: Sequence[str]) -> list:
    """One transform object per target, of whatever a user gave.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    transforms : None, str, object, sequence or dict
        - None: the identity for all targets.
        - A name, "identity", "log", "logit" or "asinh", or a transform object: that for all targets.
        - A sequence: a name, an object or None for each target.
        - A dict from target name to name or object; targets that it does not name stay as they are.

        An object has the methods `forward`, `inverse` and `log_abs_det_jacobian`; it may have `outside`, `clip`
        and `support`.
    target_names : sequence of str
        Names of the targets, in the order of the columns of y.

    Returns
    -------
    list of transform objects
        One for each target.

    Raises
    ------
    ValueError
        If a name is unknown, or the number of transforms is not that of the targets.
    TypeError
        If something is neither a name nor an object with the three methods.

    Examples
    --------
    >>> from galestim.targets import resolve_transforms
    >>> resolve_transforms({"bulge_to_total": "logit"}, ["bulge_to_total", "spin"])
    [LogitTransform(), IdentityTransform()]
    >>> resolve_transforms("ln", ["flux"])
    Traceback (most recent call last):
        ...
    ValueError: flux: unknown transform 'ln'; expected one of 'asinh', 'identity', 'log', 'logit', or an object.
    """
    names = list(target_names)
    return [_resolved(given, name) for given, name in zip(_one_per_target(transforms, names), names)]


def _one_per_target(transforms, names: list[str]) -> list:
    if isinstance(transforms, Mapping):
        if unknown := [name for name in transforms if name not in names]:
            raise ValueError(f"transforms for {listed(unknown)}; expected some of the targets {listed(names)}.")
        return [transforms.get(name) for name in names]
    if isinstance(transforms, str) or not isinstance(transforms, Sequence | np.ndarray):
        return [transforms] * len(names)
    if len(transforms) != len(names):
        raise ValueError(
            f"{len(transforms)} transforms; expected {len(names)}, one for each of the targets {listed(names)}."
        )
    return list(transforms)


def _resolved(given, name: str):
    """The transform object that `given` stands for."""
    if given is None:
        return IdentityTransform()
    if isinstance(given, str):
        if given not in TARGET_TRANSFORMS:
            known = listed(sorted(TARGET_TRANSFORMS))
            raise ValueError(f"{name}: unknown transform {given!r}; expected one of {known}, or an object.")
        return TARGET_TRANSFORMS[given]()
    if isinstance(given, type):
        raise TypeError(f"{name}: transform {given.__name__} is a class; pass an object, as {given.__name__}().")
    if missing := [method for method in _METHODS if not callable(getattr(given, method, None))]:
        raise TypeError(
            f"{name}: transform {given!r} has no method {listed(missing)}; "
            f"expected a name, or an object with {listed(_METHODS)}."
        )
    return given


def check_domain(y: ArrayLike, transforms, target_names: Sequence[str]) -> None:
    """Raise if a label has a value that the transform of its target does not take.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    y : array-like of shape (n_samples, n_targets)
        Labels in physical units.
    transforms : None, str, object, sequence or dict
        As in `resolve_transforms`. The labels that an object without `outside` takes are those whose `forward`
        is finite.
    target_names : sequence of str
        Names of the columns of `y`.

    Raises
    ------
    ValueError
        Naming the target, the first such row, its value and what the transform takes.

    Examples
    --------
    >>> from galestim.targets import check_domain
    >>> check_domain([[0.3], [1.2]], "logit", ["bulge_to_total"])
    Traceback (most recent call last):
        ...
    ValueError: bulge_to_total: row 1 is 1.2, outside [0, 1], which LogitTransform takes;
    correct or leave out such rows (1 of 2), or choose another transform.
    """
    y = np.asarray(without_mask(y), dtype=float)
    names = list(target_names)
    if y.ndim != 2 or y.shape[1] != len(names):
        raise ValueError(f"y has shape {y.shape}; expected (n_samples, {len(names)}), a column for {listed(names)}.")
    for labels, transform, name in zip(y.T, resolve_transforms(transforms, names), names):
        bad = _outside(transform, labels)
        if bad.any():
            row = int(np.argmax(bad))
            raise ValueError(
                f"{name}: row {row} is {float(labels[row])}, {_not_taken(transform)}; "
                f"correct or leave out such rows ({bad.sum()} of {len(bad)}), or choose another transform."
            )


def clip_labels(y: ArrayLike, transforms) -> NDArray[np.float64]:
    """Labels off the bounds of their transforms, as models learn from them and log scores are evaluated at them.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    y : array-like of shape (n_samples, n_targets)
        Labels in physical units.
    transforms : None, str, object or sequence
        As in `resolve_transforms`. Targets whose transform has no `clip` stay as they are.

    Returns
    -------
    ndarray of shape (n_samples, n_targets)
        A copy, in physical units.

    Raises
    ------
    ValueError
        If `y` does not have two dimensions, or there is not one transform per target.

    Examples
    --------
    >>> from galestim.targets import clip_labels
    >>> clip_labels([[0, 7], [0.4, 0.001]], ["logit", "log"]).tolist()
    [[0.005, 7.0], [0.4, 0.001]]
    """
    y = np.array(y, dtype=float)
    if y.ndim != 2:
        raise ValueError(f"y has shape {y.shape}; expected (n_samples, n_targets).")
    for labels, transform in zip(y.T, resolve_transforms(transforms, [f"column {j}" for j in range(y.shape[1])])):
        if hasattr(transform, "clip"):
            labels[:] = transform.clip(labels)
    return y


def _outside(transform, y: NDArray) -> NDArray[np.bool_]:
    if hasattr(transform, "outside"):
        return ~np.isfinite(y) | transform.outside(y)
    with np.errstate(all="ignore"):
        return ~(np.isfinite(y) & np.isfinite(transform.forward(y)))


def _not_taken(transform) -> str:
    """Relation of a refused value to the support of `transform`, in words."""
    kind = type(transform).__name__
    if not hasattr(transform, "support"):
        return f"which {kind} does not take"
    low, high = transform.support
    left = "(" if _outside(transform, np.asarray(low)) else "["
    right = ")" if _outside(transform, np.asarray(high)) else "]"
    return f"outside {left}{low:.12g}, {high:.12g}{right}, which {kind} takes"
