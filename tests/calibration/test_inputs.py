"""All measures of calibration take truths in any table: by name, in any unit that converts, or not at all."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from astropy import units as u
from astropy.table import QTable, Table
from sklearn.base import BaseEstimator, RegressorMixin

from galestim import Catalog
from galestim.calibration import (
    RecalibratedRegressor,
    conditional_coverage,
    coverage,
    coverage_error,
    crps,
    energy_score,
    joint_coverage,
    l_c2st,
    log_score,
    pit,
    pit_uniformity,
    sbc_ranks,
    sbc_uniformity,
    sharpness,
    tarp,
)
from galestim.model_selection import ContinuousStratifiedKFold, PosteriorScorer, stratified_train_test_split
from galestim.posteriors import MixturePosterior
from galestim.trust import trust_report

NAMES, UNITS = ["flux", "radius"], ["nJy", "arcsec"]
N = 60
RNG = np.random.default_rng(0)
MEANS = RNG.uniform(1, 4, size=(N, 2))
Y = MEANS + RNG.normal(size=(N, 2)) * [0.3, 0.1]


def posterior_of(means):
    trils = np.broadcast_to(np.diag([0.3, 0.1]), (len(means), 1, 2, 2))
    return MixturePosterior(means[:, None], trils, target_names=NAMES, units=UNITS)


POSTERIOR = posterior_of(MEANS)
MEASURES = {
    "coverage": lambda y: coverage(POSTERIOR, y).coverage,
    "coverage_error": lambda y: coverage_error(POSTERIOR, y),
    "conditional_coverage": lambda y: conditional_coverage(POSTERIOR, y, MEANS[:, 0], bins=2).coverage,
    "joint_coverage": lambda y: joint_coverage(POSTERIOR, y, n_samples=20).ecdf,
    "crps": lambda y: crps(POSTERIOR, y),
    "energy_score": lambda y: energy_score(POSTERIOR, y, n_samples=20),
    "log_score": lambda y: log_score(POSTERIOR, y),
    "pit": lambda y: pit(POSTERIOR, y),
    "pit_uniformity": lambda y: pit_uniformity(POSTERIOR, y).ecdf,
    "sbc_ranks": lambda y: sbc_ranks(POSTERIOR, y, n_samples=20),
    "sbc_uniformity": lambda y: sbc_uniformity(POSTERIOR, y, n_samples=20).ecdf,
    "tarp": lambda y: tarp(POSTERIOR, y, n_samples=20).ecdf,
    "tarp, references": lambda y: tarp(POSTERIOR, Y, references=y, n_samples=20).ecdf,
    "sharpness": lambda y: sharpness(POSTERIOR, limit=y).width,
    "l_c2st": lambda y: l_c2st(POSTERIOR, y, random_state=0, n_null=2).statistic,
    "log_prob": lambda y: POSTERIOR.log_prob(y),
    "cdf": lambda y: POSTERIOR.cdf(y),
    "pdf": lambda y: POSTERIOR.pdf(y),
}
REORDERED = {"note": np.zeros(N), "radius": Y[:, 1], "flux": Y[:, 0]}
POSITIONS = {"ra": np.ones(N), "dec": np.ones(N)}
TABLES = {
    "dict": REORDERED,
    "pandas": pd.DataFrame(REORDERED),
    "polars": pl.DataFrame(REORDERED),
    "pyarrow": pa.table(REORDERED),
    "Table": Table(REORDERED | {"id": ["a"] * N}),
    "structured": Table(REORDERED).as_array(),
    "other units": QTable({"radius": Y[:, 1] / 60 * u.arcmin, "flux": Y[:, 0] / 1e9 * u.Jy}),
    "Catalog": Catalog({**REORDERED, **POSITIONS}),
    "part of a Catalog": Catalog({**REORDERED, **POSITIONS})[["radius", "flux"]],
    "list": Y.tolist(),
}


@pytest.mark.parametrize("measure", MEASURES)
def test_truths_in_any_table(measure):
    expected = MEASURES[measure](Y)
    for name, table in TABLES.items():
        np.testing.assert_allclose(MEASURES[measure](table), expected, rtol=1e-6, err_msg=name)


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize(
    ("table", "message"),
    [
        (Table({"Flux": Y[:, 0], "radius": Y[:, 1]}), "'Flux', 'radius', but none named 'flux'; expected 'flux', "),
        (pd.DataFrame(Y, columns=["a", "b"]), "has the columns 'a', 'b', but none named 'flux', 'radius'"),
        (QTable({"radius": Y[:, 1] * u.nJy, "flux": Y[:, 0]}), "the unit 'nJy' in the column 'radius'; expected 'ar"),
    ],
)
def test_other_names_and_units_are_refused(measure, table, message):
    with pytest.raises(ValueError, match=message):
        MEASURES[measure](table)


@pytest.mark.parametrize("measure", [name for name in MEASURES if name not in ("tarp, references", "sharpness")])
def test_truths_that_do_not_fit_or_are_unknown_are_refused(measure):
    for y in (Y[1:], Y[:, :1]):
        with pytest.raises(ValueError, match=rf"^y has shape \(.*\); expected \({N}, 2\)"):
            MEASURES[measure](y)
    if measure not in ("log_prob", "cdf", "pdf"):
        with pytest.raises(ValueError, match="Input y contains NaN"):
            MEASURES[measure](np.where(Y.min() < Y, Y, np.nan))


OF_DRAWS = [coverage, coverage_error, crps, energy_score, joint_coverage, l_c2st, pit, sbc_ranks, tarp]


@pytest.mark.parametrize("measure", OF_DRAWS)
def test_draws_that_are_no_posterior_are_refused(measure):
    draws = POSTERIOR.sample(10, 0)
    with pytest.raises(ValueError, match=r"^posterior is an array of shape \(60, 10\); expected a Posterior, or"):
        measure(draws[..., 0], Y)
    draws[1, 4] = np.inf
    if measure not in (crps, energy_score):  # which have no score for that galaxy
        with pytest.raises(ValueError, match=r"^row 1: some draws are NaN or infinite\. Leave such galaxies out, or"):
            measure(draws, Y)
    draws[:] = np.nan
    if measure not in (crps, energy_score):
        with pytest.raises(ValueError, match=r"^All 60 posteriors are NaN \(missing cutouts\)"):
            measure(draws, Y)


class Known(RegressorMixin, BaseEstimator):
    """An estimator that was told the means, and predicts them as posteriors."""

    def fit(self, X, y, sample_weight=None):
        self.target_names_, self.target_units_, self.fitted_ = NAMES, UNITS, True
        return self

    def predict_posterior(self, X):
        return posterior_of(np.asarray(X))

    def predict(self, X):
        return np.asarray(X)


@pytest.mark.parametrize("cv", ["prefit", 3])
@pytest.mark.parametrize("table", ["dict", "Table", "pandas", "other units", "Catalog"])
def test_a_recalibration_finds_columns_by_name(cv, table):
    def fitted(y):
        return RecalibratedRegressor(Known().fit(None, None) if cv == "prefit" else Known(), cv=cv).fit(MEANS, y)

    expected, found = fitted(Y), fitted(TABLES[table])
    np.testing.assert_allclose(found.log_prob(MEANS, TABLES[table]), expected.log_prob(MEANS, Y))
    assert found.score(MEANS, TABLES[table]) == pytest.approx(expected.score(MEANS, Y))
    with pytest.raises(ValueError, match="none named 'flux', 'radius'"):
        found.score(MEANS, pd.DataFrame(Y, columns=["a", "b"]))


@pytest.mark.parametrize("metric", ["log_score", "neg_crps", "neg_energy_score", "neg_coverage_error"])
def test_scorers_take_any_table(metric):
    scorer = PosteriorScorer(metric, n_samples=20)
    for name, table in TABLES.items():
        found = scorer(Known().fit(None, None), MEANS, table)
        assert found == pytest.approx(scorer(Known().fit(None, None), MEANS, Y), rel=1e-6), name


@pytest.mark.parametrize("table", ["dict", "pandas", "polars", "pyarrow", "Table", "structured", "other units"])
def test_splits_take_any_table(table):
    y = TABLES[table]
    if isinstance(y, Table) and "id" in y.colnames:
        y = y["radius", "flux"]
    assert [len(test) for _, test in ContinuousStratifiedKFold(3).split(MEANS, y)] == [20, 20, 20]
    train, test, _, _ = stratified_train_test_split(y, MEANS, stratify=y, test_size=0.5, random_state=0)
    assert (
        len(coverage(posterior_of(MEANS[:30]), train).coverage) == len(coverage(POSTERIOR[:30], test).coverage) == 3
    )


def test_a_report_takes_any_table():
    means = np.repeat(MEANS, 3, axis=0)
    y = means + RNG.normal(size=means.shape) * [0.3, 0.1]
    table = QTable({"radius": y[:, 1] / 60 * u.arcmin, "flux": y[:, 0] * u.nJy})
    expected, found = (trust_report(Known().fit(None, None), means, each, random_state=0) for each in (y, table))
    assert found.summary() == expected.summary()
