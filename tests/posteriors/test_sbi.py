import warnings

import numpy as np
import pytest
import torch

from galestim.posteriors import MixturePosterior, Posterior


@pytest.fixture(scope="module")
def sbi():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("sbi.diagnostics", reason="sbi is not installed")
        import sbi.diagnostics

        return sbi


KNOWN = [0, 1, 3]


def test_draws_and_densities_are_those_of_the_posterior(galaxies):
    view, known = galaxies.to_sbi(random_state=0), galaxies[KNOWN]
    x = view.x[KNOWN]
    draws = view.sample_batched((50,), x)
    np.testing.assert_array_equal(np.swapaxes(draws, 0, 1), known.sample(50, np.random.RandomState(0)))
    densities = view.log_prob_batched(draws, x)
    np.testing.assert_allclose(densities.T, known.log_prob(np.swapaxes(draws, 0, 1)), atol=1e-6)
    np.testing.assert_array_equal(view.log_prob(draws[:, 2], x[2]), densities[:, 2])
    assert view.sample_batched((5, 2), x).shape == (5, 2, 3, 3)
    assert view.sample((5, 2), x[1]).shape == (5, 2, 3)
    assert view.set_default_x(x[1]).sample((7,)).shape == (7, 3)


def test_the_same_seed_gives_the_same_draws(galaxies):
    one, other = (galaxies.to_sbi(3) for _ in range(2))
    assert torch.equal(one.sample((9,), 0), other.sample((9,), 0))
    assert not torch.equal(one.sample((9,), 0), one.sample((9,), 0))


def test_x_that_is_no_galaxy(galaxies):
    view = galaxies.to_sbi()
    for x in (4, -1, 0.5, view.x):
        with pytest.raises(ValueError, match=r"expected numbers of galaxies, from 0 to 3, as in the view's x\."):
            view.sample_batched((5,), x)
    for x in (None, view.x):
        with pytest.raises(ValueError, match="expected the number of one galaxy, one row of the view's x"):
            view.sample((5,), x)


def test_points_of_another_shape(galaxies):
    with pytest.raises(ValueError, match=r"theta has shape \(4, 3\); expected \(q, 2, 3\), q points for each row"):
        galaxies.to_sbi().log_prob_batched(np.ones((4, 3)), [0, 1])


def test_draws_have_no_density(draws):
    view = draws.to_sbi()
    assert view.sample((5,), 0).shape == (5, 3)
    with pytest.raises(TypeError, match="log_prob"):
        view.log_prob(np.ones((1, 3)), 0)


# ---- sbi itself


@pytest.fixture(scope="module")
def truth():
    """Right posteriors of 300 galaxies, one of them a missing cutout, and the truth."""
    rng = np.random.default_rng(0)
    means = rng.normal(size=(300, 1, 2))
    scale_trils = np.broadcast_to([[0.5, 0.0], [0.3, 0.4]], (300, 1, 2, 2))
    y = means[:, 0] + rng.normal(size=(300, 2)) @ scale_trils[0, 0].T
    means[7] = np.nan
    return MixturePosterior(means, scale_trils), y


def test_ranks_of_sbi(sbi, truth):
    posterior, y = truth
    view = posterior.to_sbi(0)
    with pytest.warns(UserWarning, match="Found 1 NaNs"):
        ranks, _ = sbi.diagnostics.run_sbc(torch.from_numpy(y), view.x, view, 400, show_progress_bar=False)
    known = ~np.isnan(view.x[:, 0].numpy())
    expected = posterior.cdf(y)[known]
    np.testing.assert_allclose(ranks / 400, expected, atol=4 * np.sqrt(0.25 / 400))


def test_expected_coverage_of_sbi(sbi, truth):
    posterior, y = truth
    view, some = posterior.to_sbi(0), slice(100, 200)
    ranks, _ = sbi.diagnostics.run_sbc(
        torch.from_numpy(y[some]), view.x[some], view, 200, reduce_fns=view.log_prob, show_progress_bar=False
    )
    squared = np.einsum("ni,nj,ij->n", d := y[some] - posterior.mean()[some], d, np.linalg.inv(posterior.cov()[100]))
    np.testing.assert_allclose(ranks[:, 0] / 200, np.exp(-squared / 2), atol=4 * np.sqrt(0.25 / 200))


def test_tarp_of_sbi(sbi, truth):
    posterior, y = truth
    view, some = posterior.to_sbi(0), slice(100, 300)
    covered, level = sbi.diagnostics.run_tarp(
        torch.from_numpy(y[some]), view.x[some], view, num_posterior_samples=200, show_progress_bar=False
    )
    np.testing.assert_allclose(covered, level, atol=4 * np.sqrt(0.25 / 200))


@pytest.mark.filterwarnings("ignore:Maximum number of epochs")  # it need not converge to draw
def test_draws_of_sbi_become_a_posterior(sbi, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where sbi writes its logs
    from sbi.inference import NPE
    from sbi.utils import BoxUniform

    torch.manual_seed(0)
    theta = torch.rand(300, 2) * 4 - 2
    x = theta + 0.3 * torch.randn(300, 2)
    trainer = NPE(
        BoxUniform(-2 * torch.ones(2), 2 * torch.ones(2)), density_estimator="mdn", show_progress_bars=False
    )
    trainer.append_simulations(theta, x).train(max_num_epochs=3)
    theirs = trainer.build_posterior()
    samples = theirs.sample_batched((500,), x=x[:4], show_progress_bars=False)
    posterior = Posterior.from_draws(samples.swapaxes(0, 1))
    np.testing.assert_allclose(posterior.mean(), samples.mean(0), atol=1e-6)
    again = theirs.sample_batched((500,), x=x[:4], show_progress_bars=False)
    assert (np.abs(posterior.mean() - again.mean(0).numpy()) < 5 * posterior.std() * np.sqrt(2 / 500)).all()
