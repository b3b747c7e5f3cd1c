import numpy as np
import pytest

from galestim.regression._rows import TrainingRows, moments, pixel_moments


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_pixel_moments_equal_those_of_repeated_rows(dtype):
    rng = np.random.default_rng(0)
    images = (rng.random((50, 7, 5, 3)) * 200 + [0, 20, 50]).astype(dtype)
    counts = rng.integers(0, 4, 50)
    used = np.flatnonzero(counts)
    mean, scale = pixel_moments(images, TrainingRows(used, counts[used].astype(float)))
    pixels = np.repeat(images, counts, axis=0).reshape(-1, 3).astype(np.float64)
    np.testing.assert_allclose(mean, pixels.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(scale, pixels.std(axis=0), rtol=1e-10)


def test_faint_noise_on_a_bright_sky_is_not_lost():
    sky = 1e6 + np.random.default_rng(0).normal(scale=1e-3, size=(40, 8, 8, 1))
    _, scale = pixel_moments(sky, TrainingRows(np.arange(40), np.ones(40)))
    np.testing.assert_allclose(scale, sky.std(), rtol=1e-6)


def test_constant_values_are_divided_by_one():
    images = np.full((4, 3, 3, 1), 7, dtype=np.uint8)
    assert pixel_moments(images, TrainingRows(np.arange(4), np.ones(4)))[1] == 1
    assert moments(np.full((5, 2), 3.0), np.ones(5))[1].tolist() == [1, 1]


def test_target_moments_are_weighted():
    values, weights = np.array([[0.0], [10.0]]), np.array([1.0, 3.0])
    mean, scale = moments(values, weights)
    assert mean == pytest.approx(7.5)
    assert scale == pytest.approx(np.std([0, 10, 10, 10]))
