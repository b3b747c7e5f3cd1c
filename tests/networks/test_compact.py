import pytest
import torch
from torch import nn

from galestim.networks import CompactCNN
from galestim.networks._d4 import ORDER, BlurPool, HalvingLift, LiftingConv, transform


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


LEAN = CompactCNN(readout="radial", stem="strided", norm="none")


@pytest.mark.parametrize("spec", [CompactCNN(), LEAN])
@pytest.mark.parametrize(
    "shape", [(64, 64, 3), (63, 63, 1), (40, 57, 2), (9, 4, 1), (1, 10, 1), (2, 3, 1), (1, 1, 1)]
)
def test_output_is_the_same_for_all_flips_and_quarter_turns(spec, shape):
    torch.manual_seed(0)
    network = trained_looking(spec.build(shape, 2).double())
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


@pytest.mark.parametrize("spec", [CompactCNN(), LEAN])
def test_small(spec):
    assert sum(weights.numel() for weights in spec.build((80, 80, 3), 9).parameters()) < 600_000


def test_without_normalization_the_batch_does_not_matter():
    network = LEAN.set_params(dropout=0.0).build((16, 16, 1), 2).train()
    images = torch.rand(8, 1, 16, 16)
    torch.testing.assert_close(network(images)[:1], network(images[:1]))


def test_strided_stem_is_the_convolution_and_the_pooling_in_one():
    torch.manual_seed(0)
    lift, both = LiftingConv(2, 3, 5), HalvingLift(2, 3, 5)
    both.weight = lift.weight
    for side in (32, 33):
        images = torch.rand(1, 2, side, side)
        inside = (slice(None), slice(None), slice(2, -2), slice(2, -2))  # the edges are padded otherwise
        torch.testing.assert_close(both(images)[inside], BlurPool()(lift(images))[inside])


@pytest.mark.parametrize("parameters", [{"readout": "max"}, {"stem": "none"}, {"norm": "layer"}])
def test_unknown_choices(parameters):
    (name, value) = next(iter(parameters.items()))
    with pytest.raises(ValueError, match=f"{name}='{value}'; expected "):
        CompactCNN(**parameters).build((8, 8, 1), 1)


def test_context_changes_the_answer():
    torch.manual_seed(0)
    network = trained_looking(CompactCNN().build((16, 16, 1), 2, 1))
    images = torch.rand(3, 1, 16, 16)
    assert not torch.allclose(network(images, torch.zeros(3, 1)), network(images, torch.ones(3, 1)))


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
