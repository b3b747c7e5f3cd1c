"""Against integrals that share nothing with the sparse matrices: polygons, fine grids, analytic profiles."""

import numpy as np
import pytest
from PIL import Image
from scipy.special import erf

from galestim.preprocessing import Downsampler
from galestim.preprocessing._downsample import area_weights

SIZES = [(424, 80), (425, 81), (424, 81), (97, 32), (96, 32), (33, 32), (50, 1)]


def polygon_overlap(image, size):
    """The slow way: for every pair of pixels, the area of the rectangle that they share."""
    ratio = [n / m for n, m in zip(image.shape, size)]
    result = np.zeros(size)
    for i, j in np.ndindex(*size):
        for y, x in np.ndindex(*image.shape):
            height = min((i + 1) * ratio[0], y + 1) - max(i * ratio[0], y)
            width = min((j + 1) * ratio[1], x + 1) - max(j * ratio[1], x)
            result[i, j] += max(height, 0) * max(width, 0) * image[y, x]
    return result / np.prod(ratio)


def gaussian(n, center, sigma):
    """Integral over each of n pixels of a Gaussian of unit flux, with 0 at the center of the first pixel."""
    edges = np.arange(n + 1) - 0.5
    return np.diff(erf((edges - center) / (np.sqrt(2) * sigma))) / 2


def noise(*shape, dtype=np.float64):
    return np.random.default_rng(0).uniform(1, 255, shape).astype(dtype)


@pytest.mark.parametrize(
    ("shape", "size"), [((13, 11), (5, 4)), ((12, 9), (4, 3)), ((7, 8), (6, 7)), ((5, 5), (2, 5))]
)
def test_equals_the_overlap_of_polygons(shape, size):
    image = noise(*shape)
    np.testing.assert_allclose(Downsampler(size).transform(image[None])[0], polygon_overlap(image, size), rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize(("n", "size"), SIZES)
def test_equals_the_mean_on_a_grid_that_divides_both(n, size, dtype):
    images = noise(2, n, n, 3, dtype=dtype)
    rows = np.repeat(images.astype(float), size, axis=1).reshape(2, size, n, n, 3).mean(axis=2)
    expected = np.repeat(rows, size, axis=2).reshape(2, size, size, n, 3).mean(axis=3)
    np.testing.assert_allclose(Downsampler(size).transform(images), expected, rtol=1e-6)


def test_an_integer_ratio_is_the_mean_of_blocks():
    images = noise(3, 12, 20, 2)
    blocks = images.reshape(3, 4, 3, 5, 4, 2).mean(axis=(2, 4))
    np.testing.assert_allclose(Downsampler((4, 5)).transform(images), blocks, rtol=1e-13)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
@pytest.mark.parametrize(("n", "size"), SIZES)
def test_total_flux_is_conserved(n, size, dtype):
    images = noise(2, n, n, 3, dtype=dtype)
    flux = Downsampler(size).transform(images).sum(axis=(1, 2), dtype=np.float64) * (n / size) ** 2
    np.testing.assert_allclose(flux, images.sum(axis=(1, 2), dtype=np.float64), rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
@pytest.mark.parametrize(("n", "size"), SIZES)
def test_constant_surface_brightness_is_conserved(n, size, dtype):
    result = Downsampler(size).transform(np.full((1, n, n), 201, dtype=dtype))
    np.testing.assert_allclose(result, 201, rtol=1e-6)


@pytest.mark.parametrize(("n", "size"), [s for s in SIZES if s[1] > 1])
@pytest.mark.parametrize("offset", [(0, 0), (0.3, -1.7), (5.25, 3.4)])
def test_the_centroid_stays_within_a_hundredth_of_a_pixel(n, size, offset):
    center = (n - 1) / 2 + np.array(offset)
    image = np.outer(*(gaussian(n, c, n / 15) for c in center)).astype(np.float32)
    result = Downsampler(size).transform(image[None])[0].astype(np.float64)
    centroid = [(np.arange(size) * result.sum(axis=1 - axis)).sum() / result.sum() for axis in (0, 1)]
    np.testing.assert_allclose(centroid, (center + 0.5) * size / n - 0.5, atol=0.01)


@pytest.mark.parametrize(("n", "size"), SIZES)
def test_weights_are_a_partition_of_the_image(n, size):
    weights = area_weights(n, size)
    np.testing.assert_allclose(weights.sum(axis=1), 1)  # of each new pixel
    np.testing.assert_allclose(weights.sum(axis=0), size / n)  # of each old one
    assert weights.min() >= 0


def test_an_axis_that_is_small_enough_is_left_alone():
    images = noise(2, 5, 12, 1)
    np.testing.assert_array_equal(Downsampler(12).transform(images), images)
    np.testing.assert_allclose(Downsampler((8, 6)).transform(images), (images[:, :, ::2] + images[:, :, 1::2]) / 2)


def test_nan_pixels_have_no_weight():
    image = noise(6, 6)
    image[0, 0] = np.nan  # three quarters of this new pixel are known
    image[2:4, 2:4] = np.nan  # nothing is known of the middle one
    result = Downsampler(3).transform(image[None])[0]
    assert result[0, 0] == pytest.approx((image[0, 1] + image[1, 0] + image[1, 1]) / 3)
    np.testing.assert_array_equal(np.isnan(result), [[0, 0, 0], [0, 1, 0], [0, 0, 0]])
    known = ~np.isnan(result)
    known[0, 0] = False
    np.testing.assert_allclose(result[known], image.reshape(3, 2, 3, 2).mean(axis=(1, 3))[known])


def test_nan_pixels_with_fractional_overlap():
    image = noise(7, 5)
    image[[1, 3, 3], [1, 2, 3]] = np.nan
    covered = polygon_overlap(np.isfinite(image).astype(float), (3, 2))
    expected = polygon_overlap(np.nan_to_num(image), (3, 2)) / covered
    np.testing.assert_allclose(Downsampler((3, 2)).transform(image[None])[0], expected)


def test_nan_of_one_channel_leaves_the_others_alone():
    images = noise(1, 8, 8, 3)
    expected = Downsampler(3).transform(images)
    images[0, 4, 4, 1] = np.nan
    np.testing.assert_allclose(Downsampler(3).transform(images)[..., [0, 2]], expected[..., [0, 2]])


def test_bicubic_equals_pil_on_color_images():
    images = noise(3, 424, 424, 3, dtype=np.uint8)
    expected = [Image.fromarray(image).resize((80, 60), Image.Resampling.BICUBIC) for image in images]
    result = Downsampler((60, 80), method="pil-bicubic").transform(images)
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result, np.stack(expected))


def test_bicubic_of_linear_images_is_not_rounded():
    images = noise(2, 30, 30) / 1000
    expected = [
        Image.fromarray(image.astype(np.float32)).resize((8, 8), Image.Resampling.BICUBIC) for image in images
    ]
    np.testing.assert_array_equal(Downsampler(8, method="pil-bicubic").transform(images), np.stack(expected))


def test_an_unknown_method_names_those_there_are():
    with pytest.raises(ValueError, match=r"'method' parameter of Downsampler must be .*'area'.* Got 'box'"):
        Downsampler(method="box").fit(noise(2, 4, 4))
