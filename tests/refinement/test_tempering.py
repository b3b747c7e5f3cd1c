"""Tempering: shapes find all modes, and are as wide as the posterior is."""

import numpy as np
import pytest
import torch
from sklearn.utils._param_validation import InvalidParameterError

from galestim.checkpoints import load_pretrained
from galestim.datasets import SimulatedGalaxies
from galestim.refinement import RefinedRegressor
from galestim.refinement._tempering import Known, _moved, _next
from galestim.simulation import Uniform, sim_v1_prior, sim_v2_cameras


class Two:
    """Two narrow modes, of 3/4 and 1/4 of the posterior, and coordinates without limits."""

    class Coordinates:
        known = torch.tensor([True, True])

        @staticmethod
        def inside(u):
            return u

    def __init__(self):
        self.emulator, self.coordinates = self, self.Coordinates()

    def of_shapes(self, u):
        off = torch.stack([u - 1.5, u + 1.5], -2)
        log_density = -0.5 * (off / 0.1).square().sum(-1) + torch.tensor([3.0, 1.0]).log()
        return torch.logsumexp(log_density, -1), {}


def test_two_modes_far_apart_keep_their_shares():
    posterior, generator = Two(), torch.Generator().manual_seed(0)
    known = Known(posterior.coordinates, torch.zeros(1, 2, dtype=torch.float64))
    u = known.draw(2000, generator)
    power = torch.zeros(1, 1, dtype=torch.float64)
    steps = 0
    while (power < 1).any():
        value = posterior.of_shapes(u)[0]
        power, log_weights = _next(power, value - known.log_density(u))
        rows = torch.multinomial(torch.softmax(log_weights, 1), 2000, replacement=True, generator=generator)
        u = u.gather(1, rows[..., None].expand_as(u))
        u = _moved(u, posterior.of_shapes(u)[0], power, known, posterior, generator)[0]
        steps += 1
    share = (u[0, :, 0] > 0).double().mean().item()
    assert steps > 3
    assert share == pytest.approx(0.75, abs=0.06)
    right = u[0][u[0, :, 0] > 0]
    assert np.allclose(right.mean(0), 1.5, atol=0.02)
    assert np.allclose(right.std(0), 0.1, rtol=0.1)


@pytest.fixture(scope="module")
def bright():
    cameras = sim_v2_cameras().replace(
        fwhm=2.5, beta=3.5, signal_to_noise=300.0, correlated_share=0.0, double_share=0.0, stamp_size=8.0
    )
    prior = sim_v1_prior().replace(bulge_to_total=Uniform(0.1, 0.9))
    images = SimulatedGalaxies(2, npix=40, band=cameras, prior=prior, random_state=3)[:]
    return RefinedRegressor(load_pretrained("any-camera"), prior=prior, when="always"), images


def test_both_samplers_draw_from_one_posterior(bright):
    model, images = bright
    posteriors = [model.set_params(sampler=sampler).refine(images) for sampler in ("importance", "tempering")]
    (weighted, _), (tempered, report) = posteriors
    apart = (tempered.mean() - weighted.mean()) / np.sqrt(weighted.var())
    assert (abs(apart) < 0.6).all(), apart  # from seed to seed, the means that 512 shapes give differ by 0.2
    assert np.allclose(np.sqrt(tempered.var() / weighted.var()), 1, atol=0.3)
    assert (report["status"] == "refined").all()
    assert (report["effective"] > 250).all()
    again = model.predict_posterior(images)
    assert np.array_equal(again.draws, tempered.draws)


def test_what_has_not_arrived_is_not_relied_on(bright, monkeypatch):
    model, images = bright
    monkeypatch.setattr("galestim.refinement._tempering.N_STEPS", 2)
    report = model.set_params(sampler="tempering").refine(images[:1]).report
    assert report["status"].tolist() == ["unreliable"]


def test_an_unknown_sampler_is_refused(bright):
    model, images = bright
    with pytest.raises(InvalidParameterError, match=r"sampler.*among.*Got .chains"):
        RefinedRegressor(model.estimator, sampler="chains").refine(images)
