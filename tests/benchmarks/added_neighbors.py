"""Real galaxies beside neighbors that were added. Data: github.com/asgr/magicaxis and LSSTDESC/BlendingToolKit.

    python tests/benchmarks/added_neighbors.py --out results.jsonl
    python tests/benchmarks/added_neighbors.py --smoke        # does it run?

Isolated sources of the ground-based fields VST_r and VISTA_K, stamps of hst_cosmos with nothing beside, and simulated
galaxies that go the same way. Neighbors are drawn through the star of the galaxy, as galestim-sim-v2-crowded has
them: three magnitudes brighter to three fainter, up to 48 pixels off, of half to twice its size. `NeighborMasker`
masks before and after. Do the posteriors agree?

Of each target: the difference of the medians over the combined σ of both, in the median and half of its 68 % range;
the same over √(σ² after - σ² before), the error of what only the masked pixels told, where that is 0.3 σ or more; and
how often the 68 % interval after holds the median before. For neighbors 2.5 widths of the star off, and nearer.
"""

import argparse
import dataclasses
from pathlib import Path

import _model
import numpy as np
from _real_galaxies import SETS, Galaxy, cutouts_of
from _record import record

from galestim import Cutouts, NeighborMasker
from galestim.simulation import Band, ImagePSF, LogUniform, render, sim_v2_neighbors, sim_v2_prior

NPIX, TIMES, SEED = 96, 8, 61
NEAR = 2.5  # widths of the star
LEAST = 0.3  # of the galaxy's σ, that masked pixels told
DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
TARGETS = ("bulge_to_total", "half_light_radius", "flux")
PRIOR = sim_v2_neighbors().replace(mean_number=1.5, relative_radius=LogUniform(0.5, 2.0))


def isolated(galaxies: list[Galaxy], name: str) -> list[Galaxy]:
    """Those with nothing beside them that was found."""
    return galaxies if name in ("VST_r", "VISTA_K", "simulated") else [one for one in galaxies if not one.mask.any()]


def crowded(galaxies: list[Galaxy], usual: np.ndarray, seed: int) -> tuple[list[Galaxy], np.ndarray]:
    """Galaxies with neighbors, and the distance of the nearest in widths of the star; inf if there is none.

    `usual` (n, 3) is what the galaxies have alone, by which the neighbors are drawn.
    """
    n = len(galaxies)
    band = Band(
        psf=[ImagePSF(galaxy.psf, galaxy.pixel_scale) for galaxy in galaxies],
        sky_noise=np.array([galaxy.noise for galaxy in galaxies]),
        pixel_scale=np.array([galaxy.pixel_scale for galaxy in galaxies]),
    )
    own = {"half_light_radius": usual[:, 1], "flux": usual[:, 2], "x_offset": np.zeros(n), "y_offset": np.zeros(n)}
    drawn = PRIOR.draw(own, band, sim_v2_prior(), random_state=seed)
    nearest = np.full(n, np.inf)
    fwhm = np.array([galaxy.fwhm for galaxy in galaxies])
    np.minimum.at(nearest, drawn["galaxy"], drawn["distance"] / fwhm[drawn["galaxy"]])
    return [with_light(one, lights_of(drawn, i, one)) for i, one in enumerate(galaxies)], nearest


def lights_of(drawn: dict, row: int, galaxy: Galaxy) -> np.ndarray:
    """The light of the neighbors of a galaxy, in its image."""
    which = drawn["galaxy"] == row
    if not which.any():
        return np.zeros(galaxy.image.shape)
    some, npix = {name: values[which] for name, values in drawn.items()}, max(galaxy.image.shape)
    psf = ImagePSF(galaxy.psf, galaxy.pixel_scale)
    light = render(some, npix=npix, pixel_scale=galaxy.pixel_scale, psf=psf).numpy().sum(axis=0)
    top, left = ((npix - side) // 2 for side in galaxy.image.shape)
    return light[top : top + galaxy.image.shape[0], left : left + galaxy.image.shape[1]]


def with_light(galaxy: Galaxy, light: np.ndarray) -> Galaxy:
    return dataclasses.replace(galaxy, image=galaxy.image + light)


def seen(galaxies: list[Galaxy]) -> Cutouts:
    """Cutouts, neighbors masked."""
    return NeighborMasker().transform(cutouts_of(galaxies, NPIX))


def estimates(posterior) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Medians, σ and 68 % intervals of B/T, ln R_e and ln F; σ is half of the interval."""
    median, interval = posterior.median().copy(), posterior.credible_interval(0.6827).copy()
    median[:, 1:], interval[:, 1:] = np.log(median[:, 1:]), np.log(interval[:, 1:])
    return median, np.diff(interval, axis=2)[..., 0] / 2, interval


def compared(before, after) -> dict:
    """What is reported of galaxies (n), each target in turn."""
    (old, old_sigma, _), (new, new_sigma, interval) = before, after
    found = {}
    for number, name in enumerate(TARGETS):
        change, sigma = (new - old)[:, number], new_sigma[:, number]
        combined = change / np.hypot(sigma, old_sigma[:, number])
        added = np.sqrt(np.clip(sigma**2 - old_sigma[:, number] ** 2, 0, None))
        told = added > LEAST * old_sigma[:, number]
        low, high = interval[:, number].T
        found[name] = {
            "over combined σ": [round(float(np.median(combined)), 3), spread(combined)],
            "over σ of what is masked": spread(change[told] / added[told]),
            "holds": round(float(np.mean((low <= old[:, number]) & (old[:, number] <= high))), 3),
        }
    return found


def spread(values: np.ndarray) -> float | None:
    """Half of the 68 % range."""
    return round(float(np.diff(np.percentile(values, [16, 84]))[0] / 2), 3) if len(values) > 5 else None


def rows_of(model, name: str, galaxies: list[Galaxy], times: int) -> list[dict]:
    alone = seen(galaxies)
    posterior = model.predict_posterior(alone)
    usual, before = posterior.median(), estimates(posterior)
    known = np.asarray(model.in_domain(alone))
    after, nearest, flags = [], [], []
    for time in range(times):
        beside, distance = crowded(galaxies, usual, SEED + time)
        cutouts = seen(beside)
        after.append(estimates(model.predict_posterior(cutouts)))
        nearest.append(distance)
        flags.append(~np.asarray(model.in_domain(cutouts)))
    before = [np.concatenate([part] * times) for part in before]
    after = [np.concatenate(parts) for parts in zip(*after)]
    distance, flagged, of_known = np.concatenate(nearest), np.concatenate(flags), np.tile(known, times)
    rows = []
    for what, some in {"near": distance < NEAR, "far": (distance >= NEAR) & np.isfinite(distance)}.items():
        some = some & of_known
        kept = some & ~flagged
        if kept.sum() > 5:
            share = round(float(flagged[some].mean()), 3)
            found = compared([part[kept] for part in before], [part[kept] for part in after])
            rows.append({"what": name, "neighbors": what, "n": int(some.sum()), "flagged": share, **found})
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--only", nargs="+", default=["simulated", "VST_r", "VISTA_K", "hst_cosmos"])
    parser.add_argument("--out", type=Path, help="append the results to this file")
    _model.add_arguments(parser)
    options = parser.parse_args()
    model, _ = _model.model_of(options)
    for name in ["simulated"] if options.smoke else options.only:
        if name == "simulated" or options.data.exists():
            galaxies = isolated(SETS[name](options.data), name)
            for row in rows_of(model, name, galaxies, 1 if options.smoke else TIMES):
                record(options.out, **row)


if __name__ == "__main__":
    main()
