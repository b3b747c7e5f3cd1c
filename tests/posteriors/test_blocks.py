import numpy as np
import pytest

from galestim.posteriors._blocks import BLOCK, blocks, row_searchsorted


@pytest.mark.parametrize(("shape", "cost"), [((1, 1), 1), ((700, 3), 100), ((3, 10**6), 5), ((5, 7), 10 * BLOCK)])
def test_blocks_cover_everything_once_and_are_small(shape, cost):
    seen = np.zeros(shape, dtype=int)
    for block in blocks(shape, cost):
        assert seen[block].size * cost <= max(BLOCK, cost)
        seen[block] += 1
    assert np.all(seen == 1)


def test_of_nothing_there_are_no_blocks():
    assert list(blocks((0, 5), 3)) == []


def test_row_searchsorted_is_searchsorted_row_by_row():
    rng = np.random.default_rng(0)
    rows, values = np.sort(rng.uniform(size=(50, 9)), axis=1), rng.uniform(size=(50, 4))
    values[:, 0] = rows[:, 3]  # equal ones
    values[0, 1], values[1, 1] = 0.0, 1.0
    expected = [np.searchsorted(row, value, side="right") for row, value in zip(rows, values)]
    np.testing.assert_array_equal(row_searchsorted(rows, values), expected)
