"""Stars in an image, and the point-spread function measured from them."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from astropy.table import Table
from numpy.typing import NDArray
from scipy import ndimage
from scipy.optimize import least_squares

from ._light import robust_sigma
from ._sky import SMOOTHING, THRESHOLD, Sky, subtract_sky

MIN_STARS = 3
MIN_SIGNAL_TO_NOISE = 50.0
LARGEST = 200  # stars; more make it no better
BOX = 64  # pixels, over which the sky may vary
SAME_SIZE = 0.025  # of the logarithm, by which stars may differ from the middle one, noise aside
SAME_SHAPE = 0.03  # the same of ellipticity
SMALLER = 0.1  # of the logarithm: no source is that much smaller than a star
CROWD = 0.15  # as many of one size, as a share of the most, are stars and no chance
MIN_SIGMA = 0.55  # pixels: what is sharper is a cosmic ray or a bad pixel
BORDER = 3  # pixels around the stamp that are built and thrown away: they are the worst
DEPARTURE = 0.05  # by which point-spread functions depart from a Moffat profile, as a share of it
BUILDER_ERROR = 0.005  # of the width, of simulated stars without number
RESIDUAL_CUT = 4.0  # robust σ of the stars' residuals and sizes


@dataclass(frozen=True, eq=False)
class PSFEstimate:
    """A point-spread function measured from stars; `numpy.asarray` gives its stamp.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    stamp : ndarray of shape (npix, npix)
        Image of a star in the middle, of sum 1.
    fwhm : float
        Full width at half maximum [pixels], of a circle with the area that is brighter than half of the peak.
    fwhm_error : float
        Standard error of `fwhm` [pixels]: the scatter of the stars' widths, and half a percent of the method's own.
    stars : astropy.table.Table
        The stars it was measured from: `x`, `y` [pixels, from 0], `tile`, `flux` [image units], `signal_to_noise`,
        `fwhm` [pixels], its own, and `residual`, what the model leaves of its light within two FWHM, as a share of
        it, less what noise explains.

    Examples
    --------
    >>> import numpy as np
    >>> from astropy.table import Table
    >>> from galestim.cutouts import PSFEstimate
    >>> np.asarray(PSFEstimate(np.full((3, 3), 1 / 9), 3.0, 0.1, Table({"x": [7.0]}))).shape
    (3, 3)
    """

    stamp: NDArray
    fwhm: float
    fwhm_error: float
    stars: Table

    def __array__(self, dtype=None, copy=None):
        return np.array(self.stamp, dtype=dtype, copy=copy)

    def __repr__(self):
        size = f"{len(self.stamp)}×{len(self.stamp)} px"
        return f"PSFEstimate({size}; FWHM {self.fwhm:.3g} ± {self.fwhm_error:.1g} px, from {len(self.stars)} stars)"


class Tile(NamedTuple):
    """An image to find stars in."""

    image: NDArray  # (h, w)
    bad: NDArray[np.bool_]
    saturation: float  # value of a pixel, inf if not known

    @classmethod
    def of_array(cls, image, mask=None, saturation=None) -> Tile:
        """Make one of an image, whose pixels are bad where they are not finite or masked."""
        image = np.asarray(image, dtype=float)
        if image.ndim != 2:
            raise ValueError(f"the mosaic has shape {image.shape}; expected one image (h, w).")
        bad = ~np.isfinite(image)
        if mask is not None:
            mask = np.asarray(mask, dtype=bool)
            if mask.shape != image.shape:
                raise ValueError(f"mask has shape {mask.shape}; expected that of the image, {image.shape}.")
            bad |= mask
        return cls(np.where(bad, 0, image), bad, np.inf if saturation is None else float(saturation))


def measure_psf(tiles: list[Tile], positions, npix: int, min_stars: int) -> PSFEstimate:
    """Point-spread function of some tiles from the stars at `positions`, of each; None finds them."""
    npix = npix + 2 * BORDER
    skies = [subtract_sky(tile.image, tile.bad, BOX) for tile in tiles]
    places = [_peaks(sky) for sky in skies] if positions is None else positions
    found = [_candidates(*each, npix, number) for number, each in enumerate(zip(tiles, skies, places, strict=True))]
    stars = _Stars(*(np.concatenate(parts) for parts in zip(*found)))
    n_seen = len(stars.flux)
    if positions is None:
        stars = stars.rows(_of_one_kind(stars))
    _check_enough(len(stars.flux), n_seen, sum(map(len, places)), min_stars, positions is None)
    stamp, stars, residual = _fitted(stars, min_stars)
    return _estimate(stamp, stars, residual)


def _check_enough(n: int, n_seen: int, n_places: int, least: int, searched: bool) -> None:
    if n >= least:
        return
    where = f"{n_places} {'sources' if searched else 'positions'}"
    alike = f", {n} of them as small as the smallest that are alike" if searched else ""
    raise ValueError(
        f"{n_seen} of {where} are bright (S/N > {MIN_SIGNAL_TO_NOISE:g}), not saturated, whole and alone{alike}; "
        f"expected {least} or more stars. Give their positions as stars=, a smaller npix, a larger or deeper mosaic, "
        "a mask with fewer bad pixels, or a point-spread function from elsewhere."
    )


# ---- candidates


class _Stars(NamedTuple):
    """Stamps of stars, sky subtracted, and what was measured of each; light is in units of the noise of a pixel.

    Fitters stop by absolute numbers, and fluxes of 1e-12 are met.
    """

    stamps: NDArray  # (n, npix, npix)
    bad: NDArray[np.bool_]
    x: NDArray  # [pixels] of the tile
    y: NDArray
    tile: NDArray
    flux: NDArray
    noise: NDArray  # of a pixel [image units]
    sigma: NDArray  # of the Gaussian that is most like it [pixels]
    shape: NDArray  # (n, 2), both components of its ellipticity

    @property
    def signal_to_noise(self) -> NDArray:
        return self.flux / (np.sqrt(4 * np.pi) * self.sigma)

    def rows(self, which) -> _Stars:
        return _Stars(*(values[which] for values in self))


def _peaks(sky: Sky) -> NDArray:
    """Places (x, y) of the brightest local maxima, well above the noise."""
    smooth = ndimage.gaussian_filter(sky.image, SMOOTHING)
    high = smooth > MIN_SIGNAL_TO_NOISE / 10 * robust_sigma(smooth[sky.free])
    y, x = np.nonzero(high & (smooth == ndimage.maximum_filter(smooth, 7)))
    brightest = np.argsort(-smooth[y, x])[: 20 * LARGEST]
    return np.column_stack([x, y])[brightest].astype(float)


def _candidates(tile: Tile, sky: Sky, places: NDArray, npix: int, number: int) -> _Stars:
    """Bright stars that are not saturated and have all pixels of their stamp, but those of other sources."""
    half = npix // 2
    smooth = ndimage.gaussian_filter(sky.image, SMOOTHING)
    labels, _ = ndimage.label(smooth > THRESHOLD * robust_sigma(smooth[sky.free]))
    found = [_candidate(tile, sky, labels, x, y, half) for x, y in places]
    rows = [one for one in found if one is not None]
    empty = np.empty((0, npix, npix))
    if not rows:
        none = np.empty(0)
        return _Stars(empty, empty > 0, none, none, none, none, none, none, np.empty((0, 2)))
    stamps, bad, x, y, flux, sigma, shape = (np.array(values) for values in zip(*rows))
    noise = np.full(len(x), sky.noise)
    stars = _Stars(stamps, bad, x, y, np.full(len(x), number), flux, noise, sigma, shape)
    return stars.rows(stars.signal_to_noise > MIN_SIGNAL_TO_NOISE)


def _candidate(tile: Tile, sky: Sky, labels: NDArray, x: float, y: float, half: int):
    """What `_Stars` has of one star; None if it will not do."""
    column, row = round(x), round(y)
    window = np.s_[row - half : row + half + 1, column - half : column + half + 1]
    whole = half <= column < labels.shape[1] - half and half <= row < labels.shape[0] - half
    if not whole or not labels[row, column]:
        return None
    stamp, own = sky.image[window] / sky.noise, labels[window] == labels[row, column]
    others = ndimage.binary_dilation((labels[window] > 0) & ~own, iterations=2) & ~own
    moments = _moments(np.where(others, 0, stamp))
    if moments is None:
        return None
    flux, dx, dy, sigma, shape = moments
    distance = np.hypot(*(np.indices(stamp.shape) - half - np.array([dy, dx])[:, None, None])[::-1])
    inner = distance < 4 * sigma
    saturated = tile.image[window][inner & np.isfinite(stamp)].max() >= tile.saturation
    bad = others | tile.bad[window]
    if saturated or (bad & inner).any() or bad.mean() > 0.3 or _second_peak(stamp, own, distance, sigma):
        return None
    return stamp, bad, column + dx, row + dy, flux, sigma, shape


def _second_peak(stamp, own, distance, sigma) -> bool:
    """Whether another source is part of the same patch of light."""
    smooth = ndimage.gaussian_filter(np.where(own, stamp, 0), SMOOTHING)
    peaks = (smooth == ndimage.maximum_filter(smooth, 5)) & own & (distance > max(2.5 * sigma, 3))
    return bool((smooth[peaks] > 0.05 * smooth.max()).any())


def _moments(stamp: NDArray):
    """Flux, center, σ and ellipticity of the Gaussian most like a star (Bernstein & Jarvis 2002, AJ 123, 583).

    Moments are weighted by a round Gaussian as wide as the star, which halves σ² of a Gaussian.
    """
    dy, dx = np.indices(stamp.shape) - len(stamp) // 2
    x = y = 0.0
    sigma = 2.0
    for _ in range(30):
        weight = np.exp(-((dx - x) ** 2 + (dy - y) ** 2) / (2 * sigma**2)) * stamp
        total = weight.sum()
        if not total > 0:
            return None
        x, y = x + 2 * ((dx - x) * weight).sum() / total, y + 2 * ((dy - y) * weight).sum() / total
        xx, yy, xy = (
            (product * weight).sum() / total for product in ((dx - x) ** 2, (dy - y) ** 2, (dx - x) * (dy - y))
        )
        if not 0 < xx + yy < stamp.size or np.hypot(x, y) > 3:
            return None
        sigma = np.sqrt(0.5 * sigma**2 + 0.5 * (xx + yy))  # its fixed point: σ² is twice the weighted one
    if not MIN_SIGMA < sigma < len(stamp) / 5:
        return None
    return 2 * total, x, y, sigma, ((xx - yy) / (xx + yy), 2 * xy / (xx + yy))


def _of_one_kind(stars: _Stars) -> NDArray[np.bool_]:
    """The stars among sources: the smallest of which several are of one size and shape.

    No source is smaller than a star, but noise and cosmic rays, which are of any size; galaxies are larger, crowd at
    no size and shape, and may be ten times as many.
    """
    if not len(stars.flux):
        return np.zeros(0, dtype=bool)
    log_size, tolerance = np.log(stars.sigma), 2 / stars.signal_to_noise
    size_apart = abs(log_size[:, None] - log_size)
    shape_apart = np.hypot(*(stars.shape[:, None] - stars.shape).transpose(2, 0, 1))
    alike = (size_apart < SAME_SIZE + tolerance) & (shape_apart < SAME_SHAPE + tolerance)
    crowd = alike.sum(axis=1)
    least = log_size[crowd >= max(MIN_STARS, CROWD * crowd.max())].min(initial=np.inf)
    if np.isinf(least):
        return np.zeros(len(log_size), dtype=bool)
    middle = np.argmax(np.where((log_size >= least) & (log_size < least + 2 * SAME_SIZE), crowd, 0))
    _warn_of_smaller(int((log_size < log_size[middle] - SMALLER - tolerance).sum()), int(crowd[middle]))
    return alike[middle]


def _warn_of_smaller(n_smaller: int, n_stars: int) -> None:
    if n_smaller:
        warnings.warn(
            f"{n_smaller} bright sources are smaller than the {n_stars} that are taken for stars, by 10 % and more: "
            "either these are galaxies, or the others cosmic rays. Give a mask of cosmic rays, or the stars' "
            "positions as stars=.",
            stacklevel=5,
        )


# ---- the point-spread function


def _fitted(stars: _Stars, min_stars: int) -> tuple[NDArray, _Stars, NDArray]:
    """Build the point-spread function, and again without the stars that it does not fit: it, they, residuals."""
    stars = stars.rows(_helpful(stars, min_stars))
    for _ in range(3):
        stamp, stars, residual = _built(stars)
        kept = residual <= np.median(residual) + RESIDUAL_CUT * max(float(robust_sigma(residual)), 0.02)
        if kept.all() or kept.sum() < min_stars:
            return stamp, stars, residual
        stars = stars.rows(kept)
    return _built(stars)


def _helpful(stars: _Stars, least: int) -> NDArray[np.intp]:
    """The brightest stars, so many that the error of their plain mean is least: noise, and 1 % each of their own."""
    brightest = np.argsort(-stars.signal_to_noise)[:LARGEST]
    variance = 1 / stars.signal_to_noise[brightest] ** 2 + 0.01**2
    error = np.cumsum(variance) / np.arange(1, len(variance) + 1) ** 2
    return brightest[: max(np.argmin(error) + 1, least)]


def _built(stars: _Stars) -> tuple[NDArray, _Stars, NDArray]:
    """The stamp (npix, npix), of sum 1, by photutils' builder (Anderson & King 2000, PASP 112, 1360).

    It is built on the stars' own pixels and not smoothed: finer grids need many stars, and smoothing widens.
    """
    npix = stars.stamps.shape[1]
    fwhm = 2.355 * np.median(stars.sigma)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a star that it cannot fit is left out, below
        model, seen = _builder(fwhm, npix)(_epsf_stars(stars))
    good = np.array([not star._excluded_from_fit for star in seen.all_stars])
    stars = stars.rows(good)
    near = np.hypot(*(np.indices((npix, npix)) - npix // 2)) < 2 * fwhm
    left = [star.compute_residual_image(model)[near & ~bad] for star, bad in zip(seen.all_good_stars, stars.bad)]
    residual = [abs(one).sum() - np.sqrt(2 / np.pi) * one.size for one in left]  # less what noise alone leaves
    return _with_wings(model.data), stars, np.array(residual).clip(0) / stars.flux


def _builder(fwhm: float, npix: int):
    from photutils.psf import EPSFBuilder, EPSFFitter

    return EPSFBuilder(
        oversampling=1,
        shape=npix,
        smoothing_kernel=None,
        maxiters=30,
        norm_radius=npix / 2,
        recentering_boxsize=_odd(2.5 * fwhm, npix),
        fitter=EPSFFitter(fit_boxsize=_odd(3 * fwhm, npix)),
        progress_bar=False,
    )


def _epsf_stars(stars: _Stars):
    from photutils.psf import EPSFStar, EPSFStars

    half = stars.stamps.shape[1] // 2
    offsets = np.column_stack([stars.x - np.round(stars.x), stars.y - np.round(stars.y)])
    return EPSFStars(
        [
            EPSFStar(stamp - _rim_level(stamp, bad), weights=(~bad).astype(float), cutout_center=half + offset)
            for stamp, bad, offset in zip(stars.stamps, stars.bad, offsets)
        ]
    )


def _with_wings(stamp: NDArray) -> NDArray:
    """The stamp without noise in its wings, nor what is left of the sky, of sum 1.

    Where it is uncertain by more than it may depart from an elliptical Moffat profile, it is that profile: what is
    most likely, given both. A sum over many noisy pixels would spoil the norm.
    """
    half = len(stamp) // 2
    dy, dx = np.indices(stamp.shape) - half
    start = [stamp.max(), 0, 0, full_width(stamp), 3.0, 0, 0, 0]
    low, high = [0, -2, -2, 0.5, 1.2, -0.6, -0.6, -np.inf], [np.inf, 2, 2, half, 50, 0.6, 0.6, np.inf]
    fitted = least_squares(lambda p: (_moffat(dx, dy, *p) - stamp).ravel(), start, bounds=(low, high), x_scale="jac")
    sky, fwhm = fitted.x[-1], fitted.x[3]
    profile = _moffat(dx, dy, *fitted.x) - sky
    departure = stamp - sky - profile
    noise = robust_sigma(departure[np.hypot(dx, dy) > min(3 * fwhm, 0.8 * half)])
    share = (DEPARTURE * profile) ** 2 / ((DEPARTURE * profile) ** 2 + noise**2)
    clean = (profile + share * departure)[BORDER:-BORDER, BORDER:-BORDER]
    return clean / clean.sum()


def _moffat(dx, dy, peak, x, y, fwhm, beta, e1, e2, sky) -> NDArray:
    x, y = dx - x, dy - y
    radius2 = ((1 - e1) * x**2 + (1 + e1) * y**2 - 2 * e2 * x * y) / np.sqrt(1 - e1**2 - e2**2)
    return peak * (1 + 4 * (2 ** (1 / beta) - 1) * radius2 / fwhm**2) ** -beta + sky


def _odd(size: float, npix: int) -> int:
    """An odd number of pixels, 5 to npix."""
    return int(np.clip(2 * round(size / 2) + 1, 5, npix))


def _rim_level(stamp: NDArray, bad: NDArray[np.bool_]) -> float:
    """What the sky was missed by, next to the star."""
    rim = np.ones_like(bad)
    rim[2:-2, 2:-2] = False
    return float(np.median(stamp[rim & ~bad])) if (rim & ~bad).sum() > 20 else 0.0


def _estimate(stamp: NDArray, stars: _Stars, residual: NDArray) -> PSFEstimate:
    fwhm, of_stamp = full_width(stamp), _moments(stamp)
    relative = stars.sigma / (np.median(stars.sigma) if of_stamp is None else of_stamp[3])
    scatter = 1.2533 * np.std(relative, ddof=1) / np.sqrt(len(relative))  # of a median
    table = Table(
        {
            "x": stars.x,
            "y": stars.y,
            "tile": stars.tile.astype(int),
            "flux": stars.flux * stars.noise,
            "signal_to_noise": stars.signal_to_noise,
            "fwhm": fwhm * relative,
            "residual": residual,
        }
    )
    return PSFEstimate(stamp, fwhm, float(fwhm * np.hypot(scatter, BUILDER_ERROR)), table)


def full_width(stamp: NDArray) -> float:
    """Full width at half maximum [pixels]: of a circle with the area in which a stamp is brighter than half its peak.

    Between pixels the stamp is a cubic spline.
    """
    step, half = 0.04, (len(stamp) - 1) / 2
    place = np.arange(0, 2 * half + step / 2, step)
    fine = ndimage.map_coordinates(stamp, np.meshgrid(place, place, indexing="ij"), order=3)
    labels, _ = ndimage.label(fine > fine.max() / 2)
    peak = labels[np.unravel_index(fine.argmax(), fine.shape)]
    return float(2 * step * np.sqrt((labels == peak).sum() / np.pi))
