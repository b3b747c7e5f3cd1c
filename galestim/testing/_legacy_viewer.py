"""The Legacy Surveys' sky viewer as a function of an analytic sky and a query: images, their weights, and stars.

Written from its ``cutouts.py`` and ``views.py`` (legacysurvey/imagine).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from .._tangent import TangentGrid, tangent_header
from ._services import Answer, _indices, _jpeg, _rgb_bands, _stretch, _written
from ._sky import GaussianSky

# Legacy Surveys (views.py): the largest image, the gray of nothing, and of each layer the side of a native pixel and
# the zoom that shows it.
LEGACY_MAX_SIZE, LEGACY_GRAY = 3000, 32
# What it says of the camera: inverse variances of one noise [nanomaggies], and a Gaussian of one width [arcsec].
LEGACY_NOISE, LEGACY_PSF_FWHM, LEGACY_STAMP = 0.01, 1.3, 63
LEGACY_LAYERS = {"ls-dr10": (0.262, 14), "ls-dr9": (0.262, 14), "sdss": (0.396, 13)}


def legacy(sky: GaussianSky, query: Mapping[str, str], *, as_fits: bool) -> Answer:
    """The Legacy Surveys viewer's ``fits-cutout`` and ``jpeg-cutout``."""
    layer = query.get("layer", "ls-dr10")
    if layer not in LEGACY_LAYERS:
        return Answer(200, "text/html; charset=utf-8", b"no such layer")
    native, zoom = LEGACY_LAYERS[layer]
    try:
        ra, dec, scale = float(query["ra"]), float(query["dec"]), _legacy_scale(query, native, zoom)
        size = int(query.get("size", 256))
        height, width = (min(int(query.get(name, size)), LEGACY_MAX_SIZE) for name in ("height", "width"))
        planes = sky.render(TangentGrid(ra, dec, (height, width), scale).directions())
        covered = np.isfinite(planes).any()
    except (KeyError, ValueError):
        return LEGACY_FAILURE
    bands = query.get("bands") or "".join(sky.bands)
    if not set(bands) <= set(sky.bands):
        bands = "".join(sky.bands)
    if not as_fits:
        picture = _stretch(planes[_indices(sky, _rgb_bands(bands))])
        return Answer(200, "image/jpeg", _jpeg(picture if covered else np.full_like(picture, LEGACY_GRAY)))
    if not covered:
        return LEGACY_FAILURE
    header = _legacy_header(tangent_header(ra, dec, (height, width), scale), bands, height, width)
    planes = planes[_indices(sky, bands)][:, ::-1] * native**2
    extensions = {"IMAGE": np.nan_to_num(planes)}
    if "invvar" in query:  # with any value
        extensions["INVVAR"] = np.isfinite(planes) / LEGACY_NOISE**2
    name = f'inline; filename="cutout_{ra:.4f}_{dec:.4f}.fits"'
    body = _legacy_fits(extensions, header)
    return Answer(200, "image/fits", body, {"Content-Disposition": name})


def legacy_psf(sky: GaussianSky, query: Mapping[str, str]) -> Answer:
    """The Legacy Surveys viewer's ``coadd-psf``: a stamp of native pixels for each band, in an HDU each."""
    layer = query.get("layer", "ls-dr10")
    if layer not in LEGACY_LAYERS:
        return Answer(200, "text/html; charset=utf-8", b"no such layer")
    try:
        ra, dec = float(query["ra"]), float(query["dec"])
    except (KeyError, ValueError):
        return LEGACY_FAILURE
    if not sky.covers(ra, dec):
        return LEGACY_FAILURE
    offset = np.arange(LEGACY_STAMP) - LEGACY_STAMP // 2
    width = LEGACY_PSF_FWHM / 2.3548 / LEGACY_LAYERS[layer][0]
    line = np.exp(-(offset**2) / (2 * width**2))
    stamp = np.outer(line, line).astype(np.float32) / np.float32(line.sum() ** 2)
    bands = "".join(sky.bands)
    header = fits.Header([("BANDS", bands), *((f"BAND{i}", band) for i, band in enumerate(bands))])
    hdus = [fits.PrimaryHDU(stamp, header), *(fits.ImageHDU(stamp) for _ in bands[1:])]
    for hdu, band in zip(hdus, bands):
        hdu.header["BAND"] = band
    return Answer(200, "image/fits", _written(fits.HDUList(hdus)))


def _legacy_fits(extensions: Mapping[str, NDArray], header: fits.Header) -> bytes:
    """A FITS file with an HDU for each kind of cube, or of plane if there is one band."""
    hdus: list = []
    for kind, cube in extensions.items():
        own = header.copy()
        own["IMAGETYP"] = kind
        plane = np.ascontiguousarray(cube if len(cube) > 1 else cube[0], dtype=np.float32)
        hdus.append((fits.ImageHDU if hdus else fits.PrimaryHDU)(plane, own))
    return _written(fits.HDUList(hdus))


# Django's answer when a view raises, here NoOverlapError or a missing or unreadable parameter.
LEGACY_FAILURE = Answer(500, "text/html", b"<!doctype html><html><body><h1>Server Error (500)</h1></body></html>")


def _legacy_scale(query: Mapping[str, str], native: float, native_zoom: int) -> float:
    """Side of a pixel: ``pixscale``, or the native one at its zoom and twice that at each lower one."""
    if "pixscale" not in query and "zoom" in query:
        return native * 2.0 ** (native_zoom - int(query["zoom"]))
    return float(query.get("pixscale", native))


def _legacy_header(header: fits.Header, bands: str, height: int, width: int) -> fits.Header:
    header["IMAGEW"], header["IMAGEH"] = width, height
    header["SURVEY"], header["IMAGETYP"], header["BANDS"] = "LegacySurvey", "IMAGE", bands
    for i, band in enumerate(bands):
        header[f"BAND{i}"] = band
    return header
