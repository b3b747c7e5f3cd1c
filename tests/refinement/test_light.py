"""Light: draws of fluxes are those of the cut-off normal distribution, radii those of the simulator."""

import numpy as np
import torch
from scipy.stats import truncnorm

from galestim.refinement._light import drawn_fluxes, log_half_light_radius
from galestim.refinement._linear import Fit
from galestim.simulation import half_light_radius, sim_v2_prior


def fit_of(best, covariance):
    factor = torch.linalg.cholesky(torch.linalg.inv(torch.tensor(covariance, dtype=torch.float64)))
    return Fit(None, torch.tensor([[best]], dtype=torch.float64), factor[None, None], None)


def test_fluxes_are_drawn_within_their_limits():
    covariance = [[4.0, -3.5, 0.1], [-3.5, 3.5, 0.0], [0.1, 0.0, 1.0]]
    generator = torch.Generator().manual_seed(0)
    total, bulge, log_weight = drawn_fluxes(fit_of([1.0, 9.0, 0.0], covariance), 200_000, generator)
    assert ((bulge >= 0) & (bulge <= total)).all()
    weight = torch.softmax(log_weight, -1)[0, 0].numpy()
    draws = np.random.default_rng(0).multivariate_normal([1.0, 9.0], np.array(covariance)[:2, :2], size=400_000)
    kept = draws[(draws >= 0).all(axis=1)]
    for found, expected in ((bulge, kept[:, 0]), (total, kept.sum(axis=1))):
        values = found[0, 0].numpy()
        mean = (weight * values).sum()
        assert abs(mean - expected.mean()) < 0.02
        assert abs(np.sqrt((weight * (values - mean) ** 2).sum()) - expected.std()) < 0.02
    np.testing.assert_allclose(np.exp(log_weight.numpy()).mean(), (draws >= 0).all(axis=1).mean(), rtol=0.01)


def test_fluxes_far_beyond_their_limits():
    covariance = np.diag([1.0, 1e-4, 1.0])
    generator = torch.Generator().manual_seed(0)
    total, bulge, log_weight = drawn_fluxes(fit_of([-12.0, 50.0, 0.0], covariance), 20_000, generator)
    assert torch.isfinite(log_weight).all()
    assert ((bulge >= 0) & (bulge <= total)).all()
    weight = torch.softmax(log_weight, -1)[0, 0]
    expected = truncnorm.mean(12, np.inf, loc=-12)  # the disk is known well
    np.testing.assert_allclose(float((weight * bulge[0, 0]).sum()), expected, rtol=0.1)


def test_radii_are_those_of_the_simulator():
    galaxies = sim_v2_prior().draw(400, random_state=0)
    names = ("bulge_to_total", "bulge_radius", "disk_radius", "bulge_sersic_index", "disk_sersic_index")
    share, bulge, disk, *indices = (torch.tensor(galaxies[name]) for name in names)
    found = log_half_light_radius(share, bulge.log(), disk.log(), *indices).exp()
    np.testing.assert_allclose(found, half_light_radius(galaxies), rtol=5e-5)
