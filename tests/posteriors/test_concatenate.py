import numpy as np
import pytest

from galestim.posteriors import DrawsPosterior, MixturePosterior, Posterior, concatenate
from galestim.targets import AsinhTransform, LogitTransform

STATISTICS = ["mean", "std", "median", "mode", "cov"]


def mixture(n=3, m=4, seed=0, **changes):
    rng = np.random.default_rng(seed)
    trils = np.tril(rng.normal(0, 0.1, (n, m, 2, 2)), -1) + 0.3 * np.eye(2)
    named = {"target_names": ["flux", "half_light_radius"], "units": ["nJy", "arcsec"], "transforms": "log"}
    return MixturePosterior(rng.normal(size=(n, m, 2)), trils, rng.uniform(size=(n, m)), **(named | changes))


def assert_rows(whole, parts):
    assert len(whole) == sum(map(len, parts))
    for statistic in STATISTICS:
        expected = np.concatenate([getattr(part, statistic)() for part in parts])
        np.testing.assert_allclose(getattr(whole, statistic)(), expected, rtol=2e-5)


@pytest.mark.parametrize("sizes", [[(3, 4)], [(3, 4), (2, 4)], [(1, 4), (2, 7), (3, 1), (2, 7)]])
def test_mixtures_of_few_and_of_many_components(sizes):
    parts = [mixture(n, m, seed) for seed, (n, m) in enumerate(sizes)]
    whole = concatenate(parts)
    assert_rows(whole, parts)
    for covariance in ("aleatoric_covariance", "epistemic_covariance"):
        expected = np.concatenate([getattr(part, covariance)() for part in parts])
        np.testing.assert_allclose(getattr(whole, covariance)(), expected, rtol=1e-10)
    y = whole.median()
    np.testing.assert_allclose(
        whole.log_prob(y), np.concatenate([part.log_prob(part.median()) for part in parts]), rtol=1e-10
    )


def test_draws_of_different_numbers_and_missing_galaxies():
    draws = mixture().sample(30, random_state=0)
    draws[1] = np.nan
    parts = [Posterior.from_draws(draws), Posterior.from_draws(mixture(2).sample(50, random_state=1))]
    whole = concatenate(parts)
    assert_rows(whole, parts)
    assert np.isnan(whole.mean()).all(axis=1).tolist() == [False, True, False, False, False]
    assert whole.units == [None, None]


@pytest.mark.parametrize(
    ("transform", "other"),
    [
        (None, None),
        ("log", "log"),
        (AsinhTransform(6.0), AsinhTransform(0.1)),
        (LogitTransform(0, 120), LogitTransform(0, 2)),
    ],
)
def test_units_and_the_order_of_targets_are_those_of_the_first(transform, other):
    first = mixture(transforms=[None, transform])
    same = mixture(2, seed=1, transforms=[None, transform])
    second = mixture(2, seed=1, units=["nJy", "arcmin"], transforms=[None, other])
    if other in (None, "log"):  # moments in the other unit; elsewhere the transform has it
        scale = np.array([1, 1 / 60])
        means = same.means * scale if other is None else same.means + np.log(scale)
        trils = same.scale_trils * (scale[:, None] if other is None else 1)
        second = MixturePosterior(
            means,
            trils,
            same.weights,
            target_names=same.target_names,
            units=["nJy", "arcmin"],
            transforms=[None, other],
        )
    whole = concatenate([first, second[["half_light_radius", "flux"]]])
    assert (whole.target_names, whole.units) == (first.target_names, first.units)
    assert_rows(whole, [first, same])


def test_draws_are_converted():
    radius = {"target_names": "half_light_radius"}
    parts = [DrawsPosterior(np.full((1, 5, 1), 90.0), units="arcsec", **radius)]
    parts += [DrawsPosterior(np.full((1, 5, 1), 1.5), units="arcmin", **radius)]
    assert concatenate(parts).mean().ravel().tolist() == pytest.approx([90, 90])
    assert concatenate(parts[::-1]).mean().ravel().tolist() == pytest.approx([1.5, 1.5])


def test_ids_are_kept_and_empty_where_unknown():
    parts = [mixture(2, ids=["a", "b"]), mixture(1), mixture(1, ids=["long name"])]
    assert concatenate(parts).ids.tolist() == ["a", "b", "", "long name"]
    assert concatenate(parts[1:2] * 2).ids is None


@pytest.mark.parametrize(
    ("parts", "error", "message"),
    [
        ([], ValueError, "no posteriors to concatenate; expected at least one"),
        ([mixture(), 3], TypeError, "number 1 is a int; expected a sequence of posteriors"),
        ([mixture(), Posterior.from_draws(mixture().sample(5))], TypeError, "number 1 a DrawsPosterior; expected"),
        ([mixture(), mixture()["flux"]], ValueError, r"number 1 has the targets \['flux'\]; expected \['flux', "),
        ([mixture(), mixture(units=["nJy", "kpc"])], ValueError, "half_light_radius has the unit kpc in number 1"),
        ([mixture(), mixture(units=None)], ValueError, "flux has the unit None in number 1 and nJy in number 0"),
        ([mixture(), mixture(transforms=["log", None])], ValueError, "half_light_radius has the transform Identity"),
        (
            [mixture(transforms=["log", "asinh"]), mixture(transforms=["log", AsinhTransform(2.0)])],
            ValueError,
            r"has the transform AsinhTransform\(softening=2.0\) in number 1",
        ),
    ],
)
def test_what_does_not_belong_together(parts, error, message):
    with pytest.raises(error, match=message):
        concatenate(parts)
