"""Checks of images and their camera: of whatever users give, arrays in one unit each."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from astropy import units as u
from numpy.typing import NDArray

from ._as_images import objects_of, stacked
from ._images import release_pages, row_chunks
from ._masked import mask_of, unmasked, without_mask
from ._tables import converted

NUMBERS = {  # numbers of each galaxy → whether they must be positive
    "gain": True,
    "pixel_scale": True,
    "zero_point": False,
    "sky_error": False,
    "psf_error": False,
}
UNITS = {"pixel_scale": u.arcsec, "zero_point": u.mag, "sky_error": u.one, "psf_error": u.one}
SKY_ERROR, PSF_ERROR = 0.1, 0.02  # of cameras, unless more is known of them
SUM_TOLERANCE = 0.01  # by which a stamp may miss a sum of 1 and be left as it is


def as_images(images) -> tuple[NDArray, NDArray[np.bool_] | None, Any]:
    """Images as an array, where they are masked, and their unit; None for what there is not."""
    if hasattr(images, "bad_pixels"):
        raise TypeError("images are Cutouts already; expected an array. Use cutouts.replace(noise=…), or images=.")
    cells = objects_of(images)
    if cells is None:
        hidden, unit, images = mask_of(images), getattr(images, "unit", None), unmasked(images)
    else:
        images, hidden, unit = stacked([unmasked(one) for one in cells]), _masks_of(cells), _unit_of(cells)
    images = images if type(images) in (np.ndarray, np.memmap) else np.asarray(images)
    if images.ndim not in (3, 4) or 0 in images.shape[1:] or images.dtype.kind not in "fiub" or _is_single(images):
        raise ValueError(
            f"images have shape {images.shape} and dtype {images.dtype}; expected numbers (n, H, W) or (n, H, W, C). "
            "A single image is images[None]."
        )
    return images, hidden, unit


def _is_single(images: NDArray) -> bool:
    """True for the shape of one square image of some colors, and not of many that narrow."""
    height, width, n_channels = images.shape[:3]
    return images.ndim == 3 and height == width > 4 >= n_channels > 1


def _masks_of(cells: list) -> NDArray[np.bool_] | None:
    masks = [mask_of(one) for one in cells]
    if all(mask is None for mask in masks):
        return None
    return np.stack([np.zeros(np.shape(one), bool) if mask is None else mask for one, mask in zip(cells, masks)])


def _unit_of(cells: list):
    units = {getattr(one, "unit", None) for one in cells}
    if len(units) > 1:
        raise ValueError(f"images have the units {sorted(map(str, units))}; expected one unit. Convert them.")
    return units.pop()


def as_mask(mask, hidden: NDArray[np.bool_] | None, shape: tuple[int, ...]) -> NDArray[np.bool_] | None:
    """`mask` and that of the images themselves, of the shape of the images."""
    if mask is None:
        return hidden
    unknown = mask_of(mask)  # whether such a pixel is bad is not known
    mask = mask if isinstance(mask, np.ndarray) and unknown is None else np.asarray(unmasked(mask))
    if mask.dtype != bool:
        raise ValueError(
            f"mask has the dtype {mask.dtype}; expected bool, True where a pixel is bad: of bits, (mask & bits) > 0."
        )
    mask = mask if unknown is None else mask | unknown
    if mask.shape == shape[:3] and len(shape) == 4:
        mask = np.broadcast_to(mask[..., None], shape)
    if mask.shape != shape:
        raise ValueError(f"mask has shape {mask.shape}; expected that of the images, {shape}.")
    return mask if hidden is None else mask | hidden


def as_noise(noise, shape: tuple[int, ...], unit=None):
    """Noise in the unit of the images: a number, one for each galaxy, each of their channels, or each pixel."""
    if noise is None:
        return None
    noise = _plain("noise", noise, unit)
    shapes = [(), shape[:1], (shape[0], *shape[3:]), shape]
    if noise.shape not in shapes:
        raise ValueError(
            f"noise has shape {noise.shape}; expected a number, one for each of the {shape[0]} galaxies, or images "
            f"{shape}. It is a standard deviation: of a variance the square root, of a weight its inverse."
        )
    negative = _first_row(noise, lambda values: values < 0)
    if negative is not None:
        raise ValueError(f"noise is negative in row {negative}; expected standard deviations σ ≥ 0.")
    if noise.ndim <= 2 and np.isinf(noise).any():
        raise ValueError("noise is infinite; expected finite standard deviations, or NaN where it is not known.")
    return float(noise) if noise.ndim == 0 else noise


def as_numbers(name: str, values, n: int):
    """A number, or an array (n,), in its unit of `UNITS`; NaN is not known."""
    if values is None:
        return None
    numbers = _plain(name, values, UNITS.get(name)).astype(np.float64)
    if numbers.shape not in ((), (n,)):
        raise ValueError(f"{name} has shape {numbers.shape}; expected a number, or one for each of the {n} galaxies.")
    wrong = np.isinf(numbers) | (numbers <= 0 if NUMBERS[name] else (name != "zero_point") & (numbers < 0))
    if wrong.any():
        expected = "a finite number" if name == "zero_point" else "positive" if NUMBERS[name] else "at least 0"
        raise ValueError(f"{name} is {numbers[wrong].flat[0]:g} for some galaxy; expected {expected}, or NaN.")
    return float(numbers) if numbers.ndim == 0 else numbers


def _plain(name: str, values, unit=None) -> NDArray:
    """Numbers without mask and unit: NaN where masked, in `unit` if both have one."""
    own, plain = getattr(values, "unit", None), without_mask(values)
    numbers = plain if type(plain) in (np.ndarray, np.memmap) else np.asarray(unmasked(plain))
    if numbers.dtype.kind == "O":
        numbers = _objects(numbers)
    if numbers.dtype.kind not in "fiub":
        raise ValueError(f"{name} is {str(values)[:60]!r}, a {type(values).__name__}; expected numbers.")
    if own is None or unit is None:
        return numbers
    own = u.Unit(own) * u.pix if unit == u.arcsec and u.pix in u.Unit(own).bases else u.Unit(own)
    return converted(numbers, own, unit, f"{name} has the unit {str(own)!r}", errors=True)


def _objects(cells: NDArray) -> NDArray:
    """Cells as floats, None as NaN; as they are if they are no numbers."""
    try:
        return cells.astype(np.float64)
    except (TypeError, ValueError):
        return cells


def as_wcs(wcs, n: int) -> list | None:
    """A WCS for each galaxy."""
    if wcs is None:
        return None
    odd = [one for one in (wcs if isinstance(wcs, list | tuple | np.ndarray) else [wcs]) if not _is_wcs(one)]
    if _is_wcs(wcs) or odd:
        raise TypeError(f"wcs is or holds a {type(odd[0] if odd else wcs).__name__}; expected a list of n WCS.")
    return as_sequence("wcs", wcs, n)


def _is_wcs(one) -> bool:
    return hasattr(one, "to_header_string")


def as_sequence(name: str, values, n: int) -> list:
    """A list of n."""
    values = list(values)
    if len(values) != n:
        raise ValueError(f"{name} has {len(values)} entries; expected one for each of the {n} galaxies.")
    return values


def as_psf(psf, n: int):
    """Stamps that sum to 1, an object, or a list of n of them."""
    if psf is None or _is_psf(psf):
        return psf
    if isinstance(psf, list | tuple) and len(psf) and all(_is_psf(one) for one in psf):
        return as_sequence("psf", psf, n)
    if isinstance(psf, type) or (isinstance(psf, list | tuple) and any(map(_is_psf, psf))):
        raise TypeError(
            f"psf is or holds a {type(psf).__name__}; expected stamps, an object such as MoffatPSF(0.6), or a list "
            "of n."
        )
    stamps = _plain("psf", psf)
    stamps = stamps if stamps.dtype.kind == "f" else stamps.astype(np.float64)
    if stamps.ndim not in (2, 3, 4) or 0 in stamps.shape[stamps.ndim > 2 :] or (stamps.ndim > 2 and len(stamps) != n):
        raise ValueError(
            f"psf has shape {stamps.shape}; expected a stamp (h, w), or one for each of the {n} galaxies, "
            "(n, h, w) or (n, h, w, C), or objects such as MoffatPSF."
        )
    sums = _sums_of_stamps(stamps)
    off = np.abs(sums - 1) > SUM_TOLERANCE
    if not off.any():
        return stamps
    warnings.warn(
        f"psf sums to {sums[off].flat[0]:.4g} instead of 1 in {off.sum()} of {off.size} stamps; divided by its sum. "
        "If its wings were cut off, fluxes are too large by what is missing.",
        stacklevel=4,
    )
    sums = sums.reshape(len(stamps), 1, 1, *stamps.shape[3:]) if stamps.ndim > 2 else sums
    return (stamps / sums).astype(stamps.dtype)


def _is_psf(one) -> bool:
    return hasattr(one, "transform") and not isinstance(one, type)


def _sums_of_stamps(stamps: NDArray) -> NDArray:
    """Sum of each stamp; 1 where it is NaN everywhere."""
    each = stamps if stamps.ndim > 2 else stamps[None]
    unknown = np.isnan(each).all(axis=(1, 2))
    sums = np.where(unknown, 1, each.sum(axis=(1, 2), dtype=np.float64))
    wrong = ~(np.isfinite(sums) & (sums > 0))
    if wrong.any():
        row = int(np.argwhere(wrong)[0, 0])
        raise ValueError(
            f"psf of row {row} has the sum {sums[wrong].flat[0]:.4g}; expected finite pixels with a positive sum, "
            "the background subtracted, or NaN everywhere if it is not known."
        )
    return sums


def _first_row(values: NDArray, test) -> int | None:
    """First row with a value that passes the test, looked for in chunks."""
    each = values[None] if values.ndim == 0 else values
    for rows in row_chunks(each):
        found = test(each[rows]).reshape(rows.stop - rows.start, -1).any(axis=1)
        release_pages(each)
        if found.any():
            return rows.start + int(np.argmax(found))
    return None
