import numpy as np
import pytest

from galestim import CNNRegressor, SpinCNN


def _blobs(n, seed=0):
    """Round galaxies of known radius and brightness: images ``(n, 12, 12, 2)``, radius, (radius, brightness)."""
    rng = np.random.default_rng(seed)
    radius, brightness = rng.uniform(1.2, 3.2, n), rng.uniform(0.5, 2, n)
    r2 = np.sum((np.indices((12, 12)) - 5.5) ** 2, axis=0)
    images = brightness[:, None, None] * np.exp(-r2 / (2 * radius[:, None, None] ** 2))
    images = np.stack([images, 2 * images], axis=3) + 0.02 * rng.normal(size=(n, 12, 12, 2))
    return images.astype(np.float32), radius, np.column_stack([radius, brightness])


@pytest.fixture
def draw_blobs():
    """Function that draws n galaxies from a seed."""
    return _blobs


@pytest.fixture
def blobs():
    return _blobs(120)


@pytest.fixture
def small():
    """Make a small, quick regressor; keyword arguments override."""

    def make(**parameters):
        network = SpinCNN(
            filters=(8, 16),
            kernel_sizes=(3, 3),
            conv_dropout=(0.0, 0.1),
            pool_after=(1,),
            dense_units=(32, 16),
        )
        defaults = {
            "network": network,
            "max_epochs": 4,
            "lr": 3e-3,
            "random_state": 0,
            "augmentation": "rotation",
        }
        return CNNRegressor(**{**defaults, **parameters})

    return make
