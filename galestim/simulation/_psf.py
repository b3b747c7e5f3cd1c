"""Point-spread functions with their Fourier transforms."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.signal import resample

from ._moffat import moffat_transform

FINER = 8  # pixels in one, for the width of the image of a star


@runtime_checkable
class PSF(Protocol):
    """Interface of a point-spread function; objects of any hashable class may have it."""

    includes_pixel: bool

    def __hash__(self) -> int:
        """Equal ones may be exchanged."""

    def transform(self, kx: NDArray, ky: NDArray) -> NDArray:
        """Fourier transform, 1 at the origin, on the grid of `kx` (w,) and `ky` (h,) [rad/arcsec]: (h, w)."""


class _Elliptical:
    """A round profile, stretched to ellipses of the same area; a subclass gives the transform of the round one."""

    fwhm: float
    ellipticity: float
    position_angle: float
    includes_pixel = False

    def __post_init__(self):
        if not (np.isfinite(self.fwhm) and self.fwhm > 0):
            raise ValueError(f"fwhm={self.fwhm!r}; expected a positive number, in arcsec.")
        if not 0 <= self.ellipticity < 1:
            raise ValueError(f"ellipticity={self.ellipticity!r}; expected (a - b) / (a + b) of its axes, 0 to 1.")

    def __repr__(self):
        shown = [name for name in vars(self) if self.ellipticity or name not in ("ellipticity", "position_angle")]
        return f"{type(self).__name__}({', '.join(f'{name}={getattr(self, name)!r}' for name in shown)})"

    def transform(self, kx: ArrayLike, ky: ArrayLike) -> NDArray:
        """Fourier transform on a grid of wave numbers.

        Parameters
        ----------
        kx, ky : array-like of shape (w,) and (h,)
            Along columns and rows [rad/arcsec].

        Returns
        -------
        ndarray of shape (h, w)
        """
        kx, ky = np.asarray(kx, dtype=float), np.asarray(ky, dtype=float)[:, None]
        angle, axis_ratio = np.deg2rad(self.position_angle), (1 - self.ellipticity) / (1 + self.ellipticity)
        along = kx * np.sin(angle) + ky * np.cos(angle)  # of the major axis, (x, y) = (sin, cos): row 0 is north
        across = kx * np.cos(angle) - ky * np.sin(angle)
        return self._round_transform(np.sqrt(along**2 / axis_ratio + across**2 * axis_ratio))

    def _round_transform(self, k: NDArray) -> NDArray:
        raise NotImplementedError


@dataclass(frozen=True, repr=False)
class MoffatPSF(_Elliptical):
    """Moffat's profile (1 + r²/α²)^-β, the usual one of ground-based images.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    fwhm : float
        Full width at half maximum [arcsec]; of an ellipse, the geometric mean of its axes.
    beta : float, default=3.0
        Exponent β > 1; smaller ones have broader wings.
    ellipticity : float, default=0.0
        (a - b) / (a + b) of the axes a and b.
    position_angle : float, default=0.0
        Of the major axis [deg, east of north].

    Raises
    ------
    ValueError
        If `fwhm` is not positive, `beta` not above 1, where the flux would be infinite, or `ellipticity` not from 0
        to 1.

    Notes
    -----
    Its transform is a Bessel function K of order β - 1, interpolated to 1e-7 (1e-5 for β near 1).

    References
    ----------
    Moffat 1969, A&A 3, 455; Trujillo et al. 2001, MNRAS 328, 977.

    Examples
    --------
    >>> from galestim.simulation import MoffatPSF
    >>> MoffatPSF(0.58).transform([0.0, 5.0], [0.0]).round(4)
    array([[1.    , 0.3061]])
    """

    fwhm: float
    beta: float = 3.0
    ellipticity: float = 0.0
    position_angle: float = 0.0

    def __post_init__(self):
        super().__post_init__()
        if not self.beta > 1:
            raise ValueError(f"beta={self.beta!r}; expected more than 1, as the flux is infinite otherwise.")

    def _round_transform(self, k):
        return moffat_transform(self.fwhm / _width(self.beta) * k, self.beta)


def _width(beta: float) -> float:
    """Full width at half maximum of Moffat's profile, over α."""
    return 2 * np.sqrt(2 ** (1 / beta) - 1)


@dataclass(frozen=True, repr=False)
class DoubleMoffatPSF(_Elliptical):
    """Sum of two Moffat profiles: a core and its wings, as most measured point-spread functions have them.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    fwhm : float
        Full width at half maximum of the sum [arcsec]; of an ellipse, the geometric mean of its axes.
    beta : float, default=3.5
        Exponent of the core.
    wing_share : float, default=0.1
        Share of the light that is in the wings, from 0 to below 1.
    wing_ratio : float, default=2.5
        Full width at half maximum of the wings over that of the core.
    wing_beta : float, default=2.5
        Exponent of the wings.
    ellipticity : float, default=0.0
        (a - b) / (a + b) of the axes a and b, of both.
    position_angle : float, default=0.0
        Of the major axis [deg, east of north].

    Raises
    ------
    ValueError
        If `fwhm` or `wing_ratio` is not positive, an exponent not above 1, or a share or `ellipticity` not from 0 to
        1.

    Examples
    --------
    >>> from galestim.simulation import DoubleMoffatPSF
    >>> DoubleMoffatPSF(0.58).transform([0.0, 5.0], [0.0]).round(4)
    array([[1.    , 0.3027]])
    """

    fwhm: float
    beta: float = 3.5
    wing_share: float = 0.1
    wing_ratio: float = 2.5
    wing_beta: float = 2.5
    ellipticity: float = 0.0
    position_angle: float = 0.0

    def __post_init__(self):
        super().__post_init__()
        if not (self.beta > 1 and self.wing_beta > 1):
            raise ValueError(f"beta={self.beta!r} and wing_beta={self.wing_beta!r}; expected more than 1.")
        if not (0 <= self.wing_share < 1 and self.wing_ratio > 0):
            raise ValueError(
                f"wing_share={self.wing_share!r} and wing_ratio={self.wing_ratio!r}; expected a share from 0 to "
                "below 1, and a positive ratio."
            )

    def _round_transform(self, k):
        core = self.fwhm * _core_share(self.beta, self.wing_share, self.wing_ratio, self.wing_beta)
        parts = (
            (1 - self.wing_share, core, self.beta),
            (self.wing_share, core * self.wing_ratio, self.wing_beta),
        )
        return sum(share * moffat_transform(fwhm / _width(beta) * k, beta) for share, fwhm, beta in parts)


@lru_cache(maxsize=1024)
def _core_share(beta: float, wing_share: float, wing_ratio: float, wing_beta: float) -> float:
    """Full width at half maximum of the core over that of core and wings together."""

    def light(r):  # surface brightness where r is in widths of the core
        core, wings = ((b - 1) * _width(b) ** 2 for b in (beta, wing_beta))
        core = (1 - wing_share) * core * (1 + (r * _width(beta)) ** 2) ** -beta
        return (
            core + wing_share / wing_ratio**2 * wings * (1 + (r / wing_ratio * _width(wing_beta)) ** 2) ** -wing_beta
        )

    low, high = sorted((0.5, 0.5 * wing_ratio))
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if light(middle) > light(0) / 2 else (low, middle)
    return float(1 / (low + high))


@dataclass(frozen=True, repr=False)
class GaussianPSF(_Elliptical):
    """A Gaussian.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    fwhm : float
        Full width at half maximum [arcsec]; of an ellipse, the geometric mean of its axes.
    ellipticity : float, default=0.0
        (a - b) / (a + b) of the axes a and b.
    position_angle : float, default=0.0
        Of the major axis [deg, east of north].

    Raises
    ------
    ValueError
        If `fwhm` is not positive, or `ellipticity` not from 0 to 1.

    Examples
    --------
    >>> from galestim.simulation import GaussianPSF
    >>> GaussianPSF(0.58).transform([0.0, 5.0], [0.0]).round(4)
    array([[1.    , 0.4685]])
    """

    fwhm: float
    ellipticity: float = 0.0
    position_angle: float = 0.0

    def _round_transform(self, k):
        return np.exp(-(self.fwhm**2) / (16 * np.log(2)) * k**2)


@dataclass(frozen=True, eq=False)
class ImagePSF:
    """A measured point-spread function: the image of a star.

    It is divided by its sum, its centroid (of all its pixels) becomes its center, and between its pixels it is
    interpolated by its Fourier series, which is exact if they sample it well. As images of stars do, it contains
    the response of the pixel, which is not applied again.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    image : array-like of shape (h, w)
        In the orientation of the images to come, with the background subtracted.
    pixel_scale : float
        Side of its pixels [arcsec].

    Raises
    ------
    ValueError
        If `image` is not a finite image with a positive sum, or `pixel_scale` not positive.

    Examples
    --------
    >>> import numpy as np
    >>> from galestim.simulation import ImagePSF
    >>> row, column = np.indices((31, 31)) - 15
    >>> star = np.exp(-(row**2 + column**2) / (2 * 1.5**2))
    >>> ImagePSF(star, pixel_scale=0.168).transform([0.0, 5.0], [0.0]).real.round(4)
    array([[1.    , 0.4521]])
    """

    image: ArrayLike
    pixel_scale: float
    includes_pixel = True

    def __post_init__(self):
        image = np.array(self.image, dtype=float)
        if image.ndim != 2 or not np.isfinite(image).all() or image.sum() <= 0:
            raise ValueError(
                f"image has shape {image.shape} and sum {image.sum():.3g}; expected an image (h, w) of finite "
                "numbers with a positive sum."
            )
        if not self.pixel_scale > 0:
            raise ValueError(f"pixel_scale={self.pixel_scale!r}; expected a positive number, in arcsec.")
        image.flags.writeable = False
        object.__setattr__(self, "image", image)

    def transform(self, kx: ArrayLike, ky: ArrayLike) -> NDArray:
        """Fourier transform on a grid of wave numbers; zero beyond the Nyquist frequency of its pixels.

        Parameters
        ----------
        kx, ky : array-like of shape (w,) and (h,)
            Along columns and rows [rad/arcsec].

        Returns
        -------
        ndarray of complex, of shape (h, w)
        """
        image = np.asarray(self.image) / np.sum(self.image)
        along_rows, along_columns = (
            self._phases(np.asarray(k, dtype=float), image.sum(axis=1 - axis)) for axis, k in ((0, ky), (1, kx))
        )
        return along_rows @ image @ along_columns.T

    @property
    def band_limit(self) -> float:
        """Nyquist frequency of its pixels [rad/arcsec], at which its transform ends."""
        return np.pi / self.pixel_scale

    def _phases(self, k: NDArray, light: NDArray) -> NDArray:
        """exp(-ikx) of the pixels along one axis, from the centroid of their `light`: ``(len(k), len(light))``."""
        pixel = np.arange(len(light))
        phases = np.exp(-1j * np.outer(k * self.pixel_scale, pixel - pixel @ light))
        return np.where(abs(k * self.pixel_scale)[:, None] <= np.pi, phases, 0)

    @cached_property
    def fwhm(self) -> float:
        """Full width at half maximum [arcsec], of a circle of the area in which it is above half of its maximum."""
        fine = np.asarray(self.image)
        for axis, npix in enumerate(fine.shape):
            fine = resample(fine, FINER * npix, axis=axis)
        return float(2 * np.sqrt((fine > fine.max() / 2).sum() / np.pi) * self.pixel_scale / FINER)


@dataclass(frozen=True)
class Widened:
    """Another point-spread function, `factor` times as wide."""

    psf: PSF
    factor: float

    @property
    def includes_pixel(self) -> bool:
        """As the other."""
        return self.psf.includes_pixel

    @property
    def band_limit(self) -> float:
        """End of its transform [rad/arcsec]."""
        return getattr(self.psf, "band_limit", np.inf) / self.factor

    def transform(self, kx: ArrayLike, ky: ArrayLike) -> NDArray:
        """Fourier transform on a grid of wave numbers, as that of a `MoffatPSF`."""
        return self.psf.transform(np.multiply(kx, self.factor), np.multiply(ky, self.factor))

    @property
    def fwhm(self) -> float:
        """Full width at half maximum [arcsec]."""
        return self.factor * self.psf.fwhm  # type: ignore[attr-defined]


def round_transform(psf: PSF, k: NDArray) -> NDArray:
    """Transform of the circularized profile at wave numbers `k` (m,) [rad/arcsec]; of images along their axes."""
    if isinstance(psf, Widened):
        return round_transform(psf.psf, k * psf.factor)
    if isinstance(psf, _Elliptical):
        return psf._round_transform(k)
    zero = np.zeros(1)
    return (abs(psf.transform(k, zero)[0]) + abs(psf.transform(zero, k)[:, 0])) / 2
