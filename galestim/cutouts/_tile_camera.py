"""What is known of the camera of one tile of a mosaic: its noise, bad pixels and point-spread function."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import cached_property
from glob import has_magic
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from ._fits_image import FitsImage, Plane
from ._header_index import images_at
from ._photometry import check_linear, zero_point_of
from ._remote_file import is_url

NOISES = ("variance", "weight", "noise")  # ways to tell it
MASK_BIT = "MP_"  # of keywords that name the bits of a mask, as LSST's


class WrongPlaneError(ValueError):
    """A file that is not what it was said to be: for all galaxies, not for one."""


class TileCamera:
    """Camera of one tile; what is told of it is looked at when a galaxy lies in it, for there may be many.

    `kind` says what `noise` is: "variance", "weight" or "noise"; `bits` of the mask make a pixel bad, None: all;
    `psf` has the method `_at`; a `gain` or `zero_point` that is a str is a keyword of the header.
    """

    def __init__(self, image: FitsImage, kind: str | None, noise, mask, bits, psf, gain, zero_point):
        self.image, self.kind, self.noise, self.mask, self.psf = image, kind, noise, mask, psf
        self._bits, self._gain, self._zero_point = bits, gain, zero_point

    @cached_property
    def bits(self) -> int | None:
        """Bits that make a pixel bad, as one integer; None for any."""
        return None if self.mask is None else _bits(self.mask, self._bits)

    @cached_property
    def gain(self) -> float | None:
        """Electrons per image unit."""
        return _number("gain", self._gain, self.image)

    def zero_point(self, pixel_area: float) -> float:
        """Magnitude of one image unit in a pixel of `pixel_area` [arcsec²]; NaN if it is not known."""
        if self._zero_point not in (None, "header"):
            number = _number("zero_point", self._zero_point, self.image)
            return np.nan if number is None else number
        found = zero_point_of(self.image.header, pixel_area, repr(str(self.image.path)))
        if found is None and self._zero_point == "header":
            raise WrongPlaneError(
                f"{str(self.image.path)!r} has no zero point: none of MAGZERO, MAGZPT, PHOTZP, FLUXMAG0, PHOTFLAM, "
                "nor a BUNIT that is a flux density. Pass zero_point=, the magnitude of one image unit."
            )
        return np.nan if found is None else found

    @contextmanager
    def opened(self) -> Iterator[list[OpenedPlane]]:
        """Give the planes, while the files are open."""
        check_linear(self.image.header, repr(str(self.image.path)))
        for plane in (self.noise, self.mask):
            if isinstance(plane, FitsImage):
                _check_grid(plane, self.image)
        with ExitStack() as files:
            images = files.enter_context(self.image.opened())
            noises = self._planes(files, self.noise, len(images))
            masks = self._planes(files, self.mask, len(images))
            yield [OpenedPlane(self, *planes) for planes in zip(images, noises, masks)]

    def _planes(self, files: ExitStack, of: FitsImage | float | None, n: int) -> Sequence:
        if not isinstance(of, FitsImage):
            return [of] * n
        planes = files.enter_context(of.opened())
        return planes if len(planes) == n else planes * n


class OpenedPlane:
    """One plane of a tile: an `Image` to resample, whose bad pixels have their neighbors' values, and `Planes`."""

    def __init__(self, tile: TileCamera, image: Plane, noise: Plane | float | None, mask: Plane | None):
        self.shape = image.shape
        self._tile, self._image, self._noise, self._mask = tile, image, noise, mask

    def read(self, rows: slice, columns: slice) -> NDArray:
        """Pixels of a window: what bad ones hold does not matter."""
        values = self._image.read(rows, columns)
        bad = self._bad(rows, columns)[1]
        if not bad.any() or bad.all():
            return np.full_like(values, np.nan, dtype=np.float32) if bad.all() else values
        values = values.astype(np.float32)
        unknown = bad | ~np.isfinite(values)
        if unknown.all():
            return np.full_like(values, np.nan)
        nearest = distance_transform_edt(unknown, return_distances=False, return_indices=True)
        values[bad] = values[tuple(nearest)][bad]
        return values

    def read_planes(self, rows: slice, columns: slice) -> tuple[NDArray | None, NDArray[np.bool_]]:
        """Variance and bad pixels of a window; pixels that are NaN are bad, too."""
        variance, bad = self._bad(rows, columns)
        return variance, bad | ~np.isfinite(self._image.read(rows, columns))

    def _bad(self, rows: slice, columns: slice) -> tuple[NDArray | None, NDArray[np.bool_]]:
        shape = (rows.stop - rows.start, columns.stop - columns.start)
        bad = np.zeros(shape, dtype=bool)
        if self._mask is not None:
            bad |= _has_bits(self._mask.read(rows, columns), self._tile.bits)
        if self._noise is None:
            return None, bad
        if not isinstance(self._noise, Plane):
            return np.full(shape, float(self._noise) ** 2), bad
        variance, unknown = self._variance(self._noise.read(rows, columns))
        return variance, bad | unknown

    def _variance(self, values: NDArray) -> tuple[NDArray, NDArray[np.bool_]]:
        kind, file = self._tile.kind, str(self._tile.noise.path)
        values = values.astype(np.float64)
        if (values < 0).any():
            raise WrongPlaneError(
                f"{file!r} is given as {kind}, but is negative ({values[values < 0][0]:.3g}) in some pixels; "
                f"expected {kind} ≥ 0, or NaN where there is none."
            )
        known = np.isfinite(values) & (values > 0)
        safe = np.where(known, values, 1)
        return safe**2 if kind == "noise" else 1 / safe if kind == "weight" else safe, ~known


def _number(name: str, value, image: FitsImage) -> float | None:
    """A number, or that of a keyword."""
    if value is None:
        return None
    number = image.header.get(value) if isinstance(value, str) else value
    if isinstance(number, bool) or not isinstance(number, Real) or not np.isfinite(float(number)):
        where = f"{str(image.path)!r} has {value}={number!r}" if isinstance(value, str) else f"{name}={value!r}"
        raise WrongPlaneError(f"{where}; expected a number. Pass {name}= one, or the keyword that holds it.")
    if name == "gain" and float(number) <= 0:
        raise WrongPlaneError(f"gain={number}; expected a positive number of electrons per image unit.")
    return float(number)


def _check_grid(plane: FitsImage, image: FitsImage) -> None:
    """Refuse a plane whose pixels are not those of the image."""
    if plane.shape != image.shape or plane.n_planes not in (1, image.n_planes):
        raise WrongPlaneError(
            f"{str(plane.path)!r} has {plane.n_planes} planes of {plane.shape}, but the image {str(image.path)!r} "
            f"has {image.n_planes} of {image.shape}; expected the same pixels. Resample it first."
        )
    if plane.to_pixel is None or plane is image:
        return
    corners = np.array([[0, plane.shape[1] - 1, 0], [0, 0, plane.shape[0] - 1]], dtype=float)
    apart = np.abs(plane.to_pixel.inverse(*corners) - image.sky.inverse(*corners)).max()
    pixel = np.abs(np.diff(image.sky.inverse(np.array([0.0, 1.0]), np.zeros(2)), axis=1)).max()
    if apart > pixel:
        raise WrongPlaneError(
            f"{str(plane.path)!r} lies elsewhere on the sky than {str(image.path)!r}; expected the same pixels."
        )


# --- masks --------------------------------------------------------------------------------------------------


def _bits(mask: FitsImage, wanted) -> int | None:
    """The bits that make a pixel bad, as one integer; None for any."""
    if wanted is None:
        return None
    wanted = [wanted] if isinstance(wanted, str | Integral) else list(wanted)
    named = {key[len(MASK_BIT) :]: v for key, v in mask.header.items() if key.startswith(MASK_BIT)}
    bits: list[Any] = [
        named.get(bit.upper().removeprefix(MASK_BIT)) if isinstance(bit, str) else int(bit) for bit in wanted
    ]
    wrong = [one for one, bit in zip(wanted, bits) if not (isinstance(bit, int) and 0 <= bit < 63)]
    if wrong or not wanted:
        raise WrongPlaneError(
            f"mask_bits={wanted} has {wrong or 'nothing'}; expected numbers of bits from 0 to 62, or names of "
            f"{str(mask.path)!r}: {', '.join(named) or 'none'}."
        )
    return sum(1 << int(bit) for bit in set(bits))


def _has_bits(values: NDArray, bits: int | None) -> NDArray[np.bool_]:
    """True where a mask has one of `bits`, or is NaN."""
    if values.dtype.kind == "f":
        unknown = ~np.isfinite(values)
        values = np.where(unknown, -1, values).astype(np.int64)
    else:
        unknown, values = np.False_, values.astype(np.int64)
    return unknown | ((values != 0) if bits is None else (values & bits) != 0)


# --- files --------------------------------------------------------------------------------------------------


def planes_of(name: str, given, tiles: Sequence[FitsImage], find) -> list:
    """The plane of each tile: an extension of its own file, or a file for each; numbers as they are.

    `find` gives the images of all that a path, a pattern or a list of these means.
    """
    if given is None or (name == "noise" and isinstance(given, Real)):
        if given is not None and not 0 < float(given) < np.inf:
            raise WrongPlaneError(f"noise={given!r}; expected a positive standard deviation, or an image of it.")
        return [given] * len(tiles)
    if isinstance(given, Integral) or (isinstance(given, str) and not _is_file(given)):
        return _own_extensions(name, tiles, given)
    paths, hdu = given if isinstance(given, tuple) else (given, None)
    planes = find(paths, hdu, celestial=False)
    if len(planes) != len(tiles):
        raise WrongPlaneError(
            f"{name}={given!r} are {len(planes)} images for {len(tiles)} tiles; expected one for each."
        )
    return planes


def _is_file(text: str) -> bool:
    return is_url(text) or has_magic(text) or os.path.exists(os.path.expanduser(text))


def _own_extensions(name: str, tiles: Sequence[FitsImage], hdu) -> list[FitsImage]:
    try:
        return images_at([(tile.path, hdu) for tile in tiles], celestial=False)
    except ValueError as error:
        raise WrongPlaneError(
            f"{name}={hdu!r} is no file, and no image of the mosaic's own: {error}. Expected a path, or the number "
            "or name of an extension."
        ) from error


def per_band(name: str, value: Any, bands: Sequence) -> list:
    """What is given for each band: a dict says it by band, a list by order, anything else is for all."""
    if isinstance(value, Mapping):
        if unknown := [band for band in bands if band not in value]:
            raise ValueError(f"{name} has nothing for the bands {unknown}; expected all of {list(bands)}, or None.")
        return [value[band] for band in bands]
    if isinstance(value, list) and len(bands) > 1 and name != "mask_bits":
        if len(value) != len(bands):
            raise ValueError(f"{name} has {len(value)} entries for {len(bands)} bands; expected as many.")
        return value
    if isinstance(value, str | Path) and "{band}" in os.fspath(value):
        return [os.fspath(value).replace("{band}", str(band)) for band in bands]
    return [value] * len(bands)
