"""Refined posteriors against Markov chains of emcee, whose likelihood renders every image.

    python tests/benchmarks/refinement_chains.py --data DATA --out results  # the table in docs/benchmarks.md
    python tests/benchmarks/refinement_chains.py --smoke --out results      # does it run?

Galaxies of galestim-sim-v1 of magnitude 17.5 to 20, drawn by GalSim, and with `--data` two real ones of Hyper
Suprime-Cam (github.com/pysersic/pysersic), with a wider prior. The camera is known, and the variance of the noise is
that of the refined model.

A chain has twelve parameters, none of them solved for. Its walkers are drawn from the prior, and go to the posterior
as the likelihood counts ever more, by moves and by being drawn again (Del Moral, Doucet & Jasra 2006, J. R. Stat.
Soc. B 68, 411); as many start at refined draws; those at a mode that is far below the other's are given up. Then some
of them walk; emcee's autocorrelation time tells how many of their draws are effective. A few hundred are weighted by
what GalSim's images make of the likelihood, which says what chains that GalSim draws would have found.

Refined with the any-camera network, several times with different random numbers: all draws together say how far the
refinement is off, their scatter what chance adds to one. Compared are medians, in standard deviations of the chain,
and widths, standard deviations and halves of 68 % ranges, of B/T, ln R_e and ln F. Needs emcee and GalSim.
"""

import argparse
import sys
import time
import warnings
from pathlib import Path

import emcee
import numpy as np
import torch
from _real_galaxies import middle, pysersic

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
from _galsim import by_galsim

# along differences of walkers; a tenth of them whole differences, from mode to mode
MOVES = [(emcee.moves.DEMove(), 0.8), (emcee.moves.DEMove(gamma0=1.0), 0.1), (emcee.moves.DESnookerMove(), 0.1)]
LOST = 40.0  # log likelihood below the best, at which walkers are at a mode that is none
STILL = 0.5  # share of the walkers that stay effective as the likelihood counts more
REAL_PIXELS = 96
EVERY = 10  # steps of a chain that are kept
TARGETS = ("bulge_to_total", "half_light_radius", "flux")
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


def simulated(n: int, npix: int, seed: int) -> list[tuple]:
    """Names, cutouts and priors of galaxies of galestim-sim-v1."""
    band, prior = hsc_like("i"), sim_v1_prior()
    galaxies = prior.replace(magnitude=Uniform(17.5, 20.0)).draw(n, random_state=seed)
    camera = {"npix": npix, "pixel_scale": band.pixel_scale, "psf": band.psf}
    clean = torch.tensor(np.array([by_galsim(galaxies, i, **camera) for i in range(n)]))
    images = band.add_noise(clean, random_state=seed).numpy().astype(np.float32)
    known = {"noise": band.sky_noise, "gain": band.gain, "zero_point": band.zero_point}
    known |= {"psf": band.psf, "pixel_scale": band.pixel_scale, "sky_error": 0.0, "psf_error": 0.0}
    return [(f"simulated {i}", Cutouts(images[i : i + 1], **known), prior) for i in range(n)]


def real(data: Path) -> list[tuple]:
    """Likewise the last two of the examples."""
    found = []
    for one in pysersic(data)[1:]:
        image, mask = middle(one, REAL_PIXELS)
        known = {"noise": one.noise, "gain": one.gain, "zero_point": one.zero_point, "mask": mask[None]}
        known |= {"psf": one.psf, "pixel_scale": one.pixel_scale, "sky_error": 0.0, "psf_error": 0.0}
        cutouts = Cutouts(image[None].astype(np.float32), **known)
        found.append((f"pysersic {one.object_id}", cutouts, sim_v1_prior().replace(**WIDE)))
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

    def near_nothing(self, rng, n: int) -> np.ndarray:
        """What makes walkers ``(n, 12)`` that are the same different."""
        return 1e-6 * (self.high - self.low) * rng.standard_normal((n, len(self.low)))

    def __call__(self, theta: np.ndarray) -> np.ndarray:
        inside = ((theta > self.low) & (theta < self.high)).all(axis=1)
        found = np.full(len(theta), -np.inf)
        if inside.any():
            found[inside] = self.of_models(render(self.galaxies(theta[inside]), **self.camera).double().numpy())
        return found

    def of_models(self, models: np.ndarray) -> np.ndarray:
        """Log likelihood of images ``(n, npix, npix)``."""
        return -0.5 * ((self.image - models) ** 2 / self.variance)[:, self.good].sum(axis=1)

    def by_galsim(self, theta: np.ndarray) -> np.ndarray:
        """Log likelihood of what GalSim draws."""
        galaxies = self.galaxies(theta)
        return self.of_models(np.array([by_galsim(galaxies, i, **self.camera) for i in range(len(theta))]))

    def targets(self, theta: np.ndarray) -> np.ndarray:
        """B/T, ln R_e and ln F."""
        of = self.galaxies(theta)
        return np.column_stack([of["bulge_to_total"], np.log(half_light_radius(of)), np.log(of["flux"])])


# ---- the chain


def walked(target: LogPosterior, draws: np.ndarray, options) -> tuple[np.ndarray, np.ndarray, float]:
    """A chain ``(steps, walkers, 12)``, its targets ``(steps, walkers, 3)``, and how many of their draws count."""
    rng = np.random.default_rng(options.seed)
    walkers = begun(target, np.concatenate([annealed(target, rng, options), draws[: options.shapes]]), rng, options)
    sampler = sampler_of(target, 1.0, rng, options.walkers)
    state = sampler.run_mcmc(walkers, options.steps // 5)  # to forget
    sampler.reset()
    sampler.run_mcmc(state, options.steps // EVERY, thin_by=EVERY)
    chain = sampler.get_chain()
    found = target.targets(chain.reshape(-1, chain.shape[-1])).reshape(*chain.shape[:2], -1)
    return chain, found, found[..., 0].size / emcee.autocorr.integrated_time(found, tol=0).max()


def begun(target: LogPosterior, theta: np.ndarray, rng, options) -> np.ndarray:
    """Walkers from some of those `theta` that are not far below the best."""
    value = target(theta)
    return theta[rng.choice(np.flatnonzero(value > value.max() - LOST), options.walkers)] + target.near_nothing(
        rng, options.walkers
    )


def annealed(target: LogPosterior, rng, options) -> np.ndarray:
    """Walkers ``(walkers, 12)`` that came from the prior to the posterior."""
    theta, power = rng.uniform(target.low, target.high, (options.shapes, len(target.low))), 0.0
    value = target(theta)
    while power < 1:
        power, weights = next_power(power, value)
        theta = theta[np.searchsorted(weights.cumsum(), (np.arange(len(theta)) + rng.random()) / len(theta) % 1)]
        theta = theta + target.near_nothing(rng, len(theta))
        state = sampler_of(target, power, rng, len(theta)).run_mcmc(theta, options.moves)
        theta, value = state.coords, state.log_prob / power
    return theta


def next_power(power: float, value: np.ndarray) -> tuple[float, np.ndarray]:
    """The largest power of the likelihood with which enough walkers count, at most 1, and their weights."""

    def weights(of: float) -> np.ndarray:
        log = (of - power) * (value - value.max())
        return np.exp(log) / np.exp(log).sum()

    def counts(of: float) -> bool:
        return 1 / (weights(of) ** 2).sum() >= STILL * len(value)

    low, high = power, 1.0
    if counts(high):
        return high, weights(high)
    for _ in range(60):
        between = (low + high) / 2
        low, high = (between, high) if counts(between) else (low, between)
    return high, weights(high)


def sampler_of(target: LogPosterior, power: float, rng, walkers: int) -> emcee.EnsembleSampler:
    def tempered(theta):
        return power * target(theta)

    sampler = emcee.EnsembleSampler(walkers, len(target.low), tempered, moves=MOVES, vectorize=True)
    sampler.random_state = np.random.RandomState(rng.integers(2**31)).get_state()
    return sampler


# ---- the comparison


def refined(cutouts, prior, n_runs: int) -> tuple[list[dict], dict]:
    """Draws of several runs, and of the runs, what their reports say."""
    runs, reports = [], []
    network = load_pretrained("any-camera")
    for seed in range(n_runs):
        model = RefinedRegressor(network, prior=prior, when="always", random_state=seed)
        begin = time.process_time()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # real galaxies are no bulge and disk, which is no matter here
            posterior, report = model.refine(cutouts, parameters="all")
        reports.append({name: report[name][0] for name in ("status", "signal_to_noise", "effective", "k_hat")})
        reports[-1]["seconds"] = time.process_time() - begin
        runs.append(dict(zip(posterior.target_names, posterior.draws[0].T)))
    return runs, {name: np.array([one[name] for one in reports]) for name in reports[0]}


def near(angle: np.ndarray, middle: float) -> np.ndarray:
    return (angle - middle + 90) % 180 - 90 + middle


def of_runs(cutouts, prior, options) -> dict:
    """Targets ``(runs, draws, 3)`` of refined posteriors, all parameters of one, and reports."""
    runs, reports = refined(cutouts, prior, options.runs)
    targets = [np.column_stack([run[TARGETS[0]], np.log(run[TARGETS[1]]), np.log(run[TARGETS[2]])]) for run in runs]
    first = np.array(list(runs[int(np.argmax(reports["status"] == "refined"))].values()))
    return {"runs": np.array(targets), "names": list(runs[0]), "first": first, **reports}


def of_chain(cutouts, prior, first: dict, options) -> dict:
    """A chain, and what GalSim says of it, for a galaxy whose place and noise draws of a posterior tell."""
    start = {key: np.median(values) for key, values in first.items()}
    for key in ("bulge_position_angle", "disk_position_angle"):
        start[key] = first[key][0] + np.median(near(first[key] - first[key][0], 0))
    target = LogPosterior(cutouts, prior, start)
    begin = time.process_time()
    chain, found, effective = walked(target, target.of_draws(first), options)
    seconds = time.process_time() - begin
    result = {
        "theta": chain.astype(np.float32),
        "chain": found,
        "chain_effective": effective,
        "chain_seconds": seconds,
    }
    if isinstance(cutouts.psf, MoffatPSF):
        theta = chain.reshape(-1, chain.shape[-1])
        theta = theta[:: max(1, len(theta) // options.galsim)][: options.galsim]
        result |= {"galsim_targets": target.targets(theta), "galsim_gain": target.by_galsim(theta) - target(theta)}
    return result


def kept(path: Path, made, *args) -> dict:
    """What was made before, or is made now."""
    if not path.exists():
        np.savez(path, **made(*args))
    return dict(np.load(path))


def widths(draws: np.ndarray) -> np.ndarray:
    """Standard deviations and halves of 68 % ranges ``(2, 3)`` of draws ``(n, 3)``."""
    low, high = np.percentile(draws, [16, 84], axis=0)
    return np.array([draws.std(0), (high - low) / 2])


def row(name: str, of: dict, chain: dict) -> str:
    """Of the table."""
    good = of["status"] == "refined"
    draws, runs = chain["chain"].reshape(-1, 3), of["runs"][good]
    sigma, median = draws.std(0), np.median(draws, 0)
    ratios = widths(runs.reshape(-1, 3)) / widths(draws)
    seconds = of["seconds"].mean()
    cells = [
        f"{of['signal_to_noise'][0]:.0f}",
        f"{median[0]:.3f} ± {sigma[0]:.3f}",
        three((np.median(runs.reshape(-1, 3), 0) - median) / sigma, "+.2f"),
        *(three(ratio, ".2f") for ratio in ratios),
        three(np.median(runs, 1).std(0) / sigma, ".2f"),
        f"{chain['chain_effective']:.0f}; {of['effective'][good].mean():.0f} × {good.sum()}",
        galsim_says(chain, sigma),
        f"{chain['chain_seconds']:.0f}; {seconds:.2f}",
        f"{chain['chain_seconds'] / seconds:.0f}",
    ]
    return f"| {name} | " + " | ".join(cells) + " |"


def three(values, form: str) -> str:
    return " / ".join(format(value, form) for value in values)


def galsim_says(of: dict, sigma: np.ndarray) -> str:
    """Share of the draws that stay effective, and change of their means in σ."""
    if "galsim_gain" not in of:
        return "–"
    weights = np.exp(of["galsim_gain"] - of["galsim_gain"].max())
    weights /= weights.sum()
    targets = of["galsim_targets"]
    change = (weights @ targets - targets.mean(0)) / sigma
    return f"{100 / (weights**2).sum() / len(weights):.0f} %; {three(change, '+.3f')}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--galaxies", type=int, default=8, help="simulated ones")
    parser.add_argument("--data", type=Path, help="folder of pysersic_examples")
    parser.add_argument("--npix", type=int, default=64, help="of simulated ones")
    parser.add_argument("--runs", type=int, default=8, help="of the refinement")
    parser.add_argument("--shapes", type=int, default=300, help="that come from the prior")
    parser.add_argument("--moves", type=int, default=15, help="steps each time the likelihood counts more")
    parser.add_argument("--walkers", type=int, default=100)
    parser.add_argument("--steps", type=int, default=1500, help="of a chain; a fifth as many before are forgotten")
    parser.add_argument("--galsim", type=int, default=400, help="draws that GalSim draws, too")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("--out", type=Path, required=True, help="folder of what galaxies gave")
    options = parser.parse_args()
    if options.smoke:
        options.galaxies, options.npix, options.runs, options.moves = 1, 40, 2, 1
        options.shapes, options.walkers, options.steps, options.galsim = 60, 30, 200, 2
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    galaxies = real(options.data) if options.data else []
    galaxies += simulated(options.galaxies, options.npix, options.seed)
    heads = (
        "galaxy", "S/N", "B/T of the chain", "medians, off by σ", "σ over the chain's", "68 % over the chain's",
        "medians of one run scatter by", "effective, chain; runs", "GalSim: effective; change", "seconds, chain; run",
        "times as quick",
    )  # fmt: skip
    print("| " + " | ".join(heads) + " |\n|" + "---|" * len(heads))
    for name, cutouts, prior in galaxies:
        path = options.out / f"{name.replace(' ', '_')}_{options.seed}"
        runs = kept(path.with_suffix(".runs.npz"), of_runs, cutouts, prior, options)
        if not (runs["status"] == "refined").any():
            print(f"| {name} | {runs['signal_to_noise'][0]:.0f} | {runs['status'][0]} |", flush=True)
            continue
        first = dict(zip(runs["names"], runs["first"]))
        chain = kept(path.with_suffix(".chain.npz"), of_chain, cutouts, prior, first, options)
        print(row(name, runs, chain), flush=True)


if __name__ == "__main__":
    main()
