"""Checks of the parameters of a sky: what is impossible is said at once, in their units."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray


def finite(name: str, values: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64)
    if not np.isfinite(array).all():
        raise ValueError(f"{name} contains NaN or infinity; expected finite numbers")
    return array


def per_source(
    name: str, values: ArrayLike, n: int, low: float, high: float, expected: str, *, closed: bool = False
) -> NDArray[np.float64]:
    """Make `values` one number per source, above `low` (or at it, if `closed`) and at most `high`."""
    array = finite(name, values)
    if array.shape not in ((), (1,), (n,)):
        raise ValueError(f"{name} has shape {array.shape}; expected a number or one for each of the {n} positions")
    bad = ~((array >= low) if closed else (array > low)) | (array > high)
    if bad.any():
        raise ValueError(f"{name}={array[bad].flat[0]:g}; expected {expected}")
    return np.broadcast_to(array, n)


def check_bands(bands: Sequence[str]) -> tuple[str, ...]:
    names = tuple(bands)
    if (
        not names
        or len(set(names)) < len(names)
        or any(not isinstance(name, str) or len(name) != 1 for name in names)
    ):
        raise ValueError(f"bands={bands!r}; expected different names of one character each, such as ('g', 'r', 'i')")
    return names


def check_positions(ra: ArrayLike, dec: ArrayLike) -> tuple[NDArray, NDArray]:
    ra, dec = (np.atleast_1d(finite(name, values)) for name, values in (("ra", ra), ("dec", dec)))
    if ra.ndim != 1 or ra.shape != dec.shape:
        raise ValueError(f"ra and dec have shapes {ra.shape} and {dec.shape}; expected (n_sources,) twice")
    if (np.abs(dec) > 90).any():
        row = int(np.argmax(np.abs(dec) > 90))
        raise ValueError(f"row {row}: dec={dec[row]:g} is outside [-90, 90]; expected ra and dec in degrees")
    return ra % 360, dec


def check_flux(flux: ArrayLike, n: int, n_bands: int) -> NDArray[np.float64]:
    array = finite("flux", flux)
    if array.shape == (n,):
        array = np.repeat(array[:, None], n_bands, axis=1)
    if array.shape != (n, n_bands):
        raise ValueError(f"flux has shape {array.shape}; expected ({n},) or ({n}, {n_bands}): sources, bands")
    return array


def check_footprint(footprint: Sequence[float] | None) -> tuple[float, ...] | None:
    if footprint is None:
        return None
    numbers = tuple(float(value) for value in finite("footprint", footprint))
    if len(numbers) == 3 and 0 < numbers[2] <= 180:
        return numbers
    if len(numbers) == 4 and -90 <= numbers[2] < numbers[3] <= 90:
        return numbers
    raise ValueError(
        f"footprint={footprint!r}; expected (ra, dec, radius) with a radius in (0, 180] or (ra_min, ra_max, dec_min, "
        "dec_max) with -90 <= dec_min < dec_max <= 90, all in degrees"
    )
