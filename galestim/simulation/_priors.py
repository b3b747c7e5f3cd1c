"""Priors of galaxies: one small object per parameter, put together in a `GalaxyPrior`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_random_state

from ._parameters import PARAMETERS

LOGARITHMIC = ("flux", "bulge_radius", "disk_radius")  # whose natural coordinate is the logarithm


class Prior(Protocol):
    """Of one parameter; any class with these two will do."""

    def draw(self, n: int, rng: np.random.Generator, drawn: Mapping[str, NDArray]) -> NDArray:
        """Values (n,), given those `drawn` of the parameters before it."""

    def variance(self, logarithm: bool = False) -> float:
        """Variance of the parameter, or of its logarithm."""


def _check_limits(name: str, low, high, least: float) -> None:
    if not (np.isfinite([low, high]).all() and least < low < high):
        raise ValueError(f"{name}({low!r}, {high!r}); expected finite {'0 < ' if least == 0 else ''}low < high.")


@dataclass(frozen=True)
class Uniform:
    """All values between two limits are as probable.

    Parameters
    ----------
    low, high : float
        The limits, in the units of the parameter.

    Raises
    ------
    ValueError
        If `low` is not below `high`.

    Examples
    --------
    >>> from galestim.simulation import Uniform
    >>> Uniform(2.5, 5.0).variance()
    0.5208333333333334
    """

    low: float
    high: float

    def __post_init__(self):
        _check_limits("Uniform", self.low, self.high, -np.inf)

    def draw(self, n, rng, drawn=None):
        """Draw values.

        Parameters
        ----------
        n : int
        rng : numpy.random.Generator
        drawn : mapping, default=None
            Not used.

        Returns
        -------
        ndarray of shape (n,)
        """
        return rng.uniform(self.low, self.high, n)

    def variance(self, logarithm=False):
        """Variance.

        Parameters
        ----------
        logarithm : bool, default=False
            Whether that of the logarithm, for which `low` must not be negative.

        Returns
        -------
        float
        """
        if not logarithm:
            return (self.high - self.low) ** 2 / 12
        limits = np.array([max(self.low, 1e-300), self.high])
        logs = np.log(limits)
        mean, square = (np.diff(limits * power)[0] for power in (logs - 1, logs**2 - 2 * logs + 2))
        return float(square / (self.high - self.low) - (mean / (self.high - self.low)) ** 2)


@dataclass(frozen=True)
class LogUniform:
    """The logarithm is uniform: as many galaxies in every octave.

    Parameters
    ----------
    low, high : float
        The limits, in the units of the parameter.

    Raises
    ------
    ValueError
        If not 0 < `low` < `high`.

    Examples
    --------
    >>> from galestim.simulation import LogUniform
    >>> LogUniform.of_magnitudes(17.5, 23.0, zero_point=27.0)
    LogUniform(low=39.8..., high=6309.5...)
    """

    low: float
    high: float

    def __post_init__(self):
        _check_limits("LogUniform", self.low, self.high, 0)

    @classmethod
    def of_magnitudes(cls, bright, faint, *, zero_point):
        """Make the prior of a flux whose magnitude is uniform.

        Parameters
        ----------
        bright, faint : float
            Limits of the magnitude.
        zero_point : float
            Magnitude of a flux of one.

        Returns
        -------
        LogUniform
        """
        return cls(10 ** (-0.4 * (faint - zero_point)), 10 ** (-0.4 * (bright - zero_point)))

    def draw(self, n, rng, drawn=None):
        """Draw values.

        Parameters
        ----------
        n : int
        rng : numpy.random.Generator
        drawn : mapping, default=None
            Not used.

        Returns
        -------
        ndarray of shape (n,)
        """
        return np.exp(rng.uniform(np.log(self.low), np.log(self.high), n))

    def variance(self, logarithm=False):
        """Variance.

        Parameters
        ----------
        logarithm : bool, default=False
            Whether that of the logarithm.

        Returns
        -------
        float
        """
        width = np.log(self.high / self.low)
        if logarithm:
            return float(width**2 / 12)
        return float((self.high**2 - self.low**2) / (2 * width) - ((self.high - self.low) / width) ** 2)


@dataclass(frozen=True)
class Near:
    """Uniform around another parameter of the same galaxy.

    Parameters
    ----------
    name : str
        The other parameter, which comes before this one in the `GalaxyPrior`.
    half_width : float
        How far the two may be apart.

    Examples
    --------
    >>> from galestim.simulation import Near
    >>> Near("disk_position_angle", 15.0).variance()
    75.0
    """

    name: str
    half_width: float

    def draw(self, n, rng, drawn):
        """Draw values.

        Parameters
        ----------
        n : int
        rng : numpy.random.Generator
        drawn : mapping of str to ndarray of shape (n,)
            What has been drawn of the same galaxies.

        Returns
        -------
        ndarray of shape (n,)
        """
        return drawn[self.name] + rng.uniform(-self.half_width, self.half_width, n)

    def variance(self, logarithm=False):
        """Variance, with the other parameter known.

        Parameters
        ----------
        logarithm : bool, default=False
            Has to be False: no such parameter is on a logarithmic scale.

        Returns
        -------
        float
        """
        if logarithm:
            raise ValueError(
                "Near has no variance of the logarithm; expected Uniform or LogUniform for this parameter."
            )
        return self.half_width**2 / 3


class GalaxyPrior:
    """Prior of galaxies of a bulge and a disk.

    Parameters
    ----------
    priors : mapping of str to Uniform, LogUniform, Near or another prior
        One for each parameter of `render`; a `Near` after the one it is near to.

    Attributes
    ----------
    priors : dict
        As passed.

    Raises
    ------
    ValueError
        If a parameter is missing, unknown, or near to one that comes after it.

    Examples
    --------
    A variant of the benchmark's galaxies, with disks of other profiles:

    >>> from galestim.simulation import GalaxyPrior, Uniform, sim_v1_prior
    >>> prior = GalaxyPrior(sim_v1_prior().priors | {"disk_sersic_index": Uniform(1.5, 2.0)})
    >>> prior.draw(2, random_state=0)["disk_sersic_index"].round(2).tolist()
    [1.82, 1.74]
    """

    def __init__(self, priors: Mapping[str, Prior]):
        wrong = set(priors) ^ set(PARAMETERS)
        if wrong:
            raise ValueError(
                f"priors lack or do not know {', '.join(sorted(wrong))}; expected {', '.join(PARAMETERS)}."
            )
        names = list(priors)
        for i, (name, prior) in enumerate(priors.items()):
            if isinstance(prior, Near) and prior.name not in names[:i]:
                raise ValueError(f"{name} is near to {prior.name!r}; expected a parameter that comes before {name}.")
        self.priors = dict(priors)

    def draw(self, n, random_state=None):
        """Draw galaxies.

        Parameters
        ----------
        n : int
            Number of galaxies.
        random_state : int, RandomState instance or None, default=None
            Determines them. Each parameter has a stream of its own, so that it stays if others' priors change.

        Returns
        -------
        dict of str to ndarray of shape (n,)
            What `render` takes; position angles are in 0 to 180.
        """
        seed = check_random_state(random_state).randint(2**31, size=4)
        streams = dict(zip(PARAMETERS, np.random.default_rng(seed).spawn(len(PARAMETERS))))
        drawn: dict[str, NDArray] = {}
        for name, prior in self.priors.items():
            drawn[name] = prior.draw(n, streams[name], drawn)
        return {name: values % 180 if name.endswith("angle") else values for name, values in drawn.items()}

    def variance(self):
        """Variance of each parameter; of its logarithm for flux and radii.

        Returns
        -------
        dict of str to float
        """
        return {name: prior.variance(logarithm=name in LOGARITHMIC) for name, prior in self.priors.items()}


def sim_v1_prior():
    """Give the prior of the simulated benchmark, galestim-sim-v1.

    Returns
    -------
    GalaxyPrior
        Magnitudes 17.5 to 23 at zero point 27, B/T 0 to 1, bulges of 0.15 to 1.5 arcsec and n from 2.5 to 5, disks of
        0.35 to 2.5 arcsec and n from 0.8 to 1.2, at most 15 degrees apart, centered to half a pixel.

    Examples
    --------
    >>> from galestim.simulation import half_light_radius, sim_v1_prior
    >>> galaxies = sim_v1_prior().draw(3, random_state=0)
    >>> half_light_radius(galaxies).round(3)
    array([...])
    """
    return GalaxyPrior(
        {
            "flux": LogUniform.of_magnitudes(17.5, 23.0, zero_point=27.0),
            "bulge_to_total": Uniform(0.0, 1.0),
            "bulge_radius": LogUniform(0.15, 1.5),
            "disk_radius": LogUniform(0.35, 2.5),
            "bulge_sersic_index": Uniform(2.5, 5.0),
            "disk_sersic_index": Uniform(0.8, 1.2),
            "bulge_axis_ratio": Uniform(0.6, 1.0),
            "disk_axis_ratio": Uniform(0.25, 1.0),
            "disk_position_angle": Uniform(0.0, 180.0),
            "bulge_position_angle": Near("disk_position_angle", 15.0),
            "x_offset": Uniform(-0.5, 0.5),
            "y_offset": Uniform(-0.5, 0.5),
        }
    )
