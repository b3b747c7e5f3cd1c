"""SkyServer and hips2fits as functions of an analytic sky and a query, and what all services answer with.

Services are written from their own source or documentation, so that they can contradict a client: here SkyServer's
``getJpegController.cs`` and ``ImgCutout.cs`` (sciserver/SkyServerWS), and astroquery's ``hips2fits`` module with its
tests against the live service.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from .._sdss_colors import sdss_colors
from .._tangent import TangentGrid, direction, position
from ._sky import GaussianSky

# SkyServer (ImgCutout.cs, SdssConstants.cs): limits of pixels, of arcsec per pixel, and half the diagonal of a frame.
SKYSERVER_PIXELS, SKYSERVER_SCALE, FRAME_HALF_DIAGONAL = (64, 2048), (0.015, 2400.0), 8.4 / 60

HIPS_PREFIX = "galestim/P/loopback"


class Answer(NamedTuple):
    """Reply of a service to one request, as :meth:`LoopbackSky.answer` returns it.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    status : int
        HTTP status.
    content_type : str
        Media type.
    body : bytes, default=b""
        The reply itself.
    headers : dict of str, default={}
        Further header fields.
    reason : str or None, default=None
        Words after the status; None gives the usual ones.

    Examples
    --------
    >>> from galestim.testing import Answer
    >>> Answer(503, "text/plain", b"maintenance").status
    503
    """

    status: int
    content_type: str
    body: bytes = b""
    headers: dict[str, str] = {}
    reason: str | None = None


# --- SkyServer ----------------------------------------------------------------------------------------------


def skyserver(sky: GaussianSky, query: dict[str, str]) -> Answer:
    """SDSS' ``ImgCutout/getjpeg``."""
    try:
        ra, dec = float(query["ra"]), float(query["dec"])
        scale = float(query.get("scale") or 0.396127)
        width, height = (int(query.get(name) or 128) for name in ("width", "height"))
    except (KeyError, ValueError) as error:
        return _skyserver_error(error)
    width, height = (min(max(size, SKYSERVER_PIXELS[0]), SKYSERVER_PIXELS[1]) for size in (width, height))
    scale = min(max(scale, SKYSERVER_SCALE[0]), SKYSERVER_SCALE[1])
    ra, dec = (float(angle) for angle in position(np.array(direction(ra, dec))))  # brought into range, over the pole
    search = FRAME_HALF_DIAGONAL + np.hypot(width, height) / 2 * scale / 3600
    if not _covers_near(sky, ra, dec, search):
        sentence = "Requested (ra, dec) is outside the SDSS footprint."
        return Answer(404, "image/jpeg", _message(sentence, width, height), reason=f"NOT FOUND. {sentence}")
    planes = sky.render(TangentGrid(ra, dec, (height, width), scale).directions())
    bands = _rgb_bands("gri" if set("gri") <= set(sky.bands) else sky.bands)
    return Answer(200, "image/jpeg", _jpeg(_stretch(planes[_indices(sky, bands)])))


def _skyserver_error(error: Exception) -> Answer:
    missing = isinstance(error, KeyError)
    limits = "ra must be in [0,360], dec must be in [-90,90], scale must be in [0.015, 60.0]"
    message = (
        f"There are not enough parameters to process your request. Enter position (ra,dec) values properly.{limits}. "
        if missing
        else f"The input values are not in correct format. {limits}, height and width must be in [64,2048]. \n"
        f" Detail Error Message: {error}"
    )
    content = {"ErrorCode": 400, "ErrorType": "BadRequest", "ErrorMessage": message, "LogMessageID": None}
    return Answer(400, "application/json; charset=utf-8", json.dumps(content).encode())


def _covers_near(sky: GaussianSky, ra: float, dec: float, radius: float) -> bool:
    """True if the footprint has a part within `radius` [deg], to a sixteenth of it."""
    disk = np.hypot(*(np.indices((33, 33)) - 16)) <= 16
    grid = TangentGrid(ra, dec, (33, 33), min(radius, 80.0) * 3600 / 16)
    return bool(sky.covers(*position(grid.directions()))[disk].any())


def _message(sentence: str, width: int, height: int) -> bytes:
    image = Image.new("RGB", (width, height))
    ImageDraw.Draw(image).text((5, 5), sentence, fill=(255, 255, 255))
    return _jpeg(np.asarray(image))


# --- hips2fits ----------------------------------------------------------------------------------------------


class _BadParameterError(ValueError):
    """Title and description of hips2fits' JSON."""


def hips2fits(sky: GaussianSky, query: Mapping[str, str]) -> Answer:
    """The hips2fits service of CDS."""
    try:
        kind = _one_of(query, "format", "fits", ("fits", "jpg", "png"))
        bands, color = _hips(sky, query)
        wcs = _hips_wcs(query)
        planes = _render_wcs(sky, wcs)[_indices(sky, bands)]
        if kind == "fits":
            values = np.moveaxis(_stretch(planes), -1, 0) if color else planes[0]
            return Answer(200, "image/fits", _fits(values[..., ::-1, :], wcs.to_header()))
        return _hips_picture(_stretch(planes) if color else _hips_gray(planes[0], query), kind)
    except _BadParameterError as error:
        title, description = error.args
        return Answer(400, "application/json", json.dumps({"title": title, "description": description}).encode())


def _hips(sky: GaussianSky, query: Mapping[str, str]) -> tuple[str, bool]:
    """Bands of the HiPS that ``hips`` names, by its identifier or the end of it, and whether it is a color HiPS."""
    name = _required(query, "hips")
    for band in (*sky.bands, "color"):
        if f"/{HIPS_PREFIX}/{band}".endswith(f"/{name}"):
            return (_rgb_bands(sky.bands), True) if band == "color" else (band, False)
    raise _BadParameterError("Unknown HiPS", f"No HiPS matches {name}")


def _hips_wcs(query: Mapping[str, str]) -> WCS:
    """The grid asked for: that of ``wcs``, or of a center and a field of view, with the center at CRPIX = W/2."""
    try:
        cards = json.loads(query["wcs"]) if "wcs" in query else _hips_cards(query)
        wcs = WCS(fits.Header(cards.items()), fix=False)
    except _BadParameterError:
        raise
    except Exception as error:
        raise _BadParameterError("Bad WCS", str(error)) from error
    if wcs.pixel_shape is None or not wcs.has_celestial:
        raise _BadParameterError("Bad WCS", "NAXIS1 and NAXIS2 and celestial axes are required")
    return wcs


def _hips_cards(query: Mapping[str, str]) -> dict[str, object]:
    width, height = (int(_number(query, name)) for name in ("width", "height"))
    if min(width, height) < 1:
        raise _BadParameterError("Bad size", f"width={width}, height={height}")
    step = _number(query, "fov") / max(width, height)
    frame = _one_of(query, "coordsys", "icrs", ("icrs", "galactic"))
    x, y = ("RA--", "DEC-") if frame == "icrs" else ("GLON", "GLAT")
    projection, angle = query.get("projection", "TAN"), np.radians(_number(query, "rotation_angle", 0.0))
    return {
        "NAXIS": 2, "NAXIS1": width, "NAXIS2": height, "CTYPE1": f"{x}-{projection}", "CTYPE2": f"{y}-{projection}",
        "CRVAL1": _number(query, "ra"), "CRVAL2": _number(query, "dec"), "CRPIX1": width / 2, "CRPIX2": height / 2,
        "CUNIT1": "deg", "CUNIT2": "deg", "CD1_1": -step * np.cos(angle), "CD1_2": step * np.sin(angle),
        "CD2_1": step * np.sin(angle), "CD2_2": step * np.cos(angle),
    }  # fmt: skip


def _render_wcs(sky: GaussianSky, wcs: WCS) -> NDArray[np.float64]:
    """Surface brightness on the pixels of `wcs`, row 0 at the top of the image; NaN off the sky."""
    width, height = wcs.pixel_shape
    x, y = np.meshgrid(np.arange(width), np.arange(height)[::-1])
    places = wcs.pixel_to_world(x, y).icrs
    ra, dec = places.ra.deg, places.dec.deg
    off = ~(np.isfinite(ra) & np.isfinite(dec))
    if off.all():
        raise _BadParameterError("Bad WCS", "No pixel is on the sky")
    ra[off], dec[off] = ra[~off][0], dec[~off][0]
    planes = sky.render(np.stack(direction(ra, dec)))
    planes[:, off] = np.nan
    return planes


def _hips_gray(plane: NDArray, query: Mapping[str, str]) -> NDArray[np.uint8]:
    """One band as a picture: cut, stretched, in gray."""
    stretch = _one_of(query, "stretch", "linear", tuple(STRETCHES))
    low, high = (_cut(query, name, default, plane) for name, default in (("min_cut", "0.5%"), ("max_cut", "99.5%")))
    share = np.clip((plane - low) / (high - low if high > low else 1.0), 0, 1)
    gray = np.nan_to_num(255 * STRETCHES[stretch](share)).round().astype(np.uint8)
    return np.repeat(gray[..., None], 3, axis=2)


def _cut(query: Mapping[str, str], name: str, default: str, plane: NDArray) -> float:
    """A value to cut at: that given, or the percentile if it ends with a percent sign."""
    text = query.get(name, default)
    number = _number({name: text.rstrip("%")}, name)
    if not text.endswith("%"):
        return number
    finite = plane[np.isfinite(plane)]
    return float(np.percentile(finite, np.clip(number, 0, 100))) if finite.size else 0.0


STRETCHES: dict[str, Callable[[NDArray], NDArray]] = {
    "linear": lambda x: x,
    "sqrt": np.sqrt,
    "power": np.square,
    "log": lambda x: np.log1p(1000 * x) / np.log1p(1000),
    "asinh": lambda x: np.arcsinh(10 * x) / np.arcsinh(10),
}


def _hips_picture(pixels: NDArray[np.uint8], kind: str) -> Answer:
    if kind == "jpg":
        return Answer(200, "image/jpeg", _jpeg(pixels))
    buffer = io.BytesIO()
    Image.fromarray(pixels).convert("RGBA").save(buffer, "PNG")
    return Answer(200, "image/png", buffer.getvalue())


def _required(query: Mapping[str, str], name: str) -> str:
    if name not in query:
        raise _BadParameterError("Missing parameter", f'The "{name}" parameter is required.')
    return query[name]


def _number(query: Mapping[str, str], name: str, default: float | None = None) -> float:
    text = query[name] if name in query or (default is None and _required(query, name)) else default
    try:
        return float(str(text))
    except ValueError as error:
        raise _BadParameterError("Invalid parameter", f"Unknown value {text} for {name} parameter") from error


def _one_of(query: Mapping[str, str], name: str, default: str, choices: tuple[str, ...]) -> str:
    value = query.get(name, default)
    if value not in choices:
        raise _BadParameterError("Invalid parameter", f"Unknown value {value} for {name} parameter")
    return value


# --- pictures and files -------------------------------------------------------------------------------------


def _rgb_bands(bands: Sequence[str]) -> str:
    """Bands shown in red, green and blue: the last three, from red to blue, or one of them more than once."""
    shown = list(bands)[-3:][::-1]
    return "".join((shown + shown[-1:] * 2)[:3])


def _indices(sky: GaussianSky, bands: str) -> list[int]:
    """Indices of `bands` among the sky's."""
    return [sky.bands.index(band) for band in bands]


def _stretch(planes: NDArray) -> NDArray[np.uint8]:
    """Surface brightness in red, green and blue as a color image."""
    return sdss_colors(np.moveaxis(np.nan_to_num(planes).astype(np.float32), 0, -1))


def _jpeg(pixels: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, "JPEG", quality=75, subsampling="4:2:0")
    return buffer.getvalue()


def _fits(data: NDArray, header: fits.Header) -> bytes:
    kept = data if data.dtype == np.uint8 else data.astype(np.float32)
    return _written(fits.PrimaryHDU(np.ascontiguousarray(kept), header))


def _written(hdus) -> bytes:
    buffer = io.BytesIO()
    hdus.writeto(buffer)
    return buffer.getvalue()
