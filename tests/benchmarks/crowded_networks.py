"""Networks that might read crowded images, each taught for the same time on the same galaxies: errors and coverage.

    python tests/benchmarks/crowded_networks.py --out DIR        # every network; goes on where it stopped
    python tests/benchmarks/crowded_networks.py --out DIR --only stn "stn, masked" --minutes 30 --galaxies 50000
    python tests/benchmarks/crowded_networks.py --out DIR --smoke                     # does it run?

Galaxies of galestim-sim-v2-crowded in images of 64 pixels. Those that teach are drawn once and kept in DIR; those
that judge are the parts of the benchmark's own set that have this size (`sim_v2/_sets.py`), with their limits. The
networks infer B/T, half-light radius [arcsec] and flux, and are given the same cutouts: bad pixels are filled, and
masked ones too. What is not harmonic sees asinh of images in units of their noise, and is told numbers of the camera.

    harmonic        HarmonicNet with the head, rates and batches of sim_v2/train.py
    stn             STNPosteriorRegressor as it is by default: CompactCNN behind a crop
    gampen          GaMPEN's recipe: VGG-16 behind an unbounded zoom, SGD at a rate of 5e-7, from random weights, but
                    without its rotations, which would turn images and not their stars, and with 1 pass for 1000
    tuned           the same with Adam at 1e-4
    compact         the network of the default STN without its crop
    harmonic crop   what HarmonicNet makes of the crop of a spatial transformer
    any-camera      the estimator that ships, which learned from millions of other looks for hours

"masked" is behind `NeighborMasker`. The time is that of the processor, with one thread: that of an epoch is measured
on a few batches, and there are as many epochs as fit; where that is no whole number, of a share of the galaxies.
Harmonics are quick, get --most-epochs in less time, and keep the one that was best on validation galaxies.
"""

import argparse
import logging
import sys
import time
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent / "sim_v2"))

import _crowded
import _measures
import _metrics
import _report
import _sets
import numpy as np
import torch
from _record import record, recorded
from astropy.table import Table
from sklearn.base import clone

from galestim import CompactCNN, Cutouts, HarmonicNet, NeighborMasker, PosteriorRegressor, STNPosteriorRegressor
from galestim.checkpoints import load_pretrained
from galestim.datasets import SimulatedGalaxies
from galestim.networks import VGG16, GaussianHead
from galestim.simulation import sim_v2_cameras, sim_v2_neighbors, sim_v2_prior
from galestim.targets import LogitTransform

NPIX, SEED = 64, 50_000  # the galaxies that judge have 40_000, 40_003, …
TRANSFORMS = [LogitTransform(margin=1e-4), "log", "log"]
SHIPPED = "any-camera, masked"
N_BATCHES = 4  # on which the time of an epoch is measured
COLUMNS = {
    "RMSE / limit, S/N 30–1000": "RMSE / limit, S/N 30–1000",
    "RMSE / limit, with no neighbor": "no neighbor",
    "RMSE / limit, with one neighbor": "one",
    "RMSE / limit, with more neighbors": "more",
    "largest deviation of coverage, 5 … 95 %": "largest deviation of coverage",
    "share beyond 5 σ": "beyond 5σ",
}


def networks(options) -> dict[str, PosteriorRegressor]:
    """Those that are compared, untrained."""
    net = HarmonicNet(hidden=16 if options.smoke else 384, blocks=1 if options.smoke else 4, block_dropout=0.1)
    head = {"head": GaussianHead(n_mixture=8), "dropout": 0.0, "lr": 2e-3}
    best = {"early_stopping_patience": options.most_epochs}
    recipe = {"network": VGG16(units=options.units), "augmentation": None, "n_passes": 1, "validation_fraction": 0.0}
    found = {
        "harmonic, masked": PosteriorRegressor(net, batch_size=512, **head, **best),
        "stn, masked": STNPosteriorRegressor(),
        "gampen": STNPosteriorRegressor.gampen(**recipe),
        "stn": STNPosteriorRegressor(),
        "harmonic": PosteriorRegressor(net, batch_size=512, **head, **best),
        "compact, masked": PosteriorRegressor(CompactCNN(readout="radial", stem="strided", norm="none")),
        "tuned": STNPosteriorRegressor.gampen(optimizer="adam", lr=1e-4, **recipe),
        "harmonic crop, masked": PosteriorRegressor(net, spatial_transformer="crop", batch_size=128, **head),
    }
    return {name: model.set_params(target_transforms=TRANSFORMS, random_state=0) for name, model in found.items()}


def lessons(folder: Path, n: int) -> tuple[Cutouts, Table]:
    """`n` galaxies that teach, and their targets; the images are read if they are there."""
    drawn = SimulatedGalaxies(
        n,
        npix=NPIX,
        band=sim_v2_cameras(crowded=True),
        prior=sim_v2_prior(crowded=True),
        neighbors=sim_v2_neighbors(),
        random_state=SEED,
    )
    path = folder / f"crowded_lessons_{n}.fits"
    if not path.exists():
        drawn[:].write(path)
    return Cutouts.read(path), Table(drawn.target, names=drawn.target_names, units=[None, "arcsec", None])


def tests(folder: Path, n: int, size: int) -> list[_sets.Part]:
    """At least `n` galaxies that judge, of the parts that have images of 64 pixels."""
    step = len(_sets.SIDES)
    return [_sets.part(folder, "renderer", step * i, size, crowded=True) for i in range(-(-n // size))]


def seconds_of_a_look(model, cutouts: Cutouts, target: Table) -> float:
    """Processor time of a galaxy in an epoch, by what two epochs more cost on a few batches, after a first fit."""
    n, seconds = min(len(cutouts), N_BATCHES * model.batch_size), []
    for epochs in (1, 1, 3):
        start = time.process_time()
        clone(model).set_params(max_epochs=epochs).fit(cutouts[:n], target[:n])
        seconds.append(time.process_time() - start)
    return max(seconds[2] - seconds[1], 1e-9) / (2 * n)


def taught(model, cutouts: Cutouts, target: Table, options) -> dict:
    """Train the model for as long as may be; how long that was."""
    looks = int(60 * options.minutes / seconds_of_a_look(model, cutouts, target))
    epochs = max(1, min(-(-looks // len(cutouts)), options.most_epochs))
    n, start = min(len(cutouts), max(looks // epochs, model.batch_size)), time.process_time()
    model.set_params(max_epochs=epochs).fit(cutouts[:n], target[:n])
    minutes = round((time.process_time() - start) / 60, 2)
    return {"galaxies": n, "epochs": len(model.history_), "minutes": minutes, "weights": model.n_parameters_}


def judged(model, parts: list[_sets.Part], limit: np.ndarray, path: Path) -> list[_metrics.Row]:
    """What galestim-sim-v2-crowded measures, but the speed; the posterior is written to `path`."""
    cutouts = Cutouts.concatenate([part.cutouts for part in parts])
    posterior = model.predict_posterior(cutouts)
    posterior.write(path, overwrite=True)
    ends = np.cumsum([len(part) for part in parts])
    known = [_measures.told(posterior[end - len(part) : end], part) for part, end in zip(parts, ends)]
    together = {name: np.concatenate([one[name] for one in known]) for name in known[0]}
    rows = _measures.measured(posterior, parts, limit, together)
    return rows + _crowded.measured(posterior, parts, limit, model.domain(cutouts)["score"])


def table(runs: list[dict]) -> str:
    """The comparison, a network a line."""
    head = ["network", "galaxies × epochs", "minutes", *COLUMNS.values()]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for run in runs:
        looks = f"{run['galaxies']} × {run['epochs']}" if run["galaxies"] else "its own"
        cells = [run["network"], looks, "" if run["minutes"] is None else f"{run['minutes']:.1f}"]
        for start in COLUMNS:
            found = next((row for row in run["rows"] if row["measure"].startswith(start)), {"value": []})
            cells.append(" / ".join(f"{value:.3g}" for value in found["value"]))
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def asked() -> argparse.Namespace:
    """Options of a run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of galaxies, posteriors and results")
    parser.add_argument("--galaxies", type=int, default=16_000, help="that teach")
    parser.add_argument("--test-galaxies", type=int, default=3000)
    parser.add_argument("--limit-galaxies", type=int, default=1500, help="of these, whose limit is computed")
    parser.add_argument("--minutes", type=float, default=8.0, help="of the processor, that each network learns for")
    parser.add_argument("--most-epochs", type=int, default=20)
    parser.add_argument("--units", type=int, default=4096, help="of VGG-16; the published 4096 take 4 GiB of memory")
    parser.add_argument("--only", nargs="+", help="names of networks, as in the table")
    parser.add_argument("--smoke", action="store_true", help="as small as it can be")
    options = parser.parse_args()
    if options.smoke:
        options.galaxies, options.test_galaxies, options.limit_galaxies, options.units = 32, 12, 6, 8
        options.minutes, options.most_epochs = 0.001, 1
    known = [*networks(options), SHIPPED]
    if unknown := set(options.only or ()) - set(known):
        parser.error(f"--only {sorted(unknown)}; expected some of {known}.")
    options.only = options.only or known
    return options


def main():
    options = asked()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(1)
    folder, results = options.out / "sets", options.out / "results.jsonl"
    folder.mkdir(parents=True, exist_ok=True)
    cutouts, target = lessons(folder, options.galaxies)
    parts = tests(folder, options.test_galaxies, _sets.SMOKE_PART if options.smoke else _sets.PART)
    limited = parts[: -(-options.limit_galaxies // len(parts[0]))]
    limit = np.concatenate([_sets.limit(folder, part) for part in limited])
    masked = NeighborMasker().transform(cutouts), [_sets.masked(one) for one in parts]
    logging.info("galaxies and limits are there")
    done = {run["network"] for run in recorded(results)}
    for name in [name for name in options.only if name not in done]:
        lesson, test = masked if name.endswith(", masked") else (cutouts, parts)
        if name == SHIPPED:
            model, cost = load_pretrained("any-camera"), {"galaxies": None, "epochs": None, "minutes": None}
        else:
            model = networks(options)[name]
            cost = taught(model, lesson, target, options)
        logging.info("%s: %s", name, cost)
        rows = judged(model, test, limit, options.out / f"{name}.fits")
        record(results, network=name, **cost, rows=[row._asdict() for row in rows])
        del model  # VGG-16 is large
    runs = recorded(results)
    _report.write(options.out, {run["network"]: [_metrics.Row(**row) for row in run["rows"]] for run in runs})
    print(table(runs))


if __name__ == "__main__":
    main()
