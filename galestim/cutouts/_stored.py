"""Sources of ready-made images, looked up by name, and that of files of a folder."""

from __future__ import annotations

import math
import os
from itertools import chain
from numbers import Real
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from .._io.image_files import CHANNELS, files_by_name, read_header, read_pixels
from .._sklearn import Interval
from .._tangent import ARCSEC, direction, local_frame, position
from ._errors import MissingCutoutError
from ._fits_image import FitsImage
from ._source import CutoutRequest, ManyAtOnce, attempt, one_by_one

MAX_TILT = 0.02  # rad; more than that, and an image is not north up
MAX_STRETCH = 0.02  # by which its pixels may be larger or smaller than was asked for
MAX_OFFSET = 1.5  # px along each axis from its middle to the galaxy: 1 comes of cutting at whole pixels
ROUNDED = 0.2  # arcsec, if that is more: positions of four decimals [deg]


class StoredImages(BaseEstimator, ManyAtOnce):
    """Base of the sources of ready-made images: looked up by object_id, never resampled, at most cropped."""

    looks_up_names = True  # the fetcher asks for a catalog with object_id

    _parameter_constraints: ClassVar[dict] = {"pixel_scale": [Interval(Real, 0, None, closed="neither"), None]}

    def _check_scale(self, request: CutoutRequest) -> None:
        if self.pixel_scale is not None and not math.isclose(request.pixel_scale, self.pixel_scale, rel_tol=1e-6):
            raise ValueError(
                f"{type(self).__name__} has pixel_scale={self.pixel_scale} arcsec, but was asked for "
                f"{request.pixel_scale:g}; expected the same, as its images are not resampled. Leave out pixel_scale "
                "and pixel_scale_re of the fetcher, or the pixel_scale of this source if it is not known."
            )


def _crop_to(npix: int, image: NDArray, any_parity: bool = False) -> NDArray:
    """The middle ``(npix, npix)`` of `image` ``(H, W, C)``; its center moves by half a pixel only if `any_parity`.

    Examples
    --------
    >>> _crop_to(2, np.arange(16).reshape(4, 4, 1))[:, :, 0]
    array([[ 5,  6],
           [ 9, 10]])
    """
    margins = np.array(image.shape[:2]) - npix
    if margins.min() < 0 or ((margins % 2).any() and not any_parity):
        height, width = image.shape[:2]
        cure = "" if margins.min() < 0 else ", or any_parity=True of ImageDirectory"
        raise MissingCutoutError(
            f"the image has {height}×{width} pixels; expected npix={npix} along each side, or an even number more"
            + cure
        )
    top, left = margins // 2
    return image[top : top + npix, left : left + npix]


# --- files of a folder --------------------------------------------------------------------------------------


class ImageDirectory(StoredImages):
    """Images that are files of one folder: the galaxy 101654 is ``101654.jpg`` or ``101654.fits``.

    Subfolders are not looked at. All images must be of one kind: 8-bit gray, 8-bit color, or FITS with one number
    of planes.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    path : str or path-like
        The folder.
    extensions : str or sequence of str, default=(".jpg", ".jpeg", ".png", ".fits", ".fits.gz", ".fits.fz")
        Ends of file names after ``object_id``; upper and lower case match.
    pixel_scale : float or None, default=None
        Side of a pixel [arcsec]. None: whatever the fetcher asks for is believed.
    any_parity : bool, default=False
        Whether an image may be cropped by an odd number of pixels, such as 250 pixels to 239. The center of the crop
        is then half a pixel from that of the image, toward its first row and column, as `CenterCrop` does it.

    Attributes
    ----------
    dtype : numpy dtype
        uint8 for JPEG and PNG, float32 for FITS; that of the first file that can be read.
    n_channels : int
        1 or 3 for JPEG and PNG; the number of planes for FITS.

    Raises
    ------
    FileNotFoundError
        If the folder does not exist, or holds no image.
    ValueError
        If another pixel scale is asked for, or no image can be read.

    Notes
    -----
    The first row of a JPEG or PNG is taken for north, after it is turned as its EXIF orientation says. FITS images
    are turned by their WCS, if rows and columns lie along east and north (ICRS); without one, their last row is taken
    for north and their first column for east. The galaxy must be in the middle of its image.

    Missing, each by itself, are images of another kind than the first that can be read, files that are damaged, and
    FITS images whose WCS says that they are rotated, have pixels of another scale than was asked for, or that the
    galaxy is not in their middle: :class:`FitsMosaic` resamples those.

    Images that are larger than ``npix`` are cropped to it about their center; an odd number of superfluous pixels
    would move it by half a pixel, so such images count as missing unless `any_parity`, as do smaller ones always.

    The catalog needs no positions. If it has them, FITS images with a WCS must have the galaxy in their middle.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> from galestim.cutouts import CutoutFetcher, ImageDirectory
    >>> catalog = {"object_id": [101654, 101756]}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Image.new("RGB", (24, 24)).save(Path(folder, "101654.jpg"))
    ...     fetcher = CutoutFetcher(ImageDirectory(folder, pixel_scale=0.4), npix=24, on_error="nan")
    ...     images = fetcher.transform(catalog)
    >>> fetcher.report_["object_id", "status"].pprint()
    object_id  status
    --------- -------
       101654      ok
       101756 missing
    >>> print(fetcher.report_["reason"][1])
    /... has no file '101756.jpg', nor with another extension
    """

    _parameter_constraints = {
        **StoredImages._parameter_constraints,
        "path": [str, os.PathLike],
        "extensions": [str, "array-like"],
        "any_parity": ["boolean"],
    }

    def __init__(
        self,
        path,
        *,
        extensions=(".jpg", ".jpeg", ".png", ".fits", ".fits.gz", ".fits.fz"),
        pixel_scale=None,
        any_parity=False,
    ):
        self.path = path
        self.extensions = extensions
        self.pixel_scale = pixel_scale
        self.any_parity = any_parity

    @property
    def dtype(self) -> np.dtype:  # type: ignore[override]
        return _first_kind(self._files())[0].dtype

    @property
    def n_channels(self) -> int:  # type: ignore[override]
        return _first_kind(self._files())[0].n_channels

    def cutouts(self, requests, store=None):
        files_of = self._files()
        like, first = _first_kind(files_of)

        def read(request):
            self._check_scale(request)
            file = self._file(request.object_id, files_of)
            return _crop_to(request.npix, _read_file(file, like, first, request), self.any_parity)

        yield from one_by_one(attempt(read, request) for request in requests)

    def _files(self) -> dict[str, list[Path]]:
        self._validate_params()
        return files_by_name(Path(self.path), self.extensions)

    def _file(self, name: str, files_of: dict[str, list[Path]]) -> Path:
        """The one file of the galaxy `name`."""
        files = files_of.get(name, [])
        if not files:
            extension = self.extensions if isinstance(self.extensions, str) else self.extensions[0]
            raise MissingCutoutError(f"{self.path} has no file {name + extension!r}, nor with another extension")
        if len(files) > 1:
            raise MissingCutoutError(f"{self.path} has {len(files)} files: {', '.join(file.name for file in files)}")
        return files[0]


class _Kind(NamedTuple):
    """Properties that all images of a folder have in common."""

    n_channels: int
    dtype: np.dtype


def _first_kind(files_of: dict[str, list[Path]]) -> tuple[_Kind, str]:
    """Kind of the first image by name whose header can be read, and that name; the others must be like it."""
    errors: list[Exception] = []
    for file in chain.from_iterable(files_of.values()):
        try:
            return _opened(file)[0], file.name
        except (ValueError, OSError) as error:
            errors.append(error)
    raise ValueError(f"None of {len(errors)} images can be read. The first: {errors[0]}") from errors[0]


def _opened(file: Path) -> tuple[_Kind, FitsImage | None]:
    """Kind of a JPEG, PNG or FITS file, from its header; the image, if it is FITS."""
    if file.suffix.lower() in (".jpg", ".jpeg", ".png"):
        mode, _ = read_header(file)
        return _Kind(3 if CHANNELS[mode] else 1, np.dtype(np.uint8)), None
    image = FitsImage(file, celestial=False)
    return _Kind(image.n_planes, np.dtype(np.float32)), image


def _read_file(file: Path, like: _Kind, first: str, request: CutoutRequest) -> NDArray:
    """Pixels of a JPEG, PNG or FITS file as ``(H, W, C)``, north up and east left, if it is of the right kind."""
    try:
        kind, image = _opened(file)
        if kind != like:
            raise ValueError(
                f"{file} has {kind.n_channels} channels of {kind.dtype}, but the first image of its folder, {first}, "
                f"has {like.n_channels} of {like.dtype}; expected all alike"
            )
        return _read_picture(file) if image is None else _read_fits(image, request)
    except ValueError as error:
        raise MissingCutoutError(str(error).rstrip(".")) from error


def _read_picture(file: Path) -> NDArray[np.uint8]:
    pixels = read_pixels(file)
    return pixels.reshape(*pixels.shape[:2], -1)


def _read_fits(image: FitsImage, request: CutoutRequest) -> NDArray[np.float32]:
    rows, columns = (-1, 1) if image.to_pixel is None else _steps_to_north_up(image, request)
    height, width = image.shape
    with image.opened() as planes:
        pixels = [plane.read(slice(0, height), slice(0, width))[::rows, ::columns] for plane in planes]
    return np.stack(pixels, axis=-1).astype(np.float32)


def _steps_to_north_up(image: FitsImage, request: CutoutRequest) -> tuple[int, int]:
    """Steps (1 or -1) along the file's rows and columns that go south and west; the WCS must fit the request."""
    height, width = image.shape
    sky = image.sky.inverse(*(np.array([[width], [height]]) - 1) / 2 + [[0, 1, 0], [0, 0, 1]])
    frame = local_frame(*position(sky[:, :1]))[0][:2] / ARCSEC
    (east_x, east_y), (north_x, north_y) = frame @ (sky[:, 1:] - sky[:, :1])
    cure = "Use FitsMosaic, which resamples"
    if not (abs(east_y) <= MAX_TILT * abs(east_x) and abs(north_x) <= MAX_TILT * abs(north_y)):
        raise ValueError(f"{image.path} is rotated; expected rows along east and columns along north. {cure}")
    scale = request.pixel_scale
    if not max(abs(abs(east_x) - scale), abs(abs(north_y) - scale)) <= MAX_STRETCH * scale:
        raise ValueError(
            f"{image.path} has pixels of {abs(east_x):.4g}″ × {abs(north_y):.4g}″; expected {scale:g}″ on both "
            f"sides. {cure}, or ask for its scale"
        )
    steps = -int(np.sign(north_y)), -int(np.sign(east_x))
    if math.isnan(request.ra):  # the catalog has no positions
        return steps
    offset = np.array(direction(request.ra, request.dec)) - sky[:, 0]
    east, north = frame @ offset / scale
    largest = max(MAX_OFFSET, ROUNDED / scale)
    if not max(abs(east), abs(north), np.linalg.norm(offset) / ARCSEC / scale / 2) <= largest:
        raise ValueError(
            f"{image.path} has ra={request.ra:g}, dec={request.dec:g} {east:.1f} pixels east and {north:.1f} pixels "
            f"north of its middle; expected the galaxy there. {cure}"
        )
    return steps
