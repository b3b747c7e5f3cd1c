"""Bodies that are not whole, or no HTTP at all, are failures of their own row and of no other."""

import gzip
import io

import numpy as np
import pytest
from PIL import Image

from galestim.cutouts import (
    BadReplyError,
    CutoutFetcher,
    CutoutFetchError,
    SkyServer,
    TransientCutoutError,
    Transport,
)

from ._faulty import BODY, FaultyServer, raw, reply

pytestmark = pytest.mark.usefixtures("own_world")


def quick(**options):
    return Transport(
        **{"requests_per_second": 1000, "backoff": 0.01, "max_retries": 1, "timeouts": (2, 2, 20), **options}
    )


def picture():
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(file, "JPEG")
    return file.getvalue()


OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
ODD = {
    "negative chunk": CHUNKED + b"-7\r\nabcdefg\r\n0\r\n\r\n",
    "chunk of another base": CHUNKED + b"0x-1\r\na\r\n0\r\n\r\n",
    "huge chunk": CHUNKED + b"f" * 30 + b"\r\na\r\n",
    "no chunk size": CHUNKED + b"\xff\xfe\r\na\r\n",
    "no last chunk": CHUNKED + b"3\r\nabc\r\n",
    "chunk size without end": CHUNKED + b"1" * 70000,
    "negative length": OK + b"Content-Length: -5\r\n\r\nabc",
    "two lengths": OK + b"Content-Length: 3\r\nContent-Length: 9\r\n\r\nabc",
    "length in words": OK + b"Content-Length: three\r\n\r\nabc",
    "too many headers": OK + b"A: b\r\n" * 500 + b"\r\nabc",
    "endless header": OK + b"A: " + b"b" * 70000 + b"\r\n\r\nabc",
    "status of letters": b"HTTP/1.1 abc OK\r\n\r\nabc",
    "huge status": b"HTTP/1.1 99999 OK\r\n\r\nabc",
    "another version": b"HTTP/9.9 200 OK\r\n\r\nabc",
    "header that is no text": OK + b"\xff\xfe\r\n: \r\n\r\nabc",
    "location that is none": b"HTTP/1.1 302 Found\r\nLocation: http://[::1\r\n\r\n",
}


@pytest.mark.parametrize("name", ODD)
def test_an_odd_reply_is_a_failure_of_its_row(name):
    good = reply(picture())
    with FaultyServer(good, raw(ODD[name]), good) as server:
        source = SkyServer(url=server.url(), transport=quick(max_retries=0, max_in_flight=1))
        rows = {"ra": np.linspace(10, 20, 6), "dec": np.linspace(0, 1, 6)}
        fetcher = CutoutFetcher(source, npix=64, cache=None)
        with pytest.raises(CutoutFetchError, match="1 of 6 cutouts could not be had: 1 failed"):
            fetcher.transform(rows)
    assert sorted(fetcher.report_["status"]) == ["failed"] + ["ok"] * 5


class Odd(SkyServer):
    """A source that fails by itself where `fails` says so."""

    def __init__(self, url=None, transport=None, fails=None, error=None):
        super().__init__(url=url, transport=transport)
        self.fails, self.error = fails, error

    def decode(self, reply, request):
        if self.fails(request):
            raise self.error
        return super().decode(reply, request)


@pytest.mark.parametrize(
    "error",
    [KeyError("exposure"), ValueError("a bad band"), MemoryError(), RecursionError("deep"), OSError(5, "disk")],
)
def test_an_error_of_any_class_is_that_of_its_row(error):
    with FaultyServer(reply(picture())) as server:
        source = Odd(server.url(), quick(), lambda request: request.ra < 11, error)
        rows = {"ra": np.linspace(10, 20, 6), "dec": np.linspace(0, 1, 6)}
        fetcher = CutoutFetcher(source, npix=64, cache=None)
        with pytest.raises(CutoutFetchError, match=f"1 of 6 .*\n.*row 0 .*{type(error).__name__}"):
            fetcher.transform(rows)


@pytest.mark.parametrize("n_rows", [1, 2, 40])
def test_an_error_of_all_rows_is_raised_soon(n_rows):
    with FaultyServer(reply(picture())) as server:
        source = Odd(server.url(), quick(), lambda request: True, KeyError("exposure"))
        rows = {"ra": np.linspace(10, 20, n_rows), "dec": np.linspace(0, 1, n_rows)}
        with pytest.raises(KeyError, match="exposure"):
            CutoutFetcher(source, npix=64, cache=None).transform(rows)
    assert len(server.log) <= 20


# --- compressed bodies --------------------------------------------------------------------------------------

PACKED = gzip.compress(BODY)
MEMBERS = gzip.compress(BODY[:300]) + gzip.compress(BODY[300:])


def changed(packed, place):
    packed = bytearray(packed)
    packed[place] ^= 1
    return bytes(packed)


@pytest.mark.parametrize("packed", [PACKED, MEMBERS, PACKED + bytes(100), gzip.compress(b"") + PACKED])
def test_whole_compressed_bodies(packed):
    with FaultyServer(reply(packed, Content_Encoding="gzip")) as server:
        assert quick().get(server.url()).body == BODY


@pytest.mark.parametrize(
    "packed",
    [
        changed(PACKED, -8),
        changed(PACKED, -1),
        PACKED[:-1],
        PACKED[:-8],
        PACKED[:5],
        MEMBERS[:-9],
        changed(MEMBERS, -6),
        PACKED + b"and more",
        PACKED + PACKED[:12],
    ],
    ids=[
        "checksum",
        "length",
        "cut",
        "no end",
        "cut header",
        "cut member",
        "checksum of a member",
        "rest",
        "two and a bit",
    ],
)
def test_compressed_bodies_that_are_not_what_was_packed(packed):
    with FaultyServer(reply(packed, Content_Encoding="gzip"), reply(PACKED, Content_Encoding="gzip")) as server:
        assert quick().get(server.url()).body == BODY  # asked again
        assert len(server.log) == 2
    with (
        FaultyServer(reply(packed, Content_Encoding="gzip")) as server,
        pytest.raises(BadReplyError, match="the reply broke off"),
    ):
        quick().get(server.url())


def test_errors_with_an_odd_body_still_say_their_status():
    odd = b"HTTP/1.1 404 Not here\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n"
    with FaultyServer(raw(odd)) as server, pytest.raises(TransientCutoutError, match="answered 404 Not here"):
        quick().get(server.url())
