"""What is written of each galaxy: summaries of its posterior or point estimates, and whether to trust them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._descend import find
from ._model import Model

LEVELS = {"68": 0.6827, "95": 0.9545}


def predicted(model: Model, images) -> tuple[dict[str, tuple[NDArray, str | None]], Any]:
    """Values ``(n,)`` and unit of each column that tells of the targets; and the posterior, if there is one."""
    predictor = model.predictor
    if not hasattr(predictor, "predict_posterior"):
        return _points(predictor, images), None
    posterior = predictor.predict_posterior(images)
    return _summary(posterior), posterior


def _summary(posterior) -> dict[str, tuple[NDArray, str | None]]:
    """Mean, standard deviation, median and equal-tailed intervals of each target."""
    ends = {"lower": -0.5, "upper": 0.5}
    probabilities = {"median": 0.5} | {
        f"{end}_{name}": 0.5 + side * level for name, level in LEVELS.items() for end, side in ends.items()
    }
    quantiles = posterior.quantile(list(probabilities.values()))
    values = dict(zip(("mean", "std"), posterior._mean_and_std()))
    values |= {name: quantiles[:, i] for i, name in enumerate(probabilities)}
    units = [None if unit is None else unit.to_string() for unit in posterior.units]
    return {
        f"{target}_{name}": (of_all[:, j], units[j])
        for j, target in enumerate(posterior.target_names)
        for name, of_all in values.items()
    }


def _points(predictor, images) -> dict[str, tuple[NDArray, str | None]]:
    """Point estimates, under the names of the targets."""
    points = np.asarray(predictor.predict(images), dtype=np.float64)
    points = points.reshape(len(points), -1)
    k = points.shape[1]
    names = find(predictor, "target_names_")[0] or (["y"] if k == 1 else [f"y{j}" for j in range(k)])
    units = find(predictor, "target_units_")[0] or [None] * k
    return {name: (column, unit) for name, column, unit in zip(names, points.T, units)}


def domain(model: Model, images) -> tuple[NDArray[np.bool_], NDArray]:
    """Whether each image is like those of the training, and why not."""
    found = model.predictor.domain(images)
    return np.asarray(found["score"] <= 1), np.asarray(found["reason"]).astype(object)
