"""Circuit breaker: a service that is down is left alone for a while, instead of being asked for every galaxy."""

from __future__ import annotations

import logging
import os
import threading
import time

from ._politeness import HostClosed

_logger = logging.getLogger(__name__)

REST = 60.0  # [s] that a service which is down is left alone


class Breaker:
    """Watches what comes of the requests to one service, over all threads, and stops them when nothing does.

    It opens once requests have done nothing but fail for a time, several of them: a few bad ones in a row say little.
    It closes after `REST` seconds, or as soon as a request that was under way is answered.
    """

    def __init__(self, service: str):
        self._service = service
        self._lock = threading.Lock()
        self._opened = threading.Event()
        self._failed: set[object] = set()  # requests in a row
        self._since, self._last, self._until = 0.0, 0.0, 0.0
        self._n_requests, self._what = 0, ""

    def wait(self, seconds: float) -> None:
        """Sleep, unless it opens."""
        self._opened.wait(seconds)

    def check(self) -> None:
        """Raise HostClosed while it is open."""
        with self._lock:
            if not self._opened.is_set():
                return
            left = self._until - time.monotonic()
            if left > 0:
                back = time.strftime("%H:%M:%S UTC", time.gmtime(time.time() + left + 1))
                raise HostClosed(
                    self._what, f"Check the network and the address; the service is asked again from {back}."
                )
            self._forget()

    def answered(self) -> None:
        """Note an answer that is as it should be, or a refusal: the service is there."""
        with self._lock:
            self._forget()

    def failed(self, request: object, what: str, *, patience: float, n_requests: int) -> None:
        """Note a failure of `request`; it opens if those without an answer are `n_requests` in `patience` seconds."""
        with self._lock:
            if self._opened.is_set():
                return
            now = time.monotonic()
            if now - self._last > 6 * patience:  # long ago, of another run
                self._forget()
            if not self._failed:
                self._since = now
            self._last = now
            self._failed.add(request)
            self._n_requests = max(self._n_requests, n_requests)
            seconds = now - self._since
            if seconds < patience or len(self._failed) < self._n_requests:
                return
            self._what = (
                f"{self._service} seems to be down: {len(self._failed)} requests have failed in {seconds:.3g} s and "
                f"none has been answered, at last: {what}"
            )
            _logger.warning(
                "%s. For %.0f s nothing more is asked of it: the other cutouts fail at once.", self._what, REST
            )
            self._until = now + REST
            self._opened.set()

    def _forget(self) -> None:
        self._failed, self._n_requests = set(), 0
        self._opened.clear()


_breakers: dict[tuple[int, str], Breaker] = {}


def breaker_of(service: str) -> Breaker:
    """That of a service, the same for all transports of this process; a fork has its own."""
    return _breakers.setdefault((os.getpid(), service), Breaker(service))
