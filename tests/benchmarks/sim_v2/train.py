"""Training of the estimator that is told the camera: the recipe, its seeds and its time.

    python tests/benchmarks/sim_v2/train.py --out lonely.safetensors --lonely --epochs 56   # hours of one core
    python tests/benchmarks/sim_v2/train.py --out crowded.safetensors --start lonely.safetensors   # an hour more
    python tests/benchmarks/sim_v2/train.py --out more.safetensors --start crowded.safetensors --epochs 28   # more
    python tests/benchmarks/sim_v2/train.py --out any.safetensors --start more.safetensors --epochs 17   # the last
    python tests/benchmarks/sim_v2/train.py --out x.safetensors --smoke   # does it run?

Galaxies and cameras are those of galestim-sim-v2, lonely at first and then with neighbors, as galestim-sim-v2-crowded
has them, masked by `NeighborMasker`; in images of 64, 96 and 128 pixels, besides a few galaxies of one profile,
cameras of telescopes in space, and stars of Hubble where these are there, other ones than those that judge. They are
known less well, or better: the sky to 0.03 to 0.4 of its noise, the width of the point-spread function to 0.6 to
20 %, the noise to 5 %. Half of the images have bad pixels. Each look is at other galaxies, and an epoch learns from a
new look and seven old ones. What comes out is judged by `python tests/benchmarks/sim_v2 --model
any-camera.safetensors`, with `--crowded` and without.
"""

import argparse
import json
import logging
import sys
import time
from pathlib import Path

from astropy.table import Table

from galestim import HarmonicNet, PosteriorRegressor
from galestim.checkpoints import load_estimator, save_estimator
from galestim.datasets import SimulatedGalaxies
from galestim.networks import GaussianHead
from galestim.preprocessing import NeighborMasker
from galestim.regression import Transfer
from galestim.simulation import LogUniform, Mixture, Uniform, sim_v2_cameras, sim_v2_neighbors, sim_v2_prior
from galestim.targets import LogitTransform

sys.path.insert(0, str(Path(__file__).parents[1]))
from _measured_stars import training_stars

N_GALAXIES, NPIX = 20_000, (64, 96, 128)
SEED = 13  # the sets of sim_v2 have others


def cameras():
    """Those of the benchmark and of space, known better or less well, and with bad pixels."""
    none, stars = Uniform(0.0, 0.0), training_stars()
    return sim_v2_cameras().replace(
        double_share=0.2 if stars else 0.3,
        airy_share=0.15 if stars else 0.2,
        stamps=stars,
        stamp_share=0.15 if stars else 0.0,
        sky_error=LogUniform(0.03, 0.4),
        psf_error=LogUniform(0.006, 0.2),
        noise_error=0.05,
        random_mask=Mixture([none, Uniform(0.0, 0.1)], [0.7, 0.3]),
        cosmic_rays=Mixture([none, Uniform(0.0, 0.02)], [0.6, 0.4]),
        bad_columns=0.4,
        saturation=0.04,
    )


def prior():
    """Galaxies of both benchmarks, and a few that are next to nothing but bulge or disk."""
    single = [Uniform(0.0, 0.02), Uniform(0.98, 1.0)]
    bulge_to_total = Mixture([Uniform(0.0, 1.0), *single], [0.97, 0.015, 0.015])
    off = Mixture([Uniform(-1.0, 1.0), Uniform(-3.0, 3.0)], [0.5, 0.5])
    return sim_v2_prior().replace(bulge_to_total=bulge_to_total, x_offset=off, y_offset=off)


def neighbors():
    """Those of the benchmark, but fewer: half of the galaxies are alone."""
    return sim_v2_neighbors().replace(mean_number=0.7)


def galaxies(smoke: bool, lonely: bool, seed: int) -> SimulatedGalaxies:
    """What is learned from."""
    crowd = {} if lonely else {"neighbors": neighbors(), "masker": NeighborMasker()}
    return SimulatedGalaxies(
        64 if smoke else N_GALAXIES,
        npix=(32, 48) if smoke else NPIX,
        band=cameras(),
        prior=prior(),
        redraw="galaxies",
        lifetime=1,
        replays=2 if smoke else 8,
        random_state=seed,
        **crowd,
    )


def regressor(smoke: bool, epochs: int) -> PosteriorRegressor:
    """What learns."""
    return PosteriorRegressor(
        HarmonicNet(hidden=16 if smoke else 384, blocks=1 if smoke else 4, block_dropout=0.1),
        head=GaussianHead(n_mixture=8),
        target_transforms=[LogitTransform(margin=1e-4), "log", "log"],
        dropout=0.0,
        max_epochs=1 if smoke else epochs,
        batch_size=512,
        lr=2e-3,
        random_state=0,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="file of the estimator")
    parser.add_argument("--start", type=Path, help="file of an estimator to go on from, on other galaxies")
    parser.add_argument("--lonely", action="store_true", help="galaxies without neighbors")
    parser.add_argument(
        "--checkpoint", type=Path, help="folder of the state of the training, to go on from if it stops"
    )
    parser.add_argument("--epochs", type=int, default=22)
    parser.add_argument("--smoke", action="store_true")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    model, before, start = regressor(options.smoke, options.epochs), {"epochs": 0, "hours": 0.0}, time.monotonic()
    if options.start is not None:
        known = load_estimator(options.start)
        model.set_params(warm_start_from=Transfer(known, lr_factor=1.0), lr=1e-3)
        before = known.card_.get("training", known.card_)
    seed = SEED + before["epochs"]
    model.set_params(checkpoint=options.checkpoint)
    source = galaxies(options.smoke, options.lonely, seed)
    model.fit(source, Table(source.target, names=source.target_names, units=[None, "arcsec", None]))
    model.set_params(warm_start_from=None, checkpoint=None)
    hours = before["hours"] + (time.monotonic() - start) / 3600
    card = {"data": repr(source), "epochs": before["epochs"] + len(model.history_), "hours": hours, "seed": seed}
    save_estimator(model, options.out, card=card)
    print(json.dumps(card | {"valid_loss": float(model.history_[-1]["valid_loss"])}))


if __name__ == "__main__":
    main()
