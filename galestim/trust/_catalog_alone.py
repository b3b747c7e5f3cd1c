"""What a catalog tells without an image, beside what an estimator makes of images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from astropy.table import Table
from numpy.typing import NDArray
from scipy.stats import pearsonr
from sklearn.ensemble import RandomForestRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, RidgeCV
from sklearn.model_selection import GroupKFold, KFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler
from sklearn.utils.validation import check_consistent_length

from .._tables import named_columns, refuse_unknown

FEWEST = 30  # galaxies; with fewer, every correlation is chance


class Agreement(NamedTuple):
    """Pearson correlation with the truth, and its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class CatalogComparison:
    """What `compare_with_catalog` found; all parameters are stored as attributes.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    linear, quadratic, forest : Agreement
        ``(value, low, high)`` of models that see the catalog alone: Pearson correlation of their held-out predictions
        with the truth, and its 95 % interval.
    estimator : Agreement
        The same of the estimator's predictions.
    both : Agreement
        The same of the best linear combination of the estimator and these models, held out too.
    added : Agreement
        Partial correlation of estimator and truth, given what the models predict: what images tell besides the
        catalog. About 0 if nothing.
    ceiling : float
        The correlation of a perfect estimator, which knows all true values, with truths that have errors; NaN without
        errors and repeats.
    ceiling_of_repeats : float
        The same from galaxies that were observed several times; NaN if there are none.
    n_samples : int
        Number of galaxies.
    """

    linear: Agreement
    quadratic: Agreement
    forest: Agreement
    estimator: Agreement
    both: Agreement
    added: Agreement
    ceiling: float
    ceiling_of_repeats: float
    n_samples: int

    def table(self) -> Table:
        """Make a table of the correlations, one row each.

        Returns
        -------
        Table
            ``what``, ``pearson``, ``low``, ``high``.
        """
        rows = {
            "catalog, linear": self.linear,
            "catalog, quadratic": self.quadratic,
            "catalog, forest": self.forest,
            "estimator": self.estimator,
            "both": self.both,
            "estimator, given the catalog": self.added,
            "ceiling by errors": (self.ceiling, np.nan, np.nan),
            "ceiling by repeats": (self.ceiling_of_repeats, np.nan, np.nan),
        }
        values = np.round(np.array([tuple(row) for row in rows.values()]), 4)
        return Table([list(rows), *values.T], names=["what", "pearson", "low", "high"])


def compare_with_catalog(
    y_true, y_pred, catalog, *, y_err=None, groups=None, cv=5, random_state=None
) -> CatalogComparison:
    r"""Compare predictions from images with what a catalog tells without them.

    A galaxy's ellipticity, mass, color and type alone predict its spin λ_R with a Pearson correlation of about 0.7.
    An estimator of about that much has perhaps seen no more in the images than a catalog says.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        True values.
    y_pred : array-like of shape (n_samples,)
        What the estimator predicts for galaxies that it has *not* learned from; NaN where it has no prediction, which
        leaves the galaxy out.
    catalog : table or array-like of shape (n_samples, n_columns)
        Numbers known of the galaxies without images; NaN where unknown.
    y_err : array-like of shape (n_samples,), default=None
        Standard deviations of the errors of `y_true`.
    groups : array-like of shape (n_samples,), default=None
        The galaxy of each row, if some were observed several times. They stay on one side of every split.
    cv : int, default=5
        Number of folds by which the models of the catalog are held out.
    random_state : int, RandomState instance or None, default=None
        Determines folds and forest.

    Returns
    -------
    CatalogComparison

    Raises
    ------
    ValueError
        If lengths differ, a true value is not finite, or fewer than 30 galaxies have a prediction.

    Notes
    -----
    The models are a linear one, one with squares and products, and a random forest; unknown numbers are replaced by
    the median. Intervals are those of Fisher's z.

    The error σ of a true value lowers the correlation that a perfect estimator has to

    .. math:: \sqrt{1 - \langle σ^2 \rangle / \mathrm{Var}\, y}

    where σ² is that of `y_err`, or half of the mean squared difference of repeat observations.

    Examples
    --------
    >>> import numpy as np
    >>> from galestim.trust import compare_with_catalog
    >>> rng = np.random.default_rng(0)
    >>> ellipticity, seen = rng.uniform(0, 0.8, 300), rng.normal(size=300)
    >>> lambda_r = 0.2 + 0.5 * ellipticity + 0.1 * seen
    >>> found = compare_with_catalog(lambda_r, lambda_r, ellipticity[:, None], random_state=0)
    >>> round(found.linear.value, 1), found.added.value > 0.9
    (0.8, True)
    """
    columns = named_columns(catalog, what="catalog").values
    y, predicted = (np.asarray(values, dtype=np.float64).reshape(-1) for values in (y_true, y_pred))
    check_consistent_length(y, predicted, columns)
    refuse_unknown(y[:, None], "y_true")
    known = np.isfinite(predicted)
    if known.sum() < FEWEST:
        raise ValueError(f"{known.sum()} of {len(y)} galaxies have a prediction; expected at least {FEWEST}.")
    y, predicted, columns = y[known], predicted[known], columns[known]
    columns = np.where(np.isfinite(columns), columns, np.nan)
    groups = None if groups is None else np.asarray(groups)[known]
    folds = GroupKFold(cv) if groups is not None else KFold(cv, shuffle=True, random_state=random_state)

    def held_out(model, X) -> NDArray[np.float64]:
        return cross_val_predict(model, X, y, cv=folds, groups=groups)

    alone = {name: held_out(model, columns) for name, model in _models(random_state).items()}
    all_alone = np.column_stack(list(alone.values()))
    both = held_out(LinearRegression(), np.column_stack([all_alone, predicted]))
    added = _rest(predicted, all_alone), _rest(y, all_alone)
    return CatalogComparison(
        **{name: _agreement(values, y) for name, values in alone.items()},
        estimator=_agreement(predicted, y),
        both=_agreement(both, y),
        added=_agreement(*added),
        ceiling=np.nan if y_err is None else _ceiling(np.asarray(y_err, dtype=np.float64).reshape(-1)[known] ** 2, y),
        ceiling_of_repeats=np.nan if groups is None else _ceiling(_variances_of_repeats(y, groups), y),
        n_samples=len(y),
    )


def _models(random_state) -> dict:
    """Models of the catalog alone; each fills in what is unknown."""
    linear = make_pipeline(SimpleImputer(strategy="median"), StandardScaler(), LinearRegression())
    quadratic = make_pipeline(
        SimpleImputer(strategy="median"), StandardScaler(), PolynomialFeatures(2), RidgeCV(np.logspace(-3, 3, 7))
    )
    forest = RandomForestRegressor(300, min_samples_leaf=5, random_state=random_state)
    return {
        "linear": linear,
        "quadratic": quadratic,
        "forest": make_pipeline(SimpleImputer(strategy="median"), forest),
    }


def _agreement(x: NDArray, y: NDArray) -> Agreement:
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return Agreement(np.nan, np.nan, np.nan)
    found = pearsonr(x, y)
    low, high = found.confidence_interval(0.95)
    return Agreement(float(found.statistic), float(low), float(high))


def _rest(values: NDArray, known: NDArray) -> NDArray[np.float64]:
    """What the best linear combination of the columns of `known` leaves of `values`."""
    return values - LinearRegression().fit(known, values).predict(known)


def _variances_of_repeats(y: NDArray, groups: NDArray) -> NDArray[np.float64]:
    """Variance of each galaxy that has several rows, of one of them."""
    _, row = np.unique(groups, return_inverse=True)
    count = np.bincount(row)
    squares = np.bincount(row, (y - (np.bincount(row, y) / count)[row]) ** 2)
    several = count > 1
    return squares[several] / (count[several] - 1)


def _ceiling(variances: NDArray, y: NDArray) -> float:
    if not len(variances):
        return np.nan
    return float(np.sqrt(max(1 - variances.mean() / y.var(), 0.0)))
