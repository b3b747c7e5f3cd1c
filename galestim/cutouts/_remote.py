"""Base class of the sources that ask a service: from the store or by HTTP, many at a time."""

from __future__ import annotations

import copy
import logging
from abc import abstractmethod
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache, partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from .._cutouts import Cutouts
from ._errors import CutoutError, MissingCutoutError
from ._source import CutoutRequest, CutoutSource, attempt, one_by_one
from ._store import request_key
from .http import Company, Reply, Transport, digest, digested, hidden

if TYPE_CHECKING:
    from ._store import CutoutStore

_log = logging.getLogger(__name__)


@cache
def default_transport() -> Transport:
    """Transport of all sources that were given none, so that they share its connections."""
    return Transport()


class Discreet(BaseEstimator):
    """Base of the sources that may have secrets in an address."""

    def get_params(self, deep=True):
        """Parameters; the repr of a text among them, which is what a repr of the source shows, has no secrets in it.

        Parameters
        ----------
        deep : bool, default=True
            Whether to include those of parameters that are estimators.

        Returns
        -------
        dict
        """
        return {name: hidden(name, value) for name, value in super().get_params(deep).items()}


class RemoteSource(Discreet, CutoutSource):
    """Base of sources that ask a service over HTTP, one request per cutout; a subclass makes and decodes them.

    A subclass has the parameters ``url`` and ``transport``, and writes `query` and `decode`. Politeness, retries,
    deadlines, limits (:class:`~galestim.cutouts.Transport`) and what is kept on disk
    (:class:`~galestim.cutouts.CutoutStore`) come from here: only replies that `decode` has accepted are kept, as
    the bytes they were, and which cutouts are missing for good; failures never are.

    .. versionadded:: 0.1.0

    Attributes
    ----------
    expect : tuple of int
        HTTP statuses that go to `decode`; others are retried (429, 5xx) or fail.

    Examples
    --------
    A service of one's own, here one that speaks the protocol of SkyServer, on a simulated sky:

    >>> import numpy as np
    >>> from galestim.cutouts import CutoutRequest, MissingCutoutError, RemoteSource, decode_jpeg
    >>> from galestim.testing import GaussianSky, LoopbackSky
    >>> class MyArchive(RemoteSource):
    ...     dtype, n_channels, expect = np.dtype(np.uint8), 3, (200, 404)
    ...
    ...     def __init__(self, url, *, transport=None):
    ...         self.url = url
    ...         self.transport = transport
    ...
    ...     def query(self, request):
    ...         size = {"width": request.npix, "height": request.npix}
    ...         return {"ra": request.ra, "dec": request.dec, "scale": request.pixel_scale, **size}
    ...
    ...     def decode(self, reply, request):
    ...         if reply.status == 404:
    ...             raise MissingCutoutError("my archive has not observed this position.")
    ...         return decode_jpeg(reply.body, request.npix)
    >>> sky = GaussianSky(ra=[150.0], dec=[2.0], flux=[[100.0, 200.0, 300.0]], sigma=[2.0])
    >>> with LoopbackSky(sky) as server:
    ...     source = MyArchive(server.skyserver_url)
    ...     image = source.cutout(CutoutRequest(150.0, 2.0, 0.4, 64, "a"))
    >>> image.shape, image.dtype
    ((64, 64, 3), dtype('uint8'))
    """

    url: str | None
    transport: Transport | None
    expect: tuple[int, ...] = (200,)

    # --- written by a subclass ------------------------------------------------------------------------------

    @abstractmethod
    def query(self, request: CutoutRequest) -> dict:
        """Parameters of the HTTP request.

        Parameters
        ----------
        request : CutoutRequest

        Returns
        -------
        dict
            Parameters of the URL, after the ``?``.
        """

    @abstractmethod
    def decode(self, reply: Reply, request: CutoutRequest) -> NDArray:
        """Make the image of a reply whose status is in `expect`.

        Parameters
        ----------
        reply : Reply
            Has ``status``, ``content_type``, ``body`` and ``url``. Of a reply from the store only the body is as it
            was.
        request : CutoutRequest
            The request that it answers.

        Returns
        -------
        ndarray of shape (npix, npix, n_channels)
            North up, east left.

        Raises
        ------
        BadReplyError
            If it is not what was asked for; the service is asked again.
        MissingCutoutError
            If it says that there is no such image, now and later.
        """

    def endpoint(self) -> str:
        """Address to which `query` is sent; `url`, unless a subclass has a default."""
        return str(self.url)

    def check(self, request: CutoutRequest) -> None:
        """Refuse what the service cannot give, before anything is sent; by default nothing.

        Parameters
        ----------
        request : CutoutRequest

        Raises
        ------
        MissingCutoutError
            If there can be no such cutout.
        ValueError
            If the source's own parameters are wrong.
        """

    def identity(self, request: CutoutRequest) -> dict:
        """Everything that the bytes of a reply depend on, as the key under which they are kept; no credentials.

        A name, a password or a token in the URL or the query changes the key of what is kept (as a digest) but is not
        written.

        Parameters
        ----------
        request : CutoutRequest

        Returns
        -------
        dict
            Of JSON types.
        """
        url = urlsplit(self.endpoint())
        host = url.netloc.rpartition("@")[2]
        secret = url.netloc.rpartition("@")[0] + url.query
        access = {"access": digest(secret)} if secret else {}
        query = digested(self.query(_canonical(request)))
        return {"source": type(self).__name__, "url": f"{url.scheme}://{host}{url.path}", **access, "query": query}

    # --- inherited by it ------------------------------------------------------------------------------------

    def cutout(self, request: CutoutRequest, store: CutoutStore | None = None) -> NDArray:
        """Make one cutout, from `store` if it is there.

        Parameters
        ----------
        request : CutoutRequest
        store : CutoutStore or None, default=None
            Folder of downloaded bytes.

        Returns
        -------
        ndarray of shape (npix, npix, n_channels)

        Raises
        ------
        MissingCutoutError
            If there is no such image.
        TransientCutoutError
            If it could not be had this time.
        """
        request = _canonical(request)
        self.check(request)
        if store is None:
            return self._download(request)[0]
        identity = self.identity(request)
        key = request_key(identity)
        image = self._stored(store, key, request)
        if image is not None:
            return image
        try:
            image, body = self._download(request)
        except MissingCutoutError as error:
            store.put_missing(key, str(error), identity)
            raise
        store.put(key, body, identity)
        return image

    def cutouts(
        self, requests: Sequence[CutoutRequest], store: CutoutStore | None = None
    ) -> Iterator[NDArray | Cutouts | CutoutError]:
        """Make many at a time, yielded in their order; what fails is yielded as its error, and the others go on.

        An error of another class in one row is taken for a failure of that row. If each of the first rows has one, it
        is raised: a parameter is wrong.

        As many are under way as the transport allows in flight, and twice that many are decoded and waiting, so
        memory stays bounded. The same cutout asked for again is made once, and waits in memory for its last use.

        Parameters
        ----------
        requests : sequence of CutoutRequest
        store : CutoutStore or None, default=None
            Folder of downloaded bytes.

        Yields
        ------
        ndarray of shape (npix, npix, n_channels), or CutoutError

        Raises
        ------
        Exception
            Any that `check`, `query` or `decode` raises in the first rows, and that is no CutoutError.
        """
        yield from one_by_one(self._answers(requests, store))

    def _answers(
        self, requests: Sequence[CutoutRequest], store: CutoutStore | None
    ) -> Iterator[NDArray | Cutouts | Exception]:
        """Results of the requests, in their order."""
        keys = [self._key(row, request) for row, request in enumerate(requests)]
        uses_left = Counter(keys)
        # One more thread than may ask at once, so that decoding does not keep the service waiting.
        n_threads = self._transport().max_in_flight + 1
        company = Company()
        pool = ThreadPoolExecutor(n_threads, thread_name_prefix="galestim-cutouts", initializer=company.join)
        make = partial(self.cutout, store=store)
        made: dict[str, Future] = {}
        submitted = 0
        try:
            for row, key in enumerate(keys):
                while submitted < min(row + 3 * n_threads, len(keys)):
                    if keys[submitted] not in made:
                        made[keys[submitted]] = pool.submit(attempt, make, requests[submitted])
                    submitted += 1
                answer = made[key].result()
                uses_left[key] -= 1
                if not uses_left[key]:
                    del made[key]
                elif not isinstance(answer, Exception):
                    answer = copy.deepcopy(answer)  # who gets it may write on it
                yield answer
        finally:
            # After an interruption nothing more is sent, and what is in flight is cut short.
            pool.shutdown(wait=False, cancel_futures=True)
            company.leave()

    def _key(self, row: int, request: CutoutRequest) -> str:
        """The same for the same cutout; if there is none, `cutout` will say why."""
        try:
            return request_key(self.identity(request))
        except Exception:
            return f"row {row}"

    def _transport(self) -> Transport:
        return default_transport() if self.transport is None else self.transport

    def _stored(self, store: CutoutStore, key: str, request: CutoutRequest) -> NDArray | None:
        """Image that `store` has, if it has one; kept bytes that are no image do not count."""
        body = store.get(key)
        if body is not None:
            try:
                return self.decode(Reply(200, "", body, ""), request)
            except CutoutError as error:
                _log.warning("The kept bytes of %s are no image; asking again: %s", request, error)
                return None
        reason = store.missing(key)
        if reason is not None:
            raise MissingCutoutError(reason)
        return None

    def _download(self, request: CutoutRequest, expect: tuple[int, ...] = ()) -> tuple[NDArray, bytes]:
        """The image and the bytes it was decoded from, which are worth keeping."""
        images = []
        reply = self._transport().get(
            self.endpoint(),
            self.query(request),
            check=lambda reply: images.append(self.decode(reply, request)),
            expect=expect or self.expect,
        )
        return images[-1], reply.body


def _canonical(request: CutoutRequest) -> CutoutRequest:
    """The same request wherever it comes from: plain numbers, the position to 1e-7 deg (0.4 mas), RA in [0, 360)."""
    ra, dec, pixel_scale, npix = request[:4]
    place = round(float(ra) % 360, 7) % 360, round(float(dec), 7)
    return request._replace(ra=place[0], dec=place[1], pixel_scale=float(pixel_scale), npix=int(npix))


def check_limits(
    request: CutoutRequest, service: str, npix: tuple[int, int], pixel_scale: tuple[float, float]
) -> None:
    """Refuse sizes and scales beyond `npix` and `pixel_scale` [arcsec], which `service` would change silently."""
    cure = "Choose another npix or pixel_scale, or leave this galaxy out."
    if not npix[0] <= request.npix <= npix[1]:
        raise MissingCutoutError(f"{service} gives {npix[0]} to {npix[1]} pixels a side, not {request.npix}. {cure}")
    if not pixel_scale[0] <= request.pixel_scale <= pixel_scale[1]:
        raise MissingCutoutError(
            f"{service} gives pixels of {pixel_scale[0]:g}″ to {pixel_scale[1]:g}″, not {request.pixel_scale:g}″. "
            f"{cure}"
        )


def check_choice(name: str, value, choices: tuple[str, ...]) -> None:
    """Refuse a parameter that is none of `choices`."""
    if value not in choices:
        raise ValueError(f"{name}={value!r}; expected {' or '.join(map(repr, choices))}.")
