"""Ensembles of qp: mixtures of one target, or its quantiles in physical units; and ensembles as posteriors."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..targets import IdentityTransform
from ._checks import check_n_samples
from ._content import FORMS
from ._marginals import lengths
from ._optional import optional_import

_QUANTILES = np.linspace(0.0025, 0.9975, 200)  # where a posterior is not known by a few numbers


def to_qp(posterior, quantiles=None, latent: bool = False):
    """The ensemble of `posterior`, which has one target."""
    qp = optional_import("qp", "to_qp", extra="qp")
    if posterior.n_targets != 1:
        raise ValueError(
            f"the posterior has the targets {', '.join(posterior.target_names)}, and an ensemble of qp is of one "
            f"number; choose one: posterior[{posterior.target_names[0]!r}].to_qp()"
        )
    if len(posterior) == 0:
        raise ValueError("a posterior of no galaxies; expected one or more, as an ensemble of qp has.")
    names = {} if posterior.ids is None else {"object_id": posterior.ids}
    kind, data = (
        _mixture(qp, posterior) if _is_mixture(posterior, quantiles, latent) else _table(qp, posterior, quantiles)
    )
    return qp.Ensemble(kind, data=data | {"warn": False}, ancil=names or None)


def _is_mixture(posterior, quantiles, latent: bool) -> bool:
    """Whether the components themselves are asked for."""
    mixture = isinstance(posterior, FORMS["mixture"])
    if latent and not mixture:
        raise TypeError("draws have no latent mixture, which a MixturePosterior has; leave latent=False.")
    if latent and quantiles is not None:
        raise ValueError("quantiles are in physical units and the mixture is latent; pass quantiles or latent=True.")
    return latent or (mixture and quantiles is None and isinstance(posterior.transforms[0], IdentityTransform))


def _mixture(qp, posterior) -> tuple[Any, dict[str, NDArray]]:
    """Components of each galaxy, ``(n, m)``.

    Those of a missing cutout have NaN for weights alone: qp looks for quantiles between the extremes of all galaxies.
    """
    known = ~np.isnan(posterior.weights)
    means, stds = posterior.means[..., 0], lengths(posterior.scale_trils[:, :, 0])
    some = (means[known][0], stds[known][0]) if known.any() else (0.0, 1.0)
    means, stds = (np.where(known, part, value) for part, value in zip((means, stds), some))
    return qp.mixmod, {"means": means, "stds": stds, "weights": posterior.weights}


def _table(qp, posterior, quantiles) -> tuple[Any, dict[str, NDArray]]:
    """Quantiles of each galaxy in physical units, ``(n, q)``."""
    probabilities = _QUANTILES if quantiles is None else _increasing(quantiles)
    values = posterior.quantile(probabilities)[..., 0]
    if not np.isfinite(values).all():
        row = int(np.argmin(np.isfinite(values).all(axis=1)))
        raise ValueError(
            f"row {row} has quantiles that are NaN or infinite, which an ensemble of quantiles cannot hold. Leave "
            "out missing cutouts, posterior[mask], and the probabilities 0 and 1."
        )
    return qp.quant, {"quants": probabilities, "locs": values}


def _increasing(quantiles) -> NDArray[np.float64]:
    """Probabilities, of which qp interpolates between one and the next."""
    probabilities = np.atleast_1d(np.asarray(quantiles, dtype=float))
    if probabilities.ndim > 1 or len(probabilities) < 2 or not (np.diff(probabilities) > 0).all():
        raise ValueError(f"quantiles={quantiles!r}; expected increasing probabilities, two or more.")
    return probabilities


def from_qp(ensemble, target_name=None, unit=None, transform=None, n_samples: int = 1000):
    """The ensemble as a posterior of one target."""
    if not hasattr(ensemble, "ancil"):
        raise TypeError(f"got {type(ensemble).__name__}; expected a qp.Ensemble.")
    given: dict[str, Any] = {"target_names": None if target_name is None else [target_name], "units": [unit]}
    given["ids"] = _ids(ensemble)
    kind = ensemble.metadata["pdf_name"][0].decode()
    if kind == "mixmod":
        means, stds, weights = (np.atleast_2d(ensemble.objdata[name]) for name in ("means", "stds", "weights"))
        missing = np.isnan(weights).all(axis=1, keepdims=True)
        means, stds = (np.where(missing, np.nan, part) for part in (means, stds))
        return FORMS["mixture"](means[..., None], stds[..., None, None], weights, transforms=[transform], **given)
    if transform is not None:
        raise ValueError(
            f"transform={transform!r} of an ensemble of the kind {kind!r}; expected None: only "
            "mixtures of Gaussians, 'mixmod', may be latent."
        )
    middles = (np.arange(check_n_samples(n_samples)) + 0.5) / n_samples
    return FORMS["draws"](np.reshape(ensemble.ppf(middles), (-1, n_samples, 1)), **given)


def _ids(ensemble) -> NDArray[np.str_] | None:
    """Names of the galaxies; files of qp may have made bytes of them."""
    names = (ensemble.ancil or {}).get("object_id")
    if names is None:
        return None
    names = np.atleast_1d(np.asarray(names))
    return np.char.decode(names, "utf-8") if names.dtype.kind == "S" else names.astype(str)
