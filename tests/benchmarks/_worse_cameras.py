"""The same galaxies through worse cameras: convolved, in larger pixels, with more noise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from _real_galaxies import SIDES, Galaxy, cutouts_of, deviation, middle
from numpy.typing import NDArray
from scipy import ndimage

from galestim import Cutouts, Downsampler

TOLD = "truthfully", "the old star"
WORSE = ((1.3, 1.5), (1.6, 2.0))  # width of the star; side of a pixel
REACH = 12  # pixels by which stars grow
ADDED = 2.0  # noise that is added, in that which is left


def in_groups(galaxies: list[Galaxy], sides: list[int], summarize) -> dict[str, NDArray]:
    """What `summarize` gives of the galaxies of each size, in the order of all."""
    found: dict[str, NDArray] = {}
    for side in np.unique(sides):
        rows = np.flatnonzero(np.asarray(sides) == side)
        for name, values in summarize([galaxies[i] for i in rows], int(side)).items():
            found.setdefault(name, np.zeros((len(galaxies), *values.shape[1:]), values.dtype))[rows] = values
    return found


def reserve_of(name: str) -> int:
    """How many times as large images are as they need to be, for pixels to be merged."""
    return 1 if name in ("hst_cosmos", "pysersic") else 2


def worse(galaxies: list[Galaxy], side: int, *, wider: float, larger: float, share: float, told: str) -> Cutouts:
    """What a worse camera would have seen in `side` pixels, and what is told of it; `share` is the noise left."""
    seen = rebinned([convolved(galaxy, wider) for galaxy in galaxies], side, larger)
    left = share * np.array([galaxy.noise for galaxy in galaxies]) / larger
    rng = np.random.default_rng([side, *(int(galaxy.noise * 1e6) for galaxy in galaxies)])
    light = np.nan_to_num(np.asarray(seen)).clip(0)
    photons = 0 if seen.gain is None else share**2 * light / np.reshape(seen.gain, (-1, 1, 1))
    added = ADDED * np.sqrt(left[:, None, None] ** 2 + photons) * rng.standard_normal(seen.shape)
    total = 1 + ADDED**2
    gain = None if seen.gain is None else seen.gain / (total * share**2)
    stars = seen.psf if told == TOLD[0] else rebinned(galaxies, side, larger).psf
    noise = np.sqrt(total) * left
    sky_error = seen.sky_error * np.array([galaxy.noise for galaxy in galaxies]) / noise  # its level is what it was
    images = (seen.images + added).astype(np.float32)
    return seen.replace(images, noise=noise, gain=gain, psf=stars, sky_error=sky_error)


def rebinned(galaxies: list[Galaxy], side: int, larger: float) -> Cutouts:
    """The middle of images, with larger pixels."""
    return Downsampler(side).fit_transform(cutouts_of(galaxies, round(side * larger)))


def convolved(galaxy: Galaxy, wider: float) -> Galaxy:
    """Image and star convolved with the same Gaussian; its width is in squares the difference."""
    sigma = galaxy.fwhm * np.sqrt(wider**2 - 1) / 2.3548
    image = ndimage.gaussian_filter(galaxy.filled(), sigma, mode="reflect", truncate=6)
    star = ndimage.gaussian_filter(np.pad(galaxy.psf, REACH), sigma, mode="constant", truncate=6)
    return replace(galaxy, image=image, psf=star / star.sum())


def noise_left(galaxies: list[Galaxy], wider: float, larger: float) -> float:
    """Noise of merged pixels after the convolution, over that of independent pixels; as measured in the sky."""
    ratios = []
    for galaxy in galaxies:
        side = SIDES[1]
        after = rebinned([convolved(galaxy, wider)], side, larger)
        empty = sky_pixels(galaxy, side, larger)
        if empty.sum() > 100:
            ratios.append(deviation(after.images[0][empty]) / (galaxy.noise / larger))
    return float(np.median(ratios))


def sky_pixels(galaxy: Galaxy, side: int, larger: float) -> NDArray[np.bool_]:
    """Pixels of `rebinned` without light of any source, which is what is bright in a smoothed image."""
    smooth = ndimage.gaussian_filter(np.where(galaxy.mask, 0, galaxy.image), 2)
    light = ndimage.binary_dilation((smooth > 0.6 * galaxy.noise) | galaxy.mask, iterations=3)
    bright = replace(galaxy, image=light.astype(float), mask=np.zeros_like(light))
    image, outside = middle(bright, round(side * larger))
    merged = Downsampler(side).fit_transform(np.where(outside, 1.0, image)[None].astype(np.float32))
    return np.asarray(merged[0]) < 1e-6
