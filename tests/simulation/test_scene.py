import numpy as np
import pytest
import torch

from galestim.simulation import hsc_like, render, render_scene, sim_v1_prior

GRI = [hsc_like(band) for band in "gri"]


@pytest.fixture
def galaxies():
    return sim_v1_prior().draw(3, random_state=0)


def test_each_band_is_drawn_with_its_camera(galaxies):
    images = render_scene(galaxies, GRI, npix=40)
    assert images.shape == (3, 40, 40, 3)
    for i, band in enumerate(GRI):
        assert torch.equal(images[..., i], render(galaxies, npix=40, pixel_scale=0.168, psf=band.psf))


def test_colors(galaxies):
    colored = galaxies | {"flux": galaxies["flux"][:, None] * np.array([0.5, 0.8, 1.0])}
    plain, images = render_scene(galaxies, GRI, npix=40), render_scene(colored, GRI, npix=40)
    np.testing.assert_allclose(images, plain * torch.tensor([0.5, 0.8, 1.0]), rtol=1e-4, atol=1e-5)


def test_neighbors_are_added_to_their_galaxies(galaxies):
    neighbors = sim_v1_prior().draw(2, random_state=1) | {"galaxy": [2, 2]}
    neighbors["x_offset"], neighbors["y_offset"] = np.array([15.0, -30.0]), np.array([-4.0, 12.0])
    alone, crowded = (render_scene(galaxies, GRI[2:], npix=40, neighbors=n)[..., 0] for n in (None, neighbors))
    light = render(neighbors, npix=40, pixel_scale=0.168, psf=GRI[2].psf).sum(0)
    assert torch.equal(crowded[:2], alone[:2])
    np.testing.assert_allclose(crowded[2] - alone[2], light, atol=1e-4 * light.max().item())


def test_noise_is_that_of_the_bands(galaxies):
    faint = galaxies | {"flux": np.full(3, 1e-6)}
    images = render_scene(faint, GRI, npix=60, noise=True, random_state=0).numpy()
    np.testing.assert_allclose(images.std(axis=(0, 1, 2)), [0.035, 0.040, 0.055], rtol=0.03)


def test_gradients_flow_through_a_scene(galaxies):
    flux = torch.tensor(galaxies["flux"], requires_grad=True)
    render_scene(galaxies | {"flux": flux}, GRI, npix=40, neighbors=galaxies | {"galaxy": [0, 1, 2]}).sum().backward()
    assert (flux.grad > 1).all()  # three bands, most of the light in each


def test_columns_that_are_no_bands(galaxies):
    galaxies["flux"] = galaxies["flux"][:, None] * np.ones(2)
    with pytest.raises(
        ValueError, match=r"flux has shape \(3, 2\); expected \(n,\) or \(n, 3\), one column per band."
    ):
        render_scene(galaxies, GRI, npix=40)


@pytest.mark.parametrize("galaxy", [None, [0, 1, 3]])
def test_neighbors_of_nothing(galaxies, galaxy):
    neighbors = galaxies if galaxy is None else galaxies | {"galaxy": galaxy}
    with pytest.raises(
        ValueError, match="neighbors have no galaxy, or one that does not exist; expected rows of the 3 im"
    ):
        render_scene(galaxies, GRI, npix=40, neighbors=neighbors)


def test_unknown_band():
    with pytest.raises(ValueError, match="band='z'; expected one of g, r, i"):
        hsc_like("z")
