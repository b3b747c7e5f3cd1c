"""The WCS of a FITS image, and the cards of its header that it is made of."""

from __future__ import annotations

import re
import warnings

import numpy as np
from astropy.io import fits
from astropy.utils.exceptions import AstropyWarning
from astropy.wcs import WCS

from .._io.bounds import check_wcs
from ._sky_to_pixel import SkyToPixel

_CELESTIAL = re.compile("(RA|DEC|..?L(ON|AT|N|T))-")  # CTYPE
_WCS_CARD = re.compile(
    r"(NAXIS\d?|WCSAXES|C(TYPE|RVAL|RPIX|DELT|UNIT|ROTA)\d|(CD|PC|PV|PS)\d_\d+|[AB]P?_(ORDER|\d_\d|DMAX)|WAT\d_\d+"
    r"|L(ON|AT)POLE|RADE(SYS|CSYS)|EQUINOX|EPOCH|DATE-OBS|MJD-OBS)$"
)


def wcs_cards(header: fits.Header) -> str:
    """The cards of a header that a WCS is made of, as text; empty if one is damaged."""
    try:
        kept = fits.Header([card for card in header.cards if _WCS_CARD.match(card.keyword)])
        return kept.tostring(sep="\n", endcard=False, padding=False)
    except (ValueError, fits.VerifyError):
        return ""


def of_cards(cards: str) -> SkyToPixel:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AstropyWarning)
        header = fits.Header.fromstring(cards, sep="\n")
        check_wcs(header)
        return SkyToPixel(WCS(header, naxis=2))


def made_of(whole: SkyToPixel, cards: str, shape: tuple[int, int]) -> bool:
    """True if the cards alone give the same frame, and the same positions to the bit."""
    try:
        other = of_cards(cards)
    except Exception:  # astropy raises a dozen kinds
        return False
    pixels = np.stack(np.meshgrid(*(np.linspace(0, side, 5) for side in shape[::-1])), axis=-1).reshape(-1, 2)
    frames = [(each.frame, each.wcs.wcs.lng, each.wcs.wcs.lat) for each in (whole, other)]
    sky = [each.wcs.all_pix2world(pixels, 0) for each in (whole, other)]
    return str(frames[0]) == str(frames[1]) and np.array_equal(sky[0], sky[1], equal_nan=True)


def sky_to_pixel(header: fits.Header, hdus) -> SkyToPixel | None:
    """Of the first two axes, as astropy bears no others beside distortions. None if they are not celestial."""
    axes = {axis: str(header[f"CTYPE{axis}"]) for axis in range(1, 10) if f"CTYPE{axis}" in header}
    if [axis for axis, kind in axes.items() if _CELESTIAL.match(kind)] not in ([], [1, 2]):
        raise ValueError(f"its axes are {', '.join(axes.values())}; expected the celestial ones first")
    wcs = WCS(header, hdus, naxis=2)
    return SkyToPixel(wcs) if wcs.has_celestial else None
