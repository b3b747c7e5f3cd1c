"""Requests for cutouts, and the base class of the sources that answer them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import astropy.units as u
import numpy as np
from numpy.typing import NDArray

from .._cutouts import Cutouts
from .._identifiers import identifiers
from .._masked import without_mask
from ..catalogs import Catalog
from ._errors import CutoutError, TransientCutoutError

RADII = "half_light_semimajor_axis", "half_light_radius"  # columns that set pixel scales, the best first


ALIKE = 3  # rows that fail strangely before there was an image: then it is not the row


class CutoutRequest(NamedTuple):
    """One galaxy's cutout, as a `CutoutSource` is asked for it.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    ra, dec : float
        Position of the cutout's center, ICRS [deg]; NaN if the catalog has none and images are looked up by name.
    pixel_scale : float
        Side of a pixel [arcsec].
    npix : int
        Pixels along each side.
    object_id : str
        Name of the galaxy; the row's number where the catalog has no names.
    columns : mapping of str to float, default={}
        What the catalog says of the galaxy in the columns that the source asks for, in the units that it wants.
    """

    ra: float
    dec: float
    pixel_scale: float
    npix: int
    object_id: str
    columns: Mapping[str, float] = {}


class CutoutSource(ABC):
    """Base of everything that `CutoutFetcher` can fetch from; a subclass writes `cutout`.

    .. versionadded:: 0.1.0

    Attributes
    ----------
    dtype : numpy dtype
        That of the images.
    n_channels : int
        Their number of channels.
    pixel_scale : float or None
        Side of a pixel [arcsec] where the user asks for none; None if the source has no scale of its own.
    knows_camera : bool
        Whether it makes `Cutouts`, with what it knows of the camera, and not arrays; by default False.
    waits : bool
        Whether its images are waited for, as those of a service, and not made by this processor; by default True.
        Workers of `predict_catalog` fetch ahead then.
    columns : mapping of str to astropy Unit
        Columns of the catalog that a request is to hold, and in which unit; by default none.
    """

    dtype: np.dtype = np.dtype(np.float32)
    n_channels: int = 1
    pixel_scale: float | None = None
    knows_camera: bool = False
    waits: bool = True
    columns: Mapping[str, u.UnitBase] = {}

    @abstractmethod
    def cutout(self, request: CutoutRequest) -> NDArray | Cutouts:
        """Make one cutout.

        Parameters
        ----------
        request : CutoutRequest

        Returns
        -------
        ndarray of shape (npix, npix, n_channels), or Cutouts of one image
            North up, east left: row 0 is the northernmost, column 0 the easternmost, and the position asked for is
            at ``((npix - 1) / 2, (npix - 1) / 2)``. Pixels that are not covered are NaN (where the dtype has one).
            `Cutouts` of shape ``(1, npix, npix, n_channels)`` if `knows_camera`; all know the same, and stamps of
            point-spread functions are of one size.

        Raises
        ------
        MissingCutoutError
            If there is no such image.
        TransientCutoutError
            If it could not be had this time.
        """

    def cutouts(self, requests: Sequence[CutoutRequest], store=None) -> Iterator[NDArray | Cutouts | CutoutError]:
        """Make many, in their order; what fails is yielded as its error, and the others go on.

        Parameters
        ----------
        requests : sequence of CutoutRequest
        store : CutoutStore or None, default=None
            Folder in which remote sources keep downloaded bytes.

        Yields
        ------
        ndarray of shape (npix, npix, n_channels), Cutouts of one image, or CutoutError
        """
        yield from one_by_one(attempt(self.cutout, request) for request in requests)


class ManyAtOnce(CutoutSource):
    """Base of the sources that write `cutouts` in place of `cutout`."""

    def cutout(self, request):
        (answer,) = self.cutouts([request])
        if isinstance(answer, CutoutError):
            raise answer
        return answer


def attempt(make: Callable[[CutoutRequest], NDArray | Cutouts], request: CutoutRequest):
    """The image that `make` gives for `request`, or the error that it raises."""
    try:
        return make(request)
    except Exception as error:
        return error


def one_by_one(answers: Iterable[NDArray | Cutouts | Exception]) -> Iterator[NDArray | Cutouts | CutoutError]:
    """Make failed cutouts of errors of any class; raise the first if it is not of one row, but of all.

    It is taken for that, such as a parameter that the source refuses, if it comes again and again and no image does.
    """
    held: list[CutoutError] = []  # back, until there is an image
    first, n_strange, any_image = None, 0, False
    for answer in answers:
        if not isinstance(answer, Exception):
            any_image = True
        elif not isinstance(answer, CutoutError):
            first, n_strange = answer if first is None else first, n_strange + 1
            if n_strange == ALIKE and not any_image:
                raise first
        if isinstance(answer, Exception):
            held.append(_of_row(answer))
        if any_image or first is None:
            yield from held
            held.clear()
        if not isinstance(answer, Exception):
            yield answer
    if first is not None and held:
        raise first


def _of_row(error: Exception) -> CutoutError:
    if isinstance(error, CutoutError):
        return error
    failure = TransientCutoutError(f"{type(error).__name__}: {error}")
    failure.__cause__ = error
    return failure


def make_requests(
    catalog: Catalog, source: CutoutSource, *, npix: int, pixel_scale: float | None, pixel_scale_re: float | None
) -> list[CutoutRequest]:
    """One request per row; its pixel scale is not positive where the half-light radius is not."""
    if not len(catalog):
        raise ValueError("Found array with 0 sample(s): the catalog has no rows; expected at least one galaxy.")
    nowhere = np.full(len(catalog), np.nan) * u.deg
    ra, dec = (catalog.columns.get(name, nowhere).to_value(u.deg).tolist() for name in ("ra", "dec"))
    if pixel_scale_re is None:
        scales = [_common_scale(source, pixel_scale)] * len(catalog)
    elif pixel_scale is not None:
        raise ValueError(f"pixel_scale={pixel_scale!r} and pixel_scale_re={pixel_scale_re!r}; expected one of them.")
    else:
        scales = _scales_in_radii(catalog, pixel_scale_re)
    columns = _columns(catalog, source)
    return [
        CutoutRequest(*place, int(npix), *rest)
        for place, rest in zip(zip(ra, dec, scales), zip(_names(catalog, source), columns))
    ]


def _columns(catalog: Catalog, source: CutoutSource) -> list[dict[str, float]]:
    """What each request is to hold of its row; NaN where it is masked."""
    values = {}
    for name, unit in source.columns.items():
        if name not in catalog.colnames:
            raise ValueError(
                f"{type(source).__name__} needs the column {name!r}, but the catalog has the columns "
                f"{', '.join(catalog.colnames)}."
            )
        values[name] = _numbers(name, catalog[name], unit)
    return [dict(zip(values, row)) for row in zip(*values.values())] if values else [{} for _ in range(len(catalog))]


def _numbers(name: str, column, unit: u.UnitBase) -> list[float]:
    own = getattr(column, "unit", None)
    try:
        numbers = np.asarray(getattr(without_mask(column), "value", without_mask(column)), dtype=np.float64)
        return (numbers if own is None else (numbers * u.Unit(own)).to_value(unit)).tolist()
    except (TypeError, ValueError, u.UnitsError) as error:
        raise ValueError(f"the column {name!r} cannot be read: {error}. Expected numbers [{unit}].") from error


def _common_scale(source: CutoutSource, pixel_scale: float | None) -> float:
    scale = source.pixel_scale if pixel_scale is None else pixel_scale
    if scale is None:
        raise ValueError(
            f"{type(source).__name__} has no pixel scale of its own; pass pixel_scale= [arcsec] or pixel_scale_re= "
            "[half-light radii]."
        )
    return float(scale)


def _scales_in_radii(catalog: Catalog, pixel_scale_re: float) -> list[float]:
    column = next((name for name in RADII if name in catalog.colnames), None)
    if column is None:
        raise ValueError(
            f"pixel_scale_re={pixel_scale_re!r} needs half-light radii, but the catalog has the columns "
            f"{', '.join(catalog.colnames)}. Name the right one: Catalog(data, half_light_semimajor_axis=...), or "
            "Catalog(data, half_light_radius=...) if it is circularized."
        )
    return (pixel_scale_re * u.Quantity(catalog[column], u.arcsec, subok=True).value).tolist()


def _names(catalog: Catalog, source: CutoutSource) -> list[str]:
    if "object_id" in catalog.colnames:
        return identifiers(catalog["object_id"])
    if getattr(source, "looks_up_names", False):  # a row's number changes when the catalog is split
        raise ValueError(
            f"{type(source).__name__} looks images up by object_id, but the catalog has the columns "
            f"{', '.join(catalog.colnames)}. Name the right one: Catalog(data, object_id=...)."
        )
    return list(map(str, range(len(catalog))))
