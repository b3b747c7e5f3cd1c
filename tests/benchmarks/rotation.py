"""Posteriors of galaxies that are turned: how far their modes move.

    python tests/benchmarks/rotation.py --out results.jsonl      # the row quoted in docs/benchmarks.md
    python tests/benchmarks/rotation.py --smoke                  # does it run?

Galaxies of galestim-sim-v2 with a signal-to-noise ratio above 50 and round stars, in images of 96×96 px at 36 angles:
drawn anew at each, with their noise turned as a band-limited field; and noisy images, turned by spline interpolation
of order 3, as an augmentation or another survey's resampling would do it. What is told of the camera stays. Reported
of each target: by how much the mode, and the median, at an angle differs from that of the image as it was, in percent
(B/T: in hundredths); the median over galaxies and angles, and the 90th percentile.
"""

import argparse
from pathlib import Path

import _model
import numpy as np
from _record import record
from scipy import ndimage

from galestim.datasets import SimulatedGalaxies
from galestim.simulation import render, sim_v2_cameras, sim_v2_prior
from galestim.simulation._radial import profile_of

NPIX, LEAST, SEED = 96, 50.0, 51
TARGETS = {"median": 1.0, "90 %": 5.0}  # percent
PERCENTILES = {"median": 50, "90 %": 90}
FINE = 4  # points of a band-limited field per pixel


def galaxies(n: int) -> SimulatedGalaxies:
    """Galaxies with round stars."""
    return SimulatedGalaxies(
        n, npix=NPIX, band=sim_v2_cameras().replace(ellipticity=0.0), prior=sim_v2_prior(), random_state=SEED
    )


def bright(drawn: SimulatedGalaxies) -> np.ndarray:
    """Rows with a signal-to-noise ratio of the matched profile above the least."""
    square = profile_of(drawn.parameters, drawn.cameras.psf, drawn.cameras.pixel_scale).square
    return np.flatnonzero(drawn.parameters["flux"] * np.sqrt(square) / drawn.cameras.sky_noise > LEAST)


def drawn_at(drawn: SimulatedGalaxies, rows, angle: float) -> np.ndarray:
    """The light of galaxies that are turned by an angle [deg], counterclockwise with y up."""
    turned = {name: values[rows] for name, values in drawn.parameters.items()}
    for name in ("bulge_position_angle", "disk_position_angle"):
        turned[name] = turned[name] + angle
    cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    x, y = turned["x_offset"], turned["y_offset"]
    turned |= {"x_offset": cos * x - sin * y, "y_offset": sin * x + cos * y}
    cameras = drawn.cameras.of_rows(rows)
    return render(turned, npix=NPIX, pixel_scale=cameras.pixel_scale, psf=cameras.psf).numpy()


def turned_noise(noise: np.ndarray, angle: float) -> np.ndarray:
    """Noise (n, npix, npix), band-limited and periodic, turned: white noise stays nearly white."""
    n, fine = noise.shape[1], FINE * noise.shape[1]
    padded = np.zeros((len(noise), fine, fine), dtype=complex)
    start = (fine - n) // 2
    padded[:, start : start + n, start : start + n] = np.fft.fftshift(np.fft.fft2(noise), axes=(1, 2))
    waves = FINE**2 * np.fft.ifft2(np.fft.ifftshift(padded, axes=(1, 2))).real
    cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    y, x = np.indices((n, n)) - (n - 1) / 2
    place = FINE * (np.array([cos * y - sin * x, cos * x + sin * y]) + (n - 1) / 2)
    return np.stack([ndimage.map_coordinates(one, place, order=3, mode="grid-wrap") for one in waves])


def interpolated(images: np.ndarray, angle: float) -> np.ndarray:
    return ndimage.rotate(images, -angle, axes=(2, 1), reshape=False, order=3, mode="grid-wrap")


def moved(estimates: np.ndarray) -> dict:
    """Percentiles of how far estimates (angles, n, 3) are from those of the first angle."""
    change = np.abs(estimates[1:] - estimates[0])
    change[..., 1:] /= estimates[0, :, 1:]
    return {name: (100 * np.percentile(change, q, axis=(0, 1))).round(2).tolist() for name, q in PERCENTILES.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--galaxies", type=int, default=400)
    parser.add_argument("--angles", type=int, default=36)
    parser.add_argument("--out", type=Path, help="append the results to this file")
    _model.add_arguments(parser)
    options = parser.parse_args()
    n, n_angles = (16, 3) if options.smoke else (options.galaxies, options.angles)
    model, name = _model.model_of(options)
    drawn = galaxies(n)
    rows = bright(drawn)
    cutouts, angles = drawn[rows], np.arange(n_angles) * 360 / n_angles
    images = np.asarray(cutouts)
    noise = images - drawn_at(drawn, rows, 0.0)
    views = {
        "drawn anew": lambda angle: drawn_at(drawn, rows, angle) + turned_noise(noise, angle),
        "interpolated": lambda angle: interpolated(images, angle) if angle else images,
    }
    for what, view in views.items():
        seen = [model.predict_posterior(cutouts.replace(view(angle).astype(np.float32))) for angle in angles]
        for estimate in ("mode", "median"):
            found = moved(np.stack([getattr(posterior, estimate)() for posterior in seen]))
            met = all(max(found[part]) <= most for part, most in TARGETS.items())
            record(options.out, what=what, model=name, estimate=estimate, galaxies=len(rows), **found, met=met)


if __name__ == "__main__":
    main()
