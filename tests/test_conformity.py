"""scikit-learn's whole battery on the regressor: flat rows, lifted to images, and in every precision."""

import numpy as np
import pytest
import sklearn.utils.estimator_checks as checks
import torch
from sklearn.utils.estimator_checks import check_estimator, parametrize_with_checks

from galestim import CNNRegressor, CompactCNN, SpinCNN

ROUNDING = {
    "check_methods_subset_invariance": "float32: rounding in matrix products depends on the batch's shape",
}
SMALL = SpinCNN(filters=(8, 8), kernel_sizes=(3, 2), conv_dropout=(0.25, 0.1), pool_after=(1,), dense_units=(16, 8))


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Tiny networks run faster on one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def lift(X):
    return X[:, None, :, None] if isinstance(X, np.ndarray) and X.ndim == 2 else X


class LiftedCNNRegressor(CNNRegressor):
    """Turns every row into an image ``(1, p, 1)``, so that the battery drives the 4-D path."""

    def fit(self, X, y, sample_weight=None):
        return super().fit(lift(X), y, sample_weight)

    def predict(self, X):
        return super().predict(lift(X))


@parametrize_with_checks(
    [
        CNNRegressor(precision="float64"),
        LiftedCNNRegressor(precision="float64"),
        CNNRegressor(CompactCNN(widths=(2, 4), hidden=8), precision="float64"),
    ]
)
def test_battery_in_float64(estimator, check):
    check(estimator)


@pytest.mark.parametrize("lifted", [False, True])
def test_battery_skips_nothing(lifted):
    estimator = (LiftedCNNRegressor if lifted else CNNRegressor)(SMALL, precision="float64")
    results = check_estimator(estimator, on_skip=None)
    assert len(results) >= 60
    assert {result["status"] for result in results} == {"passed"}


@parametrize_with_checks(
    [CNNRegressor(), LiftedCNNRegressor()],
    expected_failed_checks=lambda estimator: ROUNDING,
    xfail_strict=False,
)
def test_battery_in_float32(estimator, check):
    check(estimator)


@pytest.mark.parametrize(
    "check",
    ["check_dataframe_column_names_consistency", "check_param_validation", "check_inplace_ensure_writeable"],
)
def test_checks_that_the_battery_never_yields(check):
    getattr(checks, check)("CNNRegressor", CNNRegressor(SMALL, max_epochs=2))
