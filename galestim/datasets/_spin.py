"""Simulated color images of galaxies whose spin is known, up to a stated scatter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from numbers import Integral, Real

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import Bunch, check_random_state, gen_batches

from .._sdss_colors import sdss_colors
from .._sklearn import Interval, validate_params
from ._like import RealSpins
from ._population import checked_band

# galestim.simulation is imported where it is used: it brings torch, which galestim.datasets does without

FRAME = 8.48  # side of the frame in half-light semi-major axes: 424 px of 0.02 R_e, as in the published recipe
LEAST_PIXELS = 20  # smaller frames are drawn on at least so many pixels and summed, else the PSF is undersampled
BATCH = 64  # galaxies drawn at a time; their images stay in the cache

BULGE_INDEX, DISK_INDEX = 4.0, 1.0
DISK_THICKNESS = 0.2  # axis ratio of a disk seen edge-on

# Colors g - r and r - i: old bulges are red, star-forming disks are blue.
BULGE_COLOR, DISK_COLOR, COLOR_SCATTER = (0.80, 0.40), (0.30, 0.10), 0.03

NANOMAGGIE = 22.5  # magnitude of a flux of one nanomaggie

# The kinematic model: edge-on V/σ and anisotropy of disks, λ_R of bulges.
DISK_V_SIGMA, ANISOTROPY, BULGE_LAMBDA = 2.0, 0.5, 0.1


@validate_params(
    {
        "n_samples": [Interval(Integral, 1, None, closed="left")],
        "npix": [Interval(Integral, 1, None, closed="left")],
        "band": "no_validation",
        "prior": "no_validation",
        "like": "no_validation",
        "intrinsic_scatter": [Interval(Real, 0, None, closed="left")],
        "noise_factor": [Interval(Real, 0, None, closed="left")],
        "random_state": ["random_state"],
        "return_X_y": ["boolean"],
    },
    prefer_skip_nested_validation=True,
)
def make_spin_galaxies(
    n_samples=1000,
    *,
    npix=80,
    band=None,
    prior=None,
    like=None,
    intrinsic_scatter=0.13,
    noise_factor=1.0,
    random_state=None,
    return_X_y=False,
):
    r"""Draw color images of galaxies whose spin λ_R follows from what the image shows, up to a known scatter.

    Each galaxy is a red bulge and a blue inclined disk, seen through an atmosphere and a noisy camera. Its
    spin is that of a stated kinematic model of the bulge-to-total ratio and the inclination, plus Gaussian
    scatter that no image betrays. So the best correlation that any estimator can reach is known.

    It is a test of the machinery: how close a network comes to a known limit. It makes no claim about real
    galaxies.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    n_samples : int, default=1000
        Number of galaxies.
    npix : int, default=80
        Height and width of the images in pixels. The frame is always 8.48 half-light semi-major axes on a side, so
        that all galaxies appear about equally large.
    band : sequence of three Band or None, default=None
        The cameras of i, r and g; None means ``sdss_like("i")``, ``sdss_like("r")`` and ``sdss_like("g")``. The
        images are on the pixels of the frame, and have the noise that the sky of `band` has in pixels of this size.
    prior : SpinPrior or None, default=None
        What the galaxies are drawn from; None means ``SpinPrior()``.
    like : table, default=None
        Real galaxies whose spins, ellipticities and types the simulated ones take, row by row at random: columns
        ``lambda_r``, ``ellipticity`` and ``visual_type``, as in the catalog of `fetch_sami_spin`. λ_R is then that of
        the row, and no kinematic model and no `intrinsic_scatter` is used.
    intrinsic_scatter : float, default=0.13
        Standard deviation σ of the Gaussian scatter added to the λ_R of the model.
    noise_factor : float, default=1.0
        Factor on the noise of `band`; 0 draws noiseless images.
    random_state : int, RandomState instance or None, default=None
        Determines the galaxies and their noise. Pass an int for the same images at every call.
    return_X_y : bool, default=False
        Whether to return ``(images, lambda_r)`` instead of a Bunch.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        images : ndarray of shape (n_samples, npix, npix, 3), uint8
            Red, green and blue are the bands i, r and g, stretched as in the color images of SDSS. Row 0 is
            north, east is left.
        lambda_r : ndarray of shape (n_samples,)
            The spin to be learned: model plus scatter, so a few values lie outside [0, 1).
        parameters : dict of ndarray of shape (n_samples,)
            The truth: ``bulge_to_total`` (r band), ``inclination`` [deg], ``axis_ratio`` (of the disk),
            ``position_angle`` [deg, east of north], ``half_light_semimajor_axis`` of bulge and disk together,
            ``bulge_semimajor_axis`` and ``disk_semimajor_axis``, which hold half of the light of each [arcsec],
            ``bulge_axis_ratio``, ``surface_brightness`` [mag/arcsec², r band, mean within the half-light radius,
            face-on], ``magnitude`` (r band), ``x_offset`` and ``y_offset`` of the center [half-light semi-major axes,
            along columns and rows], and ``expected_lambda_r``, the spin before the scatter, or the mean of those of
            `like` of the same ellipticity and type. With `like`, its ``row``, too.
        pearson_ceiling : float
            The Pearson correlation with `lambda_r` that an estimator knowing ``expected_lambda_r`` has, for
            the population these galaxies are drawn from; with `like`, for its rows.
        DESCR : str
            This description.
    (images, lambda_r) : tuple, if ``return_X_y`` is True

    Raises
    ------
    ValueError
        If `band` is not three bands, `prior` is not one, `like` lacks a column, or a point-spread function is too
        sharp for the pixels.

    Notes
    -----
    **Spin.** A disk of anisotropy δ seen at inclination i has (Binney 2005; Cappellari et al. 2007)

    .. math:: V/σ = (V/σ)_{90°} \sin i / \sqrt{1 - δ \cos^2 i}, \quad (V/σ)_{90°} = 2, \; δ = 0.5

    and, by the relation of Emsellem et al. (2007, 2011), λ = κ (V/σ) / √(1 + κ² (V/σ)²) with κ = 1.1.
    Bulges have λ = 0.1 at all inclinations. A galaxy has the mean of the two, weighted by light:

    .. math:: λ_R = (1 - B/T) \, λ_{disk}(i) + 0.1 \, B/T + N(0, σ^2)

    The best reachable Pearson correlation is therefore √(1 - σ² / Var λ_R), 0.87 with the default scatter.

    **Real spins.** With `like`, a type of 0, 1, 2 or 3 (E, S0, early and late spiral) has a bulge-to-total ratio of
    0.9, 0.55, 0.25 or 0.08, with a scatter of 0.08, which is a choice of ours; the ellipticity sets the inclination
    of the disk, and of types below 1 the axis ratio of the bulge as well. So an image tells of λ_R what ellipticity
    and type do, and nothing else: an estimator beyond ``pearson_ceiling`` would have seen what is not there.

    **Images.** By default B/T is uniform in [0, 1], and so is cos i. The disk is exponential, the bulge
    de Vaucouleurs' (Sérsic indices 1 and 4); :func:`~galestim.simulation.render` draws them. A disk of thickness
    q₀ = 0.2 has axis ratio √(cos² i + q₀² sin² i) (Hubble 1926). The half-light semi-major axis is the half-light
    radius of the galaxy face-on, log-uniform in 2.5 to 6 arcsec. Noise is Gaussian, with the variance of sky and
    photons. The stretch is that of Lupton et al. (2004) with the constants of the SDSS color images.

    References
    ----------
    Binney 2005, MNRAS 363, 937; Cappellari et al. 2007, MNRAS 379, 418; Emsellem et al. 2007, MNRAS 379, 401;
    Emsellem et al. 2011, MNRAS 414, 888; Hubble 1926, ApJ 64, 321; Lupton et al. 2004, PASP 116, 133.

    Examples
    --------
    >>> from galestim.datasets import make_spin_galaxies
    >>> galaxies = make_spin_galaxies(20, random_state=0)
    >>> galaxies.images.shape, galaxies.images.dtype
    ((20, 80, 80, 3), dtype('uint8'))
    >>> round(galaxies.pearson_ceiling, 2)
    0.87
    """
    bands, prior = _checked_bands(band), _checked_prior(prior)
    rng = check_random_state(random_state)
    real = None if like is None else RealSpins.of(like)
    truth, colors = draw_spin_galaxies(prior, n_samples, rng, real)
    scatter_rng, noise_rng = (np.random.RandomState(seed) for seed in rng.randint(2**31, size=2))
    lambda_r = truth["expected_lambda_r"] + intrinsic_scatter * scatter_rng.standard_normal(n_samples)
    ceiling = None
    if real is not None:
        expected, lambda_r = real.expected(), real.lambda_r[truth["row"]]
        truth["expected_lambda_r"] = expected[truth["row"]]
        truth["row"] = real.row[truth["row"]]
        ceiling = float(np.corrcoef(expected, real.lambda_r)[0, 1])
    images = np.empty((n_samples, npix, npix, 3), dtype=np.uint8)
    for rows in gen_batches(n_samples, BATCH):
        batch = {name: values[rows] for name, values in truth.items()}
        images[rows] = sdss_colors(_sky(batch, colors[rows], bands, npix, noise_factor, noise_rng))
    if return_X_y:
        return images, lambda_r
    return Bunch(
        images=images,
        lambda_r=lambda_r,
        parameters=truth,
        pearson_ceiling=_pearson_ceiling(prior, intrinsic_scatter) if ceiling is None else ceiling,
        DESCR=make_spin_galaxies.__doc__,
    )


def _checked_bands(bands):
    from ..simulation import sdss_like

    bands = [sdss_like(name) for name in "irg"] if bands is None else bands
    if not isinstance(bands, Sequence) or len(bands) != 3:
        raise ValueError(f"band={bands!r}; expected three, of i, r and g, or None.")
    return [checked_band(band) for band in bands]


def _checked_prior(prior):
    from ..simulation import SpinPrior

    prior = SpinPrior() if prior is None else prior
    if not isinstance(prior, SpinPrior):
        raise ValueError(f"prior={prior!r}; expected a galestim.simulation.SpinPrior, or None.")
    return prior


# --- the galaxies -------------------------------------------------------------------------------------------


def draw_spin_galaxies(
    prior, n: int, random_state, real: RealSpins | None = None
) -> tuple[dict[str, NDArray], NDArray]:
    """The ``parameters`` of `n` galaxies of a `SpinPrior`, and the colors of bulge and disk.

    The colors ``(n, 2, 3)`` are fluxes in i, r and g, relative to r. Shapes of `real` take the place of the prior's.
    """
    rng = check_random_state(random_state)
    drawn = prior.draw(n, rng)
    if real is not None:
        drawn["row"] = rng.randint(len(real.lambda_r), size=n)
        shape = real.shape(drawn["row"], DISK_THICKNESS, rng)
        drawn |= {name: np.where(np.isfinite(values), values, drawn[name]) for name, values in shape.items()}
    cos_i, size = drawn.pop("cos_inclination"), drawn["half_light_semimajor_axis"]
    ratio = drawn.pop("radius_ratio")
    disk = size * _disk_radius(drawn["bulge_to_total"], ratio)
    truth = drawn | {
        "inclination": np.degrees(np.arccos(cos_i)),
        "axis_ratio": np.sqrt(cos_i**2 + DISK_THICKNESS**2 * (1 - cos_i**2)),
        "bulge_semimajor_axis": ratio * disk,
        "disk_semimajor_axis": disk,
        "magnitude": drawn["surface_brightness"] - 2.5 * np.log10(2 * np.pi * size**2),
        "expected_lambda_r": _expected_lambda_r(drawn["bulge_to_total"], cos_i),
    }
    return truth, _draw_colors(n, rng)


def _disk_radius(bulge_to_total: NDArray, radius_ratio: NDArray) -> NDArray:
    """Half-light radius of the disk for which bulge and disk together have half-light radius 1, face-on."""
    from ..simulation import half_light_radius

    one = np.ones_like(radius_ratio)
    indices = {"bulge_sersic_index": BULGE_INDEX * one, "disk_sersic_index": DISK_INDEX * one}
    radii = {"bulge_radius": radius_ratio, "disk_radius": one}
    return 1 / half_light_radius({"bulge_to_total": bulge_to_total} | radii | indices)


def _draw_colors(n: int, rng: np.random.RandomState) -> NDArray:
    """Flux in i, r, g relative to r, of bulge and disk: ``(n, 2, 3)``."""
    colors = np.array([BULGE_COLOR, DISK_COLOR]) + COLOR_SCATTER * rng.standard_normal((n, 2, 2))
    g_r, r_i = colors[..., 0], colors[..., 1]
    return 10 ** (0.4 * np.stack([r_i, np.zeros_like(r_i), -g_r], axis=-1))


def _expected_lambda_r(bulge_to_total: NDArray, cos_i: NDArray) -> NDArray:
    """λ_R of the kinematic model (Notes of `make_spin_galaxies`)."""
    v_sigma = DISK_V_SIGMA * np.sqrt((1 - cos_i**2) / (1 - ANISOTROPY * cos_i**2))
    x = 1.1 * v_sigma
    return (1 - bulge_to_total) * x / np.sqrt(1 + x**2) + bulge_to_total * BULGE_LAMBDA


def _pearson_ceiling(prior, intrinsic_scatter: float) -> float:
    """√(1 - σ²/Var λ_R), with the variance over many draws from the prior."""
    drawn = prior.draw(400_000, random_state=0)
    variance = _expected_lambda_r(drawn["bulge_to_total"], drawn["cos_inclination"]).var()
    return float(np.sqrt(variance / (variance + intrinsic_scatter**2))) if variance else 0.0


# --- the picture --------------------------------------------------------------------------------------------


def _sky(
    truth: dict[str, NDArray], colors: NDArray, bands, npix: int, noise_factor: float, rng: np.random.RandomState
) -> NDArray[np.float32]:
    """Surface brightness [nanomaggies/arcsec²] in the bands: ``(n, npix, npix, 3)``."""
    from ..simulation import render_scene

    finer = -(-LEAST_PIXELS // npix)
    pixel_scale = truth["half_light_semimajor_axis"] * FRAME / (finer * npix)
    cameras = [_on_pixels(band, pixel_scale).with_noise_factor(noise_factor) for band in bands]
    galaxies = _as_rendered(truth, colors, bands, finer * npix)
    images = render_scene(galaxies, cameras, npix=finer * npix, with_noise=noise_factor > 0, random_state=rng).numpy()
    if finer > 1:
        images = images.reshape(len(images), npix, finer, npix, finer, 3).sum(axis=(2, 4))
    flux_of_one = 10 ** (0.4 * (NANOMAGGIE - np.array([band.zero_point for band in bands])))
    return images * (flux_of_one / (finer * pixel_scale[:, None]) ** 2).astype(np.float32)[:, None, None]


def _on_pixels(band, pixel_scale: NDArray):
    """The band with other pixels, in which the noise of the sky per area is the same."""
    if band.correlation is not None:
        raise ValueError(
            "band has correlated noise; expected correlation=None, as pixels follow the galaxies' sizes."
        )
    return replace(band, pixel_scale=pixel_scale, sky_noise=band.sky_noise * pixel_scale / band.pixel_scale)


def _as_rendered(truth: dict[str, NDArray], colors: NDArray, bands, npix: int) -> dict[str, NDArray]:
    """The galaxies as `render_scene` takes them: circularized radii, offsets in pixels, light in each band."""
    n, share = len(colors), truth["bulge_to_total"]
    zero_points = np.array([band.zero_point for band in bands])
    light = np.stack([share, 1 - share], axis=1)[:, :, None] * colors
    light = light * 10 ** (0.4 * (zero_points - truth["magnitude"][:, None]))[:, None, :]
    flux = light.sum(axis=1)
    return {
        "flux": flux,
        "bulge_to_total": (light[:, 0] / flux).clip(0, 1),
        "bulge_radius": truth["bulge_semimajor_axis"] * np.sqrt(truth["bulge_axis_ratio"]),
        "disk_radius": truth["disk_semimajor_axis"] * np.sqrt(truth["axis_ratio"]),
        "bulge_sersic_index": np.full(n, BULGE_INDEX),
        "disk_sersic_index": np.full(n, DISK_INDEX),
        "bulge_axis_ratio": truth["bulge_axis_ratio"],
        "disk_axis_ratio": truth["axis_ratio"],
        "bulge_position_angle": truth["position_angle"],
        "disk_position_angle": truth["position_angle"],
        "x_offset": truth["x_offset"] * npix / FRAME,
        "y_offset": truth["y_offset"] * npix / FRAME,
    }
