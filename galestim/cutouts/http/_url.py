"""URLs: their hosts, logins and redirects; and headers."""

from __future__ import annotations

import base64
import re
import socket
from collections.abc import Mapping
from contextlib import suppress
from ipaddress import ip_address
from urllib.parse import unquote, urljoin, urlsplit

import requests

from ._secrets import shown

_PORTS = {"http": 80, "https": 443}
_HEADER_NAME = re.compile("[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_OWN_HEADERS = {"user-agent", "accept-encoding", "host", "content-length", "transfer-encoding", "connection", "range"}


def full_url(url: str, params: Mapping | None) -> str:
    """`url` with `params` in it, escaped and complete."""
    try:
        whole = requests.Request("GET", url, params=params).prepare().url or ""
        if host_of(whole):
            return whole
    except (ValueError, KeyError, requests.RequestException):  # no host, another scheme, a port that is none
        pass
    harmless = shown(str(url)).partition("?")[0]
    raise ValueError(f"url={harmless!r}; expected an address such as https://example.org/cutout.") from None


def without_login(url: str) -> tuple[str, dict[str, str]]:
    """`url` without name and password, and the header that says them."""
    parts = urlsplit(url)
    login, at, host = parts.netloc.rpartition("@")
    if not at:
        return url, {}
    secret = base64.b64encode(unquote(login).encode()).decode()
    return parts._replace(netloc=host).geturl(), {"Authorization": f"Basic {secret}"}


def is_loopback(url: str) -> bool:
    """True if a URL leads to this machine itself, under any of its names and spellings."""
    host = (urlsplit(url).hostname or "").rstrip(".")
    with suppress(OSError):
        host = socket.inet_ntoa(socket.inet_aton(host))  # 127.1 and 2130706433 are 127.0.0.1
    with suppress(ValueError):
        address = ip_address(host)
        return (getattr(address, "ipv4_mapped", None) or address).is_loopback
    return host == "localhost" or host.endswith(".localhost")


def host_of(url: str) -> str:
    """Host of a URL: ``scheme://name:port``."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}:{parts.port or _PORTS[parts.scheme]}"


def redirected(url: str, location: str) -> str:
    """Target of a redirect of `url`; a ValueError if it must not be followed."""
    # http.client reads headers as Latin-1; where a location is not ASCII, it is UTF-8.
    target = urljoin(url, location.encode("latin-1").decode("utf-8", errors="replace"))
    if urlsplit(target).scheme not in _PORTS:
        raise ValueError(f"redirected to {shown(target)!r}, which is not http or https")
    if urlsplit(url).scheme == "https" and urlsplit(target).scheme == "http":
        raise ValueError(f"redirected from https to the unprotected {shown(target)}")
    return without_login(full_url(target, None))[0]  # a login in a redirect is not the user's


def check_headers(headers: Mapping | None) -> None:
    """An error that shows names only, for the values are secrets."""
    if headers is None:
        return
    if not isinstance(headers, Mapping):
        raise ValueError(f"headers is of type {type(headers).__name__}; expected a dict of str, or None.")
    for name, value in headers.items():
        if not isinstance(name, str) or not _HEADER_NAME.fullmatch(name):
            raise ValueError(f"headers has the name {name!r}; expected one such as 'Authorization'.")
        if name.lower() in _OWN_HEADERS:
            raise ValueError(f"headers has {name!r}, which the transport sets itself; leave it out.")
        if not isinstance(value, str) or not (value.isascii() and value.isprintable()):
            raise ValueError(f"headers[{name!r}] is not printable ASCII text; expected a str without line breaks.")
