"""Images that are files of one folder, named after their galaxies."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.utils.exceptions import AstropyWarning
from astropy.wcs import WCS
from numpy.typing import NDArray
from PIL import Image

from ._errors import CutoutError, MissingCutoutError
from ._source import CutoutRequest
from ._stored import StoredImages, crop_to

MAX_PIXELS = 2**26  # of a JPEG or PNG; a header may promise any number
MAX_TILT = 0.02  # rad; more than that, and an image is not north up

_CHANNELS = {"L": 1, "RGB": 3}


class ImageDirectory(StoredImages):
    """Images that are files of one folder: the galaxy 101654 is ``101654.jpg`` or ``101654.fits``.

    Subfolders are not looked at. All images must be of one kind: 8-bit gray, 8-bit color, or FITS with one number
    of planes.

    Parameters
    ----------
    path : str or path-like
        The folder.
    extensions : str or sequence of str, default=(".jpg", ".jpeg", ".png", ".fits", ".fits.gz", ".fits.fz")
        How names of files go on after ``object_id``, in lowercase; capitals match, too.
    pixel_scale : float or None, default=None
        Side of a pixel [arcsec]. None: whatever the fetcher asks for is believed.

    Attributes
    ----------
    dtype : numpy dtype
        uint8 for JPEG and PNG, float32 for FITS; that of the first file.
    n_channels : int
        1 or 3 for JPEG and PNG; the number of planes for FITS.

    Raises
    ------
    FileNotFoundError
        If the folder does not exist, or holds no image.
    ValueError
        If another pixel scale is asked for.

    Notes
    -----
    The first row of a JPEG or PNG is taken for north. FITS images are turned by their WCS, if it is along the axes;
    without one, their last row is taken for north and their first column for east. Those that are rotated count as
    missing, as files that are damaged and those of another kind than the first do: :class:`FitsMosaic` resamples.
    The galaxy must be in the middle of its image.

    Images that are larger than ``npix`` are cropped to it about their center; an odd number of superfluous pixels
    would move it by half a pixel, so such images count as missing, as do smaller ones.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> from galestim.cutouts import CutoutFetcher, ImageDirectory
    >>> catalog = {"object_id": [101654, 101756], "ra": [10.09, 10.68], "dec": [41.69, 41.27]}
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
    }

    def __init__(
        self, path, *, extensions=(".jpg", ".jpeg", ".png", ".fits", ".fits.gz", ".fits.fz"), pixel_scale=None
    ):
        self.path = path
        self.extensions = extensions
        self.pixel_scale = pixel_scale

    @property
    def dtype(self) -> np.dtype:  # type: ignore[override]
        return self._first_image().dtype

    @property
    def n_channels(self) -> int:  # type: ignore[override]
        return self._first_image().shape[2]

    def cutout(self, request):
        """Read one image; see :meth:`CutoutSource.cutout`.

        Parameters
        ----------
        request : CutoutRequest

        Returns
        -------
        ndarray of shape (npix, npix, n_channels)

        Raises
        ------
        MissingCutoutError
            If there is no file of that name, it cannot be read, is of another kind than the first in the folder,
            or cannot be cropped to `npix`.
        """
        return self._cutout(request, like=self._first_image())

    def cutouts(self, requests, store=None):
        """Read many images; see :meth:`CutoutSource.cutouts`.

        Parameters
        ----------
        requests : sequence of CutoutRequest
        store : None, default=None
            Not needed.

        Yields
        ------
        ndarray of shape (npix, npix, n_channels), or CutoutError
        """
        like = self._first_image()
        for request in requests:
            try:
                yield self._cutout(request, like)
            except CutoutError as error:
                yield error

    def _cutout(self, request: CutoutRequest, like: NDArray) -> NDArray:
        self._check_scale(request)
        file = self._file(request.object_id)
        image = read_image(file)
        if (image.dtype, image.shape[2]) != (like.dtype, like.shape[2]):
            raise MissingCutoutError(
                f"{file} has {image.shape[2]} channels of {image.dtype}, but the first image of its folder has "
                f"{like.shape[2]} of {like.dtype}; expected all alike"
            )
        return crop_to(request.npix, image)

    def _file(self, name: str) -> Path:
        """The one file of the galaxy `name`."""
        candidates = [Path(self.path, name + extension) for extension in self._all_extensions()]
        files = [file for file in candidates if file.name.startswith(name) and file.is_file()]
        if not files:
            raise MissingCutoutError(f"{self.path} has no file {candidates[0].name!r}, nor with another extension")
        if len(files) > 1:
            raise MissingCutoutError(f"{self.path} has {len(files)} files: {', '.join(file.name for file in files)}")
        return files[0]

    def _first_image(self) -> NDArray:
        """The first image by name; the others must be like it."""
        self._validate_params()
        if not Path(self.path).is_dir():
            raise FileNotFoundError(f"{self.path} is not a folder; expected a folder of images.")
        extensions = self._all_extensions()
        names = [entry.name for entry in os.scandir(self.path) if entry.name.endswith(extensions) and entry.is_file()]
        if not names:
            raise FileNotFoundError(
                f"{self.path} holds no image; expected files that end in {', '.join(extensions[::2])}. Pass other "
                "extensions=, or the subfolder that holds the images."
            )
        return read_image(Path(self.path, min(names)))

    def _all_extensions(self) -> tuple[str, ...]:
        given = (self.extensions,) if isinstance(self.extensions, str) else self.extensions
        return tuple(case for extension in given for case in (extension, extension.upper()))


def read_image(file: Path) -> NDArray:
    """Pixels of a JPEG, PNG or FITS file as ``(H, W, C)``, north up and east left.

    Raises
    ------
    MissingCutoutError
        If it cannot be read, or is of a kind that is not supported.
    """
    read = _read_pixels if file.suffix.lower() in (".jpg", ".jpeg", ".png") else _read_fits
    try:
        return read(file)
    except MissingCutoutError:
        raise
    except Exception as error:  # damaged files make Pillow and astropy raise a dozen kinds
        raise MissingCutoutError(f"{file} cannot be read: {type(error).__name__}: {error}") from error


def _read_pixels(file: Path) -> NDArray[np.uint8]:
    # Only the decoders that are needed: whatever its name, the file is not handed to any other.
    with Image.open(file, formats=("JPEG", "PNG")) as image:
        if image.mode not in _CHANNELS or image.width * image.height > MAX_PIXELS:
            raise MissingCutoutError(
                f"{file} has mode {image.mode} and {image.width}×{image.height} pixels; expected 8-bit gray (L) or "
                f"color (RGB) and at most {MAX_PIXELS} pixels"
            )
        return np.array(image).reshape(image.height, image.width, _CHANNELS[image.mode])


def _read_fits(file: Path) -> NDArray[np.float32]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AstropyWarning)  # old keywords, which WCS translates
        with fits.open(file, memmap=False) as hdus:
            hdu = next((hdu for hdu in hdus if hdu.is_image and len(hdu.shape) in (2, 3)), None)
            if hdu is None:
                raise MissingCutoutError(f"{file} holds no image of 2 or 3 dimensions")
            planes = np.asarray(hdu.data, dtype=np.float32).reshape(-1, *hdu.shape[-2:])
            rows, columns = _steps_to_north_up(file, WCS(hdu.header, naxis=2))
    return np.ascontiguousarray(np.moveaxis(planes[:, ::rows, ::columns], 0, -1))


def _steps_to_north_up(file: Path, wcs: WCS) -> tuple[int, int]:
    """Steps (1 or -1) along the file's rows and columns that go south and west."""
    if not wcs.has_celestial:
        return -1, 1
    (east_x, east_y), (north_x, north_y) = wcs.celestial.pixel_scale_matrix
    if abs(east_y) > MAX_TILT * abs(east_x) or abs(north_x) > MAX_TILT * abs(north_y):
        raise MissingCutoutError(
            f"{file} is rotated; expected rows along east and columns along north. Use FitsMosaic"
        )
    return -int(np.sign(north_y)), -int(np.sign(east_x))
