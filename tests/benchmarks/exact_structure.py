"""What images of galestim-sim-v2 tell of structure at all: posteriors that are exact, the limit, and the network.

    python tests/benchmarks/exact_structure.py --out results      # the table quoted in docs/benchmarks.md
    python tests/benchmarks/exact_structure.py --smoke --out results      # does it run?

Galaxies of `sim_v2_prior`, alone, in images of 64 px from cameras that are told as they are, but for the level of the
sky and the width of the star, whose errors are as told; noise is independent, pixels and stars are of one size, so
that one prior tells what is known of radii, and stars are small enough for their stamps. The likelihood is that of
the renderer, so what `RefinedRegressor(sampler="tempering")` draws is the posterior, but for the number of its draws.
Compared are root mean squares of the errors of posterior means of B/T, ln R_e and ln F, and of their standard
deviations, over that of the Cramér–Rao limits; these are linear about the truth, and know of no other mode. Each part
of a run writes a file, which another run does not repeat and the table is made of.
"""

import argparse
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch

from galestim.checkpoints import load_pretrained
from galestim.datasets import SimulatedGalaxies
from galestim.posteriors import DrawsPosterior
from galestim.refinement import RefinedRegressor
from galestim.simulation import LogUniform, Uniform, cramer_rao_bound, sim_v2_cameras, sim_v2_prior

EDGES = 10, 30, 100, 300, 1000, 3000  # signal to noise
NPIX, PART = 64, 8
WHO = "exact", "network"
FWHM, SCALE = 2.5, 0.2  # pixels; arcsec


def prior():
    """Galaxies of galestim-sim-v2 as far as one camera sees them: of a quarter to three times the star's width."""
    return sim_v2_prior().replace(half_light_radius=LogUniform(0.25 * FWHM * SCALE, 3.0 * FWHM * SCALE))


def cameras(low: float, high: float):
    """Cameras of galestim-sim-v2 that hide nothing, at signal-to-noise ratios from `low` to `high`."""
    return sim_v2_cameras().replace(
        fwhm=FWHM,
        pixel_scale=SCALE,
        relative_radius=None,
        max_radius=None,
        beta=Uniform(3.0, 5.0),
        double_share=0.0,
        correlated_share=0.0,
        stamp_size=8.0,
        stamp_noise=0.0,
        signal_to_noise=LogUniform(low, high),
    )


def scaled(values: np.ndarray) -> np.ndarray:
    """B/T, and logarithms of radius and flux."""
    return np.concatenate([values[..., :1], np.log(values[..., 1:3])], axis=-1)


def part(low: float, high: float, n: int, seed: int, sampler: str) -> dict[str, np.ndarray]:
    """Measure `n` galaxies of one range of signal to noise."""
    known, band = prior(), cameras(low, high)
    drawn = SimulatedGalaxies(n, npix=NPIX, band=band, prior=known, random_state=seed)
    truth, network = scaled(drawn.target), load_pretrained("any-camera", device="cpu")
    refined, report = RefinedRegressor(network, prior=known, when="always", sampler=sampler).refine(drawn[:])
    galaxies = {name: values for name, values in drawn.parameters.items() if name != "half_light_radius"}
    limit = cramer_rao_bound(galaxies, drawn.cameras, npix=NPIX, prior=known).std
    found = {"limit": limit, "low": np.full(n, low), "seconds": np.asarray(report["seconds"])}
    plain = DrawsPosterior(network.predict_posterior(drawn[:]).sample(4000, random_state=0))
    for name, posterior in (("exact", refined), ("network", plain)):
        draws = scaled(posterior.draws)
        found |= {f"{name}: error": draws.mean(1) - truth, f"{name}: std": draws.std(1)}
        found[f"{name}: pit"] = (draws < truth[:, None]).mean(1)
    return found


def rms(values: np.ndarray) -> np.ndarray:
    return np.sqrt((values**2).mean(0))


def table(parts: list[dict[str, np.ndarray]]) -> str:
    """A row for each range of signal to noise."""
    heads = "S/N (n)", "exact: RMSE / limit", "σ / limit", "68 % hold", "network: RMSE / limit", "σ / limit", "core s"
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    every = {name: np.concatenate([one[name] for one in parts]) for name in parts[0]}
    for low, high in pairwise(EDGES):
        of = {name: values[every["low"] == low] for name, values in every.items()}
        if len(of["low"]):
            over = [rms(of[f"{who}: {what}"]) / rms(of["limit"]) for who in WHO for what in ("error", "std")]
            over.insert(2, (abs(2 * of["exact: pit"] - 1) <= 0.6827).mean(0))
            cells = [" / ".join(f"{value:.2f}" for value in each) for each in over]
            cells = [f"{low}–{high} ({len(of['low'])})", *cells, f"{of['seconds'].mean():.1f}"]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--galaxies", type=int, default=64, help="in each range")
    parser.add_argument("--ranges", type=int, nargs="+", default=range(len(EDGES) - 1), help="which of the ranges")
    parser.add_argument("--sampler", default="tempering", help='of the exact posteriors; or "importance"')
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    options = parser.parse_args()
    n, ranges = (1, [2]) if options.smoke else (options.galaxies, options.ranges)
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    for first in range(0, n, PART):
        for i in ranges:
            path = options.out / f"{options.seed}_{i}_{first}.npz"
            if not path.exists():
                seed = 1_000_000 + 10_000 * options.seed + 1000 * i + first
                np.savez(path, **part(*EDGES[i : i + 2], min(PART, n - first), seed, options.sampler))
    print(table([dict(np.load(path)) for path in sorted(options.out.glob("*.npz"))]))


if __name__ == "__main__":
    main()
