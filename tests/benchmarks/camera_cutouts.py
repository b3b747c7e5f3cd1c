"""Time and peak resident memory of many cutouts with the camera of each, from one mosaic.

    python tests/benchmarks/camera_cutouts.py                                # 10⁵ cutouts, the run quoted in the docs
    python tests/benchmarks/camera_cutouts.py --cutouts 200 --side 600       # to try it out

Cutouts of 64 px with noise, mask and a stamp of 63 px, at random places of a mosaic with a variance and a mask
of its own, north up. What is too large for memory lies in temporary files (``TMPDIR``). The peak is that of the whole
process, file-backed pages included (Linux; ru_maxrss).
"""

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
from _record import record
from astropy.io import fits
from astropy.wcs import WCS

from galestim.cutouts import CutoutFetcher, FitsMosaic

SCALE = 0.2  # arcsec


def header(side: int) -> fits.Header:
    """Of a square mosaic, north up."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.crpix = ["RA---TAN", "DEC--TAN"], [150.0, 0.0], [(side + 1) / 2] * 2
    wcs.wcs.cdelt = [-SCALE / 3600, SCALE / 3600]
    return wcs.to_header()


def write_mosaic(path: Path, side: int) -> None:
    """An image with its variance and mask, as extensions."""
    rng = np.random.default_rng(0)
    image = rng.standard_normal((side, side), dtype=np.float32)
    planes = {"VARIANCE": np.ones_like(image), "MASK": (rng.random((side, side)) < 1e-4).astype(np.int16)}
    hdus = [fits.ImageHDU(plane, name=name) for name, plane in planes.items()]
    fits.HDUList([fits.PrimaryHDU(image, header(side)), *hdus]).writeto(path)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--cutouts", type=int, default=100_000)
    parser.add_argument("--side", type=int, default=4000)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    reach = (options.side / 2 - 45) * SCALE / 3600
    ra, dec = np.random.default_rng(1).uniform(-reach, reach, (2, options.cutouts))
    row, column = np.indices((41, 41)) - 20
    star = np.exp(-(row**2 + column**2) / (2 * 2.0**2))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "field.fits"
        write_mosaic(path, options.side)
        mosaic = FitsMosaic(path, hdu=0, variance="VARIANCE", mask="MASK", psf=star, gain=4.0, zero_point=27.0)
        start = time.perf_counter()
        cutouts = CutoutFetcher(mosaic, npix=64).transform({"ra": ra + 150, "dec": dec})
        seconds = time.perf_counter() - start
        missing = int(cutouts.missing().sum())
    arrays = (cutouts.images, cutouts.noise, cutouts.mask, cutouts.psf)
    record(
        options.out,
        cutouts=len(cutouts),
        missing=missing,
        seconds=round(seconds, 1),
        gibibytes_of_arrays=round(sum(array.nbytes for array in arrays) / 2**30, 3),
        peak_gibibytes=round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 3),
    )


if __name__ == "__main__":
    main()
