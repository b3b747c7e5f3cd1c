"""CSV files, of which some rows at a time are read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..catalogs import read_csv_lines, without_comments
from ._rows import FileRows, Stamp

_HEAD_LINES = 10_000  # of comments before the header
_BLOCK = 50_000  # rows that are looked at together


@dataclass(frozen=True)
class CsvRows(FileRows):
    """Rows of a CSV file, one to a line; places in it are remembered, and the types of columns those of all rows."""

    header: str
    starts: tuple[int, ...]  # byte of every `_BLOCK`-th row
    types: tuple[tuple[str, type], ...]

    @classmethod
    def open(cls, path: Path) -> CsvRows:
        stamp = Stamp.of(path)
        header, first = _csv_header(path)
        starts: list[int] = []
        kinds: dict[str, set[str]] = {}
        n_rows = 0
        with path.open("rb") as stream:
            stream.seek(first)
            while lines := _next_lines(stream, _BLOCK, path, starts):
                n_rows += len(lines)
                for name, column in read_csv_lines([header, *lines]).columns.items():
                    kinds.setdefault(name, set()).update(_kind(column))
        types = tuple((name, _type_of(found)) for name, found in kinds.items())
        return cls(stamp, n_rows, header, tuple(starts), types)

    def rows(self, start, stop):
        self.stamp.check()
        with self.stamp.path.open("rb") as stream:
            if self.starts:
                stream.seek(self.starts[start // _BLOCK])
            _next_lines(stream, start % _BLOCK, self.stamp.path)
            lines = _next_lines(stream, stop - start, self.stamp.path)
        if lines:
            return read_csv_lines([self.header, *lines], types=dict(self.types))
        of_one = read_csv_lines([self.header, ",".join("0" for _ in self.types)], types=dict(self.types))
        return of_one[:0]


def _csv_header(path: Path) -> tuple[str, int]:
    """Line of the header, and the byte where the rows begin."""
    places: list[int] = []
    lines: list[str] = []
    with path.open("rb") as stream:
        for line in stream:
            lines.append(line.decode("utf-8-sig" if not lines else "utf-8").rstrip("\r\n"))
            places.append(stream.tell())
            is_table = bool(lines[-1].strip()) and not lines[-1].startswith("#")
            if is_table or len(lines) > _HEAD_LINES:
                break
    header, *rest = without_comments(lines)
    return header, (places[-2] if rest else places[-1])


def _next_lines(stream, n: int, path: Path, starts: list[int] | None = None) -> list[str]:
    """The next `n` lines that are not blank, or as many as there are."""
    if starts is not None:
        starts.append(stream.tell())
    lines: list[str] = []
    while len(lines) < n and (line := stream.readline()):
        text = line.decode("utf-8").rstrip("\r\n")
        if text.count('"') % 2:
            raise ValueError(f"{path} has a cell that goes over several lines: {text[:60]!r}. Write it as Parquet.")
        if text.strip():
            lines.append(text)
    return lines


def _kind(column) -> str:
    """Kind of a column's numbers, as numpy names it; nothing if all cells are blank."""
    return "" if np.ma.getmaskarray(column).all() else column.dtype.kind


def _type_of(kinds: set[str]) -> type:
    if kinds <= {"i", "u"}:
        return int if kinds else float
    return float if kinds <= {"i", "u", "f"} else str
