"""Samples of transforms change as their slopes say."""

import numpy as np
import pytest
import torch

from galestim.simulation import GaussianPSF, MoffatPSF, Profiles

SHAPES = {
    "bulge_ln_radius": -1.0,
    "bulge_sersic_index": 3.0,
    "bulge_axis_ratio": 0.7,
    "bulge_position_angle": 30.0,
    "disk_ln_radius": 0.3,
    "disk_sersic_index": 1.0,
    "disk_axis_ratio": 0.4,
    "disk_position_angle": -20.0,
    "x_offset": 0.4,
    "y_offset": -0.3,
    "psf_width": 0.5,
}


def sampler(uncertain: bool):
    psfs, scales = [MoffatPSF(0.7), GaussianPSF(0.9)], np.array([0.2, 0.25])
    return Profiles(psfs, scales, 32, "cpu", np.array([0.02, 0.05]) if uncertain else None).samples


def shapes_of(uncertain: bool) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    vary = {name: value + 0.01 * torch.rand(2, 3, generator=generator).double() for name, value in SHAPES.items()}
    return vary if uncertain else {name: values for name, values in vary.items() if name != "psf_width"}


@pytest.mark.parametrize("uncertain", [True, False])
def test_slopes_are_those_of_the_samples(uncertain):
    samples, shapes = sampler(uncertain), shapes_of(uncertain)
    found = samples.slopes(shapes)
    for i, names in enumerate(samples.parameters(shapes)):
        assert found.shape[3] == len(names) == (7 if uncertain else 6)
        for j, name in enumerate(names):
            above, below = (samples(shapes | {name: shapes[name] + side * 1e-3}) for side in (1, -1))
            expected = ((above - below) / 2e-3)[:, i]
            torch.testing.assert_close(found[:, i, :, j], expected, rtol=0, atol=0.01 * expected.abs().max().item())


def test_some_galaxies_are_sampled_as_among_all():
    samples, shapes = sampler(True), shapes_of(True)
    some = {name: values[[1]] for name, values in shapes.items()}
    torch.testing.assert_close(samples.of_rows(torch.tensor([1]))(some), samples(shapes)[[1]])
