"""The camera of a user's own images, measured: noise, its correlation and, from stars, the point-spread function."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from .._cutouts import Cutouts
from .._sky import MAX_LAG, Sky, autocorrelation, require_photutils, subtract_sky
from .._stars import BOX, MIN_STARS, Tile, measure_psf
from ._correlation import TO_SIGMA, WHITE
from ._psf import ImagePSF

LONGEST = 8.0  # pixels, of a correlation
SHORTEST = 0.3  # pixels: below, neighbors share less than a thousandth
LARGEST_SAMPLE = 1000  # cutouts that are measured
ALIKE = 1e-3  # by which pixel scales may differ and be one


def measured(images, psf, pixel_scale, gain, zero_point, mask, npix, saturation) -> dict:
    """Entries of a `Band` that resembles `images`; see `Band.from_images`."""
    require_photutils("Band.from_images")
    if hasattr(images, "tiles") or np.ndim(images) == 2:
        tiles = _tiles(images, mask, saturation)
        pixel_scale = getattr(images, "pixel_scale", None) if pixel_scale is None else pixel_scale
        skies = [subtract_sky(tile.image, tile.bad, BOX) for tile in tiles]
        psf = measure_psf(tiles, None, npix, MIN_STARS) if psf is None else psf
    else:
        cutouts = _as_cutouts(images, mask)
        skies = _skies(cutouts)
        pixel_scale, gain, zero_point, psf = (
            _known(cutouts, name, value)
            for name, value in (
                ("pixel_scale", pixel_scale),
                ("gain", gain),
                ("zero_point", zero_point),
                ("psf", psf),
            )
        )
    if pixel_scale is None or psf is None:
        missing = "pixel_scale [arcsec]" if pixel_scale is None else "psf, as cutouts show no stars"
        raise ValueError(f"the images do not tell the {missing}; expected it, in the images or beside them.")
    return {
        "psf": psf if hasattr(psf, "transform") else ImagePSF(np.asarray(psf), float(pixel_scale)),
        "sky_noise": float(np.sqrt(np.median([sky.noise**2 for sky in skies]))),
        "pixel_scale": float(pixel_scale),
        "gain": gain,
        "correlation": correlation_length(skies),
        **({} if zero_point is None else {"zero_point": float(zero_point)}),
    }


def _tiles(mosaic, mask, saturation) -> list[Tile]:
    if not hasattr(mosaic, "tiles"):
        return [Tile.of_array(mosaic, mask, saturation)]
    if mask is not None:
        raise ValueError("mask is given beside a FitsMosaic; expected FitsMosaic(…, mask=…).")
    return [t if saturation is None else t._replace(saturation=float(saturation)) for t in mosaic.tiles()]


def _as_cutouts(images, mask) -> Cutouts:
    """Cutouts of one band, without the axis of bands."""
    cutouts = images if isinstance(images, Cutouts) else Cutouts(images)
    if cutouts.stretched:
        raise ValueError("the images are stretched; expected linear ones, of which noise can be measured.")
    if cutouts.ndim == 4 and cutouts.shape[3] != 1:
        raise ValueError(
            f"the images have {cutouts.shape[3]} bands; expected one: images[..., :1] of Cutouts' arrays."
        )
    return cutouts if mask is None else cutouts.replace(mask=mask)


def _skies(cutouts: Cutouts) -> list[Sky]:
    """The sky of the cutouts that have enough of it."""
    skies = []
    for row in np.unique(np.linspace(0, len(cutouts) - 1, LARGEST_SAMPLE).astype(int)):
        image = np.asarray(cutouts[[row]], dtype=float).reshape(cutouts.shape[1:3])
        try:
            skies.append(subtract_sky(np.nan_to_num(image), ~np.isfinite(image)))
        except ValueError:  # filled by its galaxy, or missing
            continue
    if not skies:
        raise ValueError(f"none of {len(cutouts)} images has enough sky to measure its noise; expected larger ones.")
    return skies


def _known(cutouts: Cutouts, name: str, given):
    """What is given or else what the cutouts know: one number, one stamp."""
    value = getattr(cutouts, name) if given is None else given
    if name == "psf":
        if isinstance(value, list):
            raise ValueError("psf is one object for each galaxy; expected psf=, one for all, or stamps.")
        if not isinstance(value, np.ndarray):
            return value
        stamp = value if value.ndim == 2 else np.nanmean(value.reshape(value.shape[:3]), axis=0)
        return stamp / stamp.sum()
    if value is None or np.ndim(value) == 0:
        return value
    middle = float(np.median(value))
    if name != "gain" and abs(np.asarray(value) - middle).max() > ALIKE * abs(middle):
        raise ValueError(f"{name} goes from {np.min(value):g} to {np.max(value):g}; expected images of one camera.")
    return middle


def correlation_length(skies: list[Sky]) -> float | None:
    """Full width at half maximum [pixels] of the kernel whose noise correlates most as the skies; None if none does.

    By least squares over all lags that are significant, or neighboring pixels.
    """
    correlation, n_pairs = autocorrelation([np.where(sky.free, sky.image / sky.noise, np.nan) for sky in skies])
    lag = np.arange(-MAX_LAG, MAX_LAG + 1)
    distance2 = np.add.outer(lag**2, lag**2)
    used = (distance2 > 0) & ((abs(correlation) > 5 / np.sqrt(n_pairs)) | (distance2 <= 2))
    neighbors = correlation[distance2 == 1].mean()
    if neighbors < max(0.01, 4 / np.sqrt(n_pairs)):
        return None

    def misfit(length: float) -> float:
        model = (1 - WHITE) * np.multiply.outer(_along(length, lag), _along(length, lag))
        return float(((model - correlation)[used] ** 2).sum())

    return round(float(minimize_scalar(misfit, bounds=(SHORTEST, LONGEST), method="bounded").x), 3)


def _along(length: float, lag: NDArray) -> NDArray:
    """Correlation of pixels along an axis."""
    place = np.arange(-40, 41)
    taps = np.exp(-0.5 * (place / (TO_SIGMA * length)) ** 2)
    return np.array([taps @ np.exp(-0.5 * ((place - shift) / (TO_SIGMA * length)) ** 2) for shift in lag]) / (
        taps @ taps
    )
