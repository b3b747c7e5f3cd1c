"""Secrets of requests: where they are in headers and addresses, and how they are kept from being shown."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cached_property
from urllib.parse import parse_qsl, quote, quote_plus, unquote, urlencode, urlsplit

_MASK = "***"
_SECRET_NAME = re.compile(  # of a parameter
    r"token|secret|passw|passphrase|^pass$|pwd|signature|credential|auth|(api|access)[-_]?key|session|ticket|jwt|^key$|^sig$",
    re.IGNORECASE,
)
_SCHEMES = {"basic", "bearer", "digest", "token", "apikey"}  # words of an Authorization that are no secret
_SHORT = 4  # characters; shorter secrets are masked where they are words of their own


class Secrets:
    """Parts of a request that nobody else should see; services echo them, in whole or cut off.

    They are the login and some of the query of `url`, and all values of `headers`.
    """

    def __init__(self, url: str, headers: Mapping[str, str] | None):
        self._url, self._headers = url, headers or {}

    def mask(self, text: str) -> str:
        """`text` without the secrets, in any form in which they are usually written."""
        for form in self._written:
            text = _without(form, text)
        return text

    def mask_in(self, error: BaseException | None) -> None:
        """Mask the messages of an exception, and of those behind it."""
        while error is not None:
            error.args = tuple(self.mask(each) if isinstance(each, str) else each for each in error.args)
            error = error.__cause__ or error.__context__

    @cached_property
    def _written(self) -> list[str]:
        """All forms of all secrets, the longest first."""
        return sorted({form for secret in self._found() for form in _forms(secret) if form}, key=len, reverse=True)

    def _found(self) -> Iterator[str]:
        parts = urlsplit(self._url)
        yield from parts.netloc.rpartition("@")[0].split(":", 1)
        yield from (value for name, value in parse_qsl(parts.query) if _SECRET_NAME.search(name))
        for value in self._headers.values():
            yield value
            words = re.split(r"[\s=;,:&\"']+", value)
            yield from (word for word in words if len(word) >= _SHORT and word.lower() not in _SCHEMES)
            if words[0].lower() == "basic":
                with suppress(ValueError):  # it is none
                    yield from base64.b64decode(value.split()[-1]).decode().split(":", 1)


def shown(url: str, login: str = "") -> str:
    """A URL for people: without fragment, `login` in place of name and password, masks for secrets in its query."""
    try:
        parts = urlsplit(url)
        if not parts.netloc or parts.port == 0:  # or the port is no number
            raise ValueError
    except ValueError:  # it is no URL, but may hold a password
        return re.sub(r"^(\w*:?//)?.*@", rf"\1{login}", url.partition("?")[0])
    query = [(name, _MASK if _SECRET_NAME.search(name) else value) for name, value in parse_qsl(parts.query, True)]
    text = urlencode(query, safe="*,:/") if any(value == _MASK for _, value in query) else parts.query
    _, at, host = parts.netloc.rpartition("@")
    return parts._replace(netloc=(login if at else "") + host, query=text, fragment="").geturl()


def digested(query: Mapping) -> dict:
    """`query` with digests in place of what seems to be secret."""
    return {name: digest(str(value)) if _SECRET_NAME.search(name) else value for name, value in query.items()}


def digest(secret: str) -> str:
    """Text that tells secrets apart without telling them."""
    return hashlib.sha256(secret.encode()).hexdigest()[:16]


class SecretText(str):
    """A text that a repr does not show."""

    def __repr__(self) -> str:
        return repr(_MASK)


class SecretUrl(str):
    """An address of which a repr shows all but the secrets."""

    def __repr__(self) -> str:
        return repr(shown(self, f"{_MASK}@"))


def hidden(name: str, value):
    """`value` of a parameter, as it is, but with a repr that hides its secrets if it is a text with some."""
    if not isinstance(value, str) or isinstance(value, SecretText | SecretUrl):
        return value
    if _SECRET_NAME.search(name):
        return SecretText(value)
    return SecretUrl(value) if _MASK in shown(value, f"{_MASK}@") else value


def _forms(secret: str) -> set[str]:
    """A secret as it stands in texts, addresses, JSON, HTML and Python."""
    ways = (str, quote, quote_plus, html.escape, lambda text: quote(text, safe=""))
    dumps = (json.dumps, repr, ascii)
    texts = {secret, unquote(secret)}
    return {way(text) for text in texts for way in ways} | {dump(text)[1:-1] for text in texts for dump in dumps}


def _without(secret: str, text: str) -> str:
    """`text` without `secret`, also where only the beginning of it stands before an end or a quotation mark."""
    if len(secret) < _SHORT:
        return re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", _MASK, text)
    text = re.sub(re.escape(secret), _MASK, text, flags=re.IGNORECASE)
    for length in range(len(secret) - 1, _SHORT - 1, -1):
        if secret[:length].lower() in text.lower():
            text = re.sub(re.escape(secret[:length]) + r"(?=['\"]|$)", _MASK, text, flags=re.IGNORECASE)
    return text
