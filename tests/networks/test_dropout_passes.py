"""Monte Carlo dropout: a pass is one network, whoever else is in the batch."""

import pytest
import torch
from torch import nn

from galestim.networks._dropout import Dropout, drops_out, monte_carlo_passes, set_dropout


def network(rate=0.5):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), Dropout(rate), nn.ReLU(), Dropout(rate), nn.Linear(8, 2)).eval()


def run(module, x, seed, passes):
    with monte_carlo_passes(module, seed, passes), torch.no_grad():
        return module(x.repeat(len(passes), 1)).unflatten(0, (len(passes), -1))


X = torch.rand(5, 6, generator=torch.Generator().manual_seed(1))


def test_same_seed_same_passes_and_another_seed_others():
    module = network()
    assert torch.equal(run(module, X, 3, range(10)), run(module, X, 3, range(10)))
    assert not torch.equal(run(module, X, 3, range(10)), run(module, X, 4, range(10)))


def test_passes_do_not_depend_on_the_other_galaxies_or_on_the_chunk():
    module = network()
    together = run(module, X, 0, range(12))
    assert torch.allclose(run(module, X[2:3], 0, range(12)), together[:, 2:3], atol=1e-6)
    in_parts = torch.cat([run(module, X, 0, range(5)), run(module, X, 0, range(5, 12))])
    assert torch.allclose(in_parts, together, atol=1e-6)


def test_layers_and_passes_have_masks_of_their_own():
    ones, layer = torch.ones(1, 1000), Dropout(0.5)
    both = nn.Sequential(layer, Dropout(0.5))
    masks = run(layer_in(layer), ones, 0, range(2))[:, 0] > 0
    twice = run(both, ones, 0, range(1))[0, 0] > 0
    assert abs((masks[0] == masks[1]).float().mean() - 0.5) < 4 * (0.25 / 1000) ** 0.5
    assert abs(twice.float().mean() - 0.25) < 4 * (0.75 * 0.25 / 1000) ** 0.5


def layer_in(layer):
    return nn.Sequential(layer)


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_mean_is_kept(rate):
    dropped = run(layer_in(Dropout(rate)), torch.ones(1, 100_000), 0, range(1))
    error = (rate * (1 - rate) / 100_000) ** 0.5  # of the share that is dropped
    assert abs(float((dropped == 0).float().mean()) - rate) < 4 * error
    assert abs(float(dropped.mean()) - 1) < 4 * error / (1 - rate)


def test_leaves_nothing_behind():
    module = network()
    before = module(X)
    run(module, X, 0, range(3))
    assert torch.equal(module(X), before)


def test_set_dropout_takes_over_the_layers_of_torch():
    module = nn.Sequential(nn.Sequential(nn.Dropout(0.3)), Dropout(0.2), nn.Linear(2, 2))
    set_dropout(module, None)
    assert [layer.rate for layer in module.modules() if isinstance(layer, Dropout)] == [0.3, 0.2]
    set_dropout(module, 0.0)
    assert not drops_out(module)
    set_dropout(module, 0.1)
    assert drops_out(module)
