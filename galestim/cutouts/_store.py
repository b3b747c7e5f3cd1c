"""Store of downloaded bytes on disk: by content, written whole or not at all, and verified when read."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import sys
import time
from contextlib import suppress
from pathlib import Path

from .._io.files import written_whole

_logger = logging.getLogger(__name__)

_MISSING_FOR = 30 * 24 * 3600.0  # [s] that a missing cutout is remembered
_LONGEST_ENTRY = 2**20  # bytes
_SHA256 = re.compile("[0-9a-f]{64}")


class CutoutStore:
    """A folder that keeps the bytes of cutouts, and for 30 days which cutouts do not exist.

    Several processes and threads may share a folder, and may end at any moment: a file is there whole or not at all.
    Bytes are compared with their SHA-256 whenever they are read; what is damaged is removed, so that it is fetched
    again. Nothing is ever executed: the folder holds bytes as they were served, and JSON.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    folder : str, path-like or None, default=None
        Where; made when first needed. None is ``$GALESTIM_CACHE`` if set, else ``galestim`` in the user's cache
        folder (``$XDG_CACHE_HOME`` or ``~/.cache``; ``~/Library/Caches`` on macOS; ``%LOCALAPPDATA%`` on Windows).

    Attributes
    ----------
    folder : pathlib.Path
        The folder.

    Notes
    -----
    If the folder cannot be written (full, read-only), nothing is lost but the saving: `put` logs a warning, once
    until it works again, and the fetched image is used without being kept.

    ``objects/ab/ab12…`` are bytes, named by their SHA-256; ``requests/cd/cd34….json`` say what was asked for and
    which object answers it, or why there is none. Any of them may be deleted at any time.

    Examples
    --------
    >>> import tempfile
    >>> from galestim.cutouts import CutoutStore
    >>> from galestim.cutouts._store import request_key
    >>> request = {"source": "SkyServer", "ra": 150.1, "dec": 2.2}
    >>> key = request_key(request)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = CutoutStore(folder)
    ...     before = store.get(key)
    ...     store.put(key, b"a JPEG file", request)
    ...     after = store.get(key)
    >>> before, after
    (None, b'a JPEG file')
    """

    def __init__(self, folder=None):
        self.folder = _default_folder() if folder is None else Path(folder).expanduser()
        self._complained = False

    def __repr__(self) -> str:
        return f"CutoutStore({str(self.folder)!r})"

    def get(self, key: str) -> bytes | None:
        """Bytes that answer a request.

        Parameters
        ----------
        key : str
            The `request_key` of the request.

        Returns
        -------
        bytes or None
            None if they are not here, or no longer what they were; then they are removed.
        """
        name = self._entry(key).get("object")
        if not isinstance(name, str) or not _SHA256.fullmatch(name):
            return None
        file = self._object_file(name)
        try:
            body = file.read_bytes()
        except OSError:
            return None
        if hashlib.sha256(body).hexdigest() == name:
            return body
        _logger.warning("%s is damaged: its bytes are not those that were written. It is removed.", file)
        with suppress(OSError):
            file.unlink()
        return None

    def put(self, key: str, body: bytes, request: dict) -> None:
        """Keep the bytes that answer a request.

        Parameters
        ----------
        key : str
            The `request_key` of the request.
        body : bytes
            The reply, as it was served.
        request : dict
            The request that `key` is of.
        """
        name = hashlib.sha256(body).hexdigest()
        entry = {"object": name, "bytes": len(body), "request": request}
        # The entry last: it never promises bytes that are not there.
        self._write({self._object_file(name): body, self._request_file(key): _json(entry)})

    def missing(self, key: str) -> str | None:
        """Reason why a request has no answer, if that was found out less than 30 days ago.

        Parameters
        ----------
        key : str
            The `request_key` of the request.

        Returns
        -------
        str or None
        """
        reason = self._entry(key).get("missing")
        if not isinstance(reason, str):
            return None
        try:
            age = time.time() - self._request_file(key).stat().st_mtime
        except OSError:
            return None
        return reason if age < _MISSING_FOR else None

    def put_missing(self, key: str, reason: str, request: dict) -> None:
        """Remember that a request has no answer.

        Parameters
        ----------
        key : str
            The `request_key` of the request.
        reason : str
            Why.
        request : dict
            The request that `key` is of.
        """
        self._write({self._request_file(key): _json({"missing": reason, "request": request})})

    def _object_file(self, name: str) -> Path:
        return self.folder / "objects" / name[:2] / name

    def _request_file(self, key: str) -> Path:
        if not _SHA256.fullmatch(key):
            raise ValueError(f"key={key!r}; expected the 64 hexadecimal digits that request_key gives.")
        return self.folder / "requests" / key[:2] / f"{key}.json"

    def _entry(self, key: str) -> dict:
        """Entry of a request; empty if it cannot be read, or is that of another request."""
        file = self._request_file(key)
        try:
            with file.open("rb") as stream:
                entry = json.loads(stream.read(_LONGEST_ENTRY))
            return entry if request_key(entry["request"]) == key else {}
        except (OSError, ValueError, TypeError, KeyError, RecursionError):  # json raises more than its own
            return {}

    def _write(self, contents: dict[Path, bytes]) -> None:
        """Write files, in this order; failing is logged only, as the caller holds an image that must not be lost."""
        try:
            for file, content in contents.items():
                self._write_whole(file, content)
        except OSError as error:
            if not self._complained:
                _logger.warning(
                    "Cannot write to the cache %s: %s. The cutouts are used, but not kept; make room there, or "
                    "choose another folder by cache= or GALESTIM_CACHE.",
                    self.folder,
                    error.strerror or error,
                )
            self._complained = True
        else:
            self._complained = False

    def _write_whole(self, file: Path, content: bytes) -> None:
        """Write a file so that it is never seen in part, even if the machine stops."""
        for parent in (self.folder / "tmp", file.parent):
            parent.mkdir(parents=True, exist_ok=True)
        with written_whole(file, sync=True, folder=self.folder / "tmp") as path:
            path.write_bytes(content)


def request_key(request: dict) -> str:
    """SHA-256 of a request without credentials, as canonical JSON: the same whatever the order of its keys.

    Numbers that are not finite are a ValueError, what JSON has no form for a TypeError.

    Examples
    --------
    >>> request_key({"ra": 150.1, "dec": 2.2}) == request_key({"dec": 2.2, "ra": 150.1})
    True
    """
    text = json.dumps(request, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _json(entry: dict) -> bytes:
    return json.dumps(entry, indent=1, sort_keys=True).encode()


def _default_folder() -> Path:
    if folder := os.environ.get("GALESTIM_CACHE"):
        return Path(folder).expanduser()
    if sys.platform == "darwin":
        parent = "~/Library/Caches"
    elif sys.platform == "win32":
        parent = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
    else:
        parent = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(parent).expanduser() / "galestim"
