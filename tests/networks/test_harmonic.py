import numpy as np
import pytest
import torch
from torch import nn

from galestim._light import circular_harmonics, log_scales
from galestim.networks import HarmonicNet, SpatialTransformer, drops_out
from galestim.networks._d4 import ORDER, transform
from galestim.networks._spatial_transformer import CroppedNetwork
from galestim.simulation import add_noise, hsc_like, render, sim_v1_prior


def trained_looking(network, images):
    """A network that has seen images, with weights that are all different, as after training."""
    generator = torch.Generator().manual_seed(1)
    network.examine(images)
    for weights in network.parameters():
        nn.init.normal_(weights, std=0.3, generator=generator)
    return network.eval()


def galaxies(n, npix=64, **changed):
    parameters = sim_v1_prior().draw(n, random_state=3) | changed
    band = hsc_like("i")
    return render(parameters, npix=npix, pixel_scale=band.pixel_scale, psf=band.psf, dtype=torch.float64)[:, None]


@pytest.mark.parametrize(
    "shape", [(64, 64, 3), (63, 63, 1), (40, 57, 2), (9, 4, 1), (1, 10, 1), (2, 3, 1), (1, 1, 1)]
)
def test_output_is_the_same_for_all_flips_and_quarter_turns(shape):
    images = torch.randn(4, shape[2], *shape[:2], dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    network = trained_looking(HarmonicNet().build(shape, 2).double(), images)
    expected = network(images)
    assert expected.std(0).min() > 1e-3 * expected.abs().max()  # it does tell images apart
    for element in range(ORDER):
        torch.testing.assert_close(network(transform(images, element)), expected, rtol=1e-6, atol=1e-6)


def test_features_hardly_change_when_the_galaxy_turns_by_any_angle():
    drawn = sim_v1_prior().draw(30, random_state=0)
    still = {"x_offset": np.zeros(30), "y_offset": np.zeros(30)}
    angles = [
        {name: drawn[name] + angle for name in ("bulge_position_angle", "disk_position_angle")}
        for angle in (0, 17, 45)
    ]
    images = [galaxies(30, **drawn | turned | still) for turned in angles]
    network = HarmonicNet().build((64, 64, 1), 2).double()
    network.examine(add_noise(galaxies(200)[:, 0], sky_noise=0.055, random_state=0)[:, None])
    upright, *others = (network.trunk(turned) for turned in images)
    for features in others:  # in standard deviations of each feature among galaxies; edges of the image are square
        assert (features - upright).abs().median() < 3e-3
        assert (features - upright).abs().quantile(0.9) < 0.15


def test_output_changes_with_shape_size_and_brightness():
    images = galaxies(20)
    network = trained_looking(HarmonicNet().build((64, 64, 1), 1).double(), images)
    changed = [
        images * 1.1,
        galaxies(20, disk_axis_ratio=np.full(20, 0.5)),
        galaxies(20, disk_radius=np.full(20, 1.0)),
    ]
    for other in changed:
        assert (network(images) - network(other)).abs().min() > 1e-3


def test_noise_is_found_among_galaxies():
    noisy = add_noise(galaxies(100)[:, 0], sky_noise=0.055, gain=3000.0, random_state=0)[:, None]
    network = HarmonicNet().build((64, 64, 1), 1).double()
    network.examine(noisy)
    assert network.harmonics.noise.item() == pytest.approx(0.055, rel=0.03)


def test_filters_keep_white_noise_white():
    network = HarmonicNet().build((64, 64, 1), 1)
    filters = network.harmonics.filters.reshape(7, 12, -1)
    for complete in (filters[0], *(filters[[i, i + 3]].transpose(0, 1).flatten(1) for i in (1, 2, 3))):
        product = complete @ complete.T
        torch.testing.assert_close(product, torch.eye(12, dtype=torch.float64), rtol=0, atol=1e-2)


def test_measurements_of_a_turned_galaxy_differ_by_a_phase_alone():
    image = np.random.default_rng(0).normal(size=(20, 20))
    for order in range(5):
        filters = circular_harmonics(20, 20, log_scales(20, 20, 4), order)
        before, after = (np.tensordot(filters, pixels, 2) for pixels in (image, np.rot90(image)))
        np.testing.assert_allclose(after, before * 1j**order, atol=1e-12)


def test_behind_a_crop():
    transformer = SpatialTransformer()
    inner = HarmonicNet().build((32, 32, 1), 3, transformer.n_context)
    network = CroppedNetwork(transformer.build((32, 32, 1)), inner)
    images = torch.rand(8, 1, 32, 32)
    network.examine(images)
    assert network(images).shape == (8, 3)
    assert network.wants_examples


@pytest.mark.parametrize("wrong", [{"n_scales": 1}, {"hidden": 0}, {"blocks": -1}])
def test_impossible_sizes_are_refused(wrong):
    with pytest.raises(ValueError, match="expected n_scales of at least 2"):
        HarmonicNet(**wrong).build((8, 8, 1), 1)


def test_dropout_in_blocks_is_of_training_alone():
    network = HarmonicNet(n_scales=4, hidden=32, blocks=2, block_dropout=0.5).build((32, 32, 1), n_outputs=2)
    network = trained_looking(network, torch.rand(9, 1, 32, 32))
    plain = HarmonicNet(n_scales=4, hidden=32, blocks=2).build((32, 32, 1), n_outputs=2).eval()
    plain.load_state_dict(network.state_dict())
    images = torch.rand(3, 1, 32, 32)
    assert torch.equal(network(images), plain(images))
    assert not drops_out(network)  # so a posterior needs one pass
    network.train()
    assert not torch.equal(network(images), network(images))
