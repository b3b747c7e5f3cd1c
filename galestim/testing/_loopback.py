"""HTTP server on this machine that serves an analytic sky through the protocols of four survey services."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from ._legacy_viewer import legacy, legacy_psf
from ._services import Answer, hips2fits, skyserver
from ._sky import GaussianSky
from ._soda import rubin, soda

LOGGER = logging.getLogger(__name__)


@dataclass
class LoopbackRequest:
    """Record of one request to a `LoopbackSky`, in its ``log``.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    path : str
        Path, without the query.
    query : dict of str to list of str
        Parameters, decoded.
    headers : dict of str to str
        Header fields; the names are as they were sent.
    start : float
        When it was read, by `time.monotonic` [s].
    end : float or None, default=None
        When the last byte of the answer was sent; None until then.
    status : int or None, default=None
        Status of the answer.

    Examples
    --------
    >>> import requests
    >>> from galestim.testing import GaussianSky, LoopbackSky
    >>> with LoopbackSky(GaussianSky([150.0], [2.0], [100.0], sigma=3.0)) as server:
    ...     reply = requests.get(server.legacy_url + "/fits-cutout", {"ra": 150, "dec": 2, "size": 16})
    >>> request = server.log[0]
    >>> request.path, request.query["size"], request.status
    ('/viewer/fits-cutout', ['16'], 200)
    """

    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    start: float
    end: float | None = None
    status: int | None = None

    @property
    def user_agent(self) -> str | None:
        """The field User-Agent, or None."""
        return next((value for name, value in self.headers.items() if name.lower() == "user-agent"), None)


class LoopbackSky:
    """Serve a sky on 127.0.0.1 through the protocols of SkyServer, Legacy Surveys, hips2fits and SODA.

    Use it to try cutouts without a network, and to test code against services that fail.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    sky : GaussianSky
        Sky that is served. Its fluxes are nanomaggies to all services.

    Attributes
    ----------
    skyserver_url : str
        ``…/dr19/SkyServerWS/ImgCutout/getjpeg``; any data release answers.
    legacy_url : str
        ``…/viewer``, with ``/fits-cutout``, ``/jpeg-cutout`` and ``/coadd-psf/`` below; layers ls-dr10, ls-dr9 and
        sdss.
    hips2fits_url : str
        ``…/hips-image-services/hips2fits``; the HiPS are ``galestim/P/loopback/<band>`` and ``…/color``.
    soda_url, rubin_url : str
        SODA's ``sync``, as the standard has it and as Rubin does it: a redirect to the image, and an error where
        there are no pixels. The IDs are ``ivo://galestim/loopback?<band>``.
    log : list of LoopbackRequest
        Every request, in the order they were read.
    max_in_flight : int
        The largest number of requests that were being answered at one time.

    See Also
    --------
    GaussianSky : The sky.

    Notes
    -----
    Pixels hold the surface brightness at their centers times an area, so they are accurate for sources wider than a
    pixel. Which area is a convention of each service:

    - Legacy Surveys: that of a *native* pixel (0.262 arcsec on a side, 0.396 in layer sdss), whatever is asked for.
    - hips2fits: that of the HiPS' original pixels, here 1 arcsec on a side, whatever scale is asked for.
    - SODA: that of the mosaic's pixels, 0.25 arcsec on a side, as the header says.

    Quirks of the services, which this server has too:

    - SkyServer clamps ``width`` and ``height`` to 64–2048 and ``scale`` to 0.015–2400 arcsec, without a word. Outside
      the footprint it answers 404 with a JPEG; within half a frame (8.4 arcmin) of it, 200 and black. Numbers that it
      cannot read are a 400 with JSON.
    - Legacy Surveys send inverse variances in a second image if ``invvar`` is asked for: here of a noise of 0.01
      nanomaggies, which the pixels do not have. ``coadd-psf`` sends a stamp for each band, here a Gaussian with a
      FWHM of 1.3 arcsec, whatever the sky was made with.
    - Legacy Surveys clamp ``size`` to 3000. An unknown layer is 200 and the text "no such layer"; a band that the
      layer lacks gives all its bands; planes are in the order asked for. Outside: a gray (32) JPEG with 200, and a
      500 for FITS. Uncovered pixels are 0.
    - hips2fits puts the position at CRPIX = W/2, half a pixel off the center, unless it is given a ``wcs``; errors
      are JSON with ``title`` and ``description``; what is not covered is NaN.
    - SODA's replies have a grid of their own, here rotated by 20°, cut to the bounding box of the region and of the
      data; 204 without a body where there are no pixels; errors are text that begins with their kind.

    JPEGs have quality 75 and 4:2:0 chroma, as SkyServer's. Red, green and blue are the last three bands asked for,
    from red to blue (i, r, g by default), stretched as SDSS does (Lupton et al. 2004, PASP 116, 133): in nanomaggies
    per SDSS pixel (0.396 arcsec) they are multiplied by 4.9, 5.7 and 7.8; with I their sum, each is multiplied by
    asinh(3 I) / (3 I); and all three are divided by the largest where that is above 1.

    Not imitated are overlays (SkyServer's ``opt`` and ``query``), Legacy's ``subimage`` and ``maskbits``, color maps
    (hips2fits' ``cmap``) and SODA's BAND, TIME and POL. SkyServer projects orthographically; here it is gnomonic,
    which differs by 1e-5 arcsec an arcminute from the center.

    Examples
    --------
    >>> import requests
    >>> from galestim.testing import GaussianSky, LoopbackSky
    >>> with LoopbackSky(GaussianSky([150.0], [2.0], [100.0], sigma=3.0)) as server:
    ...     reply = requests.get(server.skyserver_url, {"ra": 150, "dec": 2, "scale": 0.4, "width": 32, "height": 32})
    >>> reply.status_code, reply.headers["Content-Type"]
    (200, 'image/jpeg')
    >>> server.log[0].query["width"], server.log[0].status
    (['32'], 200)

    Faults are scripted by a subclass. The handler is that of `http.server`; it answers with `reply`:

    >>> class Busy(LoopbackSky):
    ...     def intercept(self, handler):
    ...         if len(self.log) > 1:
    ...             return False
    ...         handler.reply(503, "text/plain", b"later", {"Retry-After": "1"})
    ...         return True
    >>> with Busy(GaussianSky([150.0], [2.0], [100.0], sigma=3.0)) as server:
    ...     [requests.get(server.skyserver_url, {"ra": 150, "dec": 2}).status_code for _ in range(2)]
    [503, 200]
    """

    def __init__(self, sky: GaussianSky):
        self.sky = sky
        self.log: list[LoopbackRequest] = []
        self.max_in_flight = 0
        self.closing = threading.Event()
        self._in_flight = 0
        self._lock = threading.Lock()
        self._server: _Server | None = None

    def start(self) -> LoopbackSky:
        """Listen, on a port that is free; `with` does it too.

        Returns
        -------
        LoopbackSky
            The server.
        """
        if self._server is None:
            self.closing.clear()
            self._server = _Server(self)
            threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def close(self) -> None:
        """Stop listening and end all connections."""
        server, self._server = self._server, None
        if server is not None:
            self.closing.set()
            server.shutdown()
            server.server_close()
            server.end_connections()

    def __enter__(self) -> LoopbackSky:
        return self.start()

    def __exit__(self, *error) -> None:
        self.close()

    def intercept(self, handler: _Handler) -> bool:
        """Answer a request in some other way than the services would; the hook for scripted faults.

        Parameters
        ----------
        handler : http.server.BaseHTTPRequestHandler
            The request: `path`, `headers`, `record` (its `LoopbackRequest`), `wfile` and `connection` to write to,
            and ``reply(status, content_type, body, headers=None)``. After writing anything that does not say where it
            ends, set its ``close_connection = True``. Wait, if at all, on ``closing``, an event that `close` sets.

        Returns
        -------
        bool
            Whether it was answered. The services answer what was not.
        """
        return False

    @property
    def url(self) -> str:
        """Scheme, host and port."""
        if self._server is None:
            raise RuntimeError("the server is not running; use `with LoopbackSky(sky) as server:` or server.start()")
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def skyserver_url(self) -> str:
        """Address for `SkyServer`."""
        return f"{self.url}/dr19/SkyServerWS/ImgCutout/getjpeg"

    @property
    def legacy_url(self) -> str:
        """Address for `LegacySurvey`."""
        return f"{self.url}/viewer"

    @property
    def hips2fits_url(self) -> str:
        """Address for `Hips2Fits`."""
        return f"{self.url}/hips-image-services/hips2fits"

    @property
    def soda_url(self) -> str:
        """Address for `Soda`, as the standard has it."""
        return f"{self.url}/soda/sync"

    @property
    def rubin_url(self) -> str:
        """Address for `Soda`, as Rubin does it."""
        return f"{self.url}/api/cutout/sync"

    def answer(self, path: str, query: dict[str, list[str]]) -> Answer:
        """Answer as the service at `path` would.

        Parameters
        ----------
        path : str
            Path of the request, without its query.
        query : dict of str to list of str
            Decoded parameters.

        Returns
        -------
        Answer
            Named tuple of status, content_type, body, headers and reason.
        """
        name, single = path.rstrip("/").lower(), {key: values[-1] for key, values in query.items()}
        if name.endswith("/skyserverws/imgcutout/getjpeg"):
            return skyserver(self.sky, {key.lower(): value for key, value in single.items()})
        if name in ("/viewer/fits-cutout", "/viewer/cutout.fits"):
            return legacy(self.sky, single, as_fits=True)
        if name in ("/viewer/jpeg-cutout", "/viewer/cutout.jpg"):
            return legacy(self.sky, single, as_fits=False)
        if name == "/viewer/coadd-psf":
            return legacy_psf(self.sky, single)
        if name == "/hips-image-services/hips2fits":
            return hips2fits(self.sky, single)
        if name == "/api/cutout/sync":
            return rubin(self.sky, query, f"{self.url}/api/cutout/result")
        if name in ("/soda/sync", "/api/cutout/result"):
            return soda(self.sky, query)
        return Answer(404, "text/html", b"<html><body><h1>Not Found</h1></body></html>")

    def _begin(self, record: LoopbackRequest) -> None:
        with self._lock:
            self.log.append(record)
            self._in_flight += 1
            self.max_in_flight = max(self.max_in_flight, self._in_flight)

    def _finish(self, record: LoopbackRequest) -> None:
        with self._lock:
            if record.end is None:
                record.end = time.monotonic()
                self._in_flight -= 1


# --- HTTP ---------------------------------------------------------------------------------------------------


class _Server(ThreadingHTTPServer):
    """Keeps count of its connections, so that it can end them."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, owner: LoopbackSky):
        self.owner = owner
        self._connections: set[socket.socket] = set()
        self._idle = threading.Condition()
        super().__init__(("127.0.0.1", 0), _Handler)

    def process_request(self, request, client_address):
        with self._idle:
            self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request):
        super().shutdown_request(request)
        with self._idle:
            self._connections.discard(request)
            self._idle.notify_all()

    def handle_error(self, request, client_address):
        LOGGER.debug("connection from %s failed", client_address, exc_info=True)

    def end_connections(self, patience: float = 5.0) -> None:
        """Wake the threads that wait for a next request, and wait for them."""
        with self._idle:
            for connection in self._connections:
                with contextlib.suppress(OSError):  # its client was faster
                    connection.shutdown(socket.SHUT_RDWR)
            self._idle.wait_for(lambda: not self._connections, timeout=patience)


class _Handler(BaseHTTPRequestHandler):
    """One connection; answers any number of GET requests."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # the last byte is sent by itself
    server: _Server
    record: LoopbackRequest

    def do_GET(self) -> None:
        owner, parts = self.server.owner, urlsplit(self.path)
        query = parse_qs(parts.query, keep_blank_values=True)
        self.record = LoopbackRequest(parts.path, query, dict(self.headers.items()), time.monotonic())
        owner._begin(self.record)
        try:
            if not owner.intercept(self):
                self.reply(*self._answer(parts.path, query))
        finally:
            owner._finish(self.record)

    def _answer(self, path: str, query: dict[str, list[str]]) -> Answer:
        try:
            return self.server.owner.answer(path, query)
        except Exception as error:
            LOGGER.exception("%s?%s", path, query)
            return Answer(500, "text/plain", f"{type(error).__name__}: {error}".encode())

    def reply(
        self, status: int, content_type: str, body: bytes, headers: dict[str, str] | None = None, reason=None
    ) -> None:
        """Send a whole answer."""
        self.send_response(status, reason)
        if status != 204:
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        # Until its last byte the request is in flight, and not a moment longer: then its client may send the next.
        if body:
            self.end_headers()
            self.wfile.write(body[:-1])
            self.server.owner._finish(self.record)
            self.wfile.write(body[-1:])
        else:
            self.server.owner._finish(self.record)
            self.end_headers()

    def send_response(self, code: int, message: str | None = None) -> None:
        self.record.status = int(code)
        super().send_response(code, message)

    def log_message(self, format: str, *args) -> None:
        LOGGER.debug(format, *args)
