"""Bad pixels: columns, cosmic rays, pixels at random and saturated cores, and what such pixels hold."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

RAY_LENGTH = 6.0  # pixels, mean of an exponential distribution
RAY_PIXELS = 7.5  # that a ray hits inside an image, on average
STEPS = 0.5  # pixels from one point of a ray to the next


def bad_columns(shape: tuple[int, ...], mean: NDArray, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Whole columns, a Poisson number with `mean` (n,) in each image ``(n, h, w)``."""
    mask = np.zeros(shape, dtype=bool)
    image = np.repeat(np.arange(len(mean)), rng.poisson(mean))
    mask[image, :, rng.integers(shape[2], size=len(image))] = True
    return mask


def cosmic_rays(shape: tuple[int, ...], share: NDArray, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Straight tracks that hit a `share` (n,) of the pixels of each image, on average."""
    n, height, width = shape
    mask = np.zeros(shape, dtype=bool)
    image = np.repeat(np.arange(n), rng.poisson(-np.log1p(-share) * height * width / RAY_PIXELS))
    length, angle = rng.exponential(RAY_LENGTH, len(image)), rng.uniform(0, np.pi, len(image))
    along = np.arange(0, length.max(initial=0) + STEPS, STEPS)
    y, x = (
        np.rint(rng.uniform(-RAY_LENGTH / 2, side - 0.5 + RAY_LENGTH / 2, len(image))[:, None] + turn[:, None] * along)
        for side, turn in ((height, np.sin(angle)), (width, np.cos(angle)))
    )
    hit = (along <= length[:, None]) & (y >= 0) & (y < height) & (x >= 0) & (x < width)
    image = np.broadcast_to(image[:, None], hit.shape)[hit]
    mask[image, y[hit].astype(int), x[hit].astype(int)] = True
    return mask


def random_pixels(shape: tuple[int, ...], share: NDArray, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Single pixels, a `share` (n,) of each image."""
    return rng.random(shape, dtype=np.float32) < share[:, None, None]


def saturated_cores(images: NDArray, share: NDArray, rng: np.random.Generator) -> NDArray[np.bool_]:
    """The pixels above half to nine tenths of the brightest one, in a `share` (n,) of the images."""
    level = np.where(rng.random(len(images)) < share, rng.uniform(0.5, 0.9, len(images)), np.inf)
    return images > (level * images.max(axis=(1, 2)))[:, None, None]


def fill(images: NDArray, mask: NDArray[np.bool_], noise: NDArray, rng: np.random.Generator) -> None:
    """Put into bad pixels what they may hold: nothing, or 10 to 100 000 times the noise."""
    bad = np.nonzero(mask)
    size = 10 ** rng.uniform(1, 5, len(bad[0])) * np.maximum(noise, np.finfo(np.float32).tiny)[bad[0]]
    images[bad] = size * rng.choice([-1, 0, 1, 1, 1], len(bad[0]))
