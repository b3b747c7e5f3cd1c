"""Defaults that can be searched: specs that stand behind None and names are parameters, too."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from sklearn.base import BaseEstimator, clone


class SearchableDefaults(BaseEstimator):
    """Lets ``set_params(network__filters=...)`` work on ``network=None``, and a search likewise.

    Setting a number of a default puts the spec in its place that the default stands for.
    """

    @abstractmethod
    def _specs(self) -> dict[str, Any]:
        """Values behind parameters such as ``network``: a spec, or None, a name or a class without numbers."""

    def get_params(self, deep=True):
        """Get parameters of this estimator.

        Parameters
        ----------
        deep : bool, default=True
            Whether to include those of its specs, such as ``network__dropout``, also where these are defaults.

        Returns
        -------
        dict
        """
        params = super().get_params(deep)
        for name, spec in self._specs().items() if deep else ():
            if _has_numbers(spec):
                params |= {f"{name}__{key}": value for key, value in spec.get_params().items()}
        return params

    def set_params(self, **params):
        """Set parameters of this estimator.

        Parameters
        ----------
        **params : dict
            Names and values; ``network__dropout=0.1`` sets a number of the network's spec, or of its default.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If there is no such parameter.
        """
        super().set_params(**{name: value for name, value in params.items() if "__" not in name})
        nested: dict[str, dict[str, Any]] = {}
        for name, value in params.items():
            if "__" in name:
                outer, _, inner = name.partition("__")
                nested.setdefault(outer, {})[inner] = value
        specs = self._specs()
        for outer, values in nested.items():
            if outer not in specs or _has_numbers(getattr(self, outer)):
                super().set_params(**{f"{outer}__{inner}": value for inner, value in values.items()})
            else:
                setattr(self, outer, self._default_with(outer, specs[outer], values))
        return self

    def _default_with(self, name: str, spec, values: dict[str, Any]):
        """A copy of the spec of a default, with numbers of its own."""
        if not _has_numbers(spec):
            raise ValueError(
                f"{name}__{next(iter(values))} is no parameter of {type(self).__name__} with "
                f"{name}={getattr(self, name)!r}, which has none of its own; set {name} to a spec that has, first."
            )
        return clone(spec).set_params(**values)


def _has_numbers(spec) -> bool:
    return hasattr(spec, "get_params") and not isinstance(spec, type)
