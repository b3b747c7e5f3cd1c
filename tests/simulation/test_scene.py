from dataclasses import replace

import numpy as np
import pytest
import torch

from galestim.simulation import Band, MoffatPSF, hsc_like, render, render_scene, sdss_like, sim_v1_prior

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


def test_components_are_drawn_once_for_bands_of_one_camera(galaxies):
    bands = [replace(GRI[0], sky_noise=0.1), *GRI[:2]]
    share = galaxies["bulge_to_total"][:, None] * np.array([0.3, 0.5, 1.0])
    colored = galaxies | {"flux": galaxies["flux"][:, None] * np.array([0.5, 0.8, 1.0]), "bulge_to_total": share}
    images = render_scene(colored, bands, npix=40)
    for i, band in enumerate(bands):
        one = galaxies | {"flux": colored["flux"][:, i], "bulge_to_total": share[:, i]}
        alone = render(one, npix=40, pixel_scale=0.168, psf=band.psf)
        np.testing.assert_allclose(images[..., i], alone, atol=1e-6 * alone.max().item())


def test_a_camera_per_galaxy(galaxies):
    scales, noise = np.array([0.2, 0.3, 0.25]), np.array([0.01, 0.02, 0.03])
    psfs = [MoffatPSF(0.5), MoffatPSF(0.9), MoffatPSF(0.5)]
    bands = [replace(GRI[0], psf=psfs, pixel_scale=scales, sky_noise=noise), GRI[1]]
    neighbors = {name: values[:1] for name, values in galaxies.items()} | {"galaxy": [1]}
    images = render_scene(galaxies, bands, npix=40, neighbors=neighbors)
    alone = render(galaxies, npix=40, pixel_scale=scales, psf=psfs)
    alone[1] += render(neighbors, npix=40, pixel_scale=0.3, psf=MoffatPSF(0.9))[0]
    np.testing.assert_allclose(images[..., 0], alone, atol=1e-5 * alone.max().item())
    noisy = render_scene(galaxies | {"flux": np.full(3, 1e-6)}, bands, npix=100, with_noise=True, random_state=0)
    np.testing.assert_allclose(noisy.numpy().std(axis=(1, 2))[:, 0], noise, rtol=0.03)
    assert bands[0].per_galaxy
    assert not bands[1].per_galaxy
    chosen = bands[0].of_rows([2, 0])
    assert chosen.psf == [psfs[2], psfs[0]]
    np.testing.assert_array_equal(chosen.pixel_scale, [0.25, 0.2])


def test_noise_factor():
    band = hsc_like("i").with_noise_factor(2.0)
    assert (band.sky_noise, band.gain) == (0.11, 750.0)
    assert (hsc_like("i").with_noise_factor(0).sky_noise, hsc_like("i").with_noise_factor(0).gain) == (0.0, None)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"gain": 0.0}, "gain=0.0; expected positive, or None."),
        ({"sky_noise": -1.0}, "sky_noise=-1.0; expected at least 0."),
        (
            {"pixel_scale": np.array([0.1, np.nan])},
            r"pixel_scale=array\(\[0.1, nan\]\); expected positive, in arcsec.",
        ),
    ],
)
def test_what_is_no_band(entries, message):
    with pytest.raises(ValueError, match=message):
        replace(GRI[0], **entries)


def test_sdss():
    assert sdss_like().zero_point == 22.5
    assert sdss_like("i").sky_noise == pytest.approx(0.0396)


def test_neighbors_are_added_to_their_galaxies(galaxies):
    neighbors = sim_v1_prior().draw(2, random_state=1) | {"galaxy": [2, 2]}
    neighbors["x_offset"], neighbors["y_offset"] = np.array([15.0, -30.0]), np.array([-4.0, 12.0])
    alone, crowded = (render_scene(galaxies, GRI[2:], npix=40, neighbors=n)[..., 0] for n in (None, neighbors))
    light = render(neighbors, npix=40, pixel_scale=0.168, psf=GRI[2].psf).sum(0)
    assert torch.equal(crowded[:2], alone[:2])
    np.testing.assert_allclose(crowded[2] - alone[2], light, atol=1e-4 * light.max().item())


def test_noise_is_that_of_the_bands(galaxies):
    faint = galaxies | {"flux": np.full(3, 1e-6)}
    images = render_scene(faint, GRI, npix=60, with_noise=True, random_state=0).numpy()
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


def test_bands_have_correlated_noise_of_their_own():
    dark = {name: np.repeat(values, 100) for name, values in sim_v1_prior().draw(1, random_state=0).items()}
    dark["flux"] = np.full(100, 1e-6)
    bands = [Band(MoffatPSF(0.7), 0.1, 0.2, correlation=length) for length in (None, 2.0, np.full(100, 3.0))]
    noise = render_scene(dark, bands, npix=40, with_noise=True, random_state=0).numpy() / 0.1
    np.testing.assert_allclose(noise.var(axis=(0, 1, 2)), 1, atol=0.05)
    sigma = np.array([2.0, 3.0]) / 2.3548
    neighbors = (noise[:, 1:] * noise[:, :-1]).mean(axis=(0, 1, 2))
    np.testing.assert_allclose(neighbors, [0, *0.99 * np.exp(-1 / (4 * sigma**2))], atol=0.03)
