import math
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from galestim import CNNRegressor
from galestim.networks import VGG16, Dropout, SplitNetwork
from galestim.networks._dropout import drops_out, monte_carlo_passes, set_dropout

WIDTHS = [64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512]
PLAIN = [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28]  # the convolutions of torchvision's vgg16().features
POOLED_AFTER = {2, 4, 7, 10, 13}  # convolutions, counted from 1
CONVOLUTIONS = 14_714_688


def n_weights(network):
    return sum(weights.numel() for weights in network.parameters())


def layers_of(network, kind):
    return [layer for layer in network.modules() if isinstance(layer, kind)]


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return VGG16(units=32).build((33, 20, 3), 2, n_context=1)


@pytest.mark.parametrize(("n_context", "extra"), [(0, 0), (2, 2 * 9)])
def test_published_size(n_context, extra):
    """Nine outputs: mean and covariance of three targets."""
    with torch.device("meta"):
        network = VGG16().build((96, 96, 3), (9 + 9) // 2, n_context)
    assert isinstance(network, SplitNetwork)
    assert sum(n_weights(layer) for layer in layers_of(network, nn.Conv2d)) == CONVOLUTIONS
    dense = (25_088 * 4096 + 4096) + (4096 * 4096 + 4096) + (4096 * 9 + 9)
    assert n_weights(network) == CONVOLUTIONS + dense + extra == 134_297_417 + extra


def test_same_as_written_out_by_hand():
    torch.manual_seed(1)
    network = VGG16(units=32).build((40, 52, 3), 2, n_context=1).double().eval()
    images, context = torch.randn(2, 3, 40, 52).double(), torch.randn(2, 1).double()
    x = images
    for number, layer in enumerate(layers_of(network, nn.Conv2d), start=1):
        x = F.relu(F.conv2d(x, layer.weight, layer.bias, padding=1))
        x = F.max_pool2d(x, 2) if number in POOLED_AFTER else x
    x = F.adaptive_avg_pool2d(x, (7, 7)).flatten(1)
    first, second, last = layers_of(network, nn.Linear)
    x = F.relu(F.linear(x, first.weight, first.bias))
    x = F.relu(F.linear(x, second.weight, second.bias))
    expected = F.linear(torch.cat([x, context], 1), last.weight, last.bias)
    torch.testing.assert_close(network(images, context), expected)


@pytest.mark.parametrize("sides", [(1, 1), (3, 3), (2, 9), (7, 14), (5, 16)])
def test_average_pooling_is_that_of_torch(network, sides):
    pool, x = type(network.pool)(sides), torch.randn(2, 4, *sides)
    torch.testing.assert_close(pool(x), F.adaptive_avg_pool2d(x, (7, 7)))


def test_dropout_is_in_front_of_every_convolution_but_the_first_and_behind_each_hidden_layer(network):
    kinds = [
        type(layer).__name__
        for layer in network.modules()
        if isinstance(layer, nn.Conv2d | nn.MaxPool2d | nn.Linear | Dropout)
    ]
    one = "Dropout Conv2d "
    expected = "Conv2d " + one + "MaxPool2d " + 2 * one + "MaxPool2d " + 3 * (3 * one + "MaxPool2d ")
    assert kinds == (expected + 2 * "Linear Dropout " + "Linear").split()


def test_one_rate_for_all_dropout():
    with torch.device("meta"):
        assert [layer.rate for layer in layers_of(VGG16().build((96, 96, 3), 1), Dropout)] == [4e-4] * (12 + 2)
        assert [layer.rate for layer in layers_of(VGG16(dropout=0.1).build((9, 9, 3), 1), Dropout)] == [0.1] * 14


def test_random_only_behind_the_trunk(network):
    images, context = torch.rand(2, 3, 33, 20), torch.rand(2, 1)
    set_dropout(network, 0.2)
    torch.testing.assert_close(network.eval()(images, context), network(images, context), rtol=0, atol=0)
    network.train()
    features = network.trunk(images)
    torch.testing.assert_close(features, network.trunk(images), rtol=0, atol=0)
    assert features.shape == (2, 64, 33, 20)
    before = features.clone()
    assert not torch.allclose(network.rest(features, context), network.rest(features, context))
    torch.testing.assert_close(features, before, rtol=0, atol=0)  # still good for the next pass
    network.eval()
    with monte_carlo_passes(network, 0, range(2)):
        outputs = network.rest(features[:1].repeat(2, 1, 1, 1), context[:1].repeat(2, 1))
    assert not torch.allclose(outputs[0], outputs[1])
    set_dropout(network, 0.0)
    assert not drops_out(network)


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 7, 2), (4, 2, 3), (31, 32, 1), (33, 20, 5)])
def test_images_of_any_size(shape):
    torch.manual_seed(0)
    network = VGG16(units=32).build(shape, 2).eval()
    images = torch.randn(3, shape[2], *shape[:2])
    outputs = network(images)
    assert outputs.shape == (3, 2)
    assert outputs.std(0).min() > 0  # every size still tells images apart


def test_context_changes_the_output(network):
    images = torch.rand(1, 3, 33, 20)
    near, far = (network.eval()(images, torch.tensor([[scale]])) for scale in (0.0, 1.0))
    torch.testing.assert_close(far - near, layers_of(network, nn.Linear)[-1].weight[None, :, -1])


def test_one_channel_is_repeated_to_three(network):
    gray = VGG16(units=32).build((33, 20, 1), 2, n_context=1).eval()
    gray.load_state_dict(network.eval().state_dict())
    images, context = torch.rand(2, 1, 33, 20), torch.rand(2, 1)
    torch.testing.assert_close(gray(images, context), network(images.repeat(1, 3, 1, 1), context))


def test_signals_do_not_fade_in_a_fresh_network():
    torch.manual_seed(0)
    network = VGG16(units=16).build((32, 32, 3), 1).eval()
    hidden = network.features(torch.randn(4, 3, 32, 32))
    assert 0.3 < hidden.std() < 1.5


def test_only_networks_of_build_are_initialized():
    with pytest.raises(TypeError, match=r"got a Linear; expected a network that VGG16\.build made\."):
        VGG16().initialize(nn.Linear(1, 1))


def test_units_must_be_positive():
    with pytest.raises(ValueError, match=r"units=0; expected the width of the dense layers, at least 1\."):
        VGG16(units=0).build((32, 32, 3), 1)


# ---- weights


def plain_state(units, seed=0):
    """A state dict as torchvision's vgg16 has it, but for the width of its dense layers."""
    generator, state = torch.Generator().manual_seed(seed), {}
    shapes = {f"features.{i}": (b, a, 3, 3) for i, a, b in zip(PLAIN, [3, *WIDTHS], WIDTHS)}
    shapes |= {"classifier.0": (units, 25_088), "classifier.3": (units, units), "classifier.6": (1000, units)}
    for name, shape in shapes.items():
        state[f"{name}.weight"] = torch.randn(shape, generator=generator) * math.sqrt(2 / math.prod(shape[1:]))
        state[f"{name}.bias"] = torch.randn(shape[0], generator=generator)
    return state


@pytest.fixture(scope="module")
def state():
    return plain_state(units=6)


@pytest.fixture(scope="module")
def path(state, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "vgg16.pth"
    torch.save(state, path)
    return path


def initialized(spec, n_outputs=2):
    torch.manual_seed(3)
    network = spec.build((4, 4, 3), n_outputs)
    spec.initialize(network)
    return network


@pytest.mark.parametrize("zipped", [True, False])
def test_weights_come_from_the_file_and_the_output_does_not(state, tmp_path, zipped):
    torch.save(state, tmp_path / "vgg16.pth", _use_new_zipfile_serialization=zipped)
    network = initialized(VGG16(units=6, weights=str(tmp_path / "vgg16.pth")), n_outputs=1000)
    for layer, i in zip(layers_of(network, nn.Conv2d), PLAIN, strict=True):
        assert torch.equal(layer.weight, state[f"features.{i}.weight"])
        assert torch.equal(layer.bias, state[f"features.{i}.bias"])
    first, second, last = layers_of(network, nn.Linear)
    for layer, name in ((first, "classifier.0"), (second, "classifier.3")):
        assert torch.equal(layer.weight, state[f"{name}.weight"])
        assert torch.equal(layer.bias, state[f"{name}.bias"])
    assert not torch.equal(last.weight, state["classifier.6.weight"])


def test_dense_layers_of_another_width_start_afresh(state, path):
    network, fresh = initialized(VGG16(units=5, weights=path)), initialized(VGG16(units=5))
    assert torch.equal(layers_of(network, nn.Conv2d)[-1].weight, state["features.28.weight"])
    for layer, other in zip(layers_of(network, nn.Linear), layers_of(fresh, nn.Linear)):
        assert torch.equal(layer.weight, other.weight)
        assert torch.equal(layer.bias, other.bias)


def test_fit_starts_from_the_file_and_the_fitted_estimator_does_without(state, tmp_path):
    path = tmp_path / "vgg16.pth"
    torch.save(state, path)
    images, y = np.random.default_rng(0).random((4, 2, 2, 1)), np.arange(4.0)
    network = VGG16(units=6, weights=path)
    model = CNNRegressor(network, max_epochs=1, lr=1e-9, validation_fraction=0, random_state=0, device="cpu")
    model.fit(images, y)
    trained = layers_of(model.network_, nn.Conv2d)[5].weight
    torch.testing.assert_close(trained, state["features.12.weight"], rtol=0, atol=1e-6)
    path.unlink()
    predicted = pickle.loads(pickle.dumps(model)).predict(images)
    np.testing.assert_array_equal(predicted, model.predict(images))
    with pytest.raises(FileNotFoundError, match=r"vgg16\.pth' is not a file; expected a state dict"):
        model.fit(images, y)


def test_weights_need_one_or_three_channels(path):
    VGG16(units=6, weights=path).build((4, 4, 1), 1)
    with pytest.raises(
        ValueError,
        match=r"vgg16\.pth' are for images of three channels \(or one, which is repeated\), but these have 4; "
        r"select channels, or set weights=None\.",
    ):
        VGG16(units=6, weights=path).build((4, 4, 4), 1)


def without(key):
    return lambda state: {k: v for k, v in state.items() if k != key}


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (without("features.12.bias"), "has no 'features.12.bias'; expected the state dict of a VGG-16"),
        (lambda state: {"state_dict": state}, "has no 'features.0.weight'.*first keys are 'state_dict'"),
        (lambda state: {}, "has no 'features.0.weight'.*first keys are none"),
        (lambda state: list(state.values()), "holds a list; expected a state dict"),
        (lambda state: {**state, "features.2.weight": "?"}, "'features.2.weight' is str; expected a tensor of real"),
        (lambda state: {**state, "features.2.bias": torch.ones(64).int()}, "'features.2.bias' is torch.int32"),
        (
            lambda state: {**state, "features.0.weight": torch.ones(64, 4, 3, 3)},
            r"'features.0' has weights of shape \(64, 4, 3, 3\); expected \(64, 3, 3, 3\)",
        ),
        (
            lambda state: {**state, "classifier.3.weight": torch.full((6, 6), torch.nan)},
            "'classifier.3.weight' has values that are not finite.*IMAGENET1K_FEATURES",
        ),
    ],
)
def test_other_contents_are_refused_and_nothing_is_loaded(state, tmp_path, spoil, message):
    path = tmp_path / "spoiled.pth"
    torch.save(spoil(state), path)
    spec = VGG16(units=6, weights=path)
    network = spec.build((4, 4, 3), 1)
    before = {name: values.clone() for name, values in network.state_dict().items()}
    with pytest.raises(ValueError, match=r"spoiled\.pth'.*" + message):
        spec.initialize(network)
    for name, values in network.state_dict().items():
        assert torch.equal(values, before[name])


class Trap:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("write", [torch.save, lambda thing, path: path.write_bytes(pickle.dumps(thing))])
@pytest.mark.parametrize("wrap", [lambda trap: trap, lambda trap: {"features.0.weight": trap}])
def test_code_in_a_file_is_never_executed(tmp_path, write, wrap):
    sprung, path = tmp_path / "sprung", tmp_path / "trap.pth"
    write(wrap(Trap(sprung)), path)
    with pytest.raises(ValueError, match=r"trap\.pth' holds something else than tensors.*nothing in it was executed"):
        initialized(VGG16(units=6, weights=path))
    assert not sprung.exists()
    pickle.loads(pickle.dumps(Trap(sprung)))
    assert sprung.exists()  # it would have been


@pytest.mark.parametrize("cut", [0, 10, 1000, -100])
def test_damaged_files_are_refused(path, tmp_path, cut):
    damaged = tmp_path / "damaged.pth"
    damaged.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(ValueError, match=re.escape(f"{str(damaged)!r} holds something else than tensors")):
        initialized(VGG16(units=6, weights=damaged))
