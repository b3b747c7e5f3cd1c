"""Posteriors learned from simulations, against aperture photometry. Data: github.com/asgr/magicaxis.

    python tests/benchmarks/real_field.py --out results.jsonl --picture field.png
    python tests/benchmarks/real_field.py --smoke        # does it run?

The field is a 2'×2' mosaic of a ground-based survey, VST_r.fits of asgr/magicaxis (0.2 arcsec per pixel), read from
../shared/data/field_kids_vista (give --data to read it elsewhere), with catalog.csv beside it: the 63 sources that
the recipe in `real_structure.py` finds. All that the simulations need is measured in it: background, noise
and how it correlates between pixels, and the point-spread function, from its stars. A model that has seen nothing but
simulations gives the posterior of each galaxy; its flux is compared with that in an aperture.

The aperture is as wide as the galaxy: three half-light radii of its isophote. Its error has three parts: the scatter
of sums over empty apertures of the same field; the photons of the source; and the light outside of the aperture,
which is what simulated galaxies of the same isophotal radius and flux have there, with its scatter. A posterior's σ
is half of its central 68.27 % interval of log flux. Two fluxes agree if their logarithms differ by less than twice
the root of the sum of both variances. Both are measured on the same pixels, so that their errors have much in common:
how often they agree, and how much they differ, if nothing is wrong is told by simulated galaxies that are added to
empty places of the same mosaic and go the same way from there.

A galaxy counts if it is isolated: found whole, resolved, and with no other source that the recipe of the catalog
finds, and no edge of the mosaic, within 4.5 arcsec or its aperture. A detector of novelties is asked about all
sources; it knows simulated galaxies that were added to other empty places.
"""

import argparse
import logging
import tempfile
import time
import warnings
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from _record import record, recorded
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS, FITSFixedWarning
from numpy.typing import NDArray
from real_structure import DATA, MIN_PIXELS, deviation, measured, segments
from scipy import fft, ndimage
from scipy.spatial import KDTree
from sklearn.metrics import roc_auc_score

from galestim import PosteriorRegressor
from galestim.cutouts import CutoutFetcher, FitsMosaic, PSFEstimate, estimate_psf
from galestim.datasets import SimulatedGalaxies
from galestim.simulation import Band, GalaxyPrior, LogUniform, Uniform, sim_v1_prior
from galestim.trust import NoveltyDetector

UNIT = 1e-12  # of the mosaic's fluxes, which are those of magnitude 0: zero point 30
GAIN = 15.9  # electrons per UNIT: the header's digits; its power of ten got lost, but follows from the survey's depth
PIXEL = 0.2  # arcsec
SIZE = 64  # pixels of a cutout
ISOLATED = 4.5  # arcsec without another source
MESH = 60  # pixels, in which the background is taken as smooth
MAX_LAG = 10  # pixels, up to which noise correlates
POINT = 0.47  # share of the light within 1.2 arcsec that is within 0.4: those with more are points
APERTURES = 3.0, 1.4, 6.0  # half-light radii; least and largest radius [arcsec]
UNDETERMINED = 3.0  # σ of the logarithm, above which a posterior of flux is not drawn
NEIGHBORS = 100  # simulated galaxies that tell what is outside of an aperture


# --- the field ----------------------------------------------------------------------------------------------


@dataclass
class Field:
    """The mosaic without its background, and what has been measured in it."""

    image: NDArray
    header: fits.Header
    catalog: Table
    pixels: NDArray  # (n, 2): x, y of the catalog
    sources: NDArray  # where there are sources
    level: float  # of the catalog's isophote
    noise: float  # standard deviation of the sky in a pixel of a cutout
    noise_spread: float = 0.0  # from place to place, of its logarithm
    correlation: NDArray | None = None  # of the noise, for lags of -MAX_LAG to MAX_LAG along rows and columns
    psf: PSFEstimate | None = None
    band: Band | None = None


def read_field(folder: Path) -> Field:
    """Subtract the background; measure noise and point-spread function."""
    with fits.open(folder / "VST_r.fits") as file:
        image, header = file[0].data.astype(float) / UNIT, file[0].header
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FITSFixedWarning)  # RADECSYS, deprecated
        wcs = WCS(header)
    catalog = Table.read(folder / "catalog.csv")
    pixels = np.transpose(wcs.all_world2pix(catalog["ra"], catalog["dec"], 0))
    sources = source_mask(image)
    image = image - background(np.where(sources, np.nan, image))
    noise = deviation(image[~sources])
    field = Field(image, header, catalog, pixels, sources, level_of(image), noise)
    field.psf = estimate_psf(image, saturation=header["SATURATE"] / UNIT)
    field.band = Band.from_images(image, psf=field.psf, pixel_scale=PIXEL, gain=GAIN, zero_point=30.0)
    field.noise, field.noise_spread, field.correlation = sky_noise(field)
    return field


def level_of(image) -> float:
    return 1.2 * deviation(image)


def source_mask(image):
    """Mark sources and what surrounds them, more of it where they are large."""
    labels = segments(image - np.median(image), level_of(image))
    mask = ndimage.binary_dilation(labels > 0, iterations=5)
    large = np.flatnonzero(np.bincount(labels.ravel())[1:] > 500) + 1
    return mask | ndimage.binary_dilation(np.isin(labels, large), iterations=20)


def background(sky):
    """Median of the `sky` in a mesh, smoothed, and interpolated between: it follows what varies over 12 arcsec."""
    n = len(sky) // MESH
    edges = np.linspace(0, len(sky), n + 1).astype(int)
    blocks = [[sky[a:b, c:d] for c, d in pairwise(edges)] for a, b in pairwise(edges)]
    mesh = np.array([[np.nanmedian(b) if np.isfinite(b).sum() > 200 else np.nan for b in row] for row in blocks])
    known = np.isfinite(mesh)
    light, weight = (ndimage.gaussian_filter(values, 0.7) for values in (np.where(known, mesh, 0.0), 1.0 * known))
    at = (np.arange(len(sky)) + 0.5) * n / len(sky) - 0.5
    places = np.meshgrid(at, at, indexing="ij")
    return ndimage.map_coordinates(np.where(known, mesh, light / weight), places, order=1, mode="nearest")


def sky_noise(field: Field, n: int = 300):
    """Level, spread and correlation of the noise in blank cutouts: they vary, and have lobes that no `Band` has."""
    blank = cut(field, *blank_places(field, n, 0))
    occupied = [ndimage.binary_dilation(others(image, field.level) > 0, iterations=3) for image in blank]
    blank[np.array(occupied)] = np.nan
    step = np.nanstd(np.diff(blank, axis=2), axis=(1, 2))  # from pixel to pixel: faint sources add nothing to it
    scaled = blank / (step / np.sqrt(np.mean(step**2)))[:, None, None]
    return np.nanstd(scaled), np.std(np.log(step)), autocorrelation(scaled)


def autocorrelation(skies):
    """Correlation of pixels of images ``(n, h, w)`` for lags up to MAX_LAG; NaN is left out."""
    known = np.isfinite(skies)
    shape = [side + MAX_LAG for side in skies.shape[1:]]
    lags = np.arange(-MAX_LAG, MAX_LAG + 1)

    def pairs(values):
        return fft.irfft2(abs(fft.rfft2(values, shape)) ** 2, shape).sum(axis=0)[np.ix_(lags, lags)]

    covariance = pairs(np.where(known, skies - np.nanmean(skies), 0)) / pairs(known.astype(float))
    return covariance / covariance[MAX_LAG, MAX_LAG]


# --- cutouts ------------------------------------------------------------------------------------------------


def cut(field: Field, ra, dec) -> NDArray:
    """Cutouts ``(n, SIZE, SIZE)``, north up, NaN outside of the mosaic."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mosaic.fits"
        fits.PrimaryHDU(field.image.astype(np.float32), field.header).writeto(path)
        fetcher = CutoutFetcher(FitsMosaic(path), npix=SIZE, pixel_scale=PIXEL, min_coverage=0.1)
        return fetcher.fit_transform(Table({"ra": ra, "dec": dec}))[..., 0].astype(float)


def noisy(field: Field, images, seeds) -> NDArray:
    """Add noise of sky and photons to images ``(n, SIZE, SIZE)``, correlated as in the field; one seed for each."""
    transfer = np.zeros((SIZE, SIZE))
    lags = np.arange(-MAX_LAG, MAX_LAG + 1)
    transfer[np.ix_(lags, lags)] = field.correlation
    transfer = np.sqrt(fft.rfft2(transfer).real.clip(0)).astype(np.float32)
    streams = [np.random.default_rng(seed) for seed in seeds]
    level = field.noise * np.exp(field.noise_spread * np.array([rng.standard_normal() for rng in streams]))
    white = np.stack([rng.standard_normal((SIZE, SIZE), dtype=np.float32) for rng in streams])
    sigma = np.sqrt(level[:, None, None] ** 2 + images.clip(0) / GAIN).astype(np.float32)
    return images + sigma * fft.irfft2(fft.rfft2(white) * transfer, (SIZE, SIZE))


def sky(field: Field, n: int, seed: int) -> NDArray:
    """Draw `n` cutouts without any source."""
    return noisy(field, np.zeros((n, SIZE, SIZE), np.float32), [(seed, i) for i in range(n)])


def complete(field: Field, images, seed: int):
    """Put noise where there is no image, and in place of sources farther than ISOLATED: images, and what is nearest.

    Nearest [arcsec] is the nearest pixel of another source, or that is missing.
    """
    distance = PIXEL * np.hypot(*offsets())
    images, nearest = images.copy(), np.empty(len(images))
    for i, noise in enumerate(sky(field, len(images), seed)):
        missing = np.isnan(images[i])
        labels = others(np.where(missing, 0, images[i]), field.level)
        nearest[i] = distance[missing | (labels > 0)].min(initial=SIZE * PIXEL / 2)
        far = labels * ~np.isin(labels, labels[distance < ISOLATED])
        images[i] = np.where(missing | ndimage.binary_dilation(far > 0, iterations=3), noise, images[i])
    return images, nearest


def others(image, level: float):
    """Label sources that are not in the middle: large enough for the catalog, or cut off by the frame."""
    labels = segments(image, level)
    frame = np.concatenate([labels[[0, -1]].ravel(), labels[:, [0, -1]].ravel()])
    counts = np.union1d(np.flatnonzero(np.bincount(labels.ravel()) >= MIN_PIXELS), frame)
    middle = labels[SIZE // 2 - 1 : SIZE // 2 + 1, SIZE // 2 - 1 : SIZE // 2 + 1].max()
    return labels * np.isin(labels, np.setdiff1d(counts, [middle]))


def offsets():
    """Offsets of a cutout's pixels from its middle: along columns and rows."""
    dy, dx = np.indices((SIZE, SIZE)) - (SIZE - 1) / 2
    return dx, dy


def share_inside(radius, dx, dy):
    """Share of each pixel within a radius, by 6 × 6 points."""
    points = (np.arange(6) + 0.5) / 6 - 0.5
    return np.mean([np.hypot(dx + a, dy + b) < radius for a in points for b in points], axis=0)


# --- simulations --------------------------------------------------------------------------------------------


class FieldGalaxies:
    """Simulated galaxies with the noise of the field, which is new in each epoch: an array to a regressor."""

    redraw, ndim = "noise", 3

    def __init__(self, field: Field, n: int, seed: int):
        self.field, self.seed = field, seed
        self.galaxies = SimulatedGalaxies(
            n, npix=SIZE, band=field.band, prior=prior(), noise_factor=0, random_state=seed
        )
        self.target, self.target_names = self.galaxies.target, self.galaxies.target_names
        self.shape, self.dtype = self.galaxies.shape, self.galaxies.dtype

    def __len__(self):
        return len(self.galaxies)

    def __getitem__(self, rows):
        rows = np.arange(len(self))[rows]
        return self.redrawn(rows.ravel(), 0)[0].reshape(*rows.shape, SIZE, SIZE)

    def redrawn(self, rows, epoch: int):
        return noisy(self.field, self.galaxies[rows], [(self.seed, epoch, row) for row in rows]), self.target[rows]


def prior() -> GalaxyPrior:
    """Galaxies of the benchmark's kind, and smaller ones, with fluxes of all sources and more."""
    return sim_v1_prior().replace(
        magnitude=Uniform(16.31, 25.24),  # fluxes of 80 to 3e5 at zero point 30
        bulge_radius=LogUniform(0.05, 1.5),
        disk_radius=LogUniform(0.1, 3.0),
        x_offset=Uniform(-1.0, 1.0),
        y_offset=Uniform(-1.0, 1.0),
    )


def trained(galaxies: FieldGalaxies, options) -> PosteriorRegressor:
    model = PosteriorRegressor(
        target_transforms=["logit", "log", "log"],
        max_epochs=options.epochs,
        device=options.device,
        random_state=options.seed,
        verbose=1,
    )
    return model.fit(galaxies, galaxies.target)


# --- aperture photometry ------------------------------------------------------------------------------------


def photometry(images, level: float) -> dict:
    """Measures of cutouts: isophotal radius [arcsec], aperture and its flux, concentration. NaN if not found."""
    dx, dy = offsets()
    scale, least, largest = APERTURES
    radius = PIXEL * np.array([measured(image, level)[0] for image in images])
    aperture = (scale * radius).clip(least, largest)
    flux, core, inner = (in_aperture(images, r / PIXEL, dx, dy) for r in (aperture, 0.4, 1.2))
    return {"radius": radius, "aperture": aperture, "flux": flux, "concentration": core / inner}


def in_aperture(images, radius, dx, dy):
    """Flux within a radius [pixels], or within one for each image."""
    if np.ndim(radius) == 0:
        return np.tensordot(images, share_inside(radius, dx, dy), 2)
    weights = (share_inside(r, dx, dy) if r > 0 else np.nan * dx for r in radius)
    return np.array([np.vdot(image, weight) for image, weight in zip(images, weights)])


class ApertureCorrection:
    """Light outside of apertures, and its scatter, from simulated galaxies that look alike."""

    def __init__(self, galaxies: FieldGalaxies, n: int):
        rows = np.arange(min(n, len(galaxies)))
        seen = photometry(galaxies[rows], galaxies.field.level)
        found = np.isfinite(seen["flux"]) & (seen["flux"] > 0)
        inside = in_aperture(galaxies.galaxies[rows[found]], seen["aperture"][found] / PIXEL, *offsets())
        self.log_outside = np.log(galaxies.target[rows[found], 2] / inside)
        self.tree = KDTree(self._place({name: values[found] for name, values in seen.items()}))

    @staticmethod
    def _place(seen):
        return np.log(np.column_stack([seen["radius"], seen["flux"].clip(1) ** 0.3]))

    def __call__(self, seen):
        """Logarithm of total over aperture flux, and its standard deviation."""
        like = self.log_outside[self.tree.query(self._place(seen), k=min(NEIGHBORS, self.tree.n))[1]]
        low, middle, high = np.quantile(like, [0.1587, 0.5, 0.8413], axis=1)
        return middle, (high - low) / 2


def totals(images, field: Field, correction: ApertureCorrection, empty) -> dict:
    """Aperture photometry, with ``total`` flux and the standard deviation of its logarithm, ``error``."""
    seen = photometry(images, field.level)
    found = np.isfinite(seen["flux"])
    outside, scatter = np.full((2, len(images)), np.nan)
    outside[found], scatter[found] = correction({name: values[found] for name, values in seen.items()})
    sky = np.interp(seen["aperture"], *empty)
    noise = np.sqrt(sky**2 + seen["flux"].clip(0) / GAIN) / seen["flux"]
    return seen | {"total": seen["flux"] * np.exp(outside), "error": np.hypot(noise, scatter), "noise": noise}


def blank_places(field: Field, n: int, seed: int):
    """Draw places, ra and dec [deg], 3 arcsec and more from sources, and with all of their cutout in the mosaic."""
    rng, half = np.random.default_rng(seed), round(3 / PIXEL)
    x, y = rng.uniform(SIZE / 2, len(field.image) - 1 - SIZE / 2, (2, 40 * n))
    free = ~ndimage.binary_dilation(field.sources, np.ones((2 * half + 1,) * 2))
    places = np.transpose([x, y])[free[y.round().astype(int), x.round().astype(int)]][:n]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FITSFixedWarning)
        return WCS(field.header).all_pix2world(places, 0).T


def empty_apertures(blank):
    """Radii [arcsec], and the scatter of sums over apertures of these in blank cutouts."""
    radii = np.linspace(APERTURES[1], APERTURES[2], 8)
    sums = [in_aperture(blank, radius / PIXEL, *offsets()) for radius in radii]
    return radii, np.array([np.sqrt(np.mean(np.square(values))) for values in sums])


# --- comparison ---------------------------------------------------------------------------------------------


def radius_and_flux(model, images, seed: int):
    """Medians ``(n, 2)`` of the posteriors, and half of the central 68.27 % intervals of the logarithms."""
    draws = model.sample_y(images.astype(np.float32), 2000, random_state=seed)[..., 1:]
    draws = np.log(draws.clip(1e-30, 1e30))  # of images unlike all that was trained on, they may go astray
    low, middle, high = np.quantile(draws, [0.1587, 0.5, 0.8413], axis=1)
    return np.exp(middle), (high - low) / 2


def agreement(model, images, aperture: dict, seed: int) -> dict:
    """Posterior and aperture side by side; ``z`` is their difference over the root of the sum of their variances."""
    middle, sigma = radius_and_flux(model, images, seed)
    difference = np.log(middle[:, 1] / aperture["total"])
    return aperture | {
        "posterior": middle,
        "sigma": sigma,
        "difference": difference,
        "z": difference / np.hypot(sigma[:, 1], aperture["error"]),
        "z_posterior": difference / sigma[:, 1],
    }


def kinds(field: Field, images, nearest, seen) -> NDArray:
    """Say of each source whether it is cut off, blended, large, a point, or else a galaxy: isolated, and whole."""
    distance = PIXEL * np.hypot(*offsets())
    cut_off = [np.isnan(image[distance < ISOLATED]).any() for image in images]
    point = seen["concentration"] > POINT
    large = ~point & (field.catalog["n_pixels"] * PIXEL**2 > np.pi * ISOLATED**2)
    alone = nearest > np.fmax(ISOLATED, seen["aperture"])
    conditions = [cut_off, large, ~alone | np.isnan(seen["radius"]), point]
    return np.select(conditions, ["cut off", "large", "blended", "point"], "galaxy")


def injected(field: Field, n: int, seed: int):
    """Add simulated galaxies to empty places of the mosaic: blank cutouts, those with galaxies, and the truth."""
    blank, nearest = complete(field, cut(field, *blank_places(field, n, seed)), seed)
    blank = blank[nearest > ISOLATED]
    galaxies = FieldGalaxies(field, len(blank), seed)
    light = galaxies.galaxies[:]
    photons = np.random.default_rng(seed).standard_normal(light.shape) * np.sqrt(light.clip(0) / GAIN)
    return blank, blank + light + photons, galaxies.target


def novelty_detector(field: Field, options) -> NoveltyDetector:
    """Learn what isolated galaxies look like, on the field's own sky: its noise is not the same everywhere."""
    _, images, _ = injected(field, options.galaxies // 5, options.seed + 4)
    return NoveltyDetector(random_state=options.seed).fit(images)


def share_that_agree(compared: dict, rows, usual: float) -> dict:
    """Shares of `rows` within 2σ: of both errors; of the posterior's alone; and of `usual`, the scatter seen in z."""
    z, alone = (np.abs(compared[name][rows]) for name in ("z", "z_posterior"))
    return {
        "n": int(np.sum(rows)),
        "agree": round(float(np.mean(z < 2)), 3),
        "agree_by_posterior_alone": round(float(np.mean(alone < 2)), 3),
        "agree_by_usual_scatter": round(float(np.mean(z < 2 * usual)), 3),
        "median_difference": round(float(np.median(compared["difference"][rows])), 3),
        "sigma": round(float(np.median(compared["sigma"][rows, 1])), 3),
        "aperture_error": round(float(np.median(compared["error"][rows])), 3),
        "outside_of_aperture": round(float(np.median(1 - (compared["flux"] / compared["total"])[rows])), 3),
    }


def run(options) -> dict:
    """Measure the field, train on simulations like it, and compare."""
    field = read_field(options.data / "field_kids_vista")
    galaxies = FieldGalaxies(field, options.galaxies, options.seed)
    start = time.perf_counter()
    model = trained(galaxies, options)
    minutes = (time.perf_counter() - start) / 60
    blank, with_galaxies, target = injected(field, options.injected, options.seed + 1)
    empty = empty_apertures(blank)
    correction = ApertureCorrection(galaxies, 5000)
    detector = novelty_detector(field, options)

    def examined(raw, seed):
        images, nearest = complete(field, raw, seed)
        compared = agreement(model, images, totals(images, field, correction, empty), options.seed)
        return images, compared | {"nearest": nearest, "novelty": -detector.decision_function(images)}

    raw = cut(field, field.catalog["ra"], field.catalog["dec"])
    images, real = examined(raw, options.seed + 2)
    kind = kinds(field, raw, real["nearest"], real)
    _, fake = examined(with_galaxies, options.seed + 3)
    counts = (fake["nearest"] > np.fmax(ISOLATED, fake["aperture"])) & (fake["concentration"] <= POINT)
    counts &= np.isfinite(fake["z"])
    usual = deviation(fake["z"][counts])
    if options.picture is not None:
        draw(options.picture, field, images, kind, real, {name: fake[name][counts] for name in fake})
    return {
        **measured_in(field, empty),
        "minutes": round(minutes, 1),
        "usual_scatter_of_z": round(usual, 3),
        "sources": dict(zip(*(values.tolist() for values in np.unique(kind, return_counts=True)))),
        "isolated": share_that_agree(real, kind == "galaxy", usual),
        "points": share_that_agree(real, kind == "point", usual),
        "injected": share_that_agree(fake, counts, usual) | against_truth(fake, target, counts),
        "disagree": field.catalog["object_id"][(kind == "galaxy") & ~(abs(real["z"]) < 2)].tolist(),
        "novelty": novelty(field, kind, real["novelty"], fake["novelty"][counts]),
        "table": table(field, kind, real),
    }


def measured_in(field: Field, empty) -> dict:
    """Properties of the field that the simulations have."""
    return {
        "noise": round(float(field.noise), 3),
        "noise_spread": round(float(field.noise_spread), 3),
        "noise_correlation": field.correlation[MAX_LAG, MAX_LAG : MAX_LAG + 5].round(3).tolist(),
        "empty_apertures": np.interp([1.4, 2.0, 3.0], *empty).round(1).tolist(),
        "band": {"sky_noise": round(field.band.sky_noise, 3), "correlation": field.band.correlation},
        "psf_fwhm": [round(PIXEL * width, 3) for width in (field.psf.fwhm, field.psf.fwhm_error)],
        "stars_in_psf": len(field.psf.stars),
    }


def against_truth(fake: dict, target, rows) -> dict:
    """Shares of injected galaxies whose true flux is within 1 and 2σ of the posterior's, and of the aperture's."""
    truth = np.log(target[rows, 2])
    posterior = (np.log(fake["posterior"][rows, 1]) - truth) / fake["sigma"][rows, 1]
    aperture = (np.log(fake["total"][rows]) - truth) / fake["error"][rows]
    return {
        f"truth_by_{name}": [round(float(np.mean(abs(z) < k)), 3) for k in (1, 2)]
        for name, z in (("posterior", posterior), ("aperture", aperture))
    }


def novelty(field: Field, kind, score, clean) -> dict:
    """Shares flagged of each kind, and the area under the curve of blended sources against isolated galaxies."""
    flagged = score > 0
    blended, alone = score[kind == "blended"], score[kind == "galaxy"]
    both = len(blended) and len(alone)
    return {
        "flagged": {str(name): f"{flagged[kind == name].sum()}/{(kind == name).sum()}" for name in np.unique(kind)},
        "flagged_injected": round(float(np.mean(clean > 0)), 3),
        "auroc_blended": round(roc_auc_score(np.r_[blended * 0 + 1, alone * 0], np.r_[blended, alone]), 3)
        if both
        else None,
        "flagged_blended": field.catalog["object_id"][flagged & (kind == "blended")].tolist(),
        "flagged_galaxies": field.catalog["object_id"][flagged & (kind == "galaxy")].tolist(),
    }


def table(field: Field, kind, real) -> list:
    """One row per source: id, kind, aperture's flux and relative error, posterior's, z, radius, whether flagged."""
    columns = real["total"], real["error"], real["posterior"][:, 1], real["sigma"][:, 1], real["z"]
    rows = np.column_stack([*columns, real["posterior"][:, 0], real["sigma"][:, 0], real["novelty"]])
    return [
        [int(number), str(name), *(None if np.isnan(value) else float(f"{value:.3g}") for value in row)]
        for number, name, row in zip(field.catalog["object_id"], kind, rows)
    ]


# --- picture ------------------------------------------------------------------------------------------------


def draw(path: Path, field: Field, images, kind, real: dict, fake: dict, n_columns: int = 8):
    """Draw posterior against aperture, who is flagged, and the galaxies themselves, from bright to faint."""
    import matplotlib.pyplot as plt

    brightness = np.argsort(-np.nan_to_num(real["posterior"][:, 1]))
    shown = [i for name in ("galaxy", "blended") for i in brightness if kind[i] == name]
    n_rows = -(-len(shown) // n_columns)
    figure = plt.figure(figsize=(13, 4.4 + 2.15 * n_rows), layout="constrained")
    top, bottom = figure.subfigures(2, 1, height_ratios=[4.4, 2.15 * n_rows])
    ratio, strip = top.subplots(1, 2, width_ratios=[2, 1])
    draw_ratio(ratio, kind, real, fake)
    draw_novelty(strip, kind, real["novelty"], fake["novelty"])
    bottom.suptitle(
        "Isolated galaxies, then blended sources. Magnitudes: by aperture (dotted), and below it by posterior, whose "
        "half-light radius is the blue circle. Orange: flagged.",
        fontsize="medium",
    )
    axes = bottom.subplots(n_rows, n_columns)
    for ax, i in zip(axes.flat, shown):
        draw_galaxy(ax, images[i] / field.noise, int(field.catalog["object_id"][i]), real, i)
    for ax in axes.flat[len(shown) :]:
        ax.set_axis_off()
    figure.savefig(path, dpi=80)
    plt.close(figure)


COLORS = {"galaxy": "#0072B2", "point": "#767676", "blended": "#D55E00"}


def draw_ratio(ax, kind, real, fake):
    ax.scatter(fake["total"], np.exp(fake["difference"]), s=6, color="0.82", label="injected galaxies", zorder=0)
    for name, color in COLORS.items():
        rows = (kind == name) & (real["sigma"][:, 1] < UNDETERMINED) & np.isfinite(real["z"])
        x, y = real["total"][rows], np.exp(real["difference"][rows])
        error = np.hypot(real["sigma"][rows, 1], real["error"][rows])
        bars = y * (1 - np.exp(-error)), y * (np.exp(error) - 1)
        label = {"galaxy": "isolated galaxies", "point": "points", "blended": "blended sources"}[name]
        ax.errorbar(x, y, bars, fmt="o", ms=4, lw=0.9, color=color, label=f"{label} ({rows.sum()})")
    ax.axhline(1, color="0.3", lw=0.8, zorder=0)
    ax.set(xscale="log", yscale="log", xlabel="total flux by aperture [10⁻¹² of magnitude 0]", ylim=(0.15, 6))
    ax.set(ylabel="flux of posterior / of aperture", yticks=[0.2, 0.5, 1, 2, 5], yticklabels=["0.2", "0.5", 1, 2, 5])
    ax.yaxis.set_minor_formatter("")
    ax.legend(frameon=False, ncols=2, loc="upper right")
    ax.set_title("Bars: 1σ of posterior and aperture together", loc="left", fontsize="medium")


def draw_novelty(ax, kind, score, clean):
    rng = np.random.default_rng(0)
    groups = {"injected": clean} | {name: score[kind == name] for name in COLORS}
    for i, (name, values) in enumerate(groups.items()):
        color = COLORS.get(name, "0.7")
        ax.scatter(i + rng.uniform(-0.25, 0.25, len(values)), values, s=9, color=color)
    ax.axhline(0, color="0.3", lw=0.8)
    ax.set_yscale("symlog", linthresh=1)
    ax.set(yticks=[-1, 0, 1, 3, 10, 30], yticklabels=["−1", "0", "1", "3", "10", "30"])
    ax.yaxis.set_minor_formatter("")
    ax.set(xticks=range(len(groups)), xticklabels=groups, ylabel="novelty")
    ax.set_title("Above the line: flagged", loc="left", fontsize="medium")


def draw_galaxy(ax, image, number: int, real: dict, i: int):
    """A cutout with its aperture and its half-light radius, above both magnitudes."""
    flagged = real["novelty"][i] > 0
    white = max(np.quantile(image, 0.998), 8)
    ax.imshow(np.arcsinh(image / 3), cmap="gray_r", vmin=np.arcsinh(-0.7), vmax=np.arcsinh(white / 3))
    ring(ax, real["aperture"][i], color="0.25", ls=":")
    ring(ax, real["posterior"][i, 0], color=COLORS["galaxy"])
    ax.set(xticks=[], yticks=[], xlim=(-0.5, SIZE - 0.5), ylim=(SIZE - 0.5, -0.5))
    for spine in ax.spines.values():
        spine.set(color=COLORS["blended"] if flagged else "0.7", linewidth=2.5 if flagged else 0.8)
    ax.text(0.04, 0.95, number, transform=ax.transAxes, va="top", fontsize="small", weight="bold")
    posterior = np.nan_to_num(real["posterior"][i, 1], nan=1.0), np.nan_to_num(real["sigma"][i, 1], nan=np.inf)
    pairs = (real["total"][i], real["error"][i]), posterior
    ax.set_xlabel("\n".join(magnitude(*pair) for pair in pairs), fontsize="small", labelpad=2)


def ring(ax, radius: float, **style):
    from matplotlib.patches import Circle

    if radius < SIZE * PIXEL:  # posteriors of images unlike all others have any; a huge circle takes forever
        ax.add_patch(Circle(((SIZE - 1) / 2, (SIZE - 1) / 2), radius / PIXEL, fill=False, lw=1, **style))


def magnitude(flux: float, log_error: float) -> str:
    if np.isnan(flux):
        return "not whole"
    return (
        f"{30 - 2.5 * np.log10(flux):.2f} ± {1.0857 * log_error:.2f}" if log_error < UNDETERMINED else "undetermined"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument(
        "--galaxies", type=int, default=20000, help="simulated for training, with new noise each epoch"
    )
    parser.add_argument("--injected", type=int, default=600, help="simulated and added to empty places of the field")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--smoke", action="store_true", help="few galaxies and epochs: does it run?")
    parser.add_argument("--out", type=Path, help="append the result to this file, unless it has one")
    parser.add_argument("--picture", type=Path, help="draw the comparison and the galaxies into this file")
    options = parser.parse_args()
    if options.smoke:
        options.galaxies, options.injected, options.epochs = 600, 60, 2
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    if not recorded(options.out):
        settings = {name: getattr(options, name) for name in ("galaxies", "epochs", "seed")}
        record(options.out, what="real_field", **settings, **run(options))


if __name__ == "__main__":
    main()
