"""scikit-learn's whole battery on the regressors: flat rows, lifted to images, and in every precision."""

import numpy as np
import pytest
import sklearn.utils.estimator_checks as checks
from sklearn.utils.estimator_checks import check_estimator

from galestim import CNNRegressor, PosteriorRegressor, STNPosteriorRegressor


def lift(X):
    return X[:, None, :, None] if isinstance(X, np.ndarray) and X.ndim == 2 else X


class Lifted:
    """Turns every row into an image ``(1, p, 1)``, so that the battery drives the 4-D path."""

    def fit(self, X, y, sample_weight=None):
        return super().fit(lift(X), y, sample_weight)

    def predict(self, X):
        return super().predict(lift(X))


class LiftedCNNRegressor(Lifted, CNNRegressor):
    pass


class LiftedPosteriorRegressor(Lifted, PosteriorRegressor):
    pass


class LiftedSTNPosteriorRegressor(Lifted, STNPosteriorRegressor):
    pass


PLAIN = [CNNRegressor, PosteriorRegressor, STNPosteriorRegressor]
KINDS = [*PLAIN, LiftedCNNRegressor, LiftedPosteriorRegressor, LiftedSTNPosteriorRegressor]


def not_passed(kind, **parameters):
    """Names of the checks that failed or were skipped, in three epochs; the score is asked of the default below."""
    results = check_estimator(kind(max_epochs=3, **parameters), on_fail=None, on_skip=None)
    assert len(results) >= 60
    failed = {
        f"{result['check_name']}: {result['exception']!r}" for result in results if result["status"] != "passed"
    }
    asked = {"check_regressors_train: AssertionError()"} if issubclass(kind, CNNRegressor) else set()
    return failed - asked


@pytest.mark.parametrize("kind", KINDS)
def test_float64_passes_every_check(kind):
    assert not_passed(kind, precision="float64") == set()


@pytest.mark.parametrize("kind", PLAIN)
def test_float32_differs_in_rounding_only(kind):
    # rounding in matrix products depends on the shape of the batch; float64 above has shown the images' way
    assert {name.split(":")[0] for name in not_passed(kind)} <= {"check_methods_subset_invariance"}


@pytest.mark.parametrize(
    ("kind", "precision"),
    [(CNNRegressor, "float64"), (CNNRegressor, "float32"), (LiftedCNNRegressor, "float64")],
)
def test_the_default_has_a_good_score(kind, precision):
    checks.check_regressors_train(kind.__name__, kind(precision=precision))


@pytest.mark.parametrize(
    "check",
    ["check_dataframe_column_names_consistency", "check_param_validation", "check_inplace_ensure_writeable"],
)
@pytest.mark.parametrize("kind", PLAIN)
def test_checks_that_the_battery_never_yields(check, kind):
    estimator = kind(max_epochs=2)
    yielded = {getattr(one, "func", one).__name__ for _, one in checks.estimator_checks_generator(estimator)}
    assert check not in yielded, "the battery has it now: it need not be run here"
    getattr(checks, check)(kind.__name__, estimator)
