"""Source of images that are rows of an array, with what is known of the camera of each."""

from __future__ import annotations

import os
from collections import Counter
from contextlib import contextmanager
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._camera import PSF_ERROR, SKY_ERROR
from .._cutouts import Cutouts
from .._identifiers import identifiers
from .._images import release_pages
from .._io.hdf5 import opened_hdf5
from .._io.memmap import mapped
from .._masked import without_mask
from ._errors import MissingCutoutError
from ._source import CutoutRequest, attempt, one_by_one
from ._stored import StoredImages, _crop_to

PLANES = ("psf", "noise", "mask", "gain", "zero_point")  # what may be known of the rows


class ArrayStack(StoredImages):
    """Images that are rows of an array, looked up by ``object_id``.

    Files are read row by row, never whole. Images are taken as they are: row 0 of each must be north, column 0 east,
    and the galaxy in the middle.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    images : array-like of shape (n, H, W) or (n, H, W, C), str or path-like
        The images, of any real dtype; or the ``.npy`` or HDF5 file (``.h5``, ``.hdf5``, needs h5py) that holds them.
        An array in memory is pickled with the source; a file is not, and must be there wherever it is used.
    ids : array-like of shape (n,), str or None, default=None
        The name of each image, to which ``object_id`` of the catalog refers; or the dataset of the HDF5 file with
        the names. None: the names are the numbers of the rows, from 0.
    dataset : str or None, default=None
        The images' dataset in the HDF5 file; None if it holds only one of 3 or 4 dimensions.
    pixel_scale : float or None, default=None
        Side of a pixel [arcsec]. None: whatever the fetcher asks for is believed.
    psf : array-like of shape (h, w), (n, h, w) or (n, h, w, C), str, path-like or PSF, default=None
        Point-spread function of all or of each, as in `Cutouts`. Here and below a str is the name of a dataset in the
        same HDF5 file, or the path of an ``.npy`` file.
    noise : float, array-like of shape (n,), (n, C) or of `images`, str or path-like, default=None
        Standard deviation of the noise in a pixel [image units].
    mask : array-like of bool of the shape of `images` or (n, H, W), str or path-like, default=None
        True is bad.
    gain, zero_point : float, array-like of shape (n,), str or path-like, default=None
        Electrons per image unit, and the magnitude of one.
    sky_error : float, default=0.1
        Standard deviation of the error of the sky's level, in units of the noise, as in `Cutouts`.
    psf_error : float, default=0.02
        That of the point-spread function's width, as a share of it.

    Attributes
    ----------
    dtype : numpy dtype
        That of the images; of masked ones, a dtype that has NaN.
    n_channels : int
        ``C``, or 1.
    knows_camera : bool
        Whether it makes `Cutouts`: if any of `psf`, `noise`, `mask`, `gain` and `zero_point` is given.

    Raises
    ------
    ValueError
        If the images have another number of dimensions, no real dtype, or not one unique name each; or if another
        pixel scale is asked for; or if what is known of them has another shape than said above.

    Notes
    -----
    Images that are larger than ``npix`` are cropped to it about their center; an odd number of superfluous pixels
    would move it by half a pixel, so such images count as missing, as do smaller ones.

    Examples
    --------
    >>> import numpy as np
    >>> from galestim.cutouts import ArrayStack, CutoutFetcher
    >>> images = np.arange(3 * 8 * 8, dtype=np.float32).reshape(3, 8, 8)
    >>> stack = ArrayStack(images, ids=["M31", "M32", "M110"], pixel_scale=0.4)
    >>> catalog = {"object_id": ["M110", "M31"], "ra": [10.09, 10.68], "dec": [41.69, 41.27]}
    >>> CutoutFetcher(stack, npix=8).transform(catalog)[:, 0, 0, 0]
    array([128.,   0.], dtype=float32)

    With what is known of the camera; an HDF5 file is the same, ``ArrayStack("field.h5", dataset="images",
    noise="sigma")``:

    >>> stack = ArrayStack(images, ids=["M31", "M32", "M110"], pixel_scale=0.4, noise=[0.1, 0.2, 0.3])
    >>> CutoutFetcher(stack, npix=8).transform(catalog).noise
    array([0.3, 0.1])
    """

    _parameter_constraints = {
        **StoredImages._parameter_constraints,
        "images": ["array-like", str, os.PathLike],
        "ids": ["array-like", str, None],
        "dataset": [str, None],
    }

    images: Any
    ids: Any

    def __init__(
        self,
        images,
        *,
        ids=None,
        dataset=None,
        pixel_scale=None,
        psf=None,
        noise=None,
        mask=None,
        gain=None,
        zero_point=None,
        sky_error=SKY_ERROR,
        psf_error=PSF_ERROR,
    ):
        self.images = images
        self.ids = ids
        self.dataset = dataset
        self.pixel_scale = pixel_scale
        self.psf = psf
        self.noise = noise
        self.mask = mask
        self.gain = gain
        self.zero_point = zero_point
        self.sky_error = sky_error
        self.psf_error = psf_error

    @property
    def knows_camera(self) -> bool:  # type: ignore[override]
        """Whether it makes `Cutouts`."""
        return any(getattr(self, name) is not None for name in PLANES)

    def __sklearn_clone__(self):
        return type(self)(**self.get_params(deep=False))  # the array is shared: it is only read

    @property
    def dtype(self) -> np.dtype:  # type: ignore[override]
        with self._open() as (images, *_):
            return images.dtype.newbyteorder("=")

    @property
    def n_channels(self) -> int:  # type: ignore[override]
        with self._open() as (images, *_):
            return int(images.shape[3]) if images.ndim == 4 else 1

    def cutouts(self, requests, store=None):
        with self._open() as (images, row_of, known):

            def read(request):
                self._check_scale(request)
                image = _read(images, row_of, request)
                return image if not known else self._with_camera(image, row_of[request.object_id], request, known)

            yield from one_by_one(attempt(read, request) for request in requests)

    def _with_camera(self, image: NDArray, row: int, request: CutoutRequest, known: dict[str, Any]) -> Cutouts:
        """An image with what is known of its row."""
        of_row = {name: _of_row(name, value, row, request.npix) for name, value in known.items()}
        errors = {"sky_error": self.sky_error, "psf_error": self.psf_error}
        return Cutouts(image[None], pixel_scale=request.pixel_scale, **of_row, **errors)

    @contextmanager
    def _open(self):
        """The images, of whatever type, the row of each name, and what is known of the rows by name."""
        self._validate_params()
        if not isinstance(self.images, str | os.PathLike):
            images = without_mask(self.images)
            images = images if hasattr(images, "dtype") else np.asarray(images)
            yield _checked(images), _rows(len(images), self.ids), self._known(None, images.shape)
        elif Path(self.images).suffix.lower() == ".npy":
            images = _checked(mapped(self.images))
            yield images, _rows(len(images), self.ids, self.images), self._known(None, images.shape)
        else:
            with opened_hdf5(self.images, () if self.dataset is None else self._datasets()) as file:
                name = _only_dataset(file, self._datasets()) if self.dataset is None else self.dataset
                images = _checked(_dataset(file, name))
                ids = _dataset(file, self.ids)[:] if isinstance(self.ids, str) else self.ids
                yield images, _rows(len(images), ids, self.images), self._known(file, images.shape)

    def _datasets(self) -> tuple[str, ...]:
        """Names of data sets that are read."""
        names = (self.dataset, self.ids, *(getattr(self, name) for name in PLANES))
        return tuple(name for name in names if isinstance(name, str) and not name.endswith(".npy"))

    def _known(self, file, shape: tuple[int, ...]) -> dict[str, Any]:
        given = {name: getattr(self, name) for name in PLANES}
        return {name: _plane(name, value, file, shape) for name, value in given.items() if value is not None}


def _plane(name: str, value, file, shape: tuple[int, ...]):
    """What is known of the rows: an array or data set of a shape that `Cutouts` take, a number, or an object."""
    if isinstance(value, Real) or hasattr(value, "transform"):
        return value
    if isinstance(value, str | os.PathLike) and Path(value).suffix.lower() == ".npy":
        values: Any = mapped(value)
    elif isinstance(value, str) and file is not None:
        values = _dataset(file, value)
    elif isinstance(value, str | os.PathLike):
        raise ValueError(
            f"{name}={str(value)!r}; expected an array, an .npy file, or a dataset in the HDF5 file of the images."
        )
    else:
        values = value if hasattr(value, "dtype") and not hasattr(value, "iloc") else np.asarray(value)
    n_rows, n_channels = shape[0], shape[3:]
    expected = {
        "psf": [values.shape] if values.ndim == 2 else [(n_rows, *values.shape[1:3], *c) for c in ((), n_channels)],
        "noise": [(n_rows,), (n_rows, *n_channels), shape],
        "mask": [shape, shape[:3]],
    }.get(name, [(n_rows,)])
    if values.shape not in [*expected, ()]:
        shapes = " or ".join(map(str, dict.fromkeys(expected)))
        raise ValueError(f"{name} has shape {values.shape}; expected {shapes} for images {shape}.")
    return values[()] if values.ndim == 0 or (name == "psf" and values.ndim == 2) else values


def _of_row(name: str, value, row: int, npix: int):
    """The part of `value` that is of one row, as `Cutouts` of that image take it."""
    if not hasattr(value, "ndim") or value.ndim == 0 or (name == "psf" and value.ndim == 2):
        return value
    of_row = np.array(value[row : row + 1])
    if isinstance(value, np.memmap):
        release_pages(value)
    if name in ("psf", "gain", "zero_point") or value.ndim < 3:
        return of_row
    cropped = _crop_to(npix, of_row[0] if of_row.ndim == 4 else of_row[0, ..., None])[None]
    return cropped[..., 0] if name == "mask" and of_row.ndim == 3 else cropped


def _checked(images):
    """`images` itself, if it is a stack of them."""
    if images.ndim not in (3, 4) or images.dtype.kind not in "uif" or not len(images):
        raise ValueError(
            f"ArrayStack got an array of shape {images.shape} and dtype {images.dtype}; expected images (n, H, W) or "
            "(n, H, W, C) of real numbers."
        )
    return images


def _dataset(file, name: str):
    """The dataset of an HDF5 file."""
    found = file.get(name)
    if not hasattr(found, "ndim"):
        raise ValueError(f"{file.filename} has no dataset {name!r}; it has {', '.join(file) or 'none'}.")
    return found


def _only_dataset(file, others: tuple[str, ...]) -> str:
    """Name of the dataset in the HDF5 `file` that can be a stack of images, and is none of the `others`."""
    found: list[str] = []
    file.visititems(lambda name, item: found.append(name) if getattr(item, "ndim", 0) in (3, 4) else None)
    found = [name for name in found if name not in others]
    if len(found) != 1:
        raise ValueError(
            f"{file.filename} holds {len(found)} datasets of 3 or 4 dimensions ({', '.join(found) or 'none'}); "
            "expected one. Pass dataset= the name of the images'."
        )
    return found[0]


def _rows(n: int, ids, file: object = "ArrayStack") -> dict[str, int]:
    """Row of each name; `file` is what errors call the stack."""
    names = identifiers(range(n) if ids is None else ids.ravel() if isinstance(ids, np.ndarray) else ids, "ids")
    if len(names) != n:
        raise ValueError(f"{file} has {n} images, but {len(names)} ids; expected one for each.")
    row_of = {name: row for row, name in enumerate(names) if name}  # an image without a name is that of no galaxy
    if len(row_of) < n - names.count(""):
        doubles = [name for name, count in Counter(names).items() if count > 1 and name]
        raise ValueError(
            f"{len(doubles)} ids of {file} occur more than once, such as {doubles[0]!r}; expected unique ones."
        )
    return row_of


def _read(images, row_of: dict[str, int], request: CutoutRequest) -> NDArray:
    if request.object_id not in row_of:
        raise MissingCutoutError(f"none of the {len(row_of)} images is named {request.object_id!r}")
    image = images[row_of[request.object_id]]
    cut = _crop_to(request.npix, image if image.ndim == 3 else image[..., None])
    cut = np.array(cut, dtype=cut.dtype.newbyteorder("="))  # a copy: an image lives longer than the pages of its file
    if isinstance(images, np.memmap):
        release_pages(images)
    return cut
