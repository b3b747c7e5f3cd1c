"""Pareto-smoothed importance sampling: whether weighted draws can be relied on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LARGEST_K = 0.7  # with which draws can be relied on
PRIOR_K, PRIOR_WEIGHT = 0.5, 10.0  # of the shape, so that few draws do not scatter it


def pareto_smoothed(log_weights) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    r"""Smooth the largest importance weights, and measure how heavy their tail is.

    Parameters
    ----------
    log_weights : array-like of shape (n, s)
        Logarithms of the weights of s draws, up to a constant; -inf for none.

    Returns
    -------
    weights : ndarray of shape (n, s)
        Smoothed, with a sum of 1.
    k_hat : ndarray of shape (n,)
        Shape of the tail: below 0.5 the variance of the weights is finite; above 0.7 estimates are not reliable. Inf
        where too few draws have weights.

    Notes
    -----
    The largest M = min(s/5, 3√s) weights are replaced by the quantiles of a generalized Pareto distribution that is
    fitted to them (Vehtari, Simpson, Gelman, Yao & Gabry 2024, JMLR 25, 72), by the estimate of Zhang & Stephens
    (2009, Technometrics 51, 316), drawn toward a shape of 0.5 with the weight of ten draws; none is larger than the
    largest was.
    """
    log_weights = np.array(log_weights, dtype=float)
    largest = log_weights.max(axis=1, keepdims=True)
    log_weights = np.where(np.isfinite(largest), log_weights, 0.0) - np.where(np.isfinite(largest), largest, 0.0)
    k_hat = np.full(len(log_weights), np.inf)
    n_tail = int(np.ceil(min(0.2 * log_weights.shape[1], 3 * np.sqrt(log_weights.shape[1]))))
    for i, row in enumerate(log_weights):
        order = np.argsort(row)
        cutoff, tail = row[order[-n_tail - 1]], order[-n_tail:]
        if n_tail < 5 or not np.isfinite(cutoff) or row[tail[0]] - cutoff < 0 or row[tail[-1]] - cutoff < 1e-10:
            continue
        k_hat[i], sigma = _fitted(np.exp(row[tail]) - np.exp(cutoff))
        if np.isfinite(k_hat[i]):
            share = (np.arange(n_tail) + 0.5) / n_tail
            row[tail] = np.minimum(np.log(np.exp(cutoff) + _quantile(share, k_hat[i], sigma)), 0)
    weights = np.exp(log_weights)
    return weights / weights.sum(axis=1, keepdims=True), k_hat


def _fitted(excess: NDArray) -> tuple[float, float]:
    """Shape and scale of the generalized Pareto distribution of increasing `excess` over a threshold."""
    n = len(excess)
    n_grid = 30 + int(np.sqrt(n))
    quartile = excess[int(n / 4 + 0.5) - 1]
    b = (1 - np.sqrt(n_grid / (np.arange(n_grid) + 0.5))) / (3 * max(quartile, 1e-300)) + 1 / excess[-1]
    k = np.log1p(-b[:, None] * excess).mean(axis=1)
    log_likelihood = n * (np.log(-b / k) - k - 1)
    weight = np.exp(log_likelihood - np.logaddexp.reduce(log_likelihood))
    b_mean = (b * weight).sum() / weight.sum()
    shape = np.log1p(-b_mean * excess).mean()
    sigma = -shape / b_mean
    return float((n * shape + PRIOR_WEIGHT * PRIOR_K) / (n + PRIOR_WEIGHT)), float(sigma)


def _quantile(share: NDArray, k: float, sigma: float) -> NDArray:
    return -sigma * np.log1p(-share) if abs(k) < 1e-12 else sigma * np.expm1(-k * np.log1p(-share)) / k
