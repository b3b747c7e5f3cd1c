import warnings

import numpy as np
import pytest
from joblib import parallel_config
from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.utils._param_validation import InvalidParameterError

from galestim.calibration import l_c2st
from galestim.calibration._l_c2st import _points
from galestim.posteriors import MixturePosterior


def test_it_says_for_which_galaxies(simulate):
    posterior, y, magnitude = simulate("bright", n=1500)
    p = l_c2st(posterior, y, magnitude, n_null=20, n_samples=5).local_p_value
    assert (p[magnitude < 19] < 0.05).mean() > 0.9
    assert (p[magnitude > 20.5] < 0.05).mean() < 0.5


def test_local_p_values_are_right_on_average(simulate):
    classifier, shares = QuadraticDiscriminantAnalysis(), []
    for seed in range(40):
        posterior, y, magnitude = simulate(n=60, seed=seed)
        test = l_c2st(posterior, y, magnitude, classifier=classifier, n_samples=5, n_null=19, random_state=seed)
        shares.append((test.local_p_value <= 0.05).mean())
    assert 0.01 < np.mean(shares) < 0.12


def test_its_statistic_is_that_of_sbi(simulate):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch, theirs = pytest.importorskip("torch"), pytest.importorskip("sbi.diagnostics.lc2st")
    posterior, y, magnitude = simulate("biased", n=300)
    ours = l_c2st(posterior, y, magnitude, classifier=LogisticRegression(), n_samples=30, n_null=1)
    points = torch.as_tensor(_points(posterior, y, magnitude[:, None], 30, np.random.RandomState(0)))
    truth, draw, asked, known = points[:, 0, :2], points[:, 1, :2], points[:, 2:, :2], points[:, 0, 2:]
    test = theirs.LC2ST(truth, known, draw, classifier=LogisticRegression, classifier_kwargs={"max_iter": 100})
    test.train_on_observed_data(verbosity=0)
    expected = [test.get_statistic_on_observed_data(asked[row], known[row]) for row in range(5)]
    np.testing.assert_allclose(ours.local_statistic[:5], expected, rtol=1e-2)


def test_it_sees_only_what_its_features_and_classifier_can(simulate):
    posterior, y, magnitude = simulate("too wide", n=400)
    linear = LogisticRegression()  # sees that truths lie to one side, but not how wide
    assert l_c2st(posterior, y, magnitude, classifier=linear, n_null=20).p_value > 0.05


def test_over_all_galaxies_it_is_the_mean(simulate):
    posterior, y, magnitude = simulate(n=60)
    test = l_c2st(posterior, y, magnitude, n_null=5)
    assert test.statistic == pytest.approx(test.local_statistic.mean())


def test_missing_cutouts_have_none(simulate):
    posterior, y, magnitude = simulate(n=60)
    draws, kept = posterior.sample(50, 0), np.arange(60) % 3 > 0
    draws[~kept] = magnitude[~kept] = np.nan
    test, expected = (l_c2st(draws[rows], y[rows], magnitude[rows], n_null=5) for rows in (slice(None), kept))
    assert (test.statistic, test.p_value) == (expected.statistic, expected.p_value)
    np.testing.assert_array_equal(np.isnan(test.local_p_value), ~kept)
    np.testing.assert_array_equal(test.local_statistic[kept], expected.local_statistic)


def test_same_seed_same_answer_whatever_n_jobs(simulate):
    posterior, y, magnitude = simulate(n=60)
    with parallel_config(backend="threading"):
        one, two = (l_c2st(posterior, y, magnitude, n_null=4, n_jobs=n_jobs) for n_jobs in (1, 2))
    for ours, theirs in zip(one, two):
        np.testing.assert_array_equal(ours, theirs)


def test_bad_input_is_told(simulate):
    posterior, y, magnitude = simulate(n=20)
    with pytest.raises(ValueError, match=r"^features has 19 rows; expected 20, one for each posterior\.$"):
        l_c2st(posterior, y, magnitude[1:])
    with pytest.raises(ValueError, match="features contains NaN"):
        l_c2st(posterior, y, np.full(20, np.nan))
    with pytest.raises(InvalidParameterError, match="'classifier' parameter of l_c2st"):
        l_c2st(posterior, y, classifier="random forest")
    wide = MixturePosterior(np.zeros((20, 1, 2)), np.tile(1e4 * np.eye(2), (20, 1, 1, 1)), transforms="log")
    with pytest.raises(ValueError, match=r"^Some draws overflow; expected finite ones"):
        l_c2st(wide, np.ones((20, 2)))
