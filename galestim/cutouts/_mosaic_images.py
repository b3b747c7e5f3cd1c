"""Images of mosaics, of cutouts that know no camera."""

from __future__ import annotations

from functools import cache
from itertools import groupby

import numpy as np
from threadpoolctl import ThreadpoolController

from ._errors import CutoutError
from ._resample import resample_all
from ._tiles import jobs_of


@cache
def _libraries() -> ThreadpoolController:
    return ThreadpoolController()  # it looks through all libraries of the process, which takes as long as 50 cutouts


def one_thread():
    """Products of small matrices by one thread: several would wait for one another."""
    return _libraries().limit(limits=1, user_api="blas")


def fill_band(tiles, requests, planes, surface_brightness):
    """Cut one band, from the tile in which each galaxy lies deepest; others fill what that does not cover."""
    placements, jobs = jobs_of(tiles, requests)
    empty = np.ones(len(requests), dtype=bool)
    errors: dict[int, CutoutError] = {}
    for (rank, t), of_tile in groupby(jobs, key=lambda job: job[:2]):
        wanted = {block: i for _, _, block, i in of_tile if rank == 0 or np.isnan(planes[i]).any()}
        if wanted:
            try:
                errors |= _fill_of_tile(tiles[t], placements[t], wanted, planes, rank == 0, surface_brightness)
            except CutoutError as error:  # of an image at an address
                errors |= dict.fromkeys(wanted.values(), error)
            empty[list(wanted.values())] = False
    planes[: len(requests)][empty] = np.nan
    return errors


def _fill_of_tile(tile, placement, wanted, planes, is_first, surface_brightness):
    """What one tile has of some cutouts; `wanted` are their blocks and rows."""
    errors: dict[int, CutoutError] = {}
    with tile.opened() as images:
        for plane, image in zip(np.moveaxis(planes, -1, 0), images):
            own = {block: plane[i] for block, i in wanted.items()}
            found = own if is_first else {block: np.empty_like(one) for block, one in own.items()}
            failed = resample_all(image, placement, found, surface_brightness)
            errors |= {wanted[block]: error for block, error in failed.items()}
            for block, one in own.items() if not is_first else ():
                np.copyto(one, found[block], where=np.isnan(one))
    return errors
