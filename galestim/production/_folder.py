"""Folder of the output: partitions written whole or not at all, and a manifest of what they are made from."""

from __future__ import annotations

import json
import os
import platform
import re
import warnings
from collections import Counter
from collections.abc import Mapping
from importlib.metadata import version
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

from .. import __version__
from .._io.files import written_whole
from ..posteriors import optional_import

MANIFEST = "_manifest.json"  # readers of Parquet folders pass over what begins with _
FORMAT = 1
COUNTS = b"galestim_rows"  # metadata of a partition: how many rows of each status
STATUSES = "ok", "missing", "failed"
_ENDING = ".parquet"
_PART = re.compile(r"part-(\d{6,})\.parquet")


class Change(NamedTuple):
    """What to say if a manifest differs: which part of it, and what to do."""

    what: str
    cure: str


CHANGES = {
    "format": Change("layout", "Take another folder."),
    "galestim": Change("galestim", "Finish with that version, or take another folder."),
    "model": Change("model", "Give the same one, or take another folder."),
    "catalog": Change("catalog", "Give the same rows, or take another folder."),
    "settings": Change("settings", "Give the same ones, or take another folder."),
}


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that numbers come from."""
    packages = ("numpy", "scipy", "scikit-learn", "torch")
    return {"python": platform.python_version()} | {name: version(name) for name in packages}


class Folder:
    """Folder of partitions, of which number i is the file ``part-00000i.parquet``.

    Parameters
    ----------
    path : Path
    manifest : dict
        Of this run: ``model``, ``catalog`` and ``settings``, for JSON.
    """

    def __init__(self, path: Path, manifest: Mapping[str, Any]):
        self.path = path
        self.manifest = {"format": FORMAT, "galestim": __version__, **manifest, "versions": versions()}
        self.counts: Counter[str] = Counter()

    def begin(self, resume: bool) -> dict[int, Counter]:
        """Compare the manifest with the one that is there, if any; returns the partitions that are done."""
        found = self.path / MANIFEST
        if not found.exists():
            if foreign := sorted(name for name in os.listdir(self.path) if name.endswith(_ENDING)):
                raise FileExistsError(
                    f"{self.path} has {foreign[0]!r}, and no manifest of predict_catalog; take another."
                )
            return {}
        if not resume:
            raise FileExistsError(
                f"{self.path} has the predictions of an earlier run; pass resume=True to do what is missing, or "
                "take another folder."
            )
        self._compare(json.loads(found.read_text(encoding="utf-8")))
        done = {
            int(match[1]): self._counts_of(name) for name in os.listdir(self.path) if (match := _PART.match(name))
        }
        return {number: counts for number, counts in done.items() if counts is not None}

    def _compare(self, before: Mapping[str, Any]) -> None:
        """Refuse to mix what is not of one kind."""
        for name, (what, cure) in CHANGES.items():
            if before.get(name) != self.manifest[name]:
                was, now = _differences(before.get(name), self.manifest[name])
                raise ValueError(f"{self.path} was begun with another {what}: {was} then, {now} now. {cure}")
        if before["versions"] != self.manifest["versions"]:
            was, now = _differences(before["versions"], self.manifest["versions"])
            warnings.warn(f"{self.path} was begun with {was}, now {now}; the last bits may differ.", stacklevel=4)

    def _counts_of(self, name: str) -> Counter | None:
        """Rows of each status of a partition; None if it cannot be read, and has to be written again."""
        parquet = optional_import("pyarrow.parquet", "predict_catalog")
        try:
            return Counter(json.loads(parquet.read_schema(self.path / name).metadata[COUNTS]))
        except Exception:  # damaged bytes fail in many ways
            return None

    def schema(self, number: int):
        """Columns of a partition, without what is said of its rows."""
        parquet = optional_import("pyarrow.parquet", "predict_catalog")
        schema = parquet.read_schema(self.path / _name(number))
        return schema.with_metadata({key: value for key, value in schema.metadata.items() if key != COUNTS} or None)

    def write(self, number: int, table) -> Counter:
        """Write a partition; returns how many rows of each status it has."""
        parquet = optional_import("pyarrow.parquet", "predict_catalog")
        counts = Counter(table["status"].to_pylist())
        metadata = {**(table.schema.metadata or {}), COUNTS: json.dumps(dict(sorted(counts.items())))}
        path = self.path / _name(number)
        try:
            with written_whole(path, sync=True) as finished:
                parquet.write_table(table.replace_schema_metadata(metadata), finished)
        except OSError as error:
            raise OSError(
                f"{path} could not be written: {error}. Nothing of it is left, and the other partitions are whole; "
                "make room, and run this again."
            ) from error
        return counts

    def note(self, counts: Mapping[str, int] | None = None, n_rows: int = 0) -> None:
        """Write the manifest, with the rows that are done."""
        told = {name: (counts or {}).get(name, 0) for name in STATUSES}
        done = {"rows": n_rows, "rows_done": sum(told.values()), **told}
        with written_whole(self.path / MANIFEST) as finished:
            finished.write_text(json.dumps(self.manifest | {"progress": done}, indent=1), encoding="utf-8")


def _name(number: int) -> str:
    return f"part-{number:06d}{_ENDING}"


def _differences(was, now) -> tuple[str, str]:
    """What was and is no more, and what is new, in few words."""
    return _difference(was, now), _difference(now, was)


def _difference(one, other) -> str:
    """What `one` has that `other` has not, in few words."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return (
            ", ".join(f"{key} {_short(value)}" for key, value in one.items() if other.get(key) != value) or "no more"
        )
    if isinstance(one, list) and isinstance(other, list):
        pairs: list[tuple[Any, Any]] = list(zip_longest(one, other, fillvalue={}))
        first, second = next(pair for pair in pairs if pair[0] != pair[1])
        name = f"{first['file']}: " if isinstance(first, Mapping) and first else ""
        return name + _difference(first, second)
    return _short(one)


def _short(value) -> str:
    text = str(value)
    return text if len(text) < 60 else text[:12] + "…"
