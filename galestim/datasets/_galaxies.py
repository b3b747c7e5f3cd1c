"""Simulated one-band images of galaxies whose structure is known: bulge-to-total ratio, radius and flux."""

from __future__ import annotations

from collections.abc import Iterator
from numbers import Integral, Real
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft2, next_fast_len
from scipy.special import kn
from sklearn.utils import Bunch, check_random_state, gen_batches
from sklearn.utils._param_validation import Interval, validate_params

from galestim.datasets._spergel import BULGE, DISK, HALF_LIGHT, joint_half_light_radius, spergel_spectrum

TARGET_NAMES = ["bulge_to_total", "half_light_radius", "flux"]
MAX_TWIST = 15.0  # degrees between the major axes of bulge and disk

# Scale lengths along the major axis after which a profile is below 1e-3 of its peak, seen through a PSF.
REACH = {BULGE: 5.0, DISK: 8.0}
MOFFAT_REACH = 4.0  # the same for the PSF, in its own scale lengths
NYQUIST_FWHM = 3.0  # pixels; a sharper PSF needs a finer grid for its light beyond the Nyquist frequency
BATCH_PIXELS = 2**20  # drawn at a time, so that memory stays small
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
        one pixel. Not used if `psf` is given.
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
            ``bulge_axis_ratio``, ``disk_axis_ratio``, ``bulge_position_angle`` and ``disk_position_angle``
            [deg, east of north, in 0 to 180], ``x_offset`` and ``y_offset`` of the center from that of the image
            [pixels, along columns and rows], and ``n_neighbors``.
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
        If a range is not (low, high), `psf_fwhm` is below a pixel, `psf` is not an image with positive flux, or a
        galaxy leaves no room for its neighbors in the stamp.

    Notes
    -----
    **Prior.** B/T is uniform in [0, 1]; axis ratios are uniform, in [0.6, 1] for bulges and [0.25, 1] for
    disks; position angles are uniform, with bulge and disk at most 15 degrees apart; centers are uniform within
    half a pixel of the middle of the image.

    **Profiles** are those of Spergel (2010): disks are exactly exponential, bulges (index -0.6) close to de
    Vaucouleurs'. The half-light radius R of the sum solves

    .. math:: B/T \, L_{bulge}(R) + (1 - B/T) \, L_{disk}(R) = 1/2

    with the shares of light L(R) within a circle around the circularized profiles (Spergel 2010, equation 8). The
    flux is :math:`10^{-0.4 (m - m_0)}`, with the zero point m₀, and counts all light out to infinity.

    **Images** are products in Fourier space of profile, Moffat function, pixel and shift, so that each pixel holds
    the integral of the light. The grid is padded until what periodic copies leave in an image is below 1e-3 of
    the peak of the source, and refined if the point-spread function is sharper than three pixels. A measured one
    is interpolated by its Fourier series, which is exact only if its pixels sample it well.

    **Noise** is Gaussian with variance ``noise² · (sky_noise² + f / gain)`` in a pixel of noiseless flux f.

    References
    ----------
    Moffat 1969, A&A 3, 455; Spergel 2010, ApJS 191, 58.

    Examples
    --------
    >>> from galestim.datasets import make_galaxies
    >>> galaxies = make_galaxies(20, random_state=0)
    >>> galaxies.images.shape, galaxies.images.dtype
    ((20, 64, 64), dtype('float32'))
    >>> dict(zip(galaxies.target_names, galaxies.target[0].round(2).tolist()))
    {'bulge_to_total': 0.65, 'half_light_radius': 1.05, 'flux': 251.78}
    """
    ranges = {
        "magnitude": _check_range("magnitude", magnitude),
        "bulge_radius": _check_range("bulge_radius", bulge_radius, positive=True),
        "disk_radius": _check_range("disk_radius", disk_radius, positive=True),
    }
    point_spread = _Moffat(psf_fwhm / pixel_scale) if psf is None else _Measured(psf)
    seed = check_random_state(random_state).randint(2**31, size=4)
    galaxy_rng, neighbor_rng, noise_rng = np.random.default_rng(seed).spawn(3)

    truth = _draw_parameters(n_samples, ranges, zero_point, galaxy_rng)
    truth["n_neighbors"] = neighbor_rng.poisson(n_neighbors, n_samples)
    neighbors = _draw_neighbors(truth, ranges, zero_point, size, pixel_scale, neighbor_rng)

    images = np.zeros((n_samples, size, size), dtype=np.float32)
    _add_sources(images, np.arange(n_samples), truth, pixel_scale, point_spread)
    _add_sources(images, neighbors["galaxy"], neighbors, pixel_scale, point_spread)
    if noise:
        for rows in gen_batches(n_samples, 100):
            images[rows] += np.float32(noise) * _camera_noise(images[rows], sky_noise, gain, noise_rng)

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


# --- the galaxies -------------------------------------------------------------------------------------------


def _draw_parameters(
    n: int, ranges: dict[str, tuple[float, float]], zero_point: float, rng: np.random.Generator
) -> dict[str, NDArray]:
    """Draw what is true of `n` galaxies from the prior."""
    bulge_to_total, magnitude = rng.random(n), rng.uniform(*ranges["magnitude"], n)
    bulge_radius, disk_radius = (_log_uniform(*ranges[name], n, rng) for name in ("bulge_radius", "disk_radius"))
    disk_position_angle = rng.uniform(0, 180, n)
    return {
        "bulge_to_total": bulge_to_total,
        "half_light_radius": joint_half_light_radius(bulge_to_total, bulge_radius, disk_radius),
        "flux": 10 ** (-0.4 * (magnitude - zero_point)),
        "magnitude": magnitude,
        "bulge_radius": bulge_radius,
        "disk_radius": disk_radius,
        "bulge_axis_ratio": rng.uniform(0.6, 1.0, n),
        "disk_axis_ratio": rng.uniform(0.25, 1.0, n),
        "bulge_position_angle": (disk_position_angle + rng.uniform(-MAX_TWIST, MAX_TWIST, n)) % 180,
        "disk_position_angle": disk_position_angle,
        "x_offset": rng.uniform(-0.5, 0.5, n),
        "y_offset": rng.uniform(-0.5, 0.5, n),
    }


def _log_uniform(low: float, high: float, n: int, rng: np.random.Generator) -> NDArray:
    return np.exp(rng.uniform(np.log(low), np.log(high), n))


def _draw_neighbors(
    truth: dict[str, NDArray],
    ranges: dict[str, tuple[float, float]],
    zero_point: float,
    size: int,
    pixel_scale: float,
    rng: np.random.Generator,
) -> dict[str, NDArray]:
    """Draw as many neighbors as each galaxy has, outside of its half-light radius."""
    galaxy = np.repeat(np.arange(len(truth["n_neighbors"])), truth["n_neighbors"])
    neighbors = _draw_parameters(len(galaxy), ranges, zero_point, rng)
    center = np.stack([truth["x_offset"], truth["y_offset"]])[:, galaxy]
    radius = truth["half_light_radius"][galaxy] / pixel_scale
    neighbors["x_offset"], neighbors["y_offset"] = _positions_outside(center, radius, size, rng)
    return neighbors | {"galaxy": galaxy}


def _positions_outside(center: NDArray, radius: NDArray, size: int, rng: np.random.Generator) -> NDArray:
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


# --- the point-spread function ------------------------------------------------------------------------------


class _PointSpread(Protocol):
    """What the light of a point becomes; `reach` is in pixels, `oversampling` is the grid's per pixel."""

    reach: float
    oversampling: int

    def transfer(self, kx: NDArray, ky: NDArray) -> NDArray:
        """Fourier transform, pixel included, at wave numbers per pixel: ``(len(ky), len(kx))``."""


class _Moffat:
    """Moffat (1969) profile with β = 3, integrated over pixels."""

    def __init__(self, fwhm: float):
        if fwhm < 1:
            raise ValueError(f"psf_fwhm is {fwhm:.3g} times pixel_scale; expected at least 1, both in arcsec.")
        self.scale = fwhm / (2 * np.sqrt(2 ** (1 / 3) - 1))
        self.reach = MOFFAT_REACH * self.scale
        self.oversampling = int(np.ceil(NYQUIST_FWHM / fwhm))

    def transfer(self, kx, ky):
        """x² K₂(x) / 2 with x = k · scale: what (1 + r²/scale²)^-3 becomes."""
        x = np.maximum(self.scale * np.hypot(kx, ky[:, None]), 1e-6)
        pixel = np.sinc(kx / (2 * np.pi)) * np.sinc(ky / (2 * np.pi))[:, None]
        return (0.5 * x**2 * kn(2, x) * pixel).astype(np.float32)


class _Measured:
    """An image of a point, with flux 1 and its centroid at the origin."""

    oversampling = 1

    def __init__(self, image):
        image = np.asarray(image, dtype=float)
        if image.ndim != 2 or not np.isfinite(image).all() or image.sum() <= 0:
            raise ValueError(
                f"psf has shape {image.shape} and sum {image.sum():.3g}; expected an image (h, w) of finite numbers "
                "with a positive sum."
            )
        self.image = image / image.sum()
        axes = (np.arange(n) for n in image.shape)
        self.row, self.column = (i - i @ self.image.sum(axis=1 - axis) for axis, i in enumerate(axes))
        self.reach = max(abs(self.row).max(), abs(self.column).max())

    def transfer(self, kx, ky):
        """Fourier series of the pixels."""
        along_rows, along_columns = np.exp(-1j * np.outer(ky, self.row)), np.exp(-1j * np.outer(self.column, kx))
        return (along_rows @ self.image @ along_columns).astype(np.complex64)


# --- the picture --------------------------------------------------------------------------------------------


def _add_sources(
    images: NDArray, galaxy: NDArray, sources: dict[str, NDArray], pixel_scale: float, psf: _PointSpread
) -> None:
    """Add noiseless `sources` to those of the `images` that `galaxy` tells."""
    size = images.shape[1]
    offset = np.maximum(abs(sources["x_offset"]), abs(sources["y_offset"]))
    reach = size / 2 + offset + psf.reach + _profile_reach(sources) / pixel_scale
    for rows, padded in _batches(np.maximum(reach, size), psf.oversampling):
        batch = {name: values[rows] for name, values in sources.items()}
        for row, image in zip(galaxy[rows], _render(batch, size, padded, pixel_scale, psf)):
            images[row] += image


def _profile_reach(sources: dict[str, NDArray]) -> NDArray:
    """Distance [arcsec] after which the profiles are faint."""
    bulge, disk = (REACH[nu] * _scale(sources, name, nu) for name, nu in (("bulge", BULGE), ("disk", DISK)))
    return np.maximum(bulge, disk)


def _scale(sources: dict[str, NDArray], name: str, nu: float) -> NDArray:
    """Scale length of a profile along its major axis [arcsec]."""
    return sources[f"{name}_radius"] / np.sqrt(sources[f"{name}_axis_ratio"]) / HALF_LIGHT[nu]


def _batches(reach: NDArray, oversampling: int) -> Iterator[tuple[NDArray, int]]:
    """Sources that need about the same periodic grid, and the side of that grid in pixels."""
    order = np.argsort(-reach)
    while len(order):
        padded = next_fast_len(int(np.ceil(reach[order[0]])), real=True)
        count = max(1, BATCH_PIXELS // (oversampling * padded) ** 2)
        yield order[:count], padded
        order = order[count:]


def _render(
    sources: dict[str, NDArray], size: int, padded: int, pixel_scale: float, psf: _PointSpread
) -> NDArray[np.float32]:
    """Noiseless stamps ``(n, size, size)``, cut from a periodic grid of `padded` pixels on a side."""
    step, fine = psf.oversampling, psf.oversampling * padded
    kx = (2 * np.pi * step * np.fft.rfftfreq(fine)).astype(np.float32)  # per pixel
    ky = (2 * np.pi * step * np.fft.fftfreq(fine)).astype(np.float32)
    spectrum = _profile_spectrum(sources, kx, ky, pixel_scale) * psf.transfer(kx, ky)
    spectrum = spectrum * _shift(ky, (size - 1) / 2 + sources["y_offset"])[:, :, None]
    spectrum *= _shift(kx, (size - 1) / 2 + sources["x_offset"])[:, None, :]
    images = irfft2(spectrum, s=(fine, fine), overwrite_x=True)
    return step**2 * images[:, : step * size : step, : step * size : step]


def _profile_spectrum(sources: dict[str, NDArray], kx: NDArray, ky: NDArray, pixel_scale: float) -> NDArray:
    """Fourier transform of bulge and disk together at the origin: ``(n, len(ky), len(kx))``."""
    bulge_flux = sources["flux"] * sources["bulge_to_total"]
    bulge = _component_spectrum(sources, "bulge", BULGE, bulge_flux, kx, ky, pixel_scale)
    return bulge + _component_spectrum(sources, "disk", DISK, sources["flux"] - bulge_flux, kx, ky, pixel_scale)


def _component_spectrum(
    sources: dict[str, NDArray], name: str, nu: float, flux: NDArray, kx: NDArray, ky: NDArray, pixel_scale: float
) -> NDArray:
    """Fourier transform of one of the two."""
    scale, axis_ratio = _scale(sources, name, nu) / pixel_scale, sources[f"{name}_axis_ratio"]
    spectrum = spergel_spectrum(kx, ky, scale, axis_ratio, sources[f"{name}_position_angle"], nu)
    return flux.astype(np.float32)[:, None, None] * spectrum


def _shift(k: NDArray, center: NDArray) -> NDArray:
    """Fourier transform along one axis of a point at `center` [pixels]."""
    return np.exp(-1j * np.outer(center, k)).astype(np.complex64)


def _camera_noise(images: NDArray, sky_noise: float, gain: float | None, rng: np.random.Generator) -> NDArray:
    """Noise of sky and, if there is a `gain`, of photons in noiseless `images`."""
    photons = np.maximum(images, 0) / np.float32(gain) if gain else 0
    sigma = np.sqrt(photons + np.float32(sky_noise) ** 2, dtype=np.float32)
    return sigma * rng.standard_normal(images.shape, dtype=np.float32)
