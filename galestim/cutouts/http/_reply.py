"""What comes back of one request, and what was wanted."""

from __future__ import annotations

from collections.abc import Collection
from http import HTTPStatus
from math import inf
from typing import NamedTuple

import requests

from ._body import BodyTooLarge, BrokenBody, read_body
from ._failure import Failure
from ._secrets import shown


class Reply(NamedTuple):
    """Reply of a service.

    Attributes
    ----------
    status : int
        HTTP status.
    content_type : str
        Media type in lowercase, such as ``image/jpeg``, without its parameters; empty if none was named.
    body : bytes
        The body, whole and decompressed.
    url : str
        Address that answered, after redirects; secrets in it are masked.
    content_range : str
        Which bytes of how many the body is, such as ``bytes 0-9/2880``; empty if it is all.
    version : str
        What tells one state of a file from another: its ``ETag``, or when it was modified last; empty if not told.
    """

    status: int
    content_type: str
    body: bytes
    url: str
    content_range: str = ""
    version: str = ""


class Wanted(NamedTuple):
    """Statuses that are a reply, and which bytes are asked for."""

    statuses: Collection[int]
    byte_range: tuple[int, int] | None

    @property
    def n_bytes(self) -> float:
        """The most that a reply may have."""
        return inf if self.byte_range is None else self.byte_range[1] - self.byte_range[0]

    @property
    def headers(self) -> dict[str, str]:
        """Those of the request, which are no secrets."""
        if self.byte_range is None:
            return {}
        start, end = self.byte_range
        return {"Range": f"bytes={start}-{end - 1}"}


def read_reply(response: requests.Response, wanted: Wanted, max_bytes: float) -> Reply:
    """The reply, whole and decompressed, of at most `max_bytes`."""
    max_bytes = min(max_bytes, wanted.n_bytes)
    try:
        body = read_body(response, max_bytes)
    except BodyTooLarge:
        raise Failure(
            f"the reply is larger than {max_bytes} bytes",
            "Ask for fewer pixels, or give the source transport=Transport(max_bytes=…).",
            refused=True,
        ) from None
    if response.status_code == HTTPStatus.OK and not body:
        raise BrokenBody("the reply is empty")
    media_type = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    version = response.headers.get("ETag") or response.headers.get("Last-Modified", "")
    content_range = response.headers.get("Content-Range", "")
    return Reply(response.status_code, media_type, body, shown(response.url), content_range, version)
