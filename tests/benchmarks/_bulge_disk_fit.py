"""Least-squares fits of galaxy images by a bulge and a disk that GalSim draws: a judge independent of galestim.

`fit` draws with GalSim, through each galaxy's own point-spread function, and minimizes with scipy, from several
starts. A bulge is a Sérsic profile of index 0.5 to 6, a disk one of index 1; `single=True` fits one Sérsic profile.
Fluxes and the sky's level are linear, and solved for at each step; the sky has a prior, N(0, sky_error · noise).
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import product

import galsim
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq, least_squares
from scipy.special import gammainc, gammaincinv

MAX_SHEAR = 0.82  # |g| of an axis ratio of 0.1
INDEX = 0.5, 6.0
REMEMBERED = 12  # images of a component: as many as the derivatives of one step


@dataclass(frozen=True)
class Stamp:
    """An image and what is needed to fit it."""

    image: NDArray  # (h, w), sky subtracted
    noise: NDArray  # (h, w), standard deviation
    psf: NDArray  # of the same pixels, odd
    good: NDArray  # (h, w), bool
    sky_error: float = 0.1  # in units of the median noise

    @cached_property
    def memory(self) -> dict:
        """Of each component, its last images by parameters: derivatives move one component at a time."""
        return {}

    def drawn_once(self, draw, parameters) -> NDArray:
        """Draw a component, unless it was drawn a short while ago."""
        known = self.memory.setdefault(draw.__name__, {})
        if parameters not in known:
            while len(known) > REMEMBERED:
                known.pop(next(iter(known)))
            known[parameters] = draw(*parameters, self)
        return known[parameters]

    @cached_property
    def star(self):
        """The point-spread function, to be convolved with."""
        return galsim.InterpolatedImage(galsim.Image(self.psf), scale=1.0, flux=1.0, x_interpolant="lanczos5")


def fit(image, psf, noise, mask=None, *, gain=None, single=False, sky_error=0.1) -> dict:
    """Fit a galaxy near the middle of an image.

    Parameters
    ----------
    image : ndarray of shape (h, w)
        Sky subtracted; NaN is masked.
    psf : ndarray of odd shape
        Image of a star, in the middle.
    noise : float or ndarray of shape (h, w)
        Standard deviation of a pixel.
    mask : ndarray of bool, default=None
        True is left out.
    gain : float, default=None
        Electrons per image unit, if `noise` is that of the sky alone: photons are those of the best model.
    single : bool, default=False
        Whether to fit one Sérsic profile.
    sky_error : float, default=0.1
        Standard deviation of the error of the sky's level, in units of the median noise.

    Returns
    -------
    dict
        ``flux``, ``half_light_radius`` (of all light, circularized, without the point-spread function) [pixels],
        ``bulge_to_total``, ``sersic_index`` (of the bulge), ``axis_ratio`` (flux-weighted), ``sky``, 1σ errors by the
        curvature of χ² (``flux_error``, ``radius_error``, ``bulge_to_total_error``), which hold for independent
        pixels, ``chi2``, ``dof``, ``model``, and ``flags``: what is doubtful.
    """
    image = np.asarray(image, dtype=float)
    good = np.isfinite(image) if mask is None else np.isfinite(image) & ~np.asarray(mask, dtype=bool)
    noise = np.broadcast_to(np.asarray(noise, dtype=float), image.shape)
    stamp = Stamp(np.where(good, image, 0), noise, np.asarray(psf, dtype=float), good & np.isfinite(noise), sky_error)
    radius = rough_radius(stamp)
    alone = min((descend(stamp, start, True) for start in one_component(radius)), key=lambda found: found.cost)
    begun = [] if single else [descend(stamp, start, False) for start in two_components(radius, alone.x)]
    best = min(begun, key=lambda found: found.cost, default=alone)
    if gain is not None:
        photons = model_of(best.x, stamp, single)[0].clip(0) / gain
        stamp = Stamp(stamp.image, np.sqrt(noise**2 + photons), stamp.psf, stamp.good, sky_error)
        best = least_squares(residuals, best.x, bounds=bounds(stamp, single), args=(stamp, single), **STEPS)
    return described(best, stamp, single)


STEPS = {"x_scale": "jac", "diff_step": 3e-3, "ftol": 1e-5, "xtol": 1e-5, "max_nfev": 25}


def rough_radius(stamp: Stamp) -> float:
    """Half-light radius in a circle, roughly without the point-spread function [pixels]."""
    y, x = np.indices(stamp.image.shape) - (np.array(stamp.image.shape)[:, None, None] - 1) / 2
    distance = np.hypot(x, y)
    order = np.argsort(distance, axis=None)
    light = np.cumsum(np.where(stamp.good, stamp.image, 0).ravel()[order])
    half = distance.ravel()[order][np.argmax(light > light.max() / 2)]
    py, px = np.indices(stamp.psf.shape) - (np.array(stamp.psf.shape)[:, None, None] - 1) / 2
    psf = np.sqrt((stamp.psf * np.exp(-(px**2 + py**2) / 50) * (px**2 + py**2)).sum() / stamp.psf.sum())
    return float(np.sqrt(max(half**2 - psf**2 / 2, 0.25)))


# Parameters: x, y [pixels from the middle]; of the first component ln radius, two of its shear, ln index; of the disk
# ln radius and shear.


def one_component(radius: float) -> list:
    return [[0, 0, np.log(radius), 0, 0, np.log(index)] for index in (1.0, 3.5)]


def two_components(radius: float, alone) -> list:
    """Bulges smaller than disks, and larger; and what one component was found to be."""
    sizes = [(0.4, 1.2, 2.5), (1.0, 0.4, 4.0)]
    x, y = alone[:2]
    begun = [[x, y, np.log(b * radius), 0, 0, np.log(n), np.log(d * radius), *alone[3:5]] for b, d, n in sizes]
    return [*begun, [*alone, alone[2] + 0.5, *alone[3:5]]]


def descend(stamp, start, single):
    low, high = bounds(stamp, single)
    begin = np.clip(start, np.array(low) + 1e-3, np.array(high) - 1e-3)
    return least_squares(residuals, begin, bounds=(low, high), args=(stamp, single), **STEPS)


def bounds(stamp, single):
    largest = np.log(max(stamp.image.shape) / 4)
    component = (np.log(0.2), -0.58, -0.58), (largest, 0.58, 0.58)  # |g| < MAX_SHEAR
    low, high = [-4, -4, *component[0], np.log(INDEX[0])], [4, 4, *component[1], np.log(INDEX[1])]
    return (low, high) if single else ([*low, *component[0]], [*high, *component[1]])


def drawn(p, stamp, single) -> NDArray:
    """Images of unit flux through the point-spread function: (n_components, h, w)."""
    x, y, *bulge = p[:6]
    first = stamp.drawn_once(sersic, (x, y, *bulge))
    return first[None] if single else np.stack([first, stamp.drawn_once(exponential, (x, y, *p[6:]))])


def exponential(x, y, ln_radius, g1, g2, stamp) -> NDArray:
    return seen(
        galsim.Exponential(half_light_radius=np.exp(ln_radius), gsparams=QUICK).shear(g1=g1, g2=g2).shift(x, y), stamp
    )


def sersic(x, y, ln_radius, g1, g2, ln_index, stamp) -> NDArray:
    """Between the two nearest of a grid of indices, as each new index takes GalSim 0.1 s: to 0.1 % of the peak."""
    place = np.interp(ln_index, LN_INDICES, np.arange(len(LN_INDICES)))
    at = min(int(place), len(LN_INDICES) - 2)
    profiles = (
        galsim.Sersic(np.exp(n), half_light_radius=np.exp(ln_radius), gsparams=QUICK) for n in LN_INDICES[at : at + 2]
    )
    below, above = (seen(profile.shear(g1=g1, g2=g2).shift(x, y), stamp) for profile in profiles)
    return below + (place - at) * (above - below)


def seen(profile, stamp) -> NDArray:
    height, width = stamp.image.shape
    options = {"nx": width, "ny": height, "scale": 1.0, "method": "no_pixel"}
    return galsim.Convolve(profile, stamp.star, gsparams=QUICK).drawImage(**options).array


QUICK = galsim.GSParams(folding_threshold=1e-2, maxk_threshold=2e-3, maximum_fft_size=8192)
LN_INDICES = np.linspace(*np.log(INDEX), 41)


def model_of(p, stamp, single):
    """The best model of these shapes without the sky, its fluxes, and the sky."""
    light = drawn(p, stamp, single)
    weight = stamp.good / stamp.noise
    sigma = stamp.sky_error * np.median(stamp.noise)
    matrix = np.column_stack([*(one[stamp.good] * weight[stamp.good] for one in light), weight[stamp.good]])
    normal, seen_light = matrix.T @ matrix, matrix.T @ (stamp.image[stamp.good] * weight[stamp.good])
    normal[-1, -1] += 1 / sigma**2
    *fluxes, sky = not_negative(normal, seen_light)
    return np.tensordot(fluxes, light, 1), np.array(fluxes), sky


def not_negative(normal, seen_light) -> NDArray:
    """Solve the normal equations with fluxes of 0 or more: of the choices of components that are there, the best."""
    n, best, most = len(seen_light), np.zeros(len(seen_light)), -np.inf
    for there in product([True, False], repeat=n - 1):
        used = np.flatnonzero([*there, True])
        found = np.zeros(n)
        found[used] = np.linalg.lstsq(normal[np.ix_(used, used)], seen_light[used], rcond=1e-12)[0]
        explained = found @ seen_light
        if found[:-1].min() >= 0 and explained > most:
            best, most = found, explained
        if all(there) and most > -np.inf:
            break  # nothing explains more than all together
    return best


def residuals(p, stamp, single) -> NDArray:
    model, _, sky = model_of(p, stamp, single)
    left = ((stamp.image - model - sky) / stamp.noise)[stamp.good]
    return np.append(left, sky / (stamp.sky_error * np.median(stamp.noise)))


# ---- what comes out


def half_light_radius(fluxes, radii, indices) -> float:
    """Radius that holds half of the light of round Sérsic profiles together."""
    fluxes = np.asarray(fluxes) / np.sum(fluxes)
    scale = [gammaincinv(2 * n, 0.5) for n in indices]

    def inside(radius):
        parts = (
            f * gammainc(2 * n, b * (radius / r) ** (1 / n)) for f, r, n, b in zip(fluxes, radii, indices, scale)
        )
        return sum(parts) - 0.5

    return brentq(inside, 0.5 * min(radii), 2 * max(radii))


def totals(p, fluxes, single) -> NDArray:
    """B/T, half-light radius and flux."""
    radii, indices = [np.exp(p[2])], [np.exp(p[5])]
    if not single:
        radii, indices = [*radii, np.exp(p[6])], [*indices, 1.0]
    total = np.sum(fluxes)
    return np.array([fluxes[0] / total, half_light_radius(fluxes, radii, indices), total])


def described(best, stamp, single) -> dict:
    model, fluxes, sky = model_of(best.x, stamp, single)
    bulge_to_total, radius, flux = totals(best.x, fluxes, single)
    errors = uncertainty(best, fluxes, stamp, single)
    shears = np.hypot(best.x[[3]] if single else best.x[[3, 7]], best.x[[4]] if single else best.x[[4, 8]])
    ratios = (1 - shears) / (1 + shears)
    chi2 = float((((stamp.image - model - sky) / stamp.noise)[stamp.good] ** 2).sum())
    dof = int(stamp.good.sum() - len(best.x) - len(fluxes) - 1)
    return {
        "flux": float(flux),
        "flux_error": float(errors[2]),
        "half_light_radius": float(radius),
        "radius_error": float(errors[1]),
        "bulge_to_total": np.nan if single else float(bulge_to_total),
        "bulge_to_total_error": np.nan if single else float(errors[0]),
        "sersic_index": float(np.exp(best.x[5])),
        "axis_ratio": float(fluxes @ ratios / fluxes.sum()),
        "x_offset": float(best.x[0]),
        "y_offset": float(best.x[1]),
        "sky": float(sky),
        "chi2": chi2,
        "dof": dof,
        "model": model,
        "flags": ",".join(doubts(best, fluxes, stamp, single, chi2 / max(dof, 1))),
    }


def uncertainty(best, fluxes, stamp, single) -> NDArray:
    """Standard errors of B/T, radius and flux by the curvature of χ², where pixels are independent."""
    n = len(best.x)
    full = np.concatenate([best.x, fluxes])

    def significance(values):
        light = np.tensordot(values[n:], drawn(values[:n], stamp, single), 1)
        return (light / stamp.noise)[stamp.good]

    steps = np.concatenate([np.full(n, 1e-3), np.maximum(1e-3 * fluxes, 1e-4 * fluxes.sum())])
    at, there = significance(full), totals(full[:n], fluxes, single)
    jacobian, gradient = [], []
    for i, step in enumerate(steps):
        moved = full.copy()
        moved[i] += -step if i == 5 and best.x[5] > np.log(5.9) else step
        sign = np.sign(moved[i] - full[i]) * step
        jacobian.append((significance(moved) - at) / sign)
        gradient.append((totals(moved[:n], moved[n:], single) - there) / sign)
    sigma = stamp.sky_error * np.median(stamp.noise)
    sky = (1 / stamp.noise)[stamp.good]
    matrix = np.array([*jacobian, sky])
    information = matrix @ matrix.T
    information[-1, -1] += 1 / sigma**2
    covariance = np.linalg.pinv(information, hermitian=True)[:-1, :-1]
    gradient = np.array(gradient)
    return np.sqrt(np.einsum("ia,ij,ja->a", gradient, covariance, gradient).clip(0))


def doubts(best, fluxes, stamp, single, chi2) -> list[str]:
    low, high = (np.array(edge) for edge in bounds(stamp, single))
    names = ["x", "y", "radius", "g1", "g2", "index", "disk_radius", "disk_g1", "disk_g2"]
    at_edge = (best.x - low < 1e-2) | (high - best.x < 1e-2)
    matters = np.ones(len(best.x), dtype=bool)
    if not single:
        share = fluxes / fluxes.sum()
        matters[2:6], matters[6:] = share[0] > 0.02, share[1] > 0.02
    found = [f"edge:{name}" for name, edge in zip(names, at_edge & matters) if edge]
    if not single and best.x[2] > best.x[6]:
        found.append("bulge_larger")
    if abs(model_of(best.x, stamp, single)[2]) > 2 * stamp.sky_error * np.median(stamp.noise):
        found.append("sky")
    if best.status == 0:
        found.append("steps")
    if chi2 > 1.5:
        found.append("chi2")
    if not stamp.good[tuple(n // 2 for n in stamp.image.shape)]:
        found.append("masked")
    return found
