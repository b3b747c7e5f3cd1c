"""Priors of neighbors: what else shines in the image of a galaxy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_random_state

from ._camera_limits import NOT_NEGATIVE, POSITIVE, check_entry
from ._known_neighbors import KnownNeighbors
from ._observe import widths_of
from ._priors import values_of
from ._radius import half_light_radius

OF_NEIGHBORS = 2  # so that the same `random_state` gives numbers other than those of galaxies and cameras
CLUSTERING = 0.8  # exponent of the angular correlation function
POINT = 1e-3  # radius of a star [pixels]
RADII = "bulge_radius", "disk_radius", "half_light_radius"
ROUNDS = 1000  # of draws until all radii are within their limit
UNITS = "arcsec", "pixel"
FINITE = "a finite number", lambda x: bool(np.isfinite(x))
LIMITS: dict[str, tuple[str, Callable[[float], bool]]] = {
    "mean_number": NOT_NEGATIVE,
    "magnitude": FINITE,
    "radius": POSITIVE,
    "brightest": FINITE,
    "faintest": FINITE,
    "slope": FINITE,
    "min_separation": NOT_NEGATIVE,
    "clustering_length": NOT_NEGATIVE,
    "star_share": ("from 0 to 1", lambda x: 0 <= x <= 1),
    "size_slope": FINITE,
}


@dataclass(frozen=True, kw_only=True)
class NeighborPrior:
    r"""Prior of the neighbors of galaxies: how many, how near, how bright, how large.

    The defaults are a field of a deep survey from the ground, in the i band.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    mean_number : float, default=2.8
        Mean number of neighbors within `radius`, Poisson's, of a galaxy of `magnitude`.
    magnitude : float or None, default=21.0
        Of the others the number grows with magnitude as `slope` says, so that it is the same field around all. None:
        the mean number is that of all galaxies.
    radius : float, default=12.0
        Greatest distance of their centers from that of the galaxy, also outside of the image.
    unit : {"arcsec", "pixel"}, default="arcsec"
        Of `radius` and `clustering_length`.
    brightest : float, default=-3.0
        Least magnitude, less that of the galaxy.
    faintest : float, default=3.0
        Greatest magnitude, less that of the galaxy.
    slope : float, default=0.31
        Of the logarithm of their number with magnitude [dex per mag].
    min_separation : float, default=0.3
        Least distance from the galaxy, in full widths of the point-spread function.
    clustering_length : float, default=0.5
        Distance at which there are twice as many as without clustering; 0: positions are uniform.
    star_share : float, default=0.1
        Share that are stars.
    prior : GalaxyPrior or None, default=None
        Their profiles and sizes; None: that of the galaxies.
    relative_radius : prior or float or None, default=None
        Half-light radius over that of the galaxy. None: as `prior` draws them, or, if the cameras are of a
        `CameraPrior` with a ``relative_radius``, as that has it for galaxies.
    size_slope : float, default=0.117
        By which radii fall with magnitude less that of the galaxy [dex per mag].

    Raises
    ------
    ValueError
        If an entry is not what is said above.

    See Also
    --------
    sim_v2_neighbors : Those of the benchmark.
    galestim.datasets.SimulatedGalaxies : Galaxies with neighbors.

    Notes
    -----
    There are :math:`46 \cdot 10^{0.31 (i - 25)}` galaxies brighter than i in a square arcmin [1]_: 22 down to three
    magnitudes below i = 21, which are 2.8 within 12 arcsec. Around a galaxy of magnitude m there are
    :math:`10^{0.31 (m - 21)}` times as many down to three magnitudes below it.

    Positions have the density :math:`1 + (θ / θ_0)^{-0.8}` around the galaxy, with the clustering length θ₀; that of
    0.5 arcsec is an amplitude of 0.02 at one arcmin, about what faint galaxies have [2]_. Down to I = 23, one source
    in ten is a star: 1200 in 0.3 square degrees at high galactic latitude [3]_, beside eleven galaxies in a square
    arcmin [1]_. Radii fall by 0.269 in the logarithm from one magnitude to the next [4]_. Of the galaxies in the
    deepest such survey to come, 62 % have a percent or more of the light in their pixels from others [5]_.

    Whatever is brighter by more than three magnitudes is left to the masks of bright objects.

    References
    ----------
    .. [1] LSST Science Collaboration 2009, arXiv:0912.0201, equation 3.7.
    .. [2] McCracken et al. 2001, A&A 376, 756; Cabanac et al. 2000, A&A 364, 349 for the exponent.
    .. [3] Groenewegen et al. 2002, A&A 392, 741.
    .. [4] Miller et al. 2013, MNRAS 429, 2858.
    .. [5] Sanchez et al. 2021, JCAP 07, 043.

    Examples
    --------
    >>> from galestim.simulation import NeighborPrior, hsc_like, sim_v1_prior
    >>> galaxies = sim_v1_prior().draw(1000, random_state=0)
    >>> neighbors = NeighborPrior().draw(galaxies, hsc_like("i"), sim_v1_prior(), random_state=0)
    >>> round(len(neighbors["galaxy"]) / 1000, 1)
    2.9
    >>> bool(neighbors["distance"].max() * 0.168 <= 12)
    True
    """

    mean_number: float = 2.8
    magnitude: float | None = 21.0
    radius: float = 12.0
    unit: str = "arcsec"
    brightest: float = -3.0
    faintest: float = 3.0
    slope: float = 0.31
    min_separation: float = 0.3
    clustering_length: float = 0.5
    star_share: float = 0.1
    prior: Any = None
    relative_radius: Any = None
    size_slope: float = 0.117

    def __post_init__(self):
        _check(self)

    def replace(self, **entries) -> NeighborPrior:
        """Give some entries other values.

        Parameters
        ----------
        **entries
            Any of the parameters.

        Returns
        -------
        NeighborPrior
        """
        return replace(self, **entries)

    def draw(self, galaxies, band, prior, random_state=None, *, cameras=None) -> dict[str, NDArray]:
        """Draw the neighbors of galaxies.

        Parameters
        ----------
        galaxies : mapping of str to ndarray of shape (n,)
            As `GalaxyPrior.draw` gives them.
        band : Band
            Their cameras.
        prior : GalaxyPrior
            What the galaxies were drawn from, for profiles of neighbors unless there is another.
        random_state : int, RandomState instance or None, default=None
            Determines them. Each entry has a stream of its own.
        cameras : CameraPrior or None, default=None
            What `band` was drawn from, if sizes are relative to it.

        Returns
        -------
        dict of str to ndarray of shape (m,)
            Of all neighbors, what `render` takes, and ``magnitude`` and ``half_light_radius``; ``galaxy``, the row of
            theirs; ``distance`` from it [pixels]; ``flux_ratio``, their flux over its; and ``is_star``. The radii of
            stars are a thousandth of a pixel.

        Raises
        ------
        ValueError
            If `radius` leaves no room outside of `min_separation`, or a point-spread function tells no width.
        """
        seed = check_random_state(random_state).randint(2**31, size=4)
        streams = {
            name: np.random.default_rng([*seed, OF_NEIGHBORS, crc32(name.encode())])
            for name in ("number", "distance", "clustered", "angle", "magnitude", "radius", "star", "profile")
        }
        number = streams["number"].poisson(self._mean(np.asarray(galaxies["flux"]), band))
        galaxy = np.repeat(np.arange(len(number)), number)
        own = {name: np.asarray(galaxies[name])[galaxy] for name in ("flux", "x_offset", "y_offset")}
        pixel_scale = np.broadcast_to(band.pixel_scale, len(number))[galaxy]
        fwhm = np.broadcast_to(widths_of(band), len(number))[galaxy]
        difference = self._differences(streams["magnitude"].random(len(galaxy)))
        distance = self._distances(fwhm, pixel_scale, streams)
        angle = streams["angle"].uniform(0, 2 * np.pi, len(galaxy))
        profile = int(streams["profile"].integers(2**31))
        drawn = (self.prior or prior).draw(len(galaxy), profile, zero_point=band.zero_point)
        ratio = 10 ** (-0.4 * difference)
        drawn["half_light_radius"] = _half_light(drawn)
        radius = self._radii(drawn, galaxies, galaxy, cameras, fwhm, pixel_scale, streams["radius"])
        drawn |= _sized(drawn, radius * 10 ** (-self.size_slope * difference))
        drawn |= self._stars(drawn, pixel_scale, streams["star"])
        return drawn | {
            "flux": ratio * own["flux"],
            "magnitude": band.zero_point - 2.5 * np.log10(ratio * own["flux"]),
            "x_offset": own["x_offset"] + distance * np.cos(angle),
            "y_offset": own["y_offset"] + distance * np.sin(angle),
            "galaxy": galaxy,
            "distance": distance,
            "flux_ratio": ratio,
        }

    def given(self, band, prior, *, cameras=None) -> KnownNeighbors:
        """Give what is known of the neighbors before the image is seen, for `cramer_rao_bound`.

        Parameters
        ----------
        band : Band
            Cameras.
        prior : GalaxyPrior
            Of the galaxies.
        cameras : CameraPrior or None, default=None
            What `band` was drawn from.

        Returns
        -------
        object with a method ``precision``
            Positions are known to one pixel, fluxes and sizes to the variance of the prior.
        """
        return KnownNeighbors(self, band, self.prior or prior, None if self.prior is not None else cameras)

    # ---- what is drawn

    def _mean(self, flux: NDArray, band) -> NDArray:
        """Mean number around galaxies of these fluxes (n,)."""
        if self.magnitude is None:
            return np.full(len(flux), self.mean_number)
        fainter = band.zero_point - 2.5 * np.log10(flux) - self.magnitude
        return self.mean_number * 10 ** (self.slope * fainter)

    def _differences(self, random: NDArray) -> NDArray:
        """Magnitudes less that of the galaxy, of uniform random numbers, by the inverse of their distribution."""
        rate, width = self.slope * np.log(10), self.faintest - self.brightest
        if abs(rate * width) < 1e-9:
            return self.brightest + width * random
        return self.brightest + np.log1p(random * np.expm1(rate * width)) / rate

    def _distances(self, fwhm: NDArray, pixel_scale: NDArray, streams: Mapping) -> NDArray:
        """Distances [pixels]: r² is uniform, or, for the share that clusters, r to the power of 1.2."""
        unit = 1 / pixel_scale if self.unit == "arcsec" else np.ones_like(pixel_scale)
        least, most = self.min_separation * fwhm, self.radius * unit
        if (least >= most).any():
            row = int(np.argmax(least >= most))
            raise ValueError(
                f"radius={self.radius:g} ({most[row]:.1f} pixels) is within min_separation={self.min_separation:g} "
                f"({least[row]:.1f} pixels); expected more."
            )
        power, scale = 2 - CLUSTERING, self.clustering_length * unit
        uniform = most**2 - least**2
        clustered = 2 / power * scale**CLUSTERING * (most**power - least**power)
        chosen = streams["clustered"].random(len(fwhm)) < clustered / (clustered + uniform)
        exponent = np.where(chosen, power, 2.0)
        random = streams["distance"].random(len(fwhm))
        return (least**exponent + random * (most**exponent - least**exponent)) ** (1 / exponent)

    def _radii(self, drawn, galaxies, galaxy, cameras, fwhm, pixel_scale, rng) -> NDArray:
        """Half-light radii [arcsec] at the magnitude of the galaxy."""
        if self.relative_radius is not None:
            return values_of(self.relative_radius, len(galaxy), rng) * _half_light(galaxies)[galaxy]
        if self.prior is None and getattr(cameras, "relative_radius", None) is not None:
            return _seen_radii(cameras, fwhm, rng) * pixel_scale
        return drawn["half_light_radius"]

    def _stars(self, drawn: dict[str, NDArray], pixel_scale: NDArray, rng) -> dict[str, NDArray]:
        """Which are stars, and points in place of their profiles."""
        star = rng.random(len(pixel_scale)) < self.star_share
        points = {name: np.where(star, POINT * pixel_scale, drawn[name]) for name in RADII}
        indices = {name: np.where(star, 1.0, drawn[name]) for name in ("bulge_sersic_index", "disk_sersic_index")}
        return points | indices | {"is_star": star}


def _half_light(galaxies: Mapping[str, NDArray]) -> NDArray:
    """Half-light radii [arcsec], as drawn or worked out."""
    known = "half_light_radius" in galaxies
    return np.asarray(galaxies["half_light_radius"] if known else half_light_radius(galaxies))


def _sized(drawn: Mapping[str, NDArray], radius: NDArray) -> dict[str, NDArray]:
    """All radii of galaxies that keep their profiles, but have these half-light radii."""
    factor = radius / drawn["half_light_radius"]
    return {name: drawn[name] * factor for name in RADII}


def _seen_radii(cameras, fwhm: NDArray, rng: np.random.Generator) -> NDArray:
    """Half-light radii [pixels] that `cameras` give galaxies at these widths of a star [pixels]."""
    radius = values_of(cameras.relative_radius, len(fwhm), rng) * fwhm
    limit = np.inf if cameras.max_radius is None else cameras.max_radius
    for _ in range(ROUNDS):
        again = np.flatnonzero(radius > limit)
        if not len(again):
            break
        radius[again] = values_of(cameras.relative_radius, len(again), rng) * fwhm[again]
    return radius


def _check(neighbors: NeighborPrior) -> None:
    """Raise an error that names the first entry that is not what it has to be."""
    for name, (expected, within) in LIMITS.items():
        entry = getattr(neighbors, name)
        if entry is None and name == "magnitude":
            continue
        if not isinstance(entry, Real) or isinstance(entry, bool) or not within(float(entry)):
            raise ValueError(f"{name}={entry!r}; expected {expected}.")
    if neighbors.unit not in UNITS:
        raise ValueError(f"unit={neighbors.unit!r}; expected one of {', '.join(UNITS)}.")
    if neighbors.brightest > neighbors.faintest:
        raise ValueError(
            f"brightest={neighbors.brightest!r} is fainter than faintest={neighbors.faintest!r}; expected magnitudes "
            "less that of the galaxy, the lower first."
        )
    if neighbors.prior is not None and not hasattr(neighbors.prior, "draw"):
        raise ValueError(f"prior={neighbors.prior!r}; expected a GalaxyPrior, such as sim_v1_prior(), or None.")
    check_entry("relative_radius", neighbors.relative_radius, *POSITIVE)
