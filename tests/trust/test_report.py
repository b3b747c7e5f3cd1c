import base64
import re
from io import BytesIO

import numpy as np
import pandas as pd
import pytest
from astropy.table import Table
from PIL import Image
from sklearn.model_selection import GridSearchCV
from sklearn.preprocessing import FunctionTransformer

from galestim import CompactCNN, Normalizer, STNPosteriorRegressor, make_pipeline, trust_report
from galestim.calibration import RecalibratedRegressor

# the exact posterior knows one point-spread function and no neighbors: what it makes of others is no fault of it
SMALL = {"max_galaxies": 40, "n_angles": 4, "limits": {"shifted_coverage": 0.0}, "random_state": 0}
CALIBRATION = ("calibration", "conditional")


def missed(report, *sections):
    rows = report.checks[~report.checks["met"]]
    return {row["check"] for row in rows if not sections or row["section"] in sections}


@pytest.fixture(scope="module")
def right(exact, draw_galaxies):
    return trust_report(exact(), *draw_galaxies(600, 1), **SMALL)


def test_a_right_posterior_passes(right):
    assert missed(right) == set()
    assert right.passed
    assert right.summary().startswith(f"{len(right.checks)} of {len(right.checks)} met, of 600 galaxies\nmet ")


@pytest.mark.parametrize(
    ("fault", "seen"),
    [
        ({"width": 0.7}, {"coverage, flux", "joint HDI, joint", "conditional coverage, flux"}),
        ({"width": 1.4}, {"coverage, halo", "joint HDI, joint", "conditional coverage, halo"}),
        ({"bias": 0.3}, {"PIT, flux", "PIT, halo", "TARP, joint"}),
        ({"wrong_for_bright": 0.6, "width": 1.25}, {"conditional coverage, flux", "conditional coverage, halo"}),
    ],
)
def test_wrong_posteriors_miss_what_shows_it(exact, draw_galaxies, fault, seen):
    X, y = draw_galaxies(1000, 2)
    report = trust_report(exact(**fault), X.reshape(1000, -1), y, **SMALL)  # rows, without tests of images
    assert seen <= missed(report, *CALIBRATION)
    assert not report.passed
    assert "MISSED" in str(report)


def test_accuracy_is_that_of_the_medians(right, exact, draw_galaxies):
    X, y = draw_galaxies(600, 1)
    errors = exact().predict_posterior(X).median() - y
    overall = right.accuracy[right.accuracy["subset"] == "all"]
    np.testing.assert_allclose(overall["bias"], errors.mean(axis=0))
    np.testing.assert_allclose(overall["rmse"], np.sqrt((errors**2).mean(axis=0)))
    assert (overall["rmse_low"] < overall["rmse"]).all()
    assert (overall["rmse"] < overall["rmse_high"]).all()
    binned = right.accuracy[right.accuracy["subset"] == "predicted flux"]
    assert binned["n"][binned["target"] == "flux"].sum() == 600


def test_a_novel_image_is_flagged_in_its_row(exact, draw_galaxies):
    X, y = draw_galaxies(300, 1)
    X[17] += 3 * np.roll(X[18], 5, axis=1)
    report = trust_report(exact(), X, y, reference=draw_galaxies(300, 3)[0], **SMALL)
    assert report.novelty["row"][np.argmin(report.novelty["decision"])] == 17
    assert report.novelty["flagged"][17]
    assert report.novelty["flagged"].mean() < 0.05


def test_a_simulator_turns_galaxies_itself(exact, draw_galaxies):
    X, y = draw_galaxies(60, 1)
    angles = []

    def simulator(degrees):
        angles.append(degrees)
        return X[:20] * (1 + 0.01 * np.cos(np.radians(degrees)))

    report = trust_report(exact(), X, y, simulator=simulator, **SMALL)
    assert angles == [0.0, 90.0, 180.0, 270.0]
    row = report.stability[report.stability["change"] == "simulated angles"][0]
    assert (row["n_views"], row["n_galaxies"]) == (4, 20)
    means = exact().predict_posterior(X[:20]).mean()[:, 0]
    gain = exact().predict_posterior(1.01 * X[:20]).mean()[:, 0] - means
    assert row["std"] == pytest.approx(np.sqrt(((gain * np.sqrt(0.5)) ** 2).mean()), rel=1e-6)
    with pytest.raises(ValueError, match=r"returned images of shape \(2, 5, 5, 1\); expected .* \(16, 16, 1\)"):
        trust_report(exact(), X, y, simulator=lambda angle: np.zeros((2, 5, 5)), **SMALL)


def test_an_estimator_that_looks_to_one_side_is_unstable(exact, draw_galaxies):
    class OneSided(exact):
        def predict_posterior(self, X):
            return super().predict_posterior(np.where(np.arange(16) < 8, X, 1.3 * np.asarray(X)))

    X, y = draw_galaxies(60, 1)
    assert "flips and quarter turns, flux" in missed(trust_report(OneSided(), X, y, **SMALL), "stability")


# ---- what estimators and tables there are


@pytest.fixture(scope="module")
def trained(draw_galaxies):
    X, y = draw_galaxies(300, 5)
    network = STNPosteriorRegressor(
        CompactCNN(widths=(4, 8)),
        target_transforms=["log", "identity"],
        max_epochs=2,
        n_passes=2,
        random_state=0,
        device="cpu",
    )
    return make_pipeline(Normalizer("scale"), network).fit(X, Table(y, names=["flux", "halo"]))


def test_a_pipeline_around_a_network(trained, draw_galaxies):
    X, y = draw_galaxies(80, 6)
    X[3] = np.nan
    report = trust_report(trained, X, Table(y, names=["flux", "halo"]), **SMALL)
    assert (report.n_galaxies, report.n_missing) == (79, 1)
    assert 3 not in report.novelty["row"]
    assert report.left_out == {}
    assert report.crops["median"][0] == pytest.approx(np.median(report_crops(trained, X)["scale"]), abs=0.05)
    assert report.accuracy["unit"][0] == "relative"  # learned in logarithms
    assert set(report.scores["score"]) == {"log score", "energy score"}


def test_crops_are_judged_where_it_is_known_whose_light_it_is(trained, draw_galaxies):
    X, y = draw_galaxies(60, 6)
    own, others = np.zeros((2, *X.shape))
    own[:, 7:9, 7:9] = 1.0  # on the center
    others[:30, 0, 0] = 1.0  # in the corner
    others[30:, 0, 0] = 0.01  # too faint to count
    report = trust_report(trained, X, y, galaxy_light=own, neighbor_light=others, **SMALL)
    share = {row["crop"]: row["median"] for row in report.crops}
    scale = trained[-1].crop_parameters(trained[:-1].transform(X))["scale"]
    corner = np.clip(0.5 + 7.5 * (1 + 1 / 15) * scale - 7.5, 0, 1) ** 2  # of that pixel, within the crop
    assert share["galaxy's light kept"] == pytest.approx(1)
    assert share["neighbors' light removed"] == pytest.approx(np.median(1 - corner[:30]), abs=0.1)
    limits = {row["check"]: row["limit"] for row in report.checks if row["section"] == "crops"}
    assert limits == {"galaxy's light kept": 0.98, "neighbors' light removed": 0.8}
    with pytest.raises(ValueError, match=r"^galaxy_light has shape \(60, 15, 16\); expected .*\(60, 16, 16\)\.$"):
        trust_report(trained, X, y, galaxy_light=own[:, 1:], **SMALL)


def report_crops(pipeline, X):
    known = ~np.isnan(X).any(axis=(1, 2))
    return pipeline[-1].crop_parameters(pipeline[:-1].transform(X[known]))


def test_tests_of_images_begin_where_the_images_do(exact, draw_galaxies):
    X, y = draw_galaxies(60, 1)
    pipeline = make_pipeline(FunctionTransformer(lambda rows: X[np.ravel(rows)]), exact())
    from_rows = trust_report(pipeline, np.arange(60)[:, None], y, **SMALL)
    from_images = trust_report(exact(), X, y, **SMALL)
    assert from_rows.summary() == from_images.summary()


def test_searches_and_recalibrated_estimators(exact, draw_galaxies):
    X, y = draw_galaxies(600, 1)
    search = GridSearchCV(exact(), {"width": [1.0]}, scoring=lambda *_: 0.0, cv=2).fit(X, y)
    assert trust_report(search, X, y, **SMALL).passed
    narrow = RecalibratedRegressor(exact(width=0.6), cv="prefit").fit(*draw_galaxies(5000, 7))
    report = trust_report(narrow, X, y, **SMALL)
    assert missed(report, *CALIBRATION) == set()
    assert "coverage, flux" in missed(trust_report(narrow.estimator, X, y, **SMALL))


def test_integer_images_stay_integers(exact, draw_galaxies):
    class Integers(exact):
        def predict_posterior(self, X):
            assert X.dtype == np.uint8
            return super().predict_posterior((X - 60.0) / 10)

    X, y = draw_galaxies(60, 1)
    report = trust_report(Integers(), np.clip(10 * X + 60, 0, 255).astype(np.uint8), y, **SMALL)
    assert np.isfinite(report.stability["std"]).all()


@pytest.mark.parametrize("kind", [dict, pd.DataFrame, Table])
def test_bins_of_a_catalog(exact, draw_galaxies, kind):
    X, y = draw_galaxies(100, 1)
    rng = np.random.default_rng(0)
    columns = {
        "ra": np.arange(100.0),
        "magnitude": rng.uniform(18, 23, 100),
        "half_light_radius": rng.uniform(size=100),
    }
    report = trust_report(exact(), X.reshape(100, -1), y, kind(columns), **SMALL)
    assert {"magnitude_from", "half_light_radius_to"} <= set(report.conditional.colnames)
    assert report.conditional["n"][report.conditional["target"] == "flux"].sum() == 100


def test_what_is_refused(exact, draw_galaxies):
    X, y = draw_galaxies(30, 1)
    with pytest.raises(ValueError, match="limits has covrage; expected names among coverage, coverage_3sigma, pit"):
        trust_report(exact(), X, y, limits={"covrage": 0.1})
    with pytest.raises(ValueError, match=r"catalog has the columns \['a', 'b', 'c'\]; expected magnitude"):
        trust_report(exact(), X, y, pd.DataFrame(np.zeros((30, 3)), columns=list("abc")))
    with pytest.raises(ValueError, match=r"catalog\['z'\] has shape \(29,\), 29 of them finite"):
        trust_report(exact(), X, y, {"z": np.zeros(29)})
    with pytest.raises(ValueError, match="10 galaxies that are no missing cutouts; expected at least 20"):
        trust_report(exact(), X[:10], y[:10])


def test_limits_are_the_callers(right, exact, draw_galaxies):
    report = trust_report(exact(), *draw_galaxies(600, 1), **SMALL | {"limits": {"noise": 0.01, "pit": 0.1}})
    more = missed(report, "calibration", "conditional", "stability")
    assert more == {"PIT, flux", "PIT, halo", "noise added, flux", "noise added, halo"}


def test_the_same_seed_gives_the_same_report(right, exact, draw_galaxies):
    again = trust_report(exact(), *draw_galaxies(600, 1), **SMALL)
    assert again.summary() == right.summary()


# ---- the page


def test_the_page_shows_every_target_and_check(right):
    figure = right.plot()
    texts = [text.get_text() for ax in figure.axes for text in ax.texts]
    assert all(row["check"] in texts for row in right.checks)
    labels = {ax.get_ylabel() for ax in figure.axes}
    assert {"flux, error", "halo, error"} <= labels


def test_the_html_needs_no_other_file(right, tmp_path):
    page = right.to_html(tmp_path / "report.html").read_text()
    sources = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert len(sources) == 1
    kind, encoded = sources[0].split(",")
    assert kind == "data:image/png;base64"
    with Image.open(BytesIO(base64.b64decode(encoded))) as image:
        assert np.ptp(np.asarray(image.convert("L"))) > 200
    assert page.count("<table>") == len(right.tables())
    assert "coverage, flux" in page
    assert right._repr_html_() in page


def test_a_report_without_images_says_so(exact, draw_galaxies):
    X, y = draw_galaxies(40, 1)
    report = trust_report(exact(), X.reshape(40, -1), y[:, :], random_state=0)
    assert set(report.left_out) == {"stability", "crops", "novelty"}
    assert "X has no images, but 2 dimensions" in report._repr_html_()
    assert "stability: left out" in [text.get_text() for ax in report.plot().axes for text in ax.texts]
