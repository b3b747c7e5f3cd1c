import itertools

import numpy as np
import pandas as pd
import pytest
from astropy import units as u
from astropy.table import QTable
from scipy.stats import ks_2samp
from sklearn.base import clone
from sklearn.ensemble import RandomForestRegressor
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    KFold,
    cross_val_predict,
    cross_validate,
    train_test_split,
)
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils._param_validation import InvalidParameterError

from galestim.model_selection import (
    ContinuousStratifiedKFold,
    PosteriorPipeline,
    make_pipeline,
    stratified_train_test_split,
)

# --- the folds ----------------------------------------------------------------------------------------------


def skewed_target(n, seed):
    return np.random.default_rng(seed).gamma(0.7, size=n)


def folds_of(splitter, y):
    return [test for _, test in splitter.split(np.zeros((len(y), 1)), y)]


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("n", [5, 52, 53, 54, 200])
def test_every_row_is_tested_once(n, shuffle):
    y = skewed_target(n, 0)
    splits = list(ContinuousStratifiedKFold(5, shuffle=shuffle).split(y, y))
    assert len(splits) == ContinuousStratifiedKFold(5).get_n_splits(y, y) == 5
    np.testing.assert_array_equal(np.sort(np.concatenate([test for _, test in splits])), np.arange(n))
    assert {len(test) for _, test in splits} <= {n // 5, -(-n // 5)}
    for train, test in splits:
        np.testing.assert_array_equal(np.sort(np.concatenate([train, test])), np.arange(n))


@pytest.mark.parametrize("shuffle", [True, False])
def test_each_block_of_neighbors_gives_one_sample_to_each_fold(shuffle):
    y = skewed_target(103, 1)
    rank = np.argsort(np.argsort(y))
    for test in folds_of(ContinuousStratifiedKFold(5, shuffle=shuffle), y):
        blocks = np.sort(rank[test] // 5)
        np.testing.assert_array_equal(blocks[:20], np.arange(20))


def test_folds_agree_better_than_plain_ones():
    def largest_distance(splitter, y):
        pairs = itertools.combinations(folds_of(splitter, y), 2)
        return max(ks_2samp(y[a], y[b]).statistic for a, b in pairs)

    for seed in range(10):
        y = skewed_target(200, seed)
        ours = largest_distance(ContinuousStratifiedKFold(5, random_state=seed), y)
        assert ours <= 1 / 40 + 1e-12  # one sample of the forty in a fold
        assert ours < 0.5 * largest_distance(KFold(5, shuffle=True, random_state=seed), y)


def test_blocks_are_dealt_at_random():
    y = np.arange(1000.0)
    first_fold = folds_of(ContinuousStratifiedKFold(2, random_state=0), y)[0]
    lower = np.isin(y[::2], first_fold).mean()  # how often the smaller of two neighbors is in the first fold
    assert 0.4 < lower < 0.6


def test_same_seed_same_folds():
    y = skewed_target(50, 0)
    folds = [np.concatenate(folds_of(ContinuousStratifiedKFold(random_state=seed), y)) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(folds[0], folds[1])
    assert not np.array_equal(folds[0], folds[2])
    unseeded = [np.concatenate(folds_of(ContinuousStratifiedKFold(shuffle=False), y)) for _ in range(2)]
    np.testing.assert_array_equal(unseeded[0], unseeded[1])


def test_there_and_back_without_shuffling():
    folds = folds_of(ContinuousStratifiedKFold(3, shuffle=False), np.arange(8.0))
    assert [fold.tolist() for fold in folds] == [[0, 5, 6], [1, 4, 7], [2, 3]]


def test_ties_are_dealt_whatever_their_order():
    # Two values only, as in classification, and rows that come sorted by something else.
    y = np.repeat([0.0, 1.0, 0.0, 1.0], 25)
    hidden = np.arange(100)
    for test in folds_of(ContinuousStratifiedKFold(5, random_state=0), y):
        assert y[test].sum() == 10
        assert ks_2samp(hidden[test], hidden).pvalue > 0.01


def test_of_several_targets_the_first_is_balanced():
    y = np.column_stack([skewed_target(60, 0), skewed_target(60, 1)])
    several, first = (folds_of(ContinuousStratifiedKFold(random_state=0), target) for target in (y, y[:, 0]))
    for a, b in zip(several, first, strict=True):
        np.testing.assert_array_equal(a, b)


def test_targets_of_a_data_frame():
    y = pd.DataFrame({"bulge_to_total": skewed_target(20, 0)}, index=np.arange(20)[::-1])
    assert len(folds_of(ContinuousStratifiedKFold(4), y)) == 4


@pytest.mark.parametrize(
    ("y", "sentence"),
    [
        (None, "ContinuousStratifiedKFold balances a continuous target, but y is None; pass y."),
        (np.array([0.0, np.nan, 1.0, 2.0, 3.0]), "Input y contains NaN."),
        (np.array([0.0, np.inf, 1.0, 2.0, 3.0]), "Input y contains NaN or infinity in 1 of 5 rows, first in row 1"),
        (np.array(["spiral"] * 5), "y holds text, such as 'spiral'; expected numbers."),
        (np.arange(4.0), r"Found input variables with inconsistent numbers of samples: \[5, 4\]"),
    ],
)
def test_bad_targets(y, sentence):
    with pytest.raises(ValueError, match=sentence):
        list(ContinuousStratifiedKFold(2).split(np.zeros((5, 1)), y))


def test_fewer_samples_than_folds():
    with pytest.raises(ValueError, match="Cannot have number of splits n_splits=5 greater than the number of"):
        folds_of(ContinuousStratifiedKFold(5), np.arange(4.0))


def test_scikit_learn_manners():
    assert (
        repr(ContinuousStratifiedKFold()) == "ContinuousStratifiedKFold(n_splits=5, random_state=None, shuffle=True)"
    )
    with pytest.raises(ValueError, match="n_splits=2 or more, got n_splits=1"):
        ContinuousStratifiedKFold(1)
    with pytest.raises(ValueError, match="Setting a random_state has no effect since shuffle is False"):
        ContinuousStratifiedKFold(shuffle=False, random_state=0)
    with pytest.warns(UserWarning, match="The groups parameter is ignored by ContinuousStratifiedKFold"):
        list(ContinuousStratifiedKFold(2).split(np.zeros(4), np.arange(4.0), groups=np.arange(4)))


# --- one split ----------------------------------------------------------------------------------------------


def test_the_published_split():
    y = skewed_target(6437, 0)
    row = np.arange(6437)
    train, rest = stratified_train_test_split(row, stratify=y, test_size=0.3, random_state=0)
    valid, test = stratified_train_test_split(rest, stratify=y[rest], test_size=0.5, random_state=0)
    assert (len(train), len(valid), len(test)) == (4505, 966, 966)
    np.testing.assert_array_equal(np.sort(np.concatenate([train, valid, test])), row)
    for part in (train, valid, test):
        assert ks_2samp(y[part], y).statistic < 0.003


@pytest.mark.parametrize("sizes", [{"test_size": 0.1}, {"test_size": 37}, {"train_size": 30, "test_size": 30}])
def test_parts_agree_better_than_plain_ones(sizes):
    for seed in range(10):
        y = skewed_target(200, seed)
        ours = stratified_train_test_split(y, stratify=y, random_state=seed, **sizes)
        plain = train_test_split(y, random_state=seed, **sizes)
        assert [len(part) for part in ours] == [len(part) for part in plain]
        for part, plain_part in zip(ours, plain, strict=True):
            assert ks_2samp(part, y).statistic < max(0.5 * ks_2samp(plain_part, y).statistic, 1.01 / len(part))


def test_every_sample_is_as_likely_to_be_tested():
    y = skewed_target(20, 0)
    counts = np.zeros(20)
    for seed in range(2000):
        counts[stratified_train_test_split(np.arange(20), stratify=y, test_size=6, random_state=seed)[1]] += 1
    # Runs of 3 or 4 samples: each sample is drawn once in three or four splits.
    np.testing.assert_allclose(np.sort(counts / 2000), np.repeat([1 / 4, 1 / 3], [8, 12]), atol=0.05)


def test_arrays_stay_aligned_and_keep_their_type():
    y = skewed_target(40, 0)
    frame = pd.DataFrame({"row": np.arange(40)})
    parts = stratified_train_test_split(frame, y, list(range(40)), stratify=y, random_state=0)
    assert [len(part) for part in parts] == [30, 10, 30, 10, 30, 10]
    for frame_part, y_part, list_part in (parts[::2], parts[1::2]):
        assert isinstance(frame_part, pd.DataFrame)
        assert frame_part["row"].tolist() == list_part
        np.testing.assert_array_equal(y[list_part], y_part)


def test_astropy_tables_are_split_too():
    y = QTable({"lambda_r": skewed_target(40, 0), "radius": np.arange(40) * u.arcsec})
    train, test, rows, _ = stratified_train_test_split(y, np.arange(40), stratify=y, random_state=0)
    assert (type(train), len(train), len(test)) == (QTable, 30, 10)
    np.testing.assert_array_equal(train["radius"].value, rows)
    assert len(folds_of(ContinuousStratifiedKFold(4), y)) == 4


def test_same_seed_same_split_in_random_order():
    y = np.arange(100.0)
    first, second, other = (stratified_train_test_split(y, stratify=y, random_state=s) for s in (0, 0, 1))
    np.testing.assert_array_equal(first[0], second[0])
    assert not np.array_equal(first[0], other[0])
    assert (np.diff(first[0]) < 0).any()
    assert (np.diff(first[1]) < 0).any()


def test_errors_of_the_split():
    y = np.arange(10.0)
    with pytest.raises(
        ValueError, match=r"^stratified_train_test_split got no array to split; pass at least one before stratify=\.$"
    ):
        stratified_train_test_split(stratify=y)
    with pytest.raises(ValueError, match="stratified_train_test_split balances a continuous target, but y is None"):
        stratified_train_test_split(y, stratify=None)
    with pytest.raises(ValueError, match="Input y contains NaN"):
        stratified_train_test_split(y, stratify=np.full(10, np.nan))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        stratified_train_test_split(y, stratify=y[:9])
    with pytest.raises((ValueError, InvalidParameterError), match="test_size=11 should be either positive"):
        stratified_train_test_split(y, stratify=y, test_size=11)


# --- searches and cross-validation --------------------------------------------------------------------------


@pytest.fixture
def forest():
    """A randomized regressor that is fast, after a step that learns from its fold."""
    return make_pipeline(StandardScaler(), RandomForestRegressor(n_estimators=3, random_state=0))


@pytest.fixture
def folds():
    return ContinuousStratifiedKFold(3, random_state=0)


GRID = {"randomforestregressor__max_depth": [1, 4]}


@pytest.mark.parametrize(
    "search", [GridSearchCV, lambda *args, **kwargs: HalvingGridSearchCV(*args, random_state=0, **kwargs)]
)
def test_searches_do_not_depend_on_n_jobs(search, forest, folds, data):
    one, two = (search(forest, GRID, cv=folds, n_jobs=n_jobs).fit(*data) for n_jobs in (1, 2))
    np.testing.assert_array_equal(one.cv_results_["mean_test_score"], two.cv_results_["mean_test_score"])
    assert one.best_params_ == two.best_params_ == {"randomforestregressor__max_depth": 4}
    assert isinstance(two.best_estimator_, PosteriorPipeline)
    np.testing.assert_array_equal(one.predict(data[0]), two.predict(data[0]))


def test_cross_validation_does_not_depend_on_n_jobs(forest, folds, data):
    one, two = (cross_validate(forest, *data, cv=folds, n_jobs=n_jobs)["test_score"] for n_jobs in (1, 2))
    np.testing.assert_array_equal(one, two)
    one, two = (cross_val_predict(forest, *data, cv=folds, n_jobs=n_jobs) for n_jobs in (1, 2))
    np.testing.assert_array_equal(one, two)


def test_cross_validation_as_by_hand(forest, folds, data):
    X, y = data
    expected = np.empty_like(y)
    for train, test in folds.split(X, y):
        expected[test] = Pipeline(clone(forest).steps).fit(X[train], y[train]).predict(X[test])
    np.testing.assert_array_equal(cross_val_predict(forest, X, y, cv=folds), expected)
