"""What may go wrong with one request: the reason in words, the cure, and whether to try again."""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime
from http import HTTPStatus

import requests
import urllib3

from .._errors import BadReplyError, TransientCutoutError
from ._body import BrokenBody, excerpt
from ._politeness import Deadline, HostGate
from ._session import Watchdog

_WORTH_RETRYING = {408, 429, *range(500, 600)}


class Failure(Exception):
    """Failure of one attempt: the reason, the cure, whether to try again, and what it says of the service."""

    def __init__(
        self,
        what: str,
        advice: str,
        *,
        again: bool = True,
        refused: bool = False,
        silent: bool = False,
        error: type = TransientCutoutError,
    ):
        super().__init__(what)
        self.what, self.advice, self.again, self.error = what, advice, again and not refused, error
        self.refused = refused  # the service is well, but does not want to
        self.silent = silent  # there was no answer at all
        self.paused = False  # the host has said when to come back, so there is no wait of our own


def refused(response: requests.Response, gate: HostGate) -> Failure:
    """The failure of a status that is not expected; pauses the host if it asks for that."""
    status = response.status_code
    if status == HTTPStatus.OK:  # of a request for a range
        what = "the service does not serve ranges of bytes, but whole files"
        return Failure(what, "Download the file, and give its path.", refused=True)
    what = f"the service answered {status} {response.reason or ''}".rstrip()
    if said := excerpt(response):
        what += f" ({said!r})"
    if status not in _WORTH_RETRYING:
        login = status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
        advice = "give the source transport=Transport(headers=…)" if login else "read what the service says"
        return Failure(what, f"Check what was asked for; {advice}.", refused=True)
    failure = Failure(what, "The service is in trouble or busy; fetch again later.")
    seconds = _retry_after(response)
    if seconds is not None:
        gate.pause(seconds)
        failure.paused = seconds > 0
    return failure


def broken(error: Exception, timeouts: tuple[float, float, float], dog: Watchdog, deadline: Deadline) -> Failure:
    """The failure behind an exception of a library, in words without the URL, which may hold secrets."""
    connect, read, _ = timeouts
    if dog.barked:
        return too_late(deadline)
    cause = _innermost(error)
    reason = getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
    later, advice = "Fetch again later.", "Check the network and the address, or fetch again later."
    if isinstance(error, requests.ConnectTimeout):
        return Failure(f"no connection within {connect:g} s", advice, silent=True)
    if isinstance(error, requests.ReadTimeout | urllib3.exceptions.ReadTimeoutError):
        return Failure(f"nothing came for {read:g} s", "The service is slow; fetch again later.", silent=True)
    if isinstance(error, BrokenBody):
        return Failure(str(error), later, error=BadReplyError)
    if isinstance(error, requests.exceptions.SSLError):
        again = "CERTIFICATE" not in reason
        return Failure(f"no secure connection: {reason}", advice, again=again, silent=True)
    if isinstance(error, requests.RequestException | urllib3.exceptions.HTTPError):
        return Failure(f"connection failed: {reason}", advice, silent=True)
    return Failure(f"the reply cannot be read ({type(cause).__name__}: {reason})", later, error=BadReplyError)


def too_late(deadline: Deadline) -> Failure:
    return Failure(
        f"the reply was not complete after {deadline.total:g} s",
        "The service is slow; fetch again later, or give the source transport=Transport(timeouts=…).",
        again=False,
    )


def _retry_after(response: requests.Response) -> float | None:
    """Seconds that a service wants to be left alone; None if it says nothing of the kind."""
    said = response.headers.get("Retry-After", "").strip()
    if said.isdecimal():
        return float(said)
    try:
        until = parsedate_to_datetime(said).timestamp()
    except (ValueError, OverflowError):
        return None
    try:  # by the clock of the service, which need not be ours
        now = parsedate_to_datetime(response.headers.get("Date", "")).timestamp()
    except (ValueError, OverflowError):
        now = time.time()
    return max(until - now, 0.0)


def _innermost(error: BaseException) -> BaseException:
    """The exception at the bottom of those that libraries have wrapped around it."""
    inside = (getattr(error, "reason", None), *error.args, error.__cause__)
    inner = next((each for each in inside if isinstance(each, BaseException)), None)
    return error if inner is None else _innermost(inner)
