"""Simulated color images of galaxies whose spin is known, up to a stated scatter."""

from __future__ import annotations

from collections.abc import Iterator
from numbers import Integral, Real

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft2, next_fast_len
from sklearn.utils import Bunch, check_random_state

from .._sdss_colors import sdss_colors
from .._sklearn import Interval, validate_params
from ._spergel import BULGE, DISK, HALF_LIGHT, joint_half_light_radius, spergel_spectrum

FRAME = 8.48  # side of the frame in half-light radii: 424 px of 0.02 R_e, as in the published recipe
PSF_FWHM = 1.3  # arcsec, the seeing of SDSS
FINE_SIZE = 80  # smaller frames are drawn on at least this many pixels and averaged, else the PSF is undersampled
BATCH = 32  # galaxies drawn at a time; their Fourier transforms fit in the cache

DISK_THICKNESS = 0.2  # axis ratio of a disk seen edge-on

# Colors g - r and r - i: old bulges are red, star-forming disks are blue.
BULGE_COLOR, DISK_COLOR, COLOR_SCATTER = (0.80, 0.40), (0.30, 0.10), 0.03

# An SDSS frame, bands in the order i, r, g: sky noise [nanomaggies per arcsec], electrons per nanomaggie.
SKY_NOISE = np.array([0.10, 0.06, 0.045], dtype=np.float32)
ELECTRONS = 900.0

# The kinematic model: edge-on V/σ and anisotropy of disks, λ_R of bulges.
DISK_V_SIGMA, ANISOTROPY, BULGE_LAMBDA = 2.0, 0.5, 0.1


@validate_params(
    {
        "n_samples": [Interval(Integral, 1, None, closed="left")],
        "size": [Interval(Integral, 1, None, closed="left")],
        "intrinsic_scatter": [Interval(Real, 0, None, closed="left")],
        "noise": [Interval(Real, 0, None, closed="left")],
        "random_state": ["random_state"],
        "return_X_y": ["boolean"],
    },
    prefer_skip_nested_validation=True,
)
def make_spin_galaxies(
    n_samples=1000, *, size=80, intrinsic_scatter=0.13, noise=1.0, random_state=None, return_X_y=False
):
    r"""Draw color images of galaxies whose spin λ_R follows from what the image shows, up to a known scatter.

    Each galaxy is a red bulge and a blue inclined disk, seen through an atmosphere and a noisy camera. Its
    spin is that of a stated kinematic model of the bulge-to-total ratio and the inclination, plus Gaussian
    scatter that no image betrays. So the best correlation that any estimator can reach is known.

    It is a test of the machinery: how close a network comes to a known limit. It makes no claim about real
    galaxies.

    Parameters
    ----------
    n_samples : int, default=1000
        Number of galaxies.
    size : int, default=80
        Height and width of the images in pixels. The frame is always 8.48 half-light radii on a side, so that
        all galaxies appear about equally large.
    intrinsic_scatter : float, default=0.13
        Standard deviation σ of the Gaussian scatter added to the λ_R of the model.
    noise : float, default=1.0
        Factor on the noise of an SDSS image; 0 draws noiseless images.
    random_state : int, RandomState instance or None, default=None
        Determines the galaxies and their noise. Pass an int for the same images at every call.
    return_X_y : bool, default=False
        Whether to return ``(images, lambda_r)`` instead of a Bunch.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        images : ndarray of shape (n_samples, size, size, 3), uint8
            Red, green and blue are the bands i, r and g, stretched as in the color images of SDSS. Row 0 is
            north, east is left.
        lambda_r : ndarray of shape (n_samples,)
            The spin to be learned: model plus scatter, so a few values lie outside [0, 1).
        parameters : dict of ndarray of shape (n_samples,)
            The truth: ``bulge_to_total`` (r band), ``inclination`` [deg], ``axis_ratio`` (of the disk),
            ``position_angle`` [deg, east of north], ``half_light_radius`` [arcsec, semi-major],
            ``bulge_radius`` and ``disk_radius`` [arcsec, half-light, semi-major], ``bulge_axis_ratio``,
            ``surface_brightness`` [mag/arcsec², r band, mean within the half-light radius, face-on],
            ``x_offset`` and ``y_offset`` of the center [units of the half-light radius, along columns and
            rows], and ``expected_lambda_r``, the spin before the scatter.
        pearson_ceiling : float
            The Pearson correlation with `lambda_r` that an estimator knowing ``expected_lambda_r`` has, for
            the population these galaxies are drawn from.
        DESCR : str
            This description.
    (images, lambda_r) : tuple, if ``return_X_y`` is True

    Notes
    -----
    **Spin.** A disk of anisotropy δ seen at inclination i has (Binney 2005; Cappellari et al. 2007)

    .. math:: V/σ = (V/σ)_{90°} \sin i / \sqrt{1 - δ \cos^2 i}, \quad (V/σ)_{90°} = 2, \; δ = 0.5

    and, by the relation of Emsellem et al. (2007, 2011), λ = κ (V/σ) / √(1 + κ² (V/σ)²) with κ = 1.1.
    Bulges have λ = 0.1 at all inclinations. A galaxy has the mean of the two, weighted by light:

    .. math:: λ_R = (1 - B/T) \, λ_{disk}(i) + 0.1 \, B/T + N(0, σ^2)

    The best reachable Pearson correlation is therefore √(1 - σ² / Var λ_R), 0.87 with the default scatter.

    **Images.** B/T is uniform in [0, 1], and so is cos i. Both profiles are those of Spergel (2010): the disk
    is exactly exponential, the bulge (index -0.6) close to de Vaucouleurs'. Their Fourier transforms, (1 + k²
    r₀²)^-(1+ν), are multiplied by those of a Gaussian point-spread function (FWHM 1.3 arcsec) and of the
    pixel, so that each pixel holds the integral of the profile. A disk of thickness q₀ = 0.2 has axis ratio
    √(cos² i + q₀² sin² i) (Hubble 1926). The half-light radius is that of the galaxy face-on, log-uniform in
    2.5 to 6 arcsec. Noise is Gaussian, with the variance of sky and photons. The stretch is that of Lupton et
    al. (2004) with the constants of the SDSS color images.

    References
    ----------
    Binney 2005, MNRAS 363, 937; Cappellari et al. 2007, MNRAS 379, 418; Emsellem et al. 2007, MNRAS 379, 401;
    Emsellem et al. 2011, MNRAS 414, 888; Hubble 1926, ApJ 64, 321; Lupton et al. 2004, PASP 116, 133; Spergel
    2010, ApJS 191, 58.

    Examples
    --------
    >>> from galestim.datasets import make_spin_galaxies
    >>> galaxies = make_spin_galaxies(20, random_state=0)
    >>> galaxies.images.shape, galaxies.images.dtype
    ((20, 80, 80, 3), dtype('uint8'))
    >>> round(galaxies.pearson_ceiling, 2)
    0.87
    """
    rng = np.random.default_rng(check_random_state(random_state).randint(2**31, size=4))
    truth = _draw_parameters(n_samples, rng)
    colors = _draw_colors(n_samples, rng)
    lambda_r = truth["expected_lambda_r"] + intrinsic_scatter * rng.standard_normal(n_samples)
    images = np.empty((n_samples, size, size, 3), dtype=np.uint8)
    for rows in _batches(n_samples):
        batch = {name: values[rows] for name, values in truth.items()}
        sky = _render(batch, colors[rows], size)
        if noise:
            sky += noise * _camera_noise(sky, batch["half_light_radius"] * FRAME / size, rng)
        images[rows] = sdss_colors(sky)
    if return_X_y:
        return images, lambda_r
    return Bunch(
        images=images,
        lambda_r=lambda_r,
        parameters=truth,
        pearson_ceiling=_pearson_ceiling(intrinsic_scatter),
        DESCR=make_spin_galaxies.__doc__,
    )


def _batches(n_samples: int) -> Iterator[slice]:
    for start in range(0, n_samples, BATCH):
        yield slice(start, min(start + BATCH, n_samples))


# --- the galaxies -------------------------------------------------------------------------------------------


def _draw_parameters(n: int, rng: np.random.Generator) -> dict[str, NDArray]:
    """Draw what is true of `n` galaxies from the prior."""
    bulge_to_total, cos_i = rng.random(n), rng.random(n)
    half_light_radius = np.exp(rng.uniform(np.log(2.5), np.log(6.0), n))
    radius_ratio = np.exp(rng.uniform(np.log(0.2), np.log(0.6), n))
    disk_radius = half_light_radius * _disk_radius(bulge_to_total, radius_ratio)
    return {
        "bulge_to_total": bulge_to_total,
        "inclination": np.degrees(np.arccos(cos_i)),
        "axis_ratio": np.sqrt(cos_i**2 + DISK_THICKNESS**2 * (1 - cos_i**2)),
        "position_angle": rng.uniform(0, 180, n),
        "half_light_radius": half_light_radius,
        "bulge_radius": radius_ratio * disk_radius,
        "disk_radius": disk_radius,
        "bulge_axis_ratio": rng.uniform(0.75, 1.0, n),
        "surface_brightness": rng.uniform(18.5, 20.5, n),
        "x_offset": rng.uniform(-0.1, 0.1, n),
        "y_offset": rng.uniform(-0.1, 0.1, n),
        "expected_lambda_r": _expected_lambda_r(bulge_to_total, cos_i),
    }


def _draw_colors(n: int, rng: np.random.Generator) -> NDArray:
    """Flux in i, r, g relative to r, of bulge and disk: ``(n, 2, 3)``."""
    colors = np.array([BULGE_COLOR, DISK_COLOR]) + COLOR_SCATTER * rng.standard_normal((n, 2, 2))
    g_r, r_i = colors[..., 0], colors[..., 1]
    return 10 ** (0.4 * np.stack([r_i, np.zeros_like(r_i), -g_r], axis=-1))


def _expected_lambda_r(bulge_to_total: NDArray, cos_i: NDArray) -> NDArray:
    """λ_R of the kinematic model (Notes of `make_spin_galaxies`)."""
    v_sigma = DISK_V_SIGMA * np.sqrt((1 - cos_i**2) / (1 - ANISOTROPY * cos_i**2))
    x = 1.1 * v_sigma
    return (1 - bulge_to_total) * x / np.sqrt(1 + x**2) + bulge_to_total * BULGE_LAMBDA


def _pearson_ceiling(intrinsic_scatter: float) -> float:
    """√(1 - σ²/Var λ_R) over the prior, by the midpoint rule on B/T and cos i."""
    midpoints = (np.arange(1000) + 0.5) / 1000
    variance = _expected_lambda_r(midpoints[:, None], midpoints[None, :]).var()
    return float(np.sqrt(variance / (variance + intrinsic_scatter**2)))


def _disk_radius(bulge_to_total: NDArray, radius_ratio: NDArray) -> NDArray:
    """Half-light radius of the disk for which bulge and disk together have half-light radius 1, face-on."""
    return 1 / joint_half_light_radius(bulge_to_total, radius_ratio, 1.0)


# --- the picture --------------------------------------------------------------------------------------------


def _render(truth: dict[str, NDArray], colors: NDArray, size: int) -> NDArray:
    """Noiseless surface brightness [nanomaggies/arcsec²] in i, r, g: ``(n, size, size, 3)``."""
    flux = _component_flux(truth)[:, :, None] * colors
    fine = size * max(1, -(-FINE_SIZE // size))
    pixels = fine / (FRAME * truth["half_light_radius"])  # per arcsec
    bulge, disk = _component_images(truth, fine, pixels)
    weights = (flux * pixels[:, None, None] ** 2).astype(np.float32)
    image = bulge[..., None] * weights[:, None, None, 0] + disk[..., None] * weights[:, None, None, 1]
    if fine > size:
        factor = fine // size
        image = image.reshape(len(image), size, factor, size, factor, 3).mean(axis=(2, 4))
    return image


def _component_flux(truth: dict[str, NDArray]) -> NDArray:
    """Flux in r [nanomaggies] of bulge and disk: ``(n, 2)``."""
    brightness = 10 ** (0.4 * (22.5 - truth["surface_brightness"]))
    total = 2 * np.pi * truth["half_light_radius"] ** 2 * brightness
    bulge_to_total = truth["bulge_to_total"]
    return total[:, None] * np.stack([bulge_to_total, 1 - bulge_to_total], axis=1)


def _component_images(truth: dict[str, NDArray], size: int, pixels: NDArray) -> tuple[NDArray, NDArray]:
    """Bulges and disks of unit flux through PSF and pixel, each ``(n, size, size)``."""
    padded = next_fast_len(-(-8 * size // 5), real=True)  # periodic neighbors are 9 radii away
    kx = (2 * np.pi * np.fft.rfftfreq(padded)).astype(np.float32)
    ky = (2 * np.pi * np.fft.fftfreq(padded)).astype(np.float32)
    offset = pixels * truth["half_light_radius"]
    # Center, point-spread function and pixel act on each axis by itself.
    sigma = pixels * PSF_FWHM / np.sqrt(8 * np.log(2))
    columns = _axis_transfer(kx, (size - 1) / 2 + offset * truth["x_offset"], sigma)
    rows = _axis_transfer(ky, (size - 1) / 2 + offset * truth["y_offset"], sigma)
    transfer = rows[:, :, None] * columns[:, None, :]
    images = []
    for nu, radius, axis_ratio in (
        (BULGE, truth["bulge_radius"], truth["bulge_axis_ratio"]),
        (DISK, truth["disk_radius"], truth["axis_ratio"]),
    ):
        scale = pixels * radius / HALF_LIGHT[nu]
        spectrum = transfer * spergel_spectrum(kx, ky, scale, axis_ratio, truth["position_angle"], nu)
        images.append(irfft2(spectrum, s=(padded, padded), overwrite_x=True)[:, :size, :size])
    return images[0], images[1]


def _axis_transfer(k: NDArray, center: NDArray, sigma: NDArray) -> NDArray:
    """Fourier transform along one axis of a Gaussian at `center` [pixels], integrated over pixels."""
    pixel = np.sinc(k / (2 * np.pi))
    return (pixel * np.exp(-0.5 * np.outer(sigma, k) ** 2 - 1j * np.outer(center, k))).astype(np.complex64)


def _camera_noise(sky: NDArray, pixel_scale: NDArray, rng: np.random.Generator) -> NDArray:
    """Noise of sky and photons in `sky` [nanomaggies/arcsec²], for pixels of `pixel_scale` [arcsec]."""
    photons = np.maximum(sky, 0) / np.float32(ELECTRONS)
    sigma = np.sqrt(photons + SKY_NOISE**2) / pixel_scale.astype(np.float32)[:, None, None, None]
    return sigma * rng.standard_normal(sky.shape, dtype=np.float32)
