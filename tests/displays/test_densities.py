import numpy as np
import pytest
from scipy.interpolate import RegularGridInterpolator

from galestim.displays._densities import density, highest_density
from galestim.posteriors import DrawsPosterior, MixturePosterior


@pytest.fixture
def posterior():
    """One galaxy, three correlated targets, four passes that disagree."""
    rng = np.random.default_rng(0)
    scale_tril = np.linalg.cholesky(np.outer([0.5, 0.1, 0.1], [0.5, 0.1, 0.1]) * (0.6 + 0.4 * np.eye(3)))
    means = [-1.0, 0.5, 2.0] + rng.normal(size=(1, 4, 3)) * [0.4, 0.05, 0.05]
    return MixturePosterior(means, [[scale_tril] * 4], [[0.4, 0.3, 0.2, 0.1]], transforms=["logit", "log", "log"])


def cell_sizes(grid):
    """From the distances between the centers, without the cells at the ends."""
    widths = [(axis[2:] - axis[:-2]) / 2 for axis in grid.axes]
    return widths[0] if len(widths) == 1 else np.outer(*widths)


def test_the_density_of_a_target_is_the_marginal_in_physical_units(posterior):
    for target in range(3):
        grid = density(posterior, [target])
        y = np.tile(posterior.median()[:, None], (1, len(grid.axes[0]), 1))
        y[0, :, target] = grid.axes[0]
        inside = (grid.axes[0] > 0.006) & (grid.values > 1e-3 * grid.values.max())
        np.testing.assert_allclose(grid.values[inside], posterior.pdf(y)[0, inside, target], rtol=1e-3)


def test_the_density_of_a_pair_is_the_joint_one_in_physical_units(posterior):
    pair = MixturePosterior(
        posterior.means[:, :, :2], posterior.scale_trils[:, :, :2, :2], posterior.weights, transforms=["logit", "log"]
    )  # the first two rows of a Cholesky factor are that of the first two targets
    grid = density(posterior, [0, 1])
    points = np.stack(np.meshgrid(*grid.axes, indexing="ij"), axis=-1).reshape(1, -1, 2)
    exact = np.exp(pair.log_prob(points)).reshape(grid.values.shape)
    inside = grid.values > 1e-3 * grid.values.max()
    np.testing.assert_allclose(grid.values[inside], exact[inside], rtol=2e-3)
    swapped = density(posterior, [1, 0])
    np.testing.assert_allclose(swapped.values, grid.values.T, rtol=1e-6)


@pytest.mark.parametrize("targets", [[0], [2], [0, 1], [2, 0]])
def test_all_of_the_probability_is_there(posterior, targets):
    for form in (posterior, DrawsPosterior(posterior.sample(2000, 0))):
        grid = density(form, targets)
        np.testing.assert_allclose(grid.mass.sum(), 1, atol=2e-3)
        inner = (slice(1, -1),) * len(targets)
        np.testing.assert_allclose(np.sum(grid.values[inner] * cell_sizes(grid)), 1, atol=0.01)


@pytest.mark.parametrize("targets", [[0], [0, 1], [1, 2]])
def test_regions_hold_their_share_of_the_draws(posterior, targets):
    grid = density(posterior, targets)
    draws = posterior.sample(20_000, 0)[0][:, targets]
    at_draws = RegularGridInterpolator(grid.axes, grid.values, bounds_error=False, fill_value=0)(draws)
    shares = [np.mean(at_draws >= edge) for edge in highest_density(grid, [0.68, 0.95])]
    np.testing.assert_allclose(shares, [0.68, 0.95], atol=0.012)


def test_one_sigma_of_a_plane_is_not_two_thirds():
    gaussian = MixturePosterior([[[0.0, 0.0]]], [[[[1.0, 0.0], [0.0, 1.0]]]])
    edges = highest_density(density(gaussian, [0, 1]), [0.3935, 0.68, 0.95])
    radius = np.sqrt(-2 * np.log(edges * 2 * np.pi))  # of the circle on which the density is the edge
    np.testing.assert_allclose(radius, [1, np.sqrt(-2 * np.log(0.32)), np.sqrt(-2 * np.log(0.05))], rtol=5e-3)


def test_draws_have_about_the_density_they_came_from(posterior):
    exact = density(posterior, [1])
    draws = posterior.sample(40_000, 0)
    smooth = density(DrawsPosterior(draws), [1])
    error = np.interp(exact.axes[0], smooth.axes[0], smooth.values) - exact.values
    assert np.abs(error).max() < 0.05 * exact.values.max()


def test_weights_of_draws_count():
    rng = np.random.default_rng(0)
    draws = rng.uniform(size=(1, 20_000, 1))
    grid = density(DrawsPosterior(draws, draws[..., 0]), [0])  # a density that grows linearly
    middle = (grid.axes[0] > 0.15) & (grid.axes[0] < 0.85)
    np.testing.assert_allclose(grid.values[middle], 2 * grid.axes[0][middle], atol=0.12)


def test_draws_do_not_leak_beyond_their_bounds():
    draws = np.random.default_rng(0).uniform(size=(1, 20_000, 2))
    for targets in ([0], [0, 1]):
        grid = density(DrawsPosterior(draws), targets)
        assert min(axis[0] for axis in grid.axes) > 0
        assert max(axis[-1] for axis in grid.axes) < 1
        assert grid.values.ravel()[[0, -1]].min() > 0.75


@pytest.mark.parametrize("spread", [1.0, 4.0, 15.0])
def test_a_posterior_at_the_bound_is_still_finite(spread):
    posterior = MixturePosterior([[[-6.0, 3.0]]], [[[[spread, 0], [0.1, 0.3]]]], transforms=["logit", "log"])
    for targets in ([0], [0, 1]):
        grid = density(posterior, targets)
        assert np.isfinite(grid.values).all()
        assert 0 <= grid.axes[0][0] < grid.axes[0][-1] <= 1
