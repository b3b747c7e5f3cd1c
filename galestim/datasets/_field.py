"""A simulated field: galaxies whose structure is known, on one image with a WCS, and their catalog."""

from __future__ import annotations

import os
from collections.abc import Iterator
from numbers import Integral, Real
from pathlib import Path

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import QTable
from astropy.wcs import WCS
from numpy.typing import NDArray
from scipy.special import gamma, gammaincinv
from sklearn.utils import Bunch, check_random_state, gen_batches

from .._io.files import written_whole
from .._sklearn import Interval, validate_params
from .._tangent import tangent_header
from ._population import TARGET_NAMES, checked_band, checked_prior, draw_galaxies

EDGE = 70.0  # pixels without centers; so much a cutout of 96 pixels needs in any orientation
FAINT, FAINTEST = 0.01, 1e-7  # what a pixel outside of a stamp lacks: of the sky noise, or of the galaxy's flux
POINT_REACH = 96  # pixels to which a point is followed
BATCH_PIXELS = 2**22  # of stamps drawn together
UNITS = {"ra": u.deg, "dec": u.deg, "radius": u.arcsec, "magnitude": u.mag, "angle": u.deg, "x": u.pix, "y": u.pix}


@validate_params(
    {
        "n_samples": [Interval(Integral, 1, None, closed="left")],
        "shape": ["array-like"],
        "band": "no_validation",
        "prior": "no_validation",
        "center": ["array-like"],
        "rotation": [Interval(Real, None, None, closed="neither")],
        "path": [str, os.PathLike, None],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def make_sky(
    n_samples=100,
    *,
    shape=(1000, 1000),
    band=None,
    prior=None,
    center=(150.0, 2.0),
    rotation=0.0,
    path=None,
    random_state=None,
):
    """Draw one image of a field of galaxies whose structure is known, with its WCS and a catalog.

    It is what a survey delivers, a mosaic to cut galaxies from by their positions on the sky, together with what no
    survey has: the truth.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    n_samples : int, default=100
        Number of galaxies.
    shape : (height, width), default=(1000, 1000)
        Of the image [pixels].
    band : Band or None, default=None
        The camera: pixels, point-spread function, noise and zero point. None is ``hsc_like("i")``; one with
        ``sky_noise=0`` and without a gain draws a noiseless image.
    prior : GalaxyPrior or None, default=None
        What the galaxies are like; its offsets are not used. None is that of the simulated benchmark,
        ``sim_v1_prior()``.
    center : (ra, dec), default=(150.0, 2.0)
        Position of the middle of the image, ICRS [deg].
    rotation : float, default=0.0
        Position angle of the image's columns, from north through east [deg]. 0: north is up, east is left.
    path : str, path-like or None, default=None
        Where to write the image as a FITS file; an older file is replaced.
    random_state : int, RandomState instance or None, default=None
        Determines the galaxies, their positions and the noise, each by itself.

    Returns
    -------
    sky : :class:`~sklearn.utils.Bunch`
        image : ndarray of shape (height, width), float32
            Flux in each pixel [image units]. As in FITS files, row 0 is the lowest: south, if not rotated. An
            `ImagePSF` is in this orientation.
        wcs : :class:`astropy.wcs.WCS`
            Tangent-plane projection, without distortion.
        header : :class:`astropy.io.fits.Header`
            The WCS, zero point and gain.
        catalog : :class:`astropy.table.QTable` of n_samples rows
            ``ra``, ``dec`` [deg]; ``bulge_to_total``; ``half_light_radius`` [arcsec] of bulge and disk together,
            circularized; ``flux`` [image units], all out to infinity; ``magnitude``; the other parameters of
            :func:`~galestim.simulation.render`, with position angles from north through east at the galaxy [deg]; and
            ``x`` and ``y``, where it is on the image [pixels, along columns and rows; the center of the first is 0].
        path : str, path-like or None
            As passed.
        DESCR : str
            This description.

    Raises
    ------
    ValueError
        If `shape`, `center`, `band` or `prior` are not what they should be, or the point-spread function is too sharp
        for the pixels.

    See Also
    --------
    make_galaxies : The same galaxies, an image each.
    galestim.cutouts.FitsMosaic : Cuts galaxies from the file.
    galestim.testing.GaussianSky : A sky whose light at any position is a formula.

    Notes
    -----
    Positions are uniform on the image, but not within 70 pixels (a third of the side, if less) of its edges, so that
    cutouts of 96 pixels are whole. Some galaxies overlap, as on the sky.

    Galaxies are drawn by :func:`~galestim.simulation.render` at their subpixel positions, each on a stamp outside of
    which it adds less to a pixel than 1 % of the noise of the sky (or 1e-7 of its flux, if that is more). The noise
    is that of the sky and of the photons of all galaxies together.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> from galestim.cutouts import CutoutFetcher, FitsMosaic
    >>> from galestim.datasets import make_sky
    >>> sky = make_sky(20, shape=(500, 600), path=mkdtemp() + "/field_i.fits", random_state=0)
    >>> sky.image.shape, sky.catalog["magnitude"][:2].round(2), sky.catalog["half_light_radius"][:2].round(2)
    ((500, 600), <Quantity [19.41, 21.72] mag>, <Quantity [0.82, 1.14] arcsec>)
    >>> CutoutFetcher(FitsMosaic(sky.path), npix=96).fit_transform(sky.catalog).shape
    (20, 96, 96, 1)
    """
    band, prior = checked_band(band), checked_prior(prior)
    height, width = _check_shape(shape)
    header = _header(_check_center(center), (height, width), band, rotation)
    wcs = WCS(header)
    wcs.array_shape = height, width
    rng = check_random_state(random_state)
    galaxies = draw_galaxies(prior, n_samples, band, rng)
    place_rng, noise_rng = (np.random.RandomState(seed) for seed in rng.randint(2**31, size=2))
    sides = np.array([[width], [height]])
    margin = np.minimum(EDGE, sides / 3) - 0.5
    x, y = margin + (sides - 1 - 2 * margin) * place_rng.random_sample((2, n_samples))

    image = _draw(galaxies, x, y, wcs, (height, width), band)
    noisy = band.add_noise(image[None], random_state=noise_rng)
    sky = Bunch(
        image=noisy[0].numpy(),
        wcs=wcs,
        header=header,
        catalog=_catalog(galaxies, x, y, wcs),
        path=path,
        DESCR=make_sky.__doc__,
    )
    if path is not None:
        with written_whole(Path(path).expanduser()) as file:
            fits.PrimaryHDU(sky.image, header).writeto(file)
    return sky


# --- checks -----------------------------------------------------------------------------------------------


def _check_shape(shape) -> tuple[int, int]:
    sides = list(shape)
    if len(sides) != 2 or not all(isinstance(side, Integral) and int(side) > 0 for side in sides):
        raise ValueError(f"shape={shape!r}; expected (height, width), in pixels.")
    return int(sides[0]), int(sides[1])


def _check_center(center) -> tuple[float, float]:
    try:
        ra, dec = (float(value) for value in center)
        valid = np.isfinite(ra) and -90 <= dec <= 90
    except (TypeError, ValueError):
        valid = False
    if not valid:
        raise ValueError(f"center={center!r}; expected (ra, dec) in degrees, with dec in [-90, 90].")
    return ra % 360, dec


# --- the sky ------------------------------------------------------------------------------------------------


def _header(center: tuple[float, float], shape: tuple[int, int], band, rotation: float) -> fits.Header:
    """The header of the mosaic; its columns are at position angle `rotation`."""
    header = tangent_header(*center, shape, band.pixel_scale)
    step, sine, cosine = band.pixel_scale / 3600, np.sin(np.radians(rotation)), np.cos(np.radians(rotation))
    header["CD1_1"], header["CD1_2"] = -step * cosine, step * sine
    header["CD2_1"], header["CD2_2"] = step * sine, step * cosine
    header["BUNIT"] = ("flux/pixel", "in units of the zero point")
    header["MAGZPT"] = (band.zero_point, "[mag] of a flux of 1")
    if band.gain is not None:
        header["GAIN"] = (band.gain, "electrons per flux of 1")
    return header


def _catalog(galaxies: dict[str, NDArray], x: NDArray, y: NDArray, wcs: WCS) -> QTable:
    """Table of the galaxies' positions and of all that is true of them."""
    ra, dec = wcs.all_pix2world(x, y, 0)
    columns = {"ra": ra, "dec": dec} | {name: galaxies[name] for name in (*TARGET_NAMES, "magnitude")}
    columns |= {name: values for name, values in galaxies.items() if not name.endswith("offset")}
    columns |= {"x": x, "y": y}
    units = {name: UNITS.get(name.rpartition("_")[2]) for name in columns}
    return QTable({name: values if units[name] is None else values * units[name] for name, values in columns.items()})


# --- the picture --------------------------------------------------------------------------------------------


def _draw(galaxies: dict[str, NDArray], x: NDArray, y: NDArray, wcs: WCS, shape: tuple[int, int], band):
    """The noiseless mosaic, with galaxies added as stamps: a tensor ``(height, width)``."""
    from ..simulation import render

    column, row = np.rint(x).astype(int), np.rint(y).astype(int)
    drawn = galaxies | {"x_offset": x - column, "y_offset": y - row}
    north = _angle_of_north(x, y, wcs)
    for name in ("bulge_position_angle", "disk_position_angle"):
        drawn[name] = -(galaxies[name] + north)  # `render` takes the first row as the uppermost
    image = None
    for half, rows in _stamps(drawn, shape, band):
        some = {name: values[rows] for name, values in drawn.items()}
        stamps = render(some, npix=2 * half + 1, pixel_scale=band.pixel_scale, psf=band.psf)
        image = stamps.new_zeros(shape) if image is None else image
        for stamp, bottom, left in zip(stamps, row[rows] - half, column[rows] - half):
            _add(image, stamp, bottom, left)
    return image


def _angle_of_north(x: NDArray, y: NDArray, wcs: WCS) -> NDArray:
    """From the columns' upward direction to north at these pixels, counterclockwise [deg]."""
    place = SkyCoord(*wcs.all_pix2world(x, y, 0), unit="deg")
    beyond = place.directional_offset_by(0 * u.deg, 1 * u.arcsec)
    dx, dy = np.subtract(wcs.all_world2pix(beyond.ra.deg, beyond.dec.deg, 0), [x, y])
    return np.degrees(np.arctan2(-dx, dy))


def _stamps(galaxies: dict[str, NDArray], shape: tuple[int, int], band) -> Iterator[tuple[int, NDArray]]:
    """Half sides of stamps, of which there are few, and which galaxies are to be drawn on these."""
    faint = np.maximum(FAINT * band.sky_noise, FAINTEST * galaxies["flux"])
    reach = np.maximum(*(_profile_reach(galaxies, name, faint, band.pixel_scale) for name in ("bulge", "disk")))
    reach = np.minimum(np.maximum(reach, 1) + _point_reach(galaxies, faint / galaxies["flux"], band), max(shape))
    halves = np.ceil(2 ** (np.ceil(2 * np.log2(reach)) / 2)).astype(int)
    for half in np.unique(halves):
        rows = np.flatnonzero(halves == half)
        for batch in gen_batches(len(rows), max(1, BATCH_PIXELS // (2 * half + 1) ** 2)):
            yield int(half), rows[batch]


def _profile_reach(galaxies: dict[str, NDArray], name: str, faint: NDArray, pixel_scale: float) -> NDArray:
    """Semi-major axis [pixels] where a Sérsic profile is `faint` (Graham & Driver 2005, equations 1 and 4)."""
    n, axis_ratio = galaxies[f"{name}_sersic_index"], galaxies[f"{name}_axis_ratio"]
    share = galaxies["bulge_to_total"] if name == "bulge" else 1 - galaxies["bulge_to_total"]
    radius, b = galaxies[f"{name}_radius"] / pixel_scale, gammaincinv(2 * n, 0.5)
    peak = galaxies["flux"] * share * b ** (2 * n) / (2 * np.pi * n * gamma(2 * n) * radius**2)
    return radius / np.sqrt(axis_ratio) * (np.log(np.maximum(peak / faint, 1)) / b) ** n


def _point_reach(galaxies: dict[str, NDArray], share: NDArray, band) -> NDArray:
    """Distance [pixels] after which pixels of a point hold less than a `share` of its flux."""
    from ..simulation import render

    tiny = {"flux": 1.0, "bulge_radius": 1e-3 * band.pixel_scale, "disk_radius": 1e-3 * band.pixel_scale}
    point = {name: values[:1] for name, values in galaxies.items()}
    point |= {name: np.array([value]) for name, value in (tiny | {"x_offset": 0.0, "y_offset": 0.0}).items()}
    image = render(point, npix=2 * POINT_REACH + 1, pixel_scale=band.pixel_scale, psf=band.psf)[0].abs().numpy()
    along = np.maximum(image[POINT_REACH, POINT_REACH:], image[POINT_REACH:, POINT_REACH])
    outside = np.maximum.accumulate(along[::-1])  # the brightest pixel from the end inwards
    return POINT_REACH + 1 - np.searchsorted(outside, share)


def _add(image, stamp, bottom: int, left: int) -> None:
    """Add to `image` what of `stamp` is on it."""
    (height, width), npix = image.shape, len(stamp)
    down, right = max(-bottom, 0), max(-left, 0)
    part = stamp[down : min(npix, height - bottom), right : min(npix, width - left)]
    image[bottom + down :, left + right :][: part.shape[0], : part.shape[1]] += part
