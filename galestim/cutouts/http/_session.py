"""HTTP sessions without cookies and stored passwords, and with a time limit on the whole of a reply."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.cookiejar import DefaultCookiePolicy

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.poolmanager import ProxyManager

from ... import __version__
from ._url import is_loopback

USER_AGENT = f"galestim/{__version__} (python-requests/{requests.__version__})"


def make_session(max_in_flight: int) -> requests.Session:
    """A session that threads may share, as nothing of it changes."""
    session = _Session()
    session.headers.clear()
    session.headers.update({"User-Agent": USER_AGENT, "Accept": "*/*", "Accept-Encoding": "identity"})
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    session.auth = _unchanged  # else ~/.netrc would replace the user's own Authorization
    adapter = _Adapter(pool_maxsize=max_in_flight)  # whose own retries are off
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    return session


def _unchanged(request):
    return request


class _Session(requests.Session):
    """A session that does not look at redirects, nor for this machine at a proxy, where it is another one."""

    def get_redirect_target(self, resp):
        return None  # else it would read their bodies, however large

    def merge_environment_settings(self, url, proxies, stream, verify, cert):
        settings = super().merge_environment_settings(url, proxies, stream, verify, cert)
        return {**settings, "proxies": {}} if is_loopback(url) else settings


# --- time limits: those of a socket start anew with each byte, so a slow reply would never end ------------------


class Watchdog:
    """Shuts the connection of a request down when its time is up; whoever reads from it is woken."""

    def __init__(self) -> None:
        self.barked = False
        self._socket: socket.socket | None = None

    def guard(self, connection: socket.socket | None) -> None:
        """Name the connection, as soon as there is one."""
        self._socket = connection
        if self.barked:
            self._shut_down()

    def bark(self) -> None:
        """Time is up."""
        self.barked = True
        self._shut_down()

    def _shut_down(self) -> None:
        if isinstance(self._socket, socket.socket):
            with suppress(OSError):  # it is closed already
                # Below TLS, whose own shutdown would meddle with the thread that reads.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


_on_duty = threading.local()


class Company:
    """Threads that ask for somebody, whose requests end at once when that one goes."""

    def __init__(self) -> None:
        self.gone = False
        self._dogs: set[Watchdog] = set()

    def join(self) -> None:
        """Count this thread among them."""
        _on_duty.company = self

    def leave(self) -> None:
        """Nobody waits for replies any more."""
        self.gone = True
        for dog in tuple(self._dogs):
            dog.bark()

    @contextmanager
    def guarded(self, dog: Watchdog) -> Iterator[None]:
        """Within, the dog barks if nobody waits."""
        self._dogs.add(dog)
        if self.gone:
            dog.bark()
        try:
            yield
        finally:
            self._dogs.discard(dog)


def nobody_waits() -> bool:
    """True if those whom this thread asks for have gone."""
    return _company().gone


def _company() -> Company:
    return getattr(_on_duty, "company", None) or Company()


@contextmanager
def watchdog(seconds: float) -> Iterator[Watchdog]:
    """Guard the request that this thread sends and reads within."""
    _on_duty.dog = dog = Watchdog()
    timer = threading.Timer(max(seconds, 0), dog.bark)
    timer.daemon = True
    timer.start()
    try:
        with _company().guarded(dog):
            yield dog
    finally:
        timer.cancel()
        _on_duty.dog = None


class _Discreet(logging.Filter):
    """Drops the lines of urllib3 on the requests of this thread: they show whole addresses, and so secrets."""

    def filter(self, record):
        return getattr(_on_duty, "dog", None) is None


for _name in ("connection", "connectionpool", "util.retry"):
    logging.getLogger(f"urllib3.{_name}").addFilter(_Discreet())


class _Guarded:
    """A connection that tells the watchdog of its thread before it waits for a reply."""

    sock: socket.socket | None

    def getresponse(self):
        dog = getattr(_on_duty, "dog", None)
        if dog is not None:
            dog.guard(self.sock)
        return super().getresponse()  # type: ignore[misc]


class _GuardedHTTP(_Guarded, HTTPConnection):
    pass


class _GuardedHTTPS(_Guarded, HTTPSConnection):
    pass


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = _GuardedHTTP


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _GuardedHTTPS


class _Adapter(HTTPAdapter):
    """The adapter of requests, with guarded connections, through proxies too."""

    def init_poolmanager(self, *args, **options):
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}

    def proxy_manager_for(self, *args, **options):
        manager = super().proxy_manager_for(*args, **options)
        if type(manager) is ProxyManager:  # those of SOCKS have connections of their own
            manager.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}
        return manager
