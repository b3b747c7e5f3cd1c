"""Sets of galestim-sim-v1, drawn from seeds and kept under the folder of a run.

Galaxies of `sim_v1_prior` in images of 96×96 px of the i band of `hsc_like`: 20 000 to train on, whose noise is drawn
anew in each epoch, 5000 to calibrate on and 20 000 to test on. Each variant changes one thing about the first test
galaxies, and keeps the rest:

psf       the point-spread function is 20 % wider;
neighbor  one more galaxy of the same prior, centered 3 to 8 arcsec away (uniform in distance and direction);
disk_n    disks of Sérsic indices 1.5 to 2, where the prior has 0.8 to 1.2;
clean     the same galaxies in other noise, to tell what a shift does from what noise does;
color     g, r and i, bulges of g-r 0.75 ± 0.05 and r-i 0.4 ± 0.03, disks of 0.45 ± 0.1 and 0.2 ± 0.05 mag. The
          targets are those of i. It has a training and a test set of its own, and is no shift.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from sklearn.utils import gen_batches

from galestim.datasets import SimulatedGalaxies
from galestim.simulation import (
    MoffatPSF,
    Uniform,
    add_noise,
    cramer_rao_bound,
    half_light_radius,
    hsc_like,
    render_scene,
    sim_v1_prior,
)

NPIX = 96
TARGETS = ["bulge_to_total", "half_light_radius", "flux"]
UNITS = [None, "arcsec", None]
SIZES = {"train": 20_000, "calibration": 5000, "test": 20_000, "shift": 4000}
SIZES |= {"viewed": 500, "turned": 100, "angles": 36, "timed": 5000, "recalibration": 160_000}  # of the test set
SMOKE_SIZES = {"train": 100, "calibration": 60, "test": 60, "shift": 20, "viewed": 2, "turned": 2, "timed": 2}
SMOKE_SIZES |= {"angles": 4, "recalibration": 60}
SEEDS = {"train": 1, "calibration": 2, "test": 3, "color_train": 4, "recalibration": 77}
NOISE_SEEDS = {"calibration": 12, "test": 13, "psf": 14, "neighbor": 15, "disk_n": 16, "clean": 17}
NOISE_SEEDS |= {"color_train": 18, "color": 19}
NEIGHBOR_SEED, COLOR_SEED = 25, 26
SHIFTS = ("psf", "neighbor", "disk_n")
PSF_FACTOR = 1.2
NEIGHBOR_DISTANCE = 3.0, 8.0  # arcsec
DISK_INDEX = Uniform(1.5, 2.0)
COLORS = {"bulge": ((0.75, 0.05), (0.40, 0.03)), "disk": ((0.45, 0.10), (0.20, 0.05))}  # g-r and r-i: mean, scatter
BATCH = 500  # images drawn at a time


class GalaxySet(NamedTuple):
    """Noisy images (n, 96, 96), read from disk when looked at, targets (n, 3), and the parameters of `render`."""

    images: np.ndarray
    target: np.ndarray
    parameters: dict[str, np.ndarray]

    @property
    def magnitude(self) -> np.ndarray:
        """Magnitudes in i ``(n,)``."""
        return hsc_like("i").zero_point - 2.5 * np.log10(self.parameters["flux"])


def train_set(sizes: dict, redraw: str) -> SimulatedGalaxies:
    """The galaxies to train on, in new noise in each epoch, or new ones."""
    return SimulatedGalaxies(sizes["train"], npix=NPIX, redraw=redraw, lifetime=20, random_state=SEEDS["train"])


def calibration_set(sizes: dict) -> SimulatedGalaxies:
    """Fresh galaxies to recalibrate on: the stored 5000 leave one percent to chance, and 40 000 half of that."""
    return SimulatedGalaxies(sizes["recalibration"], npix=NPIX, random_state=SEEDS["recalibration"])


def stored_set(folder: Path, name: str, sizes: dict) -> GalaxySet:
    """A set as it lies in `folder`; what is not there is drawn first."""
    n = sizes.get(name, sizes["train" if name == "color_train" else "shift"])
    paths = [folder / f"{name}_{part}" for part in ("images.npy", "target.npy", "parameters.npz")]
    if not paths[0].exists():
        _draw(name, n, *paths)
    found = GalaxySet(np.load(paths[0], mmap_mode="r"), np.load(paths[1]), dict(np.load(paths[2])))
    if len(found.images) != n:
        raise SystemExit(f"{paths[0]} has {len(found.images)} images; expected {n}. Use another --out, or delete it.")
    return found


def limit(folder: Path, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Cramér–Rao limits (n, 3) of B/T, ln R_e and ln F of the first test galaxies, and their S/N (n,)."""
    path = folder / "limit.npz"
    known = dict(np.load(path)) if path.exists() else {"std": np.empty((0, 3)), "signal_to_noise": np.empty(0)}
    start = len(known["std"])
    if start < n:
        rows = {name: values[start:n] for name, values in dict(np.load(folder / "test_parameters.npz")).items()}
        bound = cramer_rao_bound(rows, hsc_like("i"), npix=NPIX, prior=sim_v1_prior())
        known = {name: np.concatenate([known[name], getattr(bound, name)]) for name in ("std", "signal_to_noise")}
        np.savez(path, index=np.arange(n), **known)
    return known["std"][:n], known["signal_to_noise"][:n]


def turned_images(parameters: dict, n_angles: int) -> np.ndarray:
    """Noiseless images (n, n_angles, 96, 96) of galaxies turned about the image's center, in even steps."""
    turned = []
    for angle in 360 / n_angles * np.arange(n_angles):
        sin, cos = np.sin(np.deg2rad(angle)), np.cos(np.deg2rad(angle))
        x, y = parameters["x_offset"], parameters["y_offset"]
        # north is against the rows and east against the columns, so angles grow against the clock
        moved = {"x_offset": cos * x + sin * y, "y_offset": cos * y - sin * x}
        names = ("bulge_position_angle", "disk_position_angle")
        angles = {name: parameters[name] + angle for name in names}
        turned.append(_noiseless(parameters | moved | angles, [hsc_like("i")])[..., 0])
    return np.stack(turned, axis=1)


def _draw(name: str, n: int, images_path: Path, target_path: Path, parameters_path: Path) -> None:
    """Draw a set into files; the images last, and under their name only when they are complete."""
    prior = sim_v1_prior()
    if name == "disk_n":
        prior = prior.replace(disk_sersic_index=DISK_INDEX)
    galaxies = prior.draw(n, random_state=SEEDS.get(name, SEEDS["test"]))
    np.savez(parameters_path, **galaxies)
    radius = half_light_radius(galaxies)
    np.save(target_path, np.column_stack([galaxies["bulge_to_total"], radius, galaxies["flux"]]))
    partial = images_path.with_name("partial_" + images_path.name)
    shape = (n, NPIX, NPIX, 3) if name.startswith("color") else (n, NPIX, NPIX)
    images = np.lib.format.open_memmap(partial, mode="w+", dtype="float32", shape=shape)
    for rows, batch in _batches(name, galaxies, n):
        images[rows] = batch
    images.flush()
    partial.replace(images_path)


def _batches(name: str, galaxies: dict, n: int) -> Iterator[tuple[slice, np.ndarray]]:
    """Noisy images of a few galaxies at a time."""
    bands = [hsc_like(band) for band in ("gri" if name.startswith("color") else "i")]
    if name == "psf":
        bands = [dataclasses.replace(band, psf=MoffatPSF(PSF_FACTOR * band.psf.fwhm)) for band in bands]
    if name.startswith("color"):
        galaxies = galaxies | _in_colors(galaxies, COLOR_SEED + SEEDS.get(name, 0))
    neighbors = _neighbors(n) if name == "neighbor" else None
    random_state = np.random.RandomState(NOISE_SEEDS[name])
    for rows in gen_batches(n, BATCH):
        images = _noiseless({key: values[rows] for key, values in galaxies.items()}, bands)
        if neighbors is not None:
            images += _noiseless({key: values[rows] for key, values in neighbors.items()}, bands)
        yield rows, _noisy(images, bands, random_state)


def _noiseless(galaxies: dict, bands: list) -> np.ndarray:
    """Images ``(n, 96, 96, n_bands)``."""
    return render_scene(galaxies, bands, npix=NPIX).numpy()


def _noisy(images: np.ndarray, bands: list, random_state: np.random.RandomState) -> np.ndarray:
    """Images in the noise of their bands, without an axis for a single one."""
    camera = {"sky_noise": [band.sky_noise for band in bands], "gain": [band.gain for band in bands]}
    noisy = add_noise(torch.from_numpy(images), **camera, random_state=random_state).numpy()
    return noisy[..., 0] if len(bands) == 1 else noisy


def _neighbors(n: int) -> dict:
    """Another galaxy near each one."""
    rng = np.random.default_rng(NEIGHBOR_SEED)
    distance = rng.uniform(*NEIGHBOR_DISTANCE, n) / hsc_like("i").pixel_scale
    direction = rng.uniform(0, 2 * np.pi, n)
    where = {"x_offset": distance * np.cos(direction), "y_offset": distance * np.sin(direction)}
    return sim_v1_prior().draw(n, random_state=NEIGHBOR_SEED) | where


def _in_colors(galaxies: dict, seed: int) -> dict:
    """Flux and B/T ``(n, 3)`` in g, r and i, those in i being the given ones."""
    rng = np.random.default_rng(seed)
    light = {"bulge": galaxies["flux"] * galaxies["bulge_to_total"]}
    light["disk"] = galaxies["flux"] - light["bulge"]
    for part, ((g_r, g_r_scatter), (r_i, r_i_scatter)) in COLORS.items():
        red = rng.normal(r_i, r_i_scatter, len(light[part]))
        green = red + rng.normal(g_r, g_r_scatter, len(light[part]))
        light[part] = light[part][:, None] * 10 ** (-0.4 * np.stack([green, red, np.zeros_like(red)], axis=1))
    flux = light["bulge"] + light["disk"]
    return {"flux": flux, "bulge_to_total": light["bulge"] / flux}
