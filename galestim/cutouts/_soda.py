"""Cutouts from any archive that speaks SODA, the IVOA's protocol for them."""

from __future__ import annotations

import copy
import math
import re

import numpy as np
from astropy.wcs import WCS
from numpy.typing import NDArray

from .._tangent import ARCSEC, local_frame, position
from ._decode import MAX_PIXELS, read_fits
from ._errors import BadReplyError, MissingCutoutError, TransientCutoutError
from ._remote import RemoteSource
from ._resample import resample_onto
from ._sky_to_pixel import SkyToPixel
from ._source import CutoutRequest
from ._store import CutoutStore
from .http import Reply, Transport

MARGIN = 4.0  # around what is asked for [arcsec], so that its outermost pixels are interpolated too
_NO_PIXELS = re.compile(
    r"\bno (pixels|intersection|overlap)|not (overlap|intersect)"
    "|outside (of )?(the )?(image|data|footprint|field|survey)",
    re.IGNORECASE,
)


class Soda(RemoteSource):
    """Cutouts from an archive's SODA service (IVOA Server-side Operations for Data Access 1.0), synchronously.

    The service sends pixels of its own images, in their own grid; they are resampled onto that of the cutout, north
    up, so that flux is kept.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    url : str
        Address of the service's ``sync`` resource.
    id : str, list of str, callable or None, default=None
        Identifier of the image to cut from. A list gives a channel for each. A callable is given the
        :class:`CutoutRequest` and returns the identifier, for archives that have an image per field. None sends none.
    transport : Transport or None, default=None
        Limits, retries and headers of the requests; None is :class:`Transport` with its defaults. Archives that need
        a login take ``Transport(headers={"Authorization": "Bearer …"})``.

    Attributes
    ----------
    dtype : float32
    n_channels : int
        Number of identifiers.
    pixel_scale : None
        One must be asked for.

    Notes
    -----
    Values are the flux in a pixel of the cutout, in the units of the archive: if its pixels are larger than the
    archive's, so are they. Pixels that the archive's image does not cover are NaN.

    Services take one ID per request, mostly (section 3.1 of the recommendation leaves it to them), so each channel is
    a request of its own. The circle that is asked for holds the square cutout. No pixels in it are status 204; Rubin
    answers with an error that says so. An image that does not lie in the circle, or whose header makes no sense, is a
    :class:`BadReplyError`, never a missing cutout.

    Examples
    --------
    >>> from galestim.cutouts import CutoutRequest, Soda
    >>> from galestim.testing import GaussianSky, LoopbackSky
    >>> sky = GaussianSky(ra=[150.0], dec=[2.0], flux=[[100.0, 200.0, 300.0]], sigma=[2.0])
    >>> with LoopbackSky(sky) as server:
    ...     source = Soda(server.soda_url, id=["ivo://galestim/loopback?r", "ivo://galestim/loopback?g"])
    ...     image = source.cutout(CutoutRequest(150.0, 2.0, 0.5, 64, "a"))
    >>> image.shape, image.sum(axis=(0, 1)).round()
    ((64, 64, 2), array([200., 100.], dtype=float32))
    """

    expect = (200, 204, 400, 422)

    def __init__(self, url, *, id=None, transport: Transport | None = None):
        self.url = url
        self.id = id
        self.transport = transport

    @property
    def n_channels(self) -> int:  # type: ignore[override]
        """Number of channels of the images."""
        return len(self.id) if isinstance(self.id, list | tuple) else 1

    def cutout(self, request: CutoutRequest, store: CutoutStore | None = None) -> NDArray[np.float32]:
        if not isinstance(self.id, list | tuple):
            return super().cutout(request, store)
        channels = []
        for one in self.id:
            source = copy.copy(self)
            source.id = one
            channels.append(source.cutout(request, store))
        return np.concatenate(channels, axis=-1)

    def query(self, request: CutoutRequest) -> dict:
        circle = {"CIRCLE": f"{request.ra:.9f} {request.dec:.9f} {_radius(request) / 3600:.9f}"}
        if self.id is None:
            return circle
        return {"ID": self.id(request) if callable(self.id) else self.id, **circle}

    def decode(self, reply: Reply, request: CutoutRequest) -> NDArray[np.float32]:
        missing = MissingCutoutError(
            f"the archive has no image {self.id or ''} at ra={request.ra:g}, dec={request.dec:g}".replace("  ", " ")
        )
        if reply.status == 204:
            raise missing
        if reply.status != 200:
            said = reply.body[:200].decode("utf-8", "replace").strip()
            if _NO_PIXELS.search(said):
                raise missing
            raise TransientCutoutError(f"the archive refuses the request: {said!r}. Check id= and url=.")
        values, header = read_fits(reply.body, _check_shape)
        plane = values.reshape(values.shape[-2:])
        try:
            wcs = WCS(header, naxis=2)
            _check_place(plane.shape, SkyToPixel(wcs), request)
            image = resample_onto(plane, wcs, request)
        except BadReplyError:
            raise
        except Exception as error:  # strange headers make astropy raise a dozen kinds
            raise BadReplyError(f"the archive sent an image that cannot be resampled: {error}.") from error
        if not np.isfinite(image).any():
            raise missing
        return image[:, :, None]


def _radius(request: CutoutRequest) -> float:
    """Radius of the circle that is asked for [arcsec], which holds the corners."""
    return request.npix * request.pixel_scale / math.sqrt(2) + MARGIN


def _check_place(shape: tuple[int, ...], to_pixel: SkyToPixel, request: CutoutRequest) -> None:
    """Refuse an image that is no cut of the circle asked for: else it would count as one without pixels there."""
    angle = np.linspace(0, 2 * np.pi, 33)
    east, north = _radius(request) * ARCSEC * np.array([np.r_[0, np.cos(angle)], np.r_[0, np.sin(angle)]])
    basis = local_frame(np.array([request.ra]), np.array([request.dec]))[0]
    places = to_pixel(*position(basis[0][:, None] * east + basis[1][:, None] * north + basis[2][:, None]))
    center, low, high = places[:, 0], places[:, 1:].min(axis=1), places[:, 1:].max(axis=1)
    last = np.array(shape[::-1]) - 1.0
    sound = np.isfinite(places).all() and (high - low > 1).all()
    apart = (high < -0.5).any() or (low > last + 0.5).any()
    # A cut may end where the data do, but does not go on beyond the circle where the position is not in it.
    off_center = (center < -0.5).any() or (center > last + 0.5).any()
    slack = 3 + 0.1 * (high - low)
    beyond = (low - slack > -0.5).any() or (last + 0.5 > high + slack).any()
    if not sound or apart or (off_center and beyond):
        x, y = center
        raise BadReplyError(
            f"the archive sent an image of {shape[1]}×{shape[0]} pixels, in which the position asked for would be at "
            f"x={x:.4g}, y={y:.4g}, and the circle asked for {high[0] - low[0]:.4g}×{high[1] - low[1]:.4g} pixels "
            "large; expected a part of that circle."
        )


def _check_shape(shape: tuple[int, ...]) -> None:
    """An image, whose further axes have one element each."""
    if math.prod(shape) > MAX_PIXELS or math.prod(shape[:-2]) != 1:
        raise BadReplyError(
            f"the archive sent an image of shape {shape}; expected one plane of at most {MAX_PIXELS} pixels."
        )
