"""Inputs of all measures of calibration: a posterior in any of its forms, and truths of the same shape."""

from __future__ import annotations

from collections.abc import Iterator
from numbers import Real

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_array, check_random_state, gen_batches

from .._estimates import warn_of_swapped
from .._masked import without_mask
from .._sklearn import Interval
from .._tables import column_names, is_table, named_columns, refuse_unknown, target_values
from ..posteriors import DrawsPosterior, MixturePosterior, Posterior
from ..targets import clip_labels

CONFIDENCE: list = [Interval(Real, 0, 1, closed="neither")]

_CHUNK = 2**21  # numbers drawn at a time: 16 MB


def check_posterior(posterior) -> Posterior:
    """`posterior` itself, or the posterior made of an array of draws ``(n, s, k)``."""
    if isinstance(posterior, Posterior):
        return posterior
    if hasattr(posterior, "predict"):
        raise TypeError(
            f"posterior is a {type(posterior).__name__}; expected what it predicts: predict_posterior(X) of it."
        )
    if is_table(posterior):
        raise TypeError(
            f"posterior is a {type(posterior).__name__}; expected a Posterior, or draws. Are posterior and y swapped?"
        )
    draws = np.asarray(without_mask(posterior), dtype=np.float64)
    if draws.ndim != 3:
        raise ValueError(
            f"posterior is an array of shape {draws.shape}; expected a Posterior, or draws of shape "
            "(n_galaxies, n_draws, n_targets). Draws of a single target need a last axis: draws[:, :, None]."
        )
    return DrawsPosterior(draws)


def check_targets(y, posterior: Posterior) -> NDArray[np.float64]:
    """`y` as finite numbers ``(n, k)``, one row per posterior; labels at bounds moved inside margins, as in a fit.

    Columns of a table are found by the names of the targets, whatever their order, and converted to their units.
    """
    given, y = y, target_values(y, posterior.target_names, posterior.units)
    if y.shape != (len(posterior), posterior.n_targets):
        raise ValueError(
            f"y has shape {y.shape}; expected {(len(posterior), posterior.n_targets)}: a row for each posterior, a "
            "column for each target."
        )
    refuse_unknown(y)
    if column_names(given) is None and not np.isnan(posterior.weights).all():
        warn_of_swapped(y, _centers(posterior), stacklevel=4)
    return clip_labels(y, posterior.transforms) if isinstance(posterior, MixturePosterior) else y


def _centers(posterior: Posterior) -> NDArray[np.float64]:
    """Centers of the posteriors ``(n, k)``, roughly and quickly."""
    if not isinstance(posterior, MixturePosterior):
        return posterior.draws.mean(axis=1)  # type: ignore[attr-defined]
    latent = np.einsum("nm,nmk->nk", posterior.weights, posterior.means)
    return np.column_stack([t.inverse(column) for t, column in zip(posterior.transforms, latent.T)])


def check_scale(scale, n_targets: int) -> NDArray[np.float64]:
    """Divisors of the targets ``(k,)``: positive numbers, or ones for None."""
    if scale is None:
        return np.ones(n_targets)
    scale = check_array(without_mask(scale), ensure_2d=False, dtype=np.float64, input_name="scale")
    if scale.shape != (n_targets,) or not (scale > 0).all():
        raise ValueError(f"scale={scale.tolist()}; expected a positive number for each of {n_targets} targets.")
    return scale


def check_rows(values, known: NDArray, name: str) -> NDArray[np.float64]:
    """`values` with a row for each galaxy, of those that are `known` and finite there ``(n_known, p)``."""
    values = named_columns(values, what=name).values
    if len(values) != len(known):
        raise ValueError(f"{name} has {len(values)} rows; expected {len(known)}, one for each posterior.")
    return check_array(values[known], input_name=name)


def known_rows(posterior) -> NDArray[np.bool_]:
    """Mask of the rows that are not missing cutouts ``(n,)``; an error if one of them is unknown all the same."""
    known = ~np.isnan(posterior.weights[:, 0])
    if not known.any():
        raise ValueError(f"All {len(known)} posteriors are NaN (missing cutouts); expected at least one that is not.")
    if isinstance(posterior, DrawsPosterior):
        partial = known & ~np.isfinite(posterior.draws).all(axis=(1, 2))
        if partial.any():
            raise ValueError(
                f"row {int(np.argmax(partial))}: some draws are NaN or infinite. Leave such galaxies out, or such "
                "draws, or set all draws of the galaxy to NaN (a missing cutout)."
            )
    return known


def draw_chunks(posterior: Posterior, n_samples: int, random_state) -> Iterator[tuple[slice, NDArray[np.float64]]]:
    """Equally weighted draws ``(rows, s, k)`` of a few galaxies at a time, with the slice of their rows.

    A posterior that is itself made of equally weighted draws gives these.
    """
    rng = check_random_state(random_state)
    own = _own_draws(posterior)
    n_draws = n_samples if own is None else own.shape[1]
    if n_draws < 2:
        raise ValueError("A score estimated from draws needs at least 2 draws per galaxy; got 1.")
    for rows in gen_batches(len(posterior), max(1, _CHUNK // (n_draws * posterior.n_targets))):
        yield rows, posterior[rows].sample(n_samples, rng) if own is None else own[rows]


def check_finite(draws: NDArray) -> NDArray[np.float64]:
    """`draws` themselves, of which moments are wanted."""
    if not np.isfinite(draws).all():
        raise ValueError("Some draws overflow; expected finite ones. Leave galaxies with such wide posteriors out.")
    return draws


def _own_draws(posterior: Posterior) -> NDArray[np.float64] | None:
    """Equally weighted draws that a posterior consists of."""
    if not isinstance(posterior, DrawsPosterior):
        return None
    first = posterior.weights[:, :1]
    return posterior.draws if ((posterior.weights == first) | np.isnan(first)).all() else None
