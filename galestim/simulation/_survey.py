"""Bands: the cameras that simulated galaxies are seen with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from ._measure_band import measured
from ._noise import add_noise
from ._psf import PSF, GaussianPSF, MoffatPSF

NUMBERS = "sky_noise", "pixel_scale", "gain", "correlation", "sky_error", "psf_error"


def _check(name: str, value, valid: NDArray[np.bool_], expected: str) -> None:
    if not valid.all():
        raise ValueError(f"{name}={value!r}; expected {expected}.")


@dataclass(frozen=True, repr=False)
class Band:
    """One band of a survey: all that turns galaxies into images.

    Each entry may also be one per galaxy, for `render_scene` and `cramer_rao_bound`.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    psf : PSF or sequence of n PSF
        Point-spread function.
    sky_noise : float or ndarray of shape (n,)
        Standard deviation of the noise of the sky in a pixel [image units].
    pixel_scale : float or ndarray of shape (n,)
        Side of a pixel [arcsec].
    gain : float, ndarray of shape (n,) or None, default=None
        Electrons per image unit, for the photon noise of the sources; None leaves it out.
    zero_point : float, default=27.0
        Magnitude of a flux of one image unit.
    correlation : float, ndarray of shape (n,) or None, default=None
        Full width at half maximum [pixels] of the Gaussian by which noise is correlated, as by resampling; 0 or None:
        pixels are independent. See `add_noise`.
    sky_error : float or ndarray of shape (n,), default=0.0
        Standard deviation of the error of the sky's level, in units of `sky_noise`: for `cramer_rao_bound` and
        `CameraPrior.observe`.
    psf_error : float or ndarray of shape (n,), default=0.0
        Standard deviation of the error of the point-spread function's width, as a share of it: for the same.

    Raises
    ------
    ValueError
        If `sky_noise`, `correlation` or an error is negative, or `pixel_scale` or `gain` not positive.

    Examples
    --------
    >>> from galestim.simulation import Band, MoffatPSF
    >>> Band(MoffatPSF(0.7), sky_noise=0.05, pixel_scale=0.2)
    Band(psf=MoffatPSF(fwhm=0.7, beta=3.0), sky_noise=0.05, pixel_scale=0.2, gain=None, zero_point=27.0)
    """

    psf: PSF | Sequence[PSF]
    sky_noise: float | NDArray
    pixel_scale: float | NDArray
    gain: float | NDArray | None = None
    zero_point: float = 27.0
    correlation: float | NDArray | None = None
    sky_error: float | NDArray = 0.0
    psf_error: float | NDArray = 0.0

    def __post_init__(self):
        sky_noise, pixel_scale = np.asarray(self.sky_noise), np.asarray(self.pixel_scale)
        gain = np.asarray(np.inf if self.gain is None else self.gain)
        _check("sky_noise", self.sky_noise, (sky_noise >= 0) & np.isfinite(sky_noise), "at least 0")
        _check("pixel_scale", self.pixel_scale, (pixel_scale > 0) & np.isfinite(pixel_scale), "positive, in arcsec")
        _check("gain", self.gain, gain > 0, "positive, or None")
        correlation = np.asarray(0.0 if self.correlation is None else self.correlation)
        _check("correlation", self.correlation, (correlation >= 0) & np.isfinite(correlation), "at least 0, or None")
        for name in ("sky_error", "psf_error"):
            _check(name, getattr(self, name), np.asarray(getattr(self, name)) >= 0, "at least 0")

    def __repr__(self):
        plain = {"correlation": None, "sky_error": 0.0, "psf_error": 0.0}
        entries = {field.name: getattr(self, field.name) for field in fields(self)}
        shown = (
            f"{name}={v!r}" for name, v in entries.items() if name not in plain or np.ndim(v) or v != plain[name]
        )
        return f"Band({', '.join(shown)})"

    @classmethod
    def from_images(
        cls,
        images,
        *,
        psf=None,
        pixel_scale=None,
        gain=None,
        zero_point=None,
        mask=None,
        npix=41,
        saturation=None,
    ) -> Band:
        """Measure the camera of images, so that simulated galaxies are seen as these are.

        Parameters
        ----------
        images : FitsMosaic, Cutouts, or array-like of shape (h, w) or (n, h, w)
            A mosaic of one band, or cutouts. The level of the sky does not matter, nor what shines in it.
        psf : PSF or array-like of shape (h, w), default=None
            Point-spread function, an object or the image of a star. None: that of the cutouts, the mean of their
            stamps; of a mosaic, that of its stars, see `galestim.cutouts.estimate_psf`.
        pixel_scale : float, default=None
            Side of a pixel [arcsec]. None: as the images say.
        gain : float, default=None
            Electrons per image unit. None: as the cutouts say, or not known, and left out.
        zero_point : float, default=None
            Magnitude of a flux of one image unit. None: as the cutouts say, or 27.
        mask : array-like of bool of the shape of `images`, default=None
            True is bad.
        npix : int, default=41
            Side of the stamp of the point-spread function that is measured [pixels], odd.
        saturation : float, default=None
            Value of saturated pixels of a mosaic [image units]. None: that of the header, if it tells it.

        Returns
        -------
        Band
            With `sky_noise`, `correlation` and, where it is not given, `psf` as measured.

        Raises
        ------
        ValueError
            If a mosaic has too few stars, cutouts know no point-spread function or have no sky, or nothing tells the
            pixel scale.
        ImportError
            If photutils is not installed.

        Notes
        -----
        Sources are masked with a margin; noise is 1.4826 times the median absolute deviation of what is left, and of
        several cutouts the middle one. Noise may correlate as that of no Gaussian kernel does: negatively at two
        pixels, if a mosaic was resampled by Lanczos' kernel. `correlation` is that of the most similar Gaussian then.

        Examples
        --------
        >>> import numpy as np
        >>> from galestim.simulation import Band, MoffatPSF
        >>> sky = np.random.default_rng(0).normal(size=(300, 300))
        >>> band = Band.from_images(0.05 * sky, psf=MoffatPSF(0.7), pixel_scale=0.2, zero_point=30.0)
        >>> round(band.sky_noise, 3), band.correlation
        (0.05, None)
        """
        return cls(**measured(images, psf, pixel_scale, gain, zero_point, mask, npix, saturation))

    @property
    def per_galaxy(self) -> bool:
        """True if an entry is one per galaxy."""
        return any(np.ndim(getattr(self, name)) for name in NUMBERS) or not hasattr(self.psf, "transform")

    def of_rows(self, rows) -> Band:
        """Choose the entries of some galaxies.

        Parameters
        ----------
        rows : slice or array-like of int

        Returns
        -------
        Band
            Entries that are the same for all galaxies stay.
        """
        rows = rows if isinstance(rows, slice) else np.asarray(rows)
        numbers = {name: getattr(self, name) for name in NUMBERS}
        chosen = {name: np.asarray(values)[rows] for name, values in numbers.items() if np.ndim(values)}
        if not hasattr(self.psf, "transform"):
            which = np.arange(len(self.psf))[rows]
            chosen["psf"] = [self.psf[i] for i in which]
        return replace(self, **chosen)

    def with_rows(self, rows, other) -> Band:
        """Give some galaxies other cameras.

        Parameters
        ----------
        rows : ndarray of int
            Of a band with entries one per galaxy.
        other : Band
            The cameras of these, with the same entries.

        Returns
        -------
        Band
        """
        changed: dict = {name: np.array(getattr(self, name)) for name in NUMBERS if np.ndim(getattr(self, name))}
        for name, values in changed.items():
            values[rows] = getattr(other, name)
        psfs = list(self.psf)  # type: ignore[arg-type]
        for row, psf in zip(rows, other.psf):
            psfs[row] = psf
        return replace(self, psf=psfs, **changed)

    def add_noise(self, images, random_state=None):
        """Add the noise of sky and photons to noiseless images.

        Parameters
        ----------
        images : Tensor of shape (n, h, w)
        random_state : int, RandomState instance or None, default=None
            As in `galestim.simulation.add_noise`, with what the band has.

        Returns
        -------
        Tensor of shape (n, h, w)
        """
        return add_noise(
            images,
            sky_noise=self.sky_noise,
            gain=self.gain,
            correlation=self.correlation,
            random_state=random_state,
        )

    def with_noise_factor(self, factor) -> Band:
        """Multiply the noise of sky and photons.

        Parameters
        ----------
        factor : float
            Not negative; 0 leaves out all noise.

        Returns
        -------
        Band

        Examples
        --------
        >>> from galestim.simulation import hsc_like
        >>> hsc_like("i").with_noise_factor(2.0).gain
        750.0
        """
        gain = None if self.gain is None or factor == 0 else self.gain / factor**2
        return replace(self, sky_noise=self.sky_noise * factor, gain=gain)


_HSC_LIKE = {  # full width at half maximum [arcsec], noise of the sky
    "g": (0.77, 0.035),
    "r": (0.76, 0.040),
    "i": (0.58, 0.055),
}
_SDSS_LIKE = {"g": 0.045, "r": 0.06, "i": 0.10}  # noise of the sky [nanomaggies per arcsec]
_SDSS_PIXEL = 0.396  # arcsec


def hsc_like(band="i"):
    """Give a band that resembles the wide survey of Hyper Suprime-Cam, as the simulated benchmark defines it.

    Pixels of 0.168 arcsec, a Moffat point-spread function with β = 3, zero point 27, 3000 electrons per image unit.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    band : {"g", "r", "i"}, default="i"

    Returns
    -------
    Band

    Raises
    ------
    ValueError
        If `band` is another.

    Examples
    --------
    >>> from galestim.simulation import hsc_like
    >>> hsc_like("g").psf
    MoffatPSF(fwhm=0.77, beta=3.0)
    """
    fwhm, sky_noise = _known(_HSC_LIKE, band)
    return Band(MoffatPSF(fwhm), sky_noise=sky_noise, pixel_scale=0.168, gain=3000.0)


def sdss_like(band="r"):
    """Give a band that resembles the imaging of SDSS.

    Pixels of 0.396 arcsec, a Gaussian point-spread function of FWHM 1.3 arcsec, nanomaggies (zero point 22.5), 900
    electrons per nanomaggie.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    band : {"g", "r", "i"}, default="r"

    Returns
    -------
    Band

    Raises
    ------
    ValueError
        If `band` is another.

    Examples
    --------
    >>> from galestim.simulation import sdss_like
    >>> sdss_like("r").psf
    GaussianPSF(fwhm=1.3)
    """
    sky_noise = _SDSS_PIXEL * _known(_SDSS_LIKE, band)
    return Band(GaussianPSF(1.3), sky_noise=sky_noise, pixel_scale=_SDSS_PIXEL, gain=900.0, zero_point=22.5)


def _known(bands, name):
    if name not in bands:
        raise ValueError(f"band={name!r}; expected one of {', '.join(bands)}.")
    return bands[name]
