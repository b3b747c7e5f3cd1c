"""Point-spread function of a telescope in space: diffraction by its mirror, with a hole in the middle."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import j1

from ._psf import _Elliptical


@dataclass(frozen=True, repr=False)
class AiryPSF(_Elliptical):
    """Airy's pattern, that of a round mirror whose middle is obscured by another.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    fwhm : float
        Full width at half maximum [arcsec]; of an ellipse, the geometric mean of its axes.
    obscuration : float, default=0.0
        Diameter of the hole over that of the mirror, from 0 to below 1; 0.33 of the Hubble Space Telescope.
    ellipticity : float, default=0.0
        (a - b) / (a + b) of the axes a and b.
    position_angle : float, default=0.0
        Of the major axis [deg, east of north].

    Raises
    ------
    ValueError
        If `fwhm` is not positive, or `obscuration` or `ellipticity` not from 0 to below 1.

    Notes
    -----
    The transform is the share of the mirror's area that overlaps with itself, shifted [1]_; it ends at a wave number.

    References
    ----------
    .. [1] O'Neill 1956, J. Opt. Soc. Am. 46, 285.

    Examples
    --------
    >>> from galestim.simulation import AiryPSF
    >>> AiryPSF(0.09, obscuration=0.33).transform([0.0, 30.0], [0.0]).round(4)
    array([[...]])
    """

    fwhm: float
    obscuration: float = 0.0
    ellipticity: float = 0.0
    position_angle: float = 0.0

    def __post_init__(self):
        super().__post_init__()
        if not 0 <= self.obscuration < 1:
            raise ValueError(f"obscuration={self.obscuration!r}; expected a ratio of diameters, from 0 to below 1.")

    def _round_transform(self, k):
        shift = self.fwhm * k / (np.pi * _width(self.obscuration))  # in radii of the mirror
        hole = self.obscuration
        overlap = _lens(shift, 1.0, 1.0) - 2 * _lens(shift, 1.0, hole) + _lens(shift, hole, hole)
        return overlap / (np.pi * (1 - hole**2))


def _lens(distance: NDArray, large: float, small: float) -> NDArray:
    """Area that two disks of these radii have in common."""
    if small == 0:
        return np.zeros_like(distance)
    far = np.clip(distance, max(large - small, 1e-9), large + small)
    near_large = (far**2 + large**2 - small**2) / (2 * far)
    near_small = far - near_large
    parts = (
        radius**2 * np.arccos(np.clip(near / radius, -1, 1)) - near * np.sqrt(np.maximum(radius**2 - near**2, 0))
        for radius, near in ((large, near_large), (small, near_small))
    )
    return sum(parts)


@lru_cache(maxsize=1024)
def _width(hole: float) -> float:
    """Full width at half maximum, in wavelengths over the mirror's diameter."""

    def light(x: float) -> float:
        amplitude = 2 * j1(x) / x - (2 * hole * j1(hole * x) / x if hole else 0.0)
        return (amplitude / (1 - hole**2)) ** 2

    return 2 / np.pi * brentq(lambda x: light(x) - 0.5, 1e-3, 2.0)
