"""What may be wrong with images, or with what is told of their camera: one case each.

A case changes one step on the way from galaxies to cutouts, and leaves the rest: the galaxies, their true cameras,
their light before it is noisy, the images of stars that are handed out, the level of the sky, the image, or what is
told. What is not changed is as usual: stars, sky and noise with the errors that are told.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from galestim.simulation import GaussianPSF, half_light_radius, render, render_stars
from galestim.simulation._psf import Widened

MUST, EITHER, UNSEEN = "met", "met or flagged", ""
NEAR, FAR = 18.0, 48.0  # pixels from a galaxy to its neighbor
AROUND = 12.0  # pixels around the middle in which there are hot pixels and cosmic rays
RAY = 20.0, 200.0  # σ of a pixel that a cosmic ray hits
HOT = 90.0  # σ
POINT = 0.01  # pixels, radius of a star
ZERO_POINT = 10**1.2  # from 27 to 30


class Scene(NamedTuple):
    """Galaxies, their true cameras, and both without noise.

    `galaxies`, as `render` takes them; `band`, one camera for each; `images` (n, npix, npix); `stars` (n, m, m);
    `signal_to_noise` (n,), the flux over the error of that of the matched profile.
    """

    galaxies: dict[str, NDArray]
    band: Any
    images: torch.Tensor
    stars: torch.Tensor
    signal_to_noise: NDArray

    @property
    def pixel_scale(self) -> NDArray:
        """In arcsec (n,)."""
        return np.broadcast_to(self.band.pixel_scale, len(self.images))


@dataclasses.dataclass(frozen=True)
class Case:
    """One thing that is not as usual; see above."""

    name: str
    expected: str = EITHER
    targets: tuple[int, ...] = (0, 1, 2)  # that are defined
    least: float = 0.60  # share of 68 % intervals that hold
    galaxies: Callable | None = None  # (scene, rng) -> changed parameters
    camera: Callable | None = None  # (scene, rng) -> changed entries of the true band
    light: Callable | None = None  # (scene, rng) -> images
    stars: Callable | None = None  # (scene, rng) -> stars
    sky: float | None = None  # offset [σ]
    image: Callable | None = None  # (cutouts, scene, rng) -> cutouts
    told: Callable | None = None  # (cutouts) -> cutouts
    flux: float = 1.0  # factor on the true flux [image units]


# ---- galaxies


def single_sersic(low: float, high: float) -> Callable:
    """One Sérsic profile, of indices from `low` to `high`; which component it is called does not matter."""

    def change(scene, rng):
        n = len(scene.images)
        radius = scene.galaxies["half_light_radius"]
        return {
            "bulge_to_total": np.ones(n),
            "bulge_radius": radius,
            "disk_radius": radius,
            "bulge_sersic_index": rng.uniform(low, high, n),
        }

    return change


def off_center(distance: float) -> Callable:
    def change(scene, rng):
        angle = rng.uniform(0, 2 * np.pi, len(scene.images))
        return {"x_offset": distance * np.cos(angle), "y_offset": distance * np.sin(angle)}

    return change


def with_ratio(low: float, high: float) -> Callable:
    """Fluxes that give other signal-to-noise ratios."""

    def change(scene, rng):
        wanted = np.exp(rng.uniform(np.log(low), np.log(high), len(scene.images)))
        return {"flux": scene.galaxies["flux"] * wanted / scene.signal_to_noise}

    return change


def star(scene, rng):
    radius = POINT * scene.pixel_scale
    return {"bulge_radius": radius, "disk_radius": radius, "half_light_radius": radius}


def other_indices(scene, rng):
    n = len(scene.images)
    indices = {"bulge_sersic_index": rng.uniform(0.5, 6.0, n), "disk_sersic_index": rng.uniform(0.7, 1.3, n)}
    changed = scene.galaxies | indices
    del changed["half_light_radius"]
    return indices | {"half_light_radius": half_light_radius(changed)}


# ---- cameras


def gain_divided(divisor: float) -> Callable:
    return lambda scene, rng: {"gain": scene.band.gain / divisor}


def correlated(length: float) -> Callable:
    """Noise correlated over `length` pixels, or 0.8 of the width of stars."""
    return lambda scene, rng: {"correlation": np.minimum(length, 0.8 * widths(scene))}


def larger_pixels(factor: float) -> Callable:
    return lambda scene, rng: {"pixel_scale": factor * scene.pixel_scale}


def widths(scene) -> NDArray:
    return np.array([psf.fwhm for psf in scene.band.psf]) / scene.pixel_scale


# ---- light


def nothing(scene, rng):
    return torch.zeros_like(scene.images)


def neighbor(fainter: float) -> Callable:
    """One more galaxy of the same kind, fainter by so many magnitudes."""

    def add(scene, rng):
        n, ratio = len(scene.images), scene.pixel_scale / np.roll(scene.pixel_scale, 1)
        distance, angle = rng.uniform(NEAR, FAR, n), rng.uniform(0, 2 * np.pi, n)
        other = {name: np.roll(values, 1) for name, values in scene.galaxies.items()}
        other |= {name: other[name] * ratio for name in ("bulge_radius", "disk_radius")}
        other |= {"x_offset": distance * np.cos(angle), "y_offset": distance * np.sin(angle)}
        other["flux"] = scene.galaxies["flux"] * 10 ** (-0.4 * fainter)
        return scene.images + drawn(other, scene.band, scene.images.shape[-1])

    return add


def drawn(galaxies: dict, band, npix: int) -> torch.Tensor:
    return render(galaxies, npix=npix, pixel_scale=band.pixel_scale, psf=band.psf)


# ---- stars


def wider(factor: float) -> Callable:
    """Stars handed out that are wider than the true ones."""
    return stars_of(lambda psf, rng: Widened(psf, factor))


def stars_of(change: Callable) -> Callable:
    def draw(scene, rng):
        psf = [change(one, rng) for one in scene.band.psf]
        return render_stars(npix=scene.stars.shape[-1], pixel_scale=scene.pixel_scale, psf=psf)

    return draw


def gaussian(psf, rng):
    return GaussianPSF(psf.fwhm, psf.ellipticity, psf.position_angle)


def other_ellipticity(psf, rng):
    """Round where it is elliptical; of round ones 0.05."""
    if psf.ellipticity:
        return dataclasses.replace(psf, ellipticity=0.0)
    return dataclasses.replace(psf, ellipticity=0.05, position_angle=float(rng.uniform(0, 180)))


# ---- images


def sigma(cutouts) -> NDArray:
    return np.broadcast_to(cutouts.noise, len(cutouts))[:, None, None]


def places(cutouts, rng) -> tuple[NDArray, NDArray]:
    """Pixels (n,) around the middle."""
    n, middle = len(cutouts), (cutouts.shape[1] - 1) / 2
    distance, angle = AROUND * np.sqrt(rng.random(n)), rng.uniform(0, 2 * np.pi, n)
    return tuple(np.rint(middle + distance * turn(angle)).astype(int) for turn in (np.sin, np.cos))


def hot_pixel(cutouts, scene, rng):
    images = cutouts.images.copy()
    images[np.arange(len(images)), *places(cutouts, rng)] += HOT * sigma(cutouts)[:, 0, 0]
    return cutouts.replace(images)


def ray_pixels(cutouts, rng) -> NDArray[np.bool_]:
    """A straight track in each image, of 2 pixels and more."""
    hit, (row, column) = np.zeros(cutouts.shape, dtype=bool), places(cutouts, rng)
    for i, (length, angle) in enumerate(zip(2 + rng.exponential(6, len(hit)), rng.uniform(0, np.pi, len(hit)))):
        along = np.arange(0, length, 0.5) - length / 2
        at = [np.rint(p + t * along).astype(int) for p, t in ((row[i], np.sin(angle)), (column[i], np.cos(angle)))]
        inside = np.all([(a >= 0) & (a < cutouts.shape[1]) for a in at], axis=0)
        hit[i, at[0][inside], at[1][inside]] = True
    return hit


def cosmic_ray(masked: bool) -> Callable:
    def change(cutouts, scene, rng):
        hit = ray_pixels(cutouts, rng)
        value = np.exp(rng.uniform(*np.log(RAY), len(cutouts)))[:, None, None] * sigma(cutouts)
        return cutouts.replace(cutouts.images + hit * value, mask=hit if masked else None)

    return change


def saturated(share: float, masked: bool = False) -> Callable:
    """Cores cut off at a `share` of their peak."""

    def change(cutouts, scene, rng):
        peak = scene.images.amax((1, 2)).numpy()[:, None, None]
        above = cutouts.images > share * peak
        return cutouts.replace(np.minimum(cutouts.images, share * peak), mask=above if masked else None)

    return change


def zeros(side: int, distance: float) -> Callable:
    """A square of pixels that hold nothing, so far from the middle."""

    def change(cutouts, scene, rng):
        images, middle = cutouts.images.copy(), (cutouts.shape[1] - side) / 2
        for image, angle in zip(images, rng.uniform(0, 2 * np.pi, len(images))):
            row, column = (round(middle + distance * turn(angle)) for turn in (np.sin, np.cos))
            image[row : row + side, column : column + side] = 0
        return cutouts.replace(images)

    return change


def dead_column(masked: bool) -> Callable:
    def change(cutouts, scene, rng):
        mask = np.zeros(cutouts.shape, dtype=bool)
        mask[:, :, cutouts.shape[1] // 2 + 2] = True
        return cutouts.replace(np.where(mask, 0, cutouts.images), mask=mask if masked else None)

    return change


def stretched(cutouts, scene, rng):
    return cutouts.replace(np.arcsinh(cutouts.images / sigma(cutouts)) * sigma(cutouts))


def masked_at_random(cutouts, scene, rng):
    mask = rng.random(cutouts.shape) < 0.1
    return cutouts.replace(np.where(mask, 1e9, cutouts.images), mask=mask)


def other_units(told: bool) -> Callable:
    def change(cutouts, scene, rng):
        images = cutouts.images * ZERO_POINT
        if not told:
            return cutouts.replace(images)
        camera = {"noise": cutouts.noise * ZERO_POINT, "gain": cutouts.gain / ZERO_POINT}
        return cutouts.replace(images, **camera, zero_point=cutouts.zero_point + 3.0)

    return change


# ---- what is told


def noise_times(factor: float) -> Callable:
    return lambda cutouts: cutouts.replace(noise=cutouts.noise * factor)


def scale_times(factor: float) -> Callable:
    return lambda cutouts: cutouts.replace(pixel_scale=cutouts.pixel_scale * factor)


def unsure(error: float) -> Callable:
    return lambda cutouts: cutouts.replace(psf_error=error)


# ---- all of them

SHAPE = (1, 2)  # radius and flux: which component a single profile is, is a matter of names
CASES = [
    Case("as told", MUST),
    *[Case(f"PSF told {100 * (f - 1):+.0f} %", stars=wider(f)) for f in (0.8, 0.9, 0.95, 1.05, 1.1, 1.2)],
    *[
        Case(
            f"PSF told {100 * (f - 1):+.0f} %, psf_error={error}",
            MUST,
            least=0.64,
            stars=wider(f),
            told=unsure(error),
        )
        for f, error in ((0.95, 0.05), (1.05, 0.05), (0.9, 0.1), (1.1, 0.1), (0.8, 0.2), (1.2, 0.2))
    ],
    Case("PSF told round, or not", MUST, stars=stars_of(other_ellipticity)),
    Case("PSF told to be Gaussian", stars=stars_of(gaussian)),
    Case("noise told −20 %", told=noise_times(0.8)),
    Case("noise told −10 %", MUST, least=0.64, told=noise_times(0.9)),
    Case("noise told +10 %", MUST, least=0.64, told=noise_times(1.1)),
    Case("noise told +20 %", told=noise_times(1.2)),
    Case("noise correlated over 1.5 px", camera=correlated(1.5)),
    Case("noise correlated over 3 px", camera=correlated(3.0)),
    Case("gain half of what is told", MUST, camera=gain_divided(2), told=lambda c: c.replace(gain=2 * c.gain)),
    Case("gain a hundredth, told", camera=gain_divided(100)),
    Case("gain a hundredth of what is told", camera=gain_divided(100), told=lambda c: c.replace(gain=100 * c.gain)),
    *[Case(f"sky {offset:+g}σ", MUST, sky=offset) for offset in (-0.1, -0.05, 0.05, 0.1)],
    *[Case(f"sky {offset:+g}σ", sky=offset) for offset in (-1.0, -0.2, 0.2, 1.0)],
    Case("pixels 1.19 times as large, told", MUST, camera=larger_pixels(1.19)),
    Case("pixel scale told +5 %", UNSEEN, told=scale_times(1.05)),
    Case("zero point 30, told", MUST, image=other_units(told=True), flux=ZERO_POINT),
    Case("zero point 30, noise as of 27", image=other_units(told=False), flux=ZERO_POINT),
    Case("asinh-stretched", image=stretched),
    Case("1 px off center", MUST, galaxies=off_center(1.0)),
    Case("2 px off center", galaxies=off_center(2.0)),
    Case("3 px off center", galaxies=off_center(3.0)),
    *[
        Case(f"one Sérsic profile, n {low:g}–{high:g}", targets=SHAPE, galaxies=single_sersic(low, high))
        for low, high in ((0.5, 1.5), (1.5, 2.5), (2.5, 4), (4, 6))
    ],
    Case("bulge n 0.5–6, disk n 0.7–1.3", MUST, galaxies=other_indices),
    Case("S/N 3–10", galaxies=with_ratio(3, 10)),
    Case("S/N 3000–30 000", galaxies=with_ratio(3e3, 3e4)),
    Case("star", targets=(2,), galaxies=star),
    Case("empty sky", targets=(), light=nothing),
    *[Case(f"neighbor {m:g} mag fainter", light=neighbor(m)) for m in (5, 3, 1.5, 0)],
    Case("neighbor 1.5 mag brighter", light=neighbor(-1.5)),
    Case("cosmic ray of 20–200σ", image=cosmic_ray(masked=False)),
    Case("cosmic ray, masked", MUST, image=cosmic_ray(masked=True)),
    Case("hot pixel of 90σ", image=hot_pixel),
    Case("core saturated at 50 % of its peak", image=saturated(0.5)),
    Case("core saturated at 80 % of its peak", image=saturated(0.8)),
    Case("core saturated at 50 %, masked", image=saturated(0.5, masked=True)),
    Case("6×6 zeros 18 px off", image=zeros(6, 18.0)),
    Case("4×4 zeros in the core", image=zeros(4, 0.0)),
    Case("dead column 2 px off", image=dead_column(masked=False)),
    Case("dead column 2 px off, masked", MUST, image=dead_column(masked=True)),
    Case("10 % of the pixels masked at random", MUST, image=masked_at_random),
]
