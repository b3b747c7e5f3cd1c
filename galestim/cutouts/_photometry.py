"""What headers of FITS images say of their photometry: zero points and units."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

import numpy as np
from astropy import units as u

# m = keyword - 2.5 log10(flux in image units), by survey and observatory
MAGNITUDES = ("MAGZERO", "MAGZPT", "PHOTZP", "MAGZP", "MAG_ZP", "ZEROPNT")
_JANSKY = 8.9  # zero point of a flux of 1 Jy, AB
_ALIKE = 0.01  # mag by which keywords may differ and say the same
_NOT_LINEAR = re.compile(r"\b(mag|dex|dB|log\w*|ln|sqrt)\b|\bmag[_(/ ]", re.IGNORECASE)
_MAGGIES = re.compile(r"^\s*(nano|n)[-_ ]?(maggy|maggies|mgy)\b", re.IGNORECASE)


def unit_of(header: Mapping) -> str:
    """BUNIT; empty if there is none."""
    return str(header.get("BUNIT", "") or "").strip()


def check_linear(header: Mapping, name: str) -> None:
    """Refuse images that do not hold linear fluxes."""
    if _NOT_LINEAR.search(unit_of(header)):
        raise ValueError(
            f"{name} has BUNIT={unit_of(header)!r}, which is no linear flux; noise and point-spread functions mean "
            "nothing in it. Give an image of fluxes."
        )


def zero_point_of(header: Mapping, pixel_area: float, name: str) -> float | None:
    """Magnitude of one image unit in a pixel of `pixel_area` [arcsec²]; None if it is not known.

    Raises
    ------
    ValueError
        If keywords say different things.
    """
    found = {key: number for key in MAGNITUDES if (number := _number(header, key)) is not None}
    if flux := _positive(header, "FLUXMAG0"):
        found["FLUXMAG0"] = 2.5 * np.log10(flux)
    if (hubble := _of_hubble(header)) is not None:
        found["PHOTFLAM"] = hubble
    if (physical := _of_unit(header, pixel_area)) is not None:
        found["BUNIT"] = physical
    if not found:
        return None
    if max(found.values()) - min(found.values()) > _ALIKE:
        said = ", ".join(f"{key} → {value:.4g}" for key, value in found.items())
        raise ValueError(f"the header of {name} has zero points that differ: {said}. Pass zero_point=.")
    return next(iter(found.values()))


def _number(header: Mapping, key: str) -> float | None:
    value = header.get(key)
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and np.isfinite(value)
    return float(value) if is_number else None  # type: ignore[arg-type]


def _positive(header: Mapping, key: str) -> float | None:
    number = _number(header, key)
    return number if number is not None and number > 0 else None


def _of_hubble(header: Mapping) -> float | None:
    """Of PHOTFLAM [erg/s/cm²/Å per count/s] and PHOTPLAM [Å], where the unit says whether counts are per second."""
    flam, pivot, seconds = (_positive(header, key) for key in ("PHOTFLAM", "PHOTPLAM", "EXPTIME"))
    unit = unit_of(header).upper()
    if flam is None or pivot is None:
        return None
    zero_point = -2.5 * np.log10(flam) - 5 * np.log10(pivot) - 2.408
    if unit.endswith(("/S", "/SEC", "S-1")):
        return zero_point
    if unit in ("ELECTRONS", "ELECTRON", "COUNTS", "DN") and seconds is not None:
        return zero_point + 2.5 * np.log10(seconds)
    return None


@lru_cache(maxsize=64)
def _parsed(text: str) -> u.UnitBase:
    """The unit; astropy takes milliseconds for one that it does not know, and every cutout asks."""
    return u.Unit(text, parse_strict="silent") if text else u.dimensionless_unscaled


def _of_unit(header: Mapping, pixel_area: float) -> float | None:
    """Of a BUNIT that is a flux density, or one per solid angle."""
    text = unit_of(header)
    if _MAGGIES.match(text):
        return 22.5
    unit = _parsed(text)
    for per in (u.one, u.pix):
        if unit.is_equivalent(u.Jy / per):
            return _JANSKY - 2.5 * np.log10(unit.to(u.Jy / per))
    if unit.is_equivalent(u.Jy / u.sr):
        area = _positive(header, "PIXAR_SR") or (pixel_area * u.arcsec**2).to_value(u.sr)
        return _JANSKY - 2.5 * np.log10(unit.to(u.Jy / u.sr) * area)
    return None
