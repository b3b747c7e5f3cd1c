"""Which tests see which fault, how often they accuse right posteriors, and what must not change what they find."""

from functools import partial

import numpy as np
import pytest
from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis

from galestim.calibration import (
    conditional_coverage,
    coverage,
    coverage_error,
    joint_coverage,
    l_c2st,
    pit_uniformity,
    sbc_uniformity,
    sharpness,
    tarp,
)
from galestim.posteriors import DrawsPosterior

from ._faults import flagged, simulate


def product(values):
    return values[:, 0] * values[:, 1]


def conditional(g, seed):
    return conditional_coverage(g.posterior, g.y, g.magnitude, bins=4).p_value


def joint(g, seed, n_samples=50):
    return joint_coverage(g.posterior, g.y, n_samples=n_samples, random_state=seed).p_value


def pit(g, seed, p_value="band_p_value"):
    return getattr(pit_uniformity(g.posterior, g.y), p_value)


def ranks(g, seed, n_samples=50, quantity=None, p_value="p_value"):
    test = sbc_uniformity(g.posterior, g.y, quantity=quantity, n_samples=n_samples, random_state=seed)
    return getattr(test, p_value)


def balls(g, seed, n_samples=50, references="posterior"):
    if references == "measured":  # is the mean of the right posterior
        references = simulate(None, len(g.y), seed).posterior.mean()
    return tarp(g.posterior, g.y, references=references, n_samples=n_samples, random_state=seed).p_value


def classified(g, seed, n_null=20, classifier=None):
    options = {"n_samples": 5, "n_null": n_null, "classifier": classifier, "random_state": seed}
    return l_c2st(g.posterior, g.y, g.magnitude, **options).p_value - 1e-9  # one in n_null + 1 is the smallest


quick = partial(classified, n_null=19, classifier=QuadraticDiscriminantAnalysis())  # learns fast
bands = partial(ranks, p_value="band_p_value")


def share_flagged(test, fault, repetitions, n, n_draws):
    """Share of simulations, of seeds 0, 1, …, in which a test says that the posteriors are wrong."""
    found = []
    for seed in range(repetitions):
        galaxies = simulate(fault, n, seed)
        if n_draws is not None:
            galaxies = galaxies._replace(posterior=DrawsPosterior(galaxies.posterior.sample(n_draws, 1)))
        found.append(flagged(test(galaxies, seed)))
    return np.mean(found)


RIGHT = {
    "conditional": (conditional, 200, 400, None, 0.0, 0.105),
    "joint": (partial(joint, n_samples=20), 200, 100, None, 0.01, 0.105),
    "joint, 8 draws": (partial(joint, n_samples=20), 200, 100, 8, 0.01, 0.105),
    "pit": (partial(pit, p_value="p_value"), 200, 100, None, 0.01, 0.105),
    "pit, band": (pit, 200, 100, None, 0.01, 0.105),
    "sbc": (partial(ranks, n_samples=20), 200, 100, None, 0.01, 0.105),
    "sbc, product": (partial(ranks, n_samples=20, quantity=product), 200, 100, None, 0.01, 0.105),
    "l_c2st": (quick, 100, 60, None, 0.01, 0.115),
    "l_c2st, 12 draws": (quick, 100, 60, 12, 0.01, 0.115),
    **{
        f"tarp, {where}, {n_draws} draws": (
            partial(balls, n_samples=20, references=where), 200, 100, n_draws, 0.01, 0.105
        )
        for where in ("posterior", "random", "measured")
        for n_draws in (None, 5)
    },
}  # fmt: skip


@pytest.mark.parametrize("name", RIGHT)
def test_right_posteriors_are_flagged_at_the_nominal_rate(name):
    test, repetitions, n, n_draws, low, high = RIGHT[name]
    assert low <= share_flagged(test, None, repetitions, n, n_draws) <= high


WIDTHS, MARGINALS = ("too wide", "too narrow"), ("too wide", "too narrow", "biased")
JOINT = (*WIDTHS, "correlation", "bright", "cancel")
WRONG = [
    *((conditional, fault, 20, 400, None, 0.95, 1) for fault in (*WIDTHS, "bright", "cancel")),
    *((joint, fault, 10, 400, drawn, 0.8, 1) for fault in JOINT for drawn in (None, 50)),
    *((pit, fault, 20, 400, None, 0.95, 1) for fault in MARGINALS),
    (pit, "correlation", 20, 400, None, 0, 0.25),
    *((bands, fault, 20, 400, None, 0.95, 1) for fault in MARGINALS),
    (ranks, "correlation", 20, 400, None, 0, 0.25),
    (partial(ranks, quantity=product), "correlation", 20, 400, None, 0.95, 1),
    *((balls, fault, 20, 400, None, 0.85, 1) for fault in (*MARGINALS, "correlation")),
    *((partial(balls, references="random"), fault, 20, 400, None, 0, 0.5) for fault in ("biased", "correlation")),
    *((classified, fault, 3, 800, None, 1, 1) for fault in (*MARGINALS, "correlation", "bright", "cancel")),
]  # fmt: skip


@pytest.mark.parametrize(("test", "fault", "repetitions", "n", "n_draws", "low", "high"), WRONG)
def test_faults_are_seen_or_not(test, fault, repetitions, n, n_draws, low, high):
    assert low <= share_flagged(test, fault, repetitions, n, n_draws) <= high


# --- what must not matter -----------------------------------------------------------------------------------

NOT_MISSING = {
    "conditional": lambda p, y, of: conditional_coverage(p, y, of[:, 0]),
    "equal-tailed": lambda p, y, of: coverage(p, y),
    "hdi": lambda p, y, of: coverage(p, y, kind="hdi"),
    "error": lambda p, y, of: [coverage_error(p, y, sample_weight=np.nan_to_num(of[:, 0], nan=9.0))],
    "joint": lambda p, y, of: joint_coverage(p, y),
    "sharpness": lambda p, y, of: sharpness(p, limit=of),
    "tarp": lambda p, y, of: tarp(p, y, references=of),
}


@pytest.mark.parametrize("measure", NOT_MISSING.values(), ids=NOT_MISSING)
def test_missing_cutouts_are_left_out(measure):
    posterior, y, _ = simulate(n=60)
    draws, known, kept = posterior.sample(50, 0), posterior.std(), np.arange(60) % 3 > 0
    draws[~kept] = known[~kept] = np.nan
    for ours, expected in zip(measure(draws, y, known), measure(draws[kept], y[kept], known[kept])):
        np.testing.assert_array_equal(ours, expected)


@pytest.mark.parametrize("measure", [joint_coverage, tarp, partial(l_c2st, n_null=5)])
def test_units_of_targets_do_not_matter(measure):
    posterior, y, _ = simulate(n=100)
    draws, units = posterior.sample(50, 0), np.array([1e-29, 1e20])
    features = {"features": posterior.mean()} if isinstance(measure, partial) else {}
    for ours, expected in zip(measure(draws * units, y * units, **features), measure(draws, y, **features)):
        np.testing.assert_allclose(ours, expected, rtol=1e-5)
