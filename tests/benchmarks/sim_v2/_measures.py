"""Measures of one model on a test set of galestim-sim-v2, as rows beside their targets."""

from __future__ import annotations

import time

import numpy as np
import torch
from _metrics import Row, calibration, conditional, errors, in_logarithms, resampled, row
from _sets import Part
from numpy.typing import NDArray

from galestim.calibration import coverage, pit
from galestim.networks._moments import psf_scale
from galestim.posteriors import Posterior

RANGES = {  # of signal to noise, and the target of RMSE / limit there
    "10–30": (0, 30, 1.10),
    "30–100": (30, 100, 1.10),
    "100–300": (100, 300, 1.10),
    "300–1000": (300, 1000, 1.25),
    "1000–3000": (1000, np.inf, 2.0),
    "all": (0, np.inf, None),
}
TAIL = 0.00135  # one-sided, beyond 3 σ
TIMED = 500


def told(posterior: Posterior, part: Part) -> dict[str, NDArray]:
    """What is known of each galaxy without the truth: of its camera, as it was told, and as it was predicted.

    Widths and sizes are logarithms of pixels; axis ratios those of weighted second moments of image and star.
    """
    cutouts = part.cutouts
    radius, flux = in_logarithms(posterior).mean()[:, 1:].T
    stars = torch.as_tensor(np.asarray(cutouts.psf, dtype=np.float32))
    width = psf_scale(stars).numpy()
    size = np.exp(radius) / cutouts.pixel_scale
    seen = np.hypot(size / 1.18, width)  # σ of a Gaussian
    bad = False if cutouts.mask is None else np.asarray(cutouts.mask)
    return {
        "PSF width": np.log(width),
        "size": np.log(size),
        "noise": np.log(cutouts.noise),
        "S/N": flux - np.log(cutouts.noise * seen),
        "PSF ellipticity": -axis_ratio(stars.numpy(), 1.5 * width),
        "axis ratio": axis_ratio(np.where(bad, 0, np.nan_to_num(np.asarray(cutouts))), 1.5 * seen),
    }


def axis_ratio(images: NDArray, scale: NDArray) -> NDArray:
    """Axis ratios (n,) of images ``(n, h, w)``, weighted by a Gaussian of `scale` (n,) [pixels] in their middle."""
    y, x = np.indices(images.shape[1:]) - (np.array(images.shape[1:])[:, None, None] - 1) / 2
    light = images * np.exp(-(x**2 + y**2) / (2 * scale[:, None, None] ** 2))
    xx, yy, xy = (np.einsum("nyx,yx->n", light, power) for power in (x**2, y**2, x * y))
    spread = np.hypot(xx - yy, 2 * xy) / np.maximum(abs(xx + yy), 1e-12)
    return np.sqrt((1 - spread.clip(0, 0.99)) / (1 + spread.clip(0, 0.99)))


BINS = ("PSF width", "size"), ("noise", "S/N"), ("PSF ellipticity", "axis ratio")


def measured(posterior: Posterior, parts: list[Part], limit: NDArray, known: dict[str, NDArray]) -> list[Row]:
    """All rows of a set but its speed."""
    target = np.concatenate([part.target for part in parts])
    ratio = np.concatenate([part.signal_to_noise for part in parts])
    lost = ~np.isfinite(in_logarithms(posterior).mean()).all(axis=1)
    rows = [row("accuracy", "posteriors that are not finite", int(lost.sum()), target=0, galaxies=len(lost))]
    kept = np.flatnonzero(~lost)
    limited = kept[kept < len(limit)]
    rows += errors(posterior[limited], target[limited], ratio[limited], limit[limited], RANGES, "S/N")
    rows += widths(posterior[limited], ratio[limited], limit[limited])
    posterior, target = posterior[kept], target[kept]
    rows += calibration(posterior, target) + tails(posterior, target)
    rows += by_range(posterior, target, ratio[kept])
    rows += by_kind(posterior, target, {name: values[kept] for name, values in kinds(parts).items()})
    for names in BINS:
        features = np.column_stack([known[name][kept] for name in names])
        rows.append(conditional(posterior, target, features, " × ".join(names)))
    return rows


def widths(posterior: Posterior, ratio: NDArray, limit: NDArray) -> list[Row]:
    """Median of posterior σ over the limit, galaxy by galaxy, and that of rms, in ranges of signal to noise."""
    relative, rows = np.sqrt(in_logarithms(posterior).var()) / limit, []
    for name, (low, high, _) in RANGES.items():
        chosen = relative[(ratio >= low) & (ratio < high)]
        if len(chosen) > 1:
            interval = resampled(lambda weight, chosen=chosen: _median(chosen, weight), len(chosen))
            measure = f"median of σ / limit, S/N {name}"
            rows.append(row("sharpness", measure, np.median(chosen, axis=0), interval, galaxies=len(chosen)))
    return rows


def _median(values: NDArray, weight: NDArray) -> NDArray:
    return np.median(np.repeat(values, weight.astype(int), axis=0), axis=0)


def tails(posterior: Posterior, target: NDArray) -> list[Row]:
    """Shares of truths beyond 3 σ on either side, over what is nominal."""
    u = pit(posterior, target)
    shares = {"below": u < TAIL, "above": u > 1 - TAIL}
    return [
        row("calibration", f"truths {side} 3 σ, over nominal", share.mean(axis=0) / TAIL, galaxies=len(u))
        for side, share in shares.items()
    ]


def kinds(parts: list[Part]) -> dict[str, NDArray[np.bool_]]:
    """What kind of camera each galaxy has."""
    psfs = [psf for part in parts for psf in part.band.psf]
    names = np.array([type(psf).__name__ for psf in psfs])
    found = {KINDS[name]: names == name for name in KINDS if name in names}
    correlated = np.concatenate([np.broadcast_to(part.band.correlation, len(part)) for part in parts]) > 0
    sides = np.concatenate([np.full(len(part), part.cutouts.shape[1]) for part in parts])
    found |= {"independent noise": ~correlated, "correlated noise": correlated}
    return found | {f"{side} px": sides == side for side in np.unique(sides)}


KINDS = {
    "MoffatPSF": "Moffat",
    "GaussianPSF": "Gaussian",
    "Widened": "measured star",
    "DoubleMoffatPSF": "two Moffats",
}


def by_kind(posterior: Posterior, target: NDArray, kinds: dict[str, NDArray[np.bool_]]) -> list[Row]:
    """How often 68 % intervals hold, by the kind of camera."""
    rows = []
    for name, chosen in kinds.items():
        if chosen.sum() > 1:
            found = coverage(posterior[np.flatnonzero(chosen)], target[chosen], levels=[0.6827])
            interval = found.low[0], found.high[0]
            measure = f"68 % intervals hold, {name}"
            rows.append(row("coverage", measure, found.coverage[0], interval, galaxies=int(chosen.sum())))
    return rows


def by_range(posterior: Posterior, target: NDArray, ratio: NDArray) -> list[Row]:
    """How often 68 and 95 % intervals hold in ranges of signal to noise, which is the true one."""
    rows = []
    for name, (low, high, _) in RANGES.items():
        chosen = np.flatnonzero((ratio >= low) & (ratio < high))
        if len(chosen) > 1 and name != "all":
            found = coverage(posterior[chosen], target[chosen], levels=[0.6827, 0.9545])
            for i, level in enumerate(("68", "95")):
                rows.append(
                    row("coverage", f"{level} % intervals hold, S/N {name}", found.coverage[i],
                        (found.low[i], found.high[i]), galaxies=len(chosen))
                )  # fmt: skip
    return rows


def speed(model, part: Part) -> Row:
    """Galaxies a second, from cutouts to 1000 draws each: the best of three."""
    cutouts, seconds = part.cutouts[:TIMED], []
    for _ in range(3):
        start = time.perf_counter()
        model.predict_posterior(cutouts).sample(1000, random_state=0)
        seconds.append(time.perf_counter() - start)
    threads = torch.get_num_threads()
    measure = f"galaxies / s with 1000 draws each, {part.cutouts.shape[1]} px, {threads} thread(s)"
    return row("speed", measure, len(cutouts) / min(seconds), sense="≥", target=1000, galaxies=len(cutouts))
