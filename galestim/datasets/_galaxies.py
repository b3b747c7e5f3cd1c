"""Simulated one-band images of galaxies whose structure is known: bulge-to-total ratio, radius and flux."""

from __future__ import annotations

from numbers import Integral, Real

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import Bunch, check_random_state, gen_batches

from .._sklearn import Interval, validate_params
from ._population import TARGET_NAMES, checked_band, checked_neighbors, checked_prior, draw_galaxies, target_of

BATCH_PIXELS = 2**22  # drawn at a time, so that memory stays small
PLACING_ROUNDS = 1000  # draws of a neighbor's position, before there is said to be no room for it


@validate_params(
    {
        "n_samples": [Interval(Integral, 1, None, closed="left")],
        "npix": [Interval(Integral, 1, None, closed="left")],
        "band": "no_validation",
        "prior": "no_validation",
        "n_neighbors": [Interval(Real, 0, None, closed="left")],
        "neighbors": "no_validation",
        "noise_factor": [Interval(Real, 0, None, closed="left")],
        "random_state": ["random_state"],
        "return_X_y": ["boolean"],
    },
    prefer_skip_nested_validation=True,
)
def make_galaxies(
    n_samples=1000,
    *,
    npix=64,
    band=None,
    prior=None,
    n_neighbors=0,
    neighbors=None,
    noise_factor=1.0,
    random_state=None,
    return_X_y=False,
):
    r"""Draw images of galaxies, a bulge and a disk each, whose structure is known.

    Bulge-to-total ratio, half-light radius and flux are what a posterior is to recover. The defaults resemble
    the i band of the wide survey of Hyper Suprime-Cam.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    n_samples : int, default=1000
        Number of galaxies.
    npix : int, default=64
        Height and width of the images in pixels. Light that falls outside is lost to the image, but not to
        the targets.
    band : Band or None, default=None
        The camera: point-spread function, pixels, noise and zero point. None means ``hsc_like("i")``. A measured
        point-spread function is an `ImagePSF`.
    prior : GalaxyPrior or None, default=None
        What the galaxies are drawn from; None means ``sim_v1_prior()``. Other ranges of it are
        ``sim_v1_prior().replace(magnitude=Uniform(18, 20))``.
    n_neighbors : float, default=0
        Mean number of neighbors in an image (Poisson). They are drawn from the same prior, at positions uniform
        in the stamp outside of the half-light radius of its galaxy.
    neighbors : NeighborPrior or None, default=None
        What neighbors are drawn from instead, also outside of the stamp.
    noise_factor : float, default=1.0
        Factor on the noise; 0 draws noiseless images.
    random_state : int, RandomState instance or None, default=None
        Determines the galaxies, their neighbors and the noise, each by itself: with the same int, galaxies stay
        the same if noise or neighbors change.
    return_X_y : bool, default=False
        Whether to return ``(images, target)`` instead of a Bunch.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        images : ndarray of shape (n_samples, npix, npix), float32
            Flux in each pixel [image units]. Row 0 is north, east is left.
        target : ndarray of shape (n_samples, 3)
            What is to be learned; the columns are `target_names`.
        target_names : list of str
            ``bulge_to_total``; ``half_light_radius`` [arcsec], of bulge and disk together, circularized;
            ``flux`` [image units].
        parameters : dict of ndarray of shape (n_samples,)
            The truth: the targets and ``magnitude``, ``bulge_radius`` and ``disk_radius`` [arcsec],
            ``bulge_sersic_index``, ``disk_sersic_index``, ``bulge_axis_ratio``, ``disk_axis_ratio``,
            ``bulge_position_angle`` and ``disk_position_angle`` [deg, east of north, in 0 to 180], ``x_offset`` and
            ``y_offset`` of the center from that of the image [pixels, along columns and rows], and
            ``n_neighbors``.
        neighbors : dict of ndarray of shape (n_all_neighbors,)
            The same of all neighbors, but with ``galaxy``, the row of the image they are in, for
            ``n_neighbors``; and what else `NeighborPrior.draw` gives.
        band : Band
            The camera.
        DESCR : str
            This description.
    (images, target) : tuple, if ``return_X_y`` is True

    Raises
    ------
    ValueError
        If `band`, `prior` or `neighbors` is not one, the point-spread function is too sharp for the pixels, a galaxy
        leaves no room for its neighbors in the stamp, or both `n_neighbors` and `neighbors` are given.

    See Also
    --------
    galestim.simulation : What draws them: other priors, several bands, gradients, and the limit of what can be
        learned.
    SimulatedGalaxies : The same galaxies, with new noise in each epoch of a fit.
    make_sky : The same galaxies on one large image, with a catalog.

    Notes
    -----
    **Prior.** By default B/T is uniform in [0, 1], the magnitude in [17.5, 23]; half-light radii are log-uniform, in
    [0.15, 1.5] arcsec for bulges and [0.35, 2.5] for disks, and circularized: the geometric mean of the semi-axes.
    Sérsic indices are uniform, in [2.5, 5] for bulges and [0.8, 1.2] for disks; so are axis ratios, in [0.6, 1] for
    bulges and [0.25, 1] for disks, position angles, with bulge and disk at most 15 degrees apart, and centers, within
    half a pixel of the middle of the image. The galaxies are those that the prior draws with the same `random_state`.

    **Profiles** are Sérsic's. The half-light radius R of bulge and disk together solves

    .. math:: B/T \, L_{bulge}(R) + (1 - B/T) \, L_{disk}(R) = 1/2

    with the shares of light L(R) within a circle around the circularized profiles (Graham & Driver 2005, equation 2).
    The flux is :math:`10^{-0.4 (m - m_0)}`, with the zero point m₀, and counts all light out to infinity.

    **Images** are drawn by :func:`~galestim.simulation.render`: each pixel holds the integral of the light, to 2e-4
    of the peak. A measured point-spread function is interpolated by its Fourier series, which is exact only if its
    pixels sample it well.

    **Noise** is Gaussian with variance ``noise_factor² · (sky_noise² + f / gain)`` in a pixel of noiseless flux f.

    References
    ----------
    Sérsic 1963, BAAA 6, 41; Moffat 1969, A&A 3, 455; Graham & Driver 2005, PASA 22, 118.

    Examples
    --------
    >>> from galestim.datasets import make_galaxies
    >>> galaxies = make_galaxies(20, random_state=0)
    >>> galaxies.images.shape, galaxies.images.dtype
    ((20, 64, 64), dtype('float32'))
    >>> dict(zip(galaxies.target_names, galaxies.target[0].round(2).tolist()))
    {'bulge_to_total': 0.35, 'half_light_radius': 0.82, 'flux': 1086.49}
    """
    band, prior, crowd = checked_band(band), checked_prior(prior), checked_neighbors(neighbors)
    if crowd is not None and n_neighbors:
        raise ValueError(f"n_neighbors={n_neighbors} and neighbors are given; expected one of them.")
    rng = check_random_state(random_state)
    truth = draw_galaxies(prior, n_samples, band, rng)
    neighbor_rng, noise_rng = (np.random.RandomState(seed) for seed in rng.randint(2**31, size=2))
    if crowd is None:
        truth["n_neighbors"] = neighbor_rng.poisson(n_neighbors, n_samples)
        around = _draw_neighbors(prior, truth, band, npix, neighbor_rng)
    else:
        around = crowd.draw(truth, band, prior, neighbor_rng)
        truth["n_neighbors"] = np.bincount(around["galaxy"], minlength=n_samples)
    images = _draw_images(truth, around, band, npix, noise_factor, noise_rng)

    target = target_of(truth)
    if return_X_y:
        return images, target
    return Bunch(
        images=images,
        target=target,
        target_names=list(TARGET_NAMES),
        parameters=truth,
        neighbors=around,
        band=band,
        DESCR=make_galaxies.__doc__,
    )


def _draw_neighbors(
    prior, truth: dict[str, NDArray], band, npix: int, rng: np.random.RandomState
) -> dict[str, NDArray]:
    """Draw as many neighbors as each galaxy has, outside of its half-light radius."""
    galaxy = np.repeat(np.arange(len(truth["n_neighbors"])), truth["n_neighbors"])
    neighbors = draw_galaxies(prior, len(galaxy), band, rng)
    center = np.stack([truth["x_offset"], truth["y_offset"]])[:, galaxy]
    radius = truth["half_light_radius"][galaxy] / band.pixel_scale
    neighbors["x_offset"], neighbors["y_offset"] = _positions_outside(center, radius, npix, rng)
    return neighbors | {"galaxy": galaxy}


def _positions_outside(center: NDArray, radius: NDArray, npix: int, rng: np.random.RandomState) -> NDArray:
    """Positions uniform in the stamp, measured from its middle, and `radius` away from `center`: ``(2, n)``."""
    positions = center.copy()
    inside = np.ones(len(radius), dtype=bool)
    for _ in range(PLACING_ROUNDS):
        if not inside.any():
            return positions
        positions[:, inside] = rng.uniform(-npix / 2, npix / 2, (2, inside.sum()))
        inside = np.hypot(*(positions - center)) < radius
    raise ValueError(
        f"{inside.sum()} neighbors find no place outside of the half-light radius of their galaxy, which is up to "
        f"{radius[inside].max():.1f} pixels in a stamp of npix={npix}; enlarge npix or pass n_neighbors=0."
    )


def _draw_images(
    truth: dict[str, NDArray],
    neighbors: dict[str, NDArray],
    band,
    npix: int,
    noise_factor: float,
    rng: np.random.RandomState,
) -> NDArray[np.float32]:
    """Images of the galaxies with their neighbors, and noise unless its factor is 0: ``(n, npix, npix)``."""
    from ..simulation import render_scene

    images = np.empty((len(truth["flux"]), npix, npix), dtype=np.float32)
    camera = band.with_noise_factor(noise_factor)
    for rows in gen_batches(len(images), max(1, BATCH_PIXELS // npix**2)):
        near = slice(*np.searchsorted(neighbors["galaxy"], [rows.start, rows.stop]))
        around = {name: values[near] for name, values in neighbors.items()}
        around["galaxy"] = around["galaxy"] - rows.start
        galaxies = {name: values[rows] for name, values in truth.items()}
        batch = render_scene(galaxies, [band], npix=npix, neighbors=around)[..., 0]
        if noise_factor:
            batch = camera.add_noise(batch, random_state=rng)
        images[rows] = batch.numpy()
    return images
