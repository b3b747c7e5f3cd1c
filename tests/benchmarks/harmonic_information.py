"""Information in the sums of `HarmonicNet`: the Cramér–Rao limit from them, against that from the pixels.

    python tests/benchmarks/harmonic_information.py                  # the numbers quoted in docs/benchmarks.md
    python tests/benchmarks/harmonic_information.py --galaxies 10    # does it run?

Galaxies of galestim-sim-v1, i band, 96×96 px; the bound of B/T, ln R_e and ln F with the prior, as `cramer_rao_bound`
has it. Reported: the root mean square of the bounds from the sums over that from the pixels, by magnitude, for the
sums as they are, without the fourth order, and with Gaussians up to 15 % of the image's side instead of 23 %.
"""

import argparse
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from _record import record

from galestim._light import circular_harmonics, log_scales
from galestim.networks._harmonic import ORDERS
from galestim.simulation import _bound, hsc_like, noise_variance, sim_v1_prior
from galestim.simulation._parameters import PARAMETERS, as_tensors

NPIX = 96
SCALES = log_scales(NPIX, NPIX, 12)
VARIANTS = {
    "as they are": (ORDERS, SCALES),
    "orders 0, 1, 2": (ORDERS[:3], SCALES),
    "up to 15 %": (ORDERS, np.geomspace(SCALES[0], 0.15 * NPIX, 12)),
}
EDGES = (17.5, 19, 20, 21, 22, 23)  # magnitudes


def sums(orders, scales) -> torch.Tensor:
    """Return filters as orthonormal rows (m, pixels); which basis it is, makes no difference."""
    filters = np.concatenate([circular_harmonics(NPIX, NPIX, scales, order).reshape(12, -1) for order in orders])
    rows = torch.from_numpy(np.concatenate([filters.real, filters.imag]))
    _, size, basis = torch.linalg.svd(rows, full_matrices=False)
    return basis[size > 1e-6 * size[0]]


def fisher(slopes: torch.Tensor, variance: torch.Tensor, basis: torch.Tensor | None) -> torch.Tensor:
    """Return the Fisher matrices (n, 12, 12) of pixels, or of their sums with `basis`."""
    if basis is None:
        return torch.einsum("inp,jnp->nij", slopes / variance, slopes)
    found = []
    for slope, noise in zip(slopes.unbind(1), variance):
        change = basis @ slope.T
        found.append(change.T @ torch.linalg.solve((basis * noise) @ basis.T, change))
    return torch.stack(found)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--galaxies", type=int, default=240)
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--out", type=Path, help="append the results to this file")
    options = parser.parse_args()

    prior, band = sim_v1_prior(), hsc_like("i")
    galaxies = as_tensors(prior.draw(options.galaxies, random_state=options.seed), dtype=torch.float64)
    magnitude = band.zero_point - 2.5 * np.log10(galaxies["flux"].numpy())
    parts = [{k: v[i : i + 40] for k, v in galaxies.items()} for i in range(0, options.galaxies, 40)]
    images, slopes = zip(*(_bound._jacobian(part, band, NPIX) for part in parts))
    variance = noise_variance(torch.cat(images), band.sky_noise, band.gain).flatten(1)
    slopes, by_parameter = torch.cat(slopes, 1).flatten(2), _bound._target_slopes(galaxies)
    precision = torch.tensor([1 / prior.variance()[name] for name in PARAMETERS], dtype=torch.float64).diag()

    def squares(basis):
        covariance = torch.linalg.inv(fisher(slopes, variance, basis) + precision)
        return (by_parameter @ covariance @ by_parameter.mT).diagonal(dim1=1, dim2=2).numpy()

    pixels = squares(None)
    for name, (orders, scales) in VARIANTS.items():
        basis = sums(orders, scales)
        kept = squares(basis)
        ratios = {}
        for low, high in pairwise(EDGES):
            chosen = (magnitude >= low) & (magnitude < high)
            if chosen.any():
                ratio = np.sqrt(kept[chosen].mean(axis=0) / pixels[chosen].mean(axis=0))
                ratios[f"{low:g}-{high:g}"] = ratio.round(4).tolist()
        record(options.out, what="harmonic_information", sums=name, numbers=len(basis), limit_ratio=ratios)


if __name__ == "__main__":
    main()
