"""Simulated one-band images of galaxies whose structure is known: bulge-to-total ratio, radius and flux."""

from __future__ import annotations

from numbers import Integral, Real

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import Bunch, check_random_state, gen_batches

from .._sklearn import Interval, validate_params

TARGET_NAMES = ["bulge_to_total", "half_light_radius", "flux"]
BATCH_PIXELS = 2**22  # drawn at a time, so that memory stays small
PLACING_ROUNDS = 1000  # draws of a neighbor's position, before there is said to be no room for it


@validate_params(
    {
        "n_samples": [Interval(Integral, 1, None, closed="left")],
        "size": [Interval(Integral, 1, None, closed="left")],
        "pixel_scale": [Interval(Real, 0, None, closed="neither")],
        "psf_fwhm": [Interval(Real, 0, None, closed="neither")],
        "psf": ["array-like", None],
        "sky_noise": [Interval(Real, 0, None, closed="left")],
        "gain": [Interval(Real, 0, None, closed="neither"), None],
        "zero_point": [Interval(Real, None, None, closed="neither")],
        "magnitude": ["array-like"],
        "bulge_radius": ["array-like"],
        "disk_radius": ["array-like"],
        "n_neighbors": [Interval(Real, 0, None, closed="left")],
        "noise": [Interval(Real, 0, None, closed="left")],
        "random_state": ["random_state"],
        "return_X_y": ["boolean"],
    },
    prefer_skip_nested_validation=True,
)
def make_galaxies(
    n_samples=1000,
    *,
    size=64,
    pixel_scale=0.168,
    psf_fwhm=0.58,
    psf=None,
    sky_noise=0.055,
    gain=3000.0,
    zero_point=27.0,
    magnitude=(17.5, 23.0),
    bulge_radius=(0.15, 1.5),
    disk_radius=(0.35, 2.5),
    n_neighbors=0,
    noise=1.0,
    random_state=None,
    return_X_y=False,
):
    r"""Draw images of galaxies, a bulge and a disk each, whose structure is known.

    Bulge-to-total ratio, half-light radius and flux are what a posterior is to recover. The defaults resemble
    the i band of the wide survey of Hyper Suprime-Cam.

    Parameters
    ----------
    n_samples : int, default=1000
        Number of galaxies.
    size : int, default=64
        Height and width of the images in pixels. Light that falls outside is lost to the image, but not to
        the targets.
    pixel_scale : float, default=0.168
        Side of a pixel [arcsec].
    psf_fwhm : float, default=0.58
        Full width at half maximum [arcsec] of the point-spread function, a Moffat profile with β = 3; at least
        half a pixel. Not used if `psf` is given.
    psf : ndarray of shape (h, w) or None, default=None
        A measured point-spread function instead, on the same pixels and in the same orientation as the images.
        It is divided by its sum, and its centroid (of all its pixels) is taken as its center, so that its
        sides may be even or odd. As the image of a star does, it contains the response of the pixel.
    sky_noise : float, default=0.055
        Standard deviation of the noise of the sky in a pixel [image units].
    gain : float or None, default=3000.0
        Electrons per image unit, for the photon noise of the sources; None adds none.
    zero_point : float, default=27.0
        Magnitude of a flux of one image unit.
    magnitude : (low, high), default=(17.5, 23.0)
        Range of the magnitudes, which are uniform.
    bulge_radius : (low, high), default=(0.15, 1.5)
        Range of the half-light radius of the bulge [arcsec], which is log-uniform. As all radii here it is
        circularized: the geometric mean of the semi-axes.
    disk_radius : (low, high), default=(0.35, 2.5)
        The same for the disk.
    n_neighbors : float, default=0
        Mean number of neighbors in an image (Poisson). They are drawn from the same prior, at positions uniform
        in the stamp outside of the half-light radius of its galaxy.
    noise : float, default=1.0
        Factor on the noise; 0 draws noiseless images.
    random_state : int, RandomState instance or None, default=None
        Determines the galaxies, their neighbors and the noise, each by itself: with the same int, galaxies stay
        the same if noise or neighbors change.
    return_X_y : bool, default=False
        Whether to return ``(images, target)`` instead of a Bunch.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        images : ndarray of shape (n_samples, size, size), float32
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
            ``n_neighbors``.
        pixel_scale : float
            As passed.
        DESCR : str
            This description.
    (images, target) : tuple, if ``return_X_y`` is True

    Raises
    ------
    ValueError
        If a range is not (low, high), `psf_fwhm` is below half a pixel, `psf` is not an image with positive flux, or
        a galaxy leaves no room for its neighbors in the stamp.

    See Also
    --------
    galestim.simulation : What draws them: other priors, several bands, gradients, and the limit of what can be
        learned.
    make_sky : The same galaxies on one large image, with a catalog.

    Notes
    -----
    **Prior.** B/T is uniform in [0, 1]; Sérsic indices are uniform, in [2.5, 5] for bulges and [0.8, 1.2] for disks;
    so are axis ratios, in [0.6, 1] for bulges and [0.25, 1] for disks, position angles, with bulge and disk at most
    15 degrees apart, and centers, within half a pixel of the middle of the image. With the default ranges these are
    the galaxies that :func:`~galestim.simulation.sim_v1_prior` draws with the same `random_state`.

    **Profiles** are Sérsic's. The half-light radius R of bulge and disk together solves

    .. math:: B/T \, L_{bulge}(R) + (1 - B/T) \, L_{disk}(R) = 1/2

    with the shares of light L(R) within a circle around the circularized profiles (Graham & Driver 2005, equation 2).
    The flux is :math:`10^{-0.4 (m - m_0)}`, with the zero point m₀, and counts all light out to infinity.

    **Images** are drawn by :func:`~galestim.simulation.render`: each pixel holds the integral of the light, to 2e-4
    of the peak. A measured point-spread function is interpolated by its Fourier series, which is exact only if its
    pixels sample it well.

    **Noise** is Gaussian with variance ``noise² · (sky_noise² + f / gain)`` in a pixel of noiseless flux f.

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
    from .. import simulation  # here, since it imports torch

    prior = _prior(magnitude, bulge_radius, disk_radius, zero_point)
    point_spread = simulation.MoffatPSF(psf_fwhm) if psf is None else simulation.ImagePSF(psf, pixel_scale)
    band = simulation.Band(point_spread, sky_noise, pixel_scale, gain, zero_point)
    rng = check_random_state(random_state)
    truth = _draw_truth(prior, n_samples, zero_point, rng)
    neighbor_rng, noise_rng = (np.random.RandomState(seed) for seed in rng.randint(2**31, size=2))
    truth["n_neighbors"] = neighbor_rng.poisson(n_neighbors, n_samples)
    neighbors = _draw_neighbors(prior, truth, band, size, neighbor_rng)
    images = _draw_images(truth, neighbors, band, size, noise, noise_rng)

    target = np.stack([truth[name] for name in TARGET_NAMES], axis=1)
    if return_X_y:
        return images, target
    return Bunch(
        images=images,
        target=target,
        target_names=list(TARGET_NAMES),
        parameters=truth,
        neighbors=neighbors,
        pixel_scale=pixel_scale,
        DESCR=make_galaxies.__doc__,
    )


def _check_range(name: str, value, positive: bool = False) -> tuple[float, float]:
    """`value` as (low, high)."""
    try:
        low, high = (float(v) for v in value)
        valid = np.isfinite([low, high]).all() and low <= high and (low > 0 or not positive)
    except (TypeError, ValueError):
        valid = False
    if not valid:
        raise ValueError(f"{name}={value!r}; expected (low, high) with {'0 < ' if positive else ''}low <= high.")
    return low, high


def _prior(magnitude, bulge_radius, disk_radius, zero_point: float):
    """The benchmark's prior with other ranges, in which low and high may be the same."""
    from ..simulation import GalaxyPrior, LogUniform, sim_v1_prior

    bright, faint = _check_range("magnitude", magnitude)
    ranges = {
        "flux": (10 ** (-0.4 * (faint - zero_point)), 10 ** (-0.4 * (bright - zero_point))),
        "bulge_radius": _check_range("bulge_radius", bulge_radius, positive=True),
        "disk_radius": _check_range("disk_radius", disk_radius, positive=True),
    }
    changed = {name: LogUniform(low, max(high, np.nextafter(low, np.inf))) for name, (low, high) in ranges.items()}
    return GalaxyPrior(sim_v1_prior().priors | changed)


def _draw_truth(prior, n: int, zero_point: float, rng: np.random.RandomState) -> dict[str, NDArray]:
    """Draw what is true of `n` galaxies: the targets first, then all that is drawn."""
    from ..simulation import half_light_radius

    drawn = prior.draw(n, rng)
    derived = {"half_light_radius": half_light_radius(drawn), "magnitude": zero_point - 2.5 * np.log10(drawn["flux"])}
    return {name: (drawn | derived)[name] for name in dict.fromkeys([*TARGET_NAMES, "magnitude", *drawn])}


def _draw_neighbors(
    prior, truth: dict[str, NDArray], band, size: int, rng: np.random.RandomState
) -> dict[str, NDArray]:
    """Draw as many neighbors as each galaxy has, outside of its half-light radius."""
    galaxy = np.repeat(np.arange(len(truth["n_neighbors"])), truth["n_neighbors"])
    neighbors = _draw_truth(prior, len(galaxy), band.zero_point, rng)
    center = np.stack([truth["x_offset"], truth["y_offset"]])[:, galaxy]
    radius = truth["half_light_radius"][galaxy] / band.pixel_scale
    neighbors["x_offset"], neighbors["y_offset"] = _positions_outside(center, radius, size, rng)
    return neighbors | {"galaxy": galaxy}


def _positions_outside(center: NDArray, radius: NDArray, size: int, rng: np.random.RandomState) -> NDArray:
    """Positions uniform in the stamp, measured from its middle, and `radius` away from `center`: ``(2, n)``."""
    positions = center.copy()
    inside = np.ones(len(radius), dtype=bool)
    for _ in range(PLACING_ROUNDS):
        if not inside.any():
            return positions
        positions[:, inside] = rng.uniform(-size / 2, size / 2, (2, inside.sum()))
        inside = np.hypot(*(positions - center)) < radius
    raise ValueError(
        f"{inside.sum()} neighbors find no place outside of the half-light radius of their galaxy, which is up to "
        f"{radius[inside].max():.1f} pixels in a stamp of size={size}; enlarge size or pass n_neighbors=0."
    )


def _draw_images(
    truth: dict[str, NDArray],
    neighbors: dict[str, NDArray],
    band,
    size: int,
    noise: float,
    rng: np.random.RandomState,
) -> NDArray[np.float32]:
    """Images of the galaxies with their neighbors, and `noise` times the noise: ``(n, size, size)``."""
    from ..simulation import add_noise, render_scene

    images = np.empty((len(truth["flux"]), size, size), dtype=np.float32)
    for rows in gen_batches(len(images), max(1, BATCH_PIXELS // size**2)):
        near = slice(*np.searchsorted(neighbors["galaxy"], [rows.start, rows.stop]))
        around = {name: values[near] for name, values in neighbors.items()}
        around["galaxy"] = around["galaxy"] - rows.start
        galaxies = {name: values[rows] for name, values in truth.items()}
        batch = render_scene(galaxies, [band], npix=size, neighbors=around)[..., 0]
        if noise:
            gain = band.gain and band.gain / noise**2
            batch = add_noise(batch, sky_noise=noise * band.sky_noise, gain=gain, random_state=rng)
        images[rows] = batch.numpy()
    return images
