import numpy as np
import pytest
import torch

from galestim.simulation import MoffatPSF, half_light_radius, render, sim_v1_prior
from galestim.simulation._radius import NAMES
from galestim.simulation._sersic import enclosed_light


@pytest.fixture
def galaxies():
    drawn = sim_v1_prior().draw(200, random_state=0)
    drawn["bulge_to_total"][:2] = 0, 1
    return drawn


def test_holds_half_of_the_light(galaxies):
    radius = half_light_radius(galaxies)
    bulge, disk = (
        enclosed_light(radius / galaxies[f"{name}_radius"], galaxies[f"{name}_sersic_index"])
        for name in ("bulge", "disk")
    )
    share = galaxies["bulge_to_total"]
    np.testing.assert_allclose(share * bulge + (1 - share) * disk, 0.5, atol=1e-10)


def test_is_that_of_a_component_alone(galaxies):
    radius = half_light_radius(galaxies)
    assert radius[0] == pytest.approx(galaxies["disk_radius"][0], rel=1e-10)
    assert radius[1] == pytest.approx(galaxies["bulge_radius"][1], rel=1e-10)


def test_is_that_of_the_image():
    """Half of the flux of a round, sharp image is inside."""
    truth = {"flux": 1.0, "bulge_to_total": 0.3, "bulge_radius": 1.0, "disk_radius": 2.0, "bulge_sersic_index": 2.0}
    truth |= {"disk_sersic_index": 1.0, "bulge_axis_ratio": 1.0, "disk_axis_ratio": 1.0, "bulge_position_angle": 0.0}
    truth |= {"disk_position_angle": 0.0, "x_offset": 0.0, "y_offset": 0.0}
    truth = {name: np.array([value]) for name, value in truth.items()}
    image = render(truth, npix=200, pixel_scale=0.05, psf=MoffatPSF(0.1)).numpy()[0]
    row, column = np.indices(image.shape) - 99.5
    inside = 0.05 * np.hypot(row, column) < half_light_radius(truth)[0]
    assert image[inside].sum() == pytest.approx(0.5, abs=2e-3)


@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_those_of_finite_differences(galaxies, name):
    inner = {
        key: torch.tensor(np.clip(values, 0.05, None) if key == "bulge_to_total" else values)
        for key, values in galaxies.items()
    }
    inner["bulge_to_total"].clamp_(0.05, 0.95)
    value = inner[name].clone().requires_grad_()
    (gradient,) = torch.autograd.grad(half_light_radius(inner | {name: value}).sum(), value)
    up, down = (half_light_radius(inner | {name: inner[name] + step}) for step in (1e-4, -1e-4))
    np.testing.assert_allclose(gradient, (up - down) / 2e-4, rtol=1e-4, atol=1e-6)


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")
def test_forward_mode(galaxies):
    tensors = {key: torch.tensor(galaxies[key]) for key in NAMES}
    _, slope = torch.func.jvp(
        lambda radius: half_light_radius(tensors | {"disk_radius": radius}),
        (tensors["disk_radius"],),
        (torch.ones(200, dtype=torch.float64),),
    )
    value = tensors["disk_radius"].clone().requires_grad_()
    (gradient,) = torch.autograd.grad(half_light_radius(tensors | {"disk_radius": value}).sum(), value)
    np.testing.assert_allclose(slope, gradient)


def test_answers_in_kind(galaxies):
    assert isinstance(half_light_radius(galaxies), np.ndarray)
    single = half_light_radius({name: torch.tensor(galaxies[name], dtype=torch.float32) for name in NAMES})
    assert single.dtype == torch.float32
    np.testing.assert_allclose(single, half_light_radius(galaxies), rtol=1e-6)


def test_missing_parameter(galaxies):
    del galaxies["disk_radius"]
    with pytest.raises(
        ValueError, match="parameters lack disk_radius; expected bulge_to_total, bulge_radius, disk_radius"
    ):
        half_light_radius(galaxies)
