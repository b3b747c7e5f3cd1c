"""The cameras that the simulated galaxies are seen with."""

from __future__ import annotations

from dataclasses import dataclass

from ._psf import PSF, MoffatPSF


@dataclass(frozen=True)
class Band:
    """One band of a survey: all that turns galaxies into images.

    Parameters
    ----------
    psf : PSF
        Point-spread function.
    sky_noise : float
        Standard deviation of the noise of the sky in a pixel [image units].
    pixel_scale : float
        Side of a pixel [arcsec].
    gain : float or None, default=None
        Electrons per image unit, for the photon noise of the sources; None leaves it out.
    zero_point : float, default=27.0
        Magnitude of a flux of one image unit.

    Examples
    --------
    >>> from galestim.simulation import Band, MoffatPSF
    >>> Band(MoffatPSF(0.7), sky_noise=0.05, pixel_scale=0.2)
    Band(psf=MoffatPSF(fwhm=0.7, beta=3.0), sky_noise=0.05, pixel_scale=0.2, gain=None, zero_point=27.0)
    """

    psf: PSF
    sky_noise: float
    pixel_scale: float
    gain: float | None = None
    zero_point: float = 27.0


_HSC_LIKE = {  # full width at half maximum [arcsec], noise of the sky
    "g": (0.77, 0.035),
    "r": (0.76, 0.040),
    "i": (0.58, 0.055),
}


def hsc_like(band="i"):
    """Give a band that resembles the wide survey of Hyper Suprime-Cam, as the simulated benchmark defines it.

    Pixels of 0.168 arcsec, a Moffat point-spread function with β = 3, zero point 27, 3000 electrons per image unit.

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
    if band not in _HSC_LIKE:
        raise ValueError(f"band={band!r}; expected one of {', '.join(_HSC_LIKE)}.")
    fwhm, sky_noise = _HSC_LIKE[band]
    return Band(MoffatPSF(fwhm), sky_noise=sky_noise, pixel_scale=0.168, gain=3000.0)
