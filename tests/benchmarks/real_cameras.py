"""One model on real galaxies of four cameras. Data: github.com/asgr/magicaxis and others, see below.

    python tests/benchmarks/real_cameras.py --out DIR --picture sheet.png    # the tables quoted in docs/benchmarks.md
    python tests/benchmarks/real_cameras.py --out DIR --model FILE --only reobserved bands
    python tests/benchmarks/real_cameras.py --out DIR --smoke                # does it run?

The model has seen simulations alone. Galaxies are the isolated sources of a field of 2'×2' in VST's r and VISTA's K,
whose point-spread functions are measured by `estimate_psf`; stamps of the Hubble Space Telescope, each with its own
star; and three of Hyper Suprime-Cam (`_real_galaxies.py`). Neighbors are masked. All are read from ../shared/data;
give --data to read them elsewhere. Simulated galaxies are re-observed too, for comparison.

The stamps are those of github.com/LSSTDESC/BlendingToolKit and github.com/pysersic/pysersic.

*photometry*: fluxes and radii against curves of growth (`_curve_of_growth.py`) and fits of a bulge and a disk by an
independent code (`_bulge_disk_fit.py`), which take minutes and are kept in DIR; --fits reads tables of another
folder. *bands*: the same galaxies in r and K. *reobserved*: the same images through a worse camera, convolved to 1.3
and 1.6 times their point-spread function, with pixels 1.5 and 2 times as large, and twice the noise that is left in
them added. The camera is told truthfully, or that the star is the old one. A difference is that of posterior medians,
new minus old, over the root of the sum of both variances, each half of the central 68.27 % interval. Galaxies count
whose radius is 0.4 times the width of the wider star or more: below, there is little but the prior, which is relative
to the width of the star. The zero point of K is not known, so its fluxes say nothing.
"""

from __future__ import annotations

import argparse
import logging
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import _model
import numpy as np
from _real_galaxies import SETS, SIDES, Galaxy, cutouts_of, middle, side_of
from _record import record
from _worse_cameras import TOLD, WORSE, in_groups, noise_left, reserve_of, worse
from astropy.table import Table
from numpy.typing import NDArray
from scipy import ndimage

from galestim import Cutouts

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
STAGES = ("photometry", "bands", "reobserved")
POINT = 0.12  # radius over the star's width of a fit, below which a source is taken for a star
RESOLVED = 0.4  # radius over the width of the worst star, above which posteriors are compared
NAMES = "B/T", "ln R_e", "ln F"
LEVEL = 0.6827
UNDETERMINED = 1.0  # σ of ln R_e, above which a galaxy is not compared


# ---- posteriors


def summary(model, cutouts: Cutouts) -> dict[str, NDArray]:
    """Medians and σ ``(n, 3)`` of B/T, ln R_e [arcsec] and ln F [of magnitude 0], and the model's own flag."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # what is unlike all that was trained on may be lost
        posterior = model.predict_posterior(cutouts)
    low, high = np.moveaxis(posterior.credible_interval(LEVEL), -1, 0)
    low, middle, high = (logarithms(values, cutouts) for values in (low, posterior.median(), high))
    flags = _model.flagged(model, cutouts)
    flags = np.full(len(cutouts), np.nan) if flags is None else flags.astype(float)
    return {"median": middle, "sigma": (high - low) / 2, "flagged": flags}


def logarithms(values: NDArray, cutouts: Cutouts) -> NDArray:
    with np.errstate(divide="ignore", invalid="ignore"):
        radius, flux = np.log(values[:, 1:]).T
    return np.column_stack([values[:, 0], radius, flux - 0.4 * np.log(10) * cutouts.zero_point])


def share_of(flags: NDArray) -> float | None:
    """Share of galaxies that are flagged; None if the model has no flag."""
    return None if np.isnan(flags).any() else round(float(flags.mean()), 3)


def of_all(model, galaxies: list[Galaxy], reserve: int = 1) -> dict[str, NDArray]:
    """`summary` of galaxies whose images need not have one size."""
    sides = [side_of(galaxy, reserve) for galaxy in galaxies]
    return in_groups(galaxies, sides, lambda some, side: summary(model, cutouts_of(some, side)))


def difference(new: dict, old: dict, rows) -> dict:
    """Differences, and how large they are in σ: the middle, and the range of 68 %."""
    change = (new["median"] - old["median"])[rows]
    z = change / np.hypot(new["sigma"], old["sigma"])[rows]
    known = np.isfinite(z).all(axis=1) & (np.hypot(new["sigma"], old["sigma"])[rows, 1] < UNDETERMINED)
    low, middle, high = np.percentile(z[known], [15.87, 50, 84.13], axis=0)
    boot = np.random.default_rng(0).integers(known.sum(), size=(499, known.sum()))
    error = np.median(z[known][boot], axis=1).std(axis=0)
    numbers = {"change": np.median(change[known], axis=0), "z": middle, "z_error": error, "low": low, "high": high}
    found = {"n": int(known.sum()), "undetermined": int((~known).sum())}
    return found | {name: values.round(3).tolist() for name, values in numbers.items()}


# ---- a worse camera


def reobserved(model, galaxies: list[Galaxy], name: str) -> list[dict]:
    """Differences of posteriors through worse cameras, told truthfully or not."""
    reserve = reserve_of(name)
    old, rows = of_all(model, galaxies, reserve), []
    resolved = resolved_of(old, galaxies, WORSE[-1][0])
    for wider, larger in WORSE:
        share = noise_left(galaxies, wider, larger)
        sides = [side_of(galaxy, reserve, larger) for galaxy in galaxies]
        for told in TOLD:
            see = partial(worse, wider=wider, larger=larger, share=share, told=told)
            new = in_groups(galaxies, sides, lambda some, side, see=see: summary(model, see(some, side)))
            found = {"set": name, "wider": wider, "larger": larger, "noise_left": round(share, 2), "told": told}
            rows.append(found | difference(new, old, resolved))
            rows[-1]["flagged"] = [share_of(one["flagged"][resolved]) for one in (old, new)]
    return rows


def resolved_of(found: dict, galaxies: list[Galaxy], wider: float = 1.0) -> NDArray[np.intp]:
    """Galaxies that are no points: of these a radius says what the prior says, which is relative to the star's."""
    least = [RESOLVED * wider * galaxy.fwhm * galaxy.pixel_scale for galaxy in galaxies]
    return np.flatnonzero(found["median"][:, 1] > np.log(least))


# ---- the same galaxies in two bands


def bands(model, sets: dict[str, list[Galaxy]]) -> dict:
    """Radii and B/T in K against those in r."""
    red, infrared = sets["VST_r"], sets["VISTA_K"]
    both = sorted({g.object_id for g in red} & {g.object_id for g in infrared}, key=int)
    known = [{galaxy.object_id: galaxy for galaxy in galaxies} for galaxies in (red, infrared)]
    known = [[of_band[one] for one in both] for of_band in known]
    found = [of_all(model, galaxies, reserve_of("VST_r")) for galaxies in known]
    resolved = np.intersect1d(*(resolved_of(one, galaxies) for one, galaxies in zip(found, known)))
    flagged = [share_of(one["flagged"][resolved]) for one in found]
    ids = [both[i] for i in resolved]
    return {"objects": ids, "flagged": flagged, **difference(found[1], found[0], resolved)}


# ---- photometry


def photometry(model, galaxies: list[Galaxy], fits: Table, name: str) -> dict:
    """Fluxes and radii against a curve of growth, and a bulge and a disk."""
    rows = {str(row["object_id"]): row for row in fits}
    galaxies = [galaxy for galaxy in galaxies if galaxy.object_id in rows]
    found, fitted = of_all(model, galaxies, reserve_of(name)), [rows[galaxy.object_id] for galaxy in galaxies]
    zero = 0.4 * np.log(10) * np.array([galaxy.zero_point for galaxy in galaxies])
    used = np.array([usable(row, galaxy) for row, galaxy in zip(fitted, galaxies)])
    result = {"set": name, "n": int(used.sum()), "of": len(used), "flagged": share_of(found["flagged"])}
    resolved = resolved_of(found, galaxies)
    result |= {"resolved": len(resolved), "flagged_resolved": share_of(found["flagged"][resolved])}
    for label, flux, radius in (("curve of growth", "cog_flux", "cog_radius_arcsec"), *FITTED):
        for column, field, offset in ((2, flux, zero), (1, radius, 0)):
            with np.errstate(invalid="ignore", divide="ignore"):
                other = np.log(np.array([float(row[field]) for row in fitted])) - offset
            change = (found["median"][:, column] - other)[used]
            known = np.isfinite(change)
            sigma = np.hypot(found["sigma"][:, column], relative_error(fits, fitted, field))[used][known]
            low, middle, high = np.percentile(change[known], [15.87, 50, 84.13]).round(3).tolist()
            within = float(np.mean(abs(change[known]) < 2 * np.hypot(sigma, 0.05)))
            key = f"{NAMES[column]} − {label}"
            result[key] = {"n": int(known.sum()), "median": middle, "range": [low, high], "within": round(within, 3)}
            result[key]["sigma"] = round(float(np.median(sigma)), 3)
    return result


FITTED = ("bulge + disk", "bd_flux", "bd_radius_arcsec"), ("one Sérsic", "ser_flux", "ser_radius_arcsec")


def relative_error(fits: Table, rows: list, field: str) -> NDArray:
    """Of what was fitted; correlated noise makes it larger by a factor of 1.3 (a field) to 2 (a stamp)."""
    value = field.replace("_arcsec", "_px")
    error = f"{value[:-3]}_error_px" if value.endswith("_px") else f"{value}_error"
    if error not in fits.colnames:
        return np.zeros(len(rows))
    return np.array([1.5 * float(row[error]) / float(row[value]) for row in rows])


def usable(row, galaxy: Galaxy) -> bool:
    """Whether all judges agree roughly that there is a galaxy: what is a point, or fits badly, is left out."""
    flux, radii = float(row["bd_flux"]), (float(row["bd_radius_arcsec"]), float(row["ser_radius_arcsec"]))
    if not (np.isfinite(flux) and flux > 0 and float(row["cog_flux"]) > 0):
        return False
    point = min(radii) < POINT * galaxy.fwhm * galaxy.pixel_scale
    return not point and float(row["bd_chi2_dof"]) < 2 and 0.67 < flux / float(row["cog_flux"]) < 1.5


def fits_of(galaxies: list[Galaxy], path: Path) -> Table:
    """Fits of all galaxies; those that are in the file are not made again."""
    rows = {str(row["object_id"]): dict(row) for row in Table.read(path)} if path.exists() else {}
    for galaxy in galaxies:
        if galaxy.object_id not in rows:
            rows[galaxy.object_id] = fit_of(galaxy)
            names = list(dict.fromkeys(name for row in rows.values() for name in row))
            table = Table({name: [row.get(name, np.nan) for row in rows.values()] for name in names})
            table.write(path, overwrite=True)
            logging.info("%s is fitted", galaxy.object_id)
    return Table.read(path)


def fit_of(galaxy: Galaxy) -> dict:
    """A bulge and a disk, one Sérsic profile, and a curve of growth."""
    from _bulge_disk_fit import fit
    from _curve_of_growth import curve_of_growth

    side = min(max(galaxy.image.shape), SIDES[0])
    image, mask = middle(galaxy, side)
    noise: Any = galaxy.noise
    if galaxy.gain is None:  # photons are not known, and no model is right to 2 %
        noise = np.hypot(noise, 0.02 * ndimage.gaussian_filter(image, 1).clip(0))
    row: dict = {"object_id": galaxy.object_id}
    for key, single in (("bd", False), ("ser", True)):
        found = fit(image, galaxy.psf, noise, mask, gain=galaxy.gain, single=single)
        row |= {f"{key}_flux": found["flux"], f"{key}_flux_error": found["flux_error"]}
        row |= {f"{key}_radius_px": found["half_light_radius"], f"{key}_radius_error_px": found["radius_error"]}
        row |= {f"{key}_radius_arcsec": found["half_light_radius"] * galaxy.pixel_scale}
        row |= {f"{key}_chi2_dof": found["chi2"] / found["dof"]}
    grown = curve_of_growth(image, galaxy.psf, noise, mask, gain=galaxy.gain)
    return row | {"cog_flux": grown["flux"], "cog_radius_arcsec": grown["half_light_radius"] * galaxy.pixel_scale}


# ---- all of it


def picture(path: Path, sets: dict[str, list[Galaxy]]) -> None:
    """Galaxies as the model gets them, their stars, and as the worst camera sees them."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    fig, axes = plt.subplots(2 * len(sets), 9, figsize=(13, 3 * len(sets)))
    for ax in axes.ravel():
        ax.set_axis_off()
    for (name, galaxies), *rows in zip(sets.items(), axes[::2], axes[1::2]):
        some = sorted(galaxies, key=lambda galaxy: -galaxy.image[~galaxy.mask].sum())[: 8 * 2 : 2]
        reserve, larger = reserve_of(name), WORSE[1][1]
        share = noise_left(some, *WORSE[1])
        sides = max(side_of(one, reserve) for one in some), max(side_of(one, reserve, larger) for one in some)
        camera = {"wider": WORSE[1][0], "larger": larger, "share": share, "told": TOLD[0]}
        sheets = cutouts_of(some, sides[0]), worse(some, sides[1], **camera)
        for row, sheet in zip(rows, sheets):
            row[0].set_title(f"{name}, {sheet.shape[1]} px", fontsize=8, loc="left")
            for ax, image, noise in zip(row, np.asarray(sheet), np.broadcast_to(sheet.noise, len(sheet))):
                ax.imshow(np.arcsinh(image / noise / 2), cmap="gray", vmin=-1.5, vmax=5)
            row[8].imshow(np.arcsinh(sheet.psf[0] * 1e4), cmap="magma")
    fig.tight_layout(pad=0.3)
    fig.savefig(path, dpi=70)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--only", nargs="+", choices=STAGES, default=STAGES)
    parser.add_argument("--sets", nargs="+", choices=list(SETS), default=list(SETS))
    parser.add_argument("--out", type=Path, required=True, help="folder of results and fits")
    parser.add_argument("--fits", type=Path, help="folder with tables of fits, one per set")
    parser.add_argument("--picture", type=Path)
    _model.add_arguments(parser)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    options.out.mkdir(parents=True, exist_ok=True)
    model, model_name = _model.model_of(options, options.out)
    sets = {name: SETS[name](options.data) for name in options.sets}
    sets = {name: galaxies[:6] for name, galaxies in sets.items()} if options.smoke else sets
    if options.picture:
        picture(options.picture, sets)
    out = options.out / "results.jsonl"
    for name, galaxies in sets.items():
        if "photometry" in options.only and name != "simulated":
            given = None if options.fits is None else Table.read(options.fits / f"{name}.ecsv")
            fits = fits_of(galaxies, options.out / f"{name}.ecsv") if given is None else given
            record(out, model=model_name, **photometry(model, galaxies, fits, name))
        if "reobserved" in options.only:
            for row in reobserved(model, galaxies, name):
                record(out, model=model_name, **row)
    if "bands" in options.only and {"VST_r", "VISTA_K"} <= set(sets):
        record(out, model=model_name, **bands(model, sets))


if __name__ == "__main__":
    main()
