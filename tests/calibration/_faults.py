"""Posteriors that are wrong on purpose, each in one way, and when a test has noticed."""

from typing import NamedTuple

import numpy as np

from galestim.posteriors import MixturePosterior

CORRELATION = 0.8
BRIGHT = 0.3  # share of the galaxies
SPREAD = 2.0  # standard deviation of what is measured, from galaxy to galaxy

FAULTS = {
    "too wide": "1.3 times",
    "too narrow": "1.3 times",
    "biased": "by 0.3 σ, both targets",
    "correlation": "0 instead of 0.8; each target by itself stays right",
    "bright": "too narrow, by 0.6, for the brightest 30 % only",
    "cancel": "too narrow, by 0.7, for the bright half, too wide, by 1.6, for the faint one",
    "ignorant": "says what is true of all galaxies of a magnitude, whatever is measured",
}


class Galaxies(NamedTuple):
    posterior: MixturePosterior
    y: np.ndarray
    magnitude: np.ndarray


def simulate(fault=None, n=400, seed=0):
    """Posteriors of two correlated targets, right or with one fault, of galaxies of magnitude 18 to 22.

    Galaxies of one seed are the same whatever the fault. What is measured of them is the mean of the right posterior.
    """
    rng = np.random.default_rng(seed)
    magnitude = rng.uniform(18, 22, size=n)
    width = np.exp(0.3 * (magnitude - 20))  # fainter, wider
    mean = rng.normal(scale=SPREAD, size=(n, 2))
    tril = width[:, None, None] * np.linalg.cholesky([[1, CORRELATION], [CORRELATION, 1]])
    y = mean + np.einsum("nij,nj->ni", tril, rng.normal(size=(n, 2)))
    if fault == "too wide":
        tril = 1.3 * tril
    elif fault == "too narrow":
        tril = tril / 1.3
    elif fault == "biased":
        mean = mean + 0.3 * width[:, None]
    elif fault == "correlation":
        tril = width[:, None, None] * np.eye(2)
    elif fault == "bright":
        bright = magnitude < 18 + 4 * BRIGHT
        tril = np.where(bright, 0.6, 1.0)[:, None, None] * tril
    elif fault == "cancel":
        tril = np.where(magnitude < 20, 0.7, 1.6)[:, None, None] * tril
    elif fault == "ignorant":
        mean, tril = np.zeros_like(mean), np.linalg.cholesky(SPREAD**2 * np.eye(2) + tril @ np.swapaxes(tril, 1, 2))
    elif fault is not None:
        raise ValueError(fault)
    return Galaxies(MixturePosterior(mean[:, None], tril[:, None]), y, magnitude)


def flagged(p_values) -> bool:
    """Whether a test says "wrong" at 5 %: any one of its p-values, if there are several, after Bonferroni."""
    return bool(np.min(p_values) * np.size(p_values) < 0.05)
