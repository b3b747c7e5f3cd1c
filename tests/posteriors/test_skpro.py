import pickle

import numpy as np
import pandas as pd
import pytest

from galestim.posteriors import MixturePosterior, Posterior

IDS = ["a", "b", "c", "d"]


@pytest.fixture
def skpro():
    """Skpro 2.16 wants pandas older than 3.1, so that it is no part of the extra `test`."""
    return pytest.importorskip("skpro.distributions", reason="skpro is not installed; it wants pandas < 3.1")


@pytest.fixture
def distribution(skpro, galaxies):
    galaxies.ids = IDS
    return galaxies.to_skpro()


def test_values_are_those_of_the_posterior(distribution, galaxies):
    assert distribution.shape == (4, 3)
    assert (list(distribution.index), list(distribution.columns)) == (IDS, galaxies.target_names)
    x = np.array([[0.3, 1.1, 0.2]] * 4)
    log_density = np.stack([galaxies[name].log_prob(x[:, [j]]) for j, name in enumerate(galaxies.target_names)], 1)
    for theirs, ours in [
        (distribution.mean(), galaxies.mean()),
        (distribution.var(), galaxies.var()),
        (distribution.cdf(x), galaxies.cdf(x)),
        (distribution.pdf(x), galaxies.pdf(x)),
        (distribution.log_pdf(x), log_density),
        (distribution.ppf(0.3), galaxies.quantile(0.3)),
        (distribution.ppf(galaxies.cdf(x)), np.where(np.isnan(galaxies.mean()), np.nan, x)),
    ]:
        np.testing.assert_allclose(theirs, ours, rtol=1e-6)
        assert list(theirs.index) == IDS
    np.testing.assert_allclose(
        distribution.quantile([0.1, 0.9])["flux"].to_numpy(), galaxies.quantile([0.1, 0.9])[..., 2]
    )


def test_it_comes_back_as_it_was(distribution, galaxies):
    assert Posterior.from_skpro(distribution) is galaxies
    again = Posterior.from_skpro(pickle.loads(pickle.dumps(distribution)))
    np.testing.assert_array_equal(again.means, galaxies.means)


def test_selection(distribution, galaxies):
    np.testing.assert_array_equal(distribution.loc[["d", "a"], ["flux"]].mean(), galaxies[[3, 0]]["flux"].mean())
    np.testing.assert_array_equal(distribution.iloc[1:].mean(), galaxies[1:].mean())
    one = distribution.iat[1, 2]
    assert one.mean() == galaxies.mean()[1, 2]
    assert one.cdf(0.3) == galaxies["flux"].cdf(np.full((4, 1), 0.3))[1, 0]
    assert np.ndim(one.sample()) == 0
    x = pd.DataFrame({"flux": [0.1, 0.2]}, index=["b", "a"])
    np.testing.assert_allclose(
        distribution.cdf(x)["flux"], [galaxies["flux"].cdf(np.full((4, 1), v))[i, 0] for i, v in [(1, 0.1), (0, 0.2)]]
    )


def test_draws_are_joint(skpro):
    posterior = MixturePosterior(np.zeros((2, 1, 2)), np.broadcast_to([[1.0, 0.0], [0.8, 0.6]], (2, 1, 2, 2)))
    frame = posterior.to_skpro().sample(4000)
    assert frame.index.nlevels == 2
    assert frame.xs(1, level=1).corr().iloc[0, 1] == pytest.approx(0.8, abs=4 * 0.36 / np.sqrt(4000))


def test_draws(skpro, draws):
    known = draws[[0, 1, 3]]
    distribution = known.to_skpro()
    np.testing.assert_allclose(distribution.ppf(0.3), known.quantile(0.3))
    with pytest.raises(TypeError, match="pdf"):
        distribution.pdf(0.5)


def test_scores_of_skpro(skpro):
    from skpro.metrics import CRPS, LogLoss

    posterior = MixturePosterior(np.zeros((3, 1, 1)), np.ones((3, 1, 1, 1)), target_names=["y"])
    y = pd.DataFrame({"y": [0.0, 1.0, -2.0]})
    normal = skpro.Normal(0, 1, index=y.index, columns=y.columns)
    for score, rtol in ((LogLoss(), 1e-9), (CRPS(), 2e-3)):
        assert score(y, posterior.to_skpro()) == pytest.approx(score(y, normal), rel=rtol)


def test_gaussians_come_in_exactly(skpro):
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": [3.0, 4.0]}, index=["x", "y"])
    normal = skpro.Normal(frame, [[0.5, 1.0]], index=frame.index, columns=frame.columns)
    posterior = Posterior.from_skpro(normal, units=["arcsec", None])
    np.testing.assert_allclose(posterior.mean(), frame)
    np.testing.assert_allclose(posterior.std(), [[0.5, 1.0]] * 2)
    np.testing.assert_allclose(posterior.quantile(0.9), normal.ppf(0.9), rtol=1e-6)
    assert (posterior.target_names, posterior.ids.tolist()) == (["a", "b"], ["x", "y"])
    mixture = skpro.NormalMixture([[0.3, 0.7]], [[[0.0], [3.0]]], [[[1.0], [0.5]]])
    np.testing.assert_allclose(Posterior.from_skpro(mixture).cdf([[1.0]]), mixture.cdf(1.0), rtol=1e-9)


def test_others_come_in_as_draws(skpro):
    gamma = skpro.Gamma(alpha=[[2.0, 3.0], [4.0, 5.0]], beta=1.0)
    posterior = Posterior.from_skpro(gamma, n_samples=2000, random_state=0)
    np.testing.assert_allclose(posterior.mean(), gamma.mean(), rtol=1e-3)
    np.testing.assert_allclose(posterior.quantile(0.9), gamma.ppf(0.9), rtol=1e-3)
    correlation = np.corrcoef(posterior.draws[0].T)[0, 1]
    assert abs(correlation) < 4 / np.sqrt(2000)
    with pytest.raises(ValueError, match="got Normal without rows; expected a distribution of skpro with a row"):
        Posterior.from_skpro(skpro.Normal(0, 1))
