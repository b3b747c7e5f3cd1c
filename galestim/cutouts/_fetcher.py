"""Transformer from catalogs to images, the first step of a pipeline."""

from __future__ import annotations

import os
from collections.abc import Callable
from numbers import Integral, Real

import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import Bunch, get_tags

from .._cutouts import Cutouts
from .._progress import progress_bar
from .._sklearn import HasMethods, Interval, StrOptions, fit_context
from ..catalogs import Catalog
from ._gather import gatherer_of
from ._report import fetch_error, make_report, outcomes
from ._source import CutoutRequest, CutoutSource, make_requests
from ._store import CutoutStore


class CutoutFetcher(TransformerMixin, BaseEstimator):
    """Fetch an image of every galaxy of a catalog, all of one size, centered, north up and east left.

    It learns nothing: `fit` checks, `transform` fetches. With it as the first step, a pipeline takes catalogs.
    Replies of remote services are kept in a cache, so that folds of a cross-validation and later runs ask for
    nothing twice.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    source : CutoutSource
        Where the images come from: :class:`SkyServer`, :class:`LegacySurvey`, :class:`Hips2Fits`, :class:`Soda`,
        :class:`FitsMosaic`, :class:`ImageDirectory`, :class:`ArrayStack`, or your own.
    npix : int
        Pixels along each side of an image.
    pixel_scale : float, default=None
        Side of a pixel [arcsec], the same for all galaxies. If it and `pixel_scale_re` are None, the one of `source`.
    pixel_scale_re : float, default=None
        Side of a pixel in half-light radii of each galaxy, so that all galaxies fill their images alike. They are
        those along the major axis, the column ``half_light_semimajor_axis`` of the catalog, or circularized ones,
        ``half_light_radius``, if it has no such column. Where they are not positive, the cutout is missing.
    on_error : {"raise", "nan"}, default="raise"
        What to do about cutouts that cannot be had, when all others have been fetched. "raise" raises. "nan" makes
        an image of NaN of each *missing* one (outside the survey, not covered enough, beyond what the service can
        give); images of integers become float32 for it, whether or not any is missing. If the service or the
        network failed, it raises all the same: the galaxy has an image, and a second run gets it.
    min_coverage : float, default=1.0
        Share of the pixels of an image that must be finite; with less, the cutout is missing. Images of integers
        count as covered.
    cache : bool, str, path-like, CutoutStore or None, default=True
        Where remote sources keep their downloads: True is the user's cache folder or ``$GALESTIM_CACHE``, a
        path is a folder. False and None keep nothing.
    reducer : transformer or None, default=None
        Applied to the images as they arrive, some at a time, so that all of them are never in memory at full size.
        It must need no `fit`, as ``Downsampler(80)``, and make images of images.
    memmap : bool or "auto", default="auto"
        Whether the images live in a temporary file instead of memory; "auto" does so above 1 GiB. The file is
        removed with the last view of the images; it lies where :mod:`tempfile` puts it (``TMPDIR``).
    verbose : int, default=0
        Whether to show a progress bar (on a terminal and in notebooks).

    Attributes
    ----------
    report_ : QTable
        Outcome of each row of the catalog that was fetched last: ``row``, its number; ``object_id``; ``ra`` and
        ``dec`` [deg]; ``pixel_scale`` [arcsec]; ``status``, which is "ok", "missing" or "failed"; ``reason``, empty
        if ok; ``coverage``, the share of finite pixels. Not pickled.

    See Also
    --------
    galestim.Catalog : What catalogs may be, and how columns are recognized.

    Notes
    -----
    Rows keep their order. A source that looks images up by name (:class:`ImageDirectory`, :class:`ArrayStack`)
    needs the column ``object_id``, and no positions.

    The workers of a search share the limits on requests to a service, see :class:`Transport`; folds find in the cache
    what was fetched for others. To fetch everything before a search begins, call `prefetch`.

    Examples
    --------
    A source of your own is a class with the method `cutout`; what it has no image of, it says:

    >>> import numpy as np
    >>> from galestim.cutouts import CutoutFetcher, CutoutSource, MissingCutoutError
    >>> class Blobs(CutoutSource):
    ...     '''Round galaxies with a scale length of 2 arcsec, wherever one looks on the northern sky.'''
    ...
    ...     pixel_scale = 0.5
    ...
    ...     def cutout(self, request):
    ...         if request.dec < 0:
    ...             raise MissingCutoutError(f"dec={request.dec} is outside [0, 90], where this survey is")
    ...         offset = (np.arange(request.npix) - (request.npix - 1) / 2) * request.pixel_scale
    ...         radius = np.hypot(offset[:, None], offset)
    ...         return np.exp(-radius / 2)[:, :, None].astype(np.float32)
    >>> fetcher = CutoutFetcher(Blobs(), npix=16)
    >>> fetcher.transform({"ra": [150.1, 210.9], "dec": [2.2, 54.3]}).shape
    (2, 16, 16, 1)
    >>> fetcher.transform({"ra": [150.1, 210.9, 13.2], "dec": [2.2, -54.3, 37.0]})
    Traceback (most recent call last):
    ...
    galestim.cutouts._errors.CutoutFetchError: 1 of 3 cutouts could not be had: 1 missing.
      1 × row 1 ('1'): dec=-54.3 is outside [0, 90], where this survey is
    What is missing stays missing: pass on_error="nan" to get NaN images for it, or use acquire(catalog,
    on_error="skip"), which leaves its rows out.
    The table of all rows is report_ of the fetcher, and report of this error.
    >>> acquired = fetcher.acquire({"ra": [150.1, 210.9, 13.2], "dec": [2.2, -54.3, 37.0]})
    >>> acquired.images.shape, acquired.catalog["dec"]
    ((2, 16, 16, 1), <Quantity [ 2.2, 37. ] deg>)
    """

    _parameter_constraints: dict = {
        "source": [CutoutSource],
        "npix": [Interval(Integral, 1, None, closed="left")],
        "pixel_scale": [Interval(Real, 0, None, closed="neither"), None],
        "pixel_scale_re": [Interval(Real, 0, None, closed="neither"), None],
        "on_error": [StrOptions({"raise", "nan"})],
        "min_coverage": [Interval(Real, 0, 1, closed="right")],
        "cache": ["boolean", str, os.PathLike, CutoutStore, None],
        "reducer": [HasMethods("transform"), None],
        "memmap": ["boolean", StrOptions({"auto"})],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        source,
        *,
        npix,
        pixel_scale=None,
        pixel_scale_re=None,
        on_error="raise",
        min_coverage=1.0,
        cache=True,
        reducer=None,
        memmap="auto",
        verbose=0,
    ):
        self.source = source
        self.npix = npix
        self.pixel_scale = pixel_scale
        self.pixel_scale_re = pixel_scale_re
        self.on_error = on_error
        self.min_coverage = min_coverage
        self.cache = cache
        self.reducer = reducer
        self.memmap = memmap
        self.verbose = verbose

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.input_tags.two_d_array = False
        return tags

    def __getstate__(self):
        state = super().__getstate__()
        return {name: value for name, value in state.items() if name != "report_"}

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Check the parameters and the catalog; nothing is learned, and nothing fetched.

        Parameters
        ----------
        X : Catalog, or anything that Catalog takes
            The galaxies, one per row.
        y : None
            Ignored.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If the parameters contradict each other, or the catalog lacks a column that they need.
        """
        self._requests(self._catalog(X))
        return self

    def transform(self, X):
        """Fetch the images.

        Parameters
        ----------
        X : Catalog, or anything that Catalog takes
            The galaxies, one per row.

        Returns
        -------
        ndarray, memmap or Cutouts of shape (n_samples, H, W, C)
            `Cutouts` if the source knows its camera. Row 0 is north, column 0 is east; the galaxy is at
            ``((npix - 1) / 2, (npix - 1) / 2)`` before it is reduced. The dtype is that of the source, or of the
            reducer.

        Raises
        ------
        CutoutFetchError
            If cutouts could not be had, unless they are missing and ``on_error="nan"``. All others are in the
            cache by then.
        ValueError
            If the parameters contradict each other, or the catalog lacks a column that they need.
        """
        return self._fetch(self._catalog(X), self.on_error)[0]

    def acquire(self, catalog, *, on_error="skip"):
        """Fetch the images, and leave out the galaxies without one.

        This is for use outside of a pipeline, where images and targets must keep the same rows.

        Parameters
        ----------
        catalog : Catalog, or anything that Catalog takes
            The galaxies, one per row.
        on_error : {"skip", "raise", "nan"}, default="skip"
            "skip" leaves out the rows of missing cutouts; the others as in the class, whose setting is not used.

        Returns
        -------
        acquired : :class:`~sklearn.utils.Bunch`
            images : ndarray, memmap or Cutouts of shape (n_images, H, W, C)
                Those that there are; `Cutouts` if the source knows its camera.
            catalog : Catalog
                The galaxies that the images are of, one per image.
            report : QTable
                Outcome of each row of `catalog` as it was passed, as :attr:`report_`.

        Raises
        ------
        CutoutFetchError
            As `transform`; if the service or the network failed, with every `on_error`.
        ValueError
            As `transform`, or if `on_error` is something else.
        """
        if on_error not in ("skip", "raise", "nan"):
            raise ValueError(f"on_error={on_error!r}; expected 'skip', 'raise' or 'nan'.")
        catalog = self._catalog(catalog)
        images, report = self._fetch(catalog, on_error)
        if on_error == "skip":
            there = np.asarray(report["status"] == "ok")
            images, catalog = images[: there.sum()], catalog[there]
        return Bunch(images=images, catalog=catalog, report=report)

    def prefetch(self, catalog):
        """Fill the cache, so that `transform` need not ask for anything; hold no more than a few images.

        Parameters
        ----------
        catalog : Catalog, or anything that Catalog takes
            The galaxies, one per row.

        Returns
        -------
        QTable
            Outcome of each row, as :attr:`report_`. Missing and failed cutouts do not raise here.

        Raises
        ------
        ValueError
            As `transform`, or if there is no cache to fill.
        """
        if self._store() is None:
            raise ValueError(
                f"cache={self.cache!r}: there is no cache to fill; expected True, a path or a CutoutStore."
            )
        return self._ask(self._requests(self._catalog(catalog)), take=lambda row, image: None)

    def _catalog(self, rows) -> Catalog:
        self._validate_params()
        return Catalog.of(rows, position=not getattr(self.source, "looks_up_names", False))

    def _requests(self, catalog: Catalog) -> list[CutoutRequest]:
        if self.reducer is not None and get_tags(self.reducer).requires_fit:
            raise ValueError(
                f"reducer={self.reducer!r} must be fitted; expected a transformer that needs no fit, such as "
                "Downsampler(80). Put this one after the fetcher in the pipeline."
            )
        scale = {"pixel_scale": self.pixel_scale, "pixel_scale_re": self.pixel_scale_re}
        return make_requests(catalog, self.source, npix=self.npix, **scale)

    def _fetch(self, catalog: Catalog, on_error: str) -> tuple[NDArray | Cutouts, QTable]:
        """Images and report; with "skip", the images that exist come first."""
        requests = self._requests(catalog)
        nan = on_error == "nan"
        gatherer = gatherer_of(self, requests, needs_nan=nan)
        report = self._ask(requests, gatherer.append if on_error == "skip" else gatherer.put)
        gatherer.flush()
        without = np.asarray(report["status"] != "ok")
        if (on_error == "raise" and without.any()) or (report["status"] == "failed").any():
            raise fetch_error(report, kept=self._store() is not None)
        return gatherer.gathered(without if nan else None), report

    def _ask(self, requests: list[CutoutRequest], take: Callable[[int, NDArray | Cutouts], None]) -> QTable:
        """Hand each row's image, where there is one, to `take`, and report."""
        became = []
        with progress_bar(len(requests), "cutout", self.verbose) as bar:
            arriving = outcomes(self.source, requests, self._store(), self.min_coverage)
            for row, (image, outcome) in enumerate(arriving):
                if image is not None:
                    take(row, image)
                became.append(outcome)
                bar.update()
        self.report_ = make_report(requests, became)
        return self.report_

    def _store(self) -> CutoutStore | None:
        if self.cache is None or self.cache is False:
            return None
        if isinstance(self.cache, CutoutStore):
            return self.cache
        return CutoutStore(None if self.cache is True else self.cache)
