"""Cutouts from FITS mosaics on disk, of which only the pixels needed are read."""

from __future__ import annotations

import mmap
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from glob import glob, has_magic
from itertools import groupby
from pathlib import Path
from textwrap import shorten

import numpy as np
from astropy.io import fits
from astropy.utils.exceptions import AstropyWarning
from astropy.wcs import WCS, WcsError
from astropy.wcs.utils import proj_plane_pixel_area
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils import gen_batches
from threadpoolctl import threadpool_limits

from ._errors import CutoutError, MissingCutoutError
from ._resample import ArrayImage, SkyToPixel, place, resample_all
from ._source import CutoutRequest, CutoutSource

_CHUNK_BYTES = 64 * 2**20  # of cutouts made together: sorted by where they lie, so that pages are read once
_MAPPED_BYTES = 16 * 2**20  # of a file kept mapped
_PIXEL_DTYPES = {8: "u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}


class FitsMosaic(CutoutSource, BaseEstimator):
    """Cut galaxies from FITS images on disk: one or several files, bands, tiles.

    Only the pixels needed are read. Each cutout is resampled onto its own grid (tangent plane, north up, east left,
    the galaxy in the middle), keeping flux; on a mosaic with that orientation and scale this is a subpixel shift.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    paths : str or path-like, list, or dict
        - one file: one channel;
        - a list: one channel for each entry, in this order;
        - a dict of band → entry: the same, with names.

        An entry is a file, a pattern such as ``"tiles/*_i.fits"``, or a list of these: the tiles of one band, which
        are joined. Compressed files (``.fz``, ``.gz``) are read too; the latter are unpacked into memory whole.
    bands : sequence of str, default=None
        Which bands of a dict to use, and their order; names of a list; what ``{band}`` in a single path stands for,
        as in ``FitsMosaic("field_{band}.fits", bands="gri")``. None, all of them.
    hdu : int, str, (str, int), a list of these, or a dict, default=None
        Which extension, by number, name, or name and version; a list, all of these are tiles; a dict of band →
        extension, bands are extensions of the file. None, the first 2-D image with a celestial WCS.
    pixel_values : {"flux", "surface_brightness"}, default="flux"
        What a pixel holds. "flux": what falls on it; values are multiplied by the ratio of pixel areas, so that the
        sum over a galaxy is the same at whatever pixel scale. "surface_brightness" (as MJy/sr): values are kept.

    Attributes
    ----------
    n_channels : int
        The number of bands.
    pixel_scale : float
        Side of a pixel where the first image's projection touches the sky [arcsec], used where no other is asked
        for. It opens the file.
    dtype : numpy dtype
        float32.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If a file has no 2-D image with a celestial WCS, or is truncated, or bands are not found.

    See Also
    --------
    CutoutFetcher : Makes the requests from a catalog.

    Notes
    -----
    Pixels are float32, in the mosaic's own units (per new pixel, if they are fluxes). NaN stands where no tile
    covers half of a pixel, and where the mosaic is NaN or, for integers, ``BLANK``. A galaxy without any finite pixel
    is a `MissingCutoutError`. Where tiles overlap, the one in which the galaxy lies deepest has precedence, and
    others fill what it does not cover.

    Pixels are resampled by a quintic spline, see `resample_onto`. TAN, SIP, TPV and every other projection and
    distortion that `astropy.wcs` knows, and any orientation and celestial frame, are accounted for, to 0.01 px.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> import numpy as np
    >>> from astropy.io import fits
    >>> from astropy.wcs import WCS
    >>> from galestim.cutouts import FitsMosaic
    >>> wcs = WCS({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 150.0, "CRVAL2": 2.0, "CRPIX1": 51.0,
    ...            "CRPIX2": 51.0, "CDELT1": -0.2 / 3600, "CDELT2": 0.2 / 3600, "CUNIT1": "deg", "CUNIT2": "deg"})
    >>> image = np.zeros((101, 101))
    >>> image[50, 50] = 1.0
    >>> path = mkdtemp() + "/field_i.fits"
    >>> fits.PrimaryHDU(image, wcs.to_header()).writeto(path)
    >>> mosaic = FitsMosaic(path)
    >>> round(mosaic.pixel_scale, 6)
    0.2

    One cutout, as a `CutoutFetcher` requests it:

    >>> from galestim.cutouts import CutoutRequest
    >>> cutout = mosaic.cutout(CutoutRequest(ra=150.0, dec=2.0, pixel_scale=0.2, npix=3, object_id="1"))
    >>> np.abs(cutout[:, :, 0].round(3))
    array([[0., 0., 0.],
           [0., 1., 0.],
           [0., 0., 0.]], dtype=float32)
    >>> mosaic.cutout(CutoutRequest(ra=151.0, dec=2.0, pixel_scale=0.2, npix=3, object_id="2"))
    Traceback (most recent call last):
    ...
    galestim.cutouts._errors.MissingCutoutError: 2 at ra=151, dec=2 has no pixel in .../field_i.fits; ...
    """

    def __init__(self, paths, *, bands=None, hdu=None, pixel_values="flux"):
        self.paths = paths
        self.bands = bands
        self.hdu = hdu
        self.pixel_values = pixel_values

    @property
    def n_channels(self) -> int:  # type: ignore[override]
        """Number of channels of the images: one for each band."""
        return len(_entries(self.paths, self.bands, self.hdu))

    @property
    def pixel_scale(self) -> float:  # type: ignore[override]
        """Side of a pixel if the user asks for none [arcsec]: that of the first image."""
        wcs = self._tiles()[0][0].to_pixel.wcs
        return float(np.sqrt(proj_plane_pixel_area(wcs)) * 3600)

    def cutout(self, request: CutoutRequest) -> NDArray[np.float32]:
        (result,) = self.cutouts([request])
        if isinstance(result, CutoutError):
            raise result
        return result

    def cutouts(self, requests: Sequence[CutoutRequest], store=None) -> Iterator[NDArray[np.float32] | CutoutError]:
        if self.pixel_values not in ("flux", "surface_brightness"):
            raise ValueError(f"pixel_values={self.pixel_values!r}; expected 'flux' or 'surface_brightness'")
        bands = self._tiles()
        for npix, alike in groupby(requests, key=lambda request: request.npix):
            some = list(alike)
            n = min(len(some), max(1, _CHUNK_BYTES // (4 * len(bands) * npix**2)))
            images = np.empty((n, npix, npix, len(bands)), dtype=np.float32)
            for rows in gen_batches(len(some), n):
                chunk = some[rows]
                with threadpool_limits(1, "blas"):  # its products are small: threads would wait for one another
                    for band, tiles in enumerate(bands):
                        _fill_band(tiles, chunk, images[..., band], self.pixel_values == "surface_brightness")
                for request, image in zip(chunk, images):
                    covered = np.isfinite(image[npix // 2, npix // 2, 0]) or np.isfinite(image).any()
                    yield image.copy() if covered else self._missing(request)

    def _missing(self, request):
        return MissingCutoutError(
            f"{request.object_id} at ra={request.ra:g}, dec={request.dec:g} has no pixel in "
            f"{shorten(str(self.paths), 200)}; leave it out, or add the tile that covers it"
        )

    def _tiles(self) -> list[list[_Tile]]:
        """Read the headers of all files, once; processes that get a copy of this read them again."""
        parameters = self.get_params()
        if getattr(self, "_read_from", None) != parameters:
            entries = _entries(**{name: parameters[name] for name in ("paths", "bands", "hdu")})
            self._read_tiles = [[_Tile(*place) for place in _places(*entry)] for entry in entries.values()]
            self._read_from = deepcopy(parameters)
        return self._read_tiles

    def __getstate__(self):
        """Leave out what was read from files."""
        return {key: value for key, value in super().__getstate__().items() if not key.startswith("_read")}


def _entries(paths, bands, hdu) -> dict:
    """Give band → (path or paths, extension or extensions), in the order of the channels."""
    names = None if bands is None else list(bands)
    if isinstance(paths, Mapping):
        named = dict(paths)
    elif isinstance(paths, (list, tuple)):
        if names is not None and len(names) != len(paths):
            raise ValueError(f"{len(names)} bands ({names}) for {len(paths)} paths; expected as many")
        named = dict(zip(names or range(len(paths)), paths))
    elif isinstance(hdu, Mapping):
        named = dict.fromkeys(hdu, paths)
    elif names is not None and (len(names) == 1 or "{band}" in str(paths)):
        named = {name: str(paths).replace("{band}", name) for name in names}
    elif names is None:
        named = {0: paths}
    else:
        raise ValueError(
            f"bands={names} of one path, {str(paths)!r}; expected '{{band}}' in it, or a dict of paths or hdu"
        )
    unknown = [name for name in names or named if name not in named or (isinstance(hdu, Mapping) and name not in hdu)]
    if unknown or not named:
        raise ValueError(f"no path or hdu for the bands {unknown}; expected some of {list(named)}")
    return {name: (named[name], hdu[name] if isinstance(hdu, Mapping) else hdu) for name in names or named}


def _places(paths, hdus) -> Iterator[tuple[Path, int | str | tuple | None]]:
    """Give every tile of a band: a file and an extension."""
    for pattern in paths if isinstance(paths, (list, tuple)) else [paths]:
        path = os.path.expanduser(pattern)
        files = sorted(glob(path)) if has_magic(path) and not os.path.exists(path) else [path]
        if not files or not os.path.exists(files[0]):
            raise FileNotFoundError(
                f"no file {str(pattern)!r}; give the path of a FITS image, or a pattern that finds some"
            )
        for file in files:
            for hdu in hdus if isinstance(hdus, list) else [hdus]:
                yield Path(file), hdu


def _fill_band(tiles, requests, planes, surface_brightness):
    """Cut one channel, from the tile in which each galaxy lies deepest; others fill what that does not cover."""
    placements, jobs = _jobs(tiles, requests)
    empty = np.ones(len(requests), dtype=bool)
    for (rank, t), of_tile in groupby(jobs, key=lambda job: job[:2]):
        wanted = {block: i for _, _, block, i in of_tile if rank == 0 or np.isnan(planes[i]).any()}
        if wanted:
            found = {block: planes[i] if rank == 0 else np.empty_like(planes[i]) for block, i in wanted.items()}
            with tiles[t].opened() as image:
                resample_all(image, placements[t], found, surface_brightness)
            for block, i in wanted.items() if rank > 0 else ():
                np.copyto(planes[i], found[block], where=np.isnan(planes[i]))
            empty[list(wanted.values())] = False
    planes[: len(requests)][empty] = np.nan


def _jobs(tiles, requests):
    """Give the placements of galaxies in tiles, and what to do: (rank, tile, block of the placement, request).

    Rank 0 is the tile in which a galaxy lies deepest. Within a tile, pixels are read as they lie in the file.
    """
    sky = np.array([request[:4] for request in requests], dtype=float).T
    placements, jobs = {}, [np.empty((0, 5))]
    for t, tile in enumerate(tiles):
        near = np.flatnonzero(tile.is_near(*sky))
        if len(near):
            placements[t] = place(tile.to_pixel, [requests[i] for i in near])
            x, y = placements[t].nodes[:, :, 1, 1].T
            depth = np.min([x, y, tile.shape[1] - 1 - x, tile.shape[0] - 1 - y], axis=0)
            jobs.append(np.stack([near, -depth, np.full(len(near), t), np.arange(len(near)), y], axis=1))
    request, depth, tile, block, y = np.concatenate(jobs).T
    order = np.lexsort([depth, request])
    rank = np.empty(len(order), dtype=int)
    rank[order] = np.arange(len(order)) - np.searchsorted(request[order], request[order])
    order = np.lexsort([y, tile, rank])
    return placements, zip(*(column[order].astype(int).tolist() for column in (rank, tile, block, request)))


class _Tile:
    """One image in a file: where it lies on the sky, and how to read it."""

    def __init__(self, path: Path, hdu):
        self.path = path
        with _hdu_list(path) as hdus:
            self.index, wcs = _find_image(hdus, path, hdu)
            image = hdus[self.index]
            self.header, self.shape = image.header.copy(), image.shape
            self.data_start = None if isinstance(image, fits.CompImageHDU) else image.fileinfo()["datLoc"]
        with path.open("rb") as file:
            if file.read(6) != b"SIMPLE":  # compressed as a whole
                self.data_start = None
        if self.data_start is not None:
            n_bytes = self.data_start + abs(self.header["BITPIX"]) // 8 * self.shape[0] * self.shape[1]
            if path.stat().st_size < n_bytes:
                raise ValueError(
                    f"{str(path)!r} is truncated: got {path.stat().st_size} bytes, expected {n_bytes}; get it again"
                )
        self.to_pixel = SkyToPixel(wcs)
        self.center, self.radius = self._cap()

    def _cap(self):
        """Center (unit vector) and radius [rad] of a circle on the sky that holds the image."""
        height, width = self.shape
        t = np.linspace(0, 1, 9)
        u, v = np.r_[t, t, 0 * t, 0 * t + 1, 0.5], np.r_[0 * t, 0 * t + 1, t, t, 0.5]
        sky = self.to_pixel.inverse(u * width - 0.5, v * height - 0.5)
        radius = _angle(sky[:, :-1], sky[:, -1:]).max()
        return sky[:, -1:], radius if np.isfinite(radius) else np.pi

    def is_near(self, ra, dec, pixel_scale, npix):
        """Mask of the cutouts that may touch the image; others need not be projected."""
        ra, dec = np.radians(ra), np.radians(dec)
        sky = np.array([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)])
        reach = self.radius + np.radians(pixel_scale * npix / 3600)
        return ~(_angle(sky, self.center) > reach)

    @contextmanager
    def opened(self):
        """Give an `Image` while the file is open."""
        if self.data_start is not None:
            yield _Mapped(self)
            return
        with _hdu_list(self.path) as hdus:
            hdu = hdus[self.index]
            yield ArrayImage(hdu.section if isinstance(hdu, fits.CompImageHDU) else hdu.data)


class _Mapped:
    """Pixels of a plain FITS file; pages read some time ago are given back, as they count as used memory."""

    def __init__(self, tile: _Tile):
        header = tile.header
        dtype = np.dtype(_PIXEL_DTYPES[header["BITPIX"]])
        with tile.path.open("rb") as file:
            self._mmap = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._start, self._row_bytes = tile.data_start or 0, dtype.itemsize * tile.shape[1]
        self._pixels = np.ndarray(tile.shape, dtype, self._mmap, self._start)
        self._first_row = 0  # mapped
        self._scale = header.get("BSCALE", 1), header.get("BZERO", 0)
        self._blank = header.get("BLANK") if dtype.kind in "iu" else None
        self.shape = tile.shape

    def read(self, rows, columns):
        if (rows.stop - self._first_row) * self._row_bytes > _MAPPED_BYTES:
            self._release(rows.start)
        self._first_row = min(self._first_row, rows.start)
        stored = self._pixels[rows, columns]
        if self._scale == (1, 0) and self._blank is None:
            return stored
        values = stored * float(self._scale[0]) + self._scale[1]
        values[stored == self._blank] = np.nan
        return values

    def _release(self, row):
        """Unmap what lies before a row, where the system can."""
        end = (self._start + row * self._row_bytes) // mmap.PAGESIZE * mmap.PAGESIZE
        if end > 0 and hasattr(mmap, "MADV_DONTNEED"):
            self._mmap.madvise(mmap.MADV_DONTNEED, 0, end)
        self._first_row = row


def _angle(a, b):
    return 2 * np.arcsin(np.minimum(np.linalg.norm(a - b, axis=0) / 2, 1))


@contextmanager
def _hdu_list(path):
    """Open a file, without astropy's warnings about headers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AstropyWarning)
        try:
            hdus = fits.open(path)
        except OSError as error:
            raise ValueError(f"{str(path)!r} cannot be read as FITS: {error}") from error
        with hdus:
            yield hdus


def _find_image(hdus, path, wanted) -> tuple[int, WCS]:
    """Find the extension wanted, or the first that is a 2-D image with a celestial WCS."""
    try:
        candidates = range(len(hdus)) if wanted is None else [hdus.index(hdus[wanted])]
    except (KeyError, IndexError):
        candidates = []
    for index in candidates:
        hdu = hdus[index]
        if hdu.is_image and len(hdu.shape) == 2:
            try:
                wcs = WCS(hdu.header, hdus)
                if wcs.has_celestial:
                    return index, wcs
            except (WcsError, ValueError) as error:
                raise ValueError(f"{str(path)!r}, extension {index}: its WCS cannot be used: {error}") from error
    held = "; ".join(f"{i} {hdu.name!r} {hdu.shape if hdu.is_image else 'a table'}" for i, hdu in enumerate(hdus))
    where = "" if wanted is None else f" at hdu={wanted!r}"
    raise ValueError(
        f"{str(path)!r} has no 2-D image with a celestial WCS{where}; it has {held}; add a WCS "
        "(CTYPE1='RA---TAN', …), or say which extension with hdu"
    )
