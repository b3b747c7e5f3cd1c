"""Speed, memory and precision of `FitsMosaic`. Data, for --contact-sheet alone: github.com/asgr/magicaxis.

    python tests/benchmarks/mosaic_cutouts.py                               # the run quoted in docs/benchmarks.md
    python tests/benchmarks/mosaic_cutouts.py --cutouts 500 --side 3000     # to try it out
    python tests/benchmarks/mosaic_cutouts.py --kernels                     # the table in `resample_onto`
    python tests/benchmarks/mosaic_cutouts.py --contact-sheet docs/_static/field_contact_sheet.png

Speed: each method cuts all positions, drawn at random, from one float32 file of noise, in a process of its own;
methods take turns, and ratios are taken within a turn, by wall clock and by processor time (which other processes on
the machine disturb less). Memory is the growth of that process's peak resident memory, mapped pages of the file
included (Linux).

    Cutout2D   a loop over astropy.nddata.Cutout2D with SkyCoord positions made beforehand, mode="partial", and a copy
               of the pixels: cut to whole pixels, not resampled
    row by row the same, with each SkyCoord made in the loop, as one reads a catalog
    aligned    FitsMosaic on the same file, at the celestial equator, where north is up: subpixel shifts
    turned     the same with the field at declination 60°, where north is up to 0.5° off the mosaic's axis: cutouts
               are turned

Kernels: pixel-integrated Gaussians at 16 subpixel positions, shifted to the middle, and turned by 30°; white noise
shifted by half a pixel along both axes; a single hot pixel; larger pixels, by samples of the spline and by exact
area weights.

The contact sheet shows all sources of ../shared/data/field_kids_vista (give --data to read it elsewhere), each in
VST r and VISTA K on the same grid: VST_r.fits and VISTA_K.fits of asgr/magicaxis, with a catalog.csv that has the
columns object_id, ra and dec.
"""

import argparse
import multiprocessing
import resource
import tempfile
import time
from itertools import product
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd
from _record import record
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.nddata import Cutout2D
from astropy.wcs import WCS
from PIL import Image
from scipy.ndimage import map_coordinates
from scipy.special import erf

from galestim.cutouts import CutoutRequest, FitsMosaic
from galestim.cutouts._resample import _SPACING, _sample_grid, _sample_points

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "field_kids_vista"
SCALE = 0.2  # arcsec
DECLINATIONS = {"Cutout2D": 0.0, "row by row": 0.0, "aligned": 0.0, "turned": 60.0}


def header(side: int, dec: float) -> fits.Header:
    """Give a TAN header of a square mosaic."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.crpix = ["RA---TAN", "DEC--TAN"], [150.0, dec], [(side + 1) / 2] * 2
    wcs.wcs.cdelt = [-SCALE / 3600, SCALE / 3600]
    return wcs.to_header()


def write_mosaic(path: Path, side: int, dec: float) -> None:
    """Write `side`² pixels of noise, some rows at a time."""
    rng = np.random.default_rng(0)
    head = fits.Header({"SIMPLE": True, "BITPIX": -32, "NAXIS": 2, "NAXIS1": side, "NAXIS2": side})
    head.update(header(side, dec))
    stream = fits.StreamingHDU(path, head)
    for rows in np.array_split(np.arange(side), max(1, side // 256)):
        stream.write(rng.normal(size=(len(rows), side)).astype(np.float32))
    stream.close()


def positions(side: int, n: int, npix: int, dec: float):
    """Draw positions that are covered: ra, dec [deg]."""
    pixels = np.random.default_rng(1).uniform(npix, side - npix, (n, 2))
    return WCS(header(side, dec)).all_pix2world(pixels, 0).T


def measure(method: str, path: Path, side: int, n: int, npix: int) -> dict:
    """Cut everything; give cutouts per second and the growth of the peak memory [MB]."""
    ra, dec = positions(side, n, npix, DECLINATIONS[method])
    list(METHODS[method](path, ra[:2], dec[:2], npix))  # what is made once per process is not counted
    before, start, start_cpu = peak(), time.perf_counter(), time.process_time()
    total = sum(float(image[0, 0].sum()) for image in METHODS[method](path, ra, dec, npix))
    seconds, cpu_seconds, growth = time.perf_counter() - start, time.process_time() - start_cpu, peak() - before
    assert np.isfinite(total)
    return {"seconds": seconds, "cpu_seconds": cpu_seconds, "growth": growth}


def peak() -> float:
    """Peak resident memory of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def astropy_rows(path, ra, dec, npix):
    return astropy_loop(path, ra, dec, npix, (SkyCoord(*at, unit="deg") for at in zip(ra, dec)))


def astropy_loop(path, ra, dec, npix, at=None):
    with fits.open(path, memmap=True) as hdus:
        wcs = WCS(hdus[0].header)
        for position in SkyCoord(ra, dec, unit="deg") if at is None else at:
            yield Cutout2D(hdus[0].data, position, npix, wcs=wcs, mode="partial", copy=True).data


def galestim_mosaic(path, ra, dec, npix):
    requests = [CutoutRequest(*at, SCALE, npix, str(i)) for i, at in enumerate(zip(ra.tolist(), dec.tolist()))]
    return FitsMosaic(path).cutouts(requests)


METHODS = {
    "Cutout2D": astropy_loop,
    "row by row": astropy_rows,
    "aligned": galestim_mosaic,
    "turned": galestim_mosaic,
}


def speed(options) -> None:
    processes = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        path = {dec: Path(folder) / f"mosaic_{dec:.0f}.fits" for dec in set(DECLINATIONS.values())}
        turns = []
        for dec, file in path.items():
            write_mosaic(file, options.side, dec)
        for _ in range(options.repeats):
            turn = {}
            for method in METHODS:
                with processes.Pool(1) as pool:
                    arguments = method, path[DECLINATIONS[method]], options.side, options.cutouts, options.npix
                    turn[method] = pool.apply(measure, arguments)
            turns.append(turn)
    for method in METHODS:
        mine, reference = ([turn[name] for turn in turns] for name in (method, "Cutout2D"))
        ratios = {
            key: [round(theirs[key] / own[key], 2) for own, theirs in zip(mine, reference)]
            for key in ("seconds", "cpu_seconds")
        }
        record(
            options.out,
            what="mosaic_cutouts",
            method=method,
            cutouts=options.cutouts,
            npix=options.npix,
            mosaic_megabytes=round(4e-6 * options.side**2),
            cutouts_per_second=round(options.cutouts / median(turn["seconds"] for turn in mine)),
            times_as_fast_as_Cutout2D=ratios["seconds"],
            by_processor_time=ratios["cpu_seconds"],
            peak_growth_megabytes=round(max(turn["growth"] for turn in mine), 1),
        )


def keys(x):
    x = np.abs(x)
    inner, outer = 1.5 * x**3 - 2.5 * x**2 + 1, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x < 1, inner, np.where(x < 2, outer, 0))


def lanczos(a):
    return lambda x: np.where(np.abs(x) < a, np.sinc(x) * np.sinc(x / a), 0)


def separable(kernel, reach):
    """Interpolate with a kernel along each axis, its weights normalized."""

    def interpolate(image, y, x):
        weights, taps = [], np.arange(1 - reach, reach + 1)
        for p in (y, x):
            w = kernel((p - np.floor(p))[..., None] - taps)
            weights.append(w / w.sum(axis=-1, keepdims=True))
        rows, columns = (np.floor(p).astype(int)[..., None] + taps for p in (y, x))
        return np.einsum("...ij,...i,...j->...", image[rows[..., :, None], columns[..., None, :]], *weights)

    return interpolate


def spline(order):
    return lambda image, y, x: map_coordinates(image, [y, x], order=order, mode="mirror")


KERNELS = {
    "linear": spline(1),
    "Keys cubic": separable(keys, 2),
    "cubic B-spline": spline(3),
    "quintic B-spline": spline(5),
    "galestim": _sample_points,
    "Lanczos 3": separable(lanczos(3), 3),
    "Lanczos 5": separable(lanczos(5), 5),
}


def gaussian(n: int, y: float, x: float, fwhm: float) -> np.ndarray:
    """Flux of a Gaussian of total flux 1 on each of n² pixels."""
    edges, sigma = np.arange(n + 1) - 0.5, fwhm / np.sqrt(8 * np.log(2))
    return np.outer(*(np.diff(erf((edges - center) / sigma / np.sqrt(2))) / 2 for center in (y, x)))


def kernels(options) -> None:
    n, middle, c, s = 80, 40, np.cos(np.radians(30)), np.sin(np.radians(30))
    dy, dx = np.mgrid[-20:21, -20:21].astype(float)
    offsets = [(a, b) for a in np.arange(4) / 4 - 0.5 for b in np.arange(4) / 4 - 0.5]
    noise = np.random.default_rng(0).normal(size=(256, 256))
    hot = np.zeros((n, n))
    hot[middle, middle] = 1
    grids = {"shifted": (dy, dx), "turned": (c * dy - s * dx, s * dy + c * dx)}

    def resampled(interpolate, fwhm, grid):
        y, x = grids[grid]
        for a, b in offsets:
            yield interpolate(gaussian(n, middle + a, middle + b, fwhm), y + middle + a, x + middle + b)

    for name, interpolate in KERNELS.items():
        exact = {fwhm: gaussian(41, 20, 20, fwhm) for fwhm in (2.0, 2.4, 3.5)}
        worst = {
            fwhm: max(np.abs(image - truth).max() for image in resampled(interpolate, fwhm, "shifted")) / truth.max()
            for fwhm, truth in exact.items()
        }
        images = [image for grid in grids for image in resampled(interpolate, 2.0, grid)]
        record(
            options.out,
            what="kernels",
            kernel=name,
            worst_pixel_for_fwhm={fwhm: float(f"{error:.1e}") for fwhm, error in worst.items()},
            flux_error=float(f"{max(abs(image.sum() - 1) for image in images):.0e}"),
            centroid_error=float(f"{max(abs((image * d).sum()) for image in images for d in (dy, dx)):.0e}"),
            noise_left=round(float(interpolate(noise, *(np.mgrid[20:236, 20:236] + 0.5)).std()), 2),
            undershoot=round(float(-interpolate(hot, *(np.mgrid[-40:41, -40:41] / 10 + middle)).min()), 2),
        )


def area_weights(center: float, ratio: float, m: int, n: int) -> np.ndarray:
    """Length of each of `n` pixels in each of `m` larger ones around a center."""
    edges, pixels = center + ((np.arange(m + 1) - m / 2) * ratio)[:, None], np.arange(n)
    return np.maximum(np.minimum(edges[1:], pixels + 0.5) - np.maximum(edges[:-1], pixels - 0.5), 0)


def larger_pixels(options) -> None:
    n, offsets = 200, 100 + np.arange(4) / 4 - 0.5
    for ratio, fwhm in product((1.2, 1.5, 2.0, 2.7, 5.0), (2.0, 3.5)):
        m, n_samples = int(60 / ratio) // 2 * 2 + 1, int(np.ceil(ratio / _SPACING))
        exact = gaussian(m, (m - 1) / 2, (m - 1) / 2, fwhm / ratio)
        samples = (np.arange(m * n_samples) + 0.5 - m * n_samples / 2) * ratio / n_samples
        found = {"area weights": [], "galestim": []}
        for y, x in product(offsets, offsets):
            image = gaussian(n, y, x, fwhm).astype(np.float32)
            found["area weights"].append(area_weights(y, ratio, m, n) @ image @ area_weights(x, ratio, m, n).T)
            found["galestim"].append(ratio**2 * _sample_grid(image, y + samples, x + samples, n_samples))
        for name, images in found.items():
            record(
                options.out,
                what="larger_pixels",
                method=name,
                times_as_large=ratio,
                fwhm=fwhm,
                worst_pixel=float(f"{max(np.abs(one - exact).max() for one in images) / exact.max():.1e}"),
                flux_error=float(f"{max(abs(one.sum() - 1) for one in images):.0e}"),
            )


def contact_sheet(data: Path, path: Path, npix: int = 48, columns: int = 9) -> None:
    """Draw every source of the field in both bands, in pairs: r left, K right; asinh stretch, north up, east left."""
    mosaic = FitsMosaic({"VST_r": data / "VST_r.fits", "VISTA_K": data / "VISTA_K.fits"})
    catalog = pd.read_csv(data / "catalog.csv", dtype={"object_id": str})
    requests = [CutoutRequest(row.ra, row.dec, SCALE, npix, row.object_id) for row in catalog.itertuples()]
    images = np.stack(list(mosaic.cutouts(requests)))
    middle = np.nanmedian(images, axis=(0, 1, 2))
    noise = 1.4826 * np.nanmedian(np.abs(images - middle), axis=(0, 1, 2))
    stretched = np.arcsinh((images - middle) / noise) / np.arcsinh(200) + 0.12
    gray = np.where(np.isnan(stretched), 3, np.clip(stretched, 0, 1) * 15).astype(
        np.uint8
    )  # 16 levels make a small file
    rows = -(-len(gray) // columns)
    sheet = np.full((rows * (npix + 4), columns * (2 * npix + 9)), 15, dtype=np.uint8)
    for i, (r, k) in enumerate(np.moveaxis(gray, -1, 1)):
        y, x = i // columns * (npix + 4), i % columns * (2 * npix + 9)
        sheet[y : y + npix, x : x + 2 * npix + 1] = np.hstack([r, np.full((npix, 1), 15), k])
    Image.fromarray(sheet * 17).resize((2 * sheet.shape[1], 2 * sheet.shape[0]), Image.Resampling.NEAREST).save(
        path, optimize=True
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--cutouts", type=int, default=10_000)
    parser.add_argument("--npix", type=int, default=96)
    parser.add_argument("--side", type=int, default=10_000, help="pixels along the mosaic's side")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", help="where to put the temporary files")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--kernels", action="store_true", help="compare kernels of interpolation instead")
    parser.add_argument("--contact-sheet", type=Path, help="draw this picture, and measure nothing")
    parser.add_argument("--data", type=Path, default=DATA)
    options = parser.parse_args()
    if options.contact_sheet is not None:
        contact_sheet(options.data, options.contact_sheet)
    elif options.kernels:
        kernels(options)
        larger_pixels(options)
    else:
        speed(options)


if __name__ == "__main__":
    main()
