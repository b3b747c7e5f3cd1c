"""Masks of neighbors: light taken and kept. Data: github.com/asgr/magicaxis, github.com/LSSTDESC/BlendingToolKit.

    python tests/benchmarks/neighbor_masks.py --out results.jsonl --picture masks.png
    python tests/benchmarks/neighbor_masks.py --smoke        # does it run?

Simulated galaxies of galestim-sim-v2, each through a camera of its own, in images of 96 pixels:

    lonely     how many lose more than 0.5 % of their light, and how many are flagged
    pairs      each with a neighbor of the same kind, three magnitudes brighter to three fainter, 3 to 48 pixels off:
               shares of the neighbor's light that is masked and of the galaxy's that is kept, and the light of the
               neighbor that is left, over that of the galaxy; of neighbors with S/N above 15, by distance
    filled     by how much such masks, filled as networks fill them, change a galaxy's center, size and flux
    speed      images per second of one process, by the time of its processor

and real ones, where ../shared/data (or --data) has them: sources of the ground-based field VST_r, and the stamps of
hst_cosmos, those that other recipes call isolated: what is masked of them within 4.5 arcsec.
"""

import argparse
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from _record import record
from sklearn.utils import gen_batches

from galestim import Cutouts, NeighborMasker
from galestim.networks import looked_at
from galestim.simulation import render, render_with_stars, sim_v2_cameras, sim_v2_prior

NPIX = 96
LOST = 0.005  # share of a galaxy's own light
SEEN = 15  # signal-to-noise ratio of neighbors that count
STEPS = (0, 1, 1.5, 2.5, 4, 8, np.inf)  # of the distance, in widths of the point-spread function
DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


def scenes(n: int, seed: int, *, neighbors: bool):
    """Cutouts of n galaxies, their own light, that of the neighbors, and these' distances in widths of the star."""
    prior, cameras = sim_v2_prior(), sim_v2_cameras()
    galaxies = prior.draw(n, random_state=seed)
    band = cameras.draw(n, seed, galaxies)
    camera = {"npix": NPIX, "pixel_scale": band.pixel_scale, "psf": band.psf}
    own, stars = render_with_stars(galaxies, stamp_npix=cameras.stamp_npix, **camera)
    fwhm = np.array([psf.fwhm for psf in band.psf]) / band.pixel_scale
    others, distance = torch.zeros_like(own), np.zeros(n)
    if neighbors:
        drawn, distance = beside(galaxies, np.random.default_rng(seed))
        others = render(drawn, **camera)
    return cameras.observe(own + others, stars, band, seed), own.numpy(), others.numpy(), distance / fwhm


def beside(galaxies: dict, rng: np.random.Generator) -> tuple[dict, np.ndarray]:
    """Other galaxies of half to twice the size of these, near them, and how far [pixels]."""
    n = len(galaxies["flux"])
    order = rng.permutation(n)
    drawn = {name: np.asarray(values)[order] for name, values in galaxies.items()}
    ratio = galaxies["half_light_radius"] / drawn["half_light_radius"] * np.exp(rng.uniform(-np.log(2), np.log(2), n))
    for name in ("bulge_radius", "disk_radius"):
        drawn[name] = drawn[name] * ratio
    distance, angle = rng.uniform(3, NPIX / 2, n), rng.uniform(0, 2 * np.pi, n)
    drawn["flux"] = galaxies["flux"] * 10 ** (-0.4 * rng.uniform(-3, 3, n))
    drawn["x_offset"] = galaxies["x_offset"] + distance * np.cos(angle)
    drawn["y_offset"] = galaxies["y_offset"] + distance * np.sin(angle)
    return drawn, distance


def share(light, mask):
    return (light * mask).sum(axis=(1, 2)) / light.sum(axis=(1, 2))


def lonely(n: int) -> dict:
    cutouts, own, *_ = scenes(n, 0, neighbors=False)
    lost, report = share(own, NeighborMasker().transform(cutouts).mask), NeighborMasker().report(cutouts)
    flags = {name: round(float(np.mean(report[name])), 4) for name in ("detected", "blended")}
    return {"what": "lonely", "n": n, "lose_more": round(float((lost > LOST).mean()), 4), **flags}


def pairs(n: int) -> list[dict]:
    cutouts, own, others, distance = scenes(n, 1, neighbors=True)
    mask, report = NeighborMasker().transform(cutouts).mask, NeighborMasker().report(cutouts)
    seen = np.sqrt((others**2).sum(axis=(1, 2))) / cutouts.noise > SEEN
    measures = {"removed": share(others, mask), "kept": 1 - share(own, mask)}
    measures["left"] = (others * ~mask).sum(axis=(1, 2)) / own.sum(axis=(1, 2))
    rows = []
    for low, high in [*pairwise(STEPS), (1.5, np.inf)]:
        which = seen & (distance >= low) & (distance < high)
        if which.any():
            found = {name: quantiles(values[which]) for name, values in measures.items()}
            flags = {name: round(float(np.mean(report[name][which])), 3) for name in ("detected", "blended")}
            rows.append({"what": "pairs", "widths": [low, high], "n": int(which.sum()), **found, **flags})
    return rows


def quantiles(values) -> list[float]:
    return np.quantile(values, [0.16, 0.5, 0.84]).round(4).tolist()


def filled(n: int) -> dict:
    """What the mask of a neighbor that is not there changes: center [pixels], logarithms of size and flux."""
    with_neighbor = scenes(n, 1, neighbors=True)
    alone = scenes(n, 1, neighbors=False)[0]  # the same galaxies, cameras and noise
    report, masked = NeighborMasker().report(with_neighbor[0]), NeighborMasker().transform(with_neighbor[0])
    good = report["detected"] & ~report["blended"] & (report["masked"] > 0)
    before, after, pair = (measured(one)[good] for one in (alone, alone.replace(mask=masked.mask), masked))
    rows = {"what": "filled", "n": int(good.sum()), "masked": quantiles(report["masked"][good])}
    for name, of in (("by_the_mask", after), ("by_what_is_left_too", pair)):
        moved = np.column_stack([np.hypot(*(of - before)[:, :2].T), np.log(of[:, 3:] / before[:, 3:])])
        rows[name] = dict(zip(("center", "size", "radius", "flux"), map(quantiles, moved.T)))
    return rows


def measured(cutouts: Cutouts) -> np.ndarray:
    """Center, and size of star and galaxy, as networks measure them first: ``(n, 6)``."""
    found = []
    for rows in gen_batches(len(cutouts), 100):
        pixels = np.asarray(cutouts[rows]) / np.asarray(cutouts.noise)[rows, None, None]
        good = torch.from_numpy(np.isfinite(pixels))
        images, psf = (torch.from_numpy(part)[:, None].float() for part in (np.nan_to_num(pixels), cutouts.psf[rows]))
        found.append(looked_at(images, psf, None if good.all() else good)[1].double().numpy())
    return np.concatenate(found)


def speed(n: int) -> list[dict]:
    rows = []
    for neighbors in (False, True):
        cutouts = scenes(n, 2, neighbors=neighbors)[0]
        NeighborMasker().transform(cutouts[:5])
        start = time.process_time()
        NeighborMasker().transform(cutouts)
        per_second = round(n / (time.process_time() - start))
        rows.append({"what": "speed", "neighbors": neighbors, "images_per_second": per_second})
    return rows


def real(data: Path, picture: Path | None) -> list[dict]:
    from _real_galaxies import SETS, cutouts_of

    rows = []
    for name in ("VST_r", "hst_cosmos"):
        galaxies = SETS[name](data)
        cutouts = cutouts_of(galaxies, NPIX)
        whole = cutouts_of([galaxy_without_mask(galaxy) for galaxy in galaxies], NPIX)
        mask = NeighborMasker().transform(whole).mask & ~whole.mask
        report = NeighborMasker().report(whole)
        y, x = np.indices((NPIX, NPIX)) - (NPIX - 1) / 2
        near = (np.hypot(x, y) < (22 if name == "VST_r" else NPIX)) & ~cutouts.mask
        alone = np.array([not (galaxy.mask.any() and name == "hst_cosmos") for galaxy in galaxies])
        lost = share(np.where(near, whole.images, 0), mask)[alone]
        flags = {flag: round(float(np.mean(report[flag][alone])), 3) for flag in ("detected", "blended")}
        ids = [galaxy.object_id for galaxy, one in zip(galaxies, alone) if one]
        names = [one for one, light in zip(ids, lost) if light > LOST]
        rows.append({"what": name, "n": len(ids), "lose_more": len(names), "which": names, **flags})
        if picture is not None:
            contact_sheet(whole, mask, picture.with_stem(f"{picture.stem}_{name}"))
    return rows


def galaxy_without_mask(galaxy):
    return replace(galaxy, mask=~np.isfinite(galaxy.image))


def contact_sheet(cutouts: Cutouts, mask: np.ndarray, path: Path) -> None:
    """Images, and beneath each the same with its mask in red."""
    from matplotlib.figure import Figure

    columns, n = 9, len(cutouts)
    figure = Figure(figsize=(1.5 * columns, 3 * -(-n // columns)))
    axes = figure.subplots(2 * -(-n // columns), columns, squeeze=False)
    for ax in axes.flat:
        ax.axis("off")
    for i in range(n):
        light = np.arcsinh(np.nan_to_num(np.asarray(cutouts[i : i + 1])[0]) / cutouts.noise[i] / 2)
        for below in (0, 1):
            ax = axes[2 * (i // columns) + below, i % columns]
            ax.imshow(light, vmin=-1, vmax=5, cmap="gray")
            if below:
                ax.imshow(np.where(mask[i], 1.0, np.nan), cmap="autumn", vmin=1, vmax=2, alpha=0.5)
    figure.subplots_adjust(0, 0, 1, 1, 0.02, 0.02)
    figure.savefig(path, dpi=75)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--galaxies", type=int, default=2000)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--only", nargs="+", default=["lonely", "pairs", "filled", "speed", "real"])
    parser.add_argument("--picture", type=Path, help="contact sheets of the real galaxies, one file for each set")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--smoke", action="store_true")
    options = parser.parse_args()
    n = 60 if options.smoke else options.galaxies
    torch.set_num_threads(1)
    steps = {
        "lonely": lambda: [lonely(n)],
        "pairs": lambda: pairs(n),
        "filled": lambda: [filled(n)],
        "speed": lambda: speed(min(n, 500)),
        "real": lambda: real(options.data, options.picture) if options.data.exists() and not options.smoke else [],
    }
    for name in options.only:
        for row in steps[name]():
            record(options.out, **row)


if __name__ == "__main__":
    main()
