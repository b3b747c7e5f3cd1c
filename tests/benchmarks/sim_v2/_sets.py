"""Test sets of galestim-sim-v2, also crowded, drawn from seeds in parts, and kept under the folder of a run.

Galaxies of `sim_v2_prior`, each seen by a camera of its own of `sim_v2_cameras`, in images of 64, 96 and 128 px in
turn. One camera in five has the measured star of a real telescope where these are there (`../_measured_stars.py`), in
another pixel and another width; else the sum of two Moffat profiles. A part is drawn by the renderer or by GalSim;
for GalSim, which takes a tenth of a second for a Sérsic index that is new to it, indices are rounded to 0.1, and the
truth is that of the rounded ones. Noise, sky, bad pixels and stars of both are those of `CameraPrior.observe`.

Crowded galaxies have the neighbors of `sim_v2_neighbors`, bad pixels, and centers that are off by up to three pixels.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from _measured_stars import measured_stars
from numpy.typing import NDArray

from galestim import Cutouts, NeighborMasker
from galestim.datasets import SimulatedGalaxies
from galestim.simulation import cramer_rao_bound, half_light_radius, sim_v2_cameras, sim_v2_neighbors, sim_v2_prior
from galestim.simulation._radial import profile_of

SIDES = 64, 96, 128
PART, SMOKE_PART = 500, 6  # galaxies
SEEDS = {"renderer": 20_000, "galsim": 30_000}
OF_CROWDED = 20_000  # more
ROUNDED = {"bulge_sersic_index": 1, "disk_sersic_index": 1}  # decimals


class Part(NamedTuple):
    """Galaxies of one size of image, as they were drawn.

    `cutouts`; `target` (n, 3), B/T, half-light radius [arcsec] and flux; `galaxies`, the parameters of `render`;
    `band`, the true cameras; `signal_to_noise` (n,), the flux over the error of that of the matched profile;
    `neighbors`, as `NeighborPrior.draw` gives them, if it is crowded.
    """

    name: str
    cutouts: Cutouts
    target: NDArray
    galaxies: dict[str, NDArray]
    band: Any
    signal_to_noise: NDArray
    neighbors: dict[str, NDArray] | None = None

    def __len__(self):
        return len(self.target)


@cache
def cameras(crowded: bool = False):
    """The cameras; the same stars at each call."""
    return sim_v2_cameras(measured_stars(), crowded=crowded)


def parts(folder: Path, by: str, n: int, smoke: bool, crowded: bool = False) -> list[Part]:
    """Parts of the set drawn `by` the renderer or GalSim, with `n` galaxies or a few more."""
    size = SMOKE_PART if smoke else PART
    return [part(folder, by, number, size, crowded) for number in range(-(-n // size))]


def part(folder: Path, by: str, number: int, size: int, crowded: bool = False) -> Part:
    """One part; its images are read if they are there."""
    npix, stars = SIDES[number % len(SIDES)], "measured" if cameras().stamps else "moffats"
    seed = SEEDS[by] + number + OF_CROWDED * crowded
    drawn = SimulatedGalaxies(
        size,
        npix=npix,
        band=cameras(crowded),
        prior=sim_v2_prior(crowded=crowded),
        neighbors=sim_v2_neighbors() if crowded else None,
        random_state=seed,
    )
    galaxies, neighbors = drawn.parameters, drawn.neighbor_parameters
    if by == "galsim":
        galaxies, neighbors = rounded(galaxies), None if neighbors is None else rounded(neighbors)
    name = f"{'crowded_' if crowded else ''}{by}_{stars}_{number:03d}_{size}"
    path = folder / f"{name}.fits"
    if not path.exists():
        seen = drawn[:] if by == "renderer" else by_galsim(drawn, galaxies, neighbors, seed)
        seen.write(path)
    target = np.column_stack([galaxies[target] for target in drawn.target_names])
    square = profile_of(galaxies, drawn.cameras.psf, drawn.cameras.pixel_scale).square
    ratio = galaxies["flux"] * np.sqrt(square) / drawn.cameras.sky_noise
    return Part(name, Cutouts.read(path), target, galaxies, drawn.cameras, ratio, neighbors)


def masked(part: Part) -> Part:
    """The same; of crowded galaxies with their neighbors masked."""
    if part.neighbors is None:
        return part
    return Part(part.name, NeighborMasker().transform(part.cutouts), *part[2:])


def rounded(galaxies: dict[str, NDArray]) -> dict[str, NDArray]:
    """Galaxies with round Sérsic indices, and their half-light radii."""
    changed = galaxies | {name: galaxies[name].round(decimals) for name, decimals in ROUNDED.items()}
    del changed["half_light_radius"]
    return changed | {"half_light_radius": np.asarray(half_light_radius(changed))}


def by_galsim(drawn: SimulatedGalaxies, galaxies: dict[str, NDArray], neighbors, seed: int) -> Cutouts:
    """What the cameras make of GalSim's images."""
    from _by_galsim import drawn as draw

    images, stars = draw(galaxies, drawn.cameras, drawn.shape[1], drawn.band.stamp_npix, neighbors)
    return drawn.band.observe(images, stars, drawn.cameras, seed)


def limit(folder: Path, part: Part) -> NDArray:
    """Cramér–Rao limits ``(n, 3)`` of B/T, ln R_e and ln F of a part, each with the galaxy's own camera.

    Where there are neighbors, they are marginalized, and bad pixels left out.
    """
    path, crowded = folder / f"limit_{part.name}.npy", part.neighbors is not None
    if not path.exists():
        prior = sim_v2_prior(crowded=crowded)
        scene = {
            "neighbors": part.neighbors,
            "neighbor_prior": sim_v2_neighbors().given(part.band, prior, cameras=cameras(crowded)),
            "mask": part.cutouts.mask,
        }
        known = cameras(crowded).given(part.band, prior)
        bound = cramer_rao_bound(part.galaxies, part.band, npix=part.cutouts.shape[1], prior=known, **scene)
        np.save(path, bound.std)
    return np.load(path)
