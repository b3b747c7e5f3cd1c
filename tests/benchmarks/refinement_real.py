"""Refined posteriors of real galaxies. Data: github.com/asgr/magicaxis and others, see `real_cameras.py`.

    python tests/benchmarks/refinement_real.py --out DIR              # the tables quoted in docs/benchmarks.md
    python tests/benchmarks/refinement_real.py --out DIR --sets VST_r --only residuals
    python tests/benchmarks/refinement_real.py --out DIR --smoke      # does it run?

What they are through a second camera, and what a bulge and a disk leave of their images. Galaxies are those of
`real_cameras.py`, which says where they are public: isolated sources of a field in VST's r, stamps of the Hubble
Space Telescope, each with its own star, three of Hyper Suprime-Cam, and simulated ones. Neighbors are masked. The
any-camera network's posteriors are refined, with a broad prior, with `model_error="infer"` and without. All are read
from ../shared/data; give --data to read them elsewhere.

*reobserved*: the same images convolved to 1.3 and 1.6 times their point-spread function, with pixels 1.5 and 2 times
as large, and twice the noise that is left in them added; the camera is told truthfully. A difference is that of
posterior medians, new minus old, over the root of the sum of both variances, each half of the central 68.27 %
interval. Galaxies count whose radius is 0.4 times the width of the wider star or more, and whose refinement is
reliable.

*residuals*: for each galaxy the best of 32 draws, without a model error where these are reliable: the mean square of
its residuals in σ, over all pixels and over those that the model lights by 1σ and more; and pictures of image, model
and residual, those that are described worst first. Each part of a run writes a file, which another run does not make
again.
"""

from __future__ import annotations

import argparse
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import torch
from _real_galaxies import SETS, Galaxy, cutouts_of, side_of
from _record import record
from _worse_cameras import TOLD, WORSE, in_groups, noise_left, reserve_of, worse
from numpy.typing import NDArray
from real_cameras import DATA, LEVEL, difference, logarithms, of_all, resolved_of

from galestim import Cutouts
from galestim.checkpoints import load_pretrained
from galestim.refinement import RefinedRegressor, residuals

STAGES = ("reobserved", "residuals")
ERRORS = ("none", "infer")
LARGER = 0.9 * WORSE[-1][0]  # width of the star, for the network's radii, as those that are refined decide
N_TRIED = 32  # draws, the best of which is shown
LIT = 1.0  # σ of a pixel that belongs to the galaxy
MISFIT = 1.5  # mean square of residuals in σ, above which a galaxy is not described
COLUMNS, ROWS = 4, 12  # galaxies of a contact sheet
RANGE = 5.0  # σ, the ends of the colors


def refined(network, cutouts: Cutouts, error: str) -> dict[str, NDArray]:
    """Medians and σ ``(n, 3)`` of B/T, ln R_e [arcsec] and ln F [of magnitude 0], and the report."""
    model = RefinedRegressor(network, when="always", model_error=None if error == "none" else error)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what is unlike a bulge and a disk; it is counted here
        posterior, report = model.refine(cutouts)
    low, high = np.moveaxis(posterior.credible_interval(LEVEL), -1, 0)
    low, middle, high = (logarithms(values, cutouts) for values in (low, posterior.median(), high))
    known = {name: np.asarray(report[name]) for name in ("signal_to_noise", "chi2", "noise_factor", "seconds")}
    return {
        "median": middle,
        "sigma": (high - low) / 2,
        "reliable": np.asarray(report["status"] == "refined"),
        **known,
    }


def signal_to_noise(galaxy: Galaxy) -> float:
    """Of a whole image: the root of what its squares are above those of noise alone."""
    return float(((galaxy.image[~galaxy.mask] / galaxy.noise) ** 2 - 1).sum().clip(0) ** 0.5)


def through_cameras(network, galaxies: list[Galaxy], name: str, error: str, folder: Path) -> list[dict]:
    """What `refined` gives through the camera of the images and two worse ones."""
    found, reserve = [], reserve_of(name)
    for i, (wider, larger) in enumerate([(1.0, 1.0), *WORSE]):
        path = folder / f"{name}_{error}_{i}.npz"
        if not path.exists():
            see = cutouts_of
            if i:
                share = noise_left(galaxies, wider, larger)
                see = partial(worse, wider=wider, larger=larger, share=share, told=TOLD[0])
            sides = [side_of(galaxy, reserve, larger if i else 1.0) for galaxy in galaxies]
            of_all = in_groups(galaxies, sides, lambda some, side, see=see: refined(network, see(some, side), error))
            np.savez(path, **of_all)
        found.append(dict(np.load(path)))
    return found


def reobserved(network, galaxies: list[Galaxy], name: str, error: str, folder: Path) -> list[dict]:
    """Differences of posteriors through worse cameras."""
    old, *others = through_cameras(network, galaxies, name, error, folder)
    resolved, rows = resolved_of(old, galaxies, WORSE[-1][0]), []
    for (wider, larger), new in zip(WORSE, others):
        both = resolved[(old["reliable"] & new["reliable"])[resolved]]
        if not len(both):
            continue
        found = {"set": name, "model_error": error, "wider": wider, "larger": larger, **difference(new, old, both)}
        found["half"] = [round((high - low) / 2, 2) for low, high in zip(found["low"], found["high"])]
        found["factor"] = [round(float(np.median(one["noise_factor"][both])), 2) for one in (old, new)]
        found["unreliable"] = [int((~one["reliable"])[resolved].sum()) for one in (old, new)]
        rows.append(found | {"resolved": len(resolved), "seconds": round(float(old["seconds"].mean()), 2)})
    return rows


# ---- what is left of images


def all_draws(network, cutouts: Cutouts, error: str) -> tuple[NDArray, list[str]]:
    """Some draws of all parameters ``(n, 32, 13)``, NaN where they are not reliable, and the names of these."""
    model = RefinedRegressor(network, when="always", model_error=None if error == "none" else error)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        posterior = model.predict_posterior(cutouts, parameters="all")
    return posterior.draws[:, :: posterior.draws.shape[1] // N_TRIED].copy(), posterior.target_names


def best_models(network, cutouts: Cutouts) -> dict[str, NDArray]:
    """Image, model and residual of each galaxy, by the best of some draws; NaN if the refinement is not reliable."""
    draws, names = all_draws(network, cutouts, "none")
    lost = np.isnan(draws[:, 0, 0])
    if lost.any():  # more galaxies are reliable with larger errors
        draws[lost] = all_draws(network, cutouts[np.flatnonzero(lost)], "infer")[0]
    found: dict[str, list] = {name: [] for name in ("image", "model", "residual")}
    for i, of_galaxy in enumerate(draws):
        shown = [np.full(cutouts.shape[1:3], np.nan)] * 3
        if np.isfinite(of_galaxy).all():
            tried = residuals(cutouts[np.full(len(of_galaxy), i)], dict(zip(names, of_galaxy.T)))
            shown = [pixels[np.argmin(tried.chi2)] for pixels in tried[:3]]
        for name, pixels in zip(found, shown):
            found[name].append(pixels)
    noise = np.broadcast_to(cutouts.noise, len(cutouts))
    lit = np.stack(found["model"]) > LIT * noise[:, None, None]
    square = np.stack(found["residual"]) ** 2
    chi2 = [np.nanmean(np.where(where, square, np.nan), axis=(1, 2)) for where in (np.isfinite(square), lit)]
    scaled = {name: np.stack(found[name]) / noise[:, None, None] for name in ("image", "model")}
    return {**scaled, "residual": np.stack(found["residual"]), "chi2": chi2[0], "of_light": chi2[1]}


def of_set(network, galaxies: list[Galaxy], name: str, folder: Path) -> tuple[dict, list[dict]]:
    """How many are described, and the best models."""
    sides, models = [side_of(galaxy, reserve_of(name)) for galaxy in galaxies], []
    for side in np.unique(sides):
        path = folder / f"{name}_models_{side}.npz"
        if not path.exists():
            some = [galaxy for galaxy, own in zip(galaxies, sides) if own == side]
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)  # a mean of nothing
                found = best_models(network, cutouts_of(some, int(side)))
            np.savez(path, **found, object_id=[galaxy.object_id for galaxy in some])
        of_side = dict(np.load(path))
        models += [{key: values[i] for key, values in of_side.items()} for i in range(len(of_side["chi2"]))]
    known = [one for one in models if np.isfinite(one["of_light"])]
    chi2, of_light = (np.array([one[key] for one in known]) for key in ("chi2", "of_light"))
    counts = {"n": len(models), "not_refined": len(models) - len(known), "misfits": int((of_light > MISFIT).sum())}
    quantiles = {
        key: np.percentile(values, [0, 16, 50, 84, 100]).round(2).tolist()
        for key, values in (("chi2", chi2), ("of_light", of_light))
    }
    return {"set": name, **counts, **quantiles}, sorted(known, key=lambda one: -one["of_light"])


def picture(path: Path, models: list[dict]) -> None:
    """Image, model and residual of galaxies."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    rows = -(-len(models) // COLUMNS)
    fig, axes = plt.subplots(rows, 3 * COLUMNS, figsize=(3 * COLUMNS, 1.08 * rows), squeeze=False)
    for ax in axes.ravel():
        ax.set_axis_off()
    for one, panels in zip(models, axes.reshape(-1, 3)):
        for ax, light in zip(panels, (one["image"], one["model"])):
            ax.imshow(np.arcsinh(light / 2), cmap="gray", vmin=-1.5, vmax=np.arcsinh(np.nanmax(one["model"]) / 2))
        panels[2].imshow(one["residual"], cmap="RdBu_r", vmin=-RANGE, vmax=RANGE)
        panels[0].set_title(f"{one['object_id']}: {one['of_light']:.2f}", fontsize=7, loc="left", pad=1)
    fig.tight_layout(pad=0.2)
    fig.savefig(path, dpi=75)
    plt.close(fig)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--only", nargs="+", choices=STAGES, default=STAGES)
    parser.add_argument("--sets", nargs="+", choices=list(SETS), default=["simulated", "VST_r", "hst_cosmos"])
    parser.add_argument("--errors", nargs="+", choices=ERRORS, default=ERRORS)
    parser.add_argument("--every", type=int, default=1, help="takes one in so many galaxies")
    parser.add_argument("--brightest", type=int, help="takes so many of the largest signal to noise")
    parser.add_argument("--smoke", action="store_true", help="two galaxies of Hyper Suprime-Cam")
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    options = parser.parse_args()
    if options.smoke:
        options.sets, options.every, options.errors = ["pysersic"], 2, ["infer"]
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    network, out = load_pretrained("any-camera"), options.out / "results.jsonl"
    for name in options.sets:
        galaxies = SETS[name](options.data)[:: options.every]
        if options.brightest:
            galaxies = sorted(galaxies, key=signal_to_noise, reverse=True)[: options.brightest]
        if "reobserved" in options.only:
            some = [galaxies[i] for i in resolved_of(of_all(network, galaxies, reserve_of(name)), galaxies, LARGER)]
            for error in options.errors:
                for row in reobserved(network, some, name, error, options.out):
                    record(out, **row)
        if "residuals" in options.only:
            counts, models = of_set(network, galaxies, name, options.out)
            record(out, **counts)
            for i in range(0, len(models), COLUMNS * ROWS):
                picture(options.out / f"{name}_{i}.png", models[i : i + COLUMNS * ROWS])


if __name__ == "__main__":
    main()
