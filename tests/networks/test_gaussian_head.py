import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal

from galestim.networks import GaussianHead

TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}


def raw_outputs(head, n_targets, dtype, n=200, scale=1.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(n, head.n_outputs(n_targets), dtype=dtype, generator=generator)


def torch_mixture(raw, n_targets, n_mixture):
    """The same distribution, read by hand: L D Lᵀ from loops, and torch's own density."""
    logits = raw[:, :n_mixture] if n_mixture > 1 else torch.zeros_like(raw[:, :1])
    parts = raw[:, n_mixture if n_mixture > 1 else 0 :].reshape(len(raw), n_mixture, -1)
    lower = torch.eye(n_targets, dtype=raw.dtype).repeat(len(raw), n_mixture, 1, 1)
    number = 2 * n_targets
    for row in range(n_targets):
        for column in range(row):
            lower[:, :, row, column] = parts[:, :, number]
            number += 1
    trils = lower @ torch.diag_embed(torch.exp(0.5 * parts[:, :, n_targets : 2 * n_targets]))
    components = MultivariateNormal(parts[:, :, :n_targets], scale_tril=trils)
    return MixtureSameFamily(Categorical(logits=logits), components)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("n_mixture", [1, 3])
@pytest.mark.parametrize("n_targets", [1, 2, 3, 4, 5, 6])
def test_likelihood_and_gradient_are_those_of_torch(n_targets, n_mixture, dtype):
    head = GaussianHead(n_mixture, bounded=False)
    y = raw_outputs(head, n_targets, dtype, seed=1)[:, :n_targets]
    found, gradients = [], []
    for density in (lambda raw: head(raw, n_targets), lambda raw: torch_mixture(raw, n_targets, n_mixture)):
        raw = raw_outputs(head, n_targets, dtype).requires_grad_()
        log_prob = density(raw).log_prob(y)
        log_prob.mean().backward()
        found.append(log_prob.detach())
        gradients.append(raw.grad)
    for ours, theirs in (found, gradients):
        assert torch.all((ours - theirs).abs() <= TOLERANCE[dtype] * (1 + theirs.abs()))


def test_likelihood_is_that_of_scipy():
    head = GaussianHead(bounded=False)
    raw = raw_outputs(head, 3, torch.float64, n=20)
    mixture = head(raw, 3)
    y = np.random.default_rng(0).normal(size=(20, 3))
    covariances = (mixture.scale_trils @ mixture.scale_trils.mT)[:, 0].numpy()
    expected = [multivariate_normal(m, c).logpdf(v) for m, c, v in zip(mixture.means[:, 0].numpy(), covariances, y)]
    np.testing.assert_allclose(mixture.log_prob(torch.from_numpy(y)), expected, rtol=1e-10)


@pytest.mark.parametrize("n_targets", [1, 2, 3, 4, 5, 6])
def test_number_of_outputs_is_the_published_one(n_targets):
    assert GaussianHead().n_outputs(n_targets) == (3 * n_targets + n_targets**2) // 2
    assert GaussianHead(n_mixture=3).n_outputs(n_targets) == 3 * (1 + (3 * n_targets + n_targets**2) // 2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("n_targets", "n_mixture"), [(1, 1), (3, 1), (6, 1), (3, 3), (6, 3)])
def test_any_outputs_give_finite_likelihoods_and_gradients(n_targets, n_mixture, dtype):
    head = GaussianHead(n_mixture)
    generator = torch.Generator().manual_seed(0)
    raw = 100 * torch.rand(100_000, head.n_outputs(n_targets), dtype=dtype, generator=generator) - 50
    raw.requires_grad_()
    log_prob = head(raw, n_targets).log_prob(torch.zeros(100_000, n_targets, dtype=dtype))
    log_prob.mean().backward()
    assert log_prob.isfinite().all()
    assert raw.grad.isfinite().all()


@settings(deadline=None, derandomize=True, max_examples=50)
@given(
    st.lists(st.floats(-50, 50, width=32), min_size=9, max_size=9),
    st.lists(st.floats(-5, 5, width=32), min_size=3, max_size=3),
)
def test_covariances_are_positive_definite_and_bounded(raw, y):
    mixture = GaussianHead()(torch.tensor([raw]), 3)
    diagonal = mixture.scale_trils.diagonal(dim1=-2, dim2=-1)
    assert (diagonal >= np.exp(-10.001)).all()
    assert (diagonal <= np.exp(10.001)).all()
    assert mixture.scale_trils.triu(1).abs().sum() == 0
    assert mixture.log_prob(torch.tensor([y])).isfinite().all()


def test_bounds_do_not_matter_for_ordinary_outputs():
    raw = raw_outputs(GaussianHead(), 3, torch.float64)
    ours, published = (GaussianHead(bounded=bounded)(raw, 3).scale_trils for bounded in (True, False))
    assert torch.allclose(ours, published, rtol=0.02, atol=1e-3)


def test_errors_of_the_targets_widen_the_covariance():
    head = GaussianHead(n_mixture=2)
    raw = raw_outputs(head, 3, torch.float64, n=10)
    mixture, y = head(raw, 3), torch.zeros(10, 3, dtype=torch.float64)
    variance = torch.linspace(0, 2, 30, dtype=torch.float64).reshape(10, 3)
    covariances = mixture.scale_trils @ mixture.scale_trils.mT + torch.diag_embed(variance)[:, None]
    components = MultivariateNormal(mixture.means, covariance_matrix=covariances)
    expected = MixtureSameFamily(Categorical(logits=mixture.log_weights), components).log_prob(y)
    assert torch.allclose(mixture.log_prob(y, variance), expected, rtol=1e-10)


def test_wrong_number_of_outputs():
    with pytest.raises(ValueError, match=r"the network gives 8 numbers per image; expected 9 for 3 targets and 1"):
        GaussianHead()(torch.zeros(2, 8), 3)
