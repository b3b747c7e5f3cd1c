"""Files and tiles of a mosaic: which there are for each band, and which galaxies lie in which."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from glob import glob, has_magic
from pathlib import Path
from textwrap import shorten

import numpy as np
from sklearn.utils import gen_batches

from .._tangent import direction
from ._fits_image import FitsImage, fits_image
from ._header_index import MANY, Place, images_at, states_of
from ._placement import place
from ._remote_file import RemoteFile, is_url
from .http import Transport, shown

_TILES_AT_ONCE = 1024
_LOOK = 20  # a look at all of many files is good for so many times as long as it took
_ROUNDING = 1e-7  # rad


def alike(tiles: list[FitsImage]) -> list[FitsImage]:
    """`tiles` themselves, if all have as many planes."""
    for tile in tiles:
        if tile.n_planes != tiles[0].n_planes:
            raise ValueError(
                f"{str(tile.path)!r} has {tile.n_planes} planes, but {str(tiles[0].path)!r} has {tiles[0].n_planes}; "
                "expected all tiles alike"
            )
    return tiles


def entries_of(paths, bands, hdu) -> dict:
    """Give band → (path or paths, extension or extensions), in the order of the channels."""
    names = None if bands is None else list(bands)
    if names is not None and len(set(names)) < len(names):
        raise ValueError(f"bands={names} has one of them twice; expected each once")
    if isinstance(paths, Mapping):
        named = dict(paths)
    elif not is_path(paths):
        if names is not None and len(names) != len(paths):
            raise ValueError(f"{len(names)} bands ({names}) for {len(paths)} paths; expected as many")
        named = dict(zip(range(len(paths)) if names is None else names, paths))
    elif isinstance(hdu, Mapping):
        named = dict.fromkeys(hdu, paths)
    elif names is not None and (len(names) == 1 or "{band}" in os.fsdecode(paths)):
        named = {name: os.fsdecode(paths).replace("{band}", name) for name in names}
    elif names is None:
        named = {0: paths}
    else:
        raise ValueError(
            f"bands={names} of one path, {shown_paths(paths)!r}; expected '{{band}}' in it, or a dict of paths or hdu"
        )
    wanted = list(named) if names is None else names
    unknown = [name for name in wanted if name not in named or (isinstance(hdu, Mapping) and name not in hdu)]
    if unknown or not wanted:
        raise ValueError(f"no path or hdu for the bands {unknown}; expected some of {list(named)}")
    return {name: (named[name], hdu[name] if isinstance(hdu, Mapping) else hdu) for name in wanted}


def is_path(paths) -> bool:
    """True if `paths` is one path, and not many of them in a list, array or column."""
    if isinstance(paths, str | bytes | os.PathLike):
        return True
    if hasattr(paths, "__len__") and hasattr(paths, "__getitem__"):
        return False
    raise TypeError(f"{paths!r} is of type {type(paths).__name__}; expected a path, a pattern, or a list of them")


def listed_paths(paths) -> Sequence:
    """One path, or many of them, as a sequence."""
    return [paths] if is_path(paths) else paths


def places_of(paths, hdus, transport: Transport | None = None) -> Iterator[Place]:
    """Give every tile of a band: a file and an extension. Without `transport`, files are on disk."""
    patterns = listed_paths(paths)
    if not len(patterns):
        raise ValueError("a band has no tiles, but an empty list; expected at least one path")
    for pattern in patterns:
        if not is_path(pattern):
            raise TypeError(f"{pattern!r} is in a list of tiles; expected a path")
        path = os.path.expanduser(os.fsdecode(pattern))
        files: list = [_remote(path, transport)] if is_url(path) else _files(path, pattern)
        for file in files:
            for hdu in hdus if isinstance(hdus, list | np.ndarray) else [hdus]:
                yield file, hdu


def _remote(url: str, transport: Transport | None) -> RemoteFile:
    if transport is None:
        raise ValueError(f"{shown(url)!r} is an address; expected a file on disk.")
    if "*" in url:
        raise ValueError(f"{shown(url)!r} is a pattern, and a service does not tell its files; give a list of them.")
    return RemoteFile.of(url, transport)


def _files(path: str, pattern) -> list[Path]:
    """Files on disk that a path or a pattern means."""
    files = sorted(glob(path)) if has_magic(path) and not os.path.exists(path) else [path]
    if not files or not os.path.exists(files[0]):
        raise FileNotFoundError(
            f"no file {str(pattern)!r}; give the path of a FITS image, or a pattern that finds some"
        )
    return list(map(Path, files))


def shown_paths(paths) -> str:
    """What is said of paths, in few words and without secrets of addresses."""
    return shorten(re.sub(r"https?://[^\s'\",]+", lambda found: shown(found[0]), str(paths)), 200)


def tiles_of(paths, hdus, transport=None, *, celestial: bool = True) -> list[FitsImage]:
    """Give the images of all tiles of a band, as the files are now.

    A look at many files takes longer than to cut some galaxies, and is good for a while; those that are opened are
    looked at always.
    """
    key = _key(paths, hdus, celestial)
    if tiles := _seen(key):
        return tiles
    start = time.monotonic()
    places = list(places_of(paths, hdus, transport))
    states = states_of(places)
    took = time.monotonic() - start
    tiles = images_at(places, celestial=celestial, states=states)
    if len(tiles) >= MANY and not any(isinstance(path, RemoteFile) for path, _ in places):
        _looks.pop(key, None)
        _looks[key] = time.monotonic() + _LOOK * took, tiles
        if len(_looks) > _LOOKS:
            del _looks[next(iter(_looks))]
    return tiles


def first_tile(paths, hdus, transport=None) -> FitsImage:
    """Give the first tile of a band; others are not looked at if that is on disk."""
    if tiles := _seen(_key(paths, hdus, True)):
        return tiles[0]
    place = next(places_of(paths, hdus, transport))
    return tiles_of(paths, hdus, transport)[0] if isinstance(place[0], RemoteFile) else fits_image(*place)


def _key(paths, hdus, celestial: bool) -> tuple:
    return tuple(map(str, listed_paths(paths))), repr(hdus), celestial


def _seen(key: tuple) -> list[FitsImage]:
    """Tiles that were looked at a moment ago, if there are many."""
    good_until, tiles = _looks.get(key, (0.0, []))
    return tiles if time.monotonic() < good_until else []


_LOOKS = 64  # of bands and their planes
_looks: dict[tuple, tuple[float, list[FitsImage]]] = {}


def jobs_of(tiles, requests):
    """Give the placements of galaxies in tiles, and what to do: (rank, tile, block of the placement, request).

    Rank 0 is the tile in which a galaxy lies deepest. Within a tile, pixels are read as they lie in the file.
    """
    sky = np.array([request[:4] for request in requests], dtype=float).T
    placements, jobs = {}, [np.empty((0, 5))]
    for t in _near_any(tiles, *sky):
        tile = tiles[t]
        near = np.flatnonzero(tile.is_near(*sky))
        if len(near):
            placements[t] = place(tile.sky, [requests[i] for i in near])
            x, y = placements[t].nodes[:, :, 1, 1].T
            depth = np.min([x, y, tile.shape[1] - 1 - x, tile.shape[0] - 1 - y], axis=0)
            jobs.append(np.stack([near, -depth, np.full(len(near), t), np.arange(len(near)), y], axis=1))
    request, depth, tile, block, y = np.concatenate(jobs).T
    order = np.lexsort([depth, request])
    rank = np.empty(len(order), dtype=int)
    rank[order] = np.arange(len(order)) - np.searchsorted(request[order], request[order])
    order = np.lexsort([y, tile, rank])
    return placements, zip(*(column[order].astype(int).tolist() for column in (rank, tile, block, request)))


def _near_any(tiles, ra, dec, pixel_scale, npix) -> list[int]:
    """Numbers of the tiles that a cutout may touch: ten thousand, one by one, would take long."""
    places = np.stack(direction(ra, dec))
    reach = np.radians(pixel_scale * npix / 3600).max() + _ROUNDING
    near: list[int] = []
    for some in gen_batches(len(tiles), _TILES_AT_ONCE):
        centers, radii = zip(*(tile.cap for tile in tiles[some]))
        far = np.hstack(centers).T @ places < np.cos(np.minimum(np.add(radii, reach), np.pi))[:, None]
        near += (some.start + np.flatnonzero(~far.all(axis=1))).tolist()
    return near
