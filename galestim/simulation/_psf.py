"""Point-spread functions with their Fourier transforms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import CubicSpline
from scipy.special import gamma, kv

BESSEL_NODES = 400  # for an error below 1e-7 if β is 2 or more


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
        shown = [name for name in vars(self) if self.ellipticity or name in ("fwhm", "beta")]
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
        x = self.fwhm / (2 * np.sqrt(2 ** (1 / self.beta) - 1)) * k
        root = np.linspace(0, np.sqrt(x.max(initial=1e-6)), BESSEL_NODES)  # where it is as smooth as at large ones
        of_node = np.maximum(root**2, 1e-6)
        values = 2 / gamma(self.beta - 1) * (of_node / 2) ** (self.beta - 1) * kv(self.beta - 1, of_node)
        return CubicSpline(root, values)(np.sqrt(x))


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
