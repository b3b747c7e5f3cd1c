"""Subsets in which every range of a target has equally many samples, and tables of splits on disk."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_random_state

from .._identifiers import identifiers
from .._io.files import written_whole
from .._tables import listed
from ._split import continuous_target

HEADER = ["object_id", "part"]


def balanced_subset(y, *, bins=4, random_state=None) -> NDArray[np.intp]:
    """Choose at random equally many samples from every range of a continuous target.

    A training set of which most galaxies are disks teaches little about bulges. In a balanced subset every range
    counts the same; it is as small as its rarest range makes it.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    y : array-like or table of shape (n_samples,) or (n_samples, n_targets)
        The target to balance; of several, the first.
    bins : int or sequence of float, default=4
        Number of ranges of equal width between the smallest and the largest value, or their edges, rising. Samples
        outside of the edges are left out.
    random_state : int, RandomState instance or None, default=None
        Determines which samples are taken. Pass an int for the same ones at every call.

    Returns
    -------
    ndarray of int
        Numbers of the samples, rising; each range has as many as the one with the fewest.

    Raises
    ------
    ValueError
        If `y` is not finite or not numeric, edges do not rise, or a range has no sample.

    See Also
    --------
    stratified_train_test_split : Parts with the distribution of the whole.

    Examples
    --------
    >>> import numpy as np
    >>> from galestim.model_selection import balanced_subset
    >>> bulge_to_total = np.array([0.1, 0.1, 0.2, 0.2, 0.3, 0.6, 0.9])
    >>> rows = balanced_subset(bulge_to_total, bins=[0, 0.5, 1], random_state=0)
    >>> np.histogram(bulge_to_total[rows], [0, 0.5, 1])[0]
    array([2, 2])
    """
    target = continuous_target(y, "balanced_subset")
    edges = _edges(target, bins)
    of_bin = np.searchsorted(edges, target, side="right") - 1
    of_bin[target == edges[-1]] = len(edges) - 2
    counts = np.array([np.count_nonzero(of_bin == number) for number in range(len(edges) - 1)])
    if not counts.all():
        empty = int(np.argmin(counts))
        raise ValueError(
            f"no sample lies between {edges[empty]:g} and {edges[empty + 1]:g}; expected some in every range. Pass "
            "fewer bins, or their edges."
        )
    rng = check_random_state(random_state)
    taken = [rng.permutation(np.flatnonzero(of_bin == number))[: counts.min()] for number in range(len(counts))]
    return np.sort(np.concatenate(taken))


def _edges(target: NDArray, bins) -> NDArray[np.float64]:
    """Edges of the ranges."""
    if np.ndim(bins) == 0:
        if isinstance(bins, bool) or not isinstance(bins, int | np.integer) or bins < 1:
            raise ValueError(f"bins={bins!r}; expected an int of at least 1, or rising edges.")
        return np.linspace(target.min(), target.max(), int(bins) + 1)
    edges = np.asarray(bins, dtype=np.float64)
    if edges.ndim != 1 or len(edges) < 2 or not (np.diff(edges) > 0).all():
        raise ValueError(f"bins={bins!r}; expected rising edges, at least two, or an int.")
    return edges


def write_split(path, object_id, **parts) -> None:
    """Write which galaxies are in which part of a split, as a table.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    path : str or path-like
        The CSV file; if it exists, it is replaced.
    object_id : array-like of shape (n_samples,)
        Name of each galaxy, of which no two are the same.
    **parts : array-like of int or bool
        Row numbers of each part, or masks, by its name: ``train=``, ``validation=``, ``test=``. Rows of no part are
        left out.

    Raises
    ------
    ValueError
        If a name is missing or there twice, a galaxy is in two parts, or no part is given.

    See Also
    --------
    read_split : Reads it.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from galestim.model_selection import read_split, stratified_train_test_split, write_split
    >>> names, y = [101654, 101756, 101997, 102034], np.array([0.1, 0.4, 0.5, 0.9])
    >>> train, test = stratified_train_test_split(np.arange(4), stratify=y, test_size=1, random_state=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_split(Path(folder, "split.csv"), names, train=train, test=test)
    ...     again = read_split(Path(folder, "split.csv"), names)
    >>> bool((again["test"] == test).all())
    True
    """
    names = _names(object_id)
    if not parts:
        raise ValueError("write_split got no part; pass row numbers by name, such as train=…, test=….")
    rows = {part: np.arange(len(names))[np.asarray(numbers)] for part, numbers in parts.items()}
    often = Counter(np.concatenate(list(rows.values())).tolist())
    if doubles := [names[row] for row, count in often.items() if count > 1]:
        raise ValueError(
            f"{len(doubles)} galaxies are in a split twice: {listed(doubles)}. Expected each in one part."
        )
    with written_whole(path) as finished, Path(finished).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(HEADER)
        writer.writerows((names[row], part) for part, numbers in rows.items() for row in numbers.tolist())


def read_split(path, object_id) -> dict[str, NDArray[np.intp]]:
    """Read which galaxies are in which part of a split.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    path : str or path-like
        A CSV file with the columns ``object_id`` and ``part``.
    object_id : array-like of shape (n_samples,)
        Names of the galaxies at hand, in their order; those that are in no part are left out.

    Returns
    -------
    dict of str to ndarray of int
        Row numbers of each part, in the order of the file.

    Raises
    ------
    ValueError
        If the file has other columns, a name twice, or one that is not at hand.
    """
    row_of = {name: row for row, name in enumerate(_names(object_id))}
    with Path(path).open(newline="", encoding="utf-8") as file:
        header, *lines = [line for line in csv.reader(file) if line] or [[]]
    if header != HEADER or any(len(line) != 2 for line in lines):
        raise ValueError(f"{str(path)!r} has the columns {header}; expected {HEADER}, as write_split makes them.")
    _names([name for name, _ in lines])
    if strangers := [name for name, _ in lines if name not in row_of]:
        raise ValueError(
            f"{len(strangers)} galaxies of {str(path)!r} are not at hand: {listed(strangers, 4)}. Pass object_id of "
            "the catalog that was split."
        )
    parts: dict[str, list[int]] = {}
    for name, part in lines:
        parts.setdefault(part, []).append(row_of[name])
    return {part: np.array(rows, dtype=np.intp) for part, rows in parts.items()}


def _names(object_id) -> list[str]:
    """Names as text, all different."""
    names = identifiers(object_id)
    often = Counter(names)
    if often[""] or (doubles := [name for name, count in often.items() if count > 1]):
        which = "a galaxy has no name" if often[""] else f"names are there twice: {listed(doubles, 4)}"
        raise ValueError(f"object_id: {which}; expected a name of its own for each galaxy.")
    return names
