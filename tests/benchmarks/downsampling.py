"""Speed and exactness of `Downsampler`. Run with ``python tests/benchmarks/downsampling.py``.

1000 uint8 color images of 424×424 px become 80×80. Speed is a ratio to a loop over `PIL.Image.resize`;
methods take turns, and the median over the turns is printed. Errors are relative to an integral in float64.
"""

from __future__ import annotations

import argparse
import os
import time
from statistics import median

import numpy as np
from PIL import Image
from scipy.ndimage import zoom

from galestim.preprocessing import Downsampler

N, SIZE = 424, 80


def pil_loop(filter):
    return lambda images: np.stack([np.asarray(Image.fromarray(x).resize((SIZE, SIZE), filter)) for x in images])


METHODS = {
    "PIL loop, BICUBIC": pil_loop(Image.Resampling.BICUBIC),
    "PIL loop, BOX": pil_loop(Image.Resampling.BOX),
    'Downsampler, "pil-bicubic"': Downsampler(SIZE, method="pil-bicubic").transform,
    'Downsampler, "area"': Downsampler(SIZE).transform,
}
LINEAR = {
    **METHODS,
    "scipy.ndimage.zoom, order 1": lambda images: np.stack([zoom(x, SIZE / N, order=1) for x in images]),
    "nearest pixel": lambda images: images[:, (np.arange(SIZE) * N) // SIZE][:, :, (np.arange(SIZE) * N) // SIZE],
}


def compact_galaxies(n: int = 20) -> np.ndarray:
    """Exponential disks, float32, of scale length 3 to 10 px and any center, shape (n, N, N)."""
    rng = np.random.default_rng(0)
    y, x = np.indices((N, N))
    centers, scales = (N - 1) / 2 + rng.uniform(-3, 3, (n, 2)), rng.uniform(3, 10, n)
    return np.stack([np.exp(-np.hypot(y - c[0], x - c[1]) / s) for c, s in zip(centers, scales)]).astype(np.float32)


def exact(images: np.ndarray) -> np.ndarray:
    """Mean over new pixels on a grid fine enough to divide the old pixels and the new: 10 points a pixel."""
    fine, coarse = SIZE // np.gcd(N, SIZE), N // np.gcd(N, SIZE)
    rows = np.repeat(images.astype(np.float64), fine, axis=1).reshape(-1, SIZE, coarse, N).mean(axis=2)
    return np.repeat(rows, fine, axis=2).reshape(-1, SIZE, SIZE, coarse).mean(axis=3)


def centroids(images: np.ndarray) -> np.ndarray:
    axes = np.arange(images.shape[1])
    moments = [(images.sum(axis=3 - axis, dtype=np.float64) * axes).sum(axis=1) for axis in (1, 2)]
    return np.stack(moments, axis=1) / images.sum(axis=(1, 2), dtype=np.float64)[:, None]


def speed(n_images: int, repeats: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (n_images, N, N, 3), dtype=np.uint8)
    seconds: dict[str, list[float]] = {name: [] for name in METHODS}
    for _ in range(repeats):
        for name, method in METHODS.items():
            start = time.perf_counter()
            method(images)
            seconds[name].append(time.perf_counter() - start)
    print(f"{n_images} uint8 images {N}×{N}×3 → {SIZE}×{SIZE}×3, {os.cpu_count()} cores, {repeats} turns")
    print(f"{'':30}{'images/s':>10}{'ratio':>8}{'  range of ratios'}")
    for name, times in seconds.items():
        ratios = np.divide(seconds["PIL loop, BICUBIC"], times)
        span = f"{ratios.min():.2f} to {ratios.max():.2f}"
        print(f"{name:30}{n_images / median(times):10.0f}{np.median(ratios):8.2f}  {span}")


def accuracy() -> None:
    images = compact_galaxies()
    truth = exact(images)
    print(f"\n{len(images)} compact galaxies, float32, {N}×{N} → {SIZE}×{SIZE}; the worst of them")
    print(f"{'':30}{'pixel / peak':>14}{'total flux':>12}{'centroid [px]':>15}")
    for name, method in LINEAR.items():
        result = method(images)
        pixel = (np.abs(result - truth).max(axis=(1, 2)) / truth.max(axis=(1, 2))).max()
        flux = np.abs(result.sum(axis=(1, 2), dtype=np.float64) / truth.sum(axis=(1, 2)) - 1).max()
        print(f"{name:30}{pixel:14.1e}{flux:12.1e}{np.abs(centroids(result) - centroids(truth)).max():15.1e}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    speed(arguments.images, arguments.repeats)
    accuracy()
