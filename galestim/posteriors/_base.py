"""Base of the two forms of a posterior."""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._masked import as_index, mask_of, without_mask
from ._checks import checked_ids, checked_names, checked_units
from ._content import COLUMNS, FORMS, VERSION, Content, described_targets
from ._interchange import Interchange
from ._io import read_content, write_content


class Posterior(Interchange):
    """Joint posterior distributions of the k parameters of n galaxies, as a `MixturePosterior` or `DrawsPosterior`.

    All values are in physical units. A galaxy that is a missing cutout has NaN everywhere, without warnings.

    .. versionadded:: 0.1.0

    Attributes
    ----------
    target_names : list of str
        Names of the k targets.
    units : list of astropy.units.Unit or None
        Unit of each target; None where it has none or none was given.
    n_targets : int
        k.
    ids : ndarray of str of shape (n,) or None
        Names of the galaxies: the column `object_id` of the catalog that they were predicted from, if it has one.

    Notes
    -----
    ``len(posterior)`` is the number of galaxies. ``posterior[index]`` is a posterior of the galaxies that an int, a
    slice, an index array or a boolean mask selects, of length 1 for an int; iteration gives posteriors of length 1.
    ``posterior["flux"]`` is the posterior of that target alone, ``posterior[["flux", "half_light_radius"]]`` the
    joint one of these, in this order.
    """

    weights: NDArray[np.float64]
    _form: ClassVar[str]

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        if "_form" in vars(cls):
            FORMS[cls._form] = cls

    def _set_targets(self, k: int, target_names, units) -> None:
        self.target_names = checked_names(target_names, k)
        self.units = checked_units(units, self.target_names)

    @property
    def ids(self) -> NDArray[np.str_] | None:
        return self._ids

    @ids.setter
    def ids(self, ids) -> None:
        self._ids = checked_ids(ids, len(self))

    def __getitem__(self, index):
        if isinstance(index, str) or (isinstance(index, list | np.ndarray) and np.asarray(index).dtype.kind == "U"):
            return self._of_targets([self._target(name) for name in np.atleast_1d(index).ravel().tolist()])
        if mask_of(index) is not None:
            index = as_index(index)
        if not isinstance(index, slice):
            index = np.atleast_1d(np.arange(len(self))[index])
            if index.ndim != 1:
                raise IndexError(
                    f"an index of {index.ndim} dimensions; expected an int, a slice, or a one-dimensional index "
                    "array or mask of galaxies."
                )
        selected = copy.copy(self)
        for name in COLUMNS[self._form]:
            setattr(selected, name, getattr(self, name)[index])
        selected.ids = None if self.ids is None else self.ids[index]
        return selected

    def _target(self, name: str) -> int:
        if name not in self.target_names:
            raise KeyError(
                f"no target {name!r} among {', '.join(map(repr, self.target_names))}; expected one of these, or "
                "numbers of galaxies."
            )
        return self.target_names.index(name)

    @abstractmethod
    def _of_targets(self, targets: list[int]) -> Posterior:
        """Joint posterior of some targets alone, in the order given."""

    def __iter__(self) -> Iterator[Posterior]:
        return (self[row] for row in range(len(self)))

    def __repr__(self):
        targets = ", ".join(
            name if unit is None else f"{name} [{unit}]" for name, unit in zip(self.target_names, self.units)
        )
        galaxies = "1 galaxy" if len(self) == 1 else f"{len(self)} galaxies"
        return f"{type(self).__name__}({galaxies}; targets: {targets})"

    @abstractmethod
    def sample(self, n_samples=1000, random_state=None) -> NDArray[np.float64]:
        """Draw from the joint posteriors; from draws by their weights, with replacement.

        Parameters
        ----------
        n_samples : int, default=1000
            Number of draws of each galaxy.
        random_state : int, RandomState instance or None, default=None
            Seed of the draws.

        Returns
        -------
        ndarray of shape (n, n_samples, k)
            In physical units.
        """

    @abstractmethod
    def log_prob(self, y: ArrayLike) -> NDArray[np.float64]:
        """Logarithm of the joint density in physical units.

        Parameters
        ----------
        y : array-like of shape (n, k) or (n, q, k)
            One point for each galaxy or q of them, in physical units; also ``(n,)`` if k is 1.

        Returns
        -------
        ndarray of shape (n,) or (n, q)
            -inf outside the support and at its ends. `galestim.targets.clip_labels` moves labels off the bounds of a
            logit.

        Raises
        ------
        TypeError
            By a `DrawsPosterior`, which has no density.
        """

    @abstractmethod
    def pdf(self, y: ArrayLike) -> NDArray[np.float64]:
        """Density of each target by itself, in physical units.

        Parameters
        ----------
        y : array-like of shape (n, k) or (n, q, k)
            One value per galaxy and target or q of them, in physical units; also ``(n,)`` if k is 1.

        Returns
        -------
        ndarray of the shape of `y`
            Per unit of the target; 0 outside the support.

        Raises
        ------
        TypeError
            By a `DrawsPosterior`, which has no density.
        """

    @abstractmethod
    def cov(self) -> NDArray[np.float64]:
        """Covariance matrix of the targets.

        Returns
        -------
        ndarray of shape (n, k, k)
            In the units of the two targets.
        """

    def derive(self, function, name, unit=None, n_samples=1000, random_state=None):
        """Append a quantity computed from joint draws of the targets.

        Parameters
        ----------
        function : callable
            Given a dict from target name to draws, ndarray of shape (n, s) in physical units, it returns the draws
            of the new quantity, of the same shape: `bulge_flux`, `disk_flux`, a `Magnitude`, or your own.
        name : str
            Name of the new target.
        unit : str, astropy unit or None, default=None
            Its unit.
        n_samples : int, default=1000
            Number of draws s. Of no effect on a `DrawsPosterior`, which keeps the draws it has.
        random_state : int, RandomState instance or None, default=None
            Seed of the draws.

        Returns
        -------
        DrawsPosterior
            The targets, followed by the new one.

        Raises
        ------
        ValueError
            If the targets have that name already, or `function` returns another shape.
        """
        draws, weights = self._weighted_draws(n_samples, random_state)
        derived = function({name: draws[..., j] for j, name in enumerate(self.target_names)})
        derived = np.asarray(without_mask(derived), dtype=float)
        if derived.shape != draws.shape[:2]:
            raise ValueError(
                f"{name}: the function returned shape {derived.shape}; expected {draws.shape[:2]}, a value per draw."
            )
        posterior: Any = Posterior.from_draws(
            np.concatenate([draws, derived[..., None]], axis=2),
            weights,
            target_names=[*self.target_names, name],
            units=[*self.units, unit],
            ids=self.ids,
        )
        return posterior._with_tails([*self._tails, None])

    def _weighted_draws(self, n_samples, random_state) -> tuple[NDArray, NDArray | None]:
        return self.sample(n_samples, random_state), None

    def write(self, path, overwrite=False) -> None:
        """Write all of the posterior to a file, to the last bit.

        Parameters
        ----------
        path : str or path-like
            Where to; the suffix says the format: ``.fits``, ``.parquet``, ``.h5`` or ``.hdf5``.
        overwrite : bool, default=False
            Whether an existing file is replaced.
        """
        write_content(self._content(), path, overwrite)

    def _content(self) -> Content:
        """Description to write."""
        targets = described_targets(self.target_names, self.units, getattr(self, "transforms", None), self._tails)
        columns = {name: getattr(self, name) for name in COLUMNS[self._form]}
        return Content(VERSION, self._form, targets, columns, getattr(self, "groups", None), self.ids)

    @classmethod
    @abstractmethod
    def _from_content(cls, content: Content) -> Posterior:
        """Inverse of `_content`."""

    @staticmethod
    def read(path) -> Posterior:
        """Read what `write` wrote.

        Parameters
        ----------
        path : str or path-like
            A file written by `write`.

        Returns
        -------
        MixturePosterior or DrawsPosterior
        """
        return read_content(path, lambda content: FORMS[content.form]._from_content(content))

    @staticmethod
    def from_draws(draws, weights=None, *, target_names=None, units=None, ids=None) -> Posterior:
        """Posterior of draws in physical units.

        Parameters
        ----------
        draws : array-like of shape (n, s, k)
            As of `DrawsPosterior`, which see for all arguments.
        weights : array-like of shape (n, s) or None, default=None
            Weight of each draw.
        target_names : sequence of str or None, default=None
            Names of the targets.
        units : sequence of str, astropy units or None, default=None
            Unit of each target.
        ids : sequence of str or None, default=None
            Names of the galaxies.

        Returns
        -------
        DrawsPosterior
        """
        return FORMS["draws"](draws, weights, target_names=target_names, units=units, ids=ids)
