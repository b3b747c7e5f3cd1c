"""What entries of a prior of cameras may be."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Real

import numpy as np

from ._priors import Near
from ._psf import ImagePSF

POSITIVE = "positive", lambda x: 0 < x < np.inf
SHARE = "from 0 to below 1", lambda x: 0 <= x < 1
NOT_NEGATIVE = "at least 0", lambda x: 0 <= x < np.inf
LIMITS = {
    "fwhm": POSITIVE,
    "beta": ("more than 1", lambda x: 1 < x < np.inf),
    "ellipticity": SHARE,
    "pixel_scale": POSITIVE,
    "relative_radius": POSITIVE,
    "max_radius": POSITIVE,
    "sky_noise": NOT_NEGATIVE,
    "signal_to_noise": POSITIVE,
    "gain": POSITIVE,
    "photon_share": SHARE,
    "correlation_length": NOT_NEGATIVE,
    "sky_error": NOT_NEGATIVE,
    "psf_error": NOT_NEGATIVE,
    "noise_error": NOT_NEGATIVE,
    "bad_columns": NOT_NEGATIVE,
    "cosmic_rays": SHARE,
    "random_mask": SHARE,
    "saturation": ("from 0 to 1", lambda x: 0 <= x <= 1),
    "stamp_size": POSITIVE,
    "stamp_noise": NOT_NEGATIVE,
}
ALTERNATIVES = {"pixel_scale": "relative_radius", "sky_noise": "signal_to_noise", "gain": "photon_share"}
OPTIONAL = (*ALTERNATIVES, *ALTERNATIVES.values(), "max_radius", "correlation_length", "stamp_size")


def check_cameras(cameras) -> None:
    """Raise an error that names the first entry that is not what it has to be."""
    _check_alternatives(cameras)
    _check_shares(cameras)
    for name, (expected, within) in LIMITS.items():
        check_entry(name, getattr(cameras, name), expected, within)


def _check_alternatives(cameras) -> None:
    for name, other in ALTERNATIVES.items():
        given = [one for one in (name, other) if getattr(cameras, one) is not None]
        if len(given) == 2 or (not given and name != "gain"):
            raise ValueError(f"{' and '.join(given) or 'neither'} given; expected {name} or {other}, one of them.")
    if cameras.max_radius is not None and cameras.relative_radius is None:
        raise ValueError("max_radius is that of relative_radius, which is not given; expected both, or neither.")


def _check_shares(cameras) -> None:
    kinds = ("gaussian_share", "stamp_share", "double_share", "airy_share")
    shares = {name: getattr(cameras, name) for name in kinds}
    wrong = [
        name
        for name, share in {**shares, "correlated_share": cameras.correlated_share}.items()
        if not 0 <= share <= 1
    ]
    if wrong or sum(shares.values()) > 1 + 1e-9:
        raise ValueError(f"{wrong[0] if wrong else shares} is no share; expected 0 to 1, and a sum of at most 1.")
    if (cameras.stamp_share > 0) != bool(cameras.stamps) or not all(isinstance(s, ImagePSF) for s in cameras.stamps):
        raise ValueError(
            f"stamps has {len(cameras.stamps)} entries with stamp_share={cameras.stamp_share}; expected a sequence "
            "of ImagePSF and their share, or neither."
        )
    npix = cameras.stamp_npix
    if not (isinstance(npix, int | np.integer) and npix % 2 == 1 and npix > 0):
        raise ValueError(f"stamp_npix={npix!r}; expected a positive odd number, as stars are centered.")


def check_entry(name: str, entry, expected: str, within: Callable[[float], bool]) -> None:
    """A prior whose limits, or a number that is, `within` what is `expected`."""
    if entry is None and name in OPTIONAL:
        return
    if hasattr(entry, "draw") and name != "max_radius" and not isinstance(entry, Near):
        values = [getattr(entry, end) for end in ("low", "high") if hasattr(entry, end)]
    elif isinstance(entry, Real) and not isinstance(entry, bool):
        values = [float(entry)]
    else:
        raise ValueError(f"{name}={entry!r}; expected a prior, such as Uniform(…), or a number.")
    if not all(within(value) for value in values):
        raise ValueError(f"{name}={entry!r}; expected {expected}.")
