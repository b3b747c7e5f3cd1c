import numpy as np
import pytest

from galestim.regression._rows import training_rows


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    return rng.random((30, 4, 4, 1)), rng.random((30, 2)), rng.random(30)


def contents(images, rows):
    return [image.tobytes() for image in images[rows.rows]]


def test_order_depends_on_contents_alone(data):
    images, targets, weights = data
    shuffled = np.random.default_rng(1).permutation(30)
    rows = training_rows(images, targets, weights)
    again = training_rows(images[shuffled], targets[shuffled], weights[shuffled])
    assert contents(images, rows) == contents(images[shuffled], again)
    np.testing.assert_array_equal(rows.weight, again.weight)


def test_equal_rows_merge_and_different_targets_do_not(data):
    images, targets, weights = data
    images[5], targets[5] = images[2], targets[2]
    images[9] = images[2]  # same image, another label
    rows = training_rows(images, targets, weights)
    assert len(rows.rows) == 29
    assert rows.weight.sum() == pytest.approx(weights.sum())
    assert rows.weight[rows.rows == 2] == pytest.approx(weights[2] + weights[5])


def test_rows_without_weight_are_left_out(data):
    images, targets, weights = data
    weights[[3, 4]] = 0
    assert not {3, 4} & set(training_rows(images, targets, weights).rows)


def test_split_is_a_partition_of_the_right_size(data):
    rows = training_rows(*data)
    train, valid = rows.split(0.2, np.random.RandomState(0))
    assert (len(train.rows), len(valid.rows)) == (24, 6)
    assert set(train.rows) | set(valid.rows) == set(range(30))
    other = rows.split(0.2, np.random.RandomState(1))[1]
    assert set(other.rows) != set(valid.rows)
    assert rows.split(0, np.random.RandomState(0)) == (rows, None)


def test_one_row_cannot_be_split(data):
    rows = training_rows(*(values[:1] for values in data))
    with pytest.raises(
        ValueError, match=r"validation_fraction=0.15 of n_samples = 1 distinct images leaves none to train"
    ):
        rows.split(0.15, np.random.RandomState(0))


def _signed_zeros(images):
    images = images.copy()
    images[:, 0] = -0.0
    return images


@pytest.mark.parametrize(
    "store",
    [
        lambda images: images.astype(np.float64),
        lambda images: images.astype(">f4"),
        lambda images: images.astype(">f8"),
        lambda images: images.astype(np.longdouble),
        np.asfortranarray,
        _signed_zeros,
        lambda images: np.repeat(images, 2, axis=2)[:, :, ::2],
        lambda images: images.astype(np.uint8),
        lambda images: images.astype(">i8"),
        lambda images: images.astype(np.float16),
    ],
)
def test_equal_values_are_equal_rows_however_stored(store):
    rng = np.random.default_rng(0)
    images, labels, weights = rng.integers(0, 200, (30, 4, 4, 1)).astype(np.float32), rng.random((30, 2)), np.ones(30)
    images[:, 0] = 0
    labels[:, 1] = 0.0
    expected = training_rows(images, labels, weights, np.float32)
    assert np.array_equal(store(images), images)
    got = training_rows(store(images), labels, weights, np.float32)
    np.testing.assert_array_equal(got.rows, expected.rows)
    labels[:, 1] = -0.0
    np.testing.assert_array_equal(
        training_rows(images, labels.astype(">f8"), weights, np.float32).rows, expected.rows
    )


def test_rows_that_only_float64_can_tell_apart():
    images = np.ones((2, 2, 2, 1))
    images[1] += 1e-12
    labels, weights = np.zeros((2, 1)), np.ones(2)
    assert len(training_rows(images, labels, weights, np.float32).rows) == 1
    assert len(training_rows(images, labels, weights, np.float64).rows) == 2
