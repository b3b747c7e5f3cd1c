"""Quantities that follow from joint draws, for `Posterior.derive`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Real

import numpy as np
from numpy.typing import NDArray


def bulge_flux(targets: Mapping[str, NDArray]) -> NDArray:
    """Flux of the bulge, ``bulge_to_total · flux``.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    targets : dict of str to ndarray
        Draws of "bulge_to_total" and "flux".

    Returns
    -------
    ndarray
        In the units of the flux, of the shape of the draws.

    Raises
    ------
    ValueError
        If one of the two is not among the targets.

    Examples
    --------
    >>> import numpy as np
    >>> from galestim.posteriors import bulge_flux
    >>> bulge_flux({"bulge_to_total": np.array([0.2, 0.5]), "flux": np.array([10.0, 8.0])})
    array([2., 4.])
    """
    return _named(targets, "bulge_to_total") * _named(targets, "flux")


def disk_flux(targets: Mapping[str, NDArray]) -> NDArray:
    """Flux of the disk, ``(1 - bulge_to_total) · flux``.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    targets : dict of str to ndarray
        Draws of "bulge_to_total" and "flux".

    Returns
    -------
    ndarray
        In the units of the flux, of the shape of the draws.

    Raises
    ------
    ValueError
        If one of the two is not among the targets.

    Examples
    --------
    >>> import numpy as np
    >>> from galestim.posteriors import disk_flux
    >>> disk_flux({"bulge_to_total": np.array([0.2, 0.5]), "flux": np.array([10.0, 8.0])})
    array([8., 4.])
    """
    return (1 - _named(targets, "bulge_to_total")) * _named(targets, "flux")


class Magnitude:
    """Magnitude of the flux, ``zero_point - 2.5 log10(flux)``.

    Called with a dict of draws that holds "flux", it returns their magnitudes; NaN where a flux is not positive.
    A galaxy with such a draw has NaN for the summaries of its magnitude: learn the flux through its logarithm to have
    positive draws only.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    zero_point : float
        Magnitude of a flux of 1, in mag.

    Raises
    ------
    ValueError
        If `zero_point` is not a finite number.

    Examples
    --------
    >>> import numpy as np
    >>> from galestim.posteriors import Magnitude
    >>> Magnitude(zero_point=27.0)({"flux": np.array([1.0, 100.0, -3.0])})
    array([27., 22., nan])
    """

    def __init__(self, zero_point):
        if not isinstance(zero_point, Real) or not math.isfinite(zero_point):
            raise ValueError(f"zero_point={zero_point!r}; expected the magnitude of a flux of 1, a finite number.")
        self.zero_point = zero_point

    def __repr__(self):
        return f"Magnitude(zero_point={self.zero_point!r})"

    def __call__(self, targets: Mapping[str, NDArray]) -> NDArray:
        """Magnitudes of the draws of "flux", of their shape, in mag."""
        flux = _named(targets, "flux")
        return np.asarray(self.zero_point - 2.5 * np.log10(np.where(flux > 0, flux, np.nan)))


def _named(targets: Mapping[str, NDArray], name: str) -> NDArray:
    if name not in targets:
        known = ", ".join(repr(known) for known in targets)
        raise ValueError(f"no target {name!r} among {known}; name the targets of the posterior so.")
    return targets[name]
