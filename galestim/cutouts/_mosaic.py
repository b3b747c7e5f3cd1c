"""Cutouts from FITS mosaics on disk, of which only the pixels needed are read."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from glob import glob, has_magic
from itertools import groupby
from pathlib import Path
from textwrap import shorten

import numpy as np
from astropy.wcs.utils import proj_plane_pixel_area
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils import gen_batches
from threadpoolctl import threadpool_limits

from ._errors import CutoutError, MissingCutoutError
from ._fits_image import FitsImage, fits_image
from ._resample import place, resample_all
from ._source import CutoutRequest, CutoutSource

_CHUNK_BYTES = 64 * 2**20  # of cutouts made together: sorted by where they lie, so that pages are read once


class FitsMosaic(CutoutSource, BaseEstimator):
    """Cut galaxies from FITS images on disk: one or several files, bands, tiles.

    Only the pixels needed are read. Each cutout is resampled onto its own grid (tangent plane, north up, east left,
    the galaxy in the middle), keeping flux; on a mosaic with that orientation and scale this is a subpixel shift.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    paths : str or path-like, list, array, or dict
        - one file: one channel, or one for each plane of a cube;
        - a list, array or column of a table: the channels of each entry, in this order;
        - a dict of band → entry: the same, with names.

        An entry is a file, a pattern such as ``"tiles/*_i.fits"``, or a list of these: the tiles of one band, which
        are joined. Compressed files (``.fz``, ``.gz``) are read too; the latter are unpacked into memory whole.
    bands : sequence of str, default=None
        Which bands of a dict to use, and their order; names of a list; what ``{band}`` in a single path stands for,
        as in ``FitsMosaic("field_{band}.fits", bands="gri")``. None, all of them.
    hdu : int, str, (str, int), a list of these, or a dict, default=None
        Which extension, by number, name, or name and version; a list, all of these are tiles; a dict of band →
        extension, bands are extensions of the file. None, the first 2-D image with a celestial WCS, or, without one,
        the first cube ``(n_planes, H, W)`` that has one.
    pixel_values : {"flux", "surface_brightness"}, default="flux"
        What a pixel holds. "flux": what falls on it; values are multiplied by the ratio of pixel areas, so that the
        sum over a galaxy is the same at whatever pixel scale. "surface_brightness" (as MJy/sr): values are kept.

    Attributes
    ----------
    n_channels : int
        The number of bands; a cube counts as many as it has planes.
    pixel_scale : float
        Side of a pixel where the first image's projection touches the sky [arcsec], used where no other is asked
        for; of pixels that are not square, the geometric mean of their sides. It opens the file.
    dtype : numpy dtype
        float32.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If a file has no image with a celestial WCS, is truncated or damaged, or is rewritten while it is read; or if
        bands are not found.

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
    distortion that `astropy.wcs` knows, and any orientation and celestial frame, are accounted for, to 0.01 px. On
    the seam of an all-sky map pixels come from both sides, and those that the seam crosses are NaN.

    Headers are remembered in the process, for all copies of a mosaic (clones, pickles); another process reads them
    again. Files that were rewritten, and those that a pattern finds since, are noticed. A pixel that is too wide, or
    damaged tiles of a ``.fz``, make a `MissingCutoutError` of the galaxies that need them.

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
        """Number of channels of the images: one for each band, or each plane of a cube."""
        return sum(image.n_planes for image in self._first_images())

    @property
    def pixel_scale(self) -> float:  # type: ignore[override]
        """Side of a pixel if the user asks for none [arcsec]: that of the first image."""
        wcs = self._first_images()[0].sky.wcs
        return float(np.sqrt(proj_plane_pixel_area(wcs)) * 3600)

    def cutout(self, request: CutoutRequest) -> NDArray[np.float32]:
        (result,) = self.cutouts([request])
        if isinstance(result, CutoutError):
            raise result
        return result

    def cutouts(self, requests: Sequence[CutoutRequest], store=None) -> Iterator[NDArray[np.float32] | CutoutError]:
        if self.pixel_values not in ("flux", "surface_brightness"):
            raise ValueError(f"pixel_values={self.pixel_values!r}; expected 'flux' or 'surface_brightness'")
        n_channels = self.n_channels
        for npix, alike in groupby(requests, key=lambda request: request.npix):
            some = list(alike)
            n = min(len(some), max(1, _CHUNK_BYTES // (4 * n_channels * npix**2)))
            images = np.empty((n, npix, npix, n_channels), dtype=np.float32)
            for rows in gen_batches(len(some), n):
                errors = self._fill(some[rows], images)
                for i, request in enumerate(some[rows]):
                    covered = np.isfinite(images[i, npix // 2, npix // 2, 0]) or np.isfinite(images[i]).any()
                    failed = errors[i] if i in errors else self._missing(request)
                    yield images[i].copy() if covered and i not in errors else failed

    def _fill(self, requests: Sequence[CutoutRequest], images: NDArray[np.float32]) -> dict[int, CutoutError]:
        """Cut all channels of some requests, from the files as they are now; the errors of those that failed."""
        errors: dict[int, CutoutError] = {}
        bands = self._bands()
        if sum(tiles[0].n_planes for tiles in bands) != images.shape[-1]:
            raise ValueError(f"{shorten(str(self.paths), 200)} got other planes while it was read; fetch again")
        first = 0
        with threadpool_limits(1, "blas"):  # its products are small: threads would wait for one another
            for tiles in bands:
                planes = images[..., first : first + tiles[0].n_planes]
                errors |= _fill_band(tiles, requests, planes, self.pixel_values == "surface_brightness")
                first += tiles[0].n_planes
        return errors

    def _missing(self, request):
        return MissingCutoutError(
            f"{request.object_id} at ra={request.ra:g}, dec={request.dec:g} has no pixel in "
            f"{shorten(str(self.paths), 200)}; leave it out, or add the tile that covers it"
        )

    def _bands(self) -> list[list[FitsImage]]:
        """Tiles of each band, as the files are now."""
        entries = _entries(self.paths, self.bands, self.hdu)
        return [_alike([fits_image(*place) for place in _places(*entry)]) for entry in entries.values()]

    def _first_images(self) -> list[FitsImage]:
        """The first tile of each band."""
        entries = _entries(self.paths, self.bands, self.hdu)
        return [fits_image(*next(_places(*entry))) for entry in entries.values()]


def _alike(tiles: list[FitsImage]) -> list[FitsImage]:
    """`tiles` themselves, if all have as many planes."""
    for tile in tiles:
        if tile.n_planes != tiles[0].n_planes:
            raise ValueError(
                f"{str(tile.path)!r} has {tile.n_planes} planes, but {str(tiles[0].path)!r} has {tiles[0].n_planes}; "
                "expected all tiles alike"
            )
    return tiles


def _entries(paths, bands, hdu) -> dict:
    """Give band → (path or paths, extension or extensions), in the order of the channels."""
    names = None if bands is None else list(bands)
    if names is not None and len(set(names)) < len(names):
        raise ValueError(f"bands={names} has one of them twice; expected each once")
    if isinstance(paths, Mapping):
        named = dict(paths)
    elif not _is_path(paths):
        if names is not None and len(names) != len(paths):
            raise ValueError(f"{len(names)} bands ({names}) for {len(paths)} paths; expected as many")
        named = dict(zip(range(len(paths)) if names is None else names, paths))
    elif isinstance(hdu, Mapping):
        named = dict.fromkeys(hdu, paths)
    elif names is not None and (len(names) == 1 or "{band}" in os.fsdecode(paths)):
        named = {name: os.fsdecode(paths).replace("{band}", name) for name in names}
    elif names is None:
        named = {0: paths}
    else:
        raise ValueError(
            f"bands={names} of one path, {str(paths)!r}; expected '{{band}}' in it, or a dict of paths or hdu"
        )
    wanted = list(named) if names is None else names
    unknown = [name for name in wanted if name not in named or (isinstance(hdu, Mapping) and name not in hdu)]
    if unknown or not wanted:
        raise ValueError(f"no path or hdu for the bands {unknown}; expected some of {list(named)}")
    return {name: (named[name], hdu[name] if isinstance(hdu, Mapping) else hdu) for name in wanted}


def _is_path(paths) -> bool:
    """True if `paths` is one path, and not many of them in a list, array or column."""
    if isinstance(paths, str | bytes | os.PathLike):
        return True
    if hasattr(paths, "__len__") and hasattr(paths, "__getitem__"):
        return False
    raise TypeError(f"{paths!r} is of type {type(paths).__name__}; expected a path, a pattern, or a list of them")


def _places(paths, hdus) -> Iterator[tuple[Path, int | str | tuple | None]]:
    """Give every tile of a band: a file and an extension."""
    patterns = [paths] if _is_path(paths) else paths
    if not len(patterns):
        raise ValueError("a band has no tiles, but an empty list; expected at least one path")
    for pattern in patterns:
        if not _is_path(pattern):
            raise TypeError(f"{pattern!r} is in a list of tiles; expected a path")
        path = os.path.expanduser(os.fsdecode(pattern))
        files = sorted(glob(path)) if has_magic(path) and not os.path.exists(path) else [path]
        if not files or not os.path.exists(files[0]):
            raise FileNotFoundError(
                f"no file {str(pattern)!r}; give the path of a FITS image, or a pattern that finds some"
            )
        for file in files:
            for hdu in hdus if isinstance(hdus, list | np.ndarray) else [hdus]:
                yield Path(file), hdu


def _fill_band(tiles, requests, planes, surface_brightness):
    """Cut one band, from the tile in which each galaxy lies deepest; others fill what that does not cover."""
    placements, jobs = _jobs(tiles, requests)
    empty = np.ones(len(requests), dtype=bool)
    errors: dict[int, CutoutError] = {}
    for (rank, t), of_tile in groupby(jobs, key=lambda job: job[:2]):
        wanted = {block: i for _, _, block, i in of_tile if rank == 0 or np.isnan(planes[i]).any()}
        if wanted:
            with tiles[t].opened() as images:
                for plane, image in zip(np.moveaxis(planes, -1, 0), images):
                    own = {block: plane[i] for block, i in wanted.items()}
                    found = own if rank == 0 else {block: np.empty_like(one) for block, one in own.items()}
                    failed = resample_all(image, placements[t], found, surface_brightness)
                    errors |= {wanted[block]: error for block, error in failed.items()}
                    for block, one in own.items() if rank > 0 else ():
                        np.copyto(one, found[block], where=np.isnan(one))
            empty[list(wanted.values())] = False
    planes[: len(requests)][empty] = np.nan
    return errors


def _jobs(tiles, requests):
    """Give the placements of galaxies in tiles, and what to do: (rank, tile, block of the placement, request).

    Rank 0 is the tile in which a galaxy lies deepest. Within a tile, pixels are read as they lie in the file.
    """
    sky = np.array([request[:4] for request in requests], dtype=float).T
    placements, jobs = {}, [np.empty((0, 5))]
    for t, tile in enumerate(tiles):
        near = np.flatnonzero(tile.is_near(*sky))
        if len(near):
            placements[t] = place(tile.sky, [requests[i] for i in near])
            x, y = placements[t].nodes[:, :, 1, 1].T
            depth = np.min([x, y, tile.shape[1] - 1 - x, tile.shape[0] - 1 - y], axis=0)
            jobs.append(np.stack([near, -depth, np.full(len(near), t), np.arange(len(near)), y], axis=1))
    request, depth, tile, block, y = np.concatenate(jobs).T
    order = np.lexsort([depth, request])
    rank = np.empty(len(order), dtype=int)
    rank[order] = np.arange(len(order)) - np.searchsorted(request[order], request[order])
    order = np.lexsort([y, tile, rank])
    return placements, zip(*(column[order].astype(int).tolist() for column in (rank, tile, block, request)))
