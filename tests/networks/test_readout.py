import pytest
import torch

from galestim.networks._d4 import ORDER, transform
from galestim.networks._readout import APERTURES, RadialReadout


def maps(side):
    return torch.rand(2, ORDER * 3, side, side, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("side", [1, 2, 5, 16])
def test_constant_maps_are_read_as_they_are(side):
    read = RadialReadout()(torch.full((2, ORDER * 3, side, side), 7.0))
    assert read.shape == (2, RadialReadout.n_features(3))
    assert torch.allclose(read, torch.tensor(7.0))


@pytest.mark.parametrize("element", range(ORDER))
def test_flips_and_turns_change_nothing(element):
    x = maps(9)
    assert torch.allclose(RadialReadout()(transform(x, element)), RadialReadout()(x), atol=1e-6)


def test_last_aperture_is_the_whole_map_and_the_first_the_center():
    spot = torch.zeros(1, ORDER, 33, 33)
    spot[:, :, 16, 16] = 1.0
    center, *_, whole = RadialReadout()(spot)[0]
    assert torch.isclose(whole, torch.tensor(1 / 33**2))
    assert center == RadialReadout()(spot).max()
    corner = torch.zeros(1, ORDER, 33, 33)
    corner[:, :, 0, 0] = 1.0
    assert RadialReadout()(corner)[0, 0] < 1e-10
    assert len(APERTURES) + 1 == RadialReadout.n_features(1)
