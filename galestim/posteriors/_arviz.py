"""Data set of arviz from draws, and the import of optional packages."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from importlib import import_module

import numpy as np
from numpy.typing import NDArray


def arviz_data(draws: NDArray, target_names: Sequence[str], units: Sequence):
    """Draws ``(n, s, k)`` as an arviz.InferenceData: a variable ``(chain, draw, galaxy)`` per target."""
    arviz = require_arviz()
    if taken := {"chain", "draw", "galaxy"}.intersection(target_names):
        raise ValueError(f"target {taken.pop()!r} has the name of a dimension; give it another to go to arviz.")
    data = arviz.from_dict(
        posterior=dict(zip(target_names, draws.transpose(2, 1, 0)[:, None])),
        dims={name: ["galaxy"] for name in target_names},
        coords={"galaxy": np.arange(len(draws))},
    )
    for name, unit in zip(target_names, units):
        if unit is not None:
            data.posterior[name].attrs["units"] = unit.to_string()
    return data


def require_arviz():
    """``arviz``, or an ImportError that says how to get it."""
    return optional_import("arviz", "to_arviz")


def optional_import(module: str, what: str):
    """An optional package, or an ImportError that says how to get it."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", r"\s*ArviZ is undergoing a major refactor", FutureWarning)
            return import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise ImportError(
            f"{what} needs {package}, which is not installed; run: pip install 'galestim[export]'"
        ) from error
