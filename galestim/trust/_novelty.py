"""Novelty of images: a detector of those that are unlike the ones that an estimator was trained on."""

from __future__ import annotations

from numbers import Integral, Real

import numpy as np
from numpy.typing import NDArray
from sklearn import config_context
from sklearn.base import OutlierMixin, clone
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import KFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from .._cutouts import Cutouts
from .._images import ImageEstimator, missing_rows
from .._sklearn import Interval, fit_context
from ._features import light_features
from ._stage import in_units_of_noise, without_bad_pixels

LEAST_SPREAD = 1e-6  # variance added to each component [that of the feature]
PER_COMPONENT, MOST_COMPONENTS = 500, 10
N_FOLDS = 5


class NoveltyDetector(OutlierMixin, ImageEstimator):
    """Flag images of galaxies that are unlike those of a clean reference set.

    A neighbor, an artifact, a galaxy that is cut off or not in the center, or another depth: images of which an
    estimator cannot know what it says. Of each image it measures how the light grows with the aperture, the noise,
    and the largest difference from the image upside down; then how probable these are among the images of the
    reference, as mixtures of Gaussians have it. All of it is the same for flipped images and quarter turns.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    false_alarm_rate : float, default=0.01
        Share of images like those of the reference that are flagged nevertheless.
    n_components : int or None, default=None
        Number of Gaussians. None: one for 500 images, at most 10.
    image_shape : tuple of int, default=None
        ``(H, W, C)`` or ``(H, W)`` of images given as flat rows.
    random_state : int, RandomState instance or None, default=None
        Seed of the start of the mixture, and of the folds that set the threshold.

    Attributes
    ----------
    densities_ : list of Pipeline
        Scaler and mixture, of the growth of the light, and of noise and asymmetries.
    location_, scale_ : ndarray of shape (2,)
        Of the logarithms of both densities: the median, and how far below it the threshold is.
    offset_ : float
        Score below which an image is flagged.
    image_shape_ : tuple of int (H, W, C)
        Shape of the reference images.
    n_features_in_ : int
        ``H·W·C``.
    feature_names_in_ : ndarray of str, shape (n_features_in_,)
        Names of the columns, if `X` was a data frame.

    See Also
    --------
    trust_report : Measures it, and an estimator, on changed copies of images.
    galestim.PosteriorRegressor.domain : What an estimator that is told the camera says of images itself.
    sklearn.neighbors.LocalOutlierFactor : The same for numbers that you have measured yourself.

    Notes
    -----
    Images are best *linear*, before a stretch, with the galaxy in the center. Light is measured in units of the
    noise. `Cutouts` that know their noise are in units of it, so that noise that is not what is told is seen; their
    bad pixels are guessed from those around them. An estimator that was fitted on `Cutouts` knows its domain itself,
    see `PosteriorRegressor.domain`, and sees more: this detector takes galaxies of one camera for usual.

    It does not see a neighbor that lies on the center, and hardly a point-spread function that is wider by a fifth: a
    galaxy may be less concentrated by itself. The guide has numbers.

    The score is the smaller of the two log densities, each less its median and in units of the distance from there to
    its quantile of half of `false_alarm_rate`. The threshold is a quantile of scores that five pairs of mixtures,
    each fitted without a fifth of the reference, give to that fifth; so `false_alarm_rate` holds for new images, up
    to chance.

    Examples
    --------
    >>> import numpy as np
    >>> from galestim.trust import NoveltyDetector
    >>> rng = np.random.default_rng(0)
    >>> r2 = np.sum((np.indices((32, 32)) - 15.5) ** 2, axis=0)
    >>> galaxies = rng.uniform(20, 200, 400)[:, None, None] * np.exp(-r2 / rng.uniform(4, 40, 400)[:, None, None])
    >>> images = galaxies + rng.normal(size=galaxies.shape)
    >>> detector = NoveltyDetector(random_state=0).fit(images[:300])
    >>> contaminated = images[300:] + np.roll(galaxies[:100], 9, axis=2)
    >>> float((detector.predict(images[300:]) == -1).mean()), float((detector.predict(contaminated) == -1).mean())
    (0.0, 1.0)
    """

    _parameter_constraints: dict = {
        "false_alarm_rate": [Interval(Real, 0, 0.5, closed="neither")],
        "n_components": [Interval(Integral, 1, None, closed="left"), None],
        "image_shape": ["array-like", None],
        "random_state": ["random_state"],
    }

    def __init__(self, *, false_alarm_rate=0.01, n_components=None, image_shape=None, random_state=None):
        self.false_alarm_rate = false_alarm_rate
        self.n_components = n_components
        self.image_shape = image_shape
        self.random_state = random_state

    def _check_images(self, X, *, reset: bool):
        images = super()._check_images(in_units_of_noise(X) if isinstance(X, Cutouts) else X, reset=reset)
        return without_bad_pixels(images) if isinstance(X, Cutouts) else images

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Learn what images of the reference look like.

        Parameters
        ----------
        X : array-like of shape (n, H, W, C), (n, H, W) or (n, H·W·C)
            Clean images: simulated, or those that the estimator was trained or calibrated on. Rows that are NaN
            everywhere (missing cutouts) are left out.
        y : None
            Ignored.

        Returns
        -------
        self : object
            The fitted detector.

        Raises
        ------
        ValueError
            If there are fewer than two images, or one has infinite or some NaN pixels.
        """
        images = self._check_images(X, reset=True)
        kinds = light_features(images[~missing_rows(images)])
        n = len(kinds[0])
        if n < 2:
            raise ValueError(f"n_samples={n} that are no missing cutouts; expected at least 2 images.")
        seed = int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))
        held_out = np.empty((n, len(kinds)))
        for train, test in KFold(min(N_FOLDS, n), shuffle=True, random_state=seed).split(held_out):
            densities = self._densities([features[train] for features in kinds], seed)
            held_out[test] = _log_densities(densities, [features[test] for features in kinds])
        self.densities_ = self._densities(kinds, seed)
        self.location_ = np.median(held_out, axis=0)
        low = np.quantile(held_out, self.false_alarm_rate / len(kinds), axis=0)
        self.scale_ = np.maximum(self.location_ - low, 1e-12)
        self.offset_ = float(np.quantile(self._least(held_out), self.false_alarm_rate))
        return self

    def _densities(self, kinds, seed: int) -> list[Pipeline]:
        asked = self.n_components or min(MOST_COMPONENTS, len(kinds[0]) // PER_COMPONENT)
        n_components = int(np.clip(asked, 1, len(kinds[0])))
        mixture = GaussianMixture(n_components, reg_covar=LEAST_SPREAD, random_state=seed)
        with config_context(array_api_dispatch=False):  # the numbers are numpy's, whatever the images are
            return [make_pipeline(StandardScaler(), clone(mixture)).fit(features) for features in kinds]

    def _least(self, log_densities: NDArray) -> NDArray[np.float64]:
        return ((log_densities - self.location_) / self.scale_).min(axis=1)

    def score_samples(self, X):
        """How far the density of each image is below the usual; the lower, the stranger.

        Parameters
        ----------
        X : array-like of shape (n, H, W, C), (n, H, W) or (n, H·W·C)
            Images like those of `fit`.

        Returns
        -------
        ndarray of shape (n,)
            About -1 at the threshold and 0 for a usual image; NaN for missing cutouts.
        """
        check_is_fitted(self)
        images = self._check_images(X, reset=False)
        present = ~missing_rows(images)
        scores = np.full(len(images), np.nan)
        if present.any():
            scores[present] = self._least(_log_densities(self.densities_, light_features(images[present])))
        return scores

    def decision_function(self, X):
        """Score above the threshold: negative for images that are flagged.

        Parameters
        ----------
        X : array-like of shape (n, H, W, C), (n, H, W) or (n, H·W·C)
            Images like those of `fit`.

        Returns
        -------
        ndarray of shape (n,)
            NaN for missing cutouts.
        """
        return self.score_samples(X) - self.offset_

    def predict(self, X):
        """Flag images.

        Parameters
        ----------
        X : array-like of shape (n, H, W, C), (n, H, W) or (n, H·W·C)
            Images like those of `fit`.

        Returns
        -------
        ndarray of int, shape (n,)
            1 for an image like those of the reference, -1 for one that is not, or that is missing.
        """
        return np.where(self.decision_function(X) >= 0, 1, -1)


def _log_densities(densities: list[Pipeline], kinds) -> NDArray[np.float64]:
    """One column for each kind of numbers ``(n, p)``."""
    return np.column_stack([density.score_samples(features) for density, features in zip(densities, kinds)])
