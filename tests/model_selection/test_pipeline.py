import pickle

import numpy as np
import pytest
import sklearn
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.utils.validation import NotFittedError

from galestim.model_selection import ContinuousStratifiedKFold, PosteriorPipeline, make_pipeline


class LinearPosterior(RegressorMixin, BaseEstimator):
    """Ridge with a Gaussian posterior of constant width."""

    def __init__(self, alpha=1.0):
        self.alpha = alpha

    def fit(self, X, y, sample_weight=None):
        self.ridge_ = Ridge(alpha=self.alpha).fit(X, y, sample_weight=sample_weight)
        self.sigma_ = np.std(y - self.ridge_.predict(X))
        return self

    def predict(self, X, return_std=False):
        mean = self.ridge_.predict(X)
        return (mean, np.full(len(mean), self.sigma_)) if return_std else mean

    def predict_posterior(self, X, *, scale=1.0):
        return self.ridge_.predict(X), scale * self.sigma_

    def sample_y(self, X, n_samples=1, random_state=0):
        rng = np.random.default_rng(random_state)
        return self.ridge_.predict(X)[:, None] + self.sigma_ * rng.standard_normal((len(X), n_samples))

    def log_prob(self, X, y):
        z = (y - self.ridge_.predict(X)) / self.sigma_
        return -0.5 * z**2 - np.log(self.sigma_ * np.sqrt(2 * np.pi))


def test_posterior_passes_through_the_steps(data):
    X, y = data
    pipeline = make_pipeline(StandardScaler(), "passthrough", FunctionTransformer(np.tanh), LinearPosterior())
    pipeline.fit(X, y)
    Z = np.tanh((X - X.mean(axis=0)) / X.std(axis=0))
    alone = LinearPosterior().fit(Z, y)
    mean, sigma = pipeline.predict_posterior(X, scale=2.0)
    np.testing.assert_allclose(mean, alone.predict(Z))
    assert sigma == pytest.approx(2 * alone.sigma_)
    np.testing.assert_allclose(pipeline.sample_y(X, 3, random_state=1), alone.sample_y(Z, 3, random_state=1))
    np.testing.assert_allclose(pipeline.log_prob(X, y), alone.log_prob(Z, y))
    np.testing.assert_allclose(pipeline.predict(X, return_std=True)[1], alone.predict(Z, return_std=True)[1])


def test_a_single_step_is_enough(data):
    X, y = data
    mean, _ = make_pipeline(LinearPosterior()).fit(X, y).predict_posterior(X)
    np.testing.assert_array_equal(mean, LinearPosterior().fit(X, y).predict(X))


@pytest.mark.parametrize("method", ["predict_posterior", "sample_y", "log_prob"])
def test_methods_are_absent_when_the_last_step_lacks_them(method):
    assert hasattr(make_pipeline(StandardScaler(), LinearPosterior()), method)
    pipeline = make_pipeline(StandardScaler(), Ridge())
    assert not hasattr(pipeline, method)
    with pytest.raises(AttributeError, match=f"This 'PosteriorPipeline' has no attribute '{method}'"):
        getattr(pipeline, method)
    assert not hasattr(make_pipeline(StandardScaler(), "passthrough"), method)


@pytest.mark.parametrize("call", ["predict_posterior", "sample_y", "log_prob"])
def test_unfitted_pipelines_say_so(data, call):
    X, y = data
    arguments = (X, y) if call == "log_prob" else (X,)
    with pytest.raises(NotFittedError, match="This PosteriorPipeline instance is not fitted yet"):
        getattr(make_pipeline(StandardScaler(), LinearPosterior()), call)(*arguments)


def test_steps_are_named_as_scikit_learn_names_them():
    steps = StandardScaler(), StandardScaler(), LinearPosterior()
    ours, theirs = make_pipeline(*steps, verbose=True), sklearn.pipeline.make_pipeline(*steps, verbose=True)
    assert [name for name, _ in ours.steps] == ["standardscaler-1", "standardscaler-2", "linearposterior"]
    assert ours.get_params().keys() == theirs.get_params().keys()
    assert ours.verbose is True


def test_slices_clones_and_reprs_keep_the_class(data):
    X, y = data
    pipeline = make_pipeline(StandardScaler(), FunctionTransformer(), LinearPosterior(alpha=3.0), memory=None)
    assert isinstance(pipeline[1:], PosteriorPipeline)
    assert isinstance(clone(pipeline), PosteriorPipeline)
    assert clone(pipeline).get_params()["linearposterior__alpha"] == 3.0
    assert repr(pipeline).startswith("PosteriorPipeline(steps=[")
    assert "PosteriorPipeline" in pipeline._repr_html_()
    pipeline.fit(X, y)
    np.testing.assert_array_equal(
        pipeline[1:].predict_posterior(pipeline[:1].transform(X))[0], pipeline.predict_posterior(X)[0]
    )
    loaded = pickle.loads(pickle.dumps(pipeline))
    np.testing.assert_array_equal(loaded.predict_posterior(X)[0], pipeline.predict_posterior(X)[0])


def test_fit_parameters_reach_their_step(data):
    X, y = data
    weight = np.linspace(0, 1, len(y))
    pipeline = make_pipeline(StandardScaler(), LinearPosterior()).fit(X, y, linearposterior__sample_weight=weight)
    expected = LinearPosterior().fit(StandardScaler().fit_transform(X), y, sample_weight=weight)
    np.testing.assert_allclose(pipeline.predict(X), expected.predict(StandardScaler().fit_transform(X)))


def test_metadata_routing(data):
    X, y = data
    weight = np.linspace(0, 1, len(y))
    by_name = make_pipeline(StandardScaler(), LinearPosterior()).fit(X, y, linearposterior__sample_weight=weight)
    with sklearn.config_context(enable_metadata_routing=True):
        last = LinearPosterior().set_fit_request(sample_weight=True)
        scaler = StandardScaler().set_fit_request(sample_weight=False)
        routed = make_pipeline(scaler, last).fit(X, y, sample_weight=weight)
        mean, sigma = routed.predict_posterior(X, scale=3.0)
    np.testing.assert_array_equal(mean, by_name.predict(X))
    assert sigma == 3 * by_name[-1].sigma_


def test_posteriors_of_a_tuned_pipeline(data):
    X, y = data
    pipeline = make_pipeline(StandardScaler(), LinearPosterior())
    search = GridSearchCV(pipeline, {"linearposterior__alpha": [0.1, 1000.0]}, cv=ContinuousStratifiedKFold(3))
    best = search.fit(X, y).best_estimator_
    assert search.best_params_ == {"linearposterior__alpha": 0.1}
    np.testing.assert_array_equal(best.predict_posterior(X)[0], search.predict(X))
