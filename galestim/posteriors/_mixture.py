"""Posteriors as mixtures of Gaussians, the form that networks give."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp
from sklearn.utils import gen_batches

from .._masked import without_mask
from ..targets import resolve_transforms
from ._base import Posterior
from ._blocks import CHUNK, blocks
from ._checks import check_n_samples, checked_weights, filled_where
from ._content import Content, described_transform
from ._drawing import Numbers, numbers
from ._marginals import MixtureMarginal, lengths
from ._moments import N_NODES, gaussian_covariance, gaussian_moments, hermite_coefficients


class MixturePosterior(Posterior):
    """Posterior of each galaxy as a mixture of Gaussians in the latent space of target transforms.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    means : array-like of shape (n, m, k)
        Means of the m components of n galaxies in the latent space of the k targets: after their transforms, not
        standardized. A galaxy that is NaN everywhere is a missing cutout.
    scale_trils : array-like of shape (n, m, k, k)
        Lower Cholesky factors of the latent covariances, with positive diagonals.
    weights : array-like of shape (n, m) or None, default=None
        Weight of each component, not negative; normalized to sum to 1 over the components of a galaxy. None: equal.
        A component of weight 0 counts for nothing, whatever its moments, even if they are NaN or infinite.
    groups : array-like of int of shape (m,) or None, default=None
        Components of one number came from one pass through a network, whose output may be a mixture by itself.
        None: each component is a pass of its own.
    target_names : sequence of str or None, default=None
        Names of the targets. None: ``y0``, ``y1``…, or ``y`` if there is one.
    units : sequence of str, astropy units or None, default=None
        Physical unit of each target, or None for each or all.
    transforms : None, str, object, sequence or dict, default=None
        From physical to latent values, as in `galestim.targets.resolve_transforms`. None: the identity.
    ids : sequence of str of length n or None, default=None
        Names of the galaxies, as the `object_id` of a catalog.

    Attributes
    ----------
    means, scale_trils, weights : ndarray
        As given, float64; weights sum to 1, and components of weight 0 have the moments of the heaviest one. NaN for
        a missing cutout.
    groups : ndarray of int of shape (m,)
        The pass of each component.
    target_names : list of str
        Names of the targets.
    units : list of astropy.units.Unit or None
        Unit of each target.
    transforms : list of transform objects
        That of each target.
    n_targets : int
        k.
    ids : ndarray of str of shape (n,) or None
        Names of the galaxies.

    Raises
    ------
    ValueError
        If an argument has the wrong shape, a galaxy is NaN in part, a scale_tril is no Cholesky factor, weights are
        negative, or names, units or transforms do not fit the targets.

    Notes
    -----
    Moments of the identity and the logarithm are closed forms; others are Gauss-Hermite quadrature with 64 nodes per
    component, good to 1e-6 for latent standard deviations up to 2. Nothing but `sample` and `derive` is random.

    Examples
    --------
    A galaxy whose radius two passes put at e^0.6 and e^0.8 arcsec, with errors of 10 %:

    >>> from galestim.posteriors import MixturePosterior
    >>> posterior = MixturePosterior(
    ...     [[[0.6], [0.8]]], [[[[0.1]], [[0.1]]]],
    ...     target_names=["half_light_radius"], units=["arcsec"], transforms="log",
    ... )
    >>> posterior
    MixturePosterior(1 galaxy; targets: half_light_radius [arcsec])
    >>> posterior.mean().round(3), posterior.std().round(3)
    (array([[2.034]]), array([[0.288]]))
    >>> posterior.credible_interval(0.95, kind="hdi").round(2)
    array([[[1.52, 2.59]]])
    >>> posterior.aleatoric_covariance().round(3), posterior.epistemic_covariance().round(3)
    (array([[[0.01]]]), array([[[0.01]]]))
    """

    _form = "mixture"

    def __init__(
        self,
        means,
        scale_trils,
        weights=None,
        *,
        groups=None,
        target_names=None,
        units=None,
        transforms=None,
        ids=None,
    ):
        means, scale_trils = _arrays(means, scale_trils)
        n, m, k = means.shape
        missing = np.asarray(np.isnan(means).all(axis=(1, 2)))
        self.weights = checked_weights(weights, (n, m), missing, "component")
        means, scale_trils = filled_where(self.weights == 0, self.weights, means, scale_trils)
        self.means = _checked_means(means)
        self.scale_trils = _checked_scale_trils(scale_trils, missing)
        self.groups = _checked_groups(groups, m)
        self._set_targets(k, target_names, units)
        self.transforms = resolve_transforms(transforms, self.target_names)
        self.ids = ids

    def __len__(self) -> int:
        return len(self.means)

    @classmethod
    def _from_content(cls, content: Content) -> MixturePosterior:
        return cls(
            content.columns["means"],
            content.columns["scale_trils"],
            content.weights_like("means"),
            groups=content.groups,
            ids=content.ids,
            transforms=[described_transform(target) for target in content.targets],
            **content.named,
        )

    def _of_targets(self, targets):
        names, units, transforms = (
            [values[target] for target in targets] for values in (self.target_names, self.units, self.transforms)
        )
        return MixturePosterior(
            self.means[..., targets],
            _factors(self.scale_trils[:, :, targets]),
            self.weights,
            groups=self.groups,
            target_names=names,
            units=units,
            transforms=transforms,
            ids=self.ids,
        )

    @property
    def _row_cost(self) -> int:
        return self.means.shape[1] * N_NODES

    def _missing(self) -> NDArray[np.bool_]:
        return np.isnan(self.weights[:, 0])

    def _unknown(self) -> NDArray[np.bool_]:
        return np.repeat(self._missing()[:, None], self.n_targets, axis=1)

    def _marginal(self, rows, target):
        std = lengths(self.scale_trils[rows, :, target])
        return MixtureMarginal(self.means[rows, :, target], std, self.weights[rows], self.transforms[target])

    def sample(self, n_samples=1000, random_state=None) -> NDArray[np.float64]:
        draws = np.empty((len(self), check_n_samples(n_samples), self.n_targets))
        for rows, drawn in numbers(len(self), n_samples, random_state):
            self._draw(draws[rows], rows, drawn)
        return draws

    def _draw(self, draws: NDArray, rows: slice, drawn: Numbers) -> None:
        """Fill `draws` ``(n_rows, n_samples, k)`` of some galaxies, target by target."""
        counts, order = drawn.choices(self.weights[rows])
        normal = drawn.normal(self.n_targets)
        means, factors = (part[rows].reshape(len(counts), -1).T.copy() for part in (self.means, self.scale_trils))
        factors = factors.astype(_enough(factors))
        for j, transform in enumerate(self.transforms):
            offset = np.zeros(normal.shape[1], dtype=factors.dtype)
            for factor, z in zip(factors[j * self.n_targets :], normal[: j + 1]):
                step = np.repeat(factor, counts)
                step *= z
                offset += step
            latent = np.repeat(means[j], counts)
            latent += offset
            with np.errstate(all="ignore"):
                draws[..., j] = transform.inverse(latent).take(order)

    def log_prob(self, y) -> NDArray[np.float64]:
        y = self._points(y)
        points = y if y.ndim == 3 else y[:, None]
        with np.errstate(all="ignore"):
            z, log_slope = (
                np.stack([getattr(transform, method)(points[..., j]) for j, transform in enumerate(self.transforms)])
                for method in ("forward", "log_abs_det_jacobian")
            )
        inside = np.isfinite(z).all(axis=0)
        out = self._latent_log_prob(np.where(inside, z, 0.0)) + np.where(inside, log_slope.sum(axis=0), -np.inf)
        out[np.isnan(points).any(axis=-1) | self._missing()[:, None]] = np.nan
        return out.reshape(y.shape[:-1])

    def _latent_log_prob(self, z: NDArray) -> NDArray:
        """Logarithm of the latent density at `z` ``(k, n, q)``."""
        out = np.empty(z.shape[1:])
        n_numbers = self.means.shape[1] * self.n_targets
        for rows, columns in blocks(out.shape, n_numbers):
            with np.errstate(all="ignore"):  # a weight may be 0, and a distance too large for a float64
                out[rows, columns] = self._block_log_prob(z[:, rows, columns, None], rows)
        return out

    def _block_log_prob(self, z: NDArray, rows: slice) -> NDArray:
        residuals: list[NDArray] = []  # forward substitution, as k is small
        log_density = np.log(self.weights[rows, None]) - 0.5 * self.n_targets * np.log(2 * np.pi)
        for i in range(self.n_targets):
            factor = self.scale_trils[rows, None, :, i]
            residual = z[i] - self.means[rows, None, :, i]
            residual -= sum(factor[..., j] * known for j, known in enumerate(residuals))
            residuals.append(residual / factor[..., i])
            log_density = log_density - np.log(factor[..., i]) - 0.5 * residuals[i] ** 2
        return logsumexp(log_density, axis=-1)

    def pdf(self, y) -> NDArray[np.float64]:
        return self._each_marginal(lambda marginal, y: marginal.pdf(y), self._points(y))

    def cov(self) -> NDArray[np.float64]:
        out = np.empty((len(self), self.n_targets, self.n_targets))
        for rows in gen_batches(len(self) or 1, max(1, CHUNK // (8 * self._row_cost))):
            with np.errstate(all="ignore"):  # a variance may be too large for a float64
                out[rows] = self._chunk_cov(rows)
        return out

    def _chunk_cov(self, rows) -> NDArray:
        """Law of total covariance over the components, in physical units."""
        factors, weights = self.scale_trils[rows], self.weights[rows]
        means = np.moveaxis(self.means[rows], -1, 0)
        stds = np.moveaxis(lengths(factors), -1, 0)
        parts = [gaussian_moments(*latent) for latent in zip(means, stds, self.transforms)]
        series = [hermite_coefficients(*latent) for latent in zip(means, stds, self.transforms)]
        d = [part.mean - (weights * part.mean).sum(axis=1, keepdims=True) for part in parts]
        out = np.empty((len(weights), self.n_targets, self.n_targets))
        for i in range(self.n_targets):
            out[:, i, i] = (weights * (parts[i].variance + d[i] ** 2)).sum(axis=1)
            for j in range(i):
                correlation = (factors[..., i, :] * factors[..., j, :]).sum(axis=-1) / (stds[i] * stds[j])
                within = gaussian_covariance(series[i], series[j], correlation)
                out[:, i, j] = out[:, j, i] = (weights * (within + d[i] * d[j])).sum(axis=1)
        return out

    def latent_mean(self) -> NDArray[np.float64]:
        """Mean in the latent space.

        Returns
        -------
        ndarray of shape (n, k)
        """
        return np.einsum("nm,nmk->nk", self.weights, self.means)

    def latent_cov(self) -> NDArray[np.float64]:
        """Covariance matrix in the latent space: the sum of the aleatoric and the epistemic one.

        Returns
        -------
        ndarray of shape (n, k, k)
        """
        return self._within() + _outer(self.weights, self.means - self.latent_mean()[:, None])

    def aleatoric_covariance(self) -> NDArray[np.float64]:
        """Aleatoric covariance: the mean over passes of the covariance within a pass.

        Returns
        -------
        ndarray of shape (n, k, k)
            In the latent space (Kendall & Gal 2017, NeurIPS 30).
        """
        _, pass_means, pass_of = self._passes()
        return self._within() + _outer(self.weights, self.means - pass_means[:, pass_of])

    def epistemic_covariance(self) -> NDArray[np.float64]:
        """Epistemic covariance: the spread between passes, as the covariance of their means.

        Returns
        -------
        ndarray of shape (n, k, k)
            In the latent space (Kendall & Gal 2017, NeurIPS 30).
        """
        pass_weights, pass_means, _ = self._passes()
        return _outer(pass_weights, pass_means - self.latent_mean()[:, None])

    def _within(self) -> NDArray:
        """Mean covariance of the components."""
        out = np.empty((len(self), self.n_targets, self.n_targets))
        for rows in gen_batches(len(self) or 1, max(1, CHUNK // np.prod(self.scale_trils.shape[1:]))):
            factors = self.scale_trils[rows]
            weights, path = self.weights[rows], ["einsum_path", (0, 1), (0, 1)]
            with np.errstate(all="ignore"):  # as of `_outer`
                out[rows] = np.einsum("nm,nmil,nmjl->nij", weights, factors, factors, optimize=path)
        return out

    def _passes(self) -> tuple[NDArray, NDArray, NDArray[np.intp]]:
        """Weights ``(n, passes)`` and means ``(n, passes, k)`` of the passes, and the pass of each component."""
        order = np.argsort(self.groups, kind="stable")
        _, starts, pass_of = np.unique(self.groups[order], return_index=True, return_inverse=True)
        weights = np.add.reduceat(self.weights[:, order], starts, axis=1)
        sums = np.add.reduceat((self.weights[..., None] * self.means)[:, order], starts, axis=1)
        return weights, sums / np.where(weights > 0, weights, 1.0)[..., None], pass_of[np.argsort(order)]


def _outer(weights: NDArray, d: NDArray) -> NDArray:
    """Weighted sum of ``d dᵀ`` over the second axis."""
    with np.errstate(all="ignore"):  # it may be too large for a float64
        return np.swapaxes(weights[..., None] * d, 1, 2) @ d


def _enough(factors: NDArray) -> type:
    """Precision of offsets from means: float32, where it has such numbers, is right to a millionth of them."""
    size = np.abs(factors[factors != 0])
    return np.float32 if size.size and size.min() > 1e-30 and size.max() < 1e30 else np.float64


def _factors(rows: NDArray) -> NDArray[np.float64]:
    """Cholesky factors ``(n, m, q, q)`` of the covariances of some targets, of their `rows` ``(n, m, q, k)``."""
    upper = np.linalg.qr(np.swapaxes(rows, -1, -2), mode="r")  # squares nothing, as a product of rows would
    signs = np.where(np.diagonal(upper, axis1=-2, axis2=-1) < 0, -1.0, 1.0)
    return np.tril(np.swapaxes(signs[..., None] * upper, -1, -2))


def _arrays(means, scale_trils) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    means, scale_trils = (np.asarray(without_mask(part), dtype=float) for part in (means, scale_trils))
    if means.ndim != 3 or 0 in means.shape[1:]:
        raise ValueError(
            f"means has shape {means.shape}; expected (n, m, k), m components in k targets for each of n galaxies."
        )
    shape = *means.shape, means.shape[2]
    if scale_trils.shape != shape:
        raise ValueError(
            f"scale_trils has shape {scale_trils.shape}; expected {shape}, a (k, k) factor per component."
        )
    return means, scale_trils


def _checked_means(means: NDArray) -> NDArray[np.float64]:
    partial = ~np.isfinite(means).all(axis=(1, 2)) & ~np.isnan(means).all(axis=(1, 2))
    if partial.any():
        raise ValueError(
            f"row {int(np.argmax(partial))}: means are NaN or infinite in part; expected finite ones, or NaN "
            "everywhere for a missing cutout."
        )
    return means


def _checked_scale_trils(scale_trils: NDArray, missing: NDArray[np.bool_]) -> NDArray[np.float64]:
    k = scale_trils.shape[-1]
    fine = np.isfinite(scale_trils).all(axis=(1, 2, 3))
    fine &= (scale_trils[..., range(k), range(k)] > 0).all(axis=(1, 2))
    fine &= (scale_trils[..., *np.triu_indices(k, 1)] == 0).all(axis=(1, 2))
    if not (fine | missing).all():
        raise ValueError(
            f"row {int(np.argmin(fine | missing))}: scale_trils; expected finite lower triangular matrices with a "
            "positive diagonal, the Cholesky factors of the latent covariances."
        )
    if missing.any():
        scale_trils = np.where(missing[:, None, None, None], np.nan, scale_trils)
    return scale_trils


def _checked_groups(groups, m: int) -> NDArray[np.int64]:
    groups = np.arange(m) if groups is None else np.asarray(groups)
    if groups.shape != (m,) or groups.dtype.kind not in "iu":
        raise ValueError(
            f"groups has shape {groups.shape} of {groups.dtype}; expected ({m},) ints, the pass of each component."
        )
    return groups.astype(np.int64)
