"""SHAP values of images, by the partition explainer of shap, which needs nothing of this package."""

import warnings

import numpy as np
import pytest

from galestim import CNNRegressor, CompactCNN


@pytest.fixture(scope="module")
def shap():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("shap", reason="shap is not installed; with numba it takes 210 MB")


def test_values_of_pixels_add_up_to_the_prediction(shap):
    rng = np.random.default_rng(0)
    size = rng.uniform(1, 3, 40)
    images = np.exp(-np.hypot(*np.mgrid[-3.5:4, -3.5:4]) / size[:, None, None])[..., None]
    model = CNNRegressor(CompactCNN(widths=(2,)), max_epochs=2, random_state=0).fit(images, size)
    explainer = shap.Explainer(model.predict, shap.maskers.Image(np.zeros((8, 8, 1)), (8, 8, 1)))
    values = explainer(images[:2], max_evals=150, batch_size=50, silent=True)
    assert values.values.shape == (2, 8, 8, 1)
    total = values.base_values + values.values.sum(axis=(1, 2, 3))
    np.testing.assert_allclose(total, model.predict(images[:2]), atol=1e-6)
    assert np.ptp(values.values[0]) > 0
