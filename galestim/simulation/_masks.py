"""Bad pixels: columns, cosmic rays, pixels at random and saturated cores, and what such pixels hold."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

RAY_LENGTH = 6.0  # pixels, mean of an exponential distribution
RAY_PIXELS = 7.5  # that a ray hits, on average
MARGIN = 10  # pixels around an image in which rays have their middle that may hit it
STEP = 0.5  # pixels from one point of a ray to the next


def bad_columns(images: NDArray, mean: NDArray, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Whole columns, a Poisson number with `mean` (n,) in each image ``(n, h, w)``."""
    mask = np.zeros(images.shape, dtype=bool)
    image = np.repeat(np.arange(len(mean)), rng.poisson(mean))
    mask[image, :, rng.integers(images.shape[2], size=len(image))] = True
    return mask


def cosmic_rays(images: NDArray, share: NDArray, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Straight tracks that hit a `share` (n,) of the pixels of each image, on average."""
    n, *sides = images.shape
    around = [side + 2 * MARGIN for side in sides]
    image = np.repeat(np.arange(n), rng.poisson(-np.log1p(-share) * np.prod(around) / RAY_PIXELS))
    length, angle = rng.exponential(RAY_LENGTH, len(image)), rng.uniform(0, np.pi, len(image))
    along = np.arange(0, length.max(initial=0) + STEP, STEP) - length[:, None] / 2
    hit = along <= length[:, None] / 2
    position = []
    for side, wide, turn in zip(sides, around, (np.sin(angle), np.cos(angle))):
        middle = rng.uniform(-MARGIN - 0.5, wide - MARGIN - 0.5, len(image))
        position.append(np.rint(middle[:, None] + turn[:, None] * along).astype(int))
        hit &= (position[-1] >= 0) & (position[-1] < side)
    mask = np.zeros(images.shape, dtype=bool)
    mask[np.broadcast_to(image[:, None], hit.shape)[hit], position[0][hit], position[1][hit]] = True
    return mask


def random_pixels(images: NDArray, share: NDArray, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Single pixels, a `share` (n,) of each image."""
    return rng.random(images.shape, dtype=np.float32) < share[:, None, None]


def saturated_cores(images: NDArray, share: NDArray, rng: np.random.Generator) -> NDArray[np.bool_]:
    """The pixels above half to nine tenths of the brightest one, in a `share` (n,) of the images."""
    level = np.where(rng.random(len(images)) < share, rng.uniform(0.5, 0.9, len(images)), np.inf)
    return images > (level * images.max(axis=(1, 2)))[:, None, None]


KINDS = {
    "bad_columns": bad_columns,
    "cosmic_rays": cosmic_rays,
    "random_mask": random_pixels,
    "saturation": saturated_cores,
}


def fill(images: NDArray, mask: NDArray[np.bool_], noise: NDArray, rng: np.random.Generator) -> None:
    """Put into bad pixels what they may hold: nothing, or 10 to 100 000 times the noise."""
    bad = np.nonzero(mask)
    size = 10 ** rng.uniform(1, 5, len(bad[0])) * np.maximum(noise, np.finfo(np.float32).tiny)[bad[0]]
    images[bad] = size * rng.choice([-1, 0, 1, 1, 1], len(bad[0]))
