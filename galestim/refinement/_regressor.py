"""Refinement of the posteriors of any estimator, with the renderer."""

from __future__ import annotations

import time
import warnings
from numbers import Integral, Real
from typing import NamedTuple

import numpy as np
from astropy.table import Table
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from .._descend import descend
from .._meta_regressor import MetaRegressor
from .._sklearn import HasMethods, Interval, StrOptions, fit_context
from ..posteriors import DrawsPosterior
from ..simulation import Band, GalaxyPrior
from ._batches import batches, refine_batch
from ._beside import checked_neighbors
from ._observed import Observed, observed
from ._parameters import PARAMETERS, check_targets, factor_of, natural_draws, unit_of
from ._pareto import LARGEST_K
from ._refine import LARGEST_ERROR, MISFIT

AUTO = 150.0  # signal to noise of an image above which refinement gains
LEAST_EFFECTIVE = 50.0  # draws of shapes, fewer of which are not relied on


class Refinement(NamedTuple):
    """What `RefinedRegressor.refine` gives.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    posterior : DrawsPosterior
    report : astropy.table.Table
        A row for each galaxy.
    """

    posterior: DrawsPosterior
    report: Table


def _images_of(estimator, X):
    """What reaches the innermost estimator, through pipelines, searches and what recalibrates."""
    estimator, X = descend(estimator, X)
    while hasattr(estimator, "estimator_"):
        estimator, X = descend(estimator.estimator_, X)
    return X


class RefinedRegressor(MetaRegressor):
    r"""Refine the posteriors of an estimator by comparing rendered galaxies with the images.

    A network sees a galaxy once, and for bright ones its posteriors are wider than they need be. This takes them for
    where to look: from several of their draws a bulge and a disk climb to the modes of the true posterior, draws
    around these become it, and galaxies for which that is not reliable keep what the network said, with a mark in the
    report.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    estimator : estimator
        A regressor with `predict_posterior`, alone or at the end of a pipeline or search, of any of B/T, half-light
        radius, flux and the other parameters of `galestim.simulation.render`. One that is fitted serves as it is, or
        is fitted again by `fit`.
    prior : GalaxyPrior or None, default=None
        What is known of galaxies before their images. That of the galaxies that the estimator learned from, if its
        posteriors are to be refined and not changed; None: `broad_prior`.
    band : Band or None, default=None
        The camera of images that are plain arrays. None: images are `Cutouts`, which know theirs.
    when : "auto", "always" or float, default="auto"
        Which galaxies are refined: those whose images have a ratio of signal to noise above this. "auto" is 150;
        below, networks are at the limit already, and draws more costly.
    model_error : float, "infer" or None, default=None
        What to allow for in galaxies with arms, bars and rings. "infer": the noise is taken to be so much larger as
        what the best model leaves says, for each galaxy. A number: an error of bulge and disk as a share of their
        light in a pixel, independent from pixel to pixel. None: galaxies are what the model is.
    sampler : {"importance", "tempering"}, default="importance"
        How posteriors are drawn from. "importance": by proposals about their modes, to which what is known climbs.
        "tempering": by shapes that go from the prior to the posterior by small steps, all rendered at the end; some
        ten times slower, and right where modes are far apart and many, as where bulges may be as flat and as large as
        disks and one may pass for the other.
    n_samples : int, default=1600
        Number of draws for each galaxy, of equal weight; at least 100.
    device : str or torch.device, default="cpu"
        Where to compute.
    random_state : int, RandomState instance or None, default=0
        Determines the draws. The same number and the same galaxies give the same posteriors.

    Attributes
    ----------
    estimator_ : estimator
        The estimator fitted by `fit`.

    See Also
    --------
    galestim.calibration.RecalibratedRegressor : Mends posteriors by what came true.
    galestim.simulation.cramer_rao_bound : The limit to which refinement leads.

    Notes
    -----
    The likelihood is normal, with independent pixels of the variance of sky and of the model's photons; bad pixels
    are left out. Noise that is correlated, as that of resampled mosaics, makes posteriors too narrow. The level of
    the sky has a normal prior of the cutouts' `sky_error`, the width of the point-spread function one of `psf_error`;
    both are marginalized. Neighbors are to be masked, or told, and are then marginalized too, as sums of five
    profiles, stretched and moved to first order, of normal amounts.

    An error of the model that is inferred leaves the weights of pixels as they are to each other, so that the best
    model stays the best one; the likelihood gets wider by the scatter that its residuals give parameters, as if they
    were independent between pixels [5]_, [6]_.

    References
    ----------
    .. [1] Golub & Pereyra 1973, SIAM J. Numer. Anal. 10, 413; Kaufman 1975, BIT 15, 49: variable projection.
    .. [2] Cornuet, Marin, Mira & Robert 2012, Scand. J. Stat. 39, 798: Adaptive Multiple Importance Sampling.
    .. [3] Vehtari, Simpson, Gelman, Yao & Gabry 2024, JMLR 25, 72: Pareto Smoothed Importance Sampling.
    .. [4] Raftery & Bao 2010, Biometrics 66, 1162: Incremental Mixture Importance Sampling.
    .. [5] White 1982, Econometrica 50, 1: the sandwich estimate of covariance.
    .. [6] Müller 2013, Econometrica 81, 1805: posteriors of models that are wrong.
    .. [7] Del Moral, Doucet & Jasra 2006, J. R. Stat. Soc. B 68, 411: Sequential Monte Carlo samplers.

    Examples
    --------
    >>> from galestim.checkpoints import load_pretrained
    >>> from galestim.datasets import SimulatedGalaxies
    >>> from galestim.refinement import RefinedRegressor
    >>> from galestim.simulation import Uniform, hsc_like, sim_v1_prior
    >>> bright = sim_v1_prior().replace(magnitude=Uniform(18.0, 19.0))
    >>> galaxies = SimulatedGalaxies(2, prior=bright, random_state=0)
    >>> network = load_pretrained("hsc-sim-i")
    >>> model = RefinedRegressor(network, prior=sim_v1_prior(), band=hsc_like("i"), n_samples=800)
    >>> posterior, report = model.refine(galaxies)
    >>> posterior
    DrawsPosterior(2 galaxies; targets: bulge_to_total, half_light_radius [arcsec], flux)
    >>> report["status"].tolist()
    ['refined', 'refined']
    """

    _parameter_constraints: dict = {
        "estimator": [
            HasMethods(["fit", "predict"], "PosteriorRegressor(), alone or at the end of a pipeline or search")
        ],
        "prior": [GalaxyPrior, None],
        "band": [Band, None],
        "when": [StrOptions({"auto", "always"}), Interval(Real, 0, None, closed="left")],
        "model_error": [Interval(Real, 0, None, closed="left"), StrOptions({"infer"}), None],
        "sampler": [StrOptions({"importance", "tempering"})],
        "n_samples": [Interval(Integral, 100, None, closed="left")],
        "device": "no_validation",
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        estimator,
        *,
        prior=None,
        band=None,
        when="auto",
        model_error=None,
        sampler="importance",
        n_samples=1600,
        device="cpu",
        random_state=0,
    ):
        self.estimator = estimator
        self.prior = prior
        self.band = band
        self.when = when
        self.model_error = model_error
        self.sampler = sampler
        self.n_samples = n_samples
        self.device = device
        self.random_state = random_state

    def __sklearn_is_fitted__(self):
        try:
            check_is_fitted(self.estimator)
        except Exception:  # NotFittedError, or TypeError of what is no estimator
            return hasattr(self, "estimator_")
        return True

    # ---- fit

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y, **fit_params):
        """Fit the estimator. Refinement itself learns nothing.

        Parameters
        ----------
        X : array-like with n rows
            What the estimator takes.
        y : array-like or table of shape (n,) or (n, n_targets)
            Targets, in physical units.
        **fit_params : dict
            More for the estimator's `fit`.

        Returns
        -------
        self : object
            The fitted estimator.
        """
        self._refuse_no_y(y)
        frozen = isinstance(self.estimator, FrozenEstimator)
        self._adopt(self.estimator if frozen else clone(self.estimator).fit(X, y, **fit_params), y)
        return self

    # ---- predict

    def predict_posterior(self, X, *, parameters="targets", neighbors=None, **params) -> DrawsPosterior:
        """Predict each galaxy's joint posterior, refined.

        Parameters
        ----------
        X : Cutouts, array-like of shape (n, H, W), or what the estimator takes
            What reaches the last step of a pipeline has to be `Cutouts` that know their camera, or linear images with
            `band`.
        parameters : {"targets", "all"}, default="targets"
            Those of the estimator, in its order and units, or all of the model.
        neighbors : mapping, table or None, default=None
            Objects beside the galaxies whose light is marginalized, not masked: ``galaxy``, the row of `X` that each
            is in; ``x_offset`` and ``y_offset`` of their centers from that of the image, along columns and rows,
            right to about half a pixel [pixels]. What else is in it is ignored: that of `NeighborPrior.draw` will do.
        **params : dict
            Keyword arguments of the estimator's `predict_posterior`.

        Returns
        -------
        DrawsPosterior of length n
            Draws of equal weight; NaN for missing cutouts, and of all parameters for galaxies that are not refined.

        Raises
        ------
        ValueError
            As in `refine`.
        """
        return self.refine(X, parameters=parameters, neighbors=neighbors, **params).posterior

    def refine(self, X, *, parameters="targets", neighbors=None, **params) -> Refinement:
        """Predict refined posteriors, and say of each galaxy how that went.

        Parameters
        ----------
        X : array-like with n rows
            What the estimator takes.
        parameters : {"targets", "all"}, default="targets"
        neighbors : mapping, table or None, default=None
            As for `predict_posterior`.
        **params : dict
            Keyword arguments of the estimator's `predict_posterior`.

        Returns
        -------
        posterior : DrawsPosterior of length n
        report : astropy.table.Table of n rows
            ``status``: "refined", "kept" where the rule says that nothing is gained, "unreliable" where the network's
            posterior is kept as that of the refinement cannot be relied on, or "missing"; ``signal_to_noise`` of the
            image; ``effective`` number of draws of shapes, and ``k_hat`` of their weights; ``error`` of the emulated
            log likelihood, its rms at 32 draws that were rendered (these two are 0 of tempering, whose ``effective``
            counts the shapes that differ); ``chi2`` of the best model per pixel;
            ``noise_factor`` by which noise was taken to be larger for an error of the model that is inferred;
            ``seconds`` that the galaxy took.

        Raises
        ------
        ValueError
            If images do not know their camera, are stretched or of several bands, neighbors have no place, or the
            estimator predicts a target that is no parameter of the model.

        Warns
        -----
        UserWarning
            If bulge and disk do not describe some galaxies, and `model_error` is None.
        """
        if parameters not in ("targets", "all"):
            raise ValueError(f"parameters={parameters!r}; expected 'targets' or 'all'.")
        self._validate_params()
        estimator, reached = descend(self._fitted, X, "predict_posterior")
        seen = observed(_images_of(estimator, reached), self.band)
        posterior = estimator.predict_posterior(reached, **params)
        check_targets(posterior.target_names)
        rng = check_random_state(self.random_state)
        names = posterior.target_names if parameters == "targets" else list(PARAMETERS)
        draws, report = self._refined(posterior, seen, names, rng, checked_neighbors(neighbors, len(seen.images)))
        units = [unit_of(name, posterior) for name in names]
        factors = np.array([factor_of(name, unit) for name, unit in zip(names, units)])
        values = np.stack([draws[name] for name in names], axis=-1) * factors
        self._keep(values, posterior, np.asarray(report["status"]), names, rng)
        made = DrawsPosterior(values, target_names=names, units=units, ids=posterior.ids)
        self._warn(report)
        return Refinement(made, report)

    def images_of(self, X):
        """Give the images that posteriors are refined with.

        Parameters
        ----------
        X : array-like with n rows
            What the estimator takes.

        Returns
        -------
        Cutouts or array-like of shape (n, H, W)
            Those that reach the last step of the estimator's pipeline.
        """
        return _images_of(self._fitted, X)

    def _refined(self, posterior, seen: Observed, names, rng, neighbors) -> tuple[dict[str, NDArray], Table]:
        """Draws ``(n, n_samples)`` of the parameters, NaN where not refined, and the report."""
        n, s = len(seen.images), self.n_samples
        draws = {name: np.full((n, s), np.nan) for name in names}
        ratio = seen.signal_to_noise()
        report = Table({"status": np.full(n, "kept", dtype="<U10"), "signal_to_noise": ratio})
        for name in ("effective", "k_hat", "error", "chi2", "noise_factor", "seconds"):
            report[name] = np.full(n, np.nan)
        least = {"auto": AUTO, "always": 0.0}.get(self.when, self.when)
        report["status"][seen.missing | np.isnan(posterior.weights[:, 0])] = "missing"
        rows = np.flatnonzero((report["status"] == "kept") & (ratio >= least))
        for batch in batches(seen, rows, self.device):
            start = time.process_time()
            found = refine_batch(
                posterior[batch], seen, batch, rng,
                neighbors=neighbors, prior=self.prior, model_error=self.model_error, sampler=self.sampler,
                n_samples=self.n_samples, device=self.device,
            )  # fmt: skip
            for name, values in natural_draws(found, seen.pixel_scale[batch]).items():
                if name in draws:
                    draws[name][batch] = values
            for name in ("effective", "k_hat", "error", "chi2", "noise_factor"):
                report[name][batch] = getattr(found, name).cpu()
            report["seconds"][batch] = (time.process_time() - start) / len(batch)
        reliable = (report["effective"] >= LEAST_EFFECTIVE) & (report["k_hat"] < LARGEST_K)
        reliable &= report["error"] < LARGEST_ERROR
        report["status"][rows] = np.where(reliable[rows], "refined", "unreliable")
        return draws, report

    def _keep(self, values, posterior, status: NDArray, names: list[str], rng) -> None:
        """Give galaxies that are not refined the estimator's draws; what it does not predict is NaN."""
        rows = np.flatnonzero((status == "kept") | (status == "unreliable"))
        values[rows] = np.nan
        if list(names) == list(posterior.target_names) and len(rows):
            values[rows] = posterior[rows].sample(values.shape[1], random_state=rng)

    def _warn(self, report: Table) -> None:
        off = np.flatnonzero(report["chi2"] > MISFIT)
        if self.model_error is None and len(off):
            warnings.warn(
                f"A bulge and a disk do not describe {len(off)} of {len(report)} galaxies, first row {off[0]}: χ² "
                f"per pixel is {report['chi2'][off[0]]:.1f}, and refined posteriors are too narrow. Mask neighbors, "
                "and pass model_error='infer'; look at ResidualDisplay.",
                stacklevel=4,
            )
