"""What a catalog tells, beside what an estimator makes of images."""

import numpy as np
import pandas as pd
import pytest

from galestim.trust import compare_with_catalog

RNG = np.random.default_rng(0)
N = 600
CATALOG = pd.DataFrame({"ellipticity": RNG.uniform(0, 0.8, N), "g_i": RNG.normal(1.1, 0.2, N)})
SEEN = RNG.normal(size=N)  # in the images alone
TRUE = 0.2 + 0.5 * CATALOG["ellipticity"] + 0.1 * SEEN


@pytest.fixture(scope="module")
def found():
    """Of an estimator that knows the catalog and half of what else there is."""
    predicted = 0.2 + 0.5 * CATALOG["ellipticity"] + 0.1 * (0.5 * SEEN + RNG.normal(size=N) * 0.5)
    return compare_with_catalog(TRUE, predicted, CATALOG, y_err=np.full(N, 0.05), random_state=0)


def test_a_catalog_alone_reaches_what_it_knows(found):
    of_catalog = np.corrcoef(CATALOG["ellipticity"], TRUE)[0, 1]
    for model in (found.linear, found.quadratic, found.forest):
        assert of_catalog - 0.06 < model.value < of_catalog + 0.01
    assert found.n_samples == N


def test_what_images_add(found):
    assert found.added.value == pytest.approx(np.sqrt(0.5), abs=0.08)
    assert found.both.value > found.forest.value
    assert found.both.value > found.estimator.value - 0.01


def test_an_estimator_that_knows_the_catalog_alone_adds_nothing():
    found = compare_with_catalog(TRUE, 0.2 + 0.5 * CATALOG["ellipticity"], CATALOG, random_state=0)
    assert found.estimator.value == pytest.approx(found.linear.value, abs=0.02)
    assert abs(found.added.value) < 0.1
    assert np.isnan(found.ceiling)
    assert np.isnan(found.ceiling_of_repeats)


def test_ceilings_by_errors_and_by_repeats(found):
    assert found.ceiling == pytest.approx(np.sqrt(1 - 0.05**2 / TRUE.to_numpy().var()))
    groups = np.arange(N) // 2
    repeated = TRUE.to_numpy()[groups * 2] + 0.05 * RNG.normal(size=N)
    twice = compare_with_catalog(repeated, repeated, CATALOG, groups=groups, random_state=0)
    assert twice.ceiling_of_repeats == pytest.approx(np.sqrt(1 - 0.05**2 / repeated.var()), abs=0.01)


def test_the_table_has_a_row_for_each(found):
    table = found.table()
    assert table["what"][2] == "catalog, forest"
    assert table["pearson"][2] == round(found.forest.value, 4)


def test_rows_without_a_prediction_are_left_out():
    predicted = TRUE.to_numpy().copy()
    predicted[:100] = np.nan
    assert compare_with_catalog(TRUE, predicted, CATALOG, random_state=0).n_samples == N - 100
    with pytest.raises(ValueError, match="0 of 600 galaxies have a prediction; expected at least 30"):
        compare_with_catalog(TRUE, np.full(N, np.nan), CATALOG)
