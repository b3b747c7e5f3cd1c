"""Arrays that are filled with cutouts as they arrive, and with what is known of the camera of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .._cutouts import ARRAYS, CONTEXT, Cutouts
from .._cutouts import _of as unchecked  # what was checked as it came, and is too large to look at again
from .._images import CHUNK_BYTES, release_pages, row_chunks
from .._io.memmap import MEMMAP_BYTES, empty_array
from ._source import CutoutRequest

PIXELS = ("images", *ARRAYS)  # and what may be too large for memory


def gatherer_of(fetcher, requests: Sequence[CutoutRequest], needs_nan: bool):
    """What gathers the answers to `requests` of a `CutoutFetcher`: images, or cutouts that know their camera."""
    source, n = fetcher.source, len(requests)
    shape, options = (fetcher.npix, fetcher.npix, source.n_channels), (fetcher.reducer, fetcher.memmap, needs_nan)
    if not source.knows_camera:
        return ImageGatherer(n, shape, source.dtype, *options)
    return CutoutsGatherer(n, shape, source.dtype, *options, [request.pixel_scale for request in requests])


def _reduced(reducer, images):
    reduced = reducer.transform(images)
    if np.ndim(reduced) != 4 or len(reduced) != len(images):
        raise ValueError(
            f"reducer={reducer!r} made {np.shape(reduced)} of images {images.shape}; "
            "expected one image (H, W, C) for each."
        )
    return reduced


class ImageGatherer:
    """Array of n rows that is filled with cutouts of `shape` and `dtype` as they arrive.

    They are reduced in chunks, so that few are in memory at full size. `memmap` is that of
    `galestim._io.memmap.empty_array`; `needs_nan` asks for a dtype that has NaN.
    """

    def __init__(self, n: int, shape: tuple[int, int, int], dtype: DTypeLike, reducer, memmap, needs_nan: bool):
        self._reducer = reducer
        like = self._reduce(np.zeros((1, *shape), dtype=dtype))
        if needs_nan and like.dtype.kind != "f":
            like = like.astype(np.result_type(like.dtype, np.float32))
        self.images = empty_array((n, *like.shape[1:]), like.dtype, memmap)
        self._at_once = min(n, max(1, CHUNK_BYTES // _n_bytes(shape, dtype)))
        self._chunk: NDArray = np.empty((0 if reducer is None else self._at_once, *shape), dtype)
        self._rows: list[int] = []
        self._n_taken = 0

    def put(self, row: int, image: NDArray) -> None:
        """Take the cutout of `row`."""
        if self._reducer is None:
            self.images[row] = image
        else:
            self._chunk[len(self._rows)] = image
        self._rows.append(row)
        if len(self._rows) == self._at_once:
            self.flush()

    def append(self, _, image: NDArray) -> None:
        """Take the cutout of the first row that has none yet."""
        self.put(self._n_taken + len(self._rows), image)

    def gathered(self, missing: NDArray[np.bool_] | None) -> NDArray:
        """Images of all rows; of those `missing`, NaN."""
        if missing is not None:
            self.images[missing] = np.nan
        return self.images

    def flush(self) -> None:
        """Reduce what was taken since the last time, and write it."""
        if self._rows and self._reducer is not None:
            self.images[self._rows] = self._reduce(self._chunk[: len(self._rows)])
        if self._rows:
            release_pages(self.images)
        self._n_taken += len(self._rows)
        self._rows.clear()

    def _reduce(self, images: NDArray) -> NDArray:
        return images if self._reducer is None else np.asarray(_reduced(self._reducer, images))


def _n_bytes(shape: tuple[int, ...], dtype: DTypeLike) -> int:
    return int(np.prod(shape)) * np.dtype(dtype).itemsize


class CutoutsGatherer:
    """Arrays of images and of what is known of each, whose shapes the first cutouts tell.

    Parameters are those of `ImageGatherer`, and the pixel scales of the rows, for the case that no cutout comes.
    """

    def __init__(self, n: int, shape, dtype: DTypeLike, reducer, memmap, needs_nan: bool, pixel_scales: list[float]):
        self._n, self._shape, self._dtype, self._reducer = n, shape, np.dtype(dtype), reducer
        self._memmap, self._needs_nan, self._pixel_scales = memmap, needs_nan, np.array(pixel_scales)
        self._at_once = max(1, CHUNK_BYTES // _n_bytes(shape, dtype))
        self._waiting: list[Cutouts] = []
        self._rows: list[int] = []
        self._arrays: dict[str, NDArray] = {}
        self._objects: dict[str, list] = {}
        self._n_taken, self._stretched = 0, False

    def put(self, row: int, cutouts: Cutouts) -> None:
        """Take the cutout of `row`."""
        self._waiting.append(cutouts)
        self._rows.append(row)
        if len(self._rows) == self._at_once:
            self.flush()

    def append(self, _, cutouts: Cutouts) -> None:
        """Take the cutout of the first row that has none yet."""
        self.put(self._n_taken + len(self._rows), cutouts)

    def flush(self) -> None:
        """Reduce what was taken since the last time, and write it."""
        if not self._rows:
            return
        chunk = self._reduce(Cutouts.concatenate(self._waiting))
        known = {"images": chunk.images, **{name: v for name, v in chunk.context.items() if v is not None}}
        if not self._arrays:
            self._begin(known)
            self._stretched = chunk.stretched
        self._check_alike(known, chunk.stretched)
        for name, value in known.items():
            self._write(name, value)
        self._n_taken += len(self._rows)
        self._rows.clear()
        self._waiting.clear()

    def gathered(self, missing: NDArray[np.bool_] | None) -> Cutouts:
        """Cutouts of all rows, of those `missing` NaN; or, for None, of the first rows, as many as were taken."""
        if not self._arrays:
            return self._of_nothing(0 if missing is None else self._n)
        if missing is None:
            missing = np.zeros(self._n_taken, dtype=bool)
        n = len(missing)
        for name, array in self._arrays.items():
            array[:n][missing] = True if name == "mask" else np.nan
        values: dict[str, Any] = {**self._objects, **self._arrays}
        known = {name: of_rows[:n] for name, of_rows in values.items()}
        context: dict[str, Any] = {**dict.fromkeys(CONTEXT), **known}
        images = context.pop("images")
        return unchecked(
            images, {name: _simplest(value, missing) for name, value in context.items()}, self._stretched
        )

    def _reduce(self, cutouts: Cutouts) -> Cutouts:
        reduced = cutouts if self._reducer is None else _reduced(self._reducer, cutouts)
        if not isinstance(reduced, Cutouts):
            raise ValueError(
                f"reducer={self._reducer!r} made an array of Cutouts; expected Cutouts, which know their camera."
            )
        return reduced

    def _begin(self, known: dict[str, Any]) -> None:
        """Make the arrays, in files if they are too large for memory together."""
        pixels = [value[:1].nbytes for name, value in known.items() if name in PIXELS and np.ndim(value) > 2]
        if self._memmap == "auto":
            self._memmap = self._n * sum(pixels) > MEMMAP_BYTES
        for name, value in known.items():
            if isinstance(value, list) or hasattr(value, "transform"):
                self._objects[name] = [None] * self._n
            else:
                self._arrays[name] = self._empty(name, value)

    def _empty(self, name: str, value) -> NDArray:
        dtype, per_galaxy = np.asarray(value).dtype, np.ndim(value) > (2 if name == "psf" else 0)
        if self._needs_nan and dtype.kind in "iu":
            dtype = np.result_type(dtype, np.float32)
        shape = np.shape(value)[1:] if per_galaxy else np.shape(value)
        return empty_array((self._n, *shape), dtype, self._memmap if name in PIXELS else False)

    def _check_alike(self, known: dict[str, Any], stretched: bool) -> None:
        have = self._arrays.keys() | self._objects.keys()
        if "mask" in known.keys() - have:  # those before have no bad pixel
            self._arrays["mask"] = self._empty("mask", known["mask"])
            for rows in row_chunks(self._arrays["mask"]):
                self._arrays["mask"][rows] = False
        elif "mask" in have - known.keys():
            known["mask"] = np.False_
        if odd := known.keys() ^ (self._arrays.keys() | self._objects.keys()):
            raise ValueError(f"{sorted(odd)} is known in some of the cutouts only; expected all or none to have it.")
        if stretched != self._stretched:
            raise ValueError("some of the cutouts are stretched, others are not; expected one kind.")

    def _write(self, name: str, value) -> None:
        if name in self._objects:
            many = value if isinstance(value, list) else [value] * len(self._rows)
            for row, one in zip(self._rows, many):
                self._objects[name][row] = one
            return
        array = self._arrays[name]
        if np.ndim(value) > 1 and np.shape(value)[1 - array.ndim :] != array.shape[1:]:
            raise ValueError(f"{name} has shapes {array.shape[1:]} and {np.shape(value)[1:]}; expected one size.")
        array[self._rows] = value
        release_pages(array)

    def _of_nothing(self, n: int) -> Cutouts:
        """Cutouts of n galaxies of which none could be had."""
        images = np.full((n, *self._shape), np.nan, dtype=np.result_type(self._dtype, np.float32))
        scales = np.where(self._pixel_scales > 0, self._pixel_scales, np.nan)[:n]
        return self._reduce(Cutouts(images, pixel_scale=scales))


def _simplest(value, missing: NDArray[np.bool_]):
    """A number that is the same for all galaxies as that number, or None if not known of any; else as it is."""
    if not (isinstance(value, np.ndarray) and value.ndim == 1 and not missing.all()):
        return value
    there = value[~missing]
    if np.isnan(there).all():
        return None
    return float(there[0]) if (there == there[0]).all() else value
