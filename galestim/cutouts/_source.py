"""What every source of cutouts has in common: a request goes in, an image comes out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ._errors import CutoutError


class CutoutRequest(NamedTuple):
    """One galaxy's cutout, as a `CutoutSource` is asked for it.

    Parameters
    ----------
    ra, dec : float
        Position of the cutout's center, ICRS [deg].
    pixel_scale : float
        Side of a pixel [arcsec].
    npix : int
        Pixels along each side.
    object_id : str
        Name of the galaxy; the row's number where the catalog has no names.
    """

    ra: float
    dec: float
    pixel_scale: float
    npix: int
    object_id: str


class CutoutSource(ABC):
    """Base of everything that `CutoutFetcher` can fetch from; a subclass writes `cutout`.

    Attributes
    ----------
    dtype : numpy dtype
        That of the images.
    n_channels : int
        Their number of channels.
    pixel_scale : float or None
        Side of a pixel [arcsec] where the user asks for none; None if the source has no scale of its own.
    """

    dtype: np.dtype = np.dtype(np.float32)
    n_channels: int = 1
    pixel_scale: float | None = None

    @abstractmethod
    def cutout(self, request: CutoutRequest) -> NDArray:
        """Make one cutout.

        Parameters
        ----------
        request : CutoutRequest

        Returns
        -------
        ndarray of shape (npix, npix, n_channels)
            North up, east left: row 0 is the northernmost, column 0 the easternmost, and the position asked for is
            at ``((npix - 1) / 2, (npix - 1) / 2)``. Pixels that are not covered are NaN (where the dtype has one).

        Raises
        ------
        MissingCutoutError
            If there is no such image.
        TransientCutoutError
            If it could not be had this time.
        """

    def cutouts(self, requests: Sequence[CutoutRequest], store=None) -> Iterator[NDArray | CutoutError]:
        """Make many, in their order; what fails is yielded as its error, and the others go on.

        Parameters
        ----------
        requests : sequence of CutoutRequest
        store : CutoutStore or None, default=None
            Where remote sources keep what they downloaded.

        Yields
        ------
        ndarray of shape (npix, npix, n_channels), or CutoutError
        """
        for request in requests:
            try:
                yield self.cutout(request)
            except CutoutError as error:
                yield error
