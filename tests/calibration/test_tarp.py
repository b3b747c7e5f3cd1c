import warnings

import numpy as np
import pytest

from galestim.calibration import joint_coverage, pit_uniformity, tarp
from galestim.posteriors import MixturePosterior


def test_it_is_the_expected_coverage_of_balls(simulate):
    posterior, y, _ = simulate("too wide", n=500)
    draws = posterior.sample(400, 0)
    references, scale = posterior.mean() + 1.0, np.array([1.0, 3.0])
    distance, to_truth = (
        np.linalg.norm((points - references[:, None]) / scale, axis=-1) for points in (draws, y[:, None])
    )
    expected = ((distance < to_truth).mean(axis=1) <= np.arange(1, 100)[:, None] / 100).mean(axis=1)
    np.testing.assert_allclose(tarp(draws, y, references=references, scale=scale).ecdf, expected, atol=0.015)


def test_it_is_that_of_sbi(simulate):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch, theirs = pytest.importorskip("torch"), pytest.importorskip("sbi.diagnostics.tarp")
    posterior, y, _ = simulate("too narrow", n=500)
    draws, references = posterior.sample(400, 0), posterior.mean() + 1.0
    given = (torch.as_tensor(array) for array in (np.swapaxes(draws, 0, 1), y, references))
    coverage, level = (found.numpy() for found in theirs._run_tarp(*given, num_bins=200))
    ours = tarp(draws, y, references=references, scale=[1.0, 1.0])
    theirs_there = np.interp(ours.levels, level, coverage)
    np.testing.assert_allclose(ours.ecdf, theirs_there, atol=0.02)  # some ranks are on the edge of a bin


# --- what it sees -------------------------------------------------------------------------------------------


def test_only_references_that_know_the_image_see_that_a_posterior_ignores_it(simulate):
    p = []
    for seed in range(20):
        posterior, y, _ = simulate("ignorant", n=200, seed=seed)
        measured = simulate(n=200, seed=seed).posterior.mean()
        options = {"n_samples": 50, "random_state": seed}
        tests = [tarp(posterior, y, references=points, **options) for points in (measured, "posterior", "random")]
        tests.append(joint_coverage(posterior, y, **options))
        p.append([*(test.p_value for test in tests), pit_uniformity(posterior, y).p_value[0]])
    flagged = (np.array(p) < 0.05).mean(axis=0)
    assert flagged[0] == 1
    assert (flagged[1:] <= 0.25).all()


def test_bad_input_is_told(simulate):
    posterior, y, _ = simulate(n=5)
    for references, sentence in [
        (y[1:], r"^references has 4 rows; expected 5, one for each posterior\.$"),
        (y[:, :1], r"^references has 1 columns; expected 2, one for each target\.$"),
        (np.where(y > y.min(), y, np.nan), "references contains NaN"),
    ]:
        with pytest.raises(ValueError, match=sentence):
            tarp(posterior, y, references=references)
    with pytest.raises(ValueError, match="'references' parameter of tarp must be"):
        tarp(posterior, y, references="uniform")
    with pytest.raises(ValueError, match="expected a positive number for each of 2 targets"):
        tarp(posterior, y, scale=[1.0, 0.0])
    wide = MixturePosterior(np.zeros((5, 1, 2)), np.tile(1e4 * np.eye(2), (5, 1, 1, 1)), transforms="log")
    with pytest.raises(ValueError, match=r"^Some draws overflow; expected finite ones"):
        tarp(wide, np.ones((5, 2)))
