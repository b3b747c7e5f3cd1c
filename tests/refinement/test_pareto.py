"""Pareto smoothing: as arviz does it, and what few or equal weights give."""

import numpy as np
import pytest
from scipy.stats import genpareto

from galestim.refinement._pareto import pareto_smoothed


def test_as_arviz_does():
    arviz = pytest.importorskip("arviz")
    log_weights = np.random.default_rng(0).standard_t(4, size=(5, 2000))
    weights, k_hat = pareto_smoothed(log_weights)
    for row, found, k in zip(log_weights, weights, k_hat):
        expected, expected_k = arviz.psislw(row)
        np.testing.assert_allclose(np.log(found), expected, atol=1e-6)
        assert k == pytest.approx(float(expected_k), abs=1e-6)


@pytest.mark.parametrize("shape", [0.2, 0.5, 0.9])
def test_the_shape_of_a_tail_is_found(shape):
    draws = genpareto.rvs(shape, size=(20, 20000), random_state=0)
    _, k_hat = pareto_smoothed(np.log(draws))
    assert k_hat.mean() == pytest.approx(shape, abs=0.03)  # 424 draws in the tail of each: ± 0.07/√20


def test_weights_sum_to_one_and_keep_their_order():
    log_weights = np.random.default_rng(1).normal(scale=2, size=(3, 500)) - 4000
    weights, _ = pareto_smoothed(log_weights)
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    for before, after in zip(log_weights, weights):
        assert (np.diff(after[before.argsort()]) >= -1e-15).all()


def test_too_few_weights_are_not_relied_on():
    log_weights = np.full((2, 400), -np.inf)
    log_weights[0, :3] = 0.0
    weights, k_hat = pareto_smoothed(log_weights)
    assert np.isinf(k_hat).all()
    np.testing.assert_allclose(weights[0, :3], 1 / 3)
    np.testing.assert_allclose(weights[1], 1 / 400)
