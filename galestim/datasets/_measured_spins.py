"""What tables of measured spins have in common: an observation per galaxy, and images as in the published recipe."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray
from sklearn.utils import Bunch

from ..cutouts import CutoutFetcher

NPIX, PIXEL_SCALE_RE = 424, 0.02  # the published recipe: a frame of 8.48 R_e


def spin_fetcher(source, parameters: dict[str, Any]) -> CutoutFetcher:
    """What cuts images out as in the recipe."""
    return CutoutFetcher(source, npix=NPIX, pixel_scale_re=PIXEL_SCALE_RE, **parameters)


def best_of_each(galaxy: NDArray, error: NDArray[np.float64]) -> NDArray[np.intp]:
    """Rows, in order, of one observation per galaxy: that of the smallest error; one that is none is the largest."""
    best_first = np.argsort(np.where(error > 0, error, np.inf), kind="stable")
    return np.sort(best_first[np.unique(galaxy[best_first], return_index=True)[1]])


def with_images(
    catalog, selection: dict[str, int], fetcher: CutoutFetcher | None, told: Callable[[QTable], str]
) -> Bunch:
    """Catalog, images and spins; without galaxies that have no image, of which `told` says more in a warning."""
    images = report = None
    if fetcher is not None:
        acquired = fetcher.acquire(catalog, on_error="skip")
        catalog, images, report = acquired.catalog, acquired.images, acquired.report
        selection["with an image"] = len(catalog)
        _warn_of_missing(report, told)
    lambda_r = np.asarray(catalog["lambda_r"])
    return Bunch(catalog=catalog, images=images, lambda_r=lambda_r, selection=selection, report=report)


def _warn_of_missing(report: QTable, told: Callable[[QTable], str]) -> None:
    missing = report[report["status"] != "ok"]
    if len(missing):
        warnings.warn(
            f"{len(missing)} of {len(report)} galaxies have no image and are left out{told(missing)}. The first is "
            f"{missing['object_id'][0]}: {missing['reason'][0]} For all see the report.",
            stacklevel=4,
        )
