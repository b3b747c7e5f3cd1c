"""What a network is told of the camera: moments, guesses for bad pixels, and what turns and flips leave as it is."""

import math

import numpy as np
import pytest
import torch

from galestim import CompactCNN, HarmonicNet
from galestim.networks import Camera, looked_at
from galestim.networks._camera import camera_numbers_of, mean_difference
from galestim.networks._camera_harmonics import _without_sky
from galestim.networks._fill import filled
from galestim.networks._moments import centroid, moments, psf_scale, rough_size

TURNS = [(turns, flip) for turns in range(4) for flip in (False, True)]


def gaussians(sigmas, npix=65, center=(0.0, 0.0), flux=1.0):
    """Round Gaussians about `center`, as (x, y) from the middle of the image."""
    x = torch.arange(npix, dtype=torch.float64) - (npix - 1) / 2
    sigma = torch.tensor(sigmas, dtype=torch.float64)[:, None, None]
    square = (x - center[0]) ** 2 + (x[:, None] - center[1]) ** 2
    return flux * torch.exp(-square / (2 * sigma**2)) / (2 * math.pi * sigma**2)


def turned(images, turns, flip):
    images = images.rot90(turns, (-2, -1))
    return images.flip(-1) if flip else images


def galaxies(n=6, npix=33, n_channels=2, with_bad=True):
    """Images in units of their noise, bad pixels among them, and their cameras."""
    generator = torch.Generator().manual_seed(0)
    draw = lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)  # noqa: E731
    light = gaussians([2.0 + 0.5 * i for i in range(n)], npix, center=(0.6, -0.4), flux=2000.0)
    images = light[:, None] * torch.linspace(0.5, 1, n_channels)[:, None, None] + draw(n, n_channels, npix, npix)
    images = images + 3 * torch.roll(images, (1, 2), (2, 3)).clamp(min=0)  # neither round nor centered
    psf = gaussians([1.2 + 0.2 * i for i in range(n)], 21)[:, None].expand(-1, n_channels, -1, -1)
    psf = 0.8 * psf + 0.2 * torch.roll(psf, (1, 1), (2, 3))
    good = torch.rand(n, npix, npix, generator=generator) > 0.05 if with_bad else None
    images, look = looked_at(images, psf, good)
    photons = torch.full((n, n_channels), 0.01, dtype=torch.float64)
    error = torch.full((n,), 0.1, dtype=torch.float64)
    return images, Camera(psf, photons, error, 0.2 * error, look, good)


def seen_turned(images, camera, turns, flip):
    images, psf = turned(images, turns, flip), turned(camera.psf, turns, flip)
    good = None if camera.good is None else turned(camera.good, turns, flip)
    images, look = looked_at(images, psf, good)
    return images, camera._replace(psf=psf, look=look, good=good)


# ---- moments


def test_moments_of_a_gaussian_are_those_of_its_integral():
    sums, total = moments(gaussians([3.0]), torch.zeros(1, 2), torch.tensor([[2.0, 4.0]], dtype=torch.float64), 2)
    for i, scale in enumerate((2.0, 4.0)):
        share = scale**2 / (scale**2 + 9)  # ∫ of the product of two Gaussians, relative to that of one
        assert sums[0, i, 0, 0].item() == pytest.approx(share, rel=1e-6)
        assert sums[0, i, 0, 2].item() == pytest.approx(share * 9 / (scale**2 + 9), rel=1e-6)
        assert sums[0, i, 1, 1].abs().item() < 1e-12
        assert total[0, i].item() == pytest.approx(2 * math.pi * scale**2, rel=1e-6)


def test_psf_scale_of_a_gaussian_is_its_sigma():
    sigma, psf = [1.0, 1.7, 3.0], gaussians([1.0, 1.7, 3.0])
    assert psf_scale(psf, n_steps=30) == pytest.approx(
        sigma, rel=3e-3
    )  # pixels of 1 sample a weight of σ = 0.7 so well
    assert psf_scale(psf) == pytest.approx(sigma, rel=0.01)  # six steps are near enough for a unit of length


def test_size_of_a_bright_gaussian_is_its_own():
    sigma, psf, flux = np.array([2.0, 3.0, 5.0]), np.array([1.0, 2.0, 1.5]), 1e5
    size = rough_size(gaussians(sigma, flux=flux), torch.zeros(3, 2), torch.tensor(psf), n_steps=30)
    assert size.scale == pytest.approx(sigma, rel=1e-3)
    assert size.flux == pytest.approx([flux] * 3, rel=2e-3)
    assert size.radius == pytest.approx(1.1774 * np.sqrt(sigma**2 - psf**2 + (0.3 * psf) ** 2), rel=3e-3)


def test_size_and_flux_of_nothing_are_above_zero():
    size = rough_size(torch.zeros(2, 33, 33), torch.zeros(2, 2), torch.tensor([1.0, 3.0]))
    assert all((part > 0).all() and part.isfinite().all() for part in size)


def test_centroid_is_x_then_y():
    found = centroid(gaussians([2.5], center=(1.5, -0.7), flux=1e5), torch.tensor([2.0], dtype=torch.float64), 8)
    assert found[0] == pytest.approx([1.5, -0.7], abs=1e-3)


# ---- bad pixels


@pytest.mark.parametrize("center", [(0.0, 0.0), (1.0, -0.5)])
def test_fill_is_exact_for_a_symmetric_galaxy(center):
    images = gaussians([3.0], 33, center=center, flux=1e5)[:, None]
    good = torch.ones(1, 1, 33, 33, dtype=torch.bool)
    good[0, 0, 14:17, 18:20], good[0, 0, 5, 3:9] = False, False
    guessed = filled(torch.where(good, images, torch.nan), good, torch.tensor([2.0]))
    assert torch.allclose(guessed, images, rtol=0, atol=1e-9)


def test_fill_of_opposite_bad_pixels_is_the_mean_of_their_ring():
    images = gaussians([3.0], 33, flux=1e5)[:, None]
    good = torch.ones(1, 1, 33, 33, dtype=torch.bool)
    good[0, 0, 16, [12, 20]] = False  # 4 pixels from the center, on either side
    guessed = filled(images, good, torch.tensor([2.0]))
    x = torch.arange(33) - 16
    ring = ((x**2 + x[:, None] ** 2).sqrt().long() == 4) & good[0, 0]
    assert guessed[0, 0, 16, 12].item() == pytest.approx(images[0, 0][ring].mean().item(), rel=1e-9)


def test_what_bad_pixels_hold_changes_nothing():
    images, camera = galaxies()
    bad = ~camera.good[:, None]
    seen = [looked_at(torch.where(bad, value, images), camera.psf, camera.good) for value in (0, 1e9, torch.nan)]
    assert all(torch.equal(a, b) for other in seen[1:] for a, b in zip(seen[0], other))


# ---- turns and flips


@pytest.mark.parametrize(("turns", "flip"), TURNS)
def test_turned_with_its_camera_a_galaxy_is_the_same(turns, flip):
    images, camera = galaxies()
    network = HarmonicNet(hidden=16, blocks=1, dropout=0.0).build((33, 33, 2), 5, 0, True).double()
    network.examine(images, camera)
    expected, other = network(images, camera), network(*seen_turned(images, camera, turns, flip))
    assert torch.allclose(expected, other, rtol=0, atol=1e-5)
    numbers = camera_numbers_of(images, camera)
    assert torch.allclose(numbers, camera_numbers_of(*seen_turned(images, camera, turns, flip)), atol=1e-5)


def test_of_an_odd_star_it_matters_how_the_galaxy_is_turned():
    images, camera = galaxies(with_bad=False)
    camera = camera._replace(psf=camera.psf + 0.5 * torch.roll(camera.psf, (2, 2), (2, 3)))
    network = HarmonicNet(hidden=16, blocks=1).build((33, 33, 2), 5, 0, True).double()
    network.examine(images, camera)
    other = camera._replace(psf=camera.psf.flip(3))
    assert not torch.allclose(network(images, camera), network(images, other), atol=1e-3)


# ---- noise and sky


def test_fluxes_are_white_where_the_sky_is_in_error():
    sky, error = torch.tensor([0.5, 1.0, 3.0, 8.0], dtype=torch.float64), torch.tensor([0.3], dtype=torch.float64)
    covariance = torch.eye(4, dtype=torch.float64) + error**2 * sky[:, None] * sky
    whitened = _without_sky(torch.linalg.cholesky(covariance).T[None], sky[None, None], error)[0]
    assert torch.allclose(whitened.T @ whitened, torch.eye(4, dtype=torch.float64), atol=1e-12)


def test_numbers_tell_the_camera_apart():
    images, camera = galaxies()
    numbers = camera_numbers_of(images, camera)
    for change in (
        {"sky_error": 2 * camera.sky_error},
        {"photons": 9 * camera.photons},
        {"psf_error": camera.sky_error},
    ):
        assert not torch.allclose(numbers, camera_numbers_of(images, camera._replace(**change)))


def test_compact_networks_take_numbers_of_the_camera_as_context():
    images, camera = galaxies()
    numbers = camera_numbers_of(images, camera)
    network = CompactCNN(widths=(2,)).build((33, 33, 2), 3, numbers.shape[1]).double().eval()
    assert network(images, numbers).shape == (6, 3)


def test_roughness_is_that_of_good_pixels():
    rng = torch.Generator().manual_seed(0)
    images = torch.randn(4, 1, 64, 64, generator=rng, dtype=torch.float64)
    good = torch.rand(4, 64, 64, generator=rng) > 0.5
    filled = torch.where(good[:, None], images, 0.0)
    for lag, axis in ((1, 2), (4, 3)):
        torch.testing.assert_close(
            mean_difference(filled, good, lag, axis), mean_difference(images, None, lag, axis), rtol=0.05, atol=0
        )
    assert (mean_difference(images, torch.zeros_like(good), 1, 2) == 1.1).all()
    assert (mean_difference(images[:, :, :1], None, 1, 2) == 1.1).all()  # an image without pairs
