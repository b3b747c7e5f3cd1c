"""Posteriors against catalogs. Data: github.com/asgr/magicaxis and github.com/LSSTDESC/BlendingToolKit.

    python tests/benchmarks/real_structure.py --out results.jsonl --picture pictures    # resumes where it stopped
    python tests/benchmarks/real_structure.py --only field --galaxies 300 --epochs 2    # does it run?

Two sets, of ../shared/data (give --data to read them elsewhere):

    field  field_kids_vista: VST_r.fits of asgr/magicaxis, a 2'×2' field of a ground-based survey (0.2 arcsec per
           pixel), and catalog.csv, its 63 sources as `segments` and `isophotal` below measure them
    hst    hst_cosmos: 100 galaxies of HST/ACS (F814W, 0.03 arcsec per pixel) with their point-spread functions and
           catalogs, the example stamps of LSSTDESC/BlendingToolKit

`make_galaxies` draws the training galaxies at a set's pixel scale, through the point-spread function and with the
noise, correlated between pixels, that are measured from its images. Real and simulated stamps are then treated alike,
frame and background included: a galaxy of either kind counts if the recipe of the field's catalog finds it whole, in
the middle of its stamp. --galaxies are drawn; about half of them count in the field, three quarters in hst.

Catalogs hold half-light radius and flux of light smeared by the point-spread function and, in the field, cut at an
isophote; a posterior is about all of the light, unsmeared. So it is compared twice: as it is, and as what the recipe
would measure if its draws were true ("measured"), which is learned from the simulated galaxies. No catalog has a
bulge-to-total ratio, and none is the truth. How close can be hoped for is told by the same numbers for simulated
galaxies that were not trained on.
"""

import argparse
import logging
import time
import warnings
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from _record import record, recorded
from astropy.io import fits
from astropy.nddata import Cutout2D
from astropy.table import Table
from astropy.wcs import WCS, FITSFixedWarning
from scipy import fft, ndimage
from scipy.spatial import KDTree
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline as sklearn_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from galestim import Normalizer, STNPosteriorRegressor, make_pipeline
from galestim.calibration import coverage
from galestim.datasets import make_galaxies
from galestim.displays import RegressionDisplay
from galestim.posteriors import DrawsPosterior
from galestim.simulation import Band, GalaxyPrior, ImagePSF, LogUniform, Uniform, sim_v1_prior

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
LEVELS = (0.6827, 0.9545)
MEASURED = ["half_light_radius", "flux"]  # what catalogs have; a posterior has bulge_to_total in front of them

# The recipe of the field's catalog.
SMOOTHING = 1.5  # pixels, standard deviation of a Gaussian
THRESHOLD = 1.2  # times the deviation of the pixels
MIN_PIXELS = 25

MAX_LAG = 4  # pixels, up to which neighbors share noise
OFF_CENTER = 2.0  # pixels, by which a source may miss the middle of its stamp


@dataclass
class Survey:
    """Real galaxies, and all that is needed to simulate others like them."""

    stamps: np.ndarray  # (n, size, size), NaN where there is no image
    catalog: np.ndarray  # (n, 2): half-light radius [arcsec] and flux [image units], as measured
    noise: np.ndarray  # (n,), standard deviation of the sky in a pixel
    level: np.ndarray  # (n,), of the isophote
    correlation: np.ndarray  # of the noise, for lags of -MAX_LAG to MAX_LAG along rows and columns
    psf: np.ndarray
    pixel_scale: float  # arcsec
    zero_point: float
    gain: float  # electrons per image unit
    prior: GalaxyPrior
    n_neighbors: float
    notes: dict  # to be recorded

    def only(self, kept):
        """Leave out the other galaxies."""
        per_galaxy = {name: getattr(self, name)[kept] for name in ("stamps", "catalog", "noise", "level")}
        return replace(self, **per_galaxy)


# --- reading the sets ---------------------------------------------------------------------------------------


def field(folder: Path) -> Survey:
    """Stamps of 48×48 px around the sources of the mosaic, in units of 1e-12 of the magnitude system."""
    with fits.open(folder / "VST_r.fits") as file:
        mosaic, header = 1e12 * file[0].data.astype(float), file[0].header
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FITSFixedWarning)  # RADECSYS, deprecated
        wcs = WCS(header)
    catalog = Table.read(folder / "catalog.csv")
    mosaic -= np.median(mosaic)
    level = THRESHOLD * deviation(mosaic)
    labels = segments(mosaic, level)
    numbers = np.flatnonzero(np.bincount(labels.ravel()) >= MIN_PIXELS)[1:]  # in the order of the catalog
    found = np.array([isophotal(mosaic, labels == number)[:2] for number in numbers])
    if not np.allclose(found[:, 0] * 0.2, catalog["half_light_radius"], atol=1e-3):
        raise ValueError(f"the recipe does not reproduce the radii in {folder / 'catalog.csv'}.")

    blank = ndimage.binary_dilation(labels > 0, iterations=MAX_LAG)
    sky = np.where(blank, np.nan, mosaic)
    noise = deviation(sky)
    positions = np.transpose(wcs.all_world2pix(catalog["ra"], catalog["dec"], 0))
    cut = np.isin(numbers, np.concatenate([labels[[0, -1]].ravel(), labels[:, [0, -1]].ravel()]))
    unsaturated = mosaic < header["SATURATE"] * 1e12
    stars = [
        (mosaic, labels, number, position)
        for number, position, radius, flux in zip(numbers, positions, catalog["half_light_radius"], found[:, 1])
        if radius < 0.47 and flux > 1e4 and unsaturated[labels == number].all()
    ]
    survey = Survey(
        stamps=np.stack([Cutout2D(mosaic, p, 48, mode="partial", fill_value=np.nan).data for p in positions]),
        catalog=found * [0.2, 1],  # as in the file, where fluxes are rounded to 1e3 of these units, many to 0
        noise=np.full(len(found), noise),
        level=np.full(len(found), level),
        correlation=autocorrelation(sky[None] - np.nanmedian(sky)),
        psf=stacked(stars),
        pixel_scale=0.2,
        zero_point=30.0,  # survey pixels count fluxes of magnitude 0
        gain=16.0,  # by the header's digits and the depth of the survey; its power of ten got lost
        prior=sim_v1_prior().replace(
            magnitude=Uniform(16.5, 24.8), bulge_radius=LogUniform(0.03, 3), disk_radius=LogUniform(0.1, 3)
        ),
        n_neighbors=0.4,
        notes={"catalog": len(catalog), "cut_by_the_mosaic": int(cut.sum()), "stars_in_psf": len(stars)},
    )
    return survey.only(~cut)


def hst(folder: Path) -> Survey:
    """Stamps as they are, in the middle of 64×64 px; larger ones are cropped."""
    with fits.open(folder / "real_galaxy_images_extension.fits") as file:
        stamps = [hdu.data.astype(float) for hdu in file]
    with fits.open(folder / "real_galaxy_PSF_images_extension.fits") as file:
        psf = np.mean([hdu.data / hdu.data.sum() for hdu in file], axis=0)
    table = Table.read(folder / "real_galaxy_catalog_26_extension_example.fits")
    radius = Table.read(folder / "real_galaxy_catalog_26_extension_example_fits.fits")["flux_radius"]
    noise = np.sqrt(np.asarray(table["NOISE_VARIANCE"]))
    zero_point = float(np.median(table["MAG"] + 2.5 * np.log10(table["stamp_flux"])))
    level = 1.5 * noise
    sky = [
        np.where(ndimage.binary_dilation(segments(stamp, cut) > 0, iterations=MAX_LAG), np.nan, stamp / sigma)
        for stamp, cut, sigma in zip(stamps, level, noise)
    ]
    return Survey(
        stamps=np.stack([framed(stamp, 64) for stamp in stamps]),
        catalog=np.column_stack([radius * 0.03, 10 ** (-0.4 * (table["MAG"] - zero_point))]),
        noise=noise,
        level=level,
        correlation=autocorrelation(np.stack([framed(image, max(map(len, stamps))) for image in sky])),
        psf=psf,
        pixel_scale=0.03,
        zero_point=zero_point,
        gain=2000.0,  # images count electrons per second, and are about so many seconds long
        prior=sim_v1_prior().replace(
            magnitude=Uniform(20, 26.5), bulge_radius=LogUniform(0.01, 1), disk_radius=LogUniform(0.03, 1.2)
        ),
        n_neighbors=0,
        notes={
            "catalog": len(stamps),
            "larger_than_frame": sum(len(stamp) > 64 for stamp in stamps),
            "sky_to_catalog_noise": round(float(np.median([deviation(image) for image in sky])), 3),
        },
    )


SETS = {"field": field, "hst": hst}
FOLDERS = {"field": "field_kids_vista", "hst": "hst_cosmos"}


def deviation(pixels) -> float:
    """Return the standard deviation of Gaussian pixels, from the median absolute one; NaN is left out."""
    return 1.4826 * float(np.nanmedian(abs(pixels - np.nanmedian(pixels))))


def framed(stamp, size: int):
    """`stamp` in the middle of `size` × `size` pixels: cropped, or with NaN around it."""
    frame, shared = np.full((size, size), np.nan), min(len(stamp), size)
    inner, outer = (slice((n - shared) // 2, (n + shared) // 2) for n in (len(stamp), size))
    frame[outer, outer] = stamp[inner, inner]
    return frame


def stacked(stars, half: int = 20):
    """Sum of stars, each shifted to the middle of a pixel; what belongs to other sources is left out."""
    total, weight = np.zeros((2, 2 * half + 1, 2 * half + 1))
    for mosaic, labels, number, (x, y) in stars:
        column, row = round(x), round(y)
        window = np.s_[row - half : row + half + 1, column - half : column + half + 1]
        flux = mosaic[labels == number].sum()
        own = np.isin(labels[window], [0, number])
        total += np.where(own, ndimage.shift(mosaic[window], (row - y, column - x)), 0)
        weight += flux * own
    return total / weight


# --- noise --------------------------------------------------------------------------------------------------


def autocorrelation(images):
    """Correlation of pixels of ``(n, h, w)`` images of noise with their neighbors; NaN is left out."""
    known = np.isfinite(images)
    shape = [n + MAX_LAG for n in images.shape[1:]]

    def pairs(values):
        return fft.irfft2(abs(fft.rfft2(values, shape)) ** 2, shape).sum(axis=0)

    lags = np.arange(-MAX_LAG, MAX_LAG + 1)
    covariance = (pairs(np.where(known, images, 0)) / np.maximum(pairs(known), 1))[np.ix_(lags, lags)]
    return covariance / covariance[MAX_LAG, MAX_LAG]


def correlated_noise(n: int, size: int, correlation, rng):
    """Draw `n` images of Gaussian noise of variance 1 whose pixels correlate so."""
    kernel, lags = np.zeros((size, size)), np.arange(-MAX_LAG, MAX_LAG + 1)
    kernel[np.ix_(lags, lags)] = correlation
    power = fft.fft2(kernel).real.clip(0)
    power = (power / power.mean())[:, : size // 2 + 1].astype(np.float32)
    white = rng.standard_normal((n, size, size), dtype=np.float32)
    return fft.irfft2(fft.rfft2(white) * np.sqrt(power), (size, size))


# --- the recipe of the catalog ------------------------------------------------------------------------------


def segments(image, level: float):
    """Label connected pixels above `level` in the smoothed image."""
    return ndimage.label(ndimage.gaussian_filter(image, SMOOTHING) > level)[0]


def isophotal(image, segment) -> tuple[float, float, float, float]:
    """Half-light radius [pixels], flux and center (y, x) of the light in a segment."""
    light, (y, x) = image[segment], np.nonzero(segment)
    flux = light.sum()
    center = (light @ y) / flux, (light @ x) / flux
    radius = np.hypot(y - center[0], x - center[1])
    order = np.argsort(radius)
    half = np.searchsorted(np.cumsum(light[order]), flux / 2)
    return radius[order[min(half, len(order) - 1)]], flux, *center


def without_background(image, level: float):
    """`image` less the median of the pixels outside of the sources."""
    sky = image[~ndimage.binary_dilation(segments(image, level) > 0, iterations=3)]
    return image - np.median(sky) if sky.size else image


def measured(image, level: float) -> tuple[float, float]:
    """Isophotal radius [pixels] and flux of the source in the middle; NaN if there is none, or it is cut off."""
    labels, middle = segments(image, level), (len(image) - 1) / 2
    segment = labels == labels[len(image) // 2, len(image) // 2]
    touches = segment[[0, -1]].any() or segment[:, [0, -1]].any()
    if touches or segment.sum() < MIN_PIXELS:
        return np.nan, np.nan
    radius, flux, y, x = isophotal(image, segment)
    off_center = np.hypot(y - middle, x - middle) > OFF_CENTER
    return (np.nan, np.nan) if off_center or radius == 0 else (radius, flux)


def treated(stamps, level, pixel_scale: float):
    """Subtract the background of each stamp, and measure its galaxy: images, and ``(n, 2)`` like a catalog."""
    images = np.stack([without_background(stamp, cut) for stamp, cut in zip(stamps, level)])
    values = np.array([measured(image, cut) for image, cut in zip(images, level)])
    return images.astype(np.float32), values * [pixel_scale, 1]


# --- simulations --------------------------------------------------------------------------------------------


def simulated(survey: Survey, n: int, seed: int):
    """Draw galaxies as the survey would show them: images, targets and measurements of those it would find."""
    size = survey.stamps.shape[1]
    psf = ImagePSF(survey.psf, survey.pixel_scale)
    band = Band(psf, 0, survey.pixel_scale, survey.gain, survey.zero_point)
    drawn = make_galaxies(
        n, npix=size, band=band, prior=survey.prior, n_neighbors=survey.n_neighbors, random_state=seed
    )
    rng = np.random.default_rng([seed, 1])
    like = resembling(survey, drawn.target)
    noise = survey.noise[like, None, None] * correlated_noise(n, size, survey.correlation, rng)
    stamps = np.where(np.isnan(survey.stamps[like]), 0, drawn.images) + noise
    images, values = treated(stamps, survey.level[like], survey.pixel_scale)
    kept = np.isfinite(values).all(axis=1)
    return images[kept], drawn.target[kept], values[kept]


def whole(survey: Survey, seed: int):
    """Restrict a survey to the galaxies that are found whole in their stamps: also images and measurements."""
    noise = survey.noise[:, None, None] * correlated_noise(
        *survey.stamps.shape[:2], survey.correlation, np.random.default_rng([seed, 2])
    )
    stamps = np.where(np.isnan(survey.stamps), noise, survey.stamps)
    images, values = treated(stamps, survey.level, survey.pixel_scale)
    kept = np.isfinite(values).all(axis=1)
    return survey.only(kept), images[kept], values[kept]


def resembling(survey: Survey, target):
    """Return the real galaxy nearest in flux and apparent radius to each simulated one: it lends frame and noise."""
    blur = survey.pixel_scale * half_light_radius(survey.psf)
    apparent = np.column_stack([np.hypot(target[:, 1], blur), target[:, 2]])
    return KDTree(np.log10(survey.catalog)).query(np.log10(apparent))[1]


def half_light_radius(psf) -> float:
    """Radius [pixels] that holds half of the light of a point."""
    return isophotal(psf, np.ones_like(psf, dtype=bool))[0]


def recipe_model(target, values):
    """Learn what the recipe measures, from simulated galaxies: a function of draws ``(n, s, 3)``.

    A smooth function of bulge-to-total ratio, log radius and log flux, and what it misses of the nearest galaxy.
    """
    x, y = _logarithms(target), np.log10(values)
    low, high = x.min(axis=0), x.max(axis=0)
    scaler = StandardScaler().fit(x)
    smooth = sklearn_pipeline(scaler, PolynomialFeatures(4), LinearRegression()).fit(x, y)
    missed, tree = y - smooth.predict(x), KDTree(scaler.transform(x))

    def predict(draws):
        x = _logarithms(draws.reshape(-1, 3)).clip(low, high)
        y = smooth.predict(x) + missed[tree.query(scaler.transform(x))[1]]
        return 10 ** y.reshape(*draws.shape[:2], 2)

    return predict


def _logarithms(target):
    return np.column_stack([target[:, 0], np.log10(target[:, 1:])])


# --- comparison ---------------------------------------------------------------------------------------------


def comparison(draws, values, seed: int, axes) -> dict:
    """Numbers on draws ``(n, s, 2)`` of radius and flux against `values` ``(n, 2)``, drawn into two axes."""
    low, median, high = np.log10(np.quantile(draws, [0.1587, 0.5, 0.8413], axis=1))
    held = coverage(DrawsPosterior(draws, target_names=MEASURED), values, LEVELS)
    result = {}
    for i, (name, ax) in enumerate(zip(MEASURED, axes)):
        x, y = np.log10(values[:, i]), median[:, i]
        shown = RegressionDisplay.from_predictions(x, y, target_name=f"log {name}", random_state=seed, ax=ax)
        errors = [y - low[:, i], high[:, i] - y]
        ax.errorbar(x, y, errors, fmt="none", elinewidth=0.6, color="0.6", zorder=1)
        ax.set(xlabel=f"log {name}", ylabel=f"posterior: log {name}")
        result[name] = {
            "pearson": np.round(shown.pearson[:3], 3).tolist(),  # with a bootstrap interval of 95 %
            "spearman": np.round(shown.spearman, 3).tolist(),
            "median_offset_dex": round(float(np.median(y - x)), 4),
            "scatter_dex": round(deviation(y - x), 4),
            "error_bar_dex": round(float(np.median(high[:, i] - low[:, i])) / 2, 4),
            "inside": held.coverage[:, i].round(3).tolist(),
            "inside_interval": np.column_stack([held.low, held.high])[:, i::2].round(3).tolist(),
        }
    return result


def run(name: str, options) -> dict:
    """Train on simulations of a set, and compare its posteriors with its catalog."""
    import matplotlib.pyplot as plt

    survey = SETS[name](options.data / FOLDERS[name])
    survey, real, found = whole(survey, options.seed)
    images, target, values = simulated(survey, options.galaxies, options.seed)
    test_images, test_target, test_values = simulated(survey, max(60, options.galaxies // 5), options.seed + 100)

    structure = make_pipeline(
        Normalizer("asinh"),
        STNPosteriorRegressor(
            target_transforms=["logit", "log", "log"],
            max_epochs=options.epochs,
            device=options.device,
            random_state=options.seed,
        ),
    )
    start = time.perf_counter()
    structure.fit(images, target)
    minutes = (time.perf_counter() - start) / 60

    as_recipe = recipe_model(target, values)
    draws, test_draws = (
        structure.sample_y(stamps, 1000, random_state=options.seed).clip(1e-30, 1e30)  # one epoch may go astray
        for stamps in (real, test_images)
    )
    pairs = {
        "real_vs_catalog": (draws[..., 1:], survey.catalog),
        "real_measured_vs_catalog": (as_recipe(draws), survey.catalog),
        "real_measured_vs_stamp": (as_recipe(draws), found),
        "simulated_vs_truth": (test_draws[..., 1:], test_target[:, 1:]),
        "simulated_measured_vs_stamp": (as_recipe(test_draws), test_values),
    }
    figure, axes = plt.subplots(len(pairs), 2, figsize=(10, 5 * len(pairs)), layout="constrained")
    compared = {}
    for (what, pair), row in zip(pairs.items(), axes):
        compared[what] = comparison(*pair, options.seed, row)
        row[0].set_title(f"{name}: {what.replace('_', ' ')}")
    if options.picture is not None:
        options.picture.mkdir(parents=True, exist_ok=True)
        figure.savefig(options.picture / f"{name}.png", dpi=100)
        side_by_side(real, found, images, values, np.median(survey.noise)).savefig(
            options.picture / f"{name}_stamps.png", dpi=100
        )
    plt.close("all")
    recipe_to_catalog = np.log10(found / survey.catalog)
    return {
        **survey.notes,
        "used": len(real),
        "drawn": options.galaxies,
        "trained": len(images),
        "tested": len(test_images),
        "noise": float(f"{np.median(survey.noise):.3g}"),
        "noise_correlation": survey.correlation[MAX_LAG, MAX_LAG:].round(3).tolist(),
        "psf_half_light_radius": round(survey.pixel_scale * half_light_radius(survey.psf), 4),
        "zero_point": round(survey.zero_point, 3),
        "stamp_to_catalog_dex": np.median(recipe_to_catalog, axis=0).round(4).tolist(),
        "stamp_to_catalog_scatter_dex": [round(deviation(column), 4) for column in recipe_to_catalog.T],
        "bulge_to_total_std": [round(float(np.median(d[..., 0].std(axis=1))), 3) for d in (draws, test_draws)],
        **compared,
        "minutes": round(minutes, 1),
    }


def side_by_side(real, found, images, values, noise: float, n: int = 10):
    """Draw real stamps from bright to faint, each above a simulated galaxy that measures about the same."""
    import matplotlib.pyplot as plt

    order = np.argsort(-found[:, 1])[np.linspace(0, len(found) - 1, n).astype(int)]
    nearest = KDTree(np.log10(values)).query(np.log10(found[order]))[1]
    figure, axes = plt.subplots(2, n, figsize=(1.6 * n, 3.6), layout="constrained")
    for column, (i, j) in zip(axes.T, zip(order, nearest)):
        for ax, image in zip(column, (real[i], images[j])):
            ax.imshow(np.arcsinh(image / noise), origin="lower", cmap="gray", vmin=-2, vmax=7)
            ax.set(xticks=[], yticks=[])
    axes[0, 0].set_ylabel("real")
    axes[1, 0].set_ylabel("simulated")
    return figure


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--only", nargs="+", default=list(SETS), choices=list(SETS))
    parser.add_argument("--galaxies", type=int, default=5000, help="drawn for training; those that count are used")
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path, help="append results to this file, and skip what it has")
    parser.add_argument("--picture", type=Path, help="draw the comparison and some stamps into this folder")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")

    done = {row["set"] for row in recorded(options.out)}
    for name in [name for name in options.only if name not in done]:
        settings = {"epochs": options.epochs, "seed": options.seed}
        record(options.out, what="real_structure", set=name, **settings, **run(name, options))


if __name__ == "__main__":
    main()
