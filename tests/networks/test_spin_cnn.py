import pytest
import torch
from torch import nn

from galestim.networks import SpinCNN


def n_weights(network):
    return sum(weights.numel() for weights in network.parameters())


def test_published_size():
    assert n_weights(SpinCNN().build((80, 80, 3), 1)) == 5_994_145


def test_published_shapes_layer_by_layer():
    shapes, x = [], torch.rand(2, 3, 80, 80)
    for layer in SpinCNN().build((80, 80, 3), 1).eval():
        x = layer(x)
        if isinstance(layer, nn.Conv2d | nn.MaxPool2d | nn.Flatten | nn.Linear):
            shapes.append(tuple(x.shape[1:]))
    convolutions = [
        (64, 75, 75),
        (96, 71, 71),
        (96, 35, 35),
        (128, 34, 34),
        (128, 17, 17),
        (192, 16, 16),
        (192, 15, 15),
    ]
    assert shapes == [*convolutions, (43_200,), (128,), (64,), (1,)]


def test_published_dropout_rates_in_order():
    network = SpinCNN().build((80, 80, 3), 1)
    assert [layer.rate for layer in network if hasattr(layer, "rate")] == [0.5, 0.25, 0.25, 0.25, 0.25, 0.25]


def test_pooling_before_relu_changes_nothing():
    torch.manual_seed(0)
    network = SpinCNN().build((80, 80, 3), 1).eval()
    x = torch.randn(2, 3, 80, 80)
    expected, waiting = x, None
    for layer in network:  # the published order: convolution, ReLU, pooling
        if isinstance(layer, nn.MaxPool2d):
            waiting = layer
            continue
        expected = layer(expected)
        if isinstance(layer, nn.ReLU) and waiting is not None:
            expected, waiting = waiting(expected), None
    torch.testing.assert_close(network(x), expected, rtol=0, atol=0)


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 7, 2), (3, 2, 3), (11, 5, 1), (20, 33, 4)])
def test_kernels_are_clipped_to_small_maps(shape):
    network = SpinCNN().build(shape, 2)
    assert network(torch.rand(3, shape[2], *shape[:2])).shape == (3, 2)


def test_every_number_is_a_parameter():
    spec = SpinCNN(
        filters=(4, 6),
        kernel_sizes=(3, 3),
        conv_dropout=(0, 0),
        pool_after=(1,),
        pool_size=3,
        dense_units=(5,),
    )
    network = spec.build((14, 14, 2), 3)
    # 14 → 12 → pooled by 3 to 4 → 2: 2·9·4 + 4, 4·9·6 + 6, 24·5 + 5, 5·3 + 3
    assert n_weights(network) == 76 + 222 + 125 + 18


def test_lengths_must_agree():
    with pytest.raises(
        ValueError, match=r"kernel_sizes=\[6, 5, 2\] has 3 entries; expected 5, one per convolution\."
    ):
        SpinCNN(kernel_sizes=(6, 5, 2)).build((80, 80, 3), 1)
