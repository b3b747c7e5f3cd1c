import numpy as np
import pytest
from astropy import units as u

from galestim.posteriors import DrawsPosterior, Magnitude, MixturePosterior, Posterior, bulge_flux

STATISTICS = ["mean", "std", "var", "median", "mode", "skew", "kurtosis", "cov"]
LATENT = ["latent_mean", "latent_cov", "aleatoric_covariance", "epistemic_covariance"]
FORMS = pytest.mark.parametrize("form", ["galaxies", "draws"])


@pytest.fixture
def posterior(form, request):
    return request.getfixturevalue(form)


@FORMS
@pytest.mark.parametrize(
    ("index", "rows"),
    [
        (1, [1]),
        (-1, [3]),
        (np.int64(0), [0]),
        (slice(1, 3), [1, 2]),
        (slice(None, None, -1), [3, 2, 1, 0]),
        ([3, 0, 0], [3, 0, 0]),
        (np.array([2, -4]), [2, 0]),
        ([True, False, False, True], [0, 3]),
        (np.zeros(4, dtype=bool), []),
        ([], []),
    ],
)
def test_an_index_selects_galaxies(posterior, index, rows):
    part = posterior[index]
    assert type(part) is type(posterior)
    assert len(part) == len(rows)
    assert (part.target_names, part.units) == (posterior.target_names, posterior.units)
    for statistic in STATISTICS:
        np.testing.assert_allclose(getattr(part, statistic)(), getattr(posterior, statistic)()[rows], rtol=1e-10)


@FORMS
@pytest.mark.parametrize(
    ("names", "targets"),
    [
        ("flux", [2]),
        (["flux"], [2]),
        (["flux", "bulge_to_total"], [2, 0]),
        (np.array(["half_light_radius", "flux"]), [1, 2]),
    ],
)
def test_names_select_targets(posterior, names, targets):
    part = posterior[names]
    assert type(part) is type(posterior)
    assert part.target_names == [posterior.target_names[target] for target in targets]
    assert part.units == [posterior.units[target] for target in targets]
    for statistic in ("mean", "std", "median", "mode", "kurtosis"):
        expected = getattr(posterior, statistic)()[:, targets]
        np.testing.assert_allclose(getattr(part, statistic)(), expected, rtol=1e-10)
    np.testing.assert_allclose(part.cov(), posterior.cov()[:, targets][:, :, targets], rtol=1e-9)


def test_the_posterior_of_some_targets_is_the_marginal_one(galaxies):
    """Integrated over the third target, the joint density is that of the other two."""
    pair = galaxies[0][["flux", "half_light_radius"]]
    point = galaxies[0].median()[0]
    ratios = np.linspace(1e-4, 1 - 1e-4, 4001)
    points = np.stack([ratios, np.full(4001, point[1]), np.full(4001, point[2])], axis=1)
    integral = np.trapezoid(np.exp(galaxies[0].log_prob(points[None]))[0], ratios)
    assert np.exp(pair.log_prob([[point[2], point[1]]]))[0] == pytest.approx(integral, rel=1e-5)


@FORMS
@pytest.mark.parametrize("name", ["Flux", "", ["flux", "spin"]])
def test_a_name_that_is_no_target(posterior, name):
    expected = "'bulge_to_total', 'half_light_radius', 'flux'; expected one of these, or numbers of galaxies."
    with pytest.raises(KeyError, match=f"no target '.*' among {expected}"):
        posterior[name]


@FORMS
def test_ids_go_with_their_galaxies(posterior):
    posterior.ids = ["a", "b", "c", "λ"]
    assert posterior[[3, 1]].ids.tolist() == ["λ", "b"]
    assert posterior[-1].ids.tolist() == ["λ"]
    assert posterior["flux"].ids.tolist() == ["a", "b", "c", "λ"]
    assert posterior[:2].derive(bulge_flux, "bulge_flux", n_samples=5).ids.tolist() == ["a", "b"]
    table = posterior.summary()
    assert table.colnames[0] == "object_id"
    assert table["object_id"].tolist() == ["a", "b", "c", "λ"]
    posterior.ids = None
    assert "object_id" not in posterior.summary().colnames


@pytest.mark.parametrize(
    "ids", [["a"], [1, 2, 3, 4], "abcd", [["a", "b", "c", "d"]], ["a", None, "b", "c"], [b"a"] * 4]
)
def test_ids_that_are_not_a_name_for_each_galaxy(galaxies, ids):
    with pytest.raises(ValueError, match=r"ids has shape .* and the dtype .*; expected \(4,\) and str: a name for"):
        galaxies.ids = ids


@FORMS
def test_iteration_gives_single_galaxies(posterior):
    parts = list(posterior)
    assert [len(part) for part in parts] == [1, 1, 1, 1]
    np.testing.assert_array_equal(np.concatenate([part.weights for part in parts]), posterior.weights)


@pytest.mark.parametrize("index", [4, -5, [0, 9], [True, False], 1.5, (0, 1), [[0, 1]], None])
def test_an_index_that_selects_no_galaxies(galaxies, index):
    with pytest.raises(IndexError):
        galaxies[index]


def test_an_index_of_two_dimensions_is_explained(galaxies):
    with pytest.raises(IndexError, match="an index of 2 dimensions; expected an int, a slice, or a one-dimensional"):
        galaxies[[[0, 1]]]


@FORMS
def test_repr_tells_how_many_and_what(posterior):
    targets = r"bulge_to_total, half_light_radius [arcsec], flux [nJy]"
    assert repr(posterior) == f"{type(posterior).__name__}(4 galaxies; targets: {targets})"


@FORMS
def test_shapes(posterior):
    y = posterior.mean()
    for statistic in STATISTICS[:-1]:
        assert getattr(posterior, statistic)().shape == (4, 3)
    assert posterior.n_targets == 3
    assert posterior.cov().shape == (4, 3, 3)
    assert posterior.sample(7, random_state=0).shape == (4, 7, 3)
    assert posterior.sample().shape == (4, 1000, 3)
    assert posterior.quantile(0.3).shape == (4, 3)
    assert posterior.quantile([0.3]).shape == (4, 1, 3)
    assert posterior.cdf(y).shape == (4, 3)
    assert posterior.cdf(np.stack([y, y], axis=1)).shape == (4, 2, 3)
    for kind in ("equal_tailed", "hdi"):
        assert posterior.credible_interval(0.9, kind).shape == (4, 3, 2)


@FORMS
def test_a_missing_cutout_is_nan_everywhere(posterior):
    """And nowhere else; warnings are errors here."""
    values = [getattr(posterior, statistic)() for statistic in STATISTICS]
    values += [posterior.sample(5), posterior.quantile([0, 0.5, 1]), posterior.cdf(np.full((4, 3), 0.5))]
    values += [posterior.credible_interval(0.9, kind) for kind in ("equal_tailed", "hdi")]
    if isinstance(posterior, MixturePosterior):
        values += [getattr(posterior, statistic)() for statistic in LATENT]
        values += [posterior.log_prob(np.full((4, 3), 0.5)), posterior.pdf(np.full((4, 2, 3), 0.5))]
        values += [posterior.log_prob(np.full((4, 3), -0.5))]  # outside the support of the others
    for value in values:
        unknown = np.isnan(value.reshape(4, -1))
        assert unknown[2].all()
        assert not unknown[[0, 1, 3]].any()


@pytest.mark.parametrize("n", [0, 2])
def test_galaxies_of_which_none_is_known(n):
    posterior = MixturePosterior(np.full((n, 3, 2), np.nan), np.full((n, 3, 2, 2), np.nan), transforms="log")
    for one in (posterior, DrawsPosterior(posterior.sample(5))):
        assert np.isnan(one.mean()).all()
        assert one.credible_interval(0.5, "hdi").shape == (n, 2, 2)
        assert len(one.summary(kind="hdi")) == n


def test_summary(galaxies):
    table = galaxies.summary()
    statistics = ["mean", "median", "mode", "std", "skew", "kurtosis"]
    ends = [f"{end}_{percent}" for percent in (68, 95, 99) for end in ("lower", "upper")]
    assert table.colnames == [f"{name}_{column}" for name in galaxies.target_names for column in statistics + ends]
    for j, (name, unit) in enumerate(zip(galaxies.target_names, galaxies.units)):
        for statistic in statistics:
            column = table[f"{name}_{statistic}"]
            in_unit = unit is not None and statistic not in ("skew", "kurtosis")
            assert getattr(column, "unit", None) == (unit if in_unit else None)
            np.testing.assert_allclose(np.asarray(column), getattr(galaxies, statistic)()[:, j], rtol=1e-12)
    assert table["flux_upper_99"].unit == u.nJy
    frame = table.to_pandas()
    assert frame.shape == (4, 36)


@FORMS
@pytest.mark.parametrize("kind", ["equal_tailed", "hdi"])
def test_intervals_of_the_summary(posterior, kind):
    table = posterior.summary(levels=[0.5, 0.29], kind=kind)
    for level, percent in ((0.5, 50), (0.29, 29)):
        ends = posterior.credible_interval(level, kind)
        for i, end in enumerate(("lower", "upper")):
            np.testing.assert_allclose(table[f"flux_{end}_{percent}"].to_value("nJy"), ends[:, 2, i])


def test_derived_quantities_come_from_joint_draws(galaxies):
    posterior = galaxies.derive(bulge_flux, "bulge_flux", unit="nJy", n_samples=300, random_state=0)
    assert isinstance(posterior, DrawsPosterior)
    assert posterior.target_names == [*galaxies.target_names, "bulge_flux"]
    assert posterior.units == [*galaxies.units, u.nJy]
    np.testing.assert_array_equal(posterior.draws[..., :3], galaxies.sample(300, random_state=0))
    np.testing.assert_array_equal(posterior.draws[..., 3], posterior.draws[..., 0] * posterior.draws[..., 2])


def test_deriving_from_draws_keeps_them_and_their_weights(draws):
    posterior = draws.derive(lambda targets: targets["flux"] + 100, "more").derive(Magnitude(25.0), "mag", u.mag)
    np.testing.assert_array_equal(posterior.draws[..., :3], draws.draws)
    np.testing.assert_array_equal(posterior.weights, draws.weights)
    np.testing.assert_allclose(posterior.mean()[..., 3], draws.mean()[..., 2] + 100)
    assert posterior.units[3:] == [None, u.mag]


def test_what_cannot_be_derived(galaxies):
    with pytest.raises(ValueError, match=r"total: the function returned shape \(4,\); expected \(4, 9\), a value"):
        galaxies.derive(lambda targets: targets["flux"].sum(axis=1), "total", n_samples=9)
    with pytest.raises(ValueError, match=r"target_names=.*'flux', 'flux'\]; expected 4 different names, one for"):
        galaxies.derive(bulge_flux, "flux")


def test_from_draws_is_a_draws_posterior():
    posterior = Posterior.from_draws(np.zeros((2, 3, 1)), [[1, 1, 2], [1, 0, 0]], target_names="spin", units="mag")
    assert isinstance(posterior, DrawsPosterior)
    assert (posterior.target_names, posterior.units) == (["spin"], [u.mag])
    np.testing.assert_allclose(posterior.weights, [[0.25, 0.25, 0.5], [1, 0, 0]])


@pytest.mark.parametrize(("k", "names"), [(1, ["y"]), (3, ["y0", "y1", "y2"])])
def test_default_names(k, names):
    posterior = DrawsPosterior(np.zeros((1, 2, k)))
    assert posterior.target_names == names
    assert posterior.units == [None] * k


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"target_names": ["a"]}, r"target_names=\['a'\]; expected 2 different names, one for each target."),
        ({"target_names": ["a", "a"]}, "expected 2 different names"),
        ({"target_names": ["a", 3]}, "expected 2 different names"),
        ({"units": ["arcsec"]}, r"1 units; expected 2, one \(or None\) for each of \['y0', 'y1'\]."),
        (
            {"units": [None, "parsnip"]},
            "y1: unit 'parsnip'; expected an astropy unit, its name, or None. 'parsnip' did",
        ),
    ],
)
def test_wrong_names_and_units(change, message):
    with pytest.raises(ValueError, match=message):
        DrawsPosterior(np.zeros((1, 2, 2)), **change)


@pytest.mark.parametrize("q", [-0.1, 1.1, np.nan, [0.5, 2], [[0.5]]])
def test_wrong_probabilities(galaxies, q):
    with pytest.raises(ValueError, match=r"q=.*; expected a probability from 0 to 1, or a sequence of them."):
        galaxies.quantile(q)


@pytest.mark.parametrize("level", [0, 1, 68, "one sigma"])
def test_wrong_level(galaxies, level):
    with pytest.raises(ValueError, match=f"level={level!r}; expected a probability between 0 and 1, as 0.6827."):
        galaxies.credible_interval(level)
    with pytest.raises(ValueError, match=f"level={level!r}"):
        galaxies.summary(levels=[0.5, level])


def test_wrong_kind_of_interval(galaxies):
    with pytest.raises(ValueError, match=r"kind='HPD'; expected 'equal_tailed' or 'hdi'."):
        galaxies.credible_interval(kind="HPD")
    with pytest.raises(ValueError, match="kind='HPD'"):
        galaxies.summary(kind="HPD")


def test_a_single_level(galaxies):
    assert galaxies.summary(0.9).colnames == galaxies.summary([0.9]).colnames


def test_rows_by_a_condition_that_is_not_known_of_all(galaxies):
    known = np.ma.array([True, True, False, True], mask=[True, False, False, False])
    assert len(galaxies[known]) == 2
    with pytest.raises(IndexError, match="the index is masked at 0"):
        galaxies[np.ma.array([1, 2], mask=[True, False])]


def test_levels_whose_columns_would_be_the_same(galaxies):
    with pytest.raises(ValueError, match=r"levels=\[0.95, 0.9545\]; columns are named by whole percents \[95, 95\]"):
        galaxies.summary(levels=[0.95, 0.9545])
