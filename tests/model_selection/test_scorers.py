import copy
import pickle

import numpy as np
import pytest
import sklearn
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, HalvingGridSearchCV, KFold, cross_val_score, cross_validate
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.utils._param_validation import InvalidParameterError
from sklearn.utils.validation import NotFittedError

from galestim.calibration import coverage_error, crps, energy_score, log_score
from galestim.model_selection import PosteriorPipeline, PosteriorScorer, make_pipeline, posterior_scorers
from galestim.posteriors import DrawsPosterior, MixturePosterior

METRICS = ["log_score", "neg_crps", "neg_energy_score", "neg_coverage_error"]


class BayesianLinear(RegressorMixin, BaseEstimator):
    """Linear regression of several targets with a Gaussian prior on the coefficients; rows of NaN stay NaN."""

    def __init__(self, alpha=1.0, width=1.0, transforms=None):
        self.alpha = alpha
        self.width = width
        self.transforms = transforms

    def fit(self, X, y, sample_weight=None):
        X, y = np.asarray(X), np.asarray(y).reshape(len(X), -1)
        weight = np.ones(len(X)) if sample_weight is None else np.asarray(sample_weight)
        design = self._design(X)
        precision = (design.T * weight) @ design + self.alpha * np.eye(design.shape[1])
        self.coef_ = np.linalg.solve(precision, (design.T * weight) @ y)
        self.coef_cov_ = np.linalg.inv(precision)
        residual = y - design @ self.coef_
        self.noise_tril_ = np.linalg.cholesky((residual.T * weight) @ residual / weight.sum())
        return self

    def predict(self, X):
        return self._design(np.asarray(X)) @ self.coef_

    def predict_posterior(self, X):
        design = self._design(np.asarray(X))
        std = self.width * np.sqrt(1 + np.einsum("ni,ij,nj->n", design, self.coef_cov_, design))
        means, trils = (design @ self.coef_)[:, None], (std[:, None, None] * self.noise_tril_)[:, None]
        return MixturePosterior(means, trils, transforms=self.transforms)

    @staticmethod
    def _design(X):
        return np.column_stack([X, np.ones(len(X))])


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(240, 3))
    noise = rng.normal(size=(240, 2)) @ [[0.5, 0.4], [0.0, 0.3]]
    return X, X @ [[1.0, -1.0], [0.5, 0.0], [0.0, 2.0]] + noise


def by_hand(metric, posterior, y, n_samples=1000):
    return {
        "log_score": lambda: log_score(posterior, y).mean(),
        "neg_crps": lambda: -crps(posterior, y, n_samples=n_samples).mean(),
        "neg_energy_score": lambda: -energy_score(posterior, y, n_samples=n_samples).mean(),
        "neg_coverage_error": lambda: -coverage_error(posterior, y),
    }[metric]()


# --- what they say ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", METRICS)
def test_scores_are_those_of_calibration(data, metric):
    X, y = data
    model = BayesianLinear().fit(X, y)
    score = posterior_scorers()[metric](model, X, y)
    assert isinstance(score, float)
    assert score == pytest.approx(by_hand(metric, model.predict_posterior(X), y))


@pytest.mark.parametrize("metric", METRICS)
def test_honest_posteriors_score_best(metric):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(4000, 2))
    y = X @ [[1.0, 0.0], [0.0, 1.0]] + rng.normal(size=(4000, 2))
    scorer = PosteriorScorer(metric, n_samples=50)
    honest, bold, shy = (scorer(BayesianLinear(width=width).fit(X, y), X, y) for width in (1.0, 0.7, 1.4))
    assert honest > max(bold, shy)
    assert honest > scorer(BayesianLinear(alpha=3000.0, width=0.8).fit(X, y), X, y)


def test_a_single_target_in_one_dimension(data):
    X, y = data
    model = BayesianLinear().fit(X, y[:, 0])
    for scorer in posterior_scorers().values():
        assert scorer(model, X, y[:, 0]) == scorer(model, X, y[:, :1])


@pytest.mark.parametrize("metric", METRICS)
def test_weights_count_as_repetitions(data, metric):
    X, y = data
    weight = np.arange(len(y)) % 3
    rows = np.repeat(np.arange(len(y)), weight)
    model, scorer = BayesianLinear().fit(X, y), PosteriorScorer(metric, n_samples=5000)
    weighted = scorer(model, X, y, sample_weight=weight)
    assert weighted == pytest.approx(scorer(model, X[rows], y[rows]), abs=2e-3)
    assert abs(weighted - scorer(model, X, y)) > 2e-3


@pytest.mark.parametrize("metric", METRICS)
def test_missing_cutouts_are_left_out(data, metric):
    X, y = data
    model, scorer = BayesianLinear().fit(X, y), PosteriorScorer(metric)
    weight = np.linspace(0, 1, len(y))
    missing = np.arange(len(y)) % 4 == 1
    holey = np.where(missing[:, None], np.nan, X)
    expected = scorer(model, X[~missing], y[~missing], weight[~missing])
    assert scorer(model, holey, y, weight) == expected
    with pytest.raises(ValueError, match=r"^All 60 posteriors are NaN \(missing cutouts\)"):
        scorer(model, holey[missing], y[missing])


@pytest.mark.parametrize("metric", ["neg_crps", "neg_energy_score"])
def test_scale_undoes_a_change_of_units(data, metric):
    X, y = data
    units = np.array([1.0, 1e4])
    model, blown_up = (BayesianLinear().fit(X, y * unit) for unit in (1.0, units))
    expected = PosteriorScorer(metric)(model, X, y)
    assert PosteriorScorer(metric, scale=units)(blown_up, X, y * units) == pytest.approx(expected)
    with pytest.raises(ValueError, match="expected a positive number for each of 2 targets"):
        PosteriorScorer(metric, scale=[1.0, -1.0])(model, X, y)


class DrawingLinear(BayesianLinear):
    """Gives draws only, weighted or as a plain array."""

    def predict_posterior(self, X):
        draws = super().predict_posterior(X).sample(500, random_state=0)
        return draws if self.width == 1.0 else DrawsPosterior(draws)


@pytest.mark.parametrize("width", [1.0, 1.0001])
def test_draws_are_scored_too(data, width):
    X, y = data
    model = DrawingLinear(width=width).fit(X, y)
    for metric in METRICS[1:]:
        expected = PosteriorScorer(metric)(BayesianLinear().fit(X, y), X, y)
        assert PosteriorScorer(metric)(model, X, y) == pytest.approx(expected, abs=0.02)
    with pytest.raises(TypeError):
        PosteriorScorer("log_score")(model, X, y)


# --- where they go ------------------------------------------------------------------------------------------


def halving(estimator, grid, **options):
    return HalvingGridSearchCV(estimator, grid, random_state=0, **options)


@pytest.mark.parametrize("search", [GridSearchCV, halving])
@pytest.mark.parametrize("pipeline", [Pipeline, PosteriorPipeline])
def test_pipelines_and_searches_are_seen_through(data, pipeline, search):
    X, y = data
    Z = np.tanh(StandardScaler().fit_transform(X))
    bare = BayesianLinear(alpha=0.1).fit(Z, y)
    steps = [("scale", StandardScaler()), ("squash", FunctionTransformer(np.tanh))]
    grid = {"alpha": [0.1, 1e5]}
    scoring = PosteriorScorer("log_score")
    models = [
        pipeline([*steps, ("model", BayesianLinear(alpha=0.1))]),
        pipeline([*steps, ("model", pipeline([("inner", BayesianLinear(alpha=0.1))]))]),
        pipeline([*steps, ("model", search(BayesianLinear(), grid, scoring=scoring))]),
        search(pipeline([*steps, ("m", BayesianLinear())]), {"m__alpha": grid["alpha"]}, scoring=scoring),
    ]
    for model in models:
        model.fit(X, y)
        for metric, scorer in posterior_scorers().items():
            assert scorer(model, X, y) == pytest.approx(by_hand(metric, bare.predict_posterior(Z), y))


@pytest.mark.parametrize("routing", [False, True])
def test_cross_validation(data, routing):
    X, y = data
    model, folds = make_pipeline(StandardScaler(), BayesianLinear()), KFold(3)
    with sklearn.config_context(enable_metadata_routing=routing):
        one, two = (
            cross_validate(model, X, y, cv=folds, scoring=posterior_scorers(), n_jobs=n, error_score="raise")
            for n in (1, 2)
        )
        single = cross_val_score(model, X, y, cv=folds, scoring=PosteriorScorer("neg_crps"), error_score="raise")
    np.testing.assert_array_equal(single, one["test_neg_crps"])
    for metric in METRICS:
        np.testing.assert_array_equal(one[f"test_{metric}"], two[f"test_{metric}"])
        for (train, test), score in zip(folds.split(X), one[f"test_{metric}"]):
            posterior = clone(model).fit(X[train], y[train]).predict_posterior(X[test])
            assert score == pytest.approx(by_hand(metric, posterior, y[test]))


@pytest.mark.parametrize("routing", [False, True])
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_search_is_decided_by_the_score_it_names(data, routing, n_jobs):
    X, y = data
    grid = {"bayesianlinear__width": [0.5, 1.0, 2.0]}
    with sklearn.config_context(enable_metadata_routing=routing):
        search = GridSearchCV(
            make_pipeline(StandardScaler(), BayesianLinear()),
            grid,
            scoring=posterior_scorers(n_samples=200),
            refit="log_score",
            n_jobs=n_jobs,
            error_score="raise",
        ).fit(X, y)
        assert search.best_params_ == {"bayesianlinear__width": 1.0}
        for metric in METRICS:
            assert np.argmax(search.cv_results_[f"mean_test_{metric}"]) == 1
        # A search scores by the metric that decided it.
        assert search.score(X, y) == PosteriorScorer("log_score")(search, X, y)


def test_searches_pass_weights_on(data):
    X, y = data
    weight = np.where(np.arange(len(y)) % 2, 1.0, 1e-9)
    search = GridSearchCV(BayesianLinear(), {"alpha": [1.0]}, scoring=posterior_scorers(), refit="neg_crps")
    half = clone(search)
    search.set_params(cv=[(np.arange(120), np.arange(120, 240))]).fit(X, y, sample_weight=weight)
    half.set_params(cv=[(np.arange(60), np.arange(60, 120))]).fit(X[1::2], y[1::2])
    for metric in ("log_score", "neg_crps", "neg_coverage_error"):
        ours, expected = (s.cv_results_[f"mean_test_{metric}"] for s in (search, half))
        np.testing.assert_allclose(ours, expected, rtol=0.02)


def test_weights_are_routed_on_request(data):
    X, y = data
    weight = np.linspace(0, 2, len(y))
    folds = KFold(3)
    with sklearn.config_context(enable_metadata_routing=True):
        model = BayesianLinear().set_fit_request(sample_weight=True)
        unasked = {"scoring": posterior_scorers(), "params": {"sample_weight": weight}, "error_score": "raise"}
        assert PosteriorScorer("neg_crps").get_metadata_routing().score.requests == {"sample_weight": None}
        with pytest.raises(UnsetMetadataPassedError, match="sample_weight"):
            cross_validate(model, X, y, cv=folds, **unasked)
        asked = {name: scorer.set_score_request(sample_weight=True) for name, scorer in posterior_scorers().items()}
        scores = cross_validate(model, X, y, cv=folds, **{**unasked, "scoring": clone(asked, safe=False)})
    for (train, test), score in zip(folds.split(X), scores["test_neg_crps"]):
        fold = BayesianLinear().fit(X[train], y[train], sample_weight=weight[train])
        assert score == PosteriorScorer("neg_crps")(fold, X[test], y[test], weight[test])


# --- manners ------------------------------------------------------------------------------------------------


def test_scorers_clone_pickle_and_repr():
    scorers = posterior_scorers(n_samples=100, random_state=1)
    assert list(scorers) == METRICS
    for scorer in scorers.values():
        for other in (clone(scorer), pickle.loads(pickle.dumps(scorer)), copy.deepcopy(scorer)):
            assert other.get_params() == scorer.get_params()
            assert repr(other) == f"PosteriorScorer(metric={scorer.metric!r}, n_samples=100, random_state=1)"
    search = clone(GridSearchCV(BayesianLinear(), {}, scoring=scorers, refit="neg_crps"))
    assert repr(search.scoring) == repr(scorers)


def test_same_seed_same_score(data):
    X, y = data
    model = BayesianLinear(transforms="asinh").fit(X, y)
    for metric in ("neg_crps", "neg_energy_score"):
        first, second, other = (PosteriorScorer(metric, random_state=seed)(model, X, y) for seed in (0, 0, 1))
        assert first == second != other


def test_estimators_without_a_posterior(data):
    X, y = data
    sentence = r"^PosteriorScorer\(metric='neg_crps'\) needs an estimator with predict_posterior; got {}\. Use a "
    scorer = PosteriorScorer("neg_crps")
    for model in (Ridge(), make_pipeline(StandardScaler(), Ridge()), GridSearchCV(Ridge(), {"alpha": [1.0]})):
        with pytest.raises(TypeError, match=sentence.format(r"Ridge\(.*\)")):
            scorer(model.fit(X, y), X, y)
    unfinished = GridSearchCV(BayesianLinear(), {"alpha": [1.0]}, scoring=scorer, refit=False).fit(X, y)
    with pytest.raises(TypeError, match=r"GridSearchCV\((.|\n)* in a search that was refitted \(refit=True\)\.$"):
        scorer(unfinished, X, y)
    with pytest.raises(NotFittedError, match="This GridSearchCV instance is not fitted yet"):
        scorer(clone(unfinished), X, y)


def test_bad_parameters_and_truths(data):
    X, y = data
    model = BayesianLinear().fit(X, y)
    with pytest.raises(InvalidParameterError, match="The 'metric' parameter of PosteriorScorer must be a str among"):
        PosteriorScorer("crps")(model, X, y)
    with pytest.raises(InvalidParameterError, match="The 'n_samples' parameter of PosteriorScorer must be an int"):
        PosteriorScorer("neg_crps", n_samples=1)(model, X, y)
    with pytest.raises(ValueError, match=r"^y has shape \(240, 1\); expected \(240, 2\)"):
        PosteriorScorer("log_score")(model, X, y[:, 0])
    with pytest.raises(ValueError, match="Input y contains NaN"):
        PosteriorScorer("log_score")(model, X, np.full_like(y, np.nan))
