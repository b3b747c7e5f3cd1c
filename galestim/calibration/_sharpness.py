"""Sharpness, the narrowness of posteriors: what is left to compare once they are calibrated."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from .._tables import target_values
from ..posteriors import Posterior
from ._inputs import check_posterior, check_rows, known_rows


class Sharpness(NamedTuple):
    """Mean width of the posteriors of each target and its 95 % confidence interval, (n_targets,)."""

    width: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


def sharpness(posterior, *, limit=None) -> Sharpness:
    """Mean width of posteriors: half of the central 68.27 % interval, which is σ of a Gaussian.

    The smaller, the better, among calibrated posteriors only: it does not look at the truth. Given a `limit` that no
    posterior can beat, it sees posteriors that are too wide (more than 1) or too narrow (less than 1); neither a
    bias, nor wrong correlations, nor errors that cancel between galaxies.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    posterior : Posterior or array-like of shape (n_galaxies, n_draws, n_targets)
        Rows that are missing cutouts (NaN) are left out.
    limit : array-like of shape (n_galaxies, n_targets), default=None
        Width to divide each width by, in the unit of its target, such as the Cramér-Rao bound; positive, but for
        missing cutouts. None: nothing.

    Returns
    -------
    Sharpness
        Named tuple of `width`, `low` and `high`, (n_targets,): the mean over galaxies and its 95 % confidence
        interval, :math:`± 1.96` standard errors. In the unit of the target, or none if there is a `limit`.

    Raises
    ------
    ValueError
        If shapes disagree, a limit is not positive, draws of a galaxy are not finite in part, there are fewer than 2
        galaxies, or every row is missing.

    Notes
    -----
    "Maximizing the sharpness subject to calibration" is the paradigm of Gneiting, Balabdaoui & Raftery 2007, JRSS B
    69, 243: Probabilistic forecasts, calibration and sharpness. Half a central interval exists where a standard
    deviation does not.

    Examples
    --------
    >>> import numpy as np
    >>> from galestim.calibration import sharpness
    >>> from galestim.posteriors import MixturePosterior
    >>> width = np.array([0.1, 0.2, 0.3])[:, None]
    >>> posterior = MixturePosterior(np.zeros((3, 1, 1)), width[:, None, None])
    >>> sharpness(posterior).width.round(3)
    array([0.2])
    >>> sharpness(posterior, limit=width / 1.1).width.round(3)
    array([1.1])
    """
    posterior = check_posterior(posterior)
    known = known_rows(posterior)
    width = _widths(posterior[known])
    if len(width) < 2:
        raise ValueError("1 posterior; expected at least 2, for the error of a mean width.")
    if limit is not None:
        width = width / _checked_limit(limit, posterior, known)
    unit = width.max(axis=0)
    unit = np.where((unit > 0) & np.isfinite(unit), unit, 1.0)  # squares of huge widths overflow
    mean, error = unit * (width / unit).mean(axis=0), unit * (width / unit).std(axis=0, ddof=1) / np.sqrt(len(width))
    return Sharpness(mean, mean - ndtri(0.975) * error, mean + ndtri(0.975) * error)


def _widths(posterior: Posterior) -> NDArray[np.float64]:
    """Half of the central interval ``(n, k)``."""
    low, high = np.moveaxis(posterior.credible_interval(0.6827), -1, 0)
    return (high - low) / 2


def _checked_limit(limit, posterior: Posterior, known: NDArray) -> NDArray[np.float64]:
    """Limits of the galaxies that are not missing ``(n_known, k)``; columns of a table by the targets' names."""
    limit = target_values(limit, posterior.target_names, posterior.units, "limit", errors=True)
    limit, n_targets = check_rows(limit, known, "limit"), posterior.n_targets
    if limit.shape[1] != n_targets or not (limit > 0).all():
        raise ValueError(f"limit is {limit.shape[1]} columns from {limit.min()} on; expected {n_targets}, positive.")
    return limit
