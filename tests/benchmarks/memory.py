"""Peak resident memory of a fit on a uint8 memmap that is larger than it.

    python tests/benchmarks/memory.py                  # 4 GB, the run quoted in docs/benchmarks.md
    python tests/benchmarks/memory.py --gigabytes 0.5

One epoch of `CNNRegressor` on 424×424 color images of random pixels, with a light network, so that reading the images
is what counts. The peak is that of the whole process, file-backed pages included (Linux; ru_maxrss).
"""

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
from _record import record
from torch import nn

from galestim import CNNRegressor

SHAPE = (424, 424, 3)


class Light(nn.Sequential):
    """One coarse convolution and a linear layer."""

    def __init__(self, image_shape, n_outputs):
        super().__init__(nn.Conv2d(3, 4, 16, stride=16), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 26 * 26, n_outputs))


def random_images(path: Path, n: int) -> np.memmap:
    """Write `n` images of random pixels to `path`, through a plain file, and return them as a read-only memmap."""
    rng = np.random.default_rng(0)
    with path.open("wb") as file:
        for _ in range(n):
            file.write(rng.bytes(int(np.prod(SHAPE))))
    return np.memmap(path, mode="r", dtype=np.uint8, shape=(n, *SHAPE))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=4.0)
    parser.add_argument("--folder", help="where to put the temporary file")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    n = round(options.gigabytes * 2**30 / np.prod(SHAPE))
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        images = random_images(Path(folder) / "images.bytes", n)
        before = peak()
        start = time.perf_counter()
        model = CNNRegressor(Light, max_epochs=1, random_state=0).fit(images, np.linspace(0, 1, n))
        record(
            options.out,
            what="memory",
            file_gigabytes=round(images.nbytes / 2**30, 2),
            peak_before_fit_gigabytes=round(before, 2),
            peak_gigabytes=round(peak(), 2),
            minutes=round((time.perf_counter() - start) / 60, 1),
            valid_loss=round(model.history_[-1]["valid_loss"], 3),
        )


def peak() -> float:
    """Peak resident memory of this process so far, in GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


if __name__ == "__main__":
    main()
