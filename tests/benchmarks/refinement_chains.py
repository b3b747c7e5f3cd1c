"""Refined posteriors against Markov chains of emcee, whose likelihood renders every image.

    python tests/benchmarks/refinement_chains.py --data DATA --out results  # the table in docs/benchmarks.md
    python tests/benchmarks/refinement_chains.py --smoke --out results      # does it run?

Galaxies of galestim-sim-v1 of magnitude 17.5 to 20, drawn by the renderer or by GalSim, and with `--data` two real
ones of Hyper Suprime-Cam (github.com/pysersic/pysersic), with a wider prior. The any-camera network's posteriors are
refined; the camera is known, and the variance of the noise is that of the refined model. A chain has twelve
parameters, none of them solved for; it starts at refined draws, which it leaves if they are wrong, and forgets its
first third.
Compared are means, in standard deviations of the chain, and widths of B/T, ln R_e and ln F; "chain" is how much both
differ between the halves of its walkers, so about twice what is left to chance. Needs emcee.
"""

import argparse
import sys
import time
import warnings
from pathlib import Path

import emcee
import numpy as np
import torch
from _real_galaxies import pysersic

from galestim import Cutouts
from galestim.checkpoints import load_pretrained
from galestim.refinement import RefinedRegressor, residuals
from galestim.simulation import (
    ImagePSF,
    LogUniform,
    MoffatPSF,
    Near,
    Uniform,
    half_light_radius,
    hsc_like,
    render,
    sim_v1_prior,
)

sys.path.insert(0, str(Path(__file__).parents[1] / "simulation"))

MOVES = [(emcee.moves.DEMove(), 0.7), (emcee.moves.DESnookerMove(), 0.1), (emcee.moves.StretchMove(), 0.2)]
LOGARITHMIC = ("bulge_radius", "disk_radius")
WIDE = {
    "magnitude": Uniform(10.0, 30.0),
    "bulge_radius": LogUniform(0.05, 8.0),
    "disk_radius": LogUniform(0.1, 10.0),
    "bulge_sersic_index": Uniform(0.8, 6.0),
    "disk_sersic_index": Uniform(0.7, 1.3),
    "bulge_axis_ratio": Uniform(0.3, 1.0),
    "disk_axis_ratio": Uniform(0.15, 1.0),
    "bulge_position_angle": Near("disk_position_angle", 30.0),
    "x_offset": Uniform(-3.0, 3.0),
    "y_offset": Uniform(-3.0, 3.0),
}


def simulated(n: int, galsim: bool, seed: int) -> list[tuple]:
    """Names, cutouts and priors of galaxies of galestim-sim-v1."""
    band, prior = hsc_like("i"), sim_v1_prior()
    galaxies = prior.replace(magnitude=Uniform(17.5, 20.0)).draw(n, random_state=seed)
    camera = {"npix": 96, "pixel_scale": band.pixel_scale, "psf": band.psf}
    if galsim:
        from _galsim import by_galsim

        clean = torch.tensor(np.array([by_galsim(galaxies, i, **camera) for i in range(n)]))
    else:
        clean = render(galaxies, **camera)
    images = band.add_noise(clean, random_state=seed).numpy().astype(np.float32)
    known = {"noise": band.sky_noise, "gain": band.gain, "zero_point": band.zero_point}
    known |= {"psf": band.psf, "pixel_scale": band.pixel_scale, "sky_error": 0.0, "psf_error": 0.0}
    return [(f"simulated {i}", Cutouts(images[i : i + 1], **known), prior) for i in range(n)]


def real(data: Path) -> list[tuple]:
    """Likewise the last two of the examples."""
    found = []
    for one in pysersic(data)[1:]:
        part = np.s_[None, : min(one.image.shape), : min(one.image.shape)]
        known = {"noise": one.noise, "gain": one.gain, "zero_point": one.zero_point, "mask": one.mask[part]}
        known |= {"psf": one.psf, "pixel_scale": one.pixel_scale, "sky_error": 0.0, "psf_error": 0.0}
        image = Cutouts(one.image[part].astype(np.float32), **known)
        found.append((f"pysersic {one.object_id}", image, sim_v1_prior().replace(**WIDE)))
    return found


class LogPosterior:
    """Of the twelve parameters of one galaxy, in a box in which the prior is even."""

    def __init__(self, cutouts, prior, start: dict):
        self.names = list(prior.priors)
        self.cutouts, self.start = cutouts, start
        ends = [self._ends(prior, name) for name in self.names]
        self.low, self.high = np.transpose(ends)
        compared = residuals(cutouts, {name: np.array([value]) for name, value in start.items()})
        self.image, model = compared.image[0], compared.model[0]
        self.good = np.isfinite(self.image)
        noise = np.broadcast_to(np.asarray(cutouts.noise, dtype=float), self.image.shape)
        self.variance = noise**2 + np.maximum(model, 0) / float(np.asarray(cutouts.gain).flat[0])
        scale = float(np.asarray(cutouts.pixel_scale).flat[0])
        psf = ImagePSF(cutouts.psf, scale) if isinstance(cutouts.psf, np.ndarray) else cutouts.psf
        self.camera = {"npix": self.image.shape[0], "pixel_scale": scale, "psf": psf}

    def _ends(self, prior, name: str) -> tuple[float, float]:
        entry = prior.priors[name]
        if isinstance(entry, Near):
            return -entry.half_width, entry.half_width
        if name == "disk_position_angle":
            return self.start[name] - 90, self.start[name] + 90
        return tuple(np.log([entry.low, entry.high])) if name in LOGARITHMIC else (entry.low, entry.high)

    def galaxies(self, theta: np.ndarray) -> dict:
        """Parameters of `render` at ``(n, 12)``."""
        of = dict(zip(self.names, theta.T))
        for name in LOGARITHMIC:
            of[name] = np.exp(of[name])
        of["bulge_position_angle"] = of["bulge_position_angle"] + of["disk_position_angle"]
        of["flux"] = 10 ** (-0.4 * (of.pop("magnitude") - float(np.asarray(self.cutouts.zero_point).flat[0])))
        return of

    def of_draws(self, draws: dict) -> np.ndarray:
        """The inverse of `galaxies`."""
        of = dict(draws)
        for name in LOGARITHMIC:
            of[name] = np.log(of[name])
        of["disk_position_angle"] = near(of["disk_position_angle"], self.start["disk_position_angle"])
        of["bulge_position_angle"] = near(of["bulge_position_angle"] - of["disk_position_angle"], 0)
        of["magnitude"] = float(np.asarray(self.cutouts.zero_point).flat[0]) - 2.5 * np.log10(of["flux"])
        return np.stack([of[name] for name in self.names], axis=-1)

    def __call__(self, theta: np.ndarray) -> np.ndarray:
        inside = ((theta > self.low) & (theta < self.high)).all(axis=1)
        found = np.full(len(theta), -np.inf)
        if inside.any():
            models = self.models(self.galaxies(theta[inside]))
            chi2 = (self.image - models) ** 2 / self.variance
            found[inside] = -0.5 * chi2[:, self.good].sum(axis=1)
        return found

    def models(self, galaxies: dict) -> np.ndarray:
        return render(galaxies, **self.camera).double().numpy()


class ByGalSim(LogPosterior):
    """With models that GalSim draws; Sérsic indices are rounded, as it makes a table of each."""

    def models(self, galaxies: dict) -> np.ndarray:
        from _galsim import by_galsim

        galaxies = galaxies | {
            f"{name}_sersic_index": step * np.round(galaxies[f"{name}_sersic_index"] / step)
            for name, step in (("bulge", 0.05), ("disk", 0.02))
        }
        return np.array([by_galsim(galaxies, i, **self.camera) for i in range(len(galaxies["flux"]))])


def near(angle: np.ndarray, middle: float) -> np.ndarray:
    return (angle - middle + 90) % 180 - 90 + middle


def compared(name: str, cutouts, prior, options) -> str:
    """A row of the table."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # real galaxies are no bulge and disk, which is no matter here
        refined = RefinedRegressor(load_pretrained("any-camera"), prior=prior, when="always", n_samples=4000)
        start = time.process_time()
        posterior, report = refined.refine(cutouts, parameters="all")
        seconds = time.process_time() - start
    if report["status"][0] != "refined":
        return f"| {name} | {report['signal_to_noise'][0]:.0f} | {report['status'][0]} |"
    draws = dict(zip(posterior.target_names, posterior.draws[0].T))
    middle = {key: np.median(values) for key, values in draws.items()}
    for key in ("bulge_position_angle", "disk_position_angle"):
        middle[key] = draws[key][0] + np.median(near(draws[key] - draws[key][0], 0))
    chain_of = ByGalSim if options.renderer == "galsim" and isinstance(cutouts.psf, MoffatPSF) else LogPosterior
    target = chain_of(cutouts, prior, middle)
    start = time.process_time()
    chain = walked(target, target.of_draws(draws), options)
    of_chain = time.process_time() - start
    own, halves = targets(target, chain.reshape(-1, chain.shape[-1])), np.array_split(chain, 2, axis=1)
    first, second = (targets(target, half.reshape(-1, half.shape[-1])) for half in halves)
    mine = np.column_stack([draws["bulge_to_total"], np.log(draws["half_light_radius"]), np.log(draws["flux"])])
    cells = [
        f"{report['signal_to_noise'][0]:.0f}",
        f"{own[:, 0].mean():.3f} ± {own[:, 0].std():.3f}",
        " / ".join(f"{v:+.2f}" for v in (mine.mean(0) - own.mean(0)) / own.std(0)),
        " / ".join(f"{v:.2f}" for v in mine.std(0) / own.std(0)),
        " / ".join(f"{v:.2f}" for v in abs(first.mean(0) - second.mean(0)) / own.std(0)),
        " / ".join(f"{v:.2f}" for v in first.std(0) / second.std(0)),
        f"{report['effective'][0]:.0f}",
        f"{of_chain / seconds:.0f}",
    ]
    return f"| {name} | " + " | ".join(cells) + " |"


def walked(target: LogPosterior, draws: np.ndarray, options) -> np.ndarray:
    """A chain ``(steps, walkers, 12)`` without its beginning."""
    rng = np.random.default_rng(options.seed)
    begin = draws[rng.choice(len(draws), options.walkers, replace=False)]
    sampler = emcee.EnsembleSampler(options.walkers, len(target.names), target, moves=MOVES, vectorize=True)
    sampler.random_state = np.random.RandomState(options.seed).get_state()
    sampler.run_mcmc(begin, options.steps)
    return sampler.get_chain(discard=options.steps // 3)


def targets(target: LogPosterior, theta: np.ndarray) -> np.ndarray:
    """B/T, ln R_e and ln F."""
    of = target.galaxies(theta[:: max(1, len(theta) // 4000)])
    return np.column_stack([of["bulge_to_total"], np.log(half_light_radius(of)), np.log(of["flux"])])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--galaxies", type=int, default=8, help="simulated ones")
    parser.add_argument("--data", type=Path, help="folder of pysersic_examples")
    parser.add_argument("--renderer", choices=["render", "galsim"], default="render", help="of images and chains")
    parser.add_argument("--walkers", type=int, default=48)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("--out", type=Path, required=True, help="folder of the rows")
    options = parser.parse_args()
    if options.smoke:
        options.galaxies, options.walkers, options.steps = 1, 26, 6
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    galaxies = simulated(options.galaxies, options.renderer == "galsim", options.seed)
    galaxies += real(options.data) if options.data else []
    heads = (
        "galaxy", "S/N", "B/T of the chain", "means, off by σ", "widths over the chain's", "chain: means, in σ",
        "chain: widths", "effective", "times as quick",
    )  # fmt: skip
    print("| " + " | ".join(heads) + " |\n|" + "---|" * len(heads))
    for name, cutouts, prior in galaxies:
        path = options.out / f"{name.replace(' ', '_')}_{options.seed}.txt"
        if not path.exists():
            path.write_text(compared(name, cutouts, prior, options))
        print(path.read_text(), flush=True)


if __name__ == "__main__":
    main()
