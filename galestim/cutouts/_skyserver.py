"""Color images of the Sloan Digital Sky Survey, from SkyServer."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ._decode import decode_jpeg
from ._errors import MissingCutoutError, TransientCutoutError
from ._remote import RemoteSource, check_limits
from ._source import CutoutRequest
from .http import Reply, Transport

BLACK = 3  # compression lifts black by no more


class SkyServer(RemoteSource):
    """Color JPEGs of SDSS, from SkyServer's image cutout service.

    The channels are the bands i, r and g (as red, green and blue), stretched and clipped for display: they are
    for looking at morphology, never for fluxes. North is up, east left.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    release : str, default="dr19"
        Data release, as SkyServer's addresses spell it. The images are the same since DR8.
    url : str or None, default=None
        Address of a service that speaks the same protocol, up to and including ``getjpeg``; None is SkyServer.
    transport : Transport or None, default=None
        Limits, retries and headers of the requests; None is :class:`Transport` with its defaults.

    Attributes
    ----------
    dtype : uint8
    n_channels : 3
    pixel_scale : 0.396127
        That of the survey [arcsec], used where no other is asked for.
    npix_limits, scale_limits : (64, 2048), (0.015, 2400.0)
        The least and the most pixels along a side, and side of a pixel [arcsec].

    Notes
    -----
    Requests outside 64-2048 pixels and 0.015-2400 arcsec per pixel are refused: the service would answer them with
    another size or scale, without saying so.

    A position outside the survey is missing. At its edge, what is not covered is black, which a JPEG cannot tell
    from dark sky; only a cutout that is all black counts as missing.

    Positions are good to about half a pixel of the survey: in 452 images of Galaxy Zoo 2 galaxies, which the service
    made, the cores lie on average 1.6 of the images' small pixels south and as much west of the center, some 0.2
    arcsec.

    Examples
    --------
    >>> from galestim.cutouts import CutoutRequest, SkyServer
    >>> from galestim.testing import GaussianSky, LoopbackSky
    >>> sky = GaussianSky(ra=[150.0], dec=[2.0], flux=[[100.0, 200.0, 300.0]], sigma=[2.0])
    >>> with LoopbackSky(sky) as server:
    ...     image = SkyServer(url=server.skyserver_url).cutout(CutoutRequest(150.0, 2.0, 0.4, 64, "a"))
    >>> image.shape
    (64, 64, 3)
    """

    dtype = np.dtype(np.uint8)
    n_channels = 3
    pixel_scale = 0.396127
    expect = (200, 404)

    # ImgCutout.cs (github.com/sciserver/SkyServerWS) clamps width, height and scale to these, without saying so.
    npix_limits = 64, 2048
    scale_limits = 0.015, 2400.0

    def __init__(self, *, release="dr19", url=None, transport: Transport | None = None):
        self.release = release
        self.url = url
        self.transport = transport

    def endpoint(self) -> str:
        if self.url is not None:
            return str(self.url)
        return f"https://skyserver.sdss.org/{self.release}/SkyServerWS/ImgCutout/getjpeg"

    def check(self, request: CutoutRequest) -> None:
        check_limits(request, "SkyServer", self.npix_limits, self.scale_limits)

    def query(self, request: CutoutRequest) -> dict:
        size = {"width": request.npix, "height": request.npix}
        return {"ra": request.ra, "dec": request.dec, "scale": request.pixel_scale, **size}

    def decode(self, reply: Reply, request: CutoutRequest) -> NDArray[np.uint8]:
        # A black JPEG, or one with status 404, says that there is no image.
        missing = f"SDSS has no image at ra={request.ra:g}, dec={request.dec:g}: outside its footprint."
        if reply.status == 404:
            # getJpegController.cs: outside the footprint, 404 with a JPEG that says so. Any other 404 is a wrong
            # address, which must not be remembered as a hole in the sky.
            if reply.body.startswith(b"\xff\xd8") and reply.body.endswith(b"\xff\xd9"):
                raise MissingCutoutError(missing)
            raise TransientCutoutError(
                f"there is no image service at {self.endpoint()} (404); expected SkyServer's. Check release= and "
                "url=."
            )
        image = decode_jpeg(reply.body, request.npix)
        if image.max() <= BLACK:  # just outside, the canvas stays empty but the status is 200
            raise MissingCutoutError(missing)
        return image
