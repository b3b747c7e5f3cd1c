"""Fits in children of this process, which are killed.

Everything is imported once, before the children are made. A line of the input says what the next one does, ``NAME|
FOLDER|SECONDS|OUT``: which fit, its folder of checkpoints, how many seconds after its first new checkpoint it is
killed, -1 for never, and where the fitted estimator goes. A line of the output says how it ended.
"""

import os
import pickle
import signal
import sys
import time
from pathlib import Path

import numpy as np

from galestim import CNNRegressor, CompactCNN, HarmonicNet, PosteriorRegressor
from galestim.datasets import SimulatedGalaxies
from galestim.simulation import sim_v2_cameras, sim_v2_prior


def fits():
    """Estimators, images and targets by name: each with more state than the one before."""
    rng = np.random.default_rng(0)
    images, flux = rng.normal(size=(48, 12, 12)).astype("float32"), rng.uniform(1, 2, 48)
    common = {"batch_size": 8, "random_state": 0, "checkpoint_minutes": 0}
    spin = CNNRegressor(CompactCNN(widths=(4,)), max_epochs=12, early_stopping_patience=4, lr=0.01, **common)
    ensemble = PosteriorRegressor(
        CompactCNN(widths=(4,)), n_estimators=2, dropout=0.1, n_passes=2, max_epochs=6, augmentation="spin", **common
    )
    cameras = {"band": sim_v2_cameras(), "prior": sim_v2_prior()}
    galaxies = SimulatedGalaxies(40, npix=32, redraw="galaxies", replays=2, lifetime=2, random_state=0, **cameras)
    redrawn = PosteriorRegressor(
        HarmonicNet(hidden=8, blocks=1),
        target_transforms=["logit", "log", "log"],
        max_epochs=4,
        n_passes=2,
        validation_fraction=0.2,
        **common,
    )
    return {
        "early stopping": (spin, images, flux),
        "ensemble": (ensemble, images, flux),
        "redrawn": (redrawn, galaxies, galaxies.target),
    }


def child(fit, folder: str, out: str) -> None:
    estimator, X, y = fit
    estimator.set_params(checkpoint=folder).fit(X, y)
    Path(out).write_bytes(pickle.dumps(estimator))
    print("done", flush=True)
    os._exit(0)


def written(folder: str) -> int:
    """When a checkpoint was written there, 0 for never."""
    path = Path(folder, "checkpoint.safetensors")
    return path.stat().st_mtime_ns if path.exists() else 0


def killed(pid: int, folder: str, before: int, seconds: float) -> int:
    """Status of a child that was killed then, unless it ended before."""
    while written(folder) == before:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return status
        time.sleep(0.002)
    time.sleep(seconds)
    os.kill(pid, signal.SIGKILL)
    return os.waitpid(pid, 0)[1]


def main() -> None:
    known = fits()
    print("ready", flush=True)
    for line in sys.stdin:
        name, folder, seconds, out = line.rstrip("\n").split("|")
        before, pid = written(folder), os.fork()
        if not pid:
            child(known[name], folder, out)
        status = os.waitpid(pid, 0)[1] if float(seconds) < 0 else killed(pid, folder, before, float(seconds))
        if os.WIFSIGNALED(status):
            print("killed", flush=True)


if __name__ == "__main__":
    main()
