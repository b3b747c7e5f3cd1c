"""Draws from proposals that adapt: their weights, and how wide posteriors come out."""

import math

import numpy as np
import pytest
import torch

from galestim.refinement._importance import Mixture, effective
from galestim.refinement._posterior import Sample
from galestim.refinement._refine import FINE, MORE, ROUGH

N, WIDTH, BEND = 10, 0.2, 0.2  # coordinates, width of all but the first, which is 1; by which they follow its square


class Bent:
    """Posteriors like bananas, and coordinates without limits."""

    def __init__(self, n_galaxies: int, generator):
        self.n_galaxies, self.generator, self.emulator, self.coordinates = n_galaxies, generator, self, self

    def of_rows(self, rows):
        return Bent(len(rows), self.generator)

    def inside(self, u):
        return u

    def of_shapes(self, u):
        across = (u[..., 1:] - BEND * u[..., :1].square()) / WIDTH
        return -0.5 * (u[..., 0].square() + across.square().sum(-1)), {"along": u[..., 0]}

    def expanded(self, u):
        slope = (
            torch.diag(torch.cat([torch.ones(1), torch.full((N - 1,), 1 / WIDTH)]))
            .double()
            .repeat(*u.shape[:2], 1, 1)
        )
        slope[..., 1:, 0] = -2 * BEND / WIDTH * u[..., :1]
        return None, None, slope.mT @ slope, None

    def at_the_mode(self) -> Mixture:
        place = torch.zeros(self.n_galaxies, 1, N, dtype=torch.float64)
        factor = torch.linalg.cholesky(2 * torch.linalg.inv(self.expanded(place)[2]))
        return Mixture(place, factor, torch.ones_like(place[..., 0]))


@pytest.fixture(scope="module")
def sample():
    posterior = Bent(8, torch.Generator().manual_seed(0))
    return Sample(posterior, Sample(posterior, posterior.at_the_mode(), ROUGH).proposal, FINE)


def test_weights_are_those_of_all_proposals_as_one(sample):
    some = sample.of_rows(torch.tensor([5, 2]))
    assert torch.equal(some.log_weights, sample.log_weights[[5, 2]])
    before = some.u.shape[1]
    some.add((100, 200))
    assert some.u.shape == (2, before + 300, N)
    assert sample.u.shape[1] == before
    density = sum(n / (before + 300) * one.log_density(some.u).exp() for n, one in some.used)
    torch.testing.assert_close(some.log_weights, some.posterior.of_shapes(some.u)[0] - density.log())


def test_distances_are_in_the_widths_of_parts():
    posterior = Bent(2, torch.Generator().manual_seed(0))
    mixture = posterior.at_the_mode().beside(Mixture(*vars(posterior.at_the_mode()).values()), 0.5)
    u = mixture.draw(5, posterior.generator)
    inverse = torch.linalg.inv(mixture.factor @ mixture.factor.mT)
    off = u[:, None] - mixture.place[:, :, None]
    torch.testing.assert_close(mixture.scaled(u), ((off @ inverse) * off).sum(-1).float())


def test_bent_posteriors_are_as_wide_as_they_are(sample):
    """Which the draws that proposals were fitted to are not: they have about 0.95 of the width."""
    some = sample.of_rows(torch.arange(8))
    some.add(MORE)
    log_weights, draws = some.after(8000)
    weights = torch.softmax(log_weights, 1)
    width = ((weights * draws["along"].square()).sum(1) - (weights * draws["along"]).sum(1).square()).sqrt()
    assert width.mean().item() == pytest.approx(1, abs=0.03)
    chance = math.sqrt(0.5 / effective(log_weights).mean().item())
    assert np.sqrt(np.mean((width.numpy() - 1) ** 2)) < 3 * chance
