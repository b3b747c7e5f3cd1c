"""How fast does `FitsMosaic` cut galaxies from a mosaic, in how much memory? And a contact sheet of real ones.

    python tests/benchmarks/mosaic_cutouts.py                                   # the run quoted in docs/benchmarks.md
    python tests/benchmarks/mosaic_cutouts.py --cutouts 500 --side 3000         # to try it out
    python tests/benchmarks/mosaic_cutouts.py --contact-sheet docs/_static/field_contact_sheet.png

Each method cuts all positions, drawn at random, from one float32 file of noise, in a process of its own; methods take
turns, and ratios are taken within a turn. Memory is the growth of the peak resident memory of that process, mapped pages
of the file included (Linux). The methods:

    Cutout2D   a loop over astropy.nddata.Cutout2D with SkyCoord positions, mode="partial", and a copy of the pixels: cut to
               whole pixels, not resampled
    aligned    FitsMosaic on the same file, at the celestial equator, where north is up: subpixel shifts
    turned     the same with the field at declination 60°, where north is up to 0.5° off the mosaic's axis: each
               cutout is turned

The contact sheet shows all sources of ../shared/data/field_kids_vista (give --data to read it elsewhere), each in VST r
and VISTA K on the same grid.
"""

import argparse
import multiprocessing
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from _record import record
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.nddata import Cutout2D
from astropy.wcs import WCS
from PIL import Image

from galestim.cutouts import CutoutRequest, FitsMosaic

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "field_kids_vista"
SCALE = 0.2  # arcsec
DECLINATIONS = {"Cutout2D": 0.0, "aligned": 0.0, "turned": 60.0}


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
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    total = sum(float(image[0, 0].sum()) for image in METHODS[method](path, ra, dec, npix))
    seconds = time.perf_counter() - start
    growth = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert np.isfinite(total)
    return {"cutouts_per_second": round(n / seconds), "peak_growth_megabytes": round(growth * 1024 / 1e6, 1)}


def astropy_loop(path, ra, dec, npix):
    with fits.open(path, memmap=True) as hdus:
        wcs = WCS(hdus[0].header)
        for position in SkyCoord(ra, dec, unit="deg"):
            yield Cutout2D(hdus[0].data, position, npix, wcs=wcs, mode="partial", copy=True).data


def galestim_mosaic(path, ra, dec, npix):
    requests = [CutoutRequest(*at, SCALE, npix, str(i)) for i, at in enumerate(zip(ra.tolist(), dec.tolist()))]
    return FitsMosaic(path).cutouts(requests)


METHODS = {"Cutout2D": astropy_loop, "aligned": galestim_mosaic, "turned": galestim_mosaic}


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
        rates = [turn[method]["cutouts_per_second"] for turn in turns]
        ratios = [turn[method]["cutouts_per_second"] / turn["Cutout2D"]["cutouts_per_second"] for turn in turns]
        record(
            options.out,
            what="mosaic_cutouts",
            method=method,
            cutouts=options.cutouts,
            npix=options.npix,
            mosaic_megabytes=round(4e-6 * options.side**2),
            cutouts_per_second=sorted(rates)[len(rates) // 2],
            ratio_to_Cutout2D=[round(ratio, 2) for ratio in ratios],
            peak_growth_megabytes=max(turn[method]["peak_growth_megabytes"] for turn in turns),
        )


def contact_sheet(data: Path, path: Path, npix: int = 48, columns: int = 9) -> None:
    """Draw every source of the field in both bands, in pairs: r left, K right; asinh stretch, north up, east left."""
    mosaic = FitsMosaic({"VST_r": data / "VST_r.fits", "VISTA_K": data / "VISTA_K.fits"})
    catalog = pd.read_csv(data / "catalog.csv", dtype={"object_id": str})
    requests = [CutoutRequest(row.ra, row.dec, SCALE, npix, row.object_id) for row in catalog.itertuples()]
    images = np.stack(list(mosaic.cutouts(requests)))
    middle = np.nanmedian(images, axis=(0, 1, 2))
    noise = 1.4826 * np.nanmedian(np.abs(images - middle), axis=(0, 1, 2))
    stretched = np.arcsinh((images - middle) / noise / 2) / np.arcsinh(300)
    gray = np.where(np.isnan(stretched), 64, 255 * np.clip(0.1 + stretched, 0, 1)).astype(np.uint8)
    rows = -(-len(gray) // columns)
    sheet = np.full((rows * (npix + 4), columns * (2 * npix + 8)), 255, dtype=np.uint8)
    for i, image in enumerate(gray):
        y, x = i // columns * (npix + 4), i % columns * (2 * npix + 8)
        sheet[y : y + npix, x : x + 2 * npix] = np.hstack([image[..., 0], image[..., 1]])
    Image.fromarray(sheet).quantize(32).save(path, optimize=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--cutouts", type=int, default=10_000)
    parser.add_argument("--npix", type=int, default=96)
    parser.add_argument("--side", type=int, default=10_000, help="pixels along the mosaic's side")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", help="where to put the temporary files")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--contact-sheet", type=Path, help="draw this picture, and measure nothing")
    parser.add_argument("--data", type=Path, default=DATA)
    options = parser.parse_args()
    if options.contact_sheet is not None:
        contact_sheet(options.data, options.contact_sheet)
    else:
        speed(options)


if __name__ == "__main__":
    main()
