"""HTTP transport with retries: a reply that is whole and in time, or an error that says why."""

from __future__ import annotations

import inspect
import logging
import os
import random
from collections.abc import Callable, Collection, Mapping
from numbers import Integral, Real
from typing import Any

import requests

from ..._sklearn import Interval, validate_parameter_constraints
from .._errors import BadReplyError, MissingCutoutError, TransientCutoutError
from ._breaker import Breaker, breaker_of
from ._failure import Failure, broken, refused, too_late
from ._politeness import Deadline, HostClosed, HostGate
from ._reply import Reply, Wanted, read_reply
from ._secrets import Secrets, shown
from ._session import make_session, nobody_waits, watchdog
from ._url import check_headers, full_url, host_of, redirected, without_login

_logger = logging.getLogger(__name__)

_LONGEST_BACKOFF = 30.0  # [s]
_SILENT = 3  # requests without an answer of any kind, after which a service is down
_REDIRECTS = {301, 302, 303, 307, 308}
_jitter = random.SystemRandom()  # not the generator that a user has seeded


class Transport:
    """Download by HTTP: politely, with retries, and with limits on time and memory.

    Failures that may pass (no connection, half a reply, status 408, 429 or 5xx) are tried again after a random
    wait that doubles in the mean; ``Retry-After`` pauses the whole host. A reply is whole, or an error says
    what happened, how often it was tried and what to do.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    requests_per_second : float, default=10.0
        At most so many requests start per second at one host, evenly spaced.
    max_in_flight : int, default=4
        At most so many are under way at one host at a time.
    timeouts : (float, float, float), default=(10, 30, 120)
        Seconds to connect; without a byte; and for everything that one `get` does, waits and retries included, save
        for queueing behind your own requests.
    max_retries : int, default=5
        Number of further attempts.
    backoff : float, default=1.0
        Longest wait before the first retry [s]; the n-th waits between 0 and ``backoff * 2**(n - 1)``, at most 30.
    max_bytes : int, default=64 * 2**20
        Largest body, as sent and decompressed.
    max_redirects : int, default=3
        Number of redirects to follow in a row; never from https to http.
    headers : dict of str or None, default=None
        Headers such as ``Authorization``. They are secrets: sent to the host of the URL only, not where it redirects
        to, and not shown in errors, logs or the repr, even if the service repeats them. They are pickled with the
        transport.

    Raises
    ------
    ValueError
        If a parameter has a value or a type that makes no sense.

    Notes
    -----
    A host is scheme, name and port. Its requests are counted over all threads and processes of a user on this
    machine, by locked files in ``$GALESTIM_RUNTIME_DIR``, by default ``/tmp/galestim-<uid>``; on systems without
    `fcntl` (Windows) over the threads of one process. The pause that a host asks for is kept there too, for up to a
    day.

    A service that is down is left alone. It is taken to be so when requests have done nothing but fail for a sixth of
    the total time (20 s by default): three that got no answer of any kind, or ``2 * max_in_flight + 2`` if there were
    answers, such as status 503 or a page in place of an image. That is logged as a warning at once, and for a minute
    every other `get` of this process from that host fails without being sent. Statuses such as 404 are answers.

    Proxies and certificates are taken from the environment, as `requests` does, save that this machine itself
    (``localhost``, ``127.0.0.1``) is never asked through a proxy. Cookies and ``~/.netrc`` are not used.

    Examples
    --------
    >>> from galestim.cutouts import Transport
    >>> Transport(requests_per_second=2, headers={"Authorization": "Bearer 1234"})
    Transport(requests_per_second=2, headers={'Authorization': '***'})

    Nobody listens at port 9 of this machine:

    >>> Transport(max_retries=2, backoff=0.01).get("http://127.0.0.1:9/cutout", {"ra": 150.1})
    Traceback (most recent call last):
    ...
    galestim.cutouts._errors.TransientCutoutError: connection failed: Connection refused; tried 3 times in ... s:
    http://127.0.0.1:9/cutout?ra=150.1. Check the network and the address, or fetch again later.
    """

    _open: _Connections | None

    def __init__(
        self,
        *,
        requests_per_second=10.0,
        max_in_flight=4,
        timeouts=(10, 30, 120),
        max_retries=5,
        backoff=1.0,
        max_bytes=64 * 2**20,
        max_redirects=3,
        headers=None,
    ):
        self.requests_per_second = requests_per_second
        self.max_in_flight = max_in_flight
        self.timeouts = timeouts
        self.max_retries = max_retries
        self.backoff = backoff
        self.max_bytes = max_bytes
        self.max_redirects = max_redirects
        self.headers = headers
        _validate(self)
        self._open = None

    def __repr__(self) -> str:
        given = {
            name: value
            for name, value in _parameters(self).items()
            if value != inspect.signature(Transport).parameters[name].default
        }
        if self.headers:
            given["headers"] = dict.fromkeys(self.headers, "***")
        return f"Transport({', '.join(f'{name}={value!r}' for name, value in given.items())})"

    def __getstate__(self) -> dict[str, Any]:
        return _parameters(self)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._open = None

    def get(
        self,
        url: str,
        params: Mapping | None = None,
        *,
        check: Callable[[Reply], object] | None = None,
        expect: Collection[int] = (200,),
        byte_range: tuple[int, int] | None = None,
    ) -> Reply:
        """Download from a URL.

        Parameters
        ----------
        url : str
            Starts with ``http://`` or ``https://``. A name and password in it are sent as the header
            ``Authorization``.
        params : dict or None, default=None
            Parameters to add to the URL, after the ``?``. Values of names such as ``token``, ``password`` are masked
            in errors and logs.
        check : callable or None, default=None
            Called with the reply; raises `BadReplyError` if it is not what was asked for, so that it is tried again,
            or any other exception, which ends the attempts.
        expect : collection of int, default=(200,)
            HTTP statuses that are a reply. Others are errors, worth retrying or not.
        byte_range : (int, int) or None, default=None
            First byte to ask for, and the one after the last; such a reply has the status 206. None is all.

        Returns
        -------
        Reply

        Raises
        ------
        TransientCutoutError
            If no reply came within the time and number of attempts, or the service is down; BadReplyError, one kind
            of it, if the last was cut short or not what `check` wants.
        ValueError
            If `url` is not one.
        """
        url = full_url(url, params)
        secrets = Secrets(url, self.headers)
        try:
            return self._patiently(url, secrets, check, Wanted(expect, byte_range))
        except Exception as error:
            secrets.mask_in(error)
            raise

    def _patiently(self, url: str, secrets: Secrets, check: Callable | None, wanted: Wanted) -> Reply:
        """Try until there is a reply that is right."""
        url, login = without_login(url)
        headers = {**(self.headers or {}), **login}
        deadline = Deadline(self.timeouts[2])
        breaker = breaker_of(host_of(url))
        failure: Failure | None = None
        for tries in range(self.max_retries + 1):
            try:
                if failure is not None:
                    self._back_off(tries, failure, deadline, breaker)
                breaker.check()
                reply = _checked(self._follow(url, headers, wanted, deadline), check)
                breaker.answered()
                return reply
            except HostClosed as closed:
                what = f"{closed.what}, after: {failure.what}" if failure else closed.what
                kind = failure.error if failure else TransientCutoutError
                raise _error(kind, what, closed.advice, url, tries, deadline) from None
            except MissingCutoutError:
                breaker.answered()
                raise
            except Failure as error:
                failure = error
            if nobody_waits():
                raise _error(failure.error, "interrupted", "Fetch again.", url, tries + 1, deadline) from None
            failure.what = secrets.mask(failure.what)
            self._note(failure, breaker, deadline)
            if not failure.again:
                break
            _logger.info("Attempt %d at %s: %s.", tries + 1, shown(url), failure.what)
        assert failure is not None
        raise _error(failure.error, failure.what, failure.advice, url, tries + 1, deadline) from None

    def _note(self, failure: Failure, breaker: Breaker, deadline: Deadline) -> None:
        """Tell the breaker; a service that answers, if badly, is given more chances than one that is silent."""
        if failure.refused:
            breaker.answered()
            return
        n_requests = _SILENT if failure.silent else 2 * (self.max_in_flight + 1)
        breaker.failed(deadline, failure.what, patience=self.timeouts[2] / 6, n_requests=n_requests)

    def _back_off(self, tries: int, failure: Failure, deadline: Deadline, breaker: Breaker) -> None:
        """Wait before another attempt, a random time so that many clients do not come back at once."""
        if failure.paused:
            return
        seconds = _jitter.uniform(0, min(self.backoff * 2 ** (tries - 1), _LONGEST_BACKOFF))
        if seconds >= deadline.remaining():
            raise HostClosed(f"no time is left of {deadline.total:g} s", failure.advice)
        breaker.wait(seconds)

    def _follow(self, url: str, headers: dict, wanted: Wanted, deadline: Deadline) -> Reply:
        """Ask, and ask where the answer points to."""
        for _ in range(self.max_redirects + 1):
            answer = self._ask(url, headers, wanted, deadline)
            if isinstance(answer, Reply):
                return answer
            if host_of(answer) != host_of(url):
                headers = {}  # from here on, even if it leads back
            url = answer
        raise Failure(
            f"redirected more than {self.max_redirects} times, at last to {shown(url)}",
            "Give the address that the service has now as url=.",
            refused=True,
        )

    def _ask(self, url: str, headers: dict, wanted: Wanted, deadline: Deadline) -> Reply | str:
        """Send one request; its reply, or the URL it redirects to."""
        session, gate = self._connections().to(host_of(url))
        with gate.turn(deadline), watchdog(deadline.remaining()) as dog:
            try:
                with self._send(session, url, headers | wanted.headers, deadline) as response:
                    if response.status_code in wanted.statuses:
                        answer: Reply | str = read_reply(response, wanted, self.max_bytes)
                    elif response.status_code in _REDIRECTS and "Location" in response.headers:
                        answer = _target(url, response)
                    else:
                        raise refused(response, gate)
            except Failure:
                raise
            except Exception as error:  # strange replies make http.client raise other kinds than those of requests
                raise broken(error, self.timeouts, dog, deadline) from None
            if dog.barked:  # a shut connection may look like the end of a reply
                raise too_late(deadline)
            return answer

    def _send(self, session: requests.Session, url: str, headers: dict, deadline: Deadline) -> requests.Response:
        connect, read, _ = self.timeouts
        timeout = (max(min(connect, deadline.remaining()), 1e-3), read)
        return session.get(url, headers=headers, timeout=timeout, stream=True, allow_redirects=False)

    def _connections(self) -> _Connections:
        # Those of a parent stay with it: a forked process would read the parent's replies from them.
        if self._open is None or self._open.pid != os.getpid():
            self._open = _Connections(self)
        return self._open


class _Connections:
    """Session of a transport in one process, and its gate to each host."""

    def __init__(self, transport: Transport):
        self.pid = os.getpid()
        self._rate = transport.requests_per_second, transport.max_in_flight
        self._session = make_session(transport.max_in_flight)
        self._gates: dict[str, HostGate] = {}

    def to(self, host: str) -> tuple[requests.Session, HostGate]:
        if host not in self._gates:
            self._gates.setdefault(host, HostGate(host, *self._rate))
        return self._session, self._gates[host]


def _parameters(transport: Transport) -> dict[str, Any]:
    return {name: getattr(transport, name) for name in inspect.signature(Transport).parameters}


def _validate(transport: Transport) -> None:
    count, seconds = [Interval(Integral, 0, None, closed="left")], [Interval(Real, 0, None, closed="left")]
    constraints = {
        "requests_per_second": [Interval(Real, 0, None, closed="neither")],
        "max_in_flight": [Interval(Integral, 1, None, closed="left")],
        "timeouts": ["array-like"],
        "max_retries": count,
        "backoff": seconds,
        "max_bytes": [Interval(Integral, 1, None, closed="left")],
        "max_redirects": count,
        "headers": "no_validation",
    }
    validate_parameter_constraints(constraints, _parameters(transport), caller_name="Transport")
    timeouts = transport.timeouts
    if len(timeouts) != 3 or not all(isinstance(each, Real) and 0 < float(each) < float("inf") for each in timeouts):
        raise ValueError(f"timeouts={timeouts!r}; expected three positive numbers: connect, read and total [s].")
    check_headers(transport.headers)


def _checked(reply: Reply, check: Callable[[Reply], object] | None) -> Reply:
    """`reply`, if it is what `check` wants."""
    try:
        if check is not None:
            check(reply)
    except BadReplyError as error:
        raise Failure(str(error).rstrip("."), "Fetch again later.", error=BadReplyError) from None
    return reply


def _error(kind: type, what: str, advice: str, url: str, tries: int, deadline: Deadline) -> Exception:
    often = {0: "not sent", 1: "tried once"}.get(tries, f"tried {tries} times")
    return kind(f"{what}; {often} in {deadline.elapsed():.1f} s: {shown(url)}. {advice}")


def _target(url: str, response: requests.Response) -> str:
    """URL that a redirect leads to, if it may be followed."""
    try:
        return redirected(url, response.headers["Location"])
    except ValueError as error:
        raise Failure(
            str(error), "Give the address that the service has now as url=, if you trust it.", refused=True
        ) from None
