"""Priors of whole galaxies: a prior for each parameter, drawn together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_random_state

from ._parameters import PARAMETERS
from ._priors import LogUniform, Near, Prior, Uniform
from ._radius import component_radii, log_radius_slopes

KNOWN = 1e-12  # variance of what a prior knows exactly

TOTAL = {"bulge_radius": "half_light_radius", "disk_radius": "radius_ratio"}  # what radii may be drawn as
LOGARITHMIC = ("flux", "bulge_radius", "disk_radius")  # whose natural coordinate is the logarithm


UNITS = {  # of the parameters, by the ends of their names
    "magnitude": "mag",
    "surface_brightness": "mag/arcsec²",
    "_radius": "arcsec",
    "semimajor_axis": "arcsec",
    "_angle": "deg",
}


def _unit(name: str) -> str:
    return next((f" [{unit}]" for end, unit in UNITS.items() if name.endswith(end)), "")


class _JointPrior:
    """A prior for each of the parameters `names`; a `Near` comes after the one it is near to."""

    names: ClassVar[tuple[str, ...]]

    def __init__(self, priors: Mapping[str, Prior]):
        wrong = set(priors) ^ set(self.names)
        if wrong:
            raise ValueError(
                f"priors lack or do not know {', '.join(sorted(wrong))}; expected {', '.join(self.names)}."
            )
        drawn: list[str] = []
        for name, prior in priors.items():
            if isinstance(prior, Near) and prior.name not in drawn:
                raise ValueError(f"{name} is near to {prior.name!r}; expected a parameter that comes before {name}.")
            drawn.append(name)
        self.priors = dict(priors)

    def __repr__(self):
        priors = (f"{name}={prior}{_unit(name)}" for name, prior in self.priors.items())
        return f"{type(self).__name__}({', '.join(priors)})"

    def replace(self, **priors):
        """Give some parameters other priors.

        Parameters
        ----------
        **priors : Uniform, LogUniform, Near or another prior
            By the name of the parameter.

        Returns
        -------
        prior : of the same class
        """
        return type(self)(self.priors | priors)

    def _draw(self, n: int, random_state) -> dict[str, NDArray]:
        """Values (n,) of each parameter, from a stream of its own, so that it stays if others' priors change."""
        seed = check_random_state(random_state).randint(2**31, size=4)
        streams = dict(zip(self.names, np.random.default_rng(seed).spawn(len(self.names))))
        drawn: dict[str, NDArray] = {}
        for name, prior in self.priors.items():
            drawn[name] = prior.draw(n, streams[name], drawn)
        return {name: values % 180 if name.endswith("angle") else values for name, values in drawn.items()}


class GalaxyPrior(_JointPrior):
    """Prior of galaxies of a bulge and a disk.

    Brightness is a magnitude, so that the galaxies are the same for all cameras; the zero point of a band turns it
    into a flux.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    priors : mapping of str to Uniform, LogUniform, Near or another prior
        One for ``magnitude`` and for each parameter of `render` but the flux; a `Near` after the one it is near to.
        Instead of ``bulge_radius`` and ``disk_radius`` there may be ``half_light_radius``, of bulge and disk together
        [arcsec], and ``radius_ratio``, that of the bulge over that of the disk.

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

    >>> from galestim.simulation import Uniform, sim_v1_prior
    >>> prior = sim_v1_prior().replace(disk_sersic_index=Uniform(1.5, 2.0))
    >>> prior.draw(2, random_state=0)["disk_sersic_index"].round(2).tolist()
    [1.82, 1.74]
    """

    names = tuple("magnitude" if name == "flux" else name for name in PARAMETERS)

    def __init__(self, priors: Mapping[str, Prior]):
        if "half_light_radius" in priors:
            self.names = tuple(TOTAL.get(name, name) for name in GalaxyPrior.names)  # type: ignore[misc]
        super().__init__(priors)

    def draw(self, n, random_state=None, *, zero_point=27.0):
        """Draw galaxies.

        Parameters
        ----------
        n : int
            Number of galaxies.
        random_state : int, RandomState instance or None, default=None
            Determines them. Each parameter has a stream of its own, so that it stays if others' priors change.
        zero_point : float, default=27.0
            Magnitude of a flux of one image unit: that of the band.

        Returns
        -------
        dict of str to ndarray of shape (n,)
            What `render` takes, and ``magnitude``; position angles are in 0 to 180.
        """
        drawn = self._draw(n, random_state)
        prior = self.priors["magnitude"]
        if isinstance(prior, Uniform):  # turned around, so that the flux grows with the random number
            drawn["magnitude"] = prior.low + prior.high - drawn["magnitude"]
        if "half_light_radius" in drawn:
            drawn = component_radii(drawn) | drawn
        return {"flux": 10 ** (-0.4 * (drawn["magnitude"] - zero_point))} | drawn

    def variance(self):
        """Variance of each parameter of `render`; of its logarithm for flux and radii.

        Returns
        -------
        dict of str to float
            If radii are drawn as ``half_light_radius`` and ``radius_ratio``, that of these instead.
        """
        variance = {"flux": (0.4 * np.log(10)) ** 2 * self.priors["magnitude"].variance()}
        others = {name: prior for name, prior in self.priors.items() if name != "magnitude"}
        logarithmic = (*LOGARITHMIC, *TOTAL.values())
        return variance | {name: prior.variance(logarithm=name in logarithmic) for name, prior in others.items()}

    def precision(self, parameters, *, variance=None):
        """Inverse covariance of the parameters of `render` that this prior has around given ones.

        Parameters
        ----------
        parameters : mapping of str to array-like of shape (n,)
            As `render` takes them.
        variance : mapping of str to float or ndarray of shape (n,), default=None
            Of entries of `variance` that are otherwise known, from a camera for instance.

        Returns
        -------
        ndarray of shape (n, 12, 12)
            In the order of `CramerRaoBound.parameter_names`; of the logarithm of flux and radii. Diagonal unless
            radii are drawn as ``half_light_radius`` and ``radius_ratio``, which depend on several parameters.
        """
        known = self.variance() | (dict(variance) if variance else {})
        n, names = len(parameters["flux"]), list(PARAMETERS)
        precision = np.zeros((n, len(names), len(names)))
        for name, value in known.items():
            slope = np.zeros((n, len(names)))
            if name == "half_light_radius":
                slope = log_radius_slopes(parameters)
            elif name == "radius_ratio":
                slope[:, names.index("bulge_radius")], slope[:, names.index("disk_radius")] = 1, -1
            else:
                slope[:, names.index(name)] = 1
            weight = 1 / np.maximum(np.broadcast_to(value, n), KNOWN)
            precision += weight[:, None, None] * slope[:, :, None] * slope[:, None, :]
        return precision


def sim_v1_prior():
    """Give the prior of the simulated benchmark, galestim-sim-v1.

    .. versionadded:: 0.1.0

    Returns
    -------
    GalaxyPrior
        Magnitudes 17.5 to 23, B/T 0 to 1, bulges of 0.15 to 1.5 arcsec and n from 2.5 to 5, disks of
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
            "magnitude": Uniform(17.5, 23.0),
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


class SpinPrior(_JointPrior):
    """Prior of the galaxies of `make_spin_galaxies`: a bulge in an inclined disk.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    priors : mapping of str to Uniform, LogUniform, Near or another prior, or None, default=None
        One for each of ``bulge_to_total``; ``cos_inclination``; ``half_light_semimajor_axis`` [arcsec] of bulge
        and disk together; ``radius_ratio``, of the half-light semi-major axes of bulge and disk; ``position_angle``
        [deg]; ``bulge_axis_ratio``; ``surface_brightness`` [mag/arcsec², r band, mean within the half-light radius,
        face-on]; ``x_offset`` and ``y_offset`` of the center [half-light semi-major axes]. None: B/T, cos i and
        angles are uniform, sizes 2.5 to 6 arcsec, ratios 0.2 to 0.6, axis ratios of bulges 0.75 to 1, surface
        brightnesses 18.5 to 20.5, offsets up to 0.1.

    Attributes
    ----------
    priors : dict
        One for each parameter.

    Raises
    ------
    ValueError
        If a parameter is missing, unknown, or near to one that comes after it.

    Examples
    --------
    Spheroids alone:

    >>> from galestim.simulation import SpinPrior, Uniform
    >>> SpinPrior().replace(bulge_to_total=Uniform(0.8, 1.0)).draw(2, random_state=0)["bulge_to_total"].round(2)
    array([...])
    """

    names = (
        "bulge_to_total",
        "cos_inclination",
        "half_light_semimajor_axis",
        "radius_ratio",
        "position_angle",
        "bulge_axis_ratio",
        "surface_brightness",
        "x_offset",
        "y_offset",
    )

    def __init__(self, priors: Mapping[str, Prior] | None = None):
        super().__init__(_spin_priors() if priors is None else priors)

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
            Position angles are in 0 to 180.
        """
        return self._draw(n, random_state)


def _spin_priors() -> dict[str, Prior]:
    return {
        "bulge_to_total": Uniform(0.0, 1.0),
        "cos_inclination": Uniform(0.0, 1.0),
        "half_light_semimajor_axis": LogUniform(2.5, 6.0),
        "radius_ratio": LogUniform(0.2, 0.6),
        "position_angle": Uniform(0.0, 180.0),
        "bulge_axis_ratio": Uniform(0.75, 1.0),
        "surface_brightness": Uniform(18.5, 20.5),
        "x_offset": Uniform(-0.1, 0.1),
        "y_offset": Uniform(-0.1, 0.1),
    }
