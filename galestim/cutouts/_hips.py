"""Cutouts of any survey that is published as a HiPS, from the hips2fits service of CDS."""

from __future__ import annotations

import json
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ._decode import decode_fits, decode_jpeg, is_uniform, not_an_image
from ._errors import MissingCutoutError
from ._remote import RemoteSource, check_choice, check_limits
from ._source import CutoutRequest
from .http import Reply, Transport

URL = "https://alasky.cds.unistra.fr/hips-image-services/hips2fits"
NPIX_LIMITS = 1, 7071  # the service makes images of at most 50 million pixels


class Hips2Fits(RemoteSource):
    """Cutouts of any HiPS (hierarchical progressive survey), made by hips2fits of CDS.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    hips : str
        Identifier of the survey, such as ``"CDS/P/PanSTARRS/DR1/g"``;
        https://aladin.cds.unistra.fr/hips/list lists them.
    format : {"fits", "jpg"}, default="fits"
        ``"fits"`` gives one channel of float32 in the survey's own units; ``"jpg"`` gives a picture of uint8, three
        channels, stretched for display.
    projection : str, default="TAN"
        FITS code of the projection; all agree at the center.
    native_pixel_scale : float or None, default=None
        Side [arcsec] of the pixels that the survey's values belong to. None leaves the values as they are: a surface
        brightness, per pixel of the survey. With it they become flux per pixel of the cutout, whatever its scale.
    url : str or None, default=None
        Address of a service that speaks the same protocol; None is that of CDS.
    transport : Transport or None, default=None
        Limits, retries and headers of the requests; None is :class:`Transport` with its defaults.

    Attributes
    ----------
    dtype : float32 or uint8
    n_channels : 1 or 3
    pixel_scale : None
        One must be asked for.

    Notes
    -----
    HiPS tiles interpolate the survey's images, so fluxes are approximate: good to a few percent, not to photometry.
    Where the survey has no tiles, FITS images are NaN.

    Given a center and a field of view, the service puts the center half a pixel off (CRPIX = W/2), so the request
    spells out the whole world coordinate system, with CRPIX = (W + 1)/2.

    Examples
    --------
    >>> from galestim.cutouts import CutoutRequest, Hips2Fits
    >>> from galestim.testing import GaussianSky, LoopbackSky
    >>> sky = GaussianSky(ra=[150.0], dec=[2.0], flux=[[100.0, 200.0, 300.0]], sigma=[2.0])
    >>> with LoopbackSky(sky) as server:
    ...     source = Hips2Fits("galestim/P/loopback/r", url=server.hips2fits_url)
    ...     image = source.cutout(CutoutRequest(150.0, 2.0, 0.5, 64, "a"))
    >>> image.shape, image.dtype
    ((64, 64, 1), dtype('float32'))
    """

    expect = (200, 400, 404)

    def __init__(
        self,
        hips,
        *,
        format: Literal["fits", "jpg"] = "fits",
        projection="TAN",
        native_pixel_scale: float | None = None,
        url=None,
        transport: Transport | None = None,
    ):
        self.hips = hips
        self.format = format
        self.projection = projection
        self.native_pixel_scale = native_pixel_scale
        self.url = url
        self.transport = transport

    @property
    def dtype(self) -> np.dtype:  # type: ignore[override]
        """Data type of the images."""
        return np.dtype(np.float32 if self.format == "fits" else np.uint8)

    @property
    def n_channels(self) -> int:  # type: ignore[override]
        """Number of channels of the images."""
        return 1 if self.format == "fits" else 3

    def endpoint(self) -> str:
        return URL if self.url is None else str(self.url)

    def check(self, request: CutoutRequest) -> None:
        check_choice("format", self.format, ("fits", "jpg"))
        check_limits(request, "hips2fits", NPIX_LIMITS, (0.0, np.inf))

    def query(self, request: CutoutRequest) -> dict:
        return {"hips": self.hips, "format": self.format, "wcs": json.dumps(self.wcs(request))}

    def wcs(self, request: CutoutRequest) -> dict:
        """The request as a FITS world coordinate system, with the size that hips2fits reads from it.

        Parameters
        ----------
        request : CutoutRequest

        Returns
        -------
        dict
            Cards of a FITS header.
        """
        center = (request.npix + 1) / 2  # FITS counts pixels from 1
        step = request.pixel_scale / 3600
        return {
            "NAXIS1": request.npix,
            "NAXIS2": request.npix,
            "WCSAXES": 2,
            "CRPIX1": center,
            "CRPIX2": center,
            "CDELT1": -step,
            "CDELT2": step,
            "CUNIT1": "deg",
            "CUNIT2": "deg",
            "CTYPE1": f"RA---{self.projection}",
            "CTYPE2": f"DEC--{self.projection}",
            "CRVAL1": request.ra,
            "CRVAL2": request.dec,
            "LONPOLE": 180.0,  # north up at the pole, too, where the default is 0
            "RADESYS": "ICRS",
        }

    def decode(self, reply: Reply, request: CutoutRequest) -> NDArray:
        # NaN or one color throughout says that the survey has nothing there.
        if reply.status != 200:
            raise self._refusal(reply)
        image: NDArray
        if self.format == "jpg":
            image = decode_jpeg(reply.body, request.npix)
            empty = is_uniform(image)
        else:
            image = decode_fits(reply.body, request)
            empty = not np.isfinite(image).any()
            if self.native_pixel_scale is not None:
                image *= np.float32((request.pixel_scale / self.native_pixel_scale) ** 2)
        if empty:
            raise MissingCutoutError(
                f"the HiPS {self.hips} has no image at ra={request.ra:g}, dec={request.dec:g}: outside its footprint."
            )
        return image

    def _refusal(self, reply: Reply) -> Exception:
        """Error with the title and, mostly, the description that the service gives as JSON."""
        try:
            said = json.loads(reply.body)
            why = ": ".join(str(said[key]) for key in ("title", "description") if key in said)
        except (ValueError, TypeError, RecursionError):
            return not_an_image(reply.body, "FITS or JPEG", None)
        return ValueError(
            f"hips2fits refuses hips={self.hips!r}, projection={self.projection!r}: {why.rstrip('.')}. Expected the "
            "identifier of a HiPS, see https://aladin.cds.unistra.fr/hips/list, and a FITS projection."
        )
