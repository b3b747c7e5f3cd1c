"""Refinement of the shipped network's posteriors on galestim-sim-v1: errors over the limit, coverage, and cost.

    python tests/benchmarks/refinement.py --galsim --out results     # the table quoted in docs/benchmarks.md
    python tests/benchmarks/refinement.py --smoke --out results      # does it run?

As many galaxies of each range of magnitudes, drawn by the renderer or by GalSim (whose Sérsic indices are rounded to
0.05 for bulges and 0.02 for disks, as it makes a table of each), with Gaussian sky and Poisson photons. All are
refined, whatever the rule says. Compared are the posterior means of B/T, ln R_e and ln F of the network and of the
refinement, with the network's where that says itself that it is not reliable; "largest error" is that of an emulated
log likelihood. Errors are root mean squares over that of the Cramér–Rao limit of the same galaxies, intervals 95 %
bootstraps over galaxies. Each part of a run writes a file, which another run does not repeat and the table is made
of: a long run can be stopped, and several be added up.
"""

import argparse
import sys
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch

from galestim.checkpoints import load_pretrained
from galestim.posteriors import DrawsPosterior
from galestim.refinement import RefinedRegressor
from galestim.simulation import (
    Uniform,
    add_noise,
    cramer_rao_bound,
    half_light_radius,
    hsc_like,
    render,
    sim_v1_prior,
)

EDGES = (17.5, 19, 20, 21, 22, 23)  # magnitudes
LEVELS = (0.68, 0.95)
PART = 8  # galaxies in a file
NPIX = 96


def drawn(galaxies: dict, band, galsim: bool, seed: int) -> np.ndarray:
    camera = {"npix": NPIX, "pixel_scale": band.pixel_scale, "psf": band.psf}
    if not galsim:
        noiseless = render(galaxies, **camera)
    else:
        sys.path.insert(0, str(Path(__file__).parents[1] / "simulation"))
        from _galsim import by_galsim

        noiseless = torch.tensor(np.array([by_galsim(galaxies, i, **camera) for i in range(len(galaxies["flux"]))]))
    noisy = add_noise(noiseless, sky_noise=band.sky_noise, gain=band.gain, photons="poisson", random_state=seed)
    return noisy.numpy().astype(np.float32)


def scaled(values: np.ndarray) -> np.ndarray:
    """B/T, and logarithms of radius and flux."""
    return np.concatenate([values[..., :1], np.log(values[..., 1:3])], axis=-1)


def moments(posterior, truth: np.ndarray) -> dict[str, np.ndarray]:
    """Mean, standard deviation, and share of the draws below the truth."""
    draws, weights = scaled(posterior.draws), posterior.weights[..., None]
    mean = (weights * draws).sum(1)
    std = np.sqrt((weights * (draws - mean[:, None]) ** 2).sum(1))
    return {"mean": mean, "std": std, "pit": (weights * (draws < truth[:, None])).sum(1)}


def part(low: float, high: float, n: int, seed: int, options) -> dict[str, np.ndarray]:
    """Measure `n` galaxies of one range of magnitudes."""
    band, prior = hsc_like("i"), sim_v1_prior()
    galaxies = prior.replace(magnitude=Uniform(low, high)).draw(n, random_state=seed)
    if options.galsim:
        for name, step in (("bulge_sersic_index", 0.05), ("disk_sersic_index", 0.02)):
            galaxies[name] = np.round(galaxies[name] / step) * step
    images = drawn(galaxies, band, options.galsim, seed)
    truth = scaled(np.column_stack([galaxies["bulge_to_total"], half_light_radius(galaxies), galaxies["flux"]]))
    network = load_pretrained("hsc-sim-i", device="cpu")
    started = time.process_time()
    refined = RefinedRegressor(
        network, prior=prior, band=band, when="always", n_samples=options.samples, device=options.device
    )
    posterior, report = refined.refine(images)
    seconds = (time.process_time() - started) / n
    plain = network.predict_posterior(images)
    of_network = moments(DrawsPosterior(plain.sample(4000, random_state=0)), truth)
    return {
        "magnitude": galaxies["magnitude"],
        "truth": truth,
        "limit": cramer_rao_bound(galaxies, band, prior=prior).std,
        **moments(posterior, truth),
        **{f"network_{name}": values for name, values in of_network.items()},
        "reliable": np.asarray(report["status"] == "refined"),
        **{name: np.asarray(report[name]) for name in ("effective", "k_hat", "error", "chi2", "signal_to_noise")},
        "seconds": np.full(n, seconds),
    }


def ratio(error: np.ndarray, limit: np.ndarray) -> list[str]:
    """RMSE over rms limit of three targets, with intervals."""
    rng = np.random.default_rng(0)
    rows = rng.integers(len(error), size=(999, len(error)))
    value = np.sqrt((error**2).mean(0) / (limit**2).mean(0))
    each = np.sqrt((error[rows] ** 2).mean(1) / (limit[rows] ** 2).mean(1))
    low, high = np.percentile(each, [2.5, 97.5], axis=0)
    return [f"{v:.2f} [{a:.2f}, {b:.2f}]" for v, a, b in zip(value, low, high)]


def table(parts: list[dict[str, np.ndarray]]) -> str:
    """A row for each range of magnitudes."""
    heads = (
        "mag (n)", "network RMSE / limit", "refined", "mean σ / limit", "rms of (truth − mean)/σ",
        "68 / 95 % hold", "effective: median, least", "largest error", "unreliable", "core seconds",
    )  # fmt: skip
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    every = {name: np.concatenate([one[name] for one in parts]) for name in parts[0]}
    for low, high in [*pairwise(EDGES), (EDGES[0], EDGES[-1])]:
        rows = (every["magnitude"] >= low) & (every["magnitude"] < high)
        if rows.any():
            lines.append(line(f"{low:g}–{high:g}", {name: values[rows] for name, values in every.items()}))
    return "\n".join(lines)


def line(name: str, of: dict[str, np.ndarray]) -> str:
    error = of["mean"] - of["truth"]
    held = [" ".join(f"{v:.2f}" for v in (abs(2 * of["pit"] - 1) <= level).mean(0)) for level in LEVELS]
    cells = [
        f"{name} ({len(error)})",
        " / ".join(ratio(of["network_mean"] - of["truth"], of["limit"])),
        " / ".join(ratio(error, of["limit"])),
        " / ".join(f"{v:.2f}" for v in of["std"].mean(0) / of["limit"].mean(0)),
        " / ".join(f"{v:.2f}" for v in np.sqrt(((error / of["std"]) ** 2).mean(0))),
        " / ".join(held),
        f"{np.median(of['effective']):.0f}, {of['effective'].min():.0f}",
        f"{of['error'].max():.2f}",
        f"{(~of['reliable']).sum()}",
        f"{of['seconds'].mean():.2f}",
    ]
    return "| " + " | ".join(cells) + " |"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--galaxies", type=int, default=400, help="of each range of magnitudes")
    parser.add_argument("--galsim", action="store_true", help="draw galaxies by GalSim")
    parser.add_argument("--samples", type=int, default=1600, help="draws of each galaxy")
    parser.add_argument("--ranges", type=int, nargs="*", default=list(range(len(EDGES) - 1)), help="of magnitudes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    options = parser.parse_args()
    if options.smoke:
        options.galaxies, options.samples, options.ranges = 2, 800, [0, 3]
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    for first in range(0, options.galaxies, PART):
        for i in options.ranges:
            path = options.out / f"{options.seed}_{i}_{first}.npz"
            if not path.exists():
                n = min(PART, options.galaxies - first)
                np.savez(path, **part(*EDGES[i : i + 2], n, 1_000_000 * options.seed + 1000 * first + i, options))
    print(table([dict(np.load(path)) for path in sorted(options.out.glob("*.npz"))]))


if __name__ == "__main__":
    main()
