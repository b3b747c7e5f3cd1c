"""The renderer against GalSim: images, fluxes, gradients and speed, over the galaxies of galestim-sim-v1.

    python tests/benchmarks/galsim_oracle.py                             # the table quoted in docs/benchmarks.md
    python tests/benchmarks/galsim_oracle.py --galaxies 3 --check 1      # does it run?

Galaxies of galestim-sim-v1, with the Sérsic indices of bulges drawn up to 5.6 and those of disks down to 0.7, in
images of 96×96 px with the point-spread function of each band. Against GalSim: the largest difference of a pixel
over the image's peak; that of the sum over the pixels of the image over this sum, of the worst galaxy each; and the
rms over the pixels of all galaxies, and of the worst one, in units of the noise of the sky. Whether GalSim is
itself the limit: how much it changes with every setting tighter, for some of the galaxies from the most to the
least extended. Gradients of a random sum of the pixels are compared with central differences, in units of the root
sum of squares of the pixels' derivatives.
"""

import argparse
import os
import sys
import time
from pathlib import Path

import numpy as np
import torch
from _record import record

from galestim.simulation import Uniform, hsc_like, render, sim_v1_prior
from galestim.simulation._parameters import PARAMETERS

sys.path.insert(0, str(Path(__file__).parents[1] / "simulation"))
from _galsim import by_galsim

INDICES = {"bulge_sersic_index": Uniform(2.5, 5.6), "disk_sersic_index": Uniform(0.7, 1.2)}
SETTINGS = {"folding_threshold": 1e-4, "maxk_threshold": 1e-5, "kvalue_accuracy": 1e-7}
TIGHTER = {"folding_threshold": 1e-5, "maxk_threshold": 1e-6, "kvalue_accuracy": 3e-8}
TIGHTER |= {"integration_relerr": 1e-8, "integration_abserr": 1e-10}
NPIX, STEP = 96, 1e-4


def camera_of(band) -> dict:
    return {"npix": NPIX, "pixel_scale": band.pixel_scale, "psf": band.psf}


def differences(image: np.ndarray, expected: np.ndarray) -> tuple[float, float, float]:
    """Return the largest over the peak, that of the sums over the sum, and the rms."""
    difference = image - expected
    share = difference.sum() / expected.sum()
    return abs(difference).max() / expected.max(), abs(share), np.sqrt((difference**2).mean())


def against_galsim(galaxies: dict, name: str, n_checked: int) -> dict:
    """Return the largest differences in one band."""
    band = hsc_like(name)
    images = {
        dtype: render(galaxies, **camera_of(band), dtype=dtype).numpy() for dtype in (torch.float32, torch.float64)
    }
    most_extended = np.argsort(-galaxies["bulge_radius"] * galaxies["bulge_sersic_index"] ** 2)
    checked = set(most_extended[np.linspace(0, len(most_extended) - 1, n_checked).astype(int)])
    found, own = {dtype: [] for dtype in images}, []
    for i in range(len(galaxies["flux"])):
        expected = by_galsim(galaxies, i, **camera_of(band), settings=SETTINGS)
        for dtype, drawn in images.items():
            found[dtype].append(differences(drawn[i].astype(float), expected))
        if i in checked:
            own.append(differences(expected, by_galsim(galaxies, i, **camera_of(band), settings=TIGHTER)))
    result = {"galaxies": len(galaxies["flux"]), "galaxies_checked": n_checked}
    for kind, rows in [("float32", found[torch.float32]), ("float64", found[torch.float64]), ("galsim_itself", own)]:
        peak, flux, rms = np.transpose(rows) if rows else np.zeros((3, 1))
        result[kind] = {
            "of_peak": peak.max(),
            "of_flux": flux.max(),
            "rms_in_sky_noise": np.sqrt((rms**2).mean()) / band.sky_noise,
            "largest_rms_in_sky_noise": rms.max() / band.sky_noise,
        }
    return result


def gradient_errors(galaxies: dict, band) -> dict[str, float]:
    """Return for each parameter the largest difference of gradient and central difference, over all galaxies."""
    n, generator = len(galaxies["flux"]), torch.Generator().manual_seed(0)
    weights = torch.randn(n, NPIX, NPIX, generator=generator, dtype=torch.float64)
    truth, steps = {}, {}
    for name, (low, high) in PARAMETERS.items():
        values = torch.as_tensor(galaxies[name])
        steps[name] = STEP * values.abs().clamp(min=1)
        inside = values.clamp(max=high - STEP)  # so that a step stays within the limits
        truth[name] = (inside if low is None else inside.clamp(min=low + STEP)).requires_grad_()
    scores = (render(truth, **camera_of(band)) * weights).sum()
    gradients = dict(zip(truth, torch.autograd.grad(scores, list(truth.values()))))
    fixed, errors = {name: values.detach() for name, values in truth.items()}, {}
    for name, step in steps.items():
        above, below = (render(fixed | {name: fixed[name] + sign * step}, **camera_of(band)) for sign in (1, -1))
        slopes = (above - below) / (2 * step)[:, None, None]
        difference = (gradients[name] - (slopes * weights).sum((1, 2))).abs()
        errors[name] = float((difference / slopes.square().sum((1, 2)).sqrt()).max())
    return errors


def images_per_second(band, repeats: int) -> dict[str, float]:
    """Return the best of some runs in float32: of wall time on all threads, and of the time of all CPUs together."""
    galaxies, speeds = sim_v1_prior().draw(2000, random_state=0), []
    render(galaxies, **camera_of(band))  # grid and profiles are in the cache from now on
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        render(galaxies, **camera_of(band))
        speeds.append((2000 / (time.perf_counter() - wall), 2000 / (time.process_time() - cpu)))
    return dict(zip(("wall", "cpu"), np.max(speeds, axis=0).round().tolist()))


def rounded(value):
    """Two digits of each number in a tree of dicts."""
    if isinstance(value, dict):
        return {name: rounded(item) for name, item in value.items()}
    return float(f"{value:.2g}") if isinstance(value, float) else value


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--galaxies", type=int, default=200)
    parser.add_argument("--bands", nargs="+", default=["g", "r", "i"], choices=["g", "r", "i"])
    parser.add_argument("--check", type=int, default=10, help="galaxies per band for which GalSim is tightened")
    parser.add_argument("--repeats", type=int, default=5, help="of the measurement of speed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="append the results to this file")
    options = parser.parse_args()

    galaxies = sim_v1_prior().replace(**INDICES).draw(options.galaxies, random_state=options.seed)
    common = {"seed": options.seed, "npix": NPIX}
    for name in options.bands:
        errors = gradient_errors(galaxies, hsc_like(name))
        record(options.out, what="gradients", band=name, galaxies=options.galaxies, errors=rounded(errors), **common)
        speed = images_per_second(hsc_like(name), options.repeats)
        threads = {"threads": torch.get_num_threads(), "cpus": os.cpu_count()}
        record(options.out, what="rendering", band=name, images_per_second=speed, **threads)
    for name in options.bands:
        found = rounded(against_galsim(galaxies, name, options.check))
        settings = {"settings": SETTINGS, "tighter": TIGHTER}
        record(options.out, what="galsim", band=name, **found, **settings, **common)


if __name__ == "__main__":
    main()
