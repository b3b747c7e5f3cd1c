"""Pipelines that forward the posterior of their last step."""

from __future__ import annotations

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from .._descend import transformed
from .._sklearn import final_estimator_has, name_estimators
from ..catalogs import Catalog
from ..cutouts import CutoutFetcher
from ..posteriors import Posterior


class PosteriorPipeline(Pipeline):
    """A scikit-learn pipeline that also forwards `predict_posterior`, `sample_y` and `log_prob`.

    scikit-learn's pipeline knows the names of scikit-learn's methods only, so it hides the posterior of its
    last step. This one passes the images through all steps and hands them to the last; it has each of the
    three methods exactly when its last step does. In every other way it is a
    :class:`~sklearn.pipeline.Pipeline`: it fits, slices, clones, tunes and routes metadata alike.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    steps : list of (str, estimator)
        The steps, applied in order.
    transform_input : list of str, default=None
        Metadata to transform on the way, see :class:`~sklearn.pipeline.Pipeline`.
    memory : str or object with the joblib.Memory interface, default=None
        Where to cache fitted transformers.
    verbose : bool, default=False
        Whether to print the time that each step takes to fit.

    Attributes
    ----------
    named_steps : :class:`~sklearn.utils.Bunch`
        The steps by name.
    n_features_in_ : int
        Number of features seen by the first step in `fit`.
    feature_names_in_ : ndarray of str, shape (n_features_in_,)
        Names of the features seen by the first step in `fit`, if it defines them.

    Notes
    -----
    Keyword arguments of the three methods go to the last step. Metadata routing does not know these methods,
    so the transformers get none.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.gaussian_process import GaussianProcessRegressor
    >>> from sklearn.preprocessing import StandardScaler
    >>> from galestim.model_selection import PosteriorPipeline
    >>> X, y = np.arange(6.0).reshape(6, 1), np.sin(np.arange(6.0))
    >>> pipeline = PosteriorPipeline([("scale", StandardScaler()), ("gp", GaussianProcessRegressor())])
    >>> pipeline.fit(X, y).sample_y(X, n_samples=10).shape
    (6, 10)
    >>> hasattr(pipeline, "predict_posterior")
    False
    """

    @available_if(final_estimator_has("predict_posterior"))
    def predict_posterior(self, X, **params):
        """Transform `X` and return the posteriors that the last step predicts.

        Parameters
        ----------
        X : array-like
            What the first step takes.
        **params : dict
            Keyword arguments of the last step's `predict_posterior`.

        Returns
        -------
        posterior : object
            What the last step returns, one posterior per row of `X`. If the first step takes catalogs, their column
            `object_id` becomes the `ids` of a :class:`~galestim.posteriors.Posterior`.
        """
        if isinstance(self.steps[0][1], CutoutFetcher):
            X = Catalog.of(X, position=False)  # the fetcher knows whether it needs any
        posterior = self.steps[-1][1].predict_posterior(self._transform_all_but_last(X), **params)
        if isinstance(X, Catalog) and "object_id" in X.colnames and isinstance(posterior, Posterior):
            posterior.ids = np.asarray(X["object_id"], dtype=str)
        return posterior

    @available_if(final_estimator_has("in_domain"))
    def in_domain(self, X):
        """Transform `X` and say of each row whether it is like those of the last step's training.

        Parameters
        ----------
        X : array-like
            What the first step takes.

        Returns
        -------
        ndarray of bool, shape (n_samples,)
        """
        return self.steps[-1][1].in_domain(self._transform_all_but_last(X))

    @available_if(final_estimator_has("domain"))
    def domain(self, X):
        """Transform `X` and say how far each row is from those of the last step's training, and why.

        Parameters
        ----------
        X : array-like
            What the first step takes.

        Returns
        -------
        astropy.table.Table of n_samples rows
            That of `PosteriorRegressor.domain`.
        """
        return self.steps[-1][1].domain(self._transform_all_but_last(X))

    @available_if(final_estimator_has("sample_y"))
    def sample_y(self, X, n_samples=1, random_state=0):
        """Transform `X` and draw targets from the last step's posteriors.

        Parameters
        ----------
        X : array-like
            What the first step takes.
        n_samples : int, default=1
            Number of draws per row.
        random_state : int, RandomState instance or None, default=0
            Determines the draws.

        Returns
        -------
        ndarray
            The draws, in the shape that the last step gives them.
        """
        return self.steps[-1][1].sample_y(
            self._transform_all_but_last(X), n_samples=n_samples, random_state=random_state
        )

    @available_if(final_estimator_has("log_prob"))
    def log_prob(self, X, y, **params):
        """Transform `X` and return the log density of `y` under the last step's posteriors.

        Parameters
        ----------
        X : array-like
            What the first step takes.
        y : array-like or table of shape (n_samples,) or (n_samples, n_targets)
            Targets, one row per row of `X`.
        **params : dict
            Keyword arguments of the last step's `log_prob`.

        Returns
        -------
        ndarray of shape (n_samples,)
        """
        return self.steps[-1][1].log_prob(self._transform_all_but_last(X), y, **params)

    def __getattr__(self, name):
        if name in ("predict_posterior", "in_domain", "domain", "sample_y", "log_prob") and "steps" in vars(self):
            try:
                getattr(self.steps[-1][1], name)
            except AttributeError as error:
                raise AttributeError(f"This {type(self).__name__!r} has no attribute {name!r}: {error}") from None
        return object.__getattribute__(self, name)

    def _transform_all_but_last(self, X):
        check_is_fitted(self)
        return transformed(self, X)


def make_pipeline(*steps, memory=None, transform_input=None, verbose=False):
    """Chain `steps` into a :class:`PosteriorPipeline`, each named by its type in lowercase.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    *steps : estimators
        The steps, applied in order.
    memory : str or object with the joblib.Memory interface, default=None
        Where to cache fitted transformers. Hashing images costs more than most transformers save.
    transform_input : list of str, default=None
        Metadata to transform on the way, see :class:`~sklearn.pipeline.Pipeline`.
    verbose : bool, default=False
        Whether to print the time that each step takes to fit.

    Returns
    -------
    pipeline : PosteriorPipeline

    Examples
    --------
    >>> from sklearn.linear_model import Ridge
    >>> from sklearn.preprocessing import StandardScaler
    >>> from galestim.model_selection import make_pipeline
    >>> make_pipeline(StandardScaler(), Ridge())
    PosteriorPipeline(steps=[('standardscaler', StandardScaler()), ('ridge', Ridge())])
    """
    return PosteriorPipeline(name_estimators(steps), memory=memory, transform_input=transform_input, verbose=verbose)
