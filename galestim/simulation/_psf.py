"""Point-spread functions with their Fourier transforms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gamma, kv


@runtime_checkable
class PSF(Protocol):
    """Interface of a point-spread function; objects of any hashable class may have it."""

    includes_pixel: bool

    def __hash__(self) -> int:
        """Equal ones may be exchanged."""

    def transform(self, kx: NDArray, ky: NDArray) -> NDArray:
        """Fourier transform, 1 at the origin, on the grid of `kx` (w,) and `ky` (h,) [rad/arcsec]: (h, w)."""


def _check_fwhm(fwhm) -> None:
    if not (np.isfinite(fwhm) and fwhm > 0):
        raise ValueError(f"fwhm={fwhm!r}; expected a positive number, in arcsec.")


@dataclass(frozen=True)
class MoffatPSF:
    """Moffat's profile (1 + r²/α²)^-β, the usual one of ground-based images.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    fwhm : float
        Full width at half maximum [arcsec].
    beta : float, default=3.0
        Exponent β > 1; smaller ones have broader wings.

    Raises
    ------
    ValueError
        If `fwhm` is not positive, or `beta` not above 1, where the flux would be infinite.

    References
    ----------
    Moffat 1969, A&A 3, 455; its transform is a Bessel function K of order β - 1 (Trujillo et al. 2001, MNRAS 328,
    977).

    Examples
    --------
    >>> from galestim.simulation import MoffatPSF
    >>> MoffatPSF(0.58).transform([0.0, 5.0], [0.0]).round(4)
    array([[1.    , 0.3061]])
    """

    fwhm: float
    beta: float = 3.0
    includes_pixel = False

    def __post_init__(self):
        _check_fwhm(self.fwhm)
        if not self.beta > 1:
            raise ValueError(f"beta={self.beta!r}; expected more than 1, as the flux is infinite otherwise.")

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
        scale = self.fwhm / (2 * np.sqrt(2 ** (1 / self.beta) - 1))
        x, of_grid = np.unique(scale * np.hypot(kx, np.asarray(ky)[:, None]), return_inverse=True)  # as kv is slow
        x = np.maximum(x, 1e-6)
        transform = 2 / gamma(self.beta - 1) * (x / 2) ** (self.beta - 1) * kv(self.beta - 1, x)
        return transform[of_grid].reshape(np.size(ky), np.size(kx))


@dataclass(frozen=True)
class GaussianPSF:
    """A Gaussian.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    fwhm : float
        Full width at half maximum [arcsec].

    Raises
    ------
    ValueError
        If `fwhm` is not positive.

    Examples
    --------
    >>> from galestim.simulation import GaussianPSF
    >>> GaussianPSF(0.58).transform([0.0, 5.0], [0.0]).round(4)
    array([[1.    , 0.4685]])
    """

    fwhm: float
    includes_pixel = False

    def __post_init__(self):
        _check_fwhm(self.fwhm)

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
        sigma = self.fwhm / np.sqrt(8 * np.log(2))
        return np.exp(-0.5 * sigma**2 * (np.square(kx) + np.square(ky)[:, None]))


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
