"""FITS files of a web server, of which only ranges of bytes are read."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import quote

from ._errors import BadReplyError, TransientCutoutError
from .http import Reply, Transport, shown

_BLOCK_BYTES = 2**16  # that are asked for together; most headers are shorter
_BLOCKS = 16  # of these that are kept
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*(::|://)")
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")

_doubtful: set[str] = set()  # addresses whose headers are to be read again


def is_url(path: str) -> bool:
    """True of an address, of whatever scheme."""
    return bool(_SCHEME.match(path))


@dataclass(frozen=True)
class RemoteFile:
    """A file at an address, which stands where a `Path` of a file on disk does.

    Parameters
    ----------
    url : str
        With ``https://`` or ``http://``.
    transport : Transport
        What asks for it: politely, with retries and limits.
    """

    url: str = field(repr=False)
    transport: Transport = field(compare=False)

    @classmethod
    def of(cls, url: str, transport: Transport) -> RemoteFile:
        """The file at an address, a ValueError if that is of another kind."""
        url = _https_of(url) if url.lower().startswith("s3://") else url
        if not re.match("https?://", url, re.IGNORECASE):
            scheme = url.partition(":")[0]
            raise ValueError(
                f"an image has an address of the kind {scheme!r}; expected https:// or http://, which objects of "
                "clouds have, too, s3:// of a public bucket, or a file on disk."
            )
        return cls(url, transport)

    def __str__(self) -> str:
        return shown(self.url)

    @property
    def is_doubtful(self) -> bool:
        """Whether reading it has failed since its header was read, as if it were another than it was."""
        return self.url in _doubtful

    @contextmanager
    def opened(self, state: tuple | None = None) -> Iterator:
        """Give it as a stream with the attribute `state`; of a file that is in another than `state`, reads fail."""
        found, head = self._first() if state is None else (state, b"")
        with _stream(self, found, head) as stream:
            yield stream

    def read(self, state: tuple[str, int], start: int, end: int) -> bytes:
        """Bytes `start` to `end` of a file in this `state`."""
        try:
            reply = self._ask(start, end, expect=(206,))
            if _state(reply) != state:
                raise TransientCutoutError(f"{str(self)!r} was rewritten since its header was read; fetch again.")
        except TransientCutoutError:
            _doubtful.add(self.url)
            raise
        return reply.body

    def _first(self) -> tuple[tuple[str, int], bytes]:
        """State and first bytes."""
        reply = self._ask(0, _BLOCK_BYTES, expect=(206, 404))
        if reply.status == 404:
            raise FileNotFoundError(f"no file {str(self)!r}: the service answered 404 Not Found; check the address.")
        _doubtful.discard(self.url)
        return _state(reply), reply.body

    def _ask(self, start: int, end: int, expect: tuple[int, ...]) -> Reply:
        def check(reply: Reply) -> None:
            if reply.status == 206:
                _check_range(reply, start, end)

        return self.transport.get(self.url, byte_range=(start, end), check=check, expect=expect)


def _https_of(url: str) -> str:
    """Where Amazon S3, or the service that AWS_ENDPOINT_URL_S3 names, serves an object that anybody may read."""
    bucket, _, key = url[5:].partition("/")
    if not bucket or not key:
        raise ValueError(f"an image has the address {url!r}; expected s3://bucket/key.")
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3", "https://s3.amazonaws.com").rstrip("/")
    if endpoint == "https://s3.amazonaws.com" and "." not in bucket:  # certificates know names of one part
        return f"https://{bucket}.s3.amazonaws.com/{quote(key)}"
    return f"{endpoint}/{bucket}/{quote(key)}"


def _check_range(reply: Reply, start: int, end: int) -> None:
    """Refuse a reply that is not of the bytes asked for."""
    found = _CONTENT_RANGE.fullmatch(reply.content_range)
    first, last, size = map(int, found.groups()) if found else (-1, -1, -1)
    if first != start or last + 1 != min(end, size) or len(reply.body) != last + 1 - first:
        raise BadReplyError(
            f"the reply has {len(reply.body)} bytes and Content-Range {reply.content_range!r}; expected bytes "
            f"{start} to {end - 1}."
        )


def _state(reply: Reply) -> tuple[str, int]:
    return reply.version, int(reply.content_range.rpartition("/")[2])


def _stream(remote: RemoteFile, state: tuple[str, int], head: bytes):
    """A stream that asks for blocks as they are needed; a class of fsspec, made only where there is fsspec."""
    try:
        from fsspec.spec import AbstractBufferedFile
    except ImportError as error:
        raise ImportError(
            "images at https:// need fsspec, which is not installed; run: pip install 'galestim[remote]'"
        ) from error

    class Stream(AbstractBufferedFile):
        def _fetch_range(self, start, end):
            return head[start:end] if end <= len(head) else remote.read(state, start, end)

    options = {"cache_type": "blockcache", "cache_options": {"maxblocks": _BLOCKS}}
    stream = Stream(None, str(remote), block_size=_BLOCK_BYTES, size=state[1], **options)
    stream.state = state
    return stream
