"""Cutouts from FITS mosaics, of which only the pixels needed are read."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import groupby

import astropy.units as u
import numpy as np
from astropy.wcs.utils import proj_plane_pixel_area
from numpy.typing import NDArray
from sklearn.utils import gen_batches

from .._camera import PSF_ERROR, SKY_ERROR
from .._cutouts import Cutouts
from .._stars import Tile
from ._errors import CutoutError, MissingCutoutError, TransientCutoutError
from ._fits_image import FitsImage
from ._mosaic_camera import Chunk, as_cutouts, fill, stamp_npix_of
from ._mosaic_images import fill_band, one_thread
from ._psf_models import models_of
from ._remote import Discreet, default_transport
from ._remote_file import is_url
from ._source import CutoutRequest, ManyAtOnce
from ._tile_camera import NOISES, TileCamera, per_band, planes_of
from ._tiles import alike, entries_of, first_tile, listed_paths, places_of, shown_paths, tiles_of
from .http import Transport

_CHUNK_BYTES = 64 * 2**20  # of cutouts made together: sorted by where they lie, so that pages are read once


class FitsMosaic(ManyAtOnce, Discreet):
    """Cut galaxies from FITS images: one or several files, bands, tiles, on disk or on a server.

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
        are joined. Compressed files (``.fz``, ``.gz``) are read too; the latter are unpacked into memory whole. A
        file may be an address with ``https://`` or ``http://``, if the server serves ranges of bytes; this needs
        the extra `remote`. ``s3://bucket/key`` is the address of an object that anybody may read, at Amazon or where
        the variable ``AWS_ENDPOINT_URL_S3`` says.
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
    variance, weight, noise : path, int, str, (path, hdu), list or dict, default=None
        At most one: what tells the noise of each pixel, as its variance, inverse variance or standard deviation. A
        path, pattern or list, with one image for each tile; or the number or name of an extension of the image's own
        file; a dict says it by band, and ``{band}`` stands for it. `noise` may be a number, too. Pixels whose weight
        or variance is 0, NaN or infinite are bad.
    mask : as `variance`, default=None
        Image of integers or bits.
    mask_bits : sequence of int or str, default=None
        Which bits of `mask` make a pixel bad: their numbers from 0, or names, as the keywords ``MP_…`` of LSST's and
        HSC's masks tell them, such as ``["BAD", "SAT", "CR"]``. None: a pixel that is not 0 is bad.
    psf : array-like, path, PSF, PSFStamps, PSFColumns, function, list or dict, default=None
        Point-spread function:

        - an image of a star, an array (h, w) or a FITS file or ``(path, hdu)``, on the mosaic's pixels and in its
          orientation, centered, without background;
        - a file of :class:`PSFEx`, or a pattern or list with one for each tile;
        - :class:`PSFStamps`, many with their positions; :class:`PSFColumns`, columns of the catalog;
        - an object such as `galestim.simulation.MoffatPSF` [arcsec, north up];
        - a function ``psf(ra, dec)`` [deg] or ``psf(x, y)`` [px, from 0] that returns an image or such an object.

        A dict says it by band.
    psf_npix : int, default=None
        Side of the stamps that come out [px of the cutouts]; None, 65 or `npix`, whichever is smaller, odd.
    gain : float, str or dict, default=None
        Electrons per image unit, or the keyword that tells it. Leave it out if the noise tells the photons of
        galaxies, too.
    zero_point : float, str or dict, default=None
        Magnitude of one image unit (in a pixel), or the keyword that tells it. None: that of the header, where there
        is one, see the notes; "header": there must be one.
    sky_error : float, default=0.1
        Standard deviation of the error of the sky's level, in units of the noise, as in `Cutouts`.
    psf_error : float, default=0.02
        That of the point-spread function's width, as a share of it.
    transport : Transport, default=None
        How files at addresses are asked for: rate, retries, headers with a login; None, `Transport()`.

    Attributes
    ----------
    n_channels : int
        The number of bands; a cube counts as many as it has planes.
    pixel_scale : float
        Side of a pixel where the first image's projection touches the sky [arcsec], used where no other is asked
        for; of pixels that are not square, the geometric mean of their sides. It opens the file.
    dtype : numpy dtype
        float32.
    knows_camera : bool
        Whether it makes `Cutouts`: if any of `variance`, `weight`, `noise`, `mask`, `psf`, `gain` and `zero_point` is
        given.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    TransientCutoutError
        If the header of a file at an address cannot be had. Of pixels, it is that of a galaxy.
    ValueError
        If a file has no image with a celestial WCS, is truncated or damaged, or is rewritten while it is read; or if
        bands are not found. If planes are not on the pixels of the image, noise is negative, the unit is no linear
        flux (magnitudes), or zero points are asked for or differ, and the headers do not tell.

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

    Headers are remembered in the process, for all copies of a mosaic (clones, pickles). Those of 32 tiles and more,
    and of files at addresses, are kept in the cache folder (`CutoutStore`) for other processes, too. Files that were
    rewritten, and those that a pattern finds since, are noticed. A pixel that is too wide, or
    damaged tiles of a ``.fz``, make a `MissingCutoutError` of the galaxies that need them.

    **The camera** is that of the pixels that come out. A new pixel Σ w x has the variance Σ w² v; the noise of
    neighbors is correlated then, which nothing tells. A pixel with a share in a bad one is bad, and holds what its
    neighbors suggest, never what the bad one held; bad pixels count as covered. Stamps are resampled as the image is,
    turned, and sum to 1. Bands and tiles with other zero points are brought to that of the first one.

    Zero points are read from ``MAGZERO``, ``MAGZPT``, ``PHOTZP``, ``MAGZP``, ``MAG_ZP``, ``ZEROPNT`` (m = keyword
    - 2.5 log10 of the flux), ``FLUXMAG0``, ``PHOTFLAM`` with ``PHOTPLAM``, or a ``BUNIT`` that is a flux density
    (nJy, nanomaggies) or one per solid angle (MJy/sr, with ``PIXAR_SR``); AB, where they do not say otherwise. Some
    pipelines mean the zero point of one second, or one to be corrected: compare with a catalog.

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

    With its noise and the image of a star, on pixels that are twice as large:

    >>> row, column = np.indices((25, 25)) - 12
    >>> star = np.exp(-(row**2 + column**2) / (2 * 1.5**2))
    >>> told = FitsMosaic(path, noise=0.1, psf=star, zero_point=27.0)
    >>> cutouts = told.cutout(CutoutRequest(ra=150.0, dec=2.0, pixel_scale=0.4, npix=25, object_id="1"))
    >>> cutouts
    Cutouts(1 images of (25, 25, 1); noise, psf, pixel_scale, zero_point)
    >>> [round(float(x), 2) for x in (cutouts.noise[0, 12, 12, 0], star.max() / star.sum(), cutouts.psf.max())]
    [0.2, 0.07, 0.25]
    """

    def __init__(
        self,
        paths,
        *,
        bands=None,
        hdu=None,
        pixel_values="flux",
        variance=None,
        weight=None,
        noise=None,
        mask=None,
        mask_bits=None,
        psf=None,
        psf_npix=None,
        gain=None,
        zero_point=None,
        sky_error=SKY_ERROR,
        psf_error=PSF_ERROR,
        transport=None,
    ):
        self.paths = paths
        self.bands = bands
        self.hdu = hdu
        self.pixel_values = pixel_values
        self.variance = variance
        self.weight = weight
        self.noise = noise
        self.mask = mask
        self.mask_bits = mask_bits
        self.psf = psf
        self.psf_npix = psf_npix
        self.gain = gain
        self.zero_point = zero_point
        self.sky_error = sky_error
        self.psf_error = psf_error
        self.transport = transport

    @property
    def knows_camera(self) -> bool:  # type: ignore[override]
        """Whether it makes `Cutouts`."""
        told = (*(getattr(self, kind) for kind in NOISES), self.mask, self.psf, self.gain, self.zero_point)
        return any(value is not None for value in told)

    @property
    def waits(self) -> bool:  # type: ignore[override]
        """Whether any file is at an address."""
        entries = entries_of(self.paths, self.bands, self.hdu).values()
        return any(is_url(os.fsdecode(path)) for paths, _ in entries for path in listed_paths(paths))

    @property
    def columns(self) -> dict[str, u.UnitBase]:  # type: ignore[override]
        """Columns of the catalog that `psf` needs, and their units."""
        psfs = self.psf.values() if isinstance(self.psf, Mapping) else [self.psf]
        return {name: unit for psf in psfs for name, unit in getattr(psf, "columns", {}).items()}

    @property
    def n_channels(self) -> int:  # type: ignore[override]
        """Number of channels of the images: one for each band, or each plane of a cube."""
        return sum(image.n_planes for image in self._first_images())

    @property
    def pixel_scale(self) -> float:  # type: ignore[override]
        """Side of a pixel if the user asks for none [arcsec]: that of the first image."""
        wcs = self._first_images()[0].sky.wcs
        return float(np.sqrt(proj_plane_pixel_area(wcs)) * 3600)

    def cutouts(
        self, requests: Sequence[CutoutRequest], store=None
    ) -> Iterator[NDArray[np.float32] | Cutouts | CutoutError]:
        if self.pixel_values not in ("flux", "surface_brightness"):
            raise ValueError(f"pixel_values={self.pixel_values!r}; expected 'flux' or 'surface_brightness'")
        cut, bytes_of = (self._cut_cameras, 24) if self.knows_camera else (self._cut, 4)
        n_channels = self.n_channels
        for npix, group in groupby(requests, key=lambda request: request.npix):
            some = list(group)
            for rows in gen_batches(len(some), max(1, _CHUNK_BYTES // (bytes_of * n_channels * npix**2))):
                yield from cut(some[rows], npix, n_channels)

    def _cut(self, requests, npix: int, n_channels: int) -> Iterator[NDArray[np.float32] | CutoutError]:
        """Images alone."""
        images = np.empty((len(requests), npix, npix, n_channels), dtype=np.float32)
        errors = self._fill(requests, images)
        for i, request in enumerate(requests):
            covered = np.isfinite(images[i, npix // 2, npix // 2, 0]) or np.isfinite(images[i]).any()
            if covered and i not in errors:
                yield images[i]
            else:
                yield errors[i] if i in errors else self._missing(request)

    def _cut_cameras(self, requests, npix: int, n_channels: int) -> Iterator[Cutouts | CutoutError]:
        """Images with their cameras."""
        stamp_npix = stamp_npix_of(npix, self.psf_npix)
        chunk = Chunk.empty(len(requests), npix, n_channels, stamp_npix if self.psf is not None else 1)
        with one_thread():
            errors = fill(self._cameras(), requests, chunk, self.pixel_values == "surface_brightness")
        self._look_again(errors)
        known = {name for name in ("psf", "gain") if getattr(self, name) is not None}
        known |= {"noise"} if any(getattr(self, kind) is not None for kind in NOISES) else set()
        beliefs = {"sky_error": self.sky_error, "psf_error": self.psf_error}
        made = as_cutouts(chunk, [request.pixel_scale for request in requests], known, **beliefs)
        for i, (request, cutouts) in enumerate(zip(requests, made)):
            covered = np.isfinite(cutouts.images).any()
            if covered and i not in errors:
                yield cutouts
            else:
                yield errors[i] if i in errors else self._missing(request, "good pixel")

    def _cameras(self) -> list[list[TileCamera]]:
        """Tiles of each band with their cameras, as the files are now."""
        kinds = [kind for kind in NOISES if getattr(self, kind) is not None]
        if len(kinds) > 1:
            raise ValueError(f"{' and '.join(kinds)} are given; expected one of variance, weight and noise.")
        kind = kinds[0] if kinds else None
        bands = list(entries_of(self.paths, self.bands, self.hdu))
        names = ("mask", "mask_bits", "psf", "gain", "zero_point")
        noises = per_band(kind or "noise", None if kind is None else getattr(self, kind), bands)
        others = zip(*(per_band(name, getattr(self, name), bands) for name in names))
        return [
            _cameras_of(tiles, self._tiles_of, kind, noise, *rest)
            for tiles, noise, rest in zip(self._bands(), noises, others)
        ]

    def _fill(self, requests: Sequence[CutoutRequest], images: NDArray[np.float32]) -> dict[int, CutoutError]:
        """Cut all channels of some requests, from the files as they are now; the errors of those that failed."""
        errors: dict[int, CutoutError] = {}
        bands = self._bands()
        if sum(tiles[0].n_planes for tiles in bands) != images.shape[-1]:
            raise ValueError(f"{shown_paths(self.paths)} got other planes while it was read; fetch again")
        first = 0
        with one_thread():
            for tiles in bands:
                planes = images[..., first : first + tiles[0].n_planes]
                errors |= fill_band(tiles, requests, planes, self.pixel_values == "surface_brightness")
                first += tiles[0].n_planes
        self._look_again(errors)
        return errors

    def _look_again(self, errors: Mapping[int, CutoutError]) -> None:
        """Read the headers of files at addresses that may have been rewritten, so that the next run knows."""
        if any(isinstance(error, TransientCutoutError) for error in errors.values()):
            with suppress(CutoutError, OSError, ValueError):
                self._bands()

    def _missing(self, request, what: str = "pixel"):
        return MissingCutoutError(
            f"{request.object_id} at ra={request.ra:g}, dec={request.dec:g} has no {what} in "
            f"{shown_paths(self.paths)}; leave it out, or add the tile that covers it"
        )

    def tiles(self) -> list[Tile]:
        """Read all pixels of a mosaic of one band, as `estimate_psf` and `Band.from_images` need them.

        Returns
        -------
        list of tuple
            Of each tile its image (h, w), its bad pixels (h, w), and the value of saturated pixels, which is infinite
            where the header does not tell it by ``SATURATE``.

        Raises
        ------
        ValueError
            If there are several bands.
        """
        if self.n_channels != 1:
            raise ValueError(
                f"the mosaic has {self.n_channels} bands; expected one: a FitsMosaic of the paths of one band."
            )
        return [_whole(camera) for camera in self._cameras()[0]]

    def _bands(self) -> list[list[FitsImage]]:
        """Tiles of each band, as the files are now."""
        entries = entries_of(self.paths, self.bands, self.hdu)
        return [alike(self._tiles_of(*entry)) for entry in entries.values()]

    def _first_images(self) -> list[FitsImage]:
        """The first tile of each band."""
        entries = entries_of(self.paths, self.bands, self.hdu)
        return [first_tile(paths, hdus, self._transport()) for paths, hdus in entries.values()]

    def _tiles_of(self, paths, hdus, *, celestial: bool = True) -> list[FitsImage]:
        return tiles_of(paths, hdus, self._transport(), celestial=celestial)

    def _transport(self) -> Transport:
        return default_transport() if self.transport is None else self.transport


def _cameras_of(tiles, find, kind, noise, mask, bits, psf, gain, zero_point) -> list[TileCamera]:
    """Cameras of the tiles of one band."""
    noises = planes_of(kind or "noise", noise, tiles, find)
    masks = planes_of("mask", mask, tiles, find)
    psfs = models_of(psf, len(tiles), places_of)
    return [
        TileCamera(tile, kind, of_noise, of_mask, bits, of_psf, gain, zero_point)
        for tile, of_noise, of_mask, of_psf in zip(tiles, noises, masks, psfs)
    ]


def _whole(camera: TileCamera) -> Tile:
    """All pixels of a tile."""
    everything = [slice(0, side) for side in camera.image.shape]
    with camera.opened() as (plane,):
        image, bad = plane.read(*everything), plane.read_planes(*everything)[1]
    saturation = camera.image.header.get("SATURATE")
    known = isinstance(saturation, int | float) and saturation > 0
    return Tile.of_array(image, bad, saturation if known else None)
