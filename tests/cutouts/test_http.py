"""HTTP that goes wrong: what is fetched is whole, or an error says why."""

import calendar
import gzip
import itertools
import pickle
import re
import socket
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from email.utils import formatdate

import pytest
from sklearn.base import BaseEstimator, clone

from galestim.cutouts._errors import BadReplyError, MissingCutoutError, TransientCutoutError
from galestim.cutouts.http import Reply, Transport

from ._faulty import (
    BODY,
    FaultyServer,
    bomb,
    deaf,
    drip,
    endless,
    half,
    half_gzip,
    nonsense,
    nothing,
    reply,
    reset,
    silent,
)
from ._quick import TOKEN, error_of, quick

HTML = reply(b"<html><h1>We will be back</h1></html>", content_type="text/html; charset=utf-8")

pytestmark = pytest.mark.usefixtures("own_world")


def is_complete_image(reply):
    """What a source does: it decodes, and finds out."""
    if reply.content_type != "image/jpeg":
        raise BadReplyError(f"the reply is {reply.content_type}; expected image/jpeg.")
    if reply.body != BODY:
        raise BadReplyError("the image is truncated.")


def test_reply():
    with FaultyServer(reply(content_type="Image/JPEG; quality=high")) as server:
        got = quick().get(server.url(), {"ra": 150.1, "dec": -2.2})
    assert got == Reply(200, "image/jpeg", BODY, server.url("/cutout?ra=150.1&dec=-2.2"))
    (seen,) = server.log
    assert seen.path == "/cutout?ra=150.1&dec=-2.2"
    assert seen.headers["User-Agent"].startswith("galestim/")
    assert seen.headers["Accept-Encoding"] == "identity"


def test_connections_are_kept():
    with FaultyServer(reply()) as server:
        transport = quick()
        for _ in range(5):
            transport.get(server.url())
    assert len({seen.client for seen in server.log}) == 1


# --- what is worth retrying ---------------------------------------------------------------------------------

MOMENTARY = {
    "500": (reply(b"oops", 500, "text/plain"), r"the service answered 500 Internal Server Error \('oops'\)"),
    "503": (reply(b"", 503), "the service answered 503 Service Unavailable"),
    "408": (reply(b"", 408), "the service answered 408 Request Timeout"),
    "429": (reply(b"", 429), "the service answered 429 Too Many Requests"),
    "half, length": (half("length"), "the reply broke off, before the 1024 bytes announced"),
    "half, chunked": (half("chunked"), "the reply broke off"),
    "half, neither": (half("neither"), "the image is truncated"),
    "half, gzip": (half_gzip, "the reply broke off"),
    "not gzip": (reply(Content_Encoding="gzip"), "the reply broke off"),
    "brotli": (reply(Content_Encoding="br"), "Content-Encoding 'br', which was not asked for"),
    "HTML with 200": (HTML, "the reply is text/html; expected image/jpeg"),
    "another type": (reply(content_type="image/png"), "the reply is image/png; expected image/jpeg"),
    "no type": (reply(content_type=""), "the reply is ; expected image/jpeg"),
    "zero bytes": (reply(b""), "the reply is empty"),
    "not a word": (nothing, "Remote end closed connection without response"),
    "nonsense": (nonsense, "connection failed"),
    "reset": (reset, "the reply broke off"),
    "stall": (silent, "nothing came for 0.3 s"),
}

SHORT = {"stall": {"timeouts": (2, 0.3, 20)}}


@pytest.mark.parametrize("name", MOMENTARY)
def test_passes(name):
    fault, _ = MOMENTARY[name]
    with FaultyServer(fault, fault, reply()) as server:
        assert quick(**SHORT.get(name, {})).get(server.url(), check=is_complete_image).body == BODY
    assert len(server.log) == 3


@pytest.mark.parametrize("name", MOMENTARY)
def test_stays(name):
    fault, said = MOMENTARY[name]
    with FaultyServer(fault) as server:
        transport = quick(**SHORT.get(name, {}))
        message = error_of(transport, server.url(), TransientCutoutError, check=is_complete_image)
    assert re.match(rf"(?s).*{said}.*; tried 3 times in \d\.\d s: {server.url()}\. .*etch again later\.$", message), (
        message
    )
    assert len(server.log) == 3


def test_kind_of_the_last_failure():
    with FaultyServer(half("length")) as server:
        error_of(quick(), server.url(), BadReplyError)


def test_backoff_grows_and_is_random():
    with FaultyServer(reply(b"", 500)) as server:
        error_of(quick(max_retries=4, backoff=0.1), server.url())
    waits = [later.start - earlier.end for earlier, later in itertools.pairwise(server.log)]
    assert all(wait < 0.1 * 2**n + 0.4 for n, wait in enumerate(waits))
    assert len({round(wait, 3) for wait in waits}) > 1


def test_missing_cutout_ends_the_attempts():
    def outside(reply):
        raise MissingCutoutError(f"outside the survey: {reply.status}")

    with FaultyServer(reply(b"grey", 404)) as server:
        assert error_of(quick(), server.url(), MissingCutoutError, check=outside, expect=(200, 404)) == (
            "outside the survey: 404"
        )
    assert len(server.log) == 1


@pytest.mark.parametrize(
    ("status", "advice"), [(400, "read what"), (401, "headers="), (403, "headers="), (404, "read what"), (304, "")]
)
def test_refusals_are_not_retried(status, advice):
    body = f"<p>no\n such layer; you sent {TOKEN}</p>{'x' * 300}".encode()
    with FaultyServer(reply(body, status, "text/html")) as server:
        message = error_of(quick(headers={"Authorization": TOKEN}), server.url())
    assert len(server.log) == 1
    assert f"the service answered {status}" in message
    assert advice in message
    if status != 304:
        assert "('no such layer; you sent *** xxx" in message
        assert len(message) < 500
    assert "tried once in" in message


def test_expected_status_is_a_reply():
    with FaultyServer(reply(b"", 204, ""), reply(b"jpeg", 404)) as server:
        assert quick().get(server.url(), expect=(200, 204)).body == b""
        assert quick().get(server.url(), expect=(200, 404))[:3:2] == (404, b"jpeg")


def test_nobody_there():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        message = error_of(quick(), f"http://127.0.0.1:{unused.getsockname()[1]}/")
    assert "connection failed: Connection refused; tried 3 times" in message


# --- Retry-After --------------------------------------------------------------------------------------------


def seconds_later(seconds):
    return reply(b"", 429, Retry_After=seconds)


def date_later(seconds):
    """As a date, by a clock that is a day behind ours."""

    def fault(handler):
        now = time.time() - 86400
        reply(b"", 503, Date=formatdate(now, usegmt=True), Retry_After=formatdate(now + seconds, usegmt=True))(
            handler
        )

    return fault


@pytest.mark.parametrize("busy", [seconds_later, date_later])
def test_retry_after_pauses_the_host_for_everyone(busy):
    with FaultyServer(busy(1), reply()) as server, ThreadPoolExecutor() as pool:
        first = pool.submit(quick().get, server.url())
        while not server.log:
            time.sleep(0.01)
        time.sleep(0.1)
        second = pool.submit(quick().get, server.url())
        assert first.result().body == second.result().body == BODY
    assert len(server.log) == 3
    assert all(seen.start - server.log[0].start > 0.95 for seen in server.log[1:])


@pytest.mark.parametrize("busy", [seconds_later, date_later])
def test_retry_after_beyond_the_deadline_says_when_to_come_back(busy):
    with FaultyServer(busy(3600), reply()) as server:
        start = time.time()
        message = error_of(quick(), server.url())
        another = error_of(quick(), server.url())
        assert quick().get(server.url(host="localhost")).body == BODY  # another host
        assert time.time() - start < 2
    assert len(server.log) == 2
    host = server.url("")
    assert f"{host} asks to be left alone for 3600 s more, after: the service answered" in message
    assert "tried once" in message
    assert "not sent" in another
    back = re.search(r"Fetch again after (.*) UTC; nothing is lost", another)[1]
    assert 3595 < calendar.timegm(time.strptime(back, "%Y-%m-%d %H:%M:%S")) - start < 3610


@pytest.mark.parametrize("value", ["soon", "-1", "Mon, 99 Foo 2020 99:99:99 GMT", ""])
def test_retry_after_that_makes_no_sense(value):
    with FaultyServer(seconds_later(value), reply()) as server:
        assert quick().get(server.url()).body == BODY


# --- limits on time -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["body", "headers"])
def test_drip_ends_in_time(where):
    with FaultyServer(drip(where)) as server:
        start = time.monotonic()
        message = error_of(quick(timeouts=(1, 0.3, 0.5)), server.url())
        assert 0.45 < time.monotonic() - start < 2
    assert "the reply was not complete after 0.5 s; tried once" in message


@pytest.mark.parametrize("where", ["body", "headers"])
def test_drip_ends_in_time_under_tls(where, tls, monkeypatch):
    context, certificate = tls
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    with FaultyServer(reply(), drip(where), tls=context) as server:
        url = server.url(host="localhost")
        assert quick().get(url).body == BODY
        assert "not complete after 0.5 s; tried once" in error_of(quick(timeouts=(1, 0.3, 0.5)), url)


def test_unknown_certificate_is_not_retried(tls):
    with FaultyServer(reply(), tls=tls[0]) as server:
        message = error_of(quick(), server.url(host="localhost"))
    assert "no secure connection" in message
    assert "tried once" in message
    assert not server.log


@pytest.mark.parametrize("full", [False, True])
def test_stalled_accept(full):
    with deaf(full) as url:
        message = error_of(quick(timeouts=(0.2, 0.2, 5), max_retries=1), url)
    assert ("no connection within 0.2 s" if full else "nothing came for 0.2 s") in message
    assert "tried 2 times" in message


def test_total_time_ends_the_retries():
    with FaultyServer(reply(b"", 500)) as server:
        message = error_of(quick(max_retries=10**6, backoff=0.05, timeouts=(1, 1, 0.5)), server.url())
    between = "no time is left of 0.5 s, after: the service answered 500" in message
    assert between or "the reply was not complete after 0.5 s" in message  # if it runs out while one is awaited
    assert f"tried {len(server.log)} times" in message


# --- limits on memory ---------------------------------------------------------------------------------------


@contextmanager
def traced_memory():
    """What tells the most bytes that were in use since the start."""
    tracemalloc.start()
    try:
        yield lambda: tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_gzip_that_nobody_asked_for():
    with FaultyServer(reply(gzip.compress(BODY), Content_Encoding="gzip")) as server:
        assert quick().get(server.url()).body == BODY


@pytest.mark.parametrize(
    "fault", [bomb(200 * 2**20), endless(), reply(bytes(2**21))], ids=["gzip bomb", "endless", "too large"]
)
def test_memory_is_bounded(fault):
    with FaultyServer(fault) as server, traced_memory() as peak:
        message = error_of(quick(max_bytes=2**20), server.url())
        assert peak() < 4 * 2**20
    assert "the reply is larger than 1048576 bytes; tried once" in message
    assert "max_bytes" in message


@pytest.mark.parametrize("status", [302, 404, 500])
def test_bodies_that_nobody_wants_are_not_read(status):
    with FaultyServer(endless(status, Location="/image"), reply()) as server, traced_memory() as peak:
        if status == 404:
            assert "answered 404" in error_of(quick(), server.url())
        else:
            assert quick().get(server.url()).body == BODY
        assert peak() < 2**20


def test_announced_size_is_enough_to_refuse():
    def huge(handler):
        handler.head(Content_Length=10**12)
        handler.send(b"")
        silent(handler)

    with FaultyServer(huge) as server:
        assert "larger than" in error_of(quick(), server.url())


# --- the transport as a parameter ---------------------------------------------------------------------------


class Source(BaseEstimator):
    def __init__(self, transport=None):
        self.transport = transport


@pytest.mark.parametrize("copy", [lambda it: pickle.loads(pickle.dumps(it)), lambda it: clone(Source(it)).transport])
def test_copies_work_and_are_alike(copy):
    with FaultyServer(reply()) as server:
        transport = quick(headers={"X-Key": "k"})
        transport.get(server.url())  # so that there are connections and locks
        twin = copy(transport)
        assert repr(twin) == repr(transport)
        assert twin.headers == {"X-Key": "k"}
        assert twin.get(server.url()).body == BODY


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"max_in_flight": 0}, "'max_in_flight' parameter of Transport must be an int in the range"),
        ({"requests_per_second": 0}, "'requests_per_second' parameter of Transport must be a float in the range"),
        ({"max_retries": -1}, "'max_retries' parameter"),
        ({"timeouts": (10, 30)}, "expected three positive numbers: connect, read and total"),
        ({"timeouts": (10, 0, 1)}, "expected three positive numbers"),
        ({"headers": "5ecret"}, "headers is of type str; expected a dict"),
        ({"headers": {"X-Key": "5ecret\r\nHost: evil"}}, "headers['X-Key'] is not printable ASCII text"),
        ({"headers": {"X Key": "5ecret"}}, "headers has the name 'X Key'"),
        ({"headers": {"User-Agent": "5ecret"}}, "headers has 'User-Agent', which the transport sets itself"),
    ],
)
def test_wrong_parameters(parameters, said):
    with pytest.raises(ValueError, match=re.escape(said)) as error:
        Transport(**parameters)
    assert "5ecret" not in str(error.value)


@pytest.mark.parametrize(
    "url", ["", "skyserver", "ftp://a/b", "http://", "http://a:b/", "http://me:5ecret@[", "http://a b/"]
)
def test_wrong_url(url):
    with pytest.raises(ValueError, match=r"expected an address such as https://example\.org/cutout") as error:
        Transport().get(url)
    assert "5ecret" not in str(error.value)
