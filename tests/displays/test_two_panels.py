import re

import numpy as np
import pytest
from matplotlib import pyplot as plt
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from galestim.displays import CoverageDisplay, PITDisplay, TrainingHistoryDisplay

from ._calibration import Posteriors, galaxies


@pytest.mark.parametrize(
    ("make", "panels"),
    [
        (lambda: CoverageDisplay.from_posterior(*galaxies(20)), "the coverage and the difference"),
        (lambda: PITDisplay.from_posterior(*galaxies(20)), "the histogram and the difference"),
        (
            lambda: TrainingHistoryDisplay.from_history([{"epoch": 1, "train_loss": 1.0, "lr": 0.1}]),
            "the loss and the learning rate",
        ),
    ],
    ids=["coverage", "PIT", "history"],
)
def test_it_draws_on_given_axes_and_returns_itself(make, panels):
    display = make()
    _, axes = plt.subplots(1, 2)
    assert display.plot(axes, line_kwargs={"lw": 4}) is display
    assert list(display.axes_) == list(axes)
    assert all(4 in [line.get_linewidth() for line in ax.lines] for ax in axes)
    with pytest.raises(ValueError, match=f"^{re.escape(f'axes holds 1 Axes; expected 2, for {panels}.')}$"):
        display.plot(axes[0])


@pytest.mark.parametrize("kind", [CoverageDisplay, PITDisplay])
def test_from_estimator_predicts_through_a_pipeline(kind):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 2))
    y = X @ [1, 2] + rng.normal(size=300)
    model = make_pipeline(StandardScaler(), Posteriors()).fit(X[:150], y[:150])
    display = kind.from_estimator(model, X[150:], y[150:])
    expected = kind.from_posterior(model[-1].predict_posterior(model[0].transform(X[150:])), y[150:])
    np.testing.assert_array_equal(display.lines_[0].get_xydata(), expected.lines_[0].get_xydata())
