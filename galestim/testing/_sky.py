"""Analytic sky of elliptical Gaussians, exact at every position."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
from astropy.io import fits
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_random_state, gen_batches

from .._tangent import TangentGrid, direction, position, tangent_header
from ._checks import check_bands, check_flux, check_footprint, check_positions, finite, per_source
from ._gaussians import Gaussians
from ._mixtures import DE_VAUCOULEURS, EXPONENTIAL, disk_radius

MAX_SIGMA, MAX_RADIUS = 3600.0, 300.0  # arcsec; wider Gaussians, and galaxies made of them, are not flat
FWHM = np.sqrt(8 * np.log(2))
TILE = 128  # mosaics are drawn in tiles of so many pixels, each with the sources that are near


class GaussianSky:
    """A sky of elliptical Gaussians, known exactly at every position.

    `LoopbackSky` serves it; it is also the truth for tests of code that measures or resamples images.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    ra, dec : array-like of shape (n_sources,)
        Positions, ICRS [deg]. Gaussians at one position are drawn together.
    flux : array-like of shape (n_sources,) or (n_sources, n_bands)
        Total flux in each band; one-dimensional if it is the same in all.
    sigma : float or array-like of shape (n_sources,)
        Standard deviation along the major axis [arcsec], at most 3600.
    axis_ratio : float or array-like of shape (n_sources,), default=1.0
        Minor over major axis, in (0, 1].
    position_angle : float or array-like of shape (n_sources,), default=0.0
        Of the major axis, from north through east [deg].
    bands : sequence of str, default=("g", "r", "i")
        Names of the bands, one character each, from blue to red.
    background : float or array-like of shape (n_bands,), default=0.0
        Surface brightness of the empty sky [flux per arcsec²].
    footprint : tuple of 3 or 4 floats or None, default=None
        Where there is data: everywhere, in the cone ``(ra, dec, radius)``, or in the box ``(ra_min, ra_max,
        dec_min, dec_max)`` [deg], which may go over RA 0.

    Attributes
    ----------
    bands : tuple of str
        Names of the bands.

    Raises
    ------
    ValueError
        If a position, size, axis ratio, flux or footprint is impossible, or shapes disagree.

    See Also
    --------
    LoopbackSky : Serves this sky as surveys do.

    Notes
    -----
    A Gaussian lies on the plane tangent to the sky at its own position: its value at another position is that of
    the gnomonic offsets (ξ, η) from it, exact at the poles and across RA 0. It is drawn out to 6 standard deviations.

    Examples
    --------
    >>> from galestim.testing import GaussianSky
    >>> sky = GaussianSky([359.999], [60.0], [[1.0, 2.0, 4.0]], sigma=2.0)
    >>> sky.surface_brightness(0.001, 60.0).round(4)  # 3.6 arcsec to the east
    array([0.0079, 0.0157, 0.0315])
    >>> image = sky.image(359.999, 60.0, (101, 101), pixel_scale=0.5)
    >>> image.shape, image.sum(axis=(0, 1)).round(4).tolist()
    ((101, 101, 3), [1.0, 2.0, 4.0])
    """

    def __init__(
        self,
        ra: ArrayLike,
        dec: ArrayLike,
        flux: ArrayLike,
        sigma: ArrayLike,
        axis_ratio: ArrayLike = 1.0,
        position_angle: ArrayLike = 0.0,
        *,
        bands: Sequence[str] = ("g", "r", "i"),
        background: ArrayLike = 0.0,
        footprint: Sequence[float] | None = None,
    ):
        self.bands = check_bands(bands)
        self.background = np.broadcast_to(finite("background", background), len(self.bands)).astype(np.float64)
        self.footprint = check_footprint(footprint)
        ra, dec = check_positions(ra, dec)
        flux = check_flux(flux, len(ra), len(self.bands))
        sigma = per_source("sigma", sigma, len(ra), 0, MAX_SIGMA, "(0, 3600] arcsec")
        axis_ratio = per_source("axis_ratio", axis_ratio, len(ra), 0, 1, "(0, 1]")
        angle = np.radians(per_source("position_angle", position_angle, len(ra), -np.inf, np.inf, "degrees"))
        self._gaussians = Gaussians(np.stack([ra, dec], axis=1), flux, sigma, axis_ratio, angle)

    @classmethod
    def from_galaxies(
        cls,
        ra: ArrayLike,
        dec: ArrayLike,
        flux: ArrayLike,
        half_light_semimajor_axis: ArrayLike,
        bulge_to_total: ArrayLike,
        axis_ratio: ArrayLike = 1.0,
        position_angle: ArrayLike = 0.0,
        *,
        bulge_axis_ratio: ArrayLike = 1.0,
        radius_ratio: ArrayLike = 0.4,
        bulge_colors: ArrayLike = (0.8, 0.0, -0.4),
        disk_colors: ArrayLike = (0.3, 0.0, -0.1),
        psf_fwhm: float = 1.3,
        bands: Sequence[str] = ("g", "r", "i"),
        background: ArrayLike = 0.0,
        footprint: Sequence[float] | None = None,
    ) -> GaussianSky:
        """Make a sky of galaxies: de Vaucouleurs bulges in exponential disks, seen through a Gaussian PSF.

        Parameters
        ----------
        ra, dec : array-like of shape (n_samples,)
            Positions, ICRS [deg].
        flux : array-like of shape (n_samples,)
            Total flux in the band whose colors are 0: r by default.
        half_light_semimajor_axis : array-like of shape (n_samples,)
            Half-light radius along the major axis [arcsec], of bulge and disk together in that band, without the PSF:
            that which holds half of the light if the galaxy is seen face-on. At most 300.
        bulge_to_total : array-like of shape (n_samples,)
            The bulge's share of `flux`, in [0, 1].
        axis_ratio : float or array-like of shape (n_samples,), default=1.0
            Minor over major axis of the disk.
        position_angle : float or array-like of shape (n_samples,), default=0.0
            Of the major axes, from north through east [deg].
        bulge_axis_ratio : float or array-like of shape (n_samples,), default=1.0
            Minor over major axis of the bulge.
        radius_ratio : float or array-like of shape (n_samples,), default=0.4
            Half-light radius of the bulge over that of the disk.
        bulge_colors : array-like of shape (n_bands,) or (n_samples, n_bands), default=(0.8, 0.0, -0.4)
            Magnitudes of the bulge in each band minus that in the band of `flux`.
        disk_colors : array-like of shape (n_bands,) or (n_samples, n_bands), default=(0.3, 0.0, -0.1)
            The same for the disk.
        psf_fwhm : float, default=1.3
            Full width at half maximum of the PSF [arcsec].
        bands : sequence of str, default=("g", "r", "i")
            Names of the bands.
        background : float or array-like of shape (n_bands,), default=0.0
            Surface brightness of the empty sky [flux per arcsec²].
        footprint : tuple of 3 or 4 floats or None, default=None
            Where there is data, as `GaussianSky` takes it.

        Returns
        -------
        GaussianSky

        Notes
        -----
        The profiles are sums of 6 and 8 Gaussians (Hogg & Lang 2013, PASP 125, 719), so the PSF adds to their
        variances and nothing else changes. Their light within any radius is that of the profile to 0.02 % (disk) and
        0.2 % (bulge) of the total.

        Examples
        --------
        >>> from galestim.testing import GaussianSky
        >>> sky = GaussianSky.from_galaxies([150.0], [2.0], [100.0], [4.0], [0.3], axis_ratio=0.5, position_angle=30)
        >>> sky.image(150.0, 2.0, (800, 800), pixel_scale=0.5).sum(axis=(0, 1)).round(0).tolist()
        [67.0, 100.0, 120.0]
        """
        n, n_bands = len(np.atleast_1d(np.asarray(ra))), len(check_bands(bands))
        flux = per_source("flux", flux, n, -np.inf, np.inf, "finite numbers")
        share = per_source("bulge_to_total", bulge_to_total, n, 0, 1, "[0, 1]", closed=True)
        name, expected = "half_light_semimajor_axis", "(0, 300] arcsec"
        radius = per_source(name, half_light_semimajor_axis, n, 0, MAX_RADIUS, expected)
        ratio = per_source("radius_ratio", radius_ratio, n, 0, np.inf, "positive numbers")
        if not psf_fwhm >= 0:
            raise ValueError(f"psf_fwhm={psf_fwhm}; expected an angle of at least 0 arcsec")
        disk = radius * disk_radius(share, ratio)
        angle = per_source("position_angle", position_angle, n, -np.inf, np.inf, "degrees")
        parts = [
            _components(DE_VAUCOULEURS, share * flux, disk * ratio, bulge_axis_ratio, bulge_colors, n_bands),
            _components(EXPONENTIAL, (1 - share) * flux, disk, axis_ratio, disk_colors, n_bands),
        ]
        all_flux, major, minor = (np.concatenate(values, axis=1) for values in zip(*parts, strict=True))
        psf = psf_fwhm / FWHM
        major, minor = np.hypot(major, psf), np.hypot(minor, psf)
        k = major.shape[1]
        return cls(
            np.repeat(ra, k), np.repeat(dec, k), all_flux.reshape(n * k, n_bands), major.ravel(),
            (minor / major).ravel(), np.repeat(angle, k), bands=bands, background=background, footprint=footprint,
        )  # fmt: skip

    def __repr__(self) -> str:
        return f"GaussianSky({len(self._gaussians.positions)} sources, bands={self.bands})"

    def surface_brightness(self, ra: ArrayLike, dec: ArrayLike) -> NDArray[np.float64]:
        """Surface brightness at positions on the sky, whether or not the footprint covers them.

        Parameters
        ----------
        ra, dec : array-like of the same shape
            Positions, ICRS [deg].

        Returns
        -------
        ndarray of shape (..., n_bands)
            Flux per arcsec² in each band.
        """
        ra, dec = np.broadcast_arrays(np.asarray(ra, dtype=np.float64), np.asarray(dec, dtype=np.float64))
        directions = np.stack(direction(ra, dec)).reshape(3, -1, max(1, ra.shape[-1]) if ra.ndim else 1)
        return np.moveaxis(self._gaussians.draw(directions, self.background), 0, -1).reshape(
            *ra.shape, len(self.bands)
        )

    def covers(self, ra: ArrayLike, dec: ArrayLike) -> NDArray[np.bool_]:
        """Say where there is data.

        Parameters
        ----------
        ra, dec : array-like of the same shape
            Positions, ICRS [deg].

        Returns
        -------
        ndarray of bool of that shape
        """
        ra, dec = np.broadcast_arrays(np.asarray(ra, dtype=np.float64), np.asarray(dec, dtype=np.float64))
        return self._covers(np.stack(direction(ra, dec)))

    def image(self, ra: float, dec: float, shape: tuple[int, int], pixel_scale: float) -> NDArray[np.float64]:
        """Draw what an ideal camera sees: the surface brightness at each pixel's center times the pixel's area.

        That is the flux in the pixel to better than 1e-3 for Gaussians with σ above a pixel or so, and its total is
        that of the source to much better.

        Parameters
        ----------
        ra, dec : float
            Position of the image's center, ICRS [deg].
        shape : tuple of two ints
            Rows and columns.
        pixel_scale : float
            Side of a pixel [arcsec].

        Returns
        -------
        ndarray of shape (rows, columns, n_bands)
            Flux per pixel, on a gnomonic (TAN) grid: row 0 is north, column 0 is east, and the position is at
            ``((rows - 1) / 2, (columns - 1) / 2)``. NaN outside the footprint.
        """
        planes = self.render(TangentGrid(ra, dec, shape, pixel_scale).directions()) * pixel_scale**2
        return np.moveaxis(planes, 0, -1)

    def render(self, directions: NDArray[np.float64]) -> NDArray[np.float64]:
        """Draw the sky at given directions, faster than at given positions.

        Parameters
        ----------
        directions : ndarray of shape (3, rows, columns)
            Cartesian equatorial directions, of any length; neighbors on the sky should be neighbors here.

        Returns
        -------
        ndarray of shape (n_bands, rows, columns)
            Surface brightness [flux per arcsec²]; NaN outside the footprint.
        """
        planes = self._gaussians.draw(directions, self.background)
        if self.footprint is not None:
            planes[:, ~self._covers(directions)] = np.nan
        return planes

    def to_mosaic(
        self,
        ra: float,
        dec: float,
        shape: tuple[int, int],
        pixel_scale: float,
        band: str,
        *,
        noise: float = 0.0,
        random_state=None,
    ) -> fits.PrimaryHDU:
        """Draw one band as a survey's mosaic: a FITS image with a celestial WCS.

        Parameters
        ----------
        ra, dec : float
            Position of the image's center, ICRS [deg].
        shape : tuple of two ints
            Rows and columns.
        pixel_scale : float
            Side of a pixel [arcsec].
        band : str
            One of `bands`.
        noise : float, default=0.0
            Standard deviation of Gaussian noise [flux per pixel].
        random_state : int, RandomState instance or None, default=None
            Determines the noise.

        Returns
        -------
        astropy.io.fits.PrimaryHDU
            Flux per pixel, float32, with a TAN WCS. As FITS has it, row 0 is south. NaN outside the footprint.

        Examples
        --------
        >>> from galestim.testing import GaussianSky
        >>> sky = GaussianSky([10.0], [0.0], [[1.0, 5.0, 9.0]], sigma=3.0)
        >>> hdu = sky.to_mosaic(10.0, 0.0, (200, 300), 0.5, "r", noise=0.001, random_state=0)
        >>> hdu.data.shape, hdu.header["CTYPE1"], hdu.header["CRPIX1"]
        ((200, 300), 'RA---TAN', 150.5)
        """
        if band not in self.bands:
            raise ValueError(f"band={band!r}; expected one of {self.bands}")
        index, (height, width) = self.bands.index(band), shape
        grid = TangentGrid(ra, dec, shape, pixel_scale)
        data = np.empty(shape, dtype=np.float32)
        for rows, columns in product(gen_batches(height, TILE), gen_batches(width, TILE)):
            data[rows, columns] = self.render(grid.directions(rows, columns))[index] * pixel_scale**2
        if noise:
            rng = np.random.default_rng(check_random_state(random_state).randint(2**31, size=4))
            data += noise * rng.standard_normal(shape, dtype=np.float32)
        header = tangent_header(ra, dec, shape, pixel_scale)
        header["BUNIT"] = ("flux/pixel", "that of the sky's sources")
        header["FILTER"] = band
        return fits.PrimaryHDU(data[::-1], header)

    def _covers(self, directions: NDArray) -> NDArray[np.bool_]:
        if self.footprint is None:
            return np.ones(directions.shape[1:], dtype=bool)
        ra, dec = position(directions)
        if len(self.footprint) == 4:
            west, east, south, north = self.footprint
            inside = (ra - west) % 360 <= (east - west if east - west in (0, 360) else (east - west) % 360)
            return inside & (dec >= south) & (dec <= north)
        center = np.array(direction(*self.footprint[:2]))
        lengths = np.sqrt(np.einsum("i...,i...", directions, directions))
        return np.tensordot(center, directions, 1) >= lengths * np.cos(np.radians(self.footprint[2]))


def _components(
    mixture: NDArray, flux: NDArray, radius: NDArray, axis_ratio: ArrayLike, colors: ArrayLike, n_bands: int
) -> tuple[NDArray, NDArray, NDArray]:
    """Flux ``(n, k, n_bands)``, and σ along both axes ``(n, k)``, of the Gaussians of `n` profiles."""
    shares, variances = mixture
    axis_ratio = per_source("axis_ratio", axis_ratio, len(flux), 0, 1, "(0, 1]")
    colors = np.asarray(colors, dtype=np.float64)
    if colors.shape not in ((n_bands,), (len(flux), n_bands)):
        raise ValueError(
            f"colors have shape {colors.shape}; expected one for each band, ({n_bands},), or also for each galaxy, "
            f"({len(flux)}, {n_bands})"
        )
    in_bands = flux[:, None] * 10 ** (-0.4 * colors)
    major = radius[:, None] * np.sqrt(variances)
    return in_bands[:, None, :] * (shares / shares.sum())[:, None], major, major * axis_ratio[:, None]
