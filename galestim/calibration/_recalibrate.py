"""Recalibration of the posteriors of any estimator, on galaxies that it did not see."""

from __future__ import annotations

import warnings
from numbers import Integral

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import KFold, check_cv
from sklearn.utils import Bunch, check_random_state, indexable
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing
from sklearn.utils.validation import has_fit_parameter

from .._meta_regressor import MetaRegressor
from .._sklearn import HasMethods, Interval, StrOptions, check_sample_weight, fit_context, routing_enabled
from .._tables import splittable
from ..posteriors import DrawsPosterior, Posterior, Tails
from ._held_out import HeldOut, fit_and_hold_out, latent_values, transforms_of
from ._inputs import check_posterior, check_targets
from ._normal_scores import ScoreTable, conformal_curve, coupled_draws, local_pulls, moved_log_prob, smooth_curve

_LEAST = 10  # galaxies to calibrate on


class RecalibratedRegressor(MetaRegressor):
    """Recalibrate the posteriors of an estimator on galaxies that it did not see.

    On held-out galaxies it compares where the truths lie in their posteriors with where they should: that gives one
    increasing curve per target, and each posterior is moved along it. Bias, too wide or too narrow posteriors,
    skewness and tails are mended so; what is wrong with the dependence of targets on each other stays as it is, since
    every joint draw keeps its rank in each target.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    estimator : estimator
        A regressor with `predict_posterior`.
    method : {"pit", "local", "conformal"}, default="pit"
        What curve is learned:

        - "pit": the same for all galaxies [1]_, [2]_, smooth, so that there is a density.
        - "local": likewise, after shift and width were set by galaxies of similar posteriors (in median and width):
          for errors that differ between bright and faint ones.
        - "conformal": the same for all galaxies, by order statistics rounded away from the median, so that
          equal-tailed intervals are guaranteed to hold their share of the galaxies, however few were held out [3]_,
          [4]_.
    cv : int, "prefit", splitter or iterable, default=5
        Who is held out. An int: that many shuffled folds. A splitter or an iterable of (train, test): its splits; no
        row may be tested twice. Of several splits each makes its own copy of the estimator, and one more is fitted
        to all rows, which predicts. Of one split, as of ``ShuffleSplit(1)``, the copy itself predicts.
        ``"prefit"``, or a :class:`~sklearn.frozen.FrozenEstimator`: the estimator is fitted already, and all rows
        must be new to it.
    n_neighbors : int, default=100
        Number of similar galaxies that set shift and width in the method "local", at least 10; never more than half
        of those held out are used. Fewer follow faster changes, and make widths noisier, by 1/√n_neighbors.
    n_jobs : int, default=None
        Number of splits to fit at once. None is 1, -1 all processors.
    random_state : int, RandomState instance or None, default=None
        Determines the folds, where `cv` is an int.

    Attributes
    ----------
    estimator_ : estimator
        The fitted estimator that predicts.
    curves_ : list of ndarray of shape (2, n_points)
        For each target, normal scores that truths should have, and those that they have. On the diagonal the
        estimator is calibrated; a slope above 1 is that of too narrow posteriors.
    n_held_out_ : int
        Number of galaxies the curves were learned from.
    n_outputs_ : int
        Number of targets.
    n_features_in_ : int
        That of `estimator_`, if it has one.
    feature_names_in_ : ndarray of str, shape (n_features_in_,)
        Those of `estimator_`, if it has some.

    See Also
    --------
    sklearn.calibration.CalibratedClassifierCV : The same for classifiers.
    coverage : Whether it is needed, and whether it helped.

    Notes
    -----
    The normal score of a truth is ``Φ⁻¹(F(y))``, with the predicted cdf F of its target. The curve G takes scores
    that are standard normal to those that truths have; a draw with the score t gets the value ``F⁻¹(Φ(G(t)))``,
    within the support of its target. Draws are spaced evenly in probability and take the order of joint draws
    (ensemble copula coupling [5]_), so quantiles have no scatter of their own.

    Beyond its outermost points a curve goes on as a straight line: tails that no held-out galaxy has reached are
    those of the estimator, stretched. A posterior that is made of draws has nothing beyond them, so there tails are
    Gaussian, and may leave the support of the target.

    A curve learned from n galaxies misses the right coverage by about 0.5/√n, and needs a few hundred for 2 σ and
    thousands for 3 σ.

    The guarantee: of a target's equal-tailed intervals of any level up to ``1 - 2/(n + 1)`` (and, of s draws, to
    ``1 - 2/s``), on average over data sets at least that share hold the truth, provided galaxies are exchangeable,
    weights are equal, and the estimator that predicts is that of the scores: prefitted, or of one split. With
    several splits it is not proven, only usual. It is one of all galaxies together, not of each kind. Intervals of
    higher levels, and quantiles further out, end where the support of the target ends (so they are infinite, if it
    does), with a warning; moments and draws go on along straight lines.

    References
    ----------
    .. [1] Kuleshov, Fenner & Ermon 2018, ICML, PMLR 80, 2796: Accurate Uncertainties for Deep Learning Using
       Calibrated Regression.
    .. [2] Bordoloi, Lilly & Amara 2010, MNRAS 406, 881: Photo-z performance for precision cosmology.
    .. [3] Romano, Patterson & Candès 2019, NeurIPS 32: Conformalized Quantile Regression (theorem 2).
    .. [4] Vovk, Shen, Manokhin & Xie 2019, Machine Learning 108, 445: Nonparametric predictive distributions based on
       conformal prediction.
    .. [5] Schefzik, Thorarinsdottir & Gneiting 2013, Statistical Science 28, 616: Uncertainty Quantification in
       Complex Simulation Models Using Ensemble Copula Coupling.

    Examples
    --------
    A regressor that thinks it is twice as good as it is:

    >>> import numpy as np
    >>> from sklearn.linear_model import LinearRegression
    >>> from galestim.calibration import RecalibratedRegressor, coverage
    >>> from galestim.posteriors import MixturePosterior
    >>> class Bold(LinearRegression):
    ...     def predict_posterior(self, X):
    ...         mean = self.predict(X).reshape(-1, 1, 1)
    ...         return MixturePosterior(mean, np.full((*mean.shape, 1), 0.5))
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(12000, 1))
    >>> y = X[:, 0] + rng.normal(size=12000)
    >>> model = RecalibratedRegressor(Bold(), random_state=0).fit(X[:6000], y[:6000])
    >>> for bold_or_honest in (model.estimator_, model):
    ...     posterior = bold_or_honest.predict_posterior(X[6000:])
    ...     print(coverage(posterior, y[6000:], [0.68, 0.95]).coverage.ravel().round(2))
    [0.38 0.68]
    [0.68 0.95]
    """

    _parameter_constraints: dict = {
        "estimator": [
            HasMethods(
                ["fit", "predict_posterior"], "PosteriorRegressor(), alone or at the end of galestim.make_pipeline(…)"
            )
        ],
        "method": [StrOptions({"pit", "local", "conformal"})],
        "cv": ["cv_object", StrOptions({"prefit"})],
        "n_neighbors": [Interval(Integral, 10, None, closed="left")],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
    }

    def __init__(self, estimator, *, method="pit", cv=5, n_neighbors=100, n_jobs=None, random_state=None):
        self.estimator = estimator
        self.method = method
        self.cv = cv
        self.n_neighbors = n_neighbors
        self.n_jobs = n_jobs
        self.random_state = random_state

    def get_metadata_routing(self) -> MetadataRouter:
        """Say which metadata goes where: `sample_weight` here, and what they ask for to the estimator and to `cv`.

        Returns
        -------
        sklearn.utils.metadata_routing.MetadataRouter
        """
        router = MetadataRouter(owner=self).add_self_request(self)
        router.add(estimator=self.estimator, method_mapping=MethodMapping().add(caller="fit", callee="fit"))
        return router.add(splitter=self._splitter(), method_mapping=MethodMapping().add(caller="fit", callee="split"))

    # ---- fit

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y, sample_weight=None, **fit_params):
        """Fit the estimator, and learn from galaxies that it did not see how its posteriors have to be moved.

        Parameters
        ----------
        X : array-like with n rows
            What the estimator takes. Rows that it gives NaN for (missing cutouts) are left out.
        y : array-like or table of shape (n,) or (n, n_targets)
            Targets, in physical units.
        sample_weight : array-like of shape (n,), default=None
            How much each row counts, in the fit of the estimator (if that takes weights) and in the curves.
        **fit_params : dict
            More for the estimator's `fit`; with one value per row, each split gets its own.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If labels are not finite or not what the target's transform takes, a row is tested twice, or fewer than 10
            galaxies are held out.

        Warns
        -----
        UserWarning
            If weights were given and the estimator does not take them.
        """
        self._refuse_no_y(y)
        X, y, sample_weight = indexable(X, splittable(y), sample_weight)
        weights = check_sample_weight(sample_weight, X, ensure_non_negative=True, allow_all_zero_weights=False)
        splitter = self._splitter()
        routed = self._routed(sample_weight, fit_params)
        splits = None if splitter is None else list(splitter.split(X, y, **routed.splitter.split))
        estimator, held_out = fit_and_hold_out(self.estimator, splits, X, y, routed.estimator.fit, n_jobs=self.n_jobs)
        self._adopt(estimator, y)
        self._learn(held_out, weights[held_out.rows])
        return self

    def _routed(self, sample_weight, fit_params: dict):
        """Parameters that go to the estimator's `fit` and to the splitter."""
        if routing_enabled():
            return process_routing(self, "fit", sample_weight=sample_weight, **fit_params)
        if sample_weight is not None and has_fit_parameter(self.estimator, "sample_weight"):
            fit_params = {**fit_params, "sample_weight": sample_weight}
        elif sample_weight is not None and not self._is_fitted_already():
            warnings.warn(
                f"{type(self.estimator).__name__}.fit takes no sample_weight, so weights are used for the "
                "recalibration alone. Enable metadata routing to pass them on, or leave them out.",
                stacklevel=3,
            )
        return Bunch(estimator=Bunch(fit=fit_params), splitter=Bunch(split={}))

    def _is_fitted_already(self) -> bool:
        return isinstance(self.estimator, FrozenEstimator) or (isinstance(self.cv, str) and self.cv == "prefit")

    def _splitter(self):
        """The splitter of the rows; None for an estimator that is fitted already."""
        if self._is_fitted_already():
            return None
        if isinstance(self.cv, Integral):
            return KFold(self.cv, shuffle=True, random_state=self.random_state)
        return check_cv(self.cv)

    def _learn(self, held_out: HeldOut, weights: NDArray) -> None:
        used = weights > 0
        rows, scores, features = (part[used] for part in held_out)
        weights = weights[used] / weights[used].mean() if used.any() else weights[used]
        if len(rows) < _LEAST:
            raise ValueError(
                f"{len(rows)} galaxies were held out; expected at least {_LEAST}, better some hundreds, to learn "
                "from. Give more rows, or a cv that tests more of them."
            )
        self.n_held_out_, self.n_outputs_ = scores.shape
        self._held_out = (features, scores, weights) if self.method == "local" else None
        shift, stretch = self._pulls(None, len(scores))
        curve_of = conformal_curve if self.method == "conformal" else smooth_curve
        self.curves_ = [curve_of(column, weights) for column in ((scores - shift) / stretch).T]

    def _pulls(self, features: NDArray | None, n: int) -> tuple[NDArray, NDArray]:
        """Shift and stretch ``(n, k)`` of the scores of galaxies like these; None are those held out."""
        if self._held_out is None:
            return np.zeros((n, self.n_outputs_)), np.ones((n, self.n_outputs_))
        return local_pulls(*self._held_out, features, min(self.n_neighbors, self.n_held_out_ // 2))

    # ---- predict

    def predict_posterior(self, X, *, n_samples=1000, random_state=0, **params) -> DrawsPosterior:
        """Predict each galaxy's joint posterior, recalibrated.

        Parameters
        ----------
        X : array-like with n rows
            What the estimator takes.
        n_samples : int, default=1000
            Number of draws. Of no effect where the estimator's own posteriors are draws, which keep their number and
            their weights.
        random_state : int, RandomState instance or None, default=0
            Determines how draws of different targets are joined; each target by itself is not random.
        **params : dict
            Keyword arguments of the estimator's `predict_posterior`.

        Returns
        -------
        DrawsPosterior of length n
            In physical units; NaN for missing cutouts.
        """
        posterior, table, shift, stretch = self._uncalibrated(X, **params)
        outward = self.method == "conformal"
        rng = check_random_state(random_state)
        draws, weights = coupled_draws(table, self.curves_, shift, stretch, n_samples, rng, outward)
        transforms = transforms_of(posterior)
        for j, transform in enumerate(transforms):
            draws[..., j] = transform.inverse(draws[..., j])
        named = {"target_names": posterior.target_names, "units": posterior.units, "ids": posterior.ids}
        posterior = DrawsPosterior(draws, weights, **named)
        return posterior._with_tails(self._tails(transforms, draws.shape[1])) if outward else posterior

    def _tails(self, transforms: list, n_draws: int) -> list[Tails]:
        """Beyond the outermost held-out galaxy, and the outermost draw, nothing is guaranteed."""
        least = 1 / n_draws
        shares = [max(ndtr(curve[0, 1]), ndtr(-curve[0, -2]), least) for curve in self.curves_]
        ends = [transform.inverse(np.array([-np.inf, np.inf])) for transform in transforms]
        return [Tails(float(share), float(low), float(high)) for share, (low, high) in zip(shares, ends)]

    def _uncalibrated(self, X, **params) -> tuple[Posterior, ScoreTable, NDArray, NDArray]:
        """The estimator's own posteriors, their scores, and how scores of galaxies like these are distributed."""
        posterior = check_posterior(self._fitted.predict_posterior(X, **params))
        if posterior.n_targets != self.n_outputs_:
            raise ValueError(
                f"the estimator predicts {posterior.n_targets} targets; it was {self.n_outputs_} in fit."
            )
        table = ScoreTable(posterior)
        features = table.features() if self._held_out is not None else None
        return posterior, table, *self._pulls(features, len(posterior))

    def sample_y(self, X, n_samples=1, random_state=0):
        """Draw targets from each galaxy's recalibrated posterior.

        Parameters
        ----------
        X : array-like with n rows
            What the estimator takes.
        n_samples : int, default=1
            Number of draws per galaxy, of the 1000 (or more) that the posterior is made of.
        random_state : int, RandomState instance or None, default=0
            Determines the draws.

        Returns
        -------
        ndarray of shape (n, n_samples, n_targets)
        """
        rng = check_random_state(random_state)
        posterior = self.predict_posterior(X, n_samples=max(1000, n_samples), random_state=rng)
        return posterior.sample(n_samples, random_state=rng)

    def log_prob(self, X, y):
        """Log density of `y` under each galaxy's recalibrated joint posterior, in physical units.

        Parameters
        ----------
        X : array-like with n rows
            What the estimator takes.
        y : array-like or table of shape (n,) or (n, n_targets)
            Labels at the bounds of a logit target are moved inside its margins first, as in a fit.

        Returns
        -------
        ndarray of shape (n,)

        Raises
        ------
        TypeError
            If the method is "conformal", whose curve has steps, or the estimator's own posteriors have no density.
        """
        if self.method == "conformal":
            raise TypeError(
                "method='conformal' makes posteriors without a density; for log_prob use 'pit' or 'local'."
            )
        posterior, table, shift, stretch = self._uncalibrated(X)
        y = check_targets(y, posterior)
        latent = latent_values(y, posterior)
        inside = np.asarray(np.isfinite(latent).all(axis=1))
        score = table.score(np.where(inside[:, None], latent, 0.0))
        log_prob = moved_log_prob(table, self.curves_, shift, stretch, score)
        log_prob += sum(t.log_abs_det_jacobian(column) for t, column in zip(transforms_of(posterior), y.T))
        return np.where(inside, log_prob, -np.inf)
