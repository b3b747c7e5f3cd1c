"""Bounds on FITS, Parquet and JPEG: nothing is decoded before what it claims is compared with what it holds.

A file of kilobytes may claim billions of axes, pixels or scans, which its decoder would believe. Here its structure
is walked first, cheaply. The limits are far above those of real files.
"""

from __future__ import annotations

import mmap
import os
import re
import zlib
from collections.abc import Mapping
from itertools import islice
from math import ceil, prod
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from .unpack import UNPACKED_BYTES, Unpacked, check_unpacked, require_file, unpacked

HEADER_BLOCKS, HDUS = 1000, 5000  # of FITS; a block is 36 cards
AXES = FIELDS = 999  # by the FITS standard
WCS_AXES = 99  # and the order of SIP polynomials, with whose squares a WCS grows
SCANS, SCANNED_PIXELS = 100, 2**31  # of a JPEG, each of whose scans passes over its pixels

_BLOCK, _CARD = 2880, 80  # bytes
_PADDING = 10 * _BLOCK  # blanks that tapes left behind the last extension
_TILE_SLACK = 2**16  # bytes that a compressed tile may take beyond its pixels
_DEFLATE = 1032  # the most that gzip unpacks a byte to
_NUMBERS = re.compile(
    "([AB]P?_ORDER|WCSAXES[A-Z]?|BITPIX|PCOUNT|GCOUNT|THEAP|TFIELDS|Z?NAXIS[0-9]*|ZBITPIX|ZTILE[0-9]+)$"
)
_WCS_NUMBERS = re.compile("([AB]P?_ORDER|WCSAXES[A-Z]?)$")
_WORDS = re.compile("(XTENSION|GROUPS|ZIMAGE|ZCMPTYPE|TTYPE[0-9]+|TFORM[0-9]+)$")
_FORM = re.compile("([0-9]{0,18})([LXBIJKAEDCMPQ])([LXBIJKAEDCM]?)")
_BITS = dict(X=1, L=8, B=8, A=8, I=16, J=32, E=32, K=64, D=64, C=64, P=64, M=128, Q=128)  # noqa: C408
COLUMNS = 10_000  # of other tables
_TILES = ("COMPRESSED_DATA", "GZIP_COMPRESSED_DATA", "UNCOMPRESSED_DATA")


def check_fits(source: str | os.PathLike | bytes | IO[bytes], name: object = None) -> None:
    """Walk a FITS file, plain or in gzip or bzip2, and compare what its headers claim with what there is.

    Pixels and rows are skipped, but where some are of variable length, as compressed tiles are. A file that is
    compressed as a whole is unpacked once, in pieces, so that its checksum is compared, too. `source` is a path, an
    open file, or the bytes themselves; `name` is what errors call it, by default the path. A ValueError says what
    cannot be.
    """
    if name is None:
        name = "the FITS file" if isinstance(source, bytes) else source
    with unpacked(source, name) as stream:
        _Walk(stream, str(name)).go()


def check_wcs(header: Mapping[str, Any]) -> None:
    """Refuse the header of a WCS whose axes or polynomials would take much memory.

    Raises
    ------
    ValueError
        If it claims more than 99 axes, or such an order.
    """
    for key in filter(_WCS_NUMBERS.match, header):
        if not (isinstance(header[key], int | float) and 0 <= header[key] <= WCS_AXES):
            raise ValueError(f"{key} of a WCS is {header[key]!r}; expected 0 to {WCS_AXES}")


class _Walk:
    """A way through the extensions of a FITS file."""

    def __init__(self, stream: Unpacked, name: str):
        self.stream, self.name, self.index = stream, name, 0

    def error(self, what: str) -> ValueError:
        return ValueError(
            f"{self.name} cannot be read: in extension {self.index}, {what}. Expected a complete FITS file."
        )

    def go(self) -> None:
        block = self.stream.read(_BLOCK)
        if not block.startswith(b"SIMPLE  ="):
            raise ValueError(
                f"{self.name} cannot be read: it does not begin with SIMPLE. Expected a complete FITS file."
            )
        while block.startswith(b"XTENSION") or self.index == 0:
            self.hdu(_Header(self, block))
            self.index += 1
            if self.index > HDUS:
                raise self.error(f"expected no more than {HDUS}")
            block = self.stream.read(_BLOCK)
        rest = block + self.stream.read(_PADDING)
        if rest.strip(b"\0 \r\n") or self.stream.read(1):
            raise self.error("got what begins neither with XTENSION nor with blanks")

    def hdu(self, header: _Header) -> None:
        """Pass the data that belong to a header."""
        n_bytes = header.data_bytes()
        rest = n_bytes
        if header.number("TFIELDS", FIELDS, default=0) and header.words.get("XTENSION") in ("BINTABLE", "A3DTABLE"):
            rest -= _Table(self, header).check()
        if (missing := rest - self.stream.skip(rest)) > 0:
            raise self.error(f"its data are cut off: {missing} of {n_bytes} bytes are missing")
        self.stream.skip(-n_bytes % _BLOCK)


class _Header:
    """Keywords of the header that begins with `block`, as far as they count for the size of its data."""

    def __init__(self, walk: _Walk, block: bytes):
        self.error = walk.error
        self.numbers: dict[str, int] = {}
        self.words: dict[str, str] = {}
        for _ in range(HEADER_BLOCKS):
            if len(block) < _BLOCK:
                raise self.error("the header is cut off")
            if self.ends_in(block):
                break
            block = walk.stream.read(_BLOCK)
        else:
            raise self.error(f"the header has no END within {HEADER_BLOCKS * _BLOCK // _CARD} cards")
        for key in filter(_WCS_NUMBERS.match, self.numbers):
            self.number(key, WCS_AXES)
        self.shape = [self.number(f"NAXIS{axis + 1}") for axis in range(self.number("NAXIS", AXES))]

    def ends_in(self, block: bytes) -> bool:
        for start in range(0, _BLOCK, _CARD):
            card = block[start : start + _CARD].decode("latin-1")
            if card.rstrip() == "END":
                return True
            if re.match("END[^A-Z0-9_-]", card):  # some programs would take it for the end
                raise self.error(f"END is followed by {card[3:].strip()!r}")
            self.take(card[:8].rstrip(), card[8:10], card[10:].partition("/")[0].strip())
        return False

    def take(self, key: str, sign: str, text: str) -> None:
        """Keep the value of a card that counts."""
        known: dict[str, Any]
        value: Any
        if _WORDS.match(key):
            known, value = self.words, text.strip("'").rstrip()
        elif _NUMBERS.match(key):
            whole = re.fullmatch(r"([+-]?[0-9]{1,18})(\.0*)?", text)
            if sign[:1] != "=" or not whole or (whole[2] and not _WCS_NUMBERS.match(key)):
                raise self.error(f"{key} is {text!r}; expected a whole number")
            known, value = self.numbers, int(whole[1])
        else:
            return
        if known.setdefault(key, value) != value:
            raise self.error(f"{key} is both {known[key]!r} and {value!r}")

    def number(self, key: str, at_most: int = 2**62, default: int | None = None) -> int:
        value = self.numbers.get(key, default)
        if value is None or not 0 <= value <= at_most:
            raise self.error(f"{key} is {value}; expected 0 to {at_most}")
        return value

    def data_bytes(self) -> int:
        bits = abs(self.numbers.get("BITPIX", 0))
        if bits not in (8, 16, 32, 64):
            raise self.error(f"BITPIX is {self.numbers.get('BITPIX')}; expected 8, 16, 32, 64, -32 or -64")
        is_groups = self.shape[:1] == [0] and self.words.get("GROUPS") == "T"
        pixels = prod(self.shape[1:] if is_groups else self.shape) if self.shape else 0
        n_items = self.number("PCOUNT", default=0) + pixels
        return bits // 8 * self.number("GCOUNT", default=1) * n_items if self.shape else 0


class _Table:
    """A binary table, of which what has a variable length is looked at: compressed tiles above all."""

    def __init__(self, walk: _Walk, header: _Header):
        self.walk, self.header, self.error = walk, header, walk.error
        if len(header.shape) != 2:
            raise self.error(f"a table has {len(header.shape)} axes; expected 2")
        self.row_bytes, self.n_rows = header.shape
        self.n_bytes = self.row_bytes * self.n_rows
        self.columns: dict[str, tuple[int, str, int]] = {}  # name → place in a row, P or Q, bits of an element
        place = 0
        for i in range(1, header.number("TFIELDS") + 1):
            form = _FORM.match(header.words.get(f"TFORM{i}", "").upper())
            if not form:
                raise self.error(f"TFORM{i} is {header.words.get(f'TFORM{i}')!r}")
            repeat, kind, element = int(form[1] or 1), form[2], form[3]
            if kind in "PQ" and repeat:
                self.columns[header.words.get(f"TTYPE{i}", str(i))] = place, kind, _BITS[element or "B"]
            place += ceil(repeat * _BITS[kind] / 8)
        if place != self.row_bytes:
            raise self.error(f"its columns take {place} bytes, and its rows {self.row_bytes}; expected as many")

    def check(self) -> int:
        """Compare what is claimed with what there is; returns how many bytes were read for it."""
        tiles = self.tile_shape() if self.header.words.get("ZIMAGE") == "T" else None
        if not self.columns:
            return 0
        rows = self.walk.stream.read(self.n_bytes)
        if len(rows) < self.n_bytes:
            raise self.error("its rows are cut off")
        heap_bytes = self.header.number("PCOUNT", default=0)
        gap = self.header.number("THEAP", default=self.n_bytes) - self.n_bytes
        pieces = {name: self.pieces(rows, *column, gap, heap_bytes) for name, column in self.columns.items()}
        total = sum(int(lengths.sum()) for _, lengths in pieces.values())
        check_unpacked(total, heap_bytes, self.walk.name)
        if tiles is None:
            return len(rows)
        of_tiles = [pieces[name] for name in _TILES if name in pieces]
        return len(rows) + self.check_tiles(8 * prod(tiles), of_tiles)

    def pieces(self, rows: bytes, place: int, kind: str, bits: int, gap: int, heap_bytes: int):
        """Places in the heap and lengths of the pieces of a column, in bytes."""
        dtype = np.dtype(">i4" if kind == "P" else ">i8")
        both = np.ndarray((self.n_rows, 2), dtype, rows, place, (self.row_bytes, dtype.itemsize)).astype(np.int64)
        counts, starts = both[:, 0], both[:, 1]
        limit = 2**62 // bits
        if self.n_rows and (both.min() < 0 or both.max() > limit):
            raise self.error("a piece of variable length has a negative or huge place or length")
        lengths = (counts * bits + 7) // 8
        used = lengths > 0
        if gap < 0 or (gap + starts[used] + lengths[used] > heap_bytes).any():
            raise self.error("pieces of variable length lie outside of the file")
        return gap + starts, lengths

    def tile_shape(self) -> list[int]:
        """Sides of a tile of a compressed image, which may be no larger than its file allows."""
        number, n_axes = self.header.number, self.header.number("ZNAXIS", AXES)
        image = [number(f"ZNAXIS{axis + 1}") for axis in range(n_axes)]
        sides = [number(f"ZTILE{axis + 1}", default=1 if axis else image[0]) for axis in range(n_axes)]
        if 0 in sides:
            raise self.error("the tiles of a compressed image have no pixels")
        n_bytes = abs(self.header.numbers.get("ZBITPIX", 8)) // 8 * prod(image)
        check_unpacked(n_bytes, self.header.data_bytes(), self.walk.name)
        if prod(ceil(a / b) for a, b in zip(image, sides)) != self.n_rows:
            raise self.error(f"a compressed image of {image} pixels in tiles of {sides} has {self.n_rows} rows")
        return [min(a, b) for a, b in zip(image, sides)]

    def check_tiles(self, tile_bytes: int, pieces: list[tuple[NDArray, NDArray]]) -> int:
        """Refuse tiles that unpack to more than their pixels; returns how many bytes were read for it."""
        if any((lengths > tile_bytes + _TILE_SLACK).any() for _, lengths in pieces):
            raise self.error(f"a compressed tile of {tile_bytes // 8} pixels takes more bytes than they do")
        is_read = self.header.words.get("ZCMPTYPE") == "HCOMPRESS_1" or any(
            (lengths * _DEFLATE > tile_bytes + UNPACKED_BYTES).any() for _, lengths in pieces
        )
        if not is_read:
            return 0
        heap = self.walk.stream.read(self.header.number("PCOUNT", default=0))
        for starts, lengths in pieces:
            for start, length in zip(starts.tolist(), lengths.tolist()):
                self.check_tile(heap[start : start + length], tile_bytes)
        return len(heap)

    def check_tile(self, tile: bytes, tile_bytes: int) -> None:
        if tile.startswith(b"\xdd\x99"):  # HCOMPRESS, which says its own size
            n_pixels = int.from_bytes(tile[2:6]) * int.from_bytes(tile[6:10])
            if 8 * n_pixels > tile_bytes:
                raise self.error(f"a compressed tile claims {n_pixels} pixels; expected {tile_bytes // 8}")
        n_bytes = 0
        while tile.startswith(b"\x1f\x8b"):  # gzip, of which several may follow one another
            unpacker = zlib.decompressobj(wbits=31)
            n_bytes += len(unpacker.decompress(tile, tile_bytes + 1))
            if n_bytes > tile_bytes:
                raise self.error(f"a compressed tile unpacks to more than its {tile_bytes // 8} pixels")
            tile = unpacker.unused_data


# --- Parquet ---------------------------------------------------------------------------------------------------


def check_parquet(path: str | os.PathLike, file) -> None:
    """Refuse a Parquet file, open as `file`, whose footer claims more columns or values than it can hold."""
    metadata, size = file.metadata, os.stat(path).st_size
    if metadata.num_columns > COLUMNS:
        raise ValueError(f"{path} has {metadata.num_columns} columns; expected at most {COLUMNS}.")
    check_unpacked(8 * metadata.num_rows, size, path)
    next(file.iter_batches(batch_size=1), None)  # an error here; below, damaged statistics would end the process
    groups = (metadata.row_group(i) for i in range(metadata.num_row_groups))
    pieces = [group.column(i) for group in groups for i in range(group.num_columns)]
    if any(piece.num_values < 0 or piece.total_uncompressed_size < 0 for piece in pieces):
        raise ValueError(f"{path} is damaged: a column claims a negative size.")
    check_unpacked(sum(max(8 * p.num_values, p.total_uncompressed_size) for p in pieces), size, path)


# --- JPEG ------------------------------------------------------------------------------------------------------


def check_scans(source: str | os.PathLike | bytes, n_pixels: int, name: object = None) -> None:
    """Refuse a JPEG of `n_pixels` whose scans would take long to decode; real ones have about ten.

    `source` and `name` are as for `check_fits`.
    """
    if isinstance(source, bytes):
        n_scans = _count_scans(source)
    else:
        with require_file(source).open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            n_scans = _count_scans(content)
    at_most = min(SCANS, SCANNED_PIXELS // max(1, n_pixels))
    if n_scans > at_most:
        name = ("the JPEG" if isinstance(source, bytes) else source) if name is None else name
        raise ValueError(f"{name} has more than {at_most} scans of {n_pixels} pixels each; expected about ten.")


def _count_scans(content) -> int:
    return sum(1 for _ in islice(re.finditer(b"\xff\xda", content), SCANS + 1))
