"""Aperture photometry of a galaxy by its curve of growth, with photutils.

Light in circles about the center, until it grows no more: total flux, and the radius that holds half of it as it is
seen, through the point-spread function. `half_light_radius` takes that of a star off in quadrature, which is right
for Gaussians and rough for galaxies: it is 10 % too large for a disk with a bulge that is twice as wide as a star.
"""

import numpy as np
from photutils.aperture import CircularAperture


def curve_of_growth(image, psf, noise, mask=None, *, center=None, gain=None, largest=None) -> dict:
    """Measure the galaxy in the middle of an image.

    Parameters
    ----------
    image : ndarray of shape (h, w)
        Masked pixels are filled by those that lie opposite of the center, or the mean of their ring.
    psf : ndarray of odd shape
    noise : float or ndarray of shape (h, w)
        Standard deviation of a pixel's sky.
    mask : ndarray of bool, default=None
    center : (x, y), default=None
        None: the middle.
    gain : float, default=None
        Electrons per image unit.
    largest : float, default=None
        Largest radius [pixels]; None: that of the circle within the image.

    Returns
    -------
    dict
        ``flux``, ``flux_error``, ``half_light_radius_seen`` and ``half_light_radius`` [pixels], ``total_radius``
        [pixels], where the curve ends, ``background`` (which was subtracted) and ``flags``: ``grows`` if it grew
        to the end, ``masked`` if more than a quarter of the light's pixels were filled.
    """
    height, width = image.shape
    x, y = center or ((width - 1) / 2, (height - 1) / 2)
    bad = ~np.isfinite(image) if mask is None else ~np.isfinite(image) | mask
    end = largest or min(x, y, width - 1 - x, height - 1 - y)
    dy, dx = np.indices(image.shape) - np.array([y, x])[:, None, None]
    distance = np.hypot(dx, dy)
    level = background(image, bad, distance, end)
    filled = fill(np.where(bad, 0, image) - level, bad, distance, x, y)
    radii = np.arange(0.5, end, 0.5)
    sums = aperture_sums(filled, x, y, radii)
    noise = np.broadcast_to(noise, image.shape)
    sigma = float(np.median(noise[~bad]))
    last = where_it_ends(sums, radii, sigma)
    flux = sums[last]
    n_sky = max(((distance > 0.75 * end) & ~bad).sum(), 1)
    area = np.pi * radii[last] ** 2
    variance = area * sigma**2 * (1 + area / n_sky) + (max(flux, 0) / gain if gain else 0)
    half = float(np.interp(flux / 2, np.maximum.accumulate(sums[: last + 1]), radii[: last + 1]))
    star = half_of(psf)
    flags = ["grows"] * bool(last == len(radii) - 1) + ["masked"] * bool(bad[distance < radii[last]].mean() > 0.25)
    return {
        "flux": float(flux),
        "flux_error": float(np.sqrt(variance)),
        "half_light_radius_seen": half,
        "half_light_radius": float(np.sqrt(max(half**2 - star**2, 0))),
        "total_radius": float(radii[last]),
        "background": float(level),
        "flags": ",".join(flags),
    }


def background(image, bad, distance, end) -> float:
    """Median of the outer quarter, sigma-clipped."""
    ring = (distance > 0.75 * end) & ~bad
    if ring.sum() < 30:
        return 0.0
    light = image[ring]
    for _ in range(5):
        spread = 1.4826 * np.median(abs(light - np.median(light)))
        light = light[abs(light - np.median(light)) <= 3 * spread]
    return float(np.median(light))


def fill(image, bad, distance, x, y):
    """Put what lies opposite of the center where a pixel is bad; else the median of its ring."""
    rows, columns = np.nonzero(bad)
    opposite = np.round(2 * y - rows).astype(int), np.round(2 * x - columns).astype(int)
    inside = np.all([(at >= 0) & (at < side) for at, side in zip(opposite, image.shape)], axis=0)
    at = tuple(index.clip(0, side - 1) for index, side in zip(opposite, image.shape))
    usable = inside & ~bad[at]
    ring = np.round(distance).astype(int)
    medians = {r: np.median(image[(ring == r) & ~bad]) for r in np.unique(ring[bad]) if ((ring == r) & ~bad).any()}
    filled = image.copy()
    around = [medians.get(r, 0.0) for r in ring[rows, columns]]
    filled[rows, columns] = np.where(usable, image[at], around)
    return filled


def aperture_sums(image, x, y, radii):
    """Exact sums over circles."""
    return np.array([float(CircularAperture((x, y), r).do_photometry(image)[0][0]) for r in radii])


def where_it_ends(sums, radii, sigma) -> int:
    """The first radius from which the light grows by less than the noise of what is added, for 3 pixels."""
    step = 6  # of half pixels
    grown = sums[step:] - sums[:-step]
    error = sigma * np.sqrt(np.pi * (radii[step:] ** 2 - radii[:-step] ** 2))
    ended = np.flatnonzero(grown < error)
    return int(ended[0]) + step // 2 if len(ended) else len(radii) - 1


def half_of(psf) -> float:
    """Half-light radius of a star [pixels]."""
    height, width = psf.shape
    end = min(height, width) / 2 - 0.5
    radii = np.arange(0.1, end, 0.1)
    sums = aperture_sums(psf, (width - 1) / 2, (height - 1) / 2, radii)
    return float(np.interp(sums[-1] / 2, sums, radii))
