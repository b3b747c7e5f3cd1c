"""Splits whose parts have the same distribution of a continuous target."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_array, check_random_state, indexable

from .._sklearn import BaseKFold, UnsupportedGroupCVMixin, num_samples, validate_shuffle_split
from .._tables import named_columns, refuse_unknown, rows_of, splittable


class ContinuousStratifiedKFold(UnsupportedGroupCVMixin, BaseKFold):
    """K folds in which a continuous target has the same distribution.

    The samples are sorted by target and cut into blocks of `n_splits` neighbors; each block gives one sample
    to each fold. So the folds' distributions agree up to one sample per fold at every value of the target,
    more closely than with quantile bins, and no number of bins has to be chosen.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    n_splits : int, default=5
        Number of folds, at least 2.
    shuffle : bool, default=True
        Whether each block is dealt at random. Otherwise blocks are dealt there and back (0, 1, 2, 2, 1, 0,
        …), and ties are taken in the order of the samples.
    random_state : int, RandomState instance or None, default=None
        Determines the dealing when `shuffle` is True. Pass an int for the same folds at every call.

    See Also
    --------
    stratified_train_test_split : The same balance for a single split.
    sklearn.model_selection.StratifiedKFold : For classes.

    Notes
    -----
    Of several targets, ``y`` of shape (n_samples, n_targets), the first one is balanced. Samples of equal
    target are dealt in random order (if `shuffle` is True), whatever their order in the data.

    Examples
    --------
    >>> from galestim.model_selection import ContinuousStratifiedKFold
    >>> folds = ContinuousStratifiedKFold(n_splits=2, random_state=0)
    >>> folds
    ContinuousStratifiedKFold(n_splits=2, random_state=0, shuffle=True)
    >>> lambda_r = np.array([0.1, 0.2, 0.8, 0.9])
    >>> for _, test in folds.split(lambda_r, lambda_r):
    ...     print(lambda_r[test])
    [0.1 0.8]
    [0.2 0.9]
    """

    def __init__(self, n_splits=5, *, shuffle=True, random_state=None):
        super().__init__(n_splits, shuffle=shuffle, random_state=random_state)

    def split(self, X, y, groups=None):
        """Generate the indices of training and test samples.

        Parameters
        ----------
        X : array-like with n_samples rows
            Only its length matters.
        y : array-like or table of shape (n_samples,) or (n_samples, n_targets)
            The target to balance; of several, the first.
        groups : object
            Ignored with a warning; exists for compatibility.

        Yields
        ------
        train : ndarray of int
        test : ndarray of int

        Raises
        ------
        ValueError
            If `y` is missing, not finite or not numeric, or if there are fewer samples than folds.
        """
        return super().split(X, splittable(y), groups)

    def _iter_test_masks(self, X=None, y=None, groups=None) -> Iterator[NDArray[np.bool_]]:
        fold_of = self._deal(continuous_target(y, type(self).__name__))
        for fold in range(self.n_splits):
            yield fold_of == fold

    def _deal(self, target: NDArray) -> NDArray[np.intp]:
        """Fold number of each sample."""
        k, n = self.n_splits, len(target)
        n_blocks = -(-n // k)
        if self.shuffle:
            rng = check_random_state(self.random_state)
            order = _sorted_with_random_ties(target, rng)
            dealt = np.concatenate([rng.permutation(k) for _ in range(n_blocks)])
        else:
            order = np.argsort(target, kind="stable")
            there_and_back = np.concatenate([np.arange(k), np.arange(k)[::-1]])
            dealt = np.resize(there_and_back, n_blocks * k)
        fold_of = np.empty(n, dtype=np.intp)
        fold_of[order] = dealt[:n]
        return fold_of


def stratified_train_test_split(*arrays, stratify, test_size=None, train_size=None, random_state=None):
    """Split arrays at random into two parts in which a continuous target has the same distribution.

    The samples are sorted by target and cut into as many runs of equal length as the test set has samples;
    each run gives one of its samples, drawn at random, to the test set.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    *arrays : sequence of indexables with n_samples rows each
        Lists, arrays, sparse matrices, data frames or astropy tables.
    stratify : array-like or table of shape (n_samples,) or (n_samples, n_targets)
        The target to balance; of several, the first.
    test_size : float or int, default=None
        Share (float) or number (int) of test samples. None is the complement of `train_size`, or 0.25 if that
        is None too.
    train_size : float or int, default=None
        Share or number of training samples. None is the complement of `test_size`.
    random_state : int, RandomState instance or None, default=None
        Determines the split. Pass an int for the same split at every call.

    Returns
    -------
    splitting : list of length 2 * len(arrays)
        Training and test part of each array, each part in random order.

    Raises
    ------
    ValueError
        If `stratify` is not finite or not numeric, if lengths differ, or if the sizes do not fit the samples.

    See Also
    --------
    ContinuousStratifiedKFold : The same balance for cross-validation.
    sklearn.model_selection.train_test_split : Without balance, or balanced on classes.

    Notes
    -----
    As in scikit-learn, the parts of a memmap are copied into memory. For images that do not fit, split
    ``np.arange(n_samples)`` and index the images with the result.

    Examples
    --------
    The published split, 70 % to train, 15 % to validate and 15 % to test, takes two calls:

    >>> from galestim.model_selection import stratified_train_test_split
    >>> X, y = np.zeros((200, 3)), np.random.default_rng(0).random(200)
    >>> X_train, X_rest, y_train, y_rest = stratified_train_test_split(
    ...     X, y, stratify=y, test_size=0.3, random_state=0
    ... )
    >>> X_valid, X_test, y_valid, y_test = stratified_train_test_split(
    ...     X_rest, y_rest, stratify=y_rest, test_size=0.5, random_state=0
    ... )
    >>> len(y_train), len(y_valid), len(y_test)
    (140, 30, 30)
    """
    if not arrays:
        raise ValueError("stratified_train_test_split got no array to split; pass at least one before stratify=.")
    *arrays, stratify = indexable(*map(splittable, arrays), splittable(stratify))
    target = continuous_target(stratify, "stratified_train_test_split")
    n_train, n_test = validate_shuffle_split(num_samples(arrays[0]), test_size, train_size, default_test_size=0.25)
    rng = check_random_state(random_state)
    order = _sorted_with_random_ties(target, rng)
    in_test = _one_per_run(len(order), n_test, rng)
    rest = order[~in_test]
    in_train = _one_per_run(len(rest), n_train, rng)
    train, test = rng.permutation(rest[in_train]), rng.permutation(order[in_test])
    return [rows_of(array, part) for array in arrays for part in (train, test)]


def continuous_target(y, caller: str) -> NDArray[np.float64]:
    """Target to balance, ``(n,)``: `y` itself or its first column."""
    if y is None:
        raise ValueError(f"{caller} balances a continuous target, but y is None; pass y.")
    values = named_columns(y).values
    refuse_unknown(values)
    return check_array(values, input_name="y")[:, 0]


def _sorted_with_random_ties(target: NDArray, rng: np.random.RandomState) -> NDArray[np.intp]:
    """Sort `target`, as indices; equal values come in random order."""
    shuffled = rng.permutation(len(target))
    return shuffled[np.argsort(target[shuffled], kind="stable")]


def _one_per_run(n: int, n_runs: int, rng: np.random.RandomState) -> NDArray[np.bool_]:
    """Mask of `n` ranks that picks one at random from each of `n_runs` consecutive runs of equal length."""
    edges = np.arange(n_runs + 1) * n // n_runs
    mask = np.zeros(n, dtype=bool)
    mask[rng.randint(edges[:-1], edges[1:])] = True
    return mask
