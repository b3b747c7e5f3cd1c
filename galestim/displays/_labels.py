"""What figures call the targets: the symbols of the field, with units."""

from __future__ import annotations

from astropy import units as u

SYMBOLS = {
    "axis_ratio": "$q$",
    "bulge_axis_ratio": r"$q_\mathrm{bulge}$",
    "bulge_flux": r"$F_\mathrm{bulge}$",
    "bulge_radius": r"$R_\mathrm{bulge}$",
    "bulge_sersic_index": r"$n_\mathrm{bulge}$",
    "bulge_to_total": "$B/T$",
    "disk_axis_ratio": r"$q_\mathrm{disk}$",
    "disk_flux": r"$F_\mathrm{disk}$",
    "disk_radius": r"$R_\mathrm{disk}$",
    "disk_sersic_index": r"$n_\mathrm{disk}$",
    "flux": "$F$",
    "half_light_radius": "$R_e$",
    "half_light_semimajor_axis": "$a_e$",
    "lambda_r": r"$\lambda_R$",
    "magnitude": "$m$",
    "sersic_index": "$n$",
}
"""By the names of the glossary; any other name is shown as words."""

_SPELLED = {"″": "arcsec", "′": "arcmin", "°": "deg"}  # marks that are easily taken for primes and exponents


def symbol(name: str) -> str:
    """The symbol of a target, or its name as words."""
    return SYMBOLS.get(name, name.replace("_", " "))


def labeled(name: str, unit=None) -> str:
    """Symbol and unit, if there is one: ``$R_e$ [arcsec]``."""
    text = "" if unit is None else u.Unit(unit, parse_strict="silent").to_string("unicode")
    return f"{symbol(name)} [{_SPELLED.get(text, text)}]" if text else symbol(name)
