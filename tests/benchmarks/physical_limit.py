"""Physical limit of galestim-sim-v1: Cramér–Rao bounds of B/T, half-light radius and flux.

    python tests/benchmarks/physical_limit.py                    # the table quoted in docs/benchmarks.md
    python tests/benchmarks/physical_limit.py --galaxies 50      # does it run?

Galaxies of galestim-sim-v1 in images of 96×96 px; the Cramér–Rao bound of the twelve parameters, with 1/variance of
the prior on the diagonal, carried over to B/T and the logarithms of half-light radius and flux. Its root mean square
over the galaxies of a range of magnitudes is what an RMSE is to be compared with; intervals are 95 % bootstraps.
Before it, how many such images a second of CPU time renders, in float32.
"""

import argparse
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
from _record import record
from scipy.stats import bootstrap

from galestim.simulation import cramer_rao_bound, hsc_like, render, sim_v1_prior

EDGES = (17.5, 19, 20, 21, 22, 23)  # magnitudes


def rms(std: np.ndarray) -> tuple[list[float], list[list[float]]]:
    """Return the root mean square of bounds (n, 3) over galaxies, and its interval."""

    def statistic(values, axis=-1):
        return np.sqrt(np.mean(np.square(values), axis=axis))

    interval = bootstrap(
        (std.T,), statistic, axis=-1, n_resamples=999, rng=0, method="percentile"
    ).confidence_interval
    return statistic(std, axis=0).round(5).tolist(), np.stack(interval).round(5).tolist()


def images_per_cpu_second(galaxies: dict, band) -> float:
    """Return the renderer's speed, once the grid and the profiles are in the cache."""
    camera = {"npix": 96, "pixel_scale": band.pixel_scale, "psf": band.psf, "device": "cpu"}
    render(galaxies, **camera)
    start = time.process_time()
    images = render(galaxies, **camera)
    return len(images) / (time.process_time() - start)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--galaxies", type=int, default=2000)
    parser.add_argument("--band", default="i", choices=["g", "r", "i"])
    parser.add_argument("--sky-error", type=float, default=0.0, help="of the sky's level, in units of its noise")
    parser.add_argument("--psf-error", type=float, default=0.0, help="of the PSF's width, as a share of it")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="append the results to this file")
    options = parser.parse_args()

    prior, band = sim_v1_prior(), hsc_like(options.band)
    galaxies = prior.draw(options.galaxies, random_state=options.seed)
    magnitude = band.zero_point - 2.5 * np.log10(galaxies["flux"])
    speed = images_per_cpu_second({name: values[:1000] for name, values in galaxies.items()}, band)
    record(options.out, what="rendering", band=options.band, images_per_cpu_second=round(speed))
    start = time.process_time()
    errors = {"sky_error": options.sky_error, "psf_error": options.psf_error}
    bound = cramer_rao_bound(galaxies, band, prior=prior, device=options.device, **errors)
    seconds = time.process_time() - start
    print("| mag | galaxies | median S/N | B/T / ln R_e / ln F |\n|---|---|---|---|")
    for low, high in [*pairwise(EDGES), (EDGES[0], EDGES[-1])]:
        chosen = (magnitude >= low) & (magnitude < high)
        if chosen.sum() < 2:
            continue
        limit, interval = rms(bound.std[chosen])
        signal_to_noise = float(np.median(bound.signal_to_noise[chosen]))
        cells = " / ".join(f"{value:.2g}" for value in limit)
        print(f"| {low:g}–{high:g} | {chosen.sum()} | {signal_to_noise:.0f} | {cells} |")
        record(
            options.out,
            what="physical_limit",
            band=options.band,
            magnitude=[low, high],
            galaxies=int(chosen.sum()),
            seed=options.seed,
            **errors,
            signal_to_noise=round(signal_to_noise, 1),
            targets=list(bound.target_names),
            limit=limit,
            limit_interval=interval,
            cpu_seconds_per_galaxy=round(seconds / options.galaxies, 4),
        )


if __name__ == "__main__":
    main()
