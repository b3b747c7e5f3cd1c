"""Images of the DESI Legacy Imaging Surveys, from the cutout service of their sky viewer."""

from __future__ import annotations

import copy
import re
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ._decode import decode_fits, decode_jpeg, is_uniform
from ._errors import MissingCutoutError, TransientCutoutError
from ._remote import RemoteSource, check_choice, check_limits
from ._source import CutoutRequest
from .http import Reply, Transport

URL = "https://www.legacysurvey.org/viewer"
MAX_NPIX = 3000  # get_cutout of github.com/legacysurvey/imagine clamps larger ones to this, without saying so
BLANK = 32  # the gray in which the viewer draws what no image covers
PROBE_NPIX = 32  # of the JPEG that tells 'outside' from 'broken'


class _ServerError(TransientCutoutError):
    """Status 500."""


class LegacySurvey(RemoteSource):
    """Cutouts of the DESI Legacy Imaging Surveys and of the other layers of their sky viewer.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    layer : str, default="ls-dr10"
        The viewer's name of the survey: ``"ls-dr10"``, ``"ls-dr9"``, ``"ls-dr10-model"``, ``"sdss"`` and more.
    bands : str, default="grz"
        One letter per band, in the order of the channels.
    format : {"fits", "jpeg"}, default="fits"
        ``"fits"`` gives a channel of float32 per band, in nanomaggies per pixel of the cutout; ``"jpeg"`` gives a
        picture of uint8, three channels, stretched for display.
    native_pixel_scale : float, default=0.262
        Side of the layer's own pixels [arcsec]: the service gives nanomaggies per such a pixel, whatever the scale
        of the cutout.
    zero_is_missing : bool, default=True
        Whether FITS pixels that are exactly 0 become NaN. The service writes 0 where nothing was observed, and noise
        is never exactly 0. False is for layers that may be, such as models.
    url : str or None, default=None
        Address of a viewer that speaks the same protocol, up to what comes before ``/fits-cutout``; None is that of
        the Legacy Surveys.
    transport : Transport or None, default=None
        Limits, retries and headers of the requests; None is :class:`Transport` with its defaults.

    Attributes
    ----------
    dtype : float32 or uint8
    n_channels : int
        Number of bands; 3 for JPEGs.
    pixel_scale : float
        `native_pixel_scale`, used where no other is asked for.

    Raises
    ------
    ValueError
        By `cutout`, if the service does not know the layer, or the layer lacks a band.

    Notes
    -----
    A nanomaggy is a flux: magnitude 22.5 in the AB system. Requests for more than 3000 pixels a side are refused: the
    service would send 3000.

    Outside a survey, FITS requests fail as if the service were broken (status 500). A small JPEG of the same place,
    which is then a uniform gray, tells the two apart.

    Examples
    --------
    >>> from galestim.cutouts import CutoutRequest, LegacySurvey
    >>> from galestim.testing import GaussianSky, LoopbackSky
    >>> sky = GaussianSky([150.0], [2.0], [[100.0, 200.0, 300.0]], [2.0], bands=("g", "r", "z"), background=0.1)
    >>> with LoopbackSky(sky) as server:
    ...     source = LegacySurvey(bands="zg", url=server.legacy_url)
    ...     image = source.cutout(CutoutRequest(150.0, 2.0, 0.5, 64, "a"))
    >>> (image - 0.1 * 0.5**2).sum(axis=(0, 1)).round()
    array([300., 100.], dtype=float32)
    """

    def __init__(
        self,
        *,
        layer="ls-dr10",
        bands="grz",
        format: Literal["fits", "jpeg"] = "fits",
        native_pixel_scale=0.262,
        zero_is_missing=True,
        url=None,
        transport: Transport | None = None,
    ):
        self.layer = layer
        self.bands = bands
        self.format = format
        self.native_pixel_scale = native_pixel_scale
        self.zero_is_missing = zero_is_missing
        self.url = url
        self.transport = transport

    @property
    def dtype(self) -> np.dtype:  # type: ignore[override]
        """Data type of the images."""
        return np.dtype(np.float32 if self.format == "fits" else np.uint8)

    @property
    def n_channels(self) -> int:  # type: ignore[override]
        """Number of channels of the images."""
        return len(self.bands) if self.format == "fits" else 3

    @property
    def pixel_scale(self) -> float:  # type: ignore[override]
        """Side of a pixel if the user asks for none [arcsec]."""
        return self.native_pixel_scale

    def endpoint(self) -> str:
        return f"{URL if self.url is None else str(self.url).rstrip('/')}/{self.format}-cutout"

    def check(self, request: CutoutRequest) -> None:
        check_choice("format", self.format, ("fits", "jpeg"))
        check_limits(request, "The Legacy Surveys viewer", (1, MAX_NPIX), (0.0, np.inf))

    def query(self, request: CutoutRequest) -> dict:
        place = {"ra": request.ra, "dec": request.dec, "pixscale": request.pixel_scale, "size": request.npix}
        return {**place, "layer": self.layer, "bands": self.bands}

    def identity(self, request: CutoutRequest) -> dict:
        # Also what decides whether a cutout counts as missing.
        return {**super().identity(request), "zero_is_missing": self.zero_is_missing}

    def decode(self, reply: Reply, request: CutoutRequest) -> NDArray:
        if reply.body[:100].strip() == b"no such layer":  # with status 200, see needs_layer in views.py
            raise ValueError(
                f"The Legacy Surveys viewer has no layer={self.layer!r}; expected one of those that its address bar "
                "shows, such as 'ls-dr10' or 'ls-dr9'."
            )
        if reply.status == 500:
            raise _ServerError(f"the Legacy Surveys viewer has failed (500) at {reply.url}; fetch again later.")
        return (self._decode_jpeg if self.format == "jpeg" else self._decode_fits)(reply.body, request)

    def _download(self, request: CutoutRequest, expect: tuple[int, ...] = ()) -> tuple[NDArray, bytes]:
        """Check by a JPEG whether the survey covers the place, before status 500 counts as a fault."""
        if self.format == "jpeg":
            return super()._download(request)
        try:
            return super()._download(request, (200, 500))
        except _ServerError:
            picture = copy.copy(self)
            picture.format = "jpeg"
            # At the layer's own scale, where noise keeps covered sky from looking uniform.
            picture._download(request._replace(npix=PROBE_NPIX, pixel_scale=self.native_pixel_scale))
            return super()._download(request)

    def _decode_jpeg(self, body: bytes, request: CutoutRequest) -> NDArray[np.uint8]:
        image = decode_jpeg(body, request.npix)
        if is_uniform(image) and abs(int(image[0, 0, 0]) - BLANK) <= 2:
            raise self._outside(request)
        return image

    def _decode_fits(self, body: bytes, request: CutoutRequest) -> NDArray[np.float32]:
        self._check_bands(body)
        image = decode_fits(body, request, len(self.bands))
        if self.zero_is_missing:
            image[image == 0] = np.nan
        if not np.isfinite(image).any():
            raise self._outside(request)
        # Resampling keeps the surface brightness: values stay those of native pixels, whatever the cutout's are.
        return image * np.float32((request.pixel_scale / self.native_pixel_scale) ** 2)

    def _check_bands(self, body: bytes) -> None:
        """Refuse other bands than those asked for: the viewer sends all of the layer's if it lacks one of them."""
        sent = re.search(rb"BANDS   = '(\w+)", body[:28800])
        if sent is not None and sent[1].decode() != self.bands:
            raise ValueError(
                f"The layer {self.layer!r} has the bands {sent[1].decode()!r}; expected bands= some of them, one "
                f"letter each, not {self.bands!r}."
            )

    def _outside(self, request: CutoutRequest) -> MissingCutoutError:
        return MissingCutoutError(
            f"the layer {self.layer} has no image at ra={request.ra:g}, dec={request.dec:g}: outside its footprint."
        )
