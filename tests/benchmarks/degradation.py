"""What a model of many cameras makes of images that are not as they are told to be.

    python tests/benchmarks/degradation.py --masked --out results.jsonl     # the table quoted in docs/benchmarks.md
    python tests/benchmarks/degradation.py --model FILE --only star sky     # rows whose names have one of these
    python tests/benchmarks/degradation.py --smoke                          # does it run?

Two sets of galaxies in images of 96×96 px: those of `sim_v1_prior` seen by one camera like that of Hyper
Suprime-Cam's i band, and those of `sim_v2_prior`, each with a camera of its own. One thing is wrong in each row (see
`_degradation_cases.py`), the rest is as told. A row is met if 68 % intervals hold in 60 % of the galaxies or more, of
all targets that are defined; or the galaxies are flagged, 95 % of them, by the model's own `in_domain`. What is told
is right to the errors that are told, and the sky, of 0.1σ of a pixel, and the width of stars, of 2 %, are drawn with
these, unless a row says how wrong they are.
"""

from __future__ import annotations

import argparse
import dataclasses
import warnings
from functools import cache
from pathlib import Path

import _model
import numpy as np
from _degradation_cases import CASES, EITHER, MUST, Case, Scene, drawn
from _record import record, recorded

from galestim import Cutouts, NeighborMasker
from galestim.datasets import SimulatedGalaxies
from galestim.simulation import CameraPrior, hsc_like, render_stars, sim_v1_prior, sim_v2_cameras, sim_v2_prior
from galestim.simulation._radial import profile_of

NPIX, LEVEL, FLAGGED, MOST = 96, 0.6827, 0.95, 0.05
SEEDS = {"one camera": 41, "sim-v2": 42}
TARGETS = ("bulge_to_total", "half_light_radius", "flux")


@cache
def world(name: str) -> tuple[CameraPrior, object]:
    """Cameras and galaxies."""
    if name == "sim-v2":
        return sim_v2_cameras(), sim_v2_prior()
    band = hsc_like("i")
    camera = {name: getattr(band, name) for name in ("pixel_scale", "sky_noise", "gain", "zero_point")}
    return CameraPrior(fwhm=band.psf.fwhm / band.pixel_scale, beta=3.0, stamp_noise=0.01, **camera), sim_v1_prior()


@cache
def usual(name: str, n: int) -> Scene:
    """The galaxies as they are if nothing is wrong."""
    cameras, prior = world(name)
    galaxies = SimulatedGalaxies(n, npix=NPIX, band=cameras, prior=prior, random_state=SEEDS[name])
    return scene_of(galaxies.parameters, galaxies.cameras, cameras.stamp_npix)


def scene_of(galaxies: dict, band, stamp_npix: int) -> Scene:
    """Draw galaxies and stars."""
    scale = np.broadcast_to(band.pixel_scale, len(band.psf))
    stars = render_stars(npix=stamp_npix, pixel_scale=scale, psf=band.psf)
    ratio = galaxies["flux"] * np.sqrt(profile_of(galaxies, band.psf, scale).square) / band.sky_noise
    return Scene(galaxies, band, drawn(galaxies, band, NPIX), stars, ratio)


def seen(case: Case, name: str, n: int) -> tuple[Cutouts, Scene]:
    """What is handed out of the galaxies in a case, and what is true of them."""
    scene, rng = usual(name, n), np.random.default_rng([SEEDS[name], *case.name.encode()])
    if case.galaxies or case.camera:
        galaxies = scene.galaxies | (case.galaxies(scene, rng) if case.galaxies else {})
        band = dataclasses.replace(scene.band, **(case.camera(scene, rng) if case.camera else {}))
        scene = scene_of(galaxies, band, scene.stars.shape[-1])
    light = case.light(scene, rng) if case.light else scene.images
    stars = case.stars(scene, rng) if case.stars else scene.stars
    exact = {"sky_error": 0.0} if case.sky is not None else {}
    exact |= {"psf_error": 0.0} if case.stars else {}
    cutouts = world(name)[0].observe(light, stars, dataclasses.replace(scene.band, **exact), int(rng.integers(2**31)))
    cutouts = cutouts.replace(sky_error=scene.band.sky_error, psf_error=scene.band.psf_error)
    if case.sky is not None:
        offset = (case.sky * np.broadcast_to(cutouts.noise, n)).astype(np.float32)
        cutouts = cutouts.replace(cutouts.images + offset[:, None, None])
    cutouts = case.image(cutouts, scene, rng) if case.image else cutouts
    return (case.told(cutouts) if case.told else cutouts), scene


def truth(case: Case, scene: Scene) -> np.ndarray:
    return np.column_stack([scene.galaxies[name] for name in TARGETS]) * [1, 1, case.flux]


def measured(model, case: Case, name: str, n: int, masked: bool = False) -> dict:
    """How often 68 % intervals hold, by how many σ medians are off, and how many galaxies are flagged."""
    cutouts, scene = seen(case, name, n)
    cutouts = NeighborMasker().transform(cutouts) if masked else cutouts
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # what is unlike all that was trained on may be lost
        posterior = model.predict_posterior(cutouts)
    low, high = np.moveaxis(posterior.credible_interval(LEVEL), -1, 0)
    y, middle = truth(case, scene), posterior.median()
    lost = ~np.isfinite(np.stack([low, middle, high])).all(axis=(0, 2))
    holds = np.mean((y >= low) & (y <= high) & ~lost[:, None], axis=0)
    z = ((middle - y) / np.maximum((high - low) / 2, 1e-12))[~lost]
    flags = _model.flagged(model, cutouts)
    flagged = None if flags is None else round(float(flags.mean()), 3)
    return {
        "case": case.name,
        "masked": masked,
        "galaxies_of": name,
        "n": n,
        "targets": list(case.targets),
        "holds": [round(float(value), 3) for value in holds],
        "off": [round(float(value), 2) for value in np.median(z, axis=0)] if len(z) else None,
        "not_finite": int(lost.sum()),
        "flagged": flagged,
        "verdict": verdict(case, holds, flagged),
    }


def verdict(case: Case, holds, flagged: float | None) -> str:
    """Whether intervals hold, or galaxies are flagged; that of what is allowed to be flagged."""
    covers = bool(case.targets) and all(holds[i] >= case.least for i in case.targets)
    if case.expected == MUST:
        needless = flagged is not None and flagged > MOST
        return ("met, but flagged" if needless else "met") if covers else "missed"
    if case.expected == EITHER and not covers:
        return "flagged" if flagged is not None and flagged >= FLAGGED else "missed"
    return "met" if covers else ""


def table(rows: list[dict]) -> str:
    """Both sets of galaxies side by side."""
    names = list(SEEDS)
    lines = ["| | " + " | ".join(f"{name}: 68 % intervals hold | flagged | " for name in names) + " |"]
    lines.append("|---" * (1 + 3 * len(names)) + "|")
    found = {(row["case"], row["galaxies_of"]): row for row in rows}
    for case in dict.fromkeys(row["case"] for row in rows):
        lines.append("| " + " | ".join([case, *(cells(found.get((case, name))) for name in names)]) + " |")
    return "\n".join(lines)


def cells(row: dict | None) -> str:
    if row is None:
        return " | | "
    holds = " / ".join(f"{v:.2f}" if i in row["targets"] else "–" for i, v in enumerate(row["holds"]))
    flagged = "" if row["flagged"] is None else f"{100 * row['flagged']:.0f} %"
    mark = "**missed**" if row["verdict"] == "missed" else row["verdict"]
    return f"{holds} | {flagged} | {mark}"


def picture(path: Path, cases: list[Case], name: str) -> None:
    """The first galaxies of each case, and the star that is told."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    fig, axes = plt.subplots(len(cases), 7, figsize=(9, 1.35 * len(cases)), squeeze=False)
    for row, case in zip(axes, cases):
        cutouts, _ = seen(case, name, 6)
        for ax, image, noise in zip(row, np.asarray(cutouts), np.broadcast_to(cutouts.noise, 6)):
            ax.imshow(np.arcsinh(image / noise / 3), cmap="gray", vmin=-1, vmax=np.arcsinh(50))
        row[6].imshow(np.arcsinh(cutouts.psf[0] * 1e4), cmap="magma")
        row[0].set_title(case.name, fontsize=7, loc="left")
        for ax in row:
            ax.set_axis_off()
    fig.tight_layout(pad=0.2)
    fig.savefig(path, dpi=70)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--galaxies", type=int, default=1000, help="in each row")
    parser.add_argument("--only", nargs="+", help="parts of the names of rows")
    parser.add_argument("--masked", action="store_true", help="mask neighbors first, by NeighborMasker")
    parser.add_argument("--worlds", nargs="+", choices=list(SEEDS), default=list(SEEDS))
    parser.add_argument("--out", type=Path, help="file of JSON lines; rows that it has are not measured again")
    parser.add_argument("--picture", type=Path, help="draw the images there, of the first of the worlds")
    _model.add_arguments(parser)
    options = parser.parse_args()
    n = 12 if options.smoke else options.galaxies
    cases = [case for case in CASES if not options.only or any(part in case.name for part in options.only)]
    if options.picture:
        picture(options.picture, cases, options.worlds[0])
    model, model_name = _model.model_of(options)
    same = model_name, n, options.masked
    done = [row for row in recorded(options.out) if (row["model"], row["n"], row["masked"]) == same]
    known = {(row["case"], row["galaxies_of"]) for row in done}
    for name in options.worlds:
        for case in cases:
            if (case.name, name) not in known:
                done.append({"model": model_name, **measured(model, case, name, n, options.masked)})
                record(options.out, **done[-1])
    print(table(done))


if __name__ == "__main__":
    main()
