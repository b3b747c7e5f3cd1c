"""From the rows of a catalog to requests for cutouts."""

from __future__ import annotations

from itertools import repeat

import astropy.units as u
import numpy as np

from ..catalogs import Catalog
from ._source import CutoutRequest, CutoutSource


def make_requests(
    catalog: Catalog,
    source: CutoutSource,
    *,
    npix: int,
    pixel_scale: float | None,
    pixel_scale_re: float | None,
) -> list[CutoutRequest]:
    """One request per row; its pixel scale is not positive where the half-light radius is not."""
    if not len(catalog):
        raise ValueError("Found array with 0 sample(s): the catalog has no rows; expected at least one galaxy.")
    ra, dec = (catalog[name].to_value(u.deg).tolist() for name in ("ra", "dec"))
    if pixel_scale_re is None:
        scales = [_common_scale(source, pixel_scale)] * len(catalog)
    elif pixel_scale is not None:
        raise ValueError(f"pixel_scale={pixel_scale!r} and pixel_scale_re={pixel_scale_re!r}; expected one of them.")
    else:
        scales = _scales_in_radii(catalog, pixel_scale_re)
    return list(map(CutoutRequest, ra, dec, scales, repeat(int(npix)), _names(catalog, source)))


def _common_scale(source: CutoutSource, pixel_scale: float | None) -> float:
    scale = source.pixel_scale if pixel_scale is None else pixel_scale
    if scale is None:
        raise ValueError(
            f"{type(source).__name__} has no pixel scale of its own; pass pixel_scale= [arcsec] or pixel_scale_re= "
            "[half-light radii]."
        )
    return float(scale)


def _scales_in_radii(catalog: Catalog, pixel_scale_re: float) -> list[float]:
    if "half_light_radius" not in catalog.colnames:
        raise ValueError(
            f"pixel_scale_re={pixel_scale_re!r} needs half-light radii, but the catalog has the columns "
            f"{', '.join(catalog.colnames)}. Name the right one: Catalog(data, half_light_radius=...)."
        )
    return (pixel_scale_re * catalog["half_light_radius"].to_value(u.arcsec)).tolist()


def _names(catalog: Catalog, source: CutoutSource) -> list[str]:
    if "object_id" in catalog.colnames:
        return np.asarray(catalog["object_id"]).astype(str).tolist()
    if getattr(source, "looks_up_names", False):  # a row's number changes when the catalog is split
        raise ValueError(
            f"{type(source).__name__} looks images up by object_id, but the catalog has the columns "
            f"{', '.join(catalog.colnames)}. Name the right one: Catalog(data, object_id=...)."
        )
    return list(map(str, range(len(catalog))))
