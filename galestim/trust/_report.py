"""Trust report of an estimator, measured on galaxies whose truth is known."""

from __future__ import annotations

from numbers import Integral, Real
from pathlib import Path

import numpy as np
from astropy.table import Table
from numpy.typing import NDArray
from sklearn.utils import check_random_state

from .._descend import find
from .._images import input_ndim, missing_rows
from .._io.files import written_whole
from .._sklearn import HasMethods, Interval, validate_params
from .._tables import column_names, named_columns
from ..calibration import check_posterior, check_targets, known_rows
from ..posteriors import DrawsPosterior, Posterior
from ..targets import LogTransform
from ._checks import checked_limits, checks_table, sentences
from ._findings import Findings
from ._measures import Judged, accuracy_table, calibration_table, conditional_table, coverage_table, scores_table
from ._page import as_html, draw
from ._robustness import Sample, crops_table, novelty_tables, stability_table
from ._stage import Stage, image_stage

_BRIGHTNESS, _SIZE = ("magnitude", "flux"), ("half_light_radius", "half_light_semimajor_axis")
_LEAST = 20  # galaxies


class TrustReport(Findings):
    """Tables and verdicts of :func:`trust_report`, and a page that shows them.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    checks : astropy.table.Table
        A row for each thing that is asked: ``section``, ``check``, ``found``, ``rule`` (≤ or ≥), ``limit``, ``met``
        and a ``note``.
    accuracy : astropy.table.Table
        Bias, root-mean-square error, scatter (1.48 times the median absolute deviation) and mean CRPS of each target,
        of all galaxies and in bins, each with a 95 % bootstrap interval. Errors are those of posterior medians, in
        the unit of the target; of a target that is learned in logarithms, relative to the truth.
    scores : astropy.table.Table
        Mean log score and energy score (of targets in units of their standard deviation) with 95 % intervals.
    coverage : astropy.table.Table
        Found against nominal coverage of each target.
    calibration : astropy.table.Table
        Statistic of each test, what calibrated posteriors stay below in 99 % of cases, and a p-value.
    conditional : astropy.table.Table
        Coverage at 1σ in bins of brightness and size, for each target.
    stability : astropy.table.Table or None
        Change of the posteriors' means with changes of the images: root mean square over galaxies of the standard
        deviation over views, and the largest of all; in the unit of the target (or relative), and in posterior σ.
    crops : astropy.table.Table or None
        Percentiles of where the crops lie, and of the shares of light that they keep of the galaxy and leave out of
        its neighbors, where these are known.
    novelty : astropy.table.Table or None
        ``row``, ``decision`` (the lower, the stranger) and ``flagged`` for each galaxy.
    shifts : astropy.table.Table or None
        For changed copies of the images: how well they are told from unchanged ones (AUROC), the share that is
        flagged, and how often posteriors cover at 1σ.
    left_out : dict of str to str
        What was not measured, and why.
    n_missing : int
        Galaxies that are missing cutouts.
    judged : object
        Posteriors and truths, for the figure.
    decisions : dict of str to ndarray
        Scores of unchanged images and of each variant, for the figure.

    See Also
    --------
    trust_report : Makes one.
    """

    def summary(self):
        """Say what was asked and found, a line for each.

        Returns
        -------
        str
        """
        n_met = int(self.checks["met"].sum())
        head = f"{n_met} of {len(self.checks)} met, of {self.n_galaxies:,} galaxies"
        head += f"; {self.n_missing:,} missing cutouts left out" if self.n_missing else ""
        return "\n".join([head, *sentences(self.checks), *(f"left out: {k}: {v}" for k, v in self.left_out.items())])

    def plot(self, figure=None):
        """Draw the report on one page.

        Parameters
        ----------
        figure : matplotlib Figure, default=None
            Where to draw; by default a new one.

        Returns
        -------
        matplotlib Figure
        """
        return draw(self, figure)

    def to_html(self, path):
        """Write figure and tables as one file that needs no other.

        Parameters
        ----------
        path : str or path-like
            Where to.

        Returns
        -------
        Path
        """
        path = Path(path)
        with written_whole(path) as file:
            file.write_text(as_html(self, whole=True), encoding="utf-8")
        return path

    def __repr__(self):
        n_met = int(self.checks["met"].sum())
        return f"TrustReport({self.n_galaxies} galaxies; {n_met} of {len(self.checks)} checks met)"

    def __str__(self):
        return self.summary()

    def _repr_html_(self):
        return as_html(self, whole=False)


@validate_params(
    {
        "estimator": [HasMethods(["fit"])],
        "n_angles": [Interval(Integral, 1, None, closed="left")],
        "max_galaxies": [Interval(Integral, 2, None, closed="left")],
        "psf_fwhm": [Interval(Real, 0, None, closed="neither"), None],
        "simulator": [callable, None],
        "galaxy_light": ["array-like", None],
        "neighbor_light": ["array-like", None],
        "limits": [dict, None],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def trust_report(
    estimator,
    X,
    y,
    catalog=None,
    *,
    simulator=None,
    reference=None,
    psf_fwhm=None,
    galaxy_light=None,
    neighbor_light=None,
    n_angles=36,
    max_galaxies=200,
    limits=None,
    random_state=None,
) -> TrustReport:
    r"""Measure whether the posteriors of an estimator can be trusted, on galaxies that it has not seen.

    How far off it is; whether it is calibrated, target by target, jointly, and for bright and faint, large and small
    galaxies alike; whether it stays the same where the image changes and the galaxy does not; where its crops lie;
    and which images are unlike those it knows.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    estimator : estimator
        Fitted, with ``predict_posterior``: a regressor, a pipeline or a search around one, or one that is
        recalibrated.
    X : array-like
        Held-out galaxies, as the estimator takes them. Where these are not images, but a pipeline makes images of
        them, the tests of images begin there; else they are left out.
    y : array-like or table of shape (n,) or (n, n_targets)
        True values, physical units. Columns of a table are found by the targets' names.
    catalog : Table, DataFrame, mapping or None, default=None
        Columns to bin by, which must be *measured*: in bins of the truth no posterior covers. ``magnitude`` (or
        ``flux``) and ``half_light_radius`` (or ``half_light_semimajor_axis``) if they are there, else all, of which
        there may be two. None: medians of the posteriors, of flux and half-light radius if these are targets, else
        of the first two.
    simulator : callable or None, default=None
        Called with an angle in degrees, returns images (n, H, W[, C]) of some galaxies that are turned by it, the
        same at every call and best without noise. None: images of `X` are turned by splines, which blur their noise.
    reference : array-like of images or None, default=None
        Clean images to learn novelty from, such as those of the training. None: what an estimator that is told the
        camera knows itself, see `PosteriorRegressor.domain`; else either half of `X` is told from the other.
    psf_fwhm : float or None, default=None
        Full width at half maximum of the point-spread function [pixels], for images of a wider one. None: that of the
        most compact galaxies, which are somewhat larger.
    galaxy_light, neighbor_light : array-like of shape (n, H, W) or (n, H, W, C), default=None
        Light of the galaxy alone and of all else in each image of `X`, where these are known, as
        `SimulatedGalaxies.noiseless` gives it: then crops are judged by what they keep and leave out.
    n_angles : int, default=36
        Number of angles, evenly spaced; from 0 on with a simulator.
    max_galaxies : int, default=200
        On how many galaxies, at random, changed images are tried; all else uses all.
    limits : dict of str to float or None, default=None
        What is asked, where it is not the default; see Notes.
    random_state : int, RandomState instance or None, default=None
        Determines the choice of galaxies, draws, resampling and noise.

    Returns
    -------
    TrustReport

    Raises
    ------
    ValueError
        If there are fewer than 20 galaxies, shapes disagree, `y` is not finite, the estimator has no posterior, a
        limit has an unknown name, or `catalog` has no columns to choose.

    Notes
    -----
    The limits are

    - ``coverage`` (0.01): distance of coverage from nominal, at every level; ``coverage_3sigma`` (0.002).
    - ``pit`` (1.63): statistic of Kolmogorov and Smirnov, in units of 1/√n.
    - ``joint`` (0.015): distance of the coverage of joint HDI regions, and of TARP, from nominal.
    - ``conditional`` (0.96): share of the bins that agree within the 1 % binomial error; 24 of 25.
    - ``flips`` (0.01), ``angles`` (0.5), ``shifts`` (0.5), ``noise`` (1.2): standard deviation of the posterior's
      mean over views, in posterior σ, as root mean square over galaxies. ``flips`` is for the same images again, too.
      Resampling changes the noise of an image, of which posteriors must take notice: what is asked there is that they
      move by less than their errors. Added noise, of the sky's size, moves an honest posterior by 1σ or less.
    - ``flagged`` (0.05): share of the images that may be unlike the reference.
    - ``auroc`` (0.95) or ``shifted_coverage`` (0.6): a wider point-spread function, a neighbor, and more noise must
      either be seen, or leave the coverage at 1σ above.

    Few galaxies cannot tell small faults. Where chance alone takes calibrated posteriors beyond a limit of
    calibration in 1 % of cases, the limit is what chance does; the note says so. Of all tests together, a right
    posterior misses one in a few percent of reports.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LinearRegression
    >>> from galestim import trust_report
    >>> from galestim.posteriors import MixturePosterior
    >>> class Known(LinearRegression):
    ...     def predict_posterior(self, X):
    ...         mean = self.predict(X).reshape(-1, 1, 1)
    ...         return MixturePosterior(mean, np.full((*mean.shape, 1), self.width))
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(3000, 1))
    >>> y = X[:, 0] + rng.normal(size=3000)
    >>> model = Known().fit(X[:1000], y[:1000])
    >>> model.width = 1.0
    >>> report = trust_report(model, X[1000:], y[1000:], random_state=0)
    >>> report.passed
    True
    >>> report.left_out["stability"]
    'X has no images, but 2 dimensions; expected (n, H, W) or (n, H, W, C), or a pipeline that makes them.'
    >>> model.width = 0.8
    >>> print(trust_report(model, X[1000:], y[1000:], random_state=0).summary())
    0 of 6 met, of 2,000 galaxies
    MISSED coverage, y                0.106 ≤ 0.0395  from nominal; 0.01 is asked, chance reaches 0.04
    ...
    """
    limits = checked_limits(limits)
    seed = int(check_random_state(random_state).randint(np.iinfo(np.int32).max))
    stage = image_stage(estimator, X)
    posterior = check_posterior(stage.predict(stage.X))
    y = check_targets(y, posterior)
    known = np.flatnonzero(known_rows(posterior))
    if len(known) < _LEAST:
        raise ValueError(f"{len(known)} galaxies that are no missing cutouts; expected at least {_LEAST}.")
    relative = _in_logarithms(stage, posterior)
    posterior, n_missing = posterior[known], len(posterior) - len(known)
    judged = Judged(posterior, y[known], _features(catalog, posterior, known, y), relative, seed)
    light = {"galaxy_light": galaxy_light, "neighbor_light": neighbor_light}
    _check_light(stage, light)
    tables = {
        "accuracy": accuracy_table(judged),
        "scores": scores_table(judged, _densities(stage, posterior, known, y)),
        "coverage": coverage_table(judged),
        "calibration": calibration_table(judged),
        "conditional": conditional_table(judged),
    }
    chosen = np.sort(check_random_state(seed).permutation(len(known))[:max_galaxies])
    images, decisions, left_out = _of_images(
        stage,
        judged,
        known,
        chosen,
        light,
        simulator=simulator,
        reference=reference,
        psf_fwhm=psf_fwhm,
        n_angles=n_angles,
    )
    tables |= images
    checks = checks_table(tables, limits)
    return TrustReport(checks, **tables, left_out=left_out, n_missing=n_missing, judged=judged, decisions=decisions)


def _of_images(stage: Stage, judged: Judged, known, chosen, light, *, simulator, reference, psf_fwhm, n_angles):
    """The tables that need images, or None; scores of novelty; and why there are none."""
    tables: dict[str, Table | None] = dict.fromkeys(("stability", "crops", "novelty", "shifts"))
    if not stage.has_images:
        why = (
            f"X has no images, but {input_ndim(stage.X)} dimensions; expected (n, H, W) or (n, H, W, C), or a "
            "pipeline that makes them."
        )
        return tables, {}, dict.fromkeys(("stability", "crops", "novelty"), why)
    rows = known[chosen]
    images = stage.images(rows)
    missing_rows(images)  # an error for images that are NaN in part
    sample = Sample(stage, rows, images, judged.posterior[chosen], judged.y[chosen])
    left_out = {}
    tables["stability"] = stability_table(sample, judged, simulator, n_angles)
    try:
        tables["crops"] = crops_table(sample, **light)
    except ValueError as error:
        left_out["crops"] = str(error)
    tables["novelty"], tables["shifts"], decisions = novelty_tables(sample, judged, known, reference, psf_fwhm)
    return tables, decisions, left_out


def _check_light(stage: Stage, light: dict) -> None:
    """Raise an error if light that is given has not the shape of the images."""
    expected = (len(stage.X), *np.shape(stage.X)[1:3]) if stage.has_images else None
    for name, values in light.items():
        if values is not None and (np.ndim(values) not in (3, 4) or np.shape(values)[:3] != expected):
            raise ValueError(
                f"{name} has shape {np.shape(values)}; expected (n, H, W[, C]) of the images, (n, H, W) = {expected}."
            )


def _in_logarithms(stage: Stage, posterior: Posterior) -> list[bool]:
    """Mask of the targets that are learned in logarithms, so that relative errors are of interest."""
    transforms = getattr(posterior, "transforms", None)
    if transforms is None:
        transforms, _ = find(stage.estimator, "target_transforms_")
    return [isinstance(transform, LogTransform) for transform in transforms or [None] * posterior.n_targets]


def _densities(stage: Stage, posterior: Posterior, known: NDArray, y: NDArray) -> NDArray | None:
    """Log densities of truths by an estimator that gives draws, if it has them."""
    if not isinstance(posterior, DrawsPosterior):
        return None
    try:
        inner, X = stage.innermost(stage.X, "log_prob")
        return np.asarray(inner.log_prob(X, y))[known]
    except (ValueError, TypeError):
        return None


def _features(catalog, posterior: Posterior, known: NDArray, y: NDArray) -> dict[str, NDArray[np.float64]]:
    """At most two columns to bin by."""
    if catalog is None:
        medians = dict(zip(posterior.target_names, posterior.median().T))
        names = _brightness_and_size(list(medians)) or list(medians)[:2]
        return {f"predicted {name}": medians[name] for name in names}
    columns = column_names(catalog)
    names = _brightness_and_size(columns or []) or columns or []
    if not 0 < len(names) <= 2:
        raise ValueError(
            f"catalog has the columns {columns}; expected magnitude (or flux) and half_light_radius, or one or two "
            "columns to bin by."
        )
    values = named_columns(catalog, select=names, what="catalog").values
    for name, column in zip(names, values.T):
        if len(column) != len(y) or not np.isfinite(column[known]).all():
            raise ValueError(
                f"catalog[{name!r}] has shape {column.shape}, {np.isfinite(column).sum()} of them finite; expected a "
                f"finite number for each of {len(y)} galaxies."
            )
    return {name: column[known] for name, column in zip(names, values.T)}


def _brightness_and_size(names: list[str]) -> list[str]:
    """The first name of each kind that there is."""
    kinds = ([name for name in kind if name in names][:1] for kind in (_BRIGHTNESS, _SIZE))
    return [name for kind in kinds for name in kind]
