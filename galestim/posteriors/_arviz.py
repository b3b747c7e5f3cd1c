"""Draws as a data set of arviz, of either major version, and data sets of arviz as draws."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._content import FORMS
from ._optional import optional_import

_DIMS = ("chain", "draw", "galaxy")


def require_arviz():
    """``arviz``, or an ImportError that says how to get it."""
    return optional_import("arviz", "to_arviz")


def arviz_data(draws: NDArray, target_names: Sequence[str], units: Sequence, ids=None):
    """Draws ``(n, s, k)`` as a group ``posterior``, with a variable ``(chain, draw, galaxy)`` per target.

    It is an arviz.InferenceData before arviz 1, and an xarray.DataTree from then on.
    """
    arviz, xarray = require_arviz(), optional_import("xarray", "to_arviz")
    if taken := set(_DIMS).intersection(target_names):
        raise ValueError(f"target {taken.pop()!r} has the name of a dimension; give it another to go to arviz.")
    variables = {
        name: (_DIMS, values.T[None], {} if unit is None else {"units": unit.to_string()})
        for name, unit, values in zip(target_names, units, np.moveaxis(draws, 2, 0))
    }
    n, s, _ = draws.shape
    galaxies = np.arange(n) if ids is None else ids
    data = xarray.Dataset(variables, {"chain": [0], "draw": np.arange(s), "galaxy": galaxies})
    if arviz.__version__.startswith("0."):
        return arviz.InferenceData(posterior=data)
    return xarray.DataTree.from_dict({"posterior": data})


def from_arviz(data, var_names: str | Sequence[str] | None = None):
    """The group ``posterior`` of a data set of arviz, its chains one behind the other."""
    group: Any = data["posterior"] if hasattr(data, "__getitem__") and "posterior" in data else None
    if not hasattr(group, "data_vars"):
        raise TypeError(
            f"got {type(data).__name__}; expected a DataTree or an InferenceData with a group 'posterior'. Arrays of "
            "draws go to Posterior.from_draws."
        )
    names = [str(name) for name in group.data_vars] if var_names is None else np.atleast_1d(var_names).tolist()
    if missing := [name for name in names if name not in group.data_vars]:
        raise ValueError(
            f"no variable {missing[0]!r} in the data set; it has {', '.join(map(str, group.data_vars))}."
        )
    draws = [_draws(group[name]) for name in names]
    if len({values.shape for values in draws}) != 1:
        shapes = ", ".join(f"{name} {values.shape}" for name, values in zip(names, draws))
        raise ValueError(
            f"variables of (galaxies, draws) {shapes or '(none)'}; expected as many in each. Choose by var_names."
        )
    return FORMS["draws"](
        np.stack(draws, axis=2),
        target_names=names,
        units=[group[name].attrs.get("units") for name in names],
        ids=_names(group[names[0]]),
    )


def _draws(variable) -> NDArray:
    """``(galaxies, chains · draws)`` of a variable of the dimensions chain, draw and, if any, one of galaxies."""
    others = _others(variable)
    if not {"chain", "draw"} <= set(variable.dims) or len(others) > 1:
        raise ValueError(
            f"{variable.name} has the dimensions {variable.dims}; expected chain, draw, and at most one of galaxies. "
            "Choose variables by var_names."
        )
    n_galaxies = variable.sizes[others[0]] if others else 1
    return variable.transpose(*others, "chain", "draw").to_numpy().reshape(n_galaxies, -1)


def _others(variable) -> list:
    return [dim for dim in variable.dims if dim not in ("chain", "draw")]


def _names(variable) -> NDArray[np.str_] | None:
    """Labels of the galaxies, if they are names."""
    others = _others(variable)
    labels = variable[others[0]].to_numpy() if others else np.empty(0)
    return labels.astype(str) if len(labels) and all(isinstance(label, str) for label in labels) else None
