"""Point-spread functions that change over a field: stamps with positions, PSFEx files, columns of a catalog."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import lru_cache
from glob import has_magic
from inspect import signature
from numbers import Real
from pathlib import Path
from typing import Any, NamedTuple

import astropy.units as u
import numpy as np
from astropy.io import fits
from numpy.typing import ArrayLike, NDArray

from .._io.bounds import check_fits
from .._io.files import read_whole
from ._fits_image import FitsImage, fits_image
from ._source import CutoutRequest

LARGEST = 1024  # pixels along a side of a stamp
_ANGLES = {"fwhm": u.arcsec, "beta": u.one, "ellipticity": u.one, "position_angle": u.deg}
_COORDINATES = "XY"  # of PSFEx's POLNAME: X_IMAGE, XWIN_IMAGE, …


class Place(NamedTuple):
    """Where a galaxy is: pixels of its tile (0 is the center of the first), and what was asked for."""

    x: float
    y: float
    request: CutoutRequest


class Star(NamedTuple):
    """A point-spread function at one place: an object with a Fourier transform, or a stamp on `sampling` pixels."""

    psf: Any
    sampling: float = 1.0


class PSFStamps:
    """Point-spread functions at many positions; a galaxy is given the nearest one.

    For ``FitsMosaic(…, psf=…)``.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    stamps : array-like of shape (n, h, w)
        Images of stars on the mosaic's pixels, in its orientation (as FITS stores them), centered, without
        background.
    ra, dec : array-like of shape (n,), default=None
        Their positions, ICRS [deg].
    x, y : array-like of shape (n,), default=None
        Or their pixels in the mosaic, from 0.

    Raises
    ------
    ValueError
        If there is not one finite position for each of one or more stamps, in one of the two ways.

    Examples
    --------
    >>> import numpy as np
    >>> from galestim.cutouts import PSFStamps
    >>> row, column = np.indices((25, 25)) - 12
    >>> stars = [np.exp(-(row**2 + column**2) / (2 * sigma**2)) for sigma in (1.5, 2.0)]
    >>> PSFStamps(stars, ra=[150.0, 150.1], dec=[2.0, 2.0])
    PSFStamps(2 stamps of (25, 25) by ra and dec)
    """

    def __init__(self, stamps: ArrayLike, *, ra=None, dec=None, x=None, y=None):
        self.stamps = np.asarray(stamps, dtype=np.float64)
        n = len(self.stamps) if self.stamps.ndim == 3 else 0
        if not n:
            raise ValueError(f"stamps have shape {self.stamps.shape}; expected (n, h, w), n ≥ 1.")
        given = {name: at for name, at in {"ra": ra, "dec": dec, "x": x, "y": y}.items() if at is not None}
        if given.keys() not in ({"ra", "dec"}, {"x", "y"}):
            raise ValueError(f"positions are {', '.join(given) or 'nothing'}; expected ra and dec, or x and y.")
        self.names = tuple(given)
        self.positions = np.array([_degrees(at) for at in given.values()])
        if self.positions.shape != (2, n) or not np.isfinite(self.positions).all():
            raise ValueError(f"positions have shape {self.positions.shape}; expected finite ones, (2, {n}).")

    def __repr__(self):
        return f"PSFStamps({len(self.stamps)} stamps of {self.stamps.shape[1:]} by {' and '.join(self.names)})"

    def _at(self, place: Place) -> Star:
        """The nearest."""
        if self.names == ("x", "y"):
            distance = np.hypot(*(self.positions - [[place.x], [place.y]]))
        else:
            ra, dec = np.radians(self.positions)
            ra0, dec0 = np.radians((place.request.ra, place.request.dec))
            distance = -(np.sin(dec) * np.sin(dec0) + np.cos(dec) * np.cos(dec0) * np.cos(ra - ra0))
        return Star(self.stamps[np.argmin(distance)])


def _degrees(angle) -> NDArray[np.float64]:
    return np.asarray(angle.to_value(u.deg) if hasattr(angle, "to_value") else angle, dtype=np.float64)


class PSFColumns:
    """Point-spread functions that the catalog tells: Moffat or Gaussian profiles, one for each galaxy.

    For ``FitsMosaic(…, psf=…)``. Each parameter is the name of a column, or a number for all galaxies. A galaxy whose
    value is masked or NaN has a stamp of NaN: its point-spread function is not known.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    fwhm : str or float, default="psf_fwhm"
        Full width at half maximum, without the pixel's smearing [arcsec].
    beta : str, float or None, default=3.0
        Exponent of Moffat's profile; None is a Gaussian.
    ellipticity : str or float, default=0.0
        (a - b) / (a + b) of the axes a and b.
    position_angle : str or float, default=0.0
        Of the major axis [deg, east of north].

    Examples
    --------
    >>> from galestim.cutouts import PSFColumns
    >>> PSFColumns("seeing", beta=2.5)
    PSFColumns(fwhm='seeing', beta=2.5, ellipticity=0.0, position_angle=0.0)
    """

    def __init__(self, fwhm="psf_fwhm", *, beta=3.0, ellipticity=0.0, position_angle=0.0):
        self.parameters = {"fwhm": fwhm, "beta": beta, "ellipticity": ellipticity, "position_angle": position_angle}
        for name, value in self.parameters.items():
            if not isinstance(value, str | Real) and not (name == "beta" and value is None):
                raise TypeError(f"{name}={value!r}; expected the name of a column, or a number.")

    def __repr__(self):
        return f"PSFColumns({', '.join(f'{name}={value!r}' for name, value in self.parameters.items())})"

    @property
    def columns(self) -> dict[str, u.UnitBase]:
        """Columns of the catalog that it needs, and their units."""
        return {value: _ANGLES[name] for name, value in self.parameters.items() if isinstance(value, str)}

    def _at(self, place: Place) -> Star:
        """That of the row."""
        from ..simulation import GaussianPSF, MoffatPSF  # bears torch, which images need not

        known = place.request.columns
        values = {name: known[value] if isinstance(value, str) else value for name, value in self.parameters.items()}
        beta = values.pop("beta")
        if not all(np.isfinite(value) for value in (*values.values(), 0 if beta is None else beta)):
            return Star(None)
        try:
            return Star(GaussianPSF(**values) if beta is None else MoffatPSF(**values, beta=beta))
        except ValueError as error:
            raise ValueError(f"the point-spread function of {place.request.object_id!r}: {error}") from error


class PSFEx:
    """The point-spread function of a PSFEx file (``.psf``), a polynomial in the position.

    ``FitsMosaic(…, psf="field.psf")`` makes one of the path.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    path : str or path-like
        FITS file with the table ``PSF_DATA``.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is damaged, or its polynomial is not one of the pixel coordinates x and y.

    Notes
    -----
    With x' = (x - ``POLZERO1``) / ``POLSCAL1``, and y' in the same way, of pixels that count from 1, the stamp is
    Σ c_k ``PSF_MASK``_k, where c are 1, x', x'², …, y', x'y', … up to the degree ``POLDEG1``. Its pixels are
    ``PSF_SAMP`` of the image's [1]_.

    References
    ----------
    .. [1] Bertin 2011, ASP Conf. Ser. 442, 435; the PSFEx user's guide.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path)
        with read_whole(self.path, "Expected a file of PSFEx, with the table PSF_DATA.", (FileNotFoundError,)):
            check_fits(self.path)
            with fits.open(self.path, memmap=False) as hdus:
                table = hdus["PSF_DATA"]
                self._read(table.header, np.asarray(table.data["PSF_MASK"][0], dtype=np.float64))

    def _read(self, header: fits.Header, masks: NDArray) -> None:
        n_axes, self.degree = int(header.get("POLNAXIS", 0)), 0
        self.zero, self.scale = np.zeros(2), np.ones(2)
        if n_axes:
            self.degree = int(header["POLDEG1"])
            names = [str(header[f"POLNAME{axis}"]) for axis in range(1, n_axes + 1)]
            groups = {int(header.get(f"POLGRP{axis}", 1)) for axis in range(1, n_axes + 1)}
            if [name[:1] for name in names] != list(_COORDINATES) or not 0 <= self.degree <= 20 or len(groups) > 1:
                raise ValueError(f"its polynomial has degree {self.degree} in {', '.join(names)}")
            self.zero = np.array([float(header[f"POLZERO{axis}"]) for axis in (1, 2)])
            self.scale = np.array([float(header[f"POLSCAL{axis}"]) for axis in (1, 2)])
        self.masks = masks if masks.ndim == 3 else masks[None]
        self.sampling = float(header["PSF_SAMP"])
        n_terms = (self.degree + 1) * (self.degree + 2) // 2
        if self.masks.ndim != 3 or len(self.masks) != n_terms or not np.isfinite(self.masks).all():
            raise ValueError(f"PSF_MASK has shape {masks.shape}; expected {n_terms} finite planes")
        if not (self.sampling > 0 and (self.scale != 0).all()):
            raise ValueError(f"PSF_SAMP is {self.sampling} and POLSCAL {self.scale}; expected positive numbers")

    def __repr__(self):
        return f"PSFEx({str(self.path)!r})"

    def _at(self, place: Place) -> Star:
        """The polynomial at a pixel."""
        x, y = (np.array([place.x, place.y]) + 1 - self.zero) / self.scale
        terms = [x**i * y**j for j in range(self.degree + 1) for i in range(self.degree + 1 - j)]
        return Star(np.tensordot(terms, self.masks, axes=1), self.sampling)


class _Same:
    """One for all places."""

    def __init__(self, psf):
        self.star = Star(psf)

    def _at(self, place: Place) -> Star:
        return self.star


class _OfPosition:
    """A function ``psf(ra, dec)`` or ``psf(x, y)``."""

    def __init__(self, function: Callable):
        self.function, names = function, tuple(signature(function).parameters)
        if names[:2] not in (("ra", "dec"), ("x", "y")):
            raise ValueError(f"psf is a function of {', '.join(names)}; expected (ra, dec) [deg] or (x, y) [px].")
        self.by_pixel = names[0] == "x"

    def _at(self, place: Place) -> Star:
        request = place.request
        psf = self.function(place.x, place.y) if self.by_pixel else self.function(request.ra, request.dec)
        return Star(psf if hasattr(psf, "transform") else _stamp(psf, f"psf({place.x:.1f}, {place.y:.1f})"))


def model_of(psf):
    """Whatever a user gives as `psf`, as an object with the method `_at`."""
    if hasattr(psf, "_at"):
        return psf
    if hasattr(psf, "transform"):
        return _Same(psf)
    if isinstance(psf, str | os.PathLike):
        return _of_file(Path(psf).expanduser(), None)
    if isinstance(psf, tuple) and len(psf) == 2 and isinstance(psf[0], str | os.PathLike):
        return _of_file(Path(psf[0]).expanduser(), psf[1])
    if callable(psf):
        return _OfPosition(psf)
    return _Same(_stamp(psf, "psf"))


def models_of(psf, n_tiles: int, find: Callable) -> list:
    """The model of each tile; `find` gives the (path, extension) of all that a pattern or a list means."""
    if psf is None:
        return [None] * n_tiles
    is_list = isinstance(psf, list) and len(psf) and all(isinstance(one, str | os.PathLike) for one in psf)
    if is_list or (isinstance(psf, str) and has_magic(psf)):
        files = list(find(psf, None))
        if len(files) != n_tiles:
            raise ValueError(f"psf={psf!r} are {len(files)} files for {n_tiles} tiles; expected one for each.")
        return [_of_file(*file) for file in files]
    return [model_of(psf)] * n_tiles


def _stamp(values, name: str) -> NDArray[np.float64]:
    try:
        stamp = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        stamp = np.empty(0)
    if stamp.ndim == 2 and max(stamp.shape) > LARGEST:
        raise ValueError(f"{name} has {stamp.shape} pixels; expected the stamp of a star, at most {LARGEST} a side.")
    if stamp.ndim != 2 or not stamp.size or not np.isfinite(stamp).all() or stamp.sum() <= 0:
        raise ValueError(
            f"{name} is a {type(values).__name__} of shape {np.shape(values)}; expected a stamp (h, w) of finite "
            "numbers with a positive sum, a path, a function of position, or an object such as MoffatPSF, PSFStamps "
            "or PSFColumns."
        )
    return stamp


def _of_file(path: Path, hdu):
    if not path.is_file():
        raise FileNotFoundError(f"no file {str(path)!r} of a point-spread function; expected FITS.")
    status = path.stat()
    return _remembered(path, hdu, (status.st_mtime_ns, status.st_size, status.st_ino))


@lru_cache(maxsize=256)
def _remembered(path: Path, hdu, state: tuple[int, ...]):
    """The model in a file as it is now: a PSFEx file's, or the image of a star."""
    if hdu is None and _has_psfex(path):
        return PSFEx(path)
    image: FitsImage = fits_image(path, hdu, celestial=False)
    if image.n_planes != 1:
        raise ValueError(f"{str(path)!r} has {image.n_planes} planes; expected one stamp, or psf=PSFStamps(…).")
    height, width = np.minimum(image.shape, LARGEST + 1)  # what is larger is refused below
    with image.opened() as planes:
        return _Same(_stamp(planes[0].read(slice(0, height), slice(0, width)), str(path)))


def _has_psfex(path: Path) -> bool:
    with read_whole(path, "Expected a complete FITS file."):
        check_fits(path)
        with fits.open(path, memmap=False) as hdus:
            return "PSF_DATA" in hdus
