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
