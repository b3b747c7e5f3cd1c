"""Directions on the sky and gnomonic (TAN) pixel grids, without trigonometry per pixel."""

from __future__ import annotations

import numpy as np
from astropy.io import fits
from numpy.typing import ArrayLike, NDArray

ARCSEC = np.radians(1 / 3600)


class TangentGrid:
    """A gnomonic (TAN) pixel grid, north up and east left unless rotated; (ra, dec) is at (row, column) `center`."""

    def __init__(
        self,
        ra: float,
        dec: float,
        shape: tuple[int, int],
        pixel_scale: float,
        *,
        center: tuple[float, float] | None = None,
        rotation: float = 0.0,
    ):
        self.frame = local_frame(np.array([ra]), np.array([dec]))[0]
        self.shape, self.pixel_scale = shape, pixel_scale
        self.center = ((shape[0] - 1) / 2, (shape[1] - 1) / 2) if center is None else center
        self.rotation = np.radians(rotation)

    def directions(self, rows: slice = slice(None), columns: slice = slice(None)) -> NDArray[np.float64]:
        """Cartesian directions of the pixels' centers, ``(3, rows, columns)``."""
        step = self.pixel_scale * ARCSEC
        up = (self.center[0] - np.arange(self.shape[0])[rows, None]) * step
        left = (self.center[1] - np.arange(self.shape[1])[None, columns]) * step
        sine, cosine = np.sin(self.rotation), np.cos(self.rotation)
        east, north = cosine * left + sine * up, cosine * up - sine * left
        basis = self.frame[:, :, None, None]
        return basis[0] * east + basis[1] * north + basis[2]


def tangent_header(ra: float, dec: float, shape: tuple[int, int], pixel_scale: float) -> fits.Header:
    """The header of such an image once its rows are put in FITS' order, south first."""
    height, width = shape
    cards = {
        "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CUNIT1": "deg", "CUNIT2": "deg", "CRVAL1": ra, "CRVAL2": dec,
        "CRPIX1": (width + 1) / 2, "CRPIX2": (height + 1) / 2, "CD1_1": -pixel_scale / 3600, "CD1_2": 0.0,
        "CD2_1": 0.0, "CD2_2": pixel_scale / 3600, "RADESYS": "ICRS",
        "LONPOLE": 180.0,
    }  # fmt: skip
    return fits.Header(cards.items())


def tangent_to_sky(ra: NDArray, dec: NDArray, east: NDArray, north: NDArray) -> NDArray:
    """Give ra and dec [deg] of offsets in the planes tangent at `ra`, `dec`; all arguments in radians.

    Calabretta & Greisen (2002), A&A 395, 1077, section 5.1.3; written with vectors, which know no pole.
    """
    radial = np.cos(dec) - north * np.sin(dec)
    x, y = radial * np.cos(ra) - east * np.sin(ra), radial * np.sin(ra) + east * np.cos(ra)
    z = np.sin(dec) + north * np.cos(dec)
    return np.degrees([np.arctan2(y, x) % (2 * np.pi), np.arctan2(z, np.hypot(x, y))])


def direction(ra: ArrayLike, dec: ArrayLike) -> tuple[NDArray, NDArray, NDArray]:
    """Cartesian equatorial coordinates, of length 1."""
    ra, dec = np.radians(ra), np.radians(dec)
    return np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)


def position(directions: NDArray) -> tuple[NDArray, NDArray]:
    """Right ascension and declination [deg] of directions of any length."""
    x, y, z = directions
    return np.degrees(np.arctan2(y, x)) % 360, np.degrees(np.arctan2(z, np.hypot(x, y)))


def local_frame(ra: NDArray, dec: NDArray) -> NDArray[np.float64]:
    """East, north and outward at positions, ``(n, 3, 3)``."""
    outward = np.stack(direction(ra, dec), axis=-1)
    ra, dec = np.radians(ra), np.radians(dec)
    east = np.stack([-np.sin(ra), np.cos(ra), np.zeros_like(ra)], axis=-1)
    north = np.stack([-np.sin(dec) * np.cos(ra), -np.sin(dec) * np.sin(ra), np.cos(dec)], axis=-1)
    return np.stack([east, north, outward], axis=-2)
