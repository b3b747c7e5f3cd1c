"""Speed of posteriors: prediction and draws, of two revisions, and against GaMPEN's recipe of 1000 passes.

    python tests/benchmarks/speed.py --old ../older    # the run quoted in docs/benchmarks.md; a checkout of galestim
    python tests/benchmarks/speed.py --old ../older --cores   # on two cores that nothing else uses
    python tests/benchmarks/speed.py --smoke

Each revision is timed in processes of its own that take turns, A B A B, in seconds of the processor, so what else
runs counts little. ``forward`` is the network alone, on tensors. ``recipe`` is GaMPEN's published network and way: in
single precision, a pass of the whole network for each of 1000 draws, timed on some passes and scaled.

With ``--cores`` the clock counts: of one process with one thread or two, and of two processes at once, each with half
of the galaxies.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
from _record import record

HERE = Path(__file__).resolve().parents[2]
PARTS = ("forward", "predict", "sample", "both")
N_DRAWS = 1000


def least(work, turns: int, clock=time.process_time) -> float:
    """Seconds of the processor that `work` takes at least, in some turns after a first."""
    seconds = []
    for _ in range(turns + 1):
        start = clock()
        work()
        seconds.append(clock() - start)
    return min(seconds[1:])


def shipped(n: int, turns: int, clock=time.process_time) -> dict[str, float]:
    """Microseconds for each of `n` galaxies, of the model that ships: 96 px, no dropout."""
    import torch

    from galestim.checkpoints import load_pretrained

    model = load_pretrained("hsc-sim-i")
    images = np.random.default_rng(0).normal(size=(n, *model.image_shape_)).astype(np.float32)
    images += 50 * np.exp(-np.square(np.indices((96, 96)) - 47.5).sum(axis=0) / 50)[..., None].astype(np.float32)
    tensor, network = torch.from_numpy(images), model.network_[0].eval()

    def forward():
        with torch.inference_mode():
            for batch in tensor.split(256):
                network(batch)

    posterior = model.predict_posterior(images)
    work = {
        "forward": forward,
        "predict": lambda: model.predict_posterior(images),
        "sample": lambda: posterior.sample(N_DRAWS, random_state=0),
        "both": lambda: model.predict_posterior(images).sample(N_DRAWS, random_state=0),
    }
    return {name: round(1e6 * least(work[name], turns, clock) / n, 1) for name in PARTS}


def in_turns(revisions: dict[str, Path], options) -> dict[str, dict[str, list[float]]]:
    """Times of each part by revision, one of each round."""
    found: dict = {name: {part: [] for part in PARTS} for name in revisions}
    command = [sys.executable, __file__, "--one", f"--galaxies={options.galaxies}", f"--turns={options.turns}"]
    for _ in range(options.rounds):
        for name, path in revisions.items():
            env = {**os.environ, "PYTHONPATH": str(path), "OMP_NUM_THREADS": str(options.threads)}
            done = subprocess.run(command, env=env, cwd=path, check=True, capture_output=True, text=True)
            for part, value in json.loads(done.stdout.splitlines()[-1]).items():
                found[name][part].append(value)
    return found


def on_cores(revisions: dict[str, Path], options) -> dict[str, dict[str, list[float]]]:
    """Galaxies per second by the clock, posteriors and draws, of each way to use two cores, one of each round."""
    ways = {"one thread": (1, 1), "two threads": (1, 2), "two processes": (2, 1)}
    found: dict = {name: {way: [] for way in ways} for name in revisions}
    for _ in range(options.rounds):
        for name, path in revisions.items():
            for way, (processes, threads) in ways.items():
                found[name][way].append(round(rate(path, processes, threads, options)))
    return found


def rate(path: Path, processes: int, threads: int, options) -> float:
    """Galaxies per second of processes that run at once."""
    n = options.galaxies // processes
    command = [sys.executable, __file__, "--one", "--cores", f"--galaxies={n}", f"--turns={options.turns}"]
    env = {**os.environ, "PYTHONPATH": str(path), "OMP_NUM_THREADS": str(threads)}
    running = [
        subprocess.Popen(command, env=env, cwd=path, stdout=subprocess.PIPE, text=True) for _ in range(processes)
    ]
    printed = [one.communicate()[0] for one in running]
    return sum(1e6 / json.loads(lines.splitlines()[-1])["both"] for lines in printed)


def published(n: int, smoke: bool) -> dict[str, object]:
    """GaMPEN's network, hardly trained: 1000 passes its own way, and in bfloat16 as few as ``"auto"`` asks for."""
    import torch

    from galestim import VGG16, STNPosteriorRegressor
    from galestim.networks import Dropout

    rng, npix = np.random.default_rng(0), 24 if smoke else 96
    images = rng.normal(size=(n, npix, npix, 1)).astype(np.float32)
    recipe = {"max_epochs": 1, "n_passes": "auto", "validation_fraction": 0, "random_state": 0}
    model = STNPosteriorRegressor.gampen(network=VGG16(units=16 if smoke else 4096), **recipe)
    model.fit(images, rng.normal(size=(n, 3)))
    member, tensor = model.network_[0].eval(), torch.from_numpy(images)

    def one_pass():
        with torch.no_grad():
            member(tensor)

    dropouts = [layer.train() for layer in member.modules() if isinstance(layer, Dropout)]
    recipe_seconds = 1000 * least(one_pass, 1 if smoke else 3) / n
    for layer in dropouts:
        layer.eval()
    many = model.predict_posterior(images, n_passes=4 if smoke else 64)
    return {
        "n_passes": model.n_passes_,
        "recipe_seconds": round(recipe_seconds, 2),
        **{
            precision: compared(
                model.set_params(precision=precision), images, many, recipe_seconds, 1 if smoke else 2
            )
            for precision in ("float32", "bfloat16")
        },
    }


def trained(n: int, smoke: bool) -> dict[str, float]:
    """Rate of GaMPEN's training in units of a plain loop over the same network: `n` images, 16 at a time."""
    from galestim import VGG16, STNPosteriorRegressor

    rng, npix = np.random.default_rng(0), 24 if smoke else 96
    images, y = rng.normal(size=(n, npix, npix, 1)).astype(np.float32), rng.normal(size=(n, 3))
    recipe = {"n_passes": 1, "validation_fraction": 0, "augmentation": None, "random_state": 0}
    network = VGG16(units=16 if smoke else 4096)

    def epoch(precision: str) -> tuple[float, object]:
        """Seconds of the second epoch: what is done once, before and after them all, is not counted."""
        model = STNPosteriorRegressor.gampen(network=network, precision=precision, **recipe)
        one, two = (least(partial(model.set_params(max_epochs=k).fit, images, y), 1) for k in (1, 2))
        return two - one, model

    (single, model), (half, _) = epoch("float32"), epoch("bfloat16")
    plain = least(lambda: plain_epoch(model, images, y), 1 if smoke else 2)
    return {
        "training_ratio_float32": round(plain / single, 2),
        "training_ratio_bfloat16": round(plain / half, 2),
    }


def plain_epoch(model, images, y) -> None:
    """An epoch of the recipe as it is described: single precision, SGD, and the density of one Gaussian."""
    import torch

    network = model.network_[0].train().requires_grad_(True)
    optimizer = torch.optim.SGD(network.parameters(), lr=5e-7, momentum=0.99, weight_decay=1e-4)
    for first in range(0, len(images), 16):
        rows = slice(first, first + 16)
        _, mean, tril = model.head(network(torch.from_numpy(images[rows])), y.shape[1])
        normal = torch.distributions.MultivariateNormal(mean[..., 0, :], scale_tril=tril[..., 0, :, :])
        optimizer.zero_grad()
        (-normal.log_prob(torch.from_numpy(y[rows]).float().view_as(mean[..., 0, :])).mean()).backward()
        optimizer.step()


def compared(model, images, many, recipe_seconds: float, turns: int) -> dict[str, float]:
    """Speed of a model's posteriors in units of the recipe's, and how far they are from those of `many` passes."""
    seconds = least(lambda: model.predict_posterior(images), turns) / len(images)
    few, sigma = model.predict_posterior(images), np.sqrt(np.diagonal(many.latent_cov(), axis1=1, axis2=2))
    width = np.sqrt(np.diagonal(few.latent_cov(), axis1=1, axis2=2)) / sigma - 1
    return {
        "ratio": round(recipe_seconds / seconds, 1),
        "largest_mean_error_in_sigma": round(
            float(np.abs((few.latent_mean() - many.latent_mean()) / sigma).max()), 4
        ),
        "largest_sigma_error": round(float(np.abs(width).max()), 4),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--old", type=Path, help="checkout of an older revision")
    parser.add_argument("--galaxies", type=int, default=1024)
    parser.add_argument("--images", type=int, default=2, help="that GaMPEN's network is timed on")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--cores", action="store_true", help="one and two cores, by the clock")
    parser.add_argument("--smoke", action="store_true", help="as small as it can be")
    parser.add_argument("--skip-published", action="store_true", help="leave the recipe of 1000 passes out")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help="append the result to this file")
    options = parser.parse_args()
    if options.smoke:
        options.galaxies, options.rounds, options.turns = 64, 1, 1
    if options.one:
        clock = time.perf_counter if options.cores else time.process_time
        print(json.dumps(shipped(options.galaxies, options.turns, clock)))
        return
    revisions = {"old": options.old.resolve()} if options.old else {}
    if options.cores:
        record(options.out, what="cores", galaxies_per_second=on_cores({**revisions, "new": HERE}, options))
        return
    found = in_turns({**revisions, "new": HERE}, options)
    best = {name: {part: min(values) for part, values in parts.items()} for name, parts in found.items()}
    ratios = {}
    if options.old:
        ratios = {
            f"old/new {part}": [round(a / b, 2) for a, b in zip(found["old"][part], found["new"][part])]
            for part in PARTS
        }
    record(
        options.out,
        what="shipped",
        threads=options.threads,
        microseconds_of_the_processor=best,
        share_of_forward=round(best["new"]["forward"] / best["new"]["predict"], 2),
        **ratios,
    )
    if not options.skip_published:
        training = trained(16 if options.smoke else 64, options.smoke)
        record(options.out, what="published", **published(options.images, options.smoke), **training)


if __name__ == "__main__":
    main()
