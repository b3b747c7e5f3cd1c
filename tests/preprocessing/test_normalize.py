import numpy as np
import pytest

from galestim.preprocessing import Normalizer


@pytest.fixture
def images():
    """Three channels of different offset and spread."""
    return np.random.default_rng(0).normal([1, -5, 100], [1, 2, 30], (20, 16, 12, 3))


def test_minmax_of_each_image(images):
    result = Normalizer().transform(images)
    for image, got in zip(images, result):
        np.testing.assert_allclose(got, (image - image.min()) / (image.max() - image.min()))
    assert result.min() == 0
    assert result.max() == 1


def test_minmax_of_each_channel(images):
    result = Normalizer("minmax", per_channel=True).transform(images)
    np.testing.assert_array_equal(result.min(axis=(1, 2)), 0)
    np.testing.assert_array_equal(result.max(axis=(1, 2)), 1)
    for channel in range(3):
        alone = Normalizer("minmax").transform(images[..., channel])
        np.testing.assert_allclose(result[..., channel], alone)


def test_minmax_of_a_constant_image_is_zero():
    np.testing.assert_array_equal(Normalizer().transform(np.full((2, 4, 4, 3), 37, np.uint8)), 0)


@pytest.mark.parametrize("per_channel", [False, True])
def test_minmax_ignores_nan(images, per_channel):
    expected = Normalizer(per_channel=per_channel).transform(images)
    middle = np.argsort(images[0, ..., 0], axis=None)[96]  # neither the least nor the greatest
    images[0].reshape(-1, 3)[middle, 0] = expected[0].reshape(-1, 3)[middle, 0] = np.nan
    np.testing.assert_array_equal(Normalizer(per_channel=per_channel).transform(images), expected)


def test_scale():
    images = np.array([[[0, 51, 255]]], dtype=np.uint8)
    np.testing.assert_allclose(Normalizer("scale").transform(images), [[[0, 0.2, 1]]])
    np.testing.assert_allclose(Normalizer("scale", scale=0.5).transform(images), [[[0, 102, 510]]])


def test_asinh_with_a_given_softening(images):
    given = Normalizer("asinh", softening=[1, 2, 0.5]).fit(images)
    np.testing.assert_allclose(np.sinh(given.transform(images)) * [1, 2, 0.5], images)
    np.testing.assert_array_equal(Normalizer("asinh", softening=3).fit(images).softening_, [3, 3, 3])


def test_asinh_of_very_negative_pixels_is_finite():
    result = Normalizer("asinh", softening=1e-3).fit_transform(np.full((1, 2, 2), -1e12, np.float32))
    np.testing.assert_allclose(result, -np.log(2e15), rtol=1e-6)


def galaxies_on_noise(sigma, n=60, size=48):
    """Gaussian galaxies, and bright neighbors on some edges, over skies of different level."""
    rng = np.random.default_rng(1)
    r2 = (np.indices((size, size)) - (size - 1) / 2) ** 2
    galaxy = 1000 * np.exp(-r2.sum(axis=0) / 20)
    images = galaxy[None, :, :, None] + rng.normal(scale=sigma, size=(n, size, size, len(sigma)))
    images[::3, :4, :10] += 500
    return images + rng.uniform(-5, 5, (n, 1, 1, 1))


def test_the_softening_learned_is_the_noise_of_the_sky():
    sigma = [0.02, 1, 30]
    images = galaxies_on_noise(sigma)
    learned = Normalizer("asinh").fit(images).softening_
    np.testing.assert_allclose(learned, sigma, rtol=0.02)
    images[3] = np.nan
    images[5, :10] = np.nan
    images[7, ..., 1] = np.nan
    np.testing.assert_allclose(Normalizer("asinh").fit(images).softening_, learned, rtol=0.02)


def test_the_softening_is_learned_from_a_thousand_images_of_many(monkeypatch):
    images = galaxies_on_noise([2.0])
    monkeypatch.setattr("galestim.preprocessing._normalize._MAX_SKY_IMAGES", 20)
    expected = Normalizer("asinh").fit(images[::3]).softening_
    np.testing.assert_array_equal(Normalizer("asinh").fit(images).softening_, expected)


def test_the_softening_of_a_sky_without_noise_is_one():
    images = np.zeros((3, 20, 20, 2))
    images[:, 8:12, 8:12] = 100
    np.testing.assert_array_equal(Normalizer("asinh").fit(images).softening_, [1, 1])


def test_standard(images):
    normalizer = Normalizer("standard").fit(images)
    np.testing.assert_allclose(normalizer.mean_, images.mean(axis=(0, 1, 2)))
    np.testing.assert_allclose(normalizer.scale_, images.std(axis=(0, 1, 2)))
    result = normalizer.transform(images)
    np.testing.assert_allclose(result.mean(axis=(0, 1, 2)), 0, atol=1e-12)
    np.testing.assert_allclose(result.std(axis=(0, 1, 2)), 1)


def test_standard_uses_the_training_images(images):
    normalizer = Normalizer("standard").fit(images[:10])
    np.testing.assert_allclose(
        normalizer.transform(images[10:]), (images[10:] - normalizer.mean_) / normalizer.scale_
    )


def test_standard_ignores_nan(images, monkeypatch):
    monkeypatch.setattr("galestim.preprocessing._normalize.CACHE_BYTES", 1)  # a missing image is a chunk of its own
    images[0] = np.nan
    images[4, 3:7] = np.nan
    normalizer = Normalizer("standard").fit(images)
    np.testing.assert_allclose(normalizer.mean_, np.nanmean(images, axis=(0, 1, 2)))
    np.testing.assert_allclose(normalizer.scale_, np.nanstd(images, axis=(0, 1, 2)))


def test_standard_of_a_constant_channel_is_zero_however_bright():
    images = np.random.default_rng(0).normal(size=(5, 7, 7, 2))
    images[..., 1] = 1e6 / 7
    normalizer = Normalizer("standard").fit(images)
    assert normalizer.scale_[1] == 1
    np.testing.assert_allclose(normalizer.transform(images)[..., 1], 0, atol=1e-8)


@pytest.mark.parametrize("kind", ["asinh", "standard"])
def test_nothing_can_be_learned_from_nothing(kind):
    with pytest.raises(ValueError, match=r"All 4 images are NaN everywhere; Normalizer has no pixels to learn from."):
        Normalizer(kind).fit(np.full((4, 8, 8), np.nan))


@pytest.mark.parametrize("kind", ["asinh", "standard"])
def test_infinite_pixels_are_not_learned_from(kind, images, monkeypatch):
    monkeypatch.setattr("galestim.preprocessing._normalize._MAX_SKY_IMAGES", 5)
    images[6, 0, 0] = -np.inf
    with pytest.raises(ValueError, match=r"row 6 has infinite pixels \(inf\)"):
        Normalizer(kind).fit(images)


@pytest.mark.parametrize("softening", [[1, 2], [1, 2, -3], [[1, 2, 3]]])
def test_a_softening_that_does_not_fit_the_channels(softening, images):
    with pytest.raises(ValueError, match="expected a positive number, or one for each of the 3 channels"):
        Normalizer("asinh", softening=softening).fit(images)


def test_names_are_those_of_the_input():
    normalizer = Normalizer(image_shape=(2, 1)).fit([[1.0, 2.0], [3.0, 5.0]])
    assert list(normalizer.get_feature_names_out(["north", "south"])) == ["north", "south"]
