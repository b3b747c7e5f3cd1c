"""Balanced subsets, and tables of splits."""

import numpy as np
import pandas as pd
import pytest

from galestim.model_selection import balanced_subset, read_split, write_split

Y = np.random.default_rng(0).beta(1, 4, size=1000)  # few large ones


@pytest.mark.parametrize("bins", [4, [0.0, 0.1, 0.2, 0.5]])
def test_every_range_has_as_many_as_the_rarest(bins):
    rows = balanced_subset(Y, bins=bins, random_state=0)
    edges = np.histogram_bin_edges(Y, bins) if isinstance(bins, int) else np.array(bins)
    counts = np.histogram(Y[rows], edges)[0]
    assert set(counts) == {np.histogram(Y, edges)[0].min()}
    assert (np.diff(rows) > 0).all()


def test_the_same_seed_takes_the_same_rows():
    first, again, other = (balanced_subset(pd.Series(Y), random_state=seed) for seed in (0, 0, 1))
    assert (first == again).all()
    assert not (first == other).all()


@pytest.mark.parametrize(
    ("bins", "error"),
    [
        ([0.0, 0.5, 2.0, 3.0], "no sample lies between 2 and 3"),
        ([0.0, 0.5, 0.5], "expected rising edges"),
        (0, "expected an int of at least 1"),
    ],
)
def test_ranges_that_cannot_be(bins, error):
    with pytest.raises(ValueError, match=error):
        balanced_subset(Y, bins=bins)


def test_a_split_goes_to_disk_and_comes_back_in_any_order_of_rows(tmp_path):
    names = [f"galaxy, {i}" for i in range(10)]
    write_split(tmp_path / "split.csv", names, train=[3, 1, 2], test=np.arange(10) > 7)
    parts = read_split(tmp_path / "split.csv", names[::-1])
    assert [names[::-1][row] for row in parts["train"]] == [names[row] for row in (3, 1, 2)]
    assert parts["test"].tolist() == [1, 0]


def test_splits_that_cannot_be(tmp_path):
    path = tmp_path / "split.csv"
    with pytest.raises(ValueError, match="1 galaxies are in a split twice: '1'"):
        write_split(path, [0, 1, 2], train=[0, 1], test=[1])
    with pytest.raises(ValueError, match="names are there twice: '1'"):
        write_split(path, [0, 1, 1], train=[0])
    with pytest.raises(ValueError, match="got no part"):
        write_split(path, [0, 1])
    write_split(path, [0, 1], train=[0], test=[1])
    with pytest.raises(ValueError, match=r"1 galaxies of .* are not at hand: '1'"):
        read_split(path, [0, 2])
    path.write_text("name,part\n0,train\n")
    with pytest.raises(ValueError, match=r"has the columns \['name', 'part'\]; expected"):
        read_split(path, [0])
