"""Images in FITS files: where they lie on the sky, and their pixels, however these are stored and compressed."""

from __future__ import annotations

import mmap
import os
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from copy import copy
from functools import cached_property, lru_cache
from math import prod
from numbers import Real
from pathlib import Path
from typing import IO

import numpy as np
from astropy.io import fits
from astropy.utils.exceptions import AstropyWarning
from numpy.typing import NDArray

from .._io.bounds import check_fits
from .._io.unpack import unpacked
from .._tangent import direction
from ._errors import CutoutError
from ._remote_file import RemoteFile
from ._sky_to_pixel import SkyToPixel
from ._wcs_cards import made_of, of_cards, sky_to_pixel, wcs_cards

File = Path | RemoteFile

_REMEMBERED = 2**14  # headers, of 5 kB each
_SETTLED_NS = 10**8
_MAPPED_BYTES = 16 * 2**20  # of a file kept mapped
_ASKED_BYTES = 2**24  # of a file at an address, at most with one request
_PIXEL_DTYPES = {8: "u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}


def fits_image(path: File, hdu=None, *, celestial: bool = True) -> FitsImage:
    """The image with a celestial WCS in a file as it is now; the header is read again only if the file changed.

    `celestial` False is for images without a WCS.
    """
    state = state_of(path)
    if is_settled(state):
        return _remembered(path, hdu, celestial, state)
    return FitsImage(path, hdu, celestial=celestial)


def is_settled(state: tuple) -> bool:
    """False of a file so young that it may be written again without a change of its times."""
    return isinstance(state[0], str) or abs(time.time_ns() - state[0]) > _SETTLED_NS


@lru_cache(_REMEMBERED)
def _remembered(path: File, hdu, celestial: bool, state: tuple) -> FitsImage:
    return FitsImage(path, hdu, celestial=celestial)


class FitsImage:
    """One image of a FITS file, or a cube of planes.

    Files are plain, tile-compressed (``.fz``), or compressed as a whole (``.gz``). `hdu` says which extension; None,
    the first with an image. With `celestial`, only images with a celestial WCS are taken, and cubes only where there
    are none of two dimensions. A file that is damaged, or changes meanwhile, is a ValueError.

    `shape` is that of a plane, of which there are `n_planes`; `to_pixel` is None if the WCS is not celestial; `code`
    has BITPIX, BSCALE, BZERO and BLANK, see `numbers`; `start` is the first byte of the pixels in the unpacked file,
    None if they are in compressed tiles.
    """

    def __init__(self, path: File, hdu=None, *, celestial: bool = True):
        self.path = path
        with _opened(path) as source:
            self.state = state_of(source)
            with unpacked(source, str(path)) as stream:
                self._packed = stream.is_packed
            if self._packed and isinstance(path, RemoteFile):
                raise ValueError(
                    f"{str(path)!r} is compressed as a whole, so that parts of it cannot be read; download it, or "
                    "serve it plain or as .fz."
                )
            check_fits(source, str(path))
            self._look_into(source, hdu, celestial)
        self._require_unchanged(state_of(path) if isinstance(path, Path) else self.state)

    def _look_into(self, source, hdu, celestial: bool) -> None:
        """Find the image, and what its header says."""
        with _hdu_list(source, self.path) as hdus, _damage_named(self.path):
            self._index, to_pixel = _find_image(hdus, self.path, hdu, celestial)
            image = hdus[self._index]
            header, whole = image.header, image.shape
            self._cards = None if to_pixel is None else wcs_cards(header)
            self.start = None if isinstance(image, fits.CompImageHDU) else image.fileinfo()["datLoc"]
        self.to_pixel = to_pixel
        self._lead, self.shape = whole[:-2], whole[-2:]
        self.n_planes = prod(self._lead)
        self._dtype = np.dtype(_PIXEL_DTYPES[header["BITPIX"]])
        self.code = {key: header[key] for key in ("BITPIX", "BSCALE", "BZERO", "BLANK") if key in header}
        try:
            numbers(np.zeros(1, self._dtype), self.code)
        except ValueError as error:
            raise ValueError(f"{str(self.path)!r} cannot be read: {error}. Correct its header.") from error

    @classmethod
    def of_facts(cls, path: File, state: tuple, facts: Mapping) -> FitsImage:
        """The image of a file in this `state` whose `facts` are known, without a look into it."""
        image = cls.__new__(cls)
        image.path, image.state = path, state
        image._index, image._packed, image.code = int(facts["index"]), bool(facts["packed"]), dict(facts["code"])
        image._lead, image.shape = tuple(map(int, facts["lead"])), tuple(map(int, facts["shape"]))
        image.n_planes, image._dtype = prod(image._lead), np.dtype(_PIXEL_DTYPES[image.code["BITPIX"]])
        image.start = None if facts["start"] is None else int(facts["start"])
        image._cards = facts["cards"]
        if facts["cap"] is not None:
            *center, radius = map(float, facts["cap"])
            image.__dict__["cap"] = np.array(center)[:, None], radius
        return image

    def at(self, path: File) -> FitsImage:
        """The same image, which is asked for with the login and the limits of `path`."""
        if not isinstance(path, RemoteFile) or path is self.path:
            return self
        image = copy(self)
        image.path = path
        return image

    @cached_property
    def facts(self) -> dict | None:
        """What `of_facts` needs, for JSON; None if the WCS has more than its cards, such as tables of distortions."""
        cap = None
        if self.to_pixel is not None:
            if not made_of(self.to_pixel, self._cards or "", self.shape):
                return None
            cap = [*self.cap[0][:, 0].tolist(), float(self.cap[1])]
        return {
            "index": self._index,
            "packed": self._packed,
            "code": self.code,
            "lead": self._lead,
            "shape": self.shape,
            "start": self.start,
            "cards": self._cards,
            "cap": cap,
        }

    @cached_property
    def to_pixel(self) -> SkyToPixel | None:
        """Map from the sky to pixels; made of the header when it is first needed."""
        return None if self._cards is None else of_cards(self._cards)

    @property
    def sky(self) -> SkyToPixel:
        """`to_pixel` of an image that has one."""
        assert self.to_pixel is not None
        return self.to_pixel

    def is_near(self, ra, dec, pixel_scale, npix) -> NDArray[np.bool_]:
        """Mask of the cutouts that may touch the image; others need not be projected."""
        center, radius = self.cap
        reach = radius + np.radians(pixel_scale * npix / 3600)
        return ~(_angle(np.array(direction(ra, dec)), center) > reach)

    @cached_property
    def cap(self) -> tuple[NDArray, float]:
        """Center (unit vector) and radius [rad] of a circle on the sky that holds the image."""
        height, width = self.shape
        t = np.linspace(0, 1, 9)
        u, v = np.r_[t, t, 0 * t, 0 * t + 1, 0.5], np.r_[0 * t, 0 * t + 1, t, t, 0.5]
        sky = self.sky.inverse(u * width - 0.5, v * height - 0.5)
        radius = _angle(sky[:, :-1], sky[:, -1:]).max()
        return sky[:, -1:], radius if np.isfinite(radius) else np.pi

    @cached_property
    def header(self) -> dict[str, object]:
        """Keywords of the image, and of the primary header where the image has none of that name."""
        with self._hdus() as hdus, _damage_named(self.path):
            return {**dict(hdus[0].header), **dict(hdus[self._index].header)}

    @contextmanager
    def opened(self) -> Iterator[list[Plane]]:
        """Give the planes, each an `Image` to resample, while the file is open."""
        if self.start is None:
            with self._hdus() as hdus:
                with _damage_named(self.path):
                    planes = [Plane(self, hdus[self._index].section, index) for index in np.ndindex(self._lead)]
                yield planes
        elif isinstance(self.path, RemoteFile):
            yield [_RemotePlane(self, self.path, (plane,)) for plane in range(self.n_planes)]
        else:
            yield self._mapped(self.path, self.start)

    def _mapped(self, path: Path, start: int) -> list[Plane]:
        buffer: bytes | mmap.mmap
        kind: type[Plane]
        with path.open("rb") as file:
            self._require_unchanged(state_of(file))
            if self._packed:
                buffer, offset, kind = self._unpack(path, start), 0, Plane
            else:
                buffer = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
                offset, kind = start, _MappedPlane
        stored = np.ndarray((self.n_planes, *self.shape), self._dtype, buffer, offset)
        return [kind(self, stored, (plane,)) for plane in range(self.n_planes)]

    @contextmanager
    def _hdus(self):
        """The file as astropy opens it, if it is as it was."""
        options = {"do_not_scale_image_data": True}
        with _opened(self.path, self.state) as source, _hdu_list(source, self.path, **options) as hdus:
            self._require_unchanged(state_of(source))
            yield hdus

    def _unpack(self, path: Path, start: int) -> bytes:
        """The pixels of a file that is compressed as a whole."""
        with unpacked(path, str(path)) as stream:
            stream.read(start)
            return stream.read(self.n_planes * prod(self.shape) * self._dtype.itemsize)

    def _require_unchanged(self, state: tuple) -> None:
        if state != self.state:
            raise ValueError(f"{str(self.path)!r} was rewritten while it was read; fetch again.")


class Plane:
    """One plane of a FITS image, as an `Image` to resample."""

    def __init__(self, image: FitsImage, stored, index: tuple[int, ...] = ()):
        self.shape = image.shape
        self._image, self._stored, self._index = image, stored, index

    def read(self, rows: slice, columns: slice) -> NDArray:
        """Read a window."""
        try:
            stored = self._stored[(*self._index, rows, columns)]
        except CutoutError:
            raise
        except Exception as error:  # decoders of tiles raise many kinds
            raise ValueError(f"{str(self._image.path)!r} is damaged: {error}; get it again.") from error
        return numbers(stored, self._image.code)


class _MappedPlane(Plane):
    """One of a plain file; pages read some time ago are given back, as they count as used memory."""

    _first_row = 0  # mapped

    def read(self, rows, columns):
        if (rows.stop - self._first_row) * self._stored.strides[1] > _MAPPED_BYTES:
            self._release(rows.start)
        self._first_row = min(self._first_row, rows.start)
        return super().read(rows, columns)

    def _release(self, row: int) -> None:
        """Unmap what lies before a row, where the system can."""
        plane_bytes, row_bytes, _ = self._stored.strides
        before = self._image.start + self._index[0] * plane_bytes + row * row_bytes
        end = before // mmap.PAGESIZE * mmap.PAGESIZE
        if end > 0 and hasattr(mmap, "MADV_DONTNEED"):
            self._stored.base.madvise(mmap.MADV_DONTNEED, 0, end)
        self._first_row = row


class _RemotePlane(Plane):
    """One of a plain file at an address. Rows are read whole: what lies between them takes less time than to ask."""

    def read(self, rows, columns):
        width = self._image.shape[1] * self._image._dtype.itemsize
        at_once = max(1, _ASKED_BYTES // width)
        starts = range(rows.start, rows.stop, at_once)
        parts = [self._rows(first, min(first + at_once, rows.stop), width) for first in starts]
        return numbers(np.concatenate(parts)[:, columns], self._image.code)

    def _rows(self, first: int, stop: int, width: int) -> NDArray:
        image = self._image
        start = image.start + (self._index[0] * image.shape[0] + first) * width
        got = self._stored.read(image.state, start, start + (stop - first) * width)
        return np.frombuffer(got, image._dtype).reshape(-1, image.shape[1])


def numbers(stored: NDArray, header: Mapping) -> NDArray:
    """Values that the integers or floats of a FITS image stand for: scaled, and NaN where integers are BLANK.

    `stored` is what astropy gives for ``do_not_scale_image_data=True``; otherwise it forgets BLANK, or rounds.
    """
    scale, zero = header.get("BSCALE", 1), header.get("BZERO", 0)
    blank = header.get("BLANK") if header["BITPIX"] > 0 else None
    for key, value in {"BSCALE": scale, "BZERO": zero, "BLANK": 0 if blank is None else blank}.items():
        if not isinstance(value, Real):
            raise ValueError(f"{key}={value!r}; expected a number")
    if blank is None and (scale, zero) == (1, 0):
        return stored
    if stored.dtype.str[1:] == "i8" and (scale, zero) == (1, 2**63):  # unsigned: floats have 53 bits
        values = (stored.astype(np.int64).view(np.uint64) ^ np.uint64(2**63)).astype(float)
    else:
        values = stored * float(scale) + zero
    if blank is not None:
        values[stored == blank] = np.nan
    return values


def _angle(a: NDArray, b: NDArray) -> NDArray:
    return 2 * np.arcsin(np.minimum(np.linalg.norm(a - b, axis=0) / 2, 1))


# --- headers ------------------------------------------------------------------------------------------------


def state_of(file: File | IO[bytes]) -> tuple:
    """What changes when a file is rewritten or replaced; of one on disk, the time of its last change first.

    One at an address is not asked, unless it is open.
    """
    if isinstance(file, RemoteFile):
        return ()
    if hasattr(file, "state"):  # opened, at an address
        return file.state
    found = os.stat(file.fileno() if hasattr(file, "fileno") else file)
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino, found.st_dev


def _opened(path: File, state: tuple | None = None) -> AbstractContextManager:
    """What astropy opens: a file on disk by its name, one at an address as a stream."""
    return path.opened(state) if isinstance(path, RemoteFile) else nullcontext(path)


@contextmanager
def _hdu_list(source, path: File, **options):
    """Open a file, without astropy's warnings about headers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AstropyWarning)
        try:
            if isinstance(path, RemoteFile):
                source.seek(0)
            hdus = fits.open(source, **options)
        except CutoutError:
            raise
        except Exception as error:  # damaged files make astropy raise a dozen kinds
            raise ValueError(f"{str(path)!r} cannot be read as FITS: {error}") from error
        with hdus:
            yield hdus


@contextmanager
def _damage_named(path: File) -> Iterator[None]:
    """Headers are looked at late, so that damaged ones make astropy raise a dozen kinds even then."""
    try:
        yield
    except CutoutError:
        raise
    except Exception as error:
        if isinstance(error, ValueError) and str(path) in str(error):
            raise
        raise ValueError(f"{str(path)!r} cannot be read as FITS: {error!r}") from error


def _find_image(hdus, path: File, wanted, celestial: bool) -> tuple[int, SkyToPixel | None]:
    """Find the extension wanted, or the first that will do."""
    try:
        candidates = range(len(hdus)) if wanted is None else [hdus.index(hdus[wanted])]
    except (KeyError, IndexError):
        candidates = []
    shapes = {index: hdus[index].shape for index in candidates if hdus[index].is_image}
    images = [index for index, shape in shapes.items() if len(shape) >= 2 and min(shape) > 0]
    for index in sorted(images, key=lambda index: celestial and len(shapes[index]) > 2):
        try:
            to_pixel = sky_to_pixel(hdus[index].header, hdus)
        except Exception as error:  # damaged headers make astropy raise a dozen kinds
            raise ValueError(f"{str(path)!r}, extension {index}: its WCS cannot be used: {error}") from error
        if to_pixel is not None or not celestial:
            return index, to_pixel
    held = "; ".join(f"{i} {hdu.name!r} {hdu.shape if hdu.is_image else 'a table'}" for i, hdu in enumerate(hdus))
    where = "" if wanted is None else f" at hdu={wanted!r}"
    if not celestial:
        raise ValueError(f"{str(path)!r} has no image of 2 or more dimensions; it has {held}")
    raise ValueError(
        f"{str(path)!r} has no image with a celestial WCS{where}; it has {held}; add a WCS (CTYPE1='RA---TAN', …), "
        "or say which extension with hdu"
    )
