"""Errors in history_, in the units of the targets."""

import numpy as np
import pandas as pd
import pytest

from galestim import CNNRegressor, CompactCNN, HarmonicNet, PosteriorRegressor

RNG = np.random.default_rng(0)
RADIUS = RNG.uniform(1, 3, 80)
IMAGES = np.exp(-np.sum((np.indices((12, 12)) - 5.5) ** 2, axis=0) / RADIUS[:, None, None] ** 2)
TABLE = pd.DataFrame({"radius": 100 * RADIUS, "flux": 1e-3 * RADIUS**2})


def test_they_are_those_of_the_loss_in_other_units():
    model = CNNRegressor(CompactCNN(widths=(2,)), max_epochs=3, validation_fraction=0.5, random_state=0)
    for row in model.fit(IMAGES, TABLE).history_:
        errors = np.array([row["valid_rmse_radius"], row["valid_rmse_flux"]]) / model.target_scale_
        assert np.mean(errors**2) == pytest.approx(row["valid_loss"], rel=1e-5)


def test_those_of_posteriors_are_taken_back_by_the_transforms():
    model = PosteriorRegressor(
        HarmonicNet(hidden=16, blocks=1), target_transforms="log", n_estimators=2, max_epochs=15, random_state=0
    )
    model.fit(IMAGES, TABLE)
    own = np.sqrt(np.mean((model.predict(IMAGES) - TABLE.to_numpy()) ** 2, axis=0))
    for member in (0, 1):
        row = [row for row in model.history_ if row["member"] == member][-1]
        assert own[0] / 4 < row["valid_rmse_radius"] < 4 * own[0]
        assert own[1] / 4 < row["valid_rmse_flux"] < 4 * own[1]


def test_there_are_none_without_a_validation_set():
    model = CNNRegressor(CompactCNN(widths=(2,)), max_epochs=1, validation_fraction=0.0, random_state=0)
    assert not [name for name in model.fit(IMAGES, RADIUS).history_[0] if name.startswith("valid")]
