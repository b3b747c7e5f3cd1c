"""Images that are rows of one array: in memory, in a ``.npy`` file or in an HDF5 file."""

from __future__ import annotations

import os
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .._images import release_pages
from ._errors import CutoutError, MissingCutoutError
from ._source import CutoutRequest
from ._stored import StoredImages, crop_to


class ArrayStack(StoredImages):
    """Images that are rows of an array, looked up by ``object_id``.

    Files are read row by row, never whole. Images are taken as they are: row 0 of each must be north, column 0 east,
    and the galaxy in the middle.

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

    Attributes
    ----------
    dtype : numpy dtype
        That of the images.
    n_channels : int
        ``C``, or 1.

    Raises
    ------
    ValueError
        If the images have another number of dimensions, no real dtype, or not one unique name each; or if another
        pixel scale is asked for.

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
    """

    _parameter_constraints = {
        **StoredImages._parameter_constraints,
        "images": ["array-like", str, os.PathLike],
        "ids": ["array-like", str, None],
        "dataset": [str, None],
    }

    def __init__(self, images, *, ids=None, dataset=None, pixel_scale=None):
        self.images = images
        self.ids = ids
        self.dataset = dataset
        self.pixel_scale = pixel_scale

    def __sklearn_clone__(self):
        return type(self)(**self.get_params(deep=False))  # the array is shared: it is only read

    @property
    def dtype(self) -> np.dtype:  # type: ignore[override]
        with self._open() as (images, _):
            return images.dtype.newbyteorder("=")

    @property
    def n_channels(self) -> int:  # type: ignore[override]
        with self._open() as (images, _):
            return int(images.shape[3]) if images.ndim == 4 else 1

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
            If no image has the name, or it cannot be cropped to `npix`.
        """
        (answer,) = self.cutouts([request])
        if isinstance(answer, CutoutError):
            raise answer
        return answer

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
        with self._open() as (images, row_of):
            for request in requests:
                self._check_scale(request)
                try:
                    yield _read(images, row_of, request)
                except CutoutError as error:
                    yield error

    @contextmanager
    def _open(self):
        """The images, of whatever type, and the row of each name."""
        self._validate_params()
        if not isinstance(self.images, str | os.PathLike):
            images = self.images if hasattr(self.images, "dtype") else np.asarray(self.images)
            yield _checked(images), _rows(len(images), self.ids)
        elif Path(self.images).suffix.lower() == ".npy":
            images = _checked(np.load(self.images, mmap_mode="r"))
            yield images, _rows(len(images), self.ids)
        else:
            import h5py

            with h5py.File(self.images) as file:
                images = _checked(file[self.dataset or _only_dataset(file)])
                ids = file[self.ids].asstr()[:] if isinstance(self.ids, str) else self.ids
                yield images, _rows(len(images), ids)


def _checked(images):
    """`images` itself, if it is a stack of them."""
    if images.ndim not in (3, 4) or images.dtype.kind not in "uif" or not len(images):
        raise ValueError(
            f"ArrayStack got an array of shape {images.shape} and dtype {images.dtype}; expected images (n, H, W) or "
            "(n, H, W, C) of real numbers."
        )
    return images


def _only_dataset(file) -> str:
    """Name of the dataset in the HDF5 `file` that can be a stack of images."""
    found: list[str] = []
    file.visititems(lambda name, item: found.append(name) if getattr(item, "ndim", 0) in (3, 4) else None)
    if len(found) != 1:
        raise ValueError(
            f"{file.filename} holds {len(found)} datasets of 3 or 4 dimensions ({', '.join(found) or 'none'}); "
            "expected one. Pass dataset= the name of the images'."
        )
    return found[0]


def _rows(n: int, ids) -> dict[str, int]:
    """Row of each name."""
    names = list(map(str, range(n) if ids is None else np.asarray(ids).ravel().tolist()))
    if len(names) != n:
        raise ValueError(f"ArrayStack has {n} images, but {len(names)} ids; expected one for each.")
    row_of = dict(zip(names, range(n)))
    if len(row_of) < n:
        doubles = [name for name, count in Counter(names).items() if count > 1]
        raise ValueError(
            f"{len(doubles)} ids of ArrayStack occur more than once, such as {doubles[0]!r}; expected unique ones."
        )
    return row_of


def _read(images, row_of: dict[str, int], request: CutoutRequest) -> NDArray:
    if request.object_id not in row_of:
        raise MissingCutoutError(f"none of the {len(row_of)} images is named {request.object_id!r}")
    image = images[row_of[request.object_id]]
    cut = crop_to(request.npix, image if image.ndim == 3 else image[..., None])
    cut = np.array(cut, dtype=cut.dtype.newbyteorder("="))  # a copy: an image lives longer than the pages of its file
    if isinstance(images, np.memmap):
        release_pages(images)
    return cut
