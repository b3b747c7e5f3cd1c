"""An IVOA SODA 1.0 service, and Rubin's, as functions of an analytic sky and a query.

Written from the IVOA recommendation SODA 1.0 and Rubin's ``vo-cutouts``.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlencode

import numpy as np
from numpy.typing import NDArray

from .._tangent import TangentGrid, direction, position, tangent_header
from ._gaussians import window_of
from ._services import Answer, _fits
from ._sky import GaussianSky

# The mosaics behind SODA: tangent planes half a degree apart, of rotated pixels, so that every reply is resampled.
SODA_PREFIX = "ivo://galestim/loopback"
SODA_PIXEL_SCALE, SODA_ROTATION, SODA_SPACING, SODA_MAX_SIZE = 0.25, 20.0, 0.5, 4096


class _UsageError(ValueError):
    """Status and text of SODA's errors."""


def soda(sky: GaussianSky, query: Mapping[str, list[str]]) -> Answer:
    """An IVOA SODA 1.0 ``sync`` resource."""
    try:
        band, outline = _soda_request(sky, query)
        return _soda_cutout(sky, band, *_soda_center(*_middle(outline)), outline)
    except _UsageError as error:
        return Answer(error.args[0], "text/plain", error.args[1].encode())


def rubin(sky: GaussianSky, query: Mapping[str, list[str]], result_url: str) -> Answer:
    """Rubin's SODA service: the image is somewhere else, and no pixels are an error."""
    answer = soda(sky, query)
    if answer.status == 204:
        return Answer(400, "text/plain", b"UsageError No pixels\n\nThe cutout does not overlap the image")
    if answer.status != 200:
        return answer
    return Answer(303, "text/plain", b"", {"Location": f"{result_url}?{urlencode(query, doseq=True)}"})


def _soda_request(sky: GaussianSky, query: Mapping[str, list[str]]) -> tuple[str, NDArray]:
    """Band, and positions ``(2, n)`` whose bounding box is the region asked for; names are in any case (DALI)."""
    parameters: dict[str, list[str]] = {}
    for name, values in query.items():
        parameters.setdefault(name.upper(), []).extend(values)
    for name, values in parameters.items():
        if len(values) > 1 and name != "POL":
            raise _UsageError(400, f"MultiValuedParamNotSupported: {name}")
    if "ID" not in parameters:
        raise _UsageError(400, "UsageError: the ID parameter is required")
    prefix, _, band = parameters["ID"][0].rpartition("?")
    if prefix != SODA_PREFIX or band not in sky.bands:
        raise _UsageError(404, f"UsageError: no dataset has the ID {parameters['ID'][0]}")
    regions = [(name, values[0]) for name, values in parameters.items() if name in ("CIRCLE", "POLYGON", "POS")]
    if len(regions) != 1:
        raise _UsageError(400, "UsageError: expected one of CIRCLE, POLYGON and POS")
    name, text = regions[0]
    shape, _, rest = text.strip().partition(" ") if name == "POS" else (name, "", text)
    try:
        return band, _outline(shape.upper(), [float(word) for word in rest.split()])
    except (ValueError, IndexError) as error:
        raise _UsageError(400, f"UsageError: cannot read {name}={text}") from error


def _outline(shape: str, numbers: list[float]) -> NDArray[np.float64]:
    """Positions on the outline of a region."""
    if not np.isfinite(numbers).all():
        raise ValueError
    if shape == "CIRCLE" and len(numbers) == 3 and 0 < numbers[2] < 60 and abs(numbers[1]) <= 90:
        return np.stack(_circle(numbers[0], numbers[1], numbers[2]))
    if shape == "RANGE" and len(numbers) == 4:
        west, east, south, north = numbers
        return np.array([[west, east, east, west], [south, south, north, north]])
    if shape == "POLYGON" and len(numbers) >= 6 and len(numbers) % 2 == 0:
        return np.array(numbers).reshape(-1, 2).T
    raise ValueError


def _circle(ra: float, dec: float, radius: float, n: int = 64) -> tuple[NDArray, NDArray]:
    """Corners of a polygon that holds the circle."""
    angles = 2 * np.pi * np.arange(n) / n
    reach = np.tan(np.radians(radius)) / np.cos(np.pi / n)
    east, north, outward = TangentGrid(ra, dec, (1, 1), 1.0).frame
    rim = outward[:, None] + reach * (np.outer(east, np.sin(angles)) + np.outer(north, np.cos(angles)))
    return position(rim)


def _middle(outline: NDArray) -> tuple[float, float]:
    ra, dec = position(np.array(direction(*outline)).sum(axis=1))
    return float(ra), float(dec)


def _soda_center(ra: float, dec: float) -> tuple[float, float]:
    """Center of the tangent plane that the position is in."""
    row = SODA_SPACING * np.round(dec / SODA_SPACING)
    step = 360 / max(1, np.round(360 * np.cos(np.radians(row)) / SODA_SPACING))
    return float(step * np.round(ra / step)) % 360, float(row)


def _soda_cutout(sky: GaussianSky, band: str, ra: float, dec: float, outline: NDArray) -> Answer:
    """The part of the mosaic in the bounding box of `outline`, as far as there are data."""
    x, y = _soda_pixels(ra, dec, outline)
    left, right, bottom, top = (
        int(v) for v in (np.floor(x.min()), np.ceil(x.max()), np.floor(y.min()), np.ceil(y.max()))
    )
    shape = top - bottom + 1, right - left + 1
    if max(shape) > SODA_MAX_SIZE:
        raise _UsageError(400, f"UsageError: the region has {shape[0]} x {shape[1]} pixels; at most {SODA_MAX_SIZE}")
    grid = TangentGrid(ra, dec, shape, SODA_PIXEL_SCALE, center=(top, -left), rotation=SODA_ROTATION)
    plane = sky.render(grid.directions())[sky.bands.index(band)] * SODA_PIXEL_SCALE**2
    window = window_of(np.isfinite(plane))
    if window is None:
        return Answer(204, "")
    (rows, columns), plane = window, plane[window]
    header = tangent_header(ra, dec, plane.shape, SODA_PIXEL_SCALE)
    header["CRPIX1"], header["CRPIX2"] = 1.0 - left - columns.start, float(rows.stop - top)
    cosine, sine = (float(f(np.radians(SODA_ROTATION))) * SODA_PIXEL_SCALE / 3600 for f in (np.cos, np.sin))
    header["CD1_1"], header["CD1_2"], header["CD2_1"], header["CD2_2"] = -cosine, sine, sine, cosine
    header["BUNIT"] = "nmgy"
    return Answer(200, "application/fits", _fits(plane[::-1], header))


def _soda_pixels(ra: float, dec: float, outline: NDArray) -> tuple[NDArray, NDArray]:
    """Pixels right of and above the mosaic's reference position."""
    frame = TangentGrid(ra, dec, (1, 1), 1.0).frame
    east, north, outward = frame @ np.array(direction(*outline))
    if (outward <= 0).any():
        raise _UsageError(400, "UsageError: the region is larger than a hemisphere")
    step = np.radians(SODA_PIXEL_SCALE / 3600)
    cosine, sine = np.cos(np.radians(SODA_ROTATION)), np.sin(np.radians(SODA_ROTATION))
    east, north = east / outward / step, north / outward / step
    return sine * north - cosine * east, sine * east + cosine * north
