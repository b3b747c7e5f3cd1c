import pytest
import torch
from torch import nn

from galestim.networks import CompactCNN
from galestim.networks._d4 import ORDER, transform


def trained_looking(network):
    """Weights and running statistics that are all different, as after training."""
    generator = torch.Generator().manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(generator=generator)
            module.running_var.uniform_(0.5, 2.0, generator=generator)
        for weights in module.parameters(recurse=False):
            nn.init.normal_(weights, std=0.3, generator=generator)
    return network.eval()


@pytest.mark.parametrize(
    "shape", [(64, 64, 3), (63, 63, 1), (40, 57, 2), (9, 4, 1), (1, 10, 1), (2, 3, 1), (1, 1, 1)]
)
def test_output_is_the_same_for_all_flips_and_quarter_turns(shape):
    torch.manual_seed(0)
    network = trained_looking(CompactCNN().build(shape, 2).double())
    images = torch.randn(4, shape[2], *shape[:2], dtype=torch.float64)
    expected = network(images)
    assert expected.std(0).min() > 1e-3  # it does tell images apart
    for element in range(ORDER):
        torch.testing.assert_close(network(transform(images, element)), expected, rtol=1e-10, atol=1e-10)


def test_output_changes_under_a_shear():
    torch.manual_seed(0)
    network = trained_looking(CompactCNN().build((32, 32, 1), 1))
    images = torch.randn(2, 1, 32, 32)
    sheared = torch.stack([row.roll(i, -1) for i, row in enumerate(images.unbind(2))], 2)
    assert (network(images) - network(sheared)).abs().min() > 1e-3


def test_small():
    assert sum(weights.numel() for weights in CompactCNN().build((80, 80, 3), 3).parameters()) < 600_000


def test_trains_on_a_batch_of_one():
    network = CompactCNN().build((16, 16, 1), 1).train()
    assert torch.isfinite(network(torch.rand(1, 1, 16, 16))).all()


def test_equal_widths_still_halve():
    network = CompactCNN(widths=(4, 4, 4)).build((32, 32, 1), 1)
    x, sides = network.stem(torch.rand(1, 1, 32, 32)), []
    for stage in network.stages:
        x = stage(x)
        sides.append(x.shape[-1])
    assert sides == [16, 8, 4]
