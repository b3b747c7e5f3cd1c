"""Bodies of replies: read whole, decompressed, within a limit on their size."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from contextlib import suppress

import requests
import urllib3

_CHUNK = 2**16  # bytes in memory beyond those that are kept
_EXCERPT = 200  # characters


class BodyTooLarge(Exception):
    """There is more than was allowed."""


class BrokenBody(Exception):
    """It ends early, or is not what its headers say."""


def read_body(response: requests.Response, max_bytes: float) -> bytes:
    """All of a body; an error rather than a part of it, or more than `max_bytes`."""
    announced = response.raw.length_remaining
    if announced is not None and announced > max_bytes:
        raise BodyTooLarge
    pieces, size = [], 0
    try:
        for piece in _decoded(response):
            size += len(piece)
            if size > max_bytes:
                raise BodyTooLarge
            pieces.append(piece)
    except urllib3.exceptions.ReadTimeoutError:
        raise
    except (urllib3.exceptions.HTTPError, zlib.error, EOFError):
        of = "" if announced is None else f", before the {announced} bytes announced"
        raise BrokenBody(f"the reply broke off{of}") from None
    return b"".join(pieces)


def excerpt(response: requests.Response) -> str:
    """The first words of a body that is text."""
    kind = response.headers.get("Content-Type", "")
    if "Content-Encoding" in response.headers or not re.search("text|json|xml", kind):
        return ""
    text = ""
    with suppress(Exception):  # a broken body says nothing
        text = response.raw.read(2**12, decode_content=False).decode("utf-8", errors="replace")
    return " ".join(re.sub("<[^>]*>", " ", text).split())[:_EXCERPT]


def _decoded(response: requests.Response) -> Iterator[bytes]:
    """The body in pieces, decompressed if the service did compress it, though it was not asked to."""
    pieces = iter(lambda: response.raw.read(_CHUNK, decode_content=False), b"")
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding in ("identity", ""):
        return pieces
    if encoding in ("gzip", "x-gzip"):
        return _gunzipped(pieces)
    raise BrokenBody(f"the reply has the Content-Encoding {encoding!r}, which was not asked for")


def _gunzipped(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Decompress all members, a bounded amount at a time: a thousand bytes can become a million."""
    gunzip = zlib.decompressobj(wbits=31)
    for piece in pieces:
        while piece := piece.lstrip(b"\0") if gunzip.eof else piece:  # zeros may fill up the end
            if gunzip.eof:
                gunzip = zlib.decompressobj(wbits=31)
            yield gunzip.decompress(piece, _CHUNK)
            piece = gunzip.unused_data if gunzip.eof else gunzip.unconsumed_tail
    if not gunzip.eof:
        raise EOFError
