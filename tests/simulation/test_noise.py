import numpy as np
import pytest
import torch

from galestim.simulation import add_noise, noise_variance

FLAT = torch.full((40, 50, 60), 20.0)


def test_variance_is_that_of_sky_and_photons():
    variance = noise_variance(torch.tensor([[[-1.0, 0.0, 30.0]]]), sky_noise=0.1, gain=300.0)
    np.testing.assert_allclose(variance, [[[0.01, 0.01, 0.11]]], rtol=1e-6)
    np.testing.assert_allclose(noise_variance(FLAT, sky_noise=0.1), 0.01)


@pytest.mark.parametrize("photons", ["gaussian", "poisson"])
def test_noise_has_this_variance(photons):
    noise = (add_noise(FLAT, sky_noise=0.1, gain=10.0, photons=photons, random_state=0) - FLAT).numpy()
    assert noise.var() == pytest.approx(2.01, rel=0.02)
    assert noise.mean() == pytest.approx(0, abs=0.02)
    assert np.corrcoef(noise[:, :, 1:].ravel(), noise[:, :, :-1].ravel())[0, 1] == pytest.approx(0, abs=0.02)


def test_few_photons_are_skewed():
    faint = torch.full((40, 50, 60), 0.2)
    noise = add_noise(faint, sky_noise=1e-6, gain=10.0, photons="poisson", random_state=0).numpy() - 0.2
    assert (noise**3).mean() / noise.std() ** 3 == pytest.approx(2**-0.5, abs=0.05)


def test_correlated_noise_keeps_its_variance():
    kernel = np.array([[0.0, 1.0, 0.0], [1.0, 2.0, 3.0]])
    noise = add_noise(0 * FLAT, sky_noise=0.5, correlation=kernel, random_state=0).numpy()
    assert noise.var() == pytest.approx(0.25, rel=0.02)
    by_one_column = (kernel[:, 1:] * kernel[:, :-1]).sum() / (kernel**2).sum()
    by_one_row = (kernel[1:] * kernel[:-1]).sum() / (kernel**2).sum()
    assert (noise[:, :, 1:] * noise[:, :, :-1]).mean() / 0.25 == pytest.approx(by_one_column, abs=0.02)
    assert (noise[:, 1:] * noise[:, :-1]).mean() / 0.25 == pytest.approx(by_one_row, abs=0.02)
    assert (noise[1:] * noise[:-1]).mean() / 0.25 == pytest.approx(0, abs=0.02)


@pytest.mark.parametrize("bands", [(), (2,)])
def test_galaxies_have_noise_of_their_own_length(bands):
    lengths = np.repeat([0.0, 1.5, 3.0], 100)
    images = torch.zeros(300, 40, 48, *bands)
    noise = add_noise(images, sky_noise=np.full((300, *bands), 0.5), correlation=lengths, random_state=0).numpy()
    for length in (0.0, 1.5, 3.0):
        of_length = noise[lengths == length] / 0.5
        assert of_length.var() == pytest.approx(1, abs=0.03)
        taps = np.exp(-0.5 * (np.arange(-9, 10) / max(length / 2.3548, 1e-3)) ** 2)
        expected = 0.99 * (taps[1:] * taps[:-1]).sum() / (taps**2).sum()
        assert (of_length[:, 1:] * of_length[:, :-1]).mean() == pytest.approx(expected, abs=0.02)
        assert (of_length[:, :, 1:] * of_length[:, :, :-1]).mean() == pytest.approx(expected, abs=0.02)


def test_one_length_for_all():
    noise = add_noise(torch.zeros(200, 40, 40), sky_noise=1.0, correlation=2.0, random_state=0)
    each = add_noise(torch.zeros(200, 40, 40), sky_noise=1.0, correlation=np.full(200, 2.0), random_state=0)
    assert torch.equal(noise, each)
    with pytest.raises(ValueError, match=r"correlation=-1; expected widths \[pixels\] of at least 0, or a kernel"):
        add_noise(torch.zeros(2, 8, 8), sky_noise=1.0, correlation=-1.0)


def test_bands_have_their_own():
    images = torch.zeros(4, 50, 60, 3)
    for correlation in (None, np.ones((2, 2))):
        noise = add_noise(images, sky_noise=[0.1, 0.2, 0.3], correlation=correlation, random_state=0)
        np.testing.assert_allclose(noise.numpy().std(axis=(0, 1, 2)), [0.1, 0.2, 0.3], rtol=0.05)


def test_galaxies_have_their_own():
    sigma = np.array([0.1, 0.2, 0.3])
    images = torch.zeros(3, 200, 200)
    noise = add_noise(images, sky_noise=sigma, gain=np.array([1.0, 2.0, 3.0]), random_state=0)
    np.testing.assert_allclose(noise.numpy().std(axis=(1, 2)), sigma, rtol=0.02)
    variance = noise_variance(images + 6, sky_noise=sigma, gain=np.array([1.0, 2.0, 3.0]))
    np.testing.assert_allclose(variance[:, 0, 0], sigma**2 + [6, 3, 2], rtol=1e-6)


def test_galaxies_have_their_own_in_each_band():
    sigma = np.arange(1, 7).reshape(2, 3) / 10
    variance = noise_variance(torch.ones(2, 4, 4, 3), sky_noise=sigma, gain=2.0)
    np.testing.assert_allclose(variance[:, 0, 0], sigma**2 + 0.5, rtol=1e-6)
    square = noise_variance(torch.zeros(3, 4, 4, 3), sky_noise=[0.1, 0.2, 0.3])  # of bands, if there are as many
    np.testing.assert_allclose(square[0, 0, 0], [0.01, 0.04, 0.09], rtol=1e-6)


def test_random_state():
    first, second, other = (add_noise(FLAT, sky_noise=0.1, random_state=seed) for seed in (0, 0, 1))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    assert first.dtype == FLAT.dtype


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"sky_noise": [0.1, 0.2]},
            r"sky_noise has shape \(2,\) for images of shape \(40, 50, 60\); expected one number",
        ),
        (
            {"sky_noise": 0.1, "photons": "poisson"},
            "photons='poisson' with gain=None; expected 'gaussian', or 'poisson'",
        ),
        ({"sky_noise": 0.1, "photons": "few"}, "photons='few' with gain=None; expected 'gaussian', or 'poisson'"),
        ({"sky_noise": 0.1, "correlation": [1.0]}, r"correlation has shape \(1,\); expected a kernel"),
    ],
)
def test_what_is_no_noise(options, message):
    with pytest.raises(ValueError, match=message):
        add_noise(FLAT, **options)
