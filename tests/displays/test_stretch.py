import numpy as np
import pytest

from galestim.displays._stretch import stretch


def galaxy(size=48, peak=1000.0, noise=1.0, sky=0.0):
    y, x = np.mgrid[:size, :size] - size // 2
    rng = np.random.default_rng(0)
    return sky + peak * np.exp(-np.hypot(x, y) / 4) + rng.normal(scale=noise, size=(size, size))


def test_colors_that_are_ready_are_kept():
    rng = np.random.default_rng(0)
    bytes_ = rng.integers(256, size=(5, 6, 3), dtype=np.uint8)
    np.testing.assert_allclose(stretch(bytes_), bytes_ / 255)
    np.testing.assert_array_equal(stretch(bytes_ / 255), bytes_ / 255)


@pytest.mark.parametrize("image", [galaxy(), galaxy()[..., None], np.stack([galaxy()] * 4, axis=-1)])
def test_anything_but_three_channels_is_gray(image):
    np.testing.assert_allclose(stretch(image), stretch(galaxy()), atol=1e-12)
    assert stretch(image).shape == (48, 48)


def test_gray_is_an_asinh_curve_from_the_sky_to_the_brightest():
    image = galaxy(sky=300)
    above = image - np.median(image)
    softening = 10 * 1.4826 * np.median(np.abs(above))
    expected = np.arcsinh(above / softening) / np.arcsinh(np.percentile(above, 99.8) / softening)
    np.testing.assert_allclose(stretch(image), np.clip(expected, 0, 1), atol=1e-12)


def test_the_stretch_knows_neither_the_zero_point_nor_the_unit():
    np.testing.assert_allclose(stretch(galaxy()), stretch(7 * galaxy() - 50), atol=1e-9)


def test_colors_keep_their_ratios():
    red, green, blue = galaxy(noise=0), 0.5 * galaxy(noise=0), 0.25 * galaxy(noise=0)
    shown = stretch(np.stack([red, green, blue], axis=-1))
    bright = (shown[..., 0] > 0.2) & (shown[..., 0] < 1)
    assert bright.sum() > 50
    np.testing.assert_allclose(shown[bright][:, 1] / shown[bright][:, 0], 0.5, rtol=1e-6)
    np.testing.assert_allclose(shown[bright][:, 2] / shown[bright][:, 0], 0.25, rtol=1e-6)


def test_a_colored_nucleus_does_not_saturate():
    nucleus = galaxy(noise=0)
    shown = stretch(np.stack([nucleus, 0.2 * nucleus, 0 * nucleus], axis=-1))
    assert np.mean(shown.max(axis=-1) >= 1) < 0.003  # the brightest 0.2 %


@pytest.mark.parametrize("channels", [1, 3])
def test_all_is_shown_within_zero_and_one(channels):
    rng = np.random.default_rng(0)
    for image in [rng.normal(size=(9, 9, channels)), np.zeros((9, 9, channels)), np.full((2, 1, channels), 4.0)]:
        shown = stretch(image)
        assert shown.min() >= 0
        assert shown.max() <= 1


def test_pixels_and_bands_without_data_become_sky():
    image = np.stack([galaxy(), galaxy(), np.full((48, 48), np.nan)], axis=-1)
    image[0, 0] = np.inf, np.nan, np.nan
    shown = stretch(image)
    np.testing.assert_array_equal(shown[0, 0], 0)
    np.testing.assert_array_equal(shown[..., 2], 0)
    assert shown[24, 24, 0] > 0.9
