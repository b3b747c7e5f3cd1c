"""Priors of cameras: the point-spread function, scale, noise and bad pixels that each galaxy is seen with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_random_state

from .._camera import PSF_ERROR, SKY_ERROR
from .._cutouts import Cutouts
from ._airy import AiryPSF
from ._camera_limits import check_cameras
from ._observe import observe, widths_of
from ._priors import LogUniform, Uniform, values_of
from ._psf import PSF, DoubleMoffatPSF, GaussianPSF, ImagePSF, MoffatPSF, Widened
from ._radial import Profile, profile_of
from ._radius import half_light_radius
from ._survey import Band

OF_CAMERAS = 1  # so that the same `random_state` gives numbers other than those of a `GalaxyPrior`
ROUNDS = 1000  # of draws until all cameras are within their limits
SMOOTHEST = 0.8  # length of the correlation of the noise over the width of the point-spread function
OBSCURATION = Uniform(0.0, 0.45)  # of the mirrors of telescopes in space
# of the halos of Hubble as of the air: 93 % of the light of a star of ACS lies within three widths, 98 % within six
WINGS = {"wing_share": Uniform(0.05, 0.25), "wing_ratio": LogUniform(1.5, 6.0), "wing_beta": Uniform(2.0, 3.5)}


@dataclass(frozen=True, kw_only=True)
class CameraPrior:
    r"""Prior of cameras, of which each galaxy has its own.

    Each entry is a prior (`Uniform`, `LogUniform` or another), a number, or None. Scale, noise and gain may be given
    as they are or, with the galaxies that are seen, as what is seen of these: ``relative_radius`` instead of
    ``pixel_scale``, ``signal_to_noise`` instead of ``sky_noise``, ``photon_share`` instead of ``gain``.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    fwhm : prior or float
        Full width at half maximum of the point-spread function [pixels], whatever its profile.
    beta : prior or float, default=3.0
        Exponent of Moffat's profile.
    gaussian_share : float, default=0.0
        Share of the cameras with a Gaussian instead.
    double_share : float, default=0.0
        Share with a `DoubleMoffatPSF`: a core of exponent `beta`, and 5 to 25 % of the light in wings 1.5 to 6 times
        as wide, of exponents 2 to 3.5.
    airy_share : float, default=0.0
        Share with an `AiryPSF`, obscured by 0 to 0.45.
    stamps : sequence of ImagePSF, default=()
        Measured stars. They are scaled to `fwhm`, and turned and mirrored in one of the eight ways, at random.
    stamp_share : float, default=0.0
        Share of the cameras with one of these.
    ellipticity : prior or float, default=0.0
        (a - b) / (a + b) of the axes of profiles, at any angle; `stamps` have their own.
    pixel_scale : prior or float or None, default=None
        Side of a pixel [arcsec].
    relative_radius : prior or float or None, default=None
        Half-light radius of the galaxy over `fwhm`.
    max_radius : float or None, default=None
        Largest half-light radius [pixels]: pairs of `relative_radius` and `fwhm` beyond are drawn again.
    sky_noise : prior or float or None, default=None
        Standard deviation of the noise of the sky in a pixel [image units].
    signal_to_noise : prior or float or None, default=None
        Flux over the error of the flux of the matched profile in the independent noise of the sky alone.
    gain : prior or float or None, default=None
        Electrons per image unit; without it and `photon_share` there is no photon noise.
    photon_share : prior or float or None, default=None
        Share of the variance in the center of the galaxy that its own photons make, from 0 to below 1.
    correlation_length : prior or float or None, default=None
        Full width at half maximum [pixels] of the Gaussian that noise is correlated by, as by resampling; see
        `add_noise`. Lengths above 0.8 `fwhm` are drawn again, as resampling widens stars too.
    correlated_share : float, default=1.0
        Share of the cameras whose noise is correlated, if there is a length.
    sky_error : prior or float, default=0.1
        Standard deviation of the sky's level, in units of its noise: that of the images is drawn from it.
    psf_error : prior or float, default=0.02
        Standard deviation of the error of the width of the stars that are handed out, as a share of it.
    noise_error : prior or float, default=0.0
        Standard deviation of the error of the noise of the sky that is handed out, as a share of it.
    bad_columns : prior or float, default=0.0
        Mean number of bad columns in an image.
    cosmic_rays : prior or float, default=0.0
        Share of the pixels that cosmic rays hit.
    random_mask : prior or float, default=0.0
        Share of single bad pixels.
    saturation : prior or float, default=0.0
        Share of the images whose core is masked, above half to nine tenths of its peak.
    stamp_npix : int, default=65
        Height and width of the images of stars, odd.
    stamp_size : prior or float or None, default=None
        Half of the side to which they are trimmed, in `fwhm`; zero beyond. None: ``Uniform(2.5, 5.0)``.
    stamp_noise : prior or float, default=0.0
        Noise of their brightest pixel, as a share of it; that of photons elsewhere, which falls as the root of the
        pixel. Their sum stays 1.
    zero_point : float, default=27.0
        Magnitude of a flux of one image unit.

    Raises
    ------
    ValueError
        If an entry has no alternative, or two; is outside what is said above; or shares add up to more than 1.

    See Also
    --------
    sim_v2_cameras : Those of the benchmark.
    galestim.datasets.SimulatedGalaxies : Galaxies that are seen with them.

    Notes
    -----
    With the profile p of a galaxy of flux 1 in the pixels, the signal-to-noise ratio is
    :math:`F \sqrt{\sum p^2} / σ`, and photons make the share :math:`F p_0 / (F p_0 + g σ^2)` of the variance in the
    center. Both come from the circularized galaxy seen through the circularized point-spread function,

    .. math:: \sum p^2 = \frac{1}{2π} \int k\, P(k)^2 dk, \quad p_0 = \frac{1}{2π} \int k\, P(k) dk,

    with the transform P of both and of the pixel. Of elongated galaxies the ratio is smaller by up to 15 %.

    Examples
    --------
    >>> from galestim.simulation import CameraPrior, LogUniform, Uniform
    >>> cameras = CameraPrior(fwhm=LogUniform(1.8, 8.0), beta=Uniform(2.0, 5.0), pixel_scale=0.2, sky_noise=0.1)
    >>> band = cameras.draw(3, random_state=0)
    >>> [round(psf.fwhm / 0.2, 1) for psf in band.psf]  # pixels
    [...]
    """

    fwhm: Any
    beta: Any = 3.0
    gaussian_share: float = 0.0
    double_share: float = 0.0
    airy_share: float = 0.0
    stamps: Sequence[ImagePSF] = ()
    stamp_share: float = 0.0
    ellipticity: Any = 0.0
    pixel_scale: Any = None
    relative_radius: Any = None
    max_radius: float | None = None
    sky_noise: Any = None
    signal_to_noise: Any = None
    gain: Any = None
    photon_share: Any = None
    correlation_length: Any = None
    correlated_share: float = 1.0
    sky_error: Any = SKY_ERROR
    psf_error: Any = PSF_ERROR
    noise_error: Any = 0.0
    bad_columns: Any = 0.0
    cosmic_rays: Any = 0.0
    random_mask: Any = 0.0
    saturation: Any = 0.0
    stamp_npix: int = 65
    stamp_size: Any = None
    stamp_noise: Any = 0.0
    zero_point: float = 27.0

    def __post_init__(self):
        object.__setattr__(self, "stamps", tuple(self.stamps))
        check_cameras(self)

    def replace(self, **entries) -> CameraPrior:
        """Give some entries other priors.

        Parameters
        ----------
        **entries
            Any of the parameters.

        Returns
        -------
        CameraPrior
        """
        return replace(self, **entries)

    # ---- cameras

    def draw(self, n, random_state=None, galaxies=None) -> Band:
        """Draw cameras.

        Parameters
        ----------
        n : int
            Number of cameras.
        random_state : int, RandomState instance or None, default=None
            Determines them. Each entry has a stream of its own, so that it stays if others change.
        galaxies : mapping of str to ndarray of shape (n,), default=None
            What they are to see, as `GalaxyPrior.draw` gives it; needed for `relative_radius`, `signal_to_noise` and
            `photon_share`.

        Returns
        -------
        Band
            With entries one per galaxy.

        Raises
        ------
        ValueError
            If galaxies are needed and missing, or no camera is within the limits.
        """
        seed = check_random_state(random_state).randint(2**31, size=4)
        names = [field.name for field in fields(self)]
        streams = {name: np.random.default_rng([*seed, OF_CAMERAS, crc32(name.encode())]) for name in names}
        fwhm, pixel_scale = self._scales(n, streams, galaxies)
        psfs = self._psfs(fwhm * pixel_scale, streams)
        relative = self.signal_to_noise is not None or self.photon_share is not None
        profile = profile_of(self._needed(galaxies), psfs, pixel_scale) if relative else None
        sky_noise = self._sky_noise(n, streams, galaxies, profile)
        return Band(
            psfs,
            sky_noise=sky_noise,
            pixel_scale=pixel_scale,
            gain=self._gain(n, streams, galaxies, profile, sky_noise),
            zero_point=self.zero_point,
            correlation=self._lengths(fwhm, streams),
            sky_error=values_of(self.sky_error, n, streams["sky_error"]),
            psf_error=values_of(self.psf_error, n, streams["psf_error"]),
        )

    def _needed(self, galaxies):
        if galaxies is None:
            raise ValueError(
                "relative_radius, signal_to_noise and photon_share are those of galaxies; expected "
                "draw(n, random_state, galaxies), as GalaxyPrior.draw gives them."
            )
        return galaxies

    def _scales(self, n: int, streams: Mapping, galaxies) -> tuple[NDArray, NDArray]:
        """Widths [pixels] and pixel scales."""
        fwhm = values_of(self.fwhm, n, streams["fwhm"])
        if self.relative_radius is None:
            return fwhm, values_of(self.pixel_scale, n, streams["pixel_scale"])
        relative = values_of(self.relative_radius, n, streams["relative_radius"])
        limit = np.inf if self.max_radius is None else self.max_radius
        for _ in range(ROUNDS):
            again = np.flatnonzero(fwhm * relative > limit)
            if not len(again):
                break
            fwhm[again] = values_of(self.fwhm, len(again), streams["fwhm"])
            relative[again] = values_of(self.relative_radius, len(again), streams["relative_radius"])
        else:
            raise ValueError(f"max_radius={limit:g} leaves next to no pair of relative_radius and fwhm.")
        known = self._needed(galaxies)
        radius = known["half_light_radius"] if "half_light_radius" in known else half_light_radius(known)
        return fwhm, np.asarray(radius) / (relative * fwhm)

    def _psfs(self, fwhm: NDArray, streams: Mapping) -> list[PSF]:
        """Point-spread functions of these widths [arcsec]."""
        n, rng = len(fwhm), streams["gaussian_share"]
        shape = {
            "beta": values_of(self.beta, n, streams["beta"]),
            "ellipticity": values_of(self.ellipticity, n, streams["ellipticity"]),
            "position_angle": streams["stamp_share"].uniform(0, 180, n),
            "obscuration": OBSCURATION.draw(n, streams["airy_share"]),
            **{name: values_of(prior, n, streams["double_share"]) for name, prior in WINGS.items()},
        }
        turned: list = _turned(self.stamps) or [None]
        kinds, which = rng.random(n), streams["stamps"].integers(len(turned), size=n)
        rounded = {name: values.tolist() for name, values in {"fwhm": fwhm, **shape}.items()}
        return [
            self._psf(kinds[i], turned[which[i]], {name: values[i] for name, values in rounded.items()})
            for i in range(n)
        ]

    def _psf(self, kind: float, stamp, shape: dict[str, float]) -> Any:
        """The point-spread function that a random number from 0 to 1 chooses."""
        shares = [self.gaussian_share, self.stamp_share, self.double_share, self.airy_share]
        which = int(np.searchsorted(np.cumsum(shares), kind, side="right"))
        if which == 1:
            return Widened(stamp, shape["fwhm"] / stamp.fwhm)
        kinds: list[Any] = [GaussianPSF, None, DoubleMoffatPSF, AiryPSF, MoffatPSF]
        profile = kinds[which]
        return profile(**{field.name: shape[field.name] for field in fields(profile)})

    def _sky_noise(self, n: int, streams: Mapping, galaxies, profile: Profile | None) -> NDArray:
        if profile is None or self.signal_to_noise is None:
            return values_of(self.sky_noise, n, streams["sky_noise"])
        return galaxies["flux"] * np.sqrt(profile.square) / self._ratio(n, streams)

    def _ratio(self, n: int, streams: Mapping) -> NDArray:
        return values_of(self.signal_to_noise, n, streams["signal_to_noise"])

    def _gain(self, n: int, streams: Mapping, galaxies, profile: Profile | None, sky_noise: NDArray):
        if profile is None or self.photon_share is None:
            return None if self.gain is None else values_of(self.gain, n, streams["gain"])
        share = np.clip(values_of(self.photon_share, n, streams["photon_share"]), 1e-9, None)
        return galaxies["flux"] * profile.center * (1 - share) / (share * sky_noise**2)

    def _lengths(self, fwhm: NDArray, streams: Mapping) -> NDArray | None:
        """Lengths of the correlation [pixels]; 0 where noise is independent."""
        if self.correlation_length is None:
            return None
        rng, n = streams["correlation_length"], len(fwhm)
        lengths = values_of(self.correlation_length, n, rng)
        for _ in range(ROUNDS):
            again = np.flatnonzero(lengths > SMOOTHEST * fwhm)
            if not len(again):
                break
            lengths[again] = values_of(self.correlation_length, len(again), rng)
        correlated = (streams["correlated_share"].random(n) < self.correlated_share) & (lengths <= SMOOTHEST * fwhm)
        return np.where(correlated, lengths, 0.0)

    def given(self, band, prior) -> KnownCameras:
        """Give the prior of the galaxies that known cameras see, for `cramer_rao_bound`.

        Parameters
        ----------
        band : Band
            Cameras, as `draw` gives them.
        prior : GalaxyPrior
            Of all galaxies.

        Returns
        -------
        object with a method ``precision``
            That of `prior`, with variances of the logarithms of flux and half-light radius as these cameras leave
            them: the flux has that of `signal_to_noise`, the radius that of `relative_radius`, up to `max_radius`.
        """
        variance: dict[str, Any] = {}
        if self.signal_to_noise is not None:
            variance["flux"] = log_variance(self.signal_to_noise)
        if self.relative_radius is not None and "half_light_radius" in prior.variance():
            limit = (np.inf if self.max_radius is None else self.max_radius) / widths_of(band)
            variance["half_light_radius"] = np.array([log_variance(self.relative_radius, most) for most in limit])
        return KnownCameras(prior, variance)

    # ---- what they see

    def observe(self, images, stars, band, random_state=None) -> Cutouts:
        """Make of noiseless images what these cameras hand out.

        Parameters
        ----------
        images : Tensor of shape (n, h, w)
            Noiseless fluxes, as `render` draws them.
        stars : Tensor of shape (n, stamp_npix, stamp_npix)
            Noiseless images of stars of flux 1, as `render_stars` draws them.
        band : Band
            The cameras, drawn by `draw`.
        random_state : int, RandomState instance or None, default=None
            Determines noise, level of the sky, error of the stars' width, and bad pixels.

        Returns
        -------
        Cutouts
            With all that is known of the cameras. Bad pixels are masked, and hold anything.
        """
        return observe(self, images, stars, band, random_state)


@dataclass(frozen=True)
class KnownCameras:
    """Prior of galaxies whose cameras are known, with variances that follow from these."""

    prior: Any
    variance: Mapping[str, Any]

    def precision(self, parameters) -> NDArray:
        """As `GalaxyPrior.precision`, for the galaxies of these cameras."""
        return self.prior.precision(parameters, variance=self.variance)


def log_variance(entry, most: float = np.inf) -> float:
    """Variance of the logarithm of an entry, up to `most` if it has limits."""
    if not hasattr(entry, "variance"):
        return 0.0
    if most < getattr(entry, "high", -np.inf):
        entry = replace(entry, high=max(most, entry.low))
    return entry.variance(logarithm=True)


@lru_cache(maxsize=8)
def _turned(stamps: tuple[ImagePSF, ...]) -> list[ImagePSF]:
    """The images of stars in the eight ways to turn and mirror them."""
    return [
        replace(stamp, image=np.rot90(image, turns))
        for stamp in stamps
        for image in (np.asarray(stamp.image), np.asarray(stamp.image)[:, ::-1])
        for turns in range(4)
    ]
