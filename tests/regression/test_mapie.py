"""MAPIE around the regressors of this package, which needs nothing of it."""

import numpy as np
import pytest

from galestim import CNNRegressor, CompactCNN

mapie = pytest.importorskip("mapie.regression")
RADIUS = np.hypot(*np.mgrid[-3.5:4, -3.5:4])


@pytest.fixture(scope="module")
def disks():
    """90 disks of 8 px, of a channel each, and their sizes."""
    rng = np.random.default_rng(0)
    size = rng.uniform(1, 3, 90)
    images = np.exp(-RADIUS / size[:, None, None]) + rng.normal(0, 0.02, (90, 8, 8))
    return images[..., None].astype(np.float32), size


def cnn(**parameters):
    return CNNRegressor(CompactCNN(widths=(2,)), max_epochs=2, random_state=0, **parameters)


def test_split_conformal_intervals(disks):
    images, size = disks
    model = cnn(image_shape=(8, 8, 1)).fit(images[:30], size[:30])
    conformal = mapie.SplitConformalRegressor(model, confidence_level=0.8, prefit=True)
    predicted, intervals = conformal.conformalize(images[30:59], size[30:59]).predict_interval(images[59:])
    np.testing.assert_allclose(predicted, model.predict(images[59:]))
    residuals = np.sort(np.abs(size[30:59] - model.predict(images[30:59])))
    half_width = residuals[int(np.ceil(30 * 0.8)) - 1]  # Lei et al. 2018, JASA 113, 1094, algorithm 2
    np.testing.assert_allclose(intervals[..., 0] - predicted[:, None], [[-half_width, half_width]] * 31, rtol=1e-6)


def test_cross_conformal_intervals(disks):
    images, size = disks
    conformal = mapie.CrossConformalRegressor(cnn(), confidence_level=0.8, cv=3, random_state=0)
    predicted, intervals = conformal.fit_conformalize(images[:60], size[:60]).predict_interval(images[60:])
    inside = (intervals[:, 0, 0] <= size[60:]) & (size[60:] <= intervals[:, 1, 0])
    assert inside.mean() > 0.6 - 3 * np.sqrt(0.6 * 0.4 / 30)  # at least 1 - 2 (1 - level), Barber et al. 2021
    assert predicted.shape == (30,)
