"""Refinement beside near neighbors: ignored, masked, or told and marginalized.

    python tests/benchmarks/refinement_neighbors.py --out DIR            # the table quoted in docs/benchmarks.md
    python tests/benchmarks/refinement_neighbors.py --out DIR --smoke    # does it run?

Galaxies of galestim-sim-v1 of magnitude 18 to 21, seen by its camera, each with one neighbor, drawn as
galestim-sim-v2-crowded draws them but nearer: 0.7 to 5 widths (FWHM) of the point-spread function away, as many in
each of three ranges, up to two magnitudes brighter and three fainter. The any-camera network's posteriors are
refined, all galaxies: *alone*, the same images without the neighbor; with it *ignored*; *masked* by `NeighborMasker`;
and *told*, with positions that are off by 0.3 pixels along each axis, also with `model_error="infer"`. Errors are
those of posterior means of B/T, ln R_e and ln F; where a refinement says itself that it is not reliable, of the
network's.
"""

import argparse
import warnings
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch

from galestim import Cutouts
from galestim.checkpoints import load_pretrained
from galestim.preprocessing import NeighborMasker
from galestim.refinement import RefinedRegressor
from galestim.simulation import Uniform, half_light_radius, hsc_like, render, sim_v1_prior, sim_v2_neighbors

NPIX, PART = 64, 12  # pixels; galaxies in a file
NEAR, FAR = 0.7, 5.0  # widths of the point-spread function
EDGES = (NEAR, 1.5, 2.5, FAR)
SCATTER = 0.3  # pixels, of positions that are told
WAYS = ("alone", "ignored", "masked", "told", "told, infer")
BRIGHTER = 1.0  # than the galaxy, neighbors that have rows of their own


def drawn(n: int, seed: int) -> tuple[dict, dict, dict[str, Cutouts]]:
    """Galaxies, their neighbors, and their images with and without these."""
    band, prior = hsc_like("i"), sim_v1_prior().replace(magnitude=Uniform(18.0, 21.0))
    width = band.psf.fwhm / band.pixel_scale
    galaxies = prior.draw(20 * n, random_state=seed)
    crowd = sim_v2_neighbors().replace(radius=FAR * width, min_separation=NEAR, mean_number=1.0, brightest=-2.0)
    around = crowd.draw(galaxies, band, prior, random_state=seed)
    around["widths"] = around["distance"] / width
    rows, first = np.unique(around["galaxy"], return_index=True)
    of_range = np.digitize(around["widths"][first], EDGES[1:-1])
    chosen = np.concatenate([np.flatnonzero(of_range == i)[: -(-n // 3)] for i in range(3)])[:n]
    galaxies = {name: values[rows[chosen]] for name, values in galaxies.items()}
    around = {name: values[first[chosen]] for name, values in around.items()} | {"galaxy": np.arange(n)}
    camera = {"npix": NPIX, "pixel_scale": band.pixel_scale, "psf": band.psf}
    known = {name: getattr(band, name) for name in ("psf", "gain", "zero_point", "pixel_scale")}
    images = {}
    for name, beside in (("alone", None), ("ignored", around)):
        noisy = band.add_noise(render(galaxies, neighbors=beside, **camera), random_state=seed).numpy()
        images[name] = Cutouts(noisy, noise=band.sky_noise, sky_error=0.0, psf_error=0.0, **known)
    images["masked"] = NeighborMasker().fit_transform(images["ignored"])
    return galaxies, around, images


def scaled(values: np.ndarray) -> np.ndarray:
    """B/T, and logarithms of radius and flux."""
    return np.concatenate([values[..., :1], np.log(values[..., 1:3])], axis=-1)


def part(n: int, seed: int) -> dict[str, np.ndarray]:
    """Measure `n` galaxies."""
    galaxies, around, images = drawn(n, seed)
    truth = scaled(np.column_stack([galaxies["bulge_to_total"], half_light_radius(galaxies), galaxies["flux"]]))
    rng = np.random.default_rng(seed)
    told = {"galaxy": around["galaxy"]}
    told |= {f"{axis}_offset": around[f"{axis}_offset"] + SCATTER * rng.standard_normal(n) for axis in "xy"}
    network = load_pretrained("any-camera")
    model = RefinedRegressor(network, prior=sim_v1_prior(), when="always")
    found = {name: around[name] for name in ("widths", "flux_ratio")}
    for way in WAYS:
        seen = images[way if way in images else "ignored"]
        model.set_params(model_error="infer" if "infer" in way else None)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # a neighbor is no bulge and no disk
            posterior, report = model.refine(seen, neighbors=told if "told" in way else None)
        draws = scaled(posterior.draws)
        found[f"{way}: error"], found[f"{way}: std"] = draws.mean(1) - truth, draws.std(1)
        found[f"{way}: pit"] = (draws < truth[:, None]).mean(1)
        found[f"{way}: reliable"] = np.asarray(report["status"] == "refined")
        found[f"{way}: seconds"] = np.asarray(report["seconds"])
    return found


def line(name: str, of: dict[str, np.ndarray], way: str) -> str:
    rms = {one: np.sqrt((of[f"{one}: error"] ** 2).mean(0)) for one in (way, "alone")}
    pull = np.median(abs(of[f"{way}: error"] / of[f"{way}: std"]), axis=0)
    cells = [
        " / ".join(f"{v:.3f}" for v in rms[way]),
        " / ".join(f"{v:.2f}" for v in rms[way] / rms["alone"]),
        " / ".join(f"{v:.2f}" for v in (of[f"{way}: std"].mean(0) / of["alone: std"].mean(0))),
        " / ".join(f"{v:.2f}" for v in pull / 0.674),
        " / ".join(f"{v:.2f}" for v in (abs(2 * of[f"{way}: pit"] - 1) <= 0.6827).mean(0)),
        f"{(~of[f'{way}: reliable']).sum()}",
        f"{of[f'{way}: seconds'].mean():.2f}",
    ]
    return f"| {name} ({len(of['widths'])}) | {way} | " + " | ".join(cells) + " |"


def table(parts: list[dict[str, np.ndarray]]) -> str:
    """A row for each range of distances, and each way."""
    heads = (
        "widths (n)", "neighbor", "RMSE", "/ that of alone", "mean σ / that of alone",
        "median of abs(error)/σ, over that of a normal", "68 % hold", "unreliable", "core seconds",
    )  # fmt: skip
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    every = {name: np.concatenate([one[name] for one in parts]) for name in parts[0]}
    fainter = every["flux_ratio"] < BRIGHTER
    parts_of = {f"{a:g}–{b:g}": fainter & (every["widths"] >= a) & (every["widths"] < b) for a, b in pairwise(EDGES)}
    for name, rows in (parts_of | {"brighter than the galaxy": ~fainter}).items():
        if rows.any():
            of = {key: values[rows] for key, values in every.items()}
            lines += [line(name, of, way) for way in WAYS]
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--galaxies", type=int, default=96)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    options = parser.parse_args()
    options.galaxies = 1 if options.smoke else options.galaxies
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    for first in range(0, options.galaxies, PART):
        path = options.out / f"{options.seed}_{first}.npz"
        if not path.exists():
            np.savez(path, **part(min(PART, options.galaxies - first), 1000 * options.seed + first))
    print(table([dict(np.load(path)) for path in sorted(options.out.glob("*.npz"))]))


if __name__ == "__main__":
    main()
