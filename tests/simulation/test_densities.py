"""Densities of priors: they integrate to one, and are those of the draws."""

import numpy as np
import pytest

from galestim.simulation import LogUniform, Mixture, Near, Uniform


@pytest.mark.parametrize(
    "prior", [Uniform(0.5, 2.0), LogUniform(0.5, 4.0), Mixture([Uniform(0, 1), LogUniform(0.5, 2)], [0.3, 0.7])]
)
def test_densities_are_those_of_draws(prior):
    edges = np.linspace(0, 4, 2001)
    middle = (edges[1:] + edges[:-1]) / 2
    density = np.exp(prior.log_density(middle))
    assert (density * np.diff(edges)).sum() == pytest.approx(1, abs=3e-3)
    draws = prior.draw(100_000, np.random.default_rng(0))
    assert (density * middle * np.diff(edges)).sum() == pytest.approx(draws.mean(), abs=0.01)
    assert (prior.log_density([-1.0, 9.0]) == -np.inf).all()


def test_angles_near_each_other_turn_around():
    near = Near("disk_position_angle", 15.0)
    density = near.log_density([1.0, 100.0], {"disk_position_angle": np.array([175.0, 50.0])})
    np.testing.assert_allclose(np.exp(density), [1 / 30, 0])
    np.testing.assert_allclose(np.exp(Near("radius", 1.0).log_density([181.0], {"radius": [1.0]})), [0])


def test_single_values():
    assert Uniform(1.0, 1.0).log_density([1.0, 2.0]).tolist() == [0.0, -np.inf]
    assert LogUniform(1.0, 1.0).log_density([1.0, 2.0]).tolist() == [0.0, -np.inf]
