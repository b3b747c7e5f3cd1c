"""Every network trains and predicts in every precision, behind every transformer."""

import warnings
from itertools import product

import numpy as np
import pytest

from galestim import VGG16, CNNRegressor, CompactCNN, HarmonicNet, PosteriorRegressor, SpinCNN
from galestim.networks import SpatialTransformer

PRECISIONS = ["float32", "float64", "bfloat16"]
NETWORKS = {
    "harmonic": HarmonicNet(hidden=8, blocks=1),
    "compact": CompactCNN(widths=(2, 4), readout="radial"),
    "spin": SpinCNN(
        filters=(4, 8), kernel_sizes=(3, 3), conv_dropout=(0, 0.1), pool_after=(1,), dense_units=(8,), dense_dropout=0
    ),
    "vgg": VGG16(units=8),
}
TRANSFORMERS = {
    "none": None,
    "crop": "crop",
    "gampen": SpatialTransformer("affine", localization="gampen", max_zoom=None),
}


@pytest.fixture(scope="module")
def galaxies():
    rng = np.random.default_rng(0)
    radius = rng.uniform(1, 3, 24)
    r2 = np.sum((np.indices((12, 12)) - 5.5) ** 2, axis=0)
    return np.exp(-r2 / radius[:, None, None] ** 2) + 0.01 * rng.normal(size=(24, 12, 12)), radius


SMALL = list(NETWORKS)[:3]
CASES = [*product(SMALL, TRANSFORMERS, PRECISIONS), *(("vgg", "none", precision) for precision in PRECISIONS)]


@pytest.mark.parametrize(("network", "transformer", "precision"), CASES)
def test_posteriors(galaxies, network, transformer, precision):
    images, radius = (part[:8] if network == "vgg" else part for part in galaxies)
    model = PosteriorRegressor(
        NETWORKS[network],
        spatial_transformer=TRANSFORMERS[transformer],
        precision=precision,
        n_passes=2,
        max_epochs=1,
        random_state=0,
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "the crop has collapsed")
        posterior = model.fit(images, radius, y_err=np.full(len(radius), 0.1)).predict_posterior(images[:3])
    assert np.isfinite(posterior.mean()).all()
    assert (posterior.std() > 0).all()
    if TRANSFORMERS[transformer] is not None:
        assert np.isfinite(model.transform_images(images[:3])).all()


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("network", SMALL)
def test_point_estimates(galaxies, network, precision):
    model = CNNRegressor(NETWORKS[network], precision=precision, max_epochs=1, random_state=0)
    assert np.isfinite(model.fit(*galaxies).predict(galaxies[0])).all()


@pytest.mark.parametrize("network", ["harmonic", "compact"])
def test_bfloat16_is_close_to_float32(galaxies, network):
    predicted = [
        PosteriorRegressor(
            NETWORKS[network], spatial_transformer="crop", precision=precision, random_state=0, max_epochs=8
        )
        .fit(*galaxies)
        .predict(galaxies[0])
        for precision in ("float32", "bfloat16")
    ]
    assert np.abs(predicted[0] - predicted[1]).max() < 0.15 * np.std(galaxies[1])
