"""Digest of an estimator: the same for the same weights and settings, in whichever process they are."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Set
from pathlib import Path
from typing import Any

import numpy as np

# What does not change a prediction
_UNSEEN = {
    "_galestim_version", "_sklearn_version", "cache", "callbacks", "card_", "checkpoint", "checkpoint_minutes", "cv",
    "device", "history_", "memmap", "memory", "n_jobs", "report_", "transport", "verbose",
}  # fmt: skip


def digest(thing: Any) -> str:
    """SHA-256 of what an estimator predicts by."""
    sha256 = hashlib.sha256()
    _walk(thing, sha256.update, [])
    return sha256.hexdigest()


def _walk(thing: Any, update, within: list[int]) -> None:
    """Tell `update` the bytes of `thing` and of all that it is made of."""
    update(f"<{type(thing).__module__}.{type(thing).__qualname__}".encode())
    if isinstance(thing, np.ndarray) and thing.dtype.kind != "O":
        update(f"{thing.dtype.str}{thing.shape}".encode())
        update(np.ascontiguousarray(thing).tobytes())
    elif thing is None or isinstance(thing, bool | int | float | complex | str | bytes | Path | np.generic):
        update(repr(thing).encode())
    elif id(thing) in within:
        update(b"itself")
    elif isinstance(thing, Mapping):
        items = sorted((repr(key), value) for key, value in thing.items() if key not in _UNSEEN)
        _each([part for item in items for part in item], update, [*within, id(thing)])
    elif isinstance(thing, Set):
        _each(sorted(thing, key=repr), update, within)
    elif isinstance(thing, list | tuple | np.ndarray):
        _each(list(thing), update, [*within, id(thing)])
    elif hasattr(thing, "__qualname__"):  # a class or a function
        update(f"{thing.__module__}.{thing.__qualname__}".encode())
    else:
        _walk(_state(thing), update, [*within, id(thing)])
    update(b">")


def _each(things: list, update, within: list[int]) -> None:
    for thing in things:
        _walk(thing, update, within)


def _state(thing: Any) -> Any:
    """What a pickle would hold of an object."""
    reduced = thing.__reduce_ex__(4)
    return reduced if isinstance(reduced, str) else reduced[1:]
