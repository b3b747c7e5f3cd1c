import numpy as np
import pytest

from galestim.preprocessing import CenterCrop


@pytest.mark.parametrize(("n", "size"), [(9, 3), (8, 4), (424, 212), (7, 7)])
def test_the_geometric_center_stays_where_parities_agree(n, size):
    position = np.arange(n, dtype=float)
    image = np.broadcast_to(position, (1, n, n))
    kept = CenterCrop(size).transform(image)[0, 0]
    assert kept.mean() == (n - 1) / 2
    np.testing.assert_array_equal(np.diff(kept), 1)


@pytest.mark.parametrize(("n", "size"), [(9, 4), (8, 3), (2, 1)])
def test_else_it_lies_half_a_pixel_before(n, size):
    image = np.broadcast_to(np.arange(n, dtype=float), (1, n, n))
    result = CenterCrop(size).transform(image)
    assert result.shape == (1, size, size)
    assert result.mean() == (n - 1) / 2 - 0.5


def test_height_and_width_are_in_this_order():
    rows = np.broadcast_to(np.arange(10)[:, None], (1, 10, 20))
    result = CenterCrop((2, 6)).transform(rows)
    np.testing.assert_array_equal(result[0], np.repeat([[4], [5]], 6, axis=1))


def test_an_axis_that_is_small_enough_is_left_alone():
    images = np.random.default_rng(0).normal(size=(2, 3, 10, 1))
    np.testing.assert_array_equal(CenterCrop(4).transform(images), images[:, :, 3:7])
