"""Images of the DESI Legacy Imaging Surveys, from the cutout service of their sky viewer."""

from __future__ import annotations

import copy
import math
import re
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .._cutouts import Cutouts
from ._decode import decode_image, decode_jpeg, is_uniform, read_fits
from ._errors import BadReplyError, MissingCutoutError, TransientCutoutError
from ._remote import RemoteSource, check_choice, check_limits
from ._source import CutoutRequest
from ._store import CutoutStore
from .http import Reply, Transport

URL = "https://www.legacysurvey.org/viewer"
MAX_NPIX = 3000  # get_cutout of github.com/legacysurvey/imagine clamps larger ones to this, without saying so
BLANK = 32  # the gray in which the viewer draws what no image covers
ZERO_POINT = 22.5  # AB magnitude of a nanomaggy
MAX_STAMP = 255  # pixels a side of a point-spread function; it has 63
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
    camera : bool, default=False
        Whether to fetch the inverse variances and the point-spread function of the coadd, too, and make `Cutouts`. It
        takes two requests for each galaxy, ``format="fits"``, and pixels of `native_pixel_scale`: the service tells
        the variance of these alone. Merge pixels later, by `galestim.Downsampler`. Not yet run against the live
        service.
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
    knows_camera : bool
        `camera`.

    Raises
    ------
    ValueError
        By `cutout`, if the service does not know the layer, or the layer lacks a band; with `camera`, if other pixels
        are asked for, or the layer has no inverse variance.

    Notes
    -----
    A nanomaggy is a flux: magnitude 22.5 in the AB system. Requests for more than 3000 pixels a side are refused: the
    service would send 3000.

    Outside a survey, FITS requests fail as if the service were broken (status 500). A small JPEG of the same place,
    which is then a uniform gray, tells the two apart.

    The noise of `Cutouts` is 1/√ of the inverse variance; where that is 0 a pixel is bad. The viewer interpolates the
    coadd onto the cutout, which lowers the noise by up to a quarter, and correlates it; neither is accounted for. Its
    code sends inverse variances in a second image (``&invvar``), and the point-spread function at ``/coadd-psf/``.

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
        camera=False,
        url=None,
        transport: Transport | None = None,
    ):
        self.layer = layer
        self.bands = bands
        self.format = format
        self.native_pixel_scale = native_pixel_scale
        self.zero_is_missing = zero_is_missing
        self.camera = camera
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

    @property
    def knows_camera(self) -> bool:  # type: ignore[override]
        """Whether it makes `Cutouts`."""
        return bool(self.camera)

    def cutout(self, request: CutoutRequest, store: CutoutStore | None = None) -> Any:  # Cutouts, if camera
        if not self.camera:
            return super().cutout(request, store)
        planes = super().cutout(request, store)
        stamps = CoaddPSF(self.layer, self.bands, url=self.url, transport=self.transport).cutout(request, store)
        images, noise = np.split(planes, 2, axis=-1)
        bad = ~(np.isfinite(images) & np.isfinite(noise))
        return Cutouts(
            images[None],
            noise=np.where(bad, 1, noise)[None],
            mask=bad[None] if bad.any() else None,
            psf=stamps[None],
            pixel_scale=request.pixel_scale,
            zero_point=ZERO_POINT,
        )

    def endpoint(self) -> str:
        return f"{URL if self.url is None else str(self.url).rstrip('/')}/{self.format}-cutout"

    def check(self, request: CutoutRequest) -> None:
        check_choice("format", self.format, ("fits", "jpeg"))
        if self.camera and (
            self.format == "jpeg" or not math.isclose(request.pixel_scale, self.native_pixel_scale, rel_tol=1e-6)
        ):
            raise ValueError(
                f"camera=True with format={self.format!r} and pixels of {request.pixel_scale:g} arcsec; expected "
                f"'fits' and the native {self.native_pixel_scale:g}, of which alone the service tells the variance. "
                "Leave out pixel_scale and pixel_scale_re of the fetcher."
            )
        check_limits(request, "The Legacy Surveys viewer", (1, MAX_NPIX), (0.0, np.inf))

    def query(self, request: CutoutRequest) -> dict:
        place = {"ra": request.ra, "dec": request.dec, "pixscale": request.pixel_scale, "size": request.npix}
        return {**place, "layer": self.layer, "bands": self.bands, **({"invvar": 1} if self.camera else {})}

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
            picture.format, picture.camera = "jpeg", False
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
        image = decode_image(body, request, len(self.bands), lambda header: not _is_weight(header))
        if self.zero_is_missing:
            image[image == 0] = np.nan
        if not np.isfinite(image).any():
            raise self._outside(request)
        # Resampling keeps the surface brightness: values stay those of native pixels, whatever the cutout's are.
        fluxes = image * np.float32((request.pixel_scale / self.native_pixel_scale) ** 2)
        return np.concatenate([fluxes, self._decode_noise(body, request)], axis=-1) if self.camera else fluxes

    def _decode_noise(self, body: bytes, request: CutoutRequest) -> NDArray[np.float32]:
        """Standard deviations; NaN without weight."""
        if b"'INVVAR" not in body:
            raise ValueError(f"The layer {self.layer!r} has no inverse variance; expected camera=False for it.")
        weight = decode_image(body, request, len(self.bands), _is_weight)
        if not (weight >= 0).all():
            raise BadReplyError("the Legacy Surveys viewer sent inverse variances that are negative or NaN.")
        return np.divide(1, np.sqrt(weight), out=np.full_like(weight, np.nan), where=weight > 0)

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


def _is_weight(header) -> bool:
    return str(header.get("IMAGETYP", "")).strip().upper() == "INVVAR"


class CoaddPSF(RemoteSource):
    """Point-spread functions of the coadds at a place, north up: ``(h, w, n_bands)``, each with the sum 1."""

    def __init__(self, layer, bands, *, url=None, transport: Transport | None = None):
        self.layer = layer
        self.bands = bands
        self.url = url
        self.transport = transport

    def endpoint(self) -> str:
        return f"{URL if self.url is None else str(self.url).rstrip('/')}/coadd-psf/"

    def query(self, request: CutoutRequest) -> dict:
        return {"ra": request.ra, "dec": request.dec, "layer": self.layer, "bands": self.bands}

    def decode(self, reply: Reply, request: CutoutRequest) -> NDArray[np.float32]:
        stamps = [self._stamp(reply.body, band) for band in self.bands]
        if len({stamp.shape for stamp in stamps}) > 1:
            raise BadReplyError(
                f"the Legacy Surveys viewer sent stamps of {[stamp.shape for stamp in stamps]} pixels."
            )
        return np.stack(stamps, axis=-1)

    def _stamp(self, body: bytes, band: str) -> NDArray[np.float32]:
        def check(shape: tuple[int, ...]) -> None:
            if len(shape) != 2 or max(shape) > MAX_STAMP:
                raise BadReplyError(f"the Legacy Surveys viewer sent a stamp of shape {shape}; expected some 63×63.")

        stamp, _ = read_fits(body, check, lambda header: str(header.get("BAND", "")).strip() == band)
        total = stamp.sum(dtype=np.float64)
        if not (np.isfinite(total) and total > 0):
            raise BadReplyError(f"the Legacy Surveys viewer sent a point-spread function with the sum {total:.3g}.")
        return (stamp[::-1] / total).astype(np.float32)  # FITS has the south first
