"""Files and tiles of a mosaic: which there are for each band, and which galaxies lie in which."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from glob import glob, has_magic
from pathlib import Path

import numpy as np
from sklearn.utils import gen_batches

from .._tangent import direction
from ._fits_image import FitsImage
from ._resample import place

_TILES_AT_ONCE = 1024
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
            f"bands={names} of one path, {str(paths)!r}; expected '{{band}}' in it, or a dict of paths or hdu"
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


def places_of(paths, hdus) -> Iterator[tuple[Path, int | str | tuple | None]]:
    """Give every tile of a band: a file and an extension."""
    patterns = [paths] if is_path(paths) else paths
    if not len(patterns):
        raise ValueError("a band has no tiles, but an empty list; expected at least one path")
    for pattern in patterns:
        if not is_path(pattern):
            raise TypeError(f"{pattern!r} is in a list of tiles; expected a path")
        path = os.path.expanduser(os.fsdecode(pattern))
        files = sorted(glob(path)) if has_magic(path) and not os.path.exists(path) else [path]
        if not files or not os.path.exists(files[0]):
            raise FileNotFoundError(
                f"no file {str(pattern)!r}; give the path of a FITS image, or a pattern that finds some"
            )
        for file in files:
            for hdu in hdus if isinstance(hdus, list | np.ndarray) else [hdus]:
                yield Path(file), hdu


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
