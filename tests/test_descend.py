import re

import numpy as np
import pytest
from sklearn.linear_model import BayesianRidge, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from galestim._descend import descend, find

X, Y = np.arange(24.0).reshape(12, 2), np.linspace(-1, 1, 12)


@pytest.mark.parametrize(
    ("wrap", "scaled"),
    [
        (lambda model: model, False),
        (lambda model: make_pipeline(model), False),
        (lambda model: make_pipeline(StandardScaler(), "passthrough", model), True),
        (
            lambda model: GridSearchCV(make_pipeline(StandardScaler(), model), {"memory": [None]}, cv=2),
            True,
        ),
        (lambda model: make_pipeline(StandardScaler(), GridSearchCV(model, {"tol": [1e-3]}, cv=2)), True),
    ],
    ids=["bare", "alone in a pipeline", "pipeline", "search over a pipeline", "search in a pipeline"],
)
def test_the_estimator_gets_what_it_would_get_in_predict(wrap, scaled):
    model = wrap(BayesianRidge()).fit(X, Y)
    inner, reached = descend(model, X, "predict")
    assert type(inner) is BayesianRidge
    np.testing.assert_allclose(reached, StandardScaler().fit_transform(X) if scaled else X)
    np.testing.assert_allclose(inner.predict(reached), model.predict(X))


@pytest.mark.parametrize(
    ("estimator", "name"),
    [
        (make_pipeline(StandardScaler(), Ridge()).fit(X, Y), "Ridge"),
        (GridSearchCV(Ridge(), {"alpha": [1]}, cv=2, refit=False).fit(X, Y), "GridSearchCV"),
    ],
)
def test_an_estimator_without_the_method_is_an_error(estimator, name):
    sentence = (
        f"{name} has no predict_posterior; expected an estimator that has, such as STNPosteriorRegressor, or a "
        "pipeline or search (with refit) that ends in one."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        descend(estimator, X, "predict_posterior")


class Recalibrated:
    """An estimator around a fitted one."""

    def __init__(self, estimator):
        self.estimator_ = estimator


class Trained(Ridge):
    history_ = [1]


@pytest.mark.parametrize(
    "wrap", [lambda model: model, make_pipeline, Recalibrated, lambda model: Recalibrated(make_pipeline(model))]
)
def test_an_attribute_is_found_from_the_outside_in(wrap):
    model = Trained()
    assert find(wrap(model), "history_") == ([1], model)
    value, last = find(wrap(Ridge()), "history_")
    assert value is None
    assert type(last) is Ridge
