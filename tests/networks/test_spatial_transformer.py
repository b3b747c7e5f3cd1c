import math

import pytest
import torch
from torch import nn

from galestim.networks import CompactCNN, SpatialTransformer
from galestim.networks._d4 import ORDER, transform
from galestim.networks._spatial_transformer import CroppedNetwork

KINDS = ["crop", "zoom_shift", "similarity", "affine"]


def shaken(spec, image_shape, std=0.3):
    """A transformer that has moved away from the identity."""
    torch.manual_seed(0)
    transformer = spec.build(image_shape).eval()
    for weights in transformer.parameters():
        nn.init.normal_(weights, std=std)
    return transformer


def images(n=3, channels=1, height=32, width=32):
    return torch.rand(n, channels, height, width, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("max_zoom", [4.0, None])
@pytest.mark.parametrize("localization", ["compact", "gampen"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(1, 1), (1, 5), (2, 2), (7, 7), (33, 20), (40, 40)])
def test_starts_at_the_identity_on_any_size(kind, localization, max_zoom, size):
    spec = SpatialTransformer(kind, localization=localization, max_zoom=max_zoom)
    x = images(height=size[0], width=size[1])
    crops, context = spec.build((*size, 1)).eval()(x)
    assert torch.allclose(crops, x, atol=1e-5)
    assert context.shape == (3, spec.n_context)
    assert context[:, 0].abs().max() < 1e-6


def test_published_localization_has_the_published_weights():
    spec = SpatialTransformer(localization="gampen", max_zoom=None)
    shapes = {name: tuple(w.shape) for name, w in spec.build((96, 96, 3)).state_dict().items()}
    assert shapes == {
        "localization.0.weight": (64, 3, 11, 11),
        "localization.0.bias": (64,),
        "localization.3.weight": (96, 64, 9, 9),
        "localization.3.bias": (96,),
        "fc_loc.0.weight": (32, 96 * 16 * 16),
        "fc_loc.0.bias": (32,),
        "fc_loc.2.weight": (1, 32),
        "fc_loc.2.bias": (1,),
    }


@pytest.mark.parametrize("kind", KINDS)
def test_zoom_is_bounded(kind):
    transformer = shaken(SpatialTransformer(kind, max_zoom=2.0), (32, 32, 1), std=30.0)
    singular = torch.linalg.svdvals(transformer.matrix(images(50))[:, :, :2])
    shear = 1.0 if kind != "affine" else 1.62  # golden ratio: the most that a unit shear stretches
    assert singular.max() <= 2 * shear + 1e-3
    assert singular.min() >= 1 / (2 * shear) - 1e-3
    assert transformer.matrix(images(50))[:, :, 2].abs().max() <= 1


def test_a_zoom_of_two_shows_the_middle_twice_as_large():
    transformer = SpatialTransformer(max_zoom=None).build((33, 33, 1)).eval()
    transformer.fc_loc[-1].bias.data[:] = 0.5
    x = images(height=33, width=33)
    crops, context = transformer(x)
    assert torch.allclose(crops[:, :, ::2, ::2], x[:, :, 8:25, 8:25], atol=1e-5)
    assert torch.allclose(context, torch.full((3, 1), math.log(0.5)))


def test_rotation_is_rigid_in_pixels_also_when_images_are_not_square():
    transformer = SpatialTransformer("similarity").build((20, 40, 1)).eval()
    transformer.fc_loc[-1].bias.data[1] = 0.5
    in_pixels = transformer.matrix(images(1, height=20, width=40))[0, :, :2]
    half = torch.tensor([39.0, 19.0]) / 2
    in_pixels = half[:, None] * in_pixels / half
    expected = torch.tensor([[math.cos(0.5), -math.sin(0.5)], [math.sin(0.5), math.cos(0.5)]])
    assert torch.allclose(in_pixels, expected, atol=1e-6)


@pytest.mark.parametrize("element", range(ORDER))
def test_compact_crop_commutes_with_flips_and_quarter_turns(element):
    transformer = shaken(SpatialTransformer(), (33, 33, 1))
    x = images(height=33, width=33)
    crops, context = transformer(x)
    turned, turned_context = transformer(transform(x, element))
    assert context.std() > 0
    assert torch.allclose(turned, transform(crops, element), atol=1e-4)
    assert torch.allclose(turned_context, context, atol=1e-5)


@pytest.mark.parametrize("element", range(ORDER))
def test_compact_network_behind_a_crop_keeps_its_invariance(element):
    transformer = shaken(SpatialTransformer(npix=16), (32, 32, 1))
    network = CompactCNN(widths=(2, 4), readout="radial").build((16, 16, 1), 5, 1)
    whole = CroppedNetwork(transformer, network).eval()
    x = images()
    assert torch.allclose(whole(transform(x, element)), whole(x), atol=1e-4)


def test_size_of_the_crops():
    spec = SpatialTransformer(npix=24)
    assert spec.crop_shape((64, 64, 3)) == (24, 24, 3)
    crops, _ = spec.build((64, 64, 3))(images(channels=3, height=64, width=64))
    assert crops.shape == (3, 3, 24, 24)
    with pytest.raises(ValueError, match=r"npix=24 needs square images, not 64×32"):
        spec.crop_shape((64, 32, 3))


def test_scale_reaches_the_network_behind():
    torch.manual_seed(0)
    network = CroppedNetwork(
        SpatialTransformer().build((32, 32, 1)), CompactCNN(widths=(2, 4)).build((32, 32, 1), 2, 1)
    ).eval()
    features, context = network.trunk(images())
    assert not torch.allclose(network.rest((features, context)), network.rest((features, context + 1)))


def test_gradient_reaches_the_localization():
    network = CroppedNetwork(
        SpatialTransformer().build((32, 32, 1)), CompactCNN(widths=(2, 4)).build((32, 32, 1), 1, 1)
    )
    network(images(8)).square().sum().backward()
    assert network.transformer.fc_loc[-1].weight.grad.abs().max() > 0


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"kind": "zoom"}, r"kind='zoom'; expected one of 'crop', 'zoom_shift', 'similarity', 'affine'\."),
        ({"localization": "vgg"}, r"localization='vgg'; expected one of"),
        ({"fill": "nan"}, r"fill='nan'; expected one of 'border', 'zeros'\."),
        ({"max_zoom": 1.0}, r"max_zoom=1.0; expected a factor above 1, or None"),
    ],
)
def test_bad_parameters(parameters, message):
    with pytest.raises(ValueError, match=message):
        SpatialTransformer(**parameters).build((8, 8, 1))
