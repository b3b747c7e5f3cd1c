"""Real galaxies with what is known of their cameras: a ground-based field in two bands, stamps of two telescopes.

And simulated ones that go the same way.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from _curve_of_growth import fill
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS, FITSFixedWarning
from numpy.typing import NDArray
from photutils.background import Background2D, MedianBackground
from photutils.segmentation import deblend_sources, detect_sources
from scipy import ndimage

from galestim import Cutouts
from galestim.cutouts import estimate_psf
from galestim.simulation import ImagePSF, LogUniform, MoffatPSF, render, render_stars, sim_v2_prior

ISOLATED = 4.5  # arcsec without another source, or an edge
MESH = 12.0  # arcsec, over which the background is smooth
SIDES = 64, 96, 128  # that images get
SMALLEST = 40  # pixels of a stamp
SAME = 0.7, 1.4  # scatter along the edges of a stamp over the noise that its catalog tells; one has 0.3
CLUMPS = 0.1  # share of the light of a galaxy, below which a clump is its own
FIELDS = {  # image unit, arcsec, electrons per unit, magnitude of a unit, pixels of a cutout
    "VST_r": (1e-12, 0.2, 15.9, 30.0, 192),
    "VISTA_K": (1.0, 0.339, None, 30.0, 192),
}
HST = 0.03, 2000.0, 25.94  # arcsec, electrons per unit (the exposure, in seconds), zero point
HSC = 0.168, 27.0  # arcsec; the examples of pysersic tell no zero point


@dataclass(frozen=True)
class Galaxy:
    """An image ``(h, w)`` with a galaxy in the middle, sky subtracted, and its camera."""

    object_id: str
    image: NDArray
    mask: NDArray
    noise: float
    psf: NDArray
    pixel_scale: float
    gain: float | None
    zero_point: float

    @property
    def fwhm(self) -> float:
        """Of the star [pixels]."""
        return ImagePSF(self.psf, 1.0).fwhm

    def filled(self) -> NDArray:
        """The image, with what lies opposite of the center where a pixel is masked."""
        y, x = np.indices(self.image.shape) - (np.array(self.image.shape)[:, None, None] - 1) / 2
        middle = (np.array(self.image.shape) - 1) / 2
        return fill(np.where(self.mask, 0, self.image), self.mask, np.hypot(x, y), middle[1], middle[0])


def cutouts_of(galaxies: list[Galaxy], npix: int) -> Cutouts:
    """The middle of the images; what lies outside of them is masked."""
    images, masks = (np.stack(one) for one in zip(*(middle(galaxy, npix) for galaxy in galaxies)))
    gain = None if galaxies[0].gain is None else [galaxy.gain for galaxy in galaxies]
    return Cutouts(
        images.astype(np.float32),
        mask=masks,
        psf=np.stack([galaxy.psf for galaxy in galaxies]).astype(np.float32),
        noise=[galaxy.noise for galaxy in galaxies],
        gain=gain,
        pixel_scale=[galaxy.pixel_scale for galaxy in galaxies],
        zero_point=[galaxy.zero_point for galaxy in galaxies],
    )


def middle(galaxy: Galaxy, npix: int) -> tuple[NDArray, NDArray]:
    """Image and mask of `npix` pixels along each side."""
    pad = [(max(0, (npix - side + 1) // 2),) * 2 for side in galaxy.image.shape]
    image, mask = np.pad(galaxy.image, pad), np.pad(galaxy.mask, pad, constant_values=True)
    start = [(side - npix) // 2 for side in image.shape]
    window = tuple(slice(first, first + npix) for first in start)
    return np.where(mask, 0, image)[window], mask[window]


def side_of(galaxy: Galaxy, reserve: int = 1, larger: float = 1.0) -> int:
    """The smallest of the `SIDES` that holds an image `reserve` times smaller, in `larger` pixels; else the largest.

    Images that have reserve keep their size as pixels get larger.
    """
    need = max(galaxy.image.shape) / (reserve if reserve > 1 else larger)
    return next((side for side in SIDES if side >= need), SIDES[-1])


# ---- a field


def field(data: Path, name: str) -> list[Galaxy]:
    """The isolated sources of the catalog that are found in one band, stars among them."""
    unit, pixel_scale, gain, zero_point, npix = FIELDS[name]
    with fits.open(data / "field_kids_vista" / f"{name}.fits") as file:
        image, header = file[0].data.astype(float) / unit, file[0].header
    catalog = Table.read(data / "field_kids_vista" / "catalog.csv")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FITSFixedWarning)  # RADECSYS, deprecated
        places = np.transpose(WCS(header).all_world2pix(catalog["ra"], catalog["dec"], 0))
    image, sources, labels, noise = without_background(image, round(MESH / pixel_scale))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # few stars
        psf = estimate_psf(image, saturation=header["SATURATE"] / unit).stamp
    usual = Galaxy("", image, sources, noise, psf, pixel_scale, gain, zero_point)
    found = (cut(usual, labels, place, npix, str(row["object_id"])) for place, row in zip(places, catalog))
    return [galaxy for galaxy in found if galaxy is not None]


def without_background(image: NDArray, box: int):
    """The image without its sky, where there are sources, their labels, and the noise."""
    mask = np.zeros(image.shape, dtype=bool)
    for _ in range(3):
        sky = Background2D(
            image, box, mask=mask, filter_size=3, bkg_estimator=MedianBackground(), exclude_percentile=90
        )
        left = image - sky.background
        labels = labels_of(left, deviation(left[~mask]))
        mask = ndimage.binary_dilation(labels > 0, iterations=6)
        large = np.flatnonzero(np.bincount(labels.ravel()) > 600)[1:]
        mask |= ndimage.binary_dilation(np.isin(labels, large), iterations=15)
    return left, mask, labels, deviation(left[~mask])


def deviation(values) -> float:
    return float(1.4826 * np.median(abs(values - np.median(values))))


def labels_of(image: NDArray, noise: float, *, width=1.5, n_pixels=12, contrast=0.02) -> NDArray:
    """Sources, deblended, that are above the noise of a smoothed image; 0 is sky."""
    smooth = ndimage.gaussian_filter(image, width)
    level = 4 * noise / (2 * np.sqrt(np.pi) * width)  # about 2.5σ, as pixels correlate
    found = detect_sources(smooth, level, n_pixels)
    if found is None:
        return np.zeros(image.shape, dtype=int)
    options = {"contrast": contrast, "nlevels": 24, "mode": "sinh", "progress_bar": False}
    return deblend_sources(smooth, found, n_pixels, **options).data


def of_the_middle(image: NDArray, labels: NDArray, place, reach: float = 4.0) -> int:
    """The source at (x, y) whose brightest place is within 4 pixels; 0 if there is none."""
    column, row = (min(max(round(at), 0), side - 1) for at, side in zip(place, labels.shape[::-1]))
    own = int(labels[row, column])
    if not own:
        return 0
    y, x = np.nonzero(labels == own)
    peak = ndimage.gaussian_filter(image, 1.0)[y, x].argmax()
    return own if np.hypot(x[peak] - place[0], y[peak] - place[1]) <= reach else 0


def cut(field: Galaxy, labels: NDArray, place, npix: int, object_id: str) -> Galaxy | None:
    """The source at (x, y), without its local sky, others masked; None if it is not found, or not isolated."""
    own = of_the_middle(field.image, labels, place)
    if not own or nearest_other(labels, own, place) * field.pixel_scale < ISOLATED:
        return None
    column, row = (round(at + 0.5) for at in place)
    window = np.s_[row : row + npix, column : column + npix]
    half = npix // 2
    padded = [
        np.pad(part, half, constant_values=value)[window]
        for part, value in ((field.image, np.nan), (labels, 0), (field.mask, True))
    ]
    image, around, sources = padded
    sky = image[~sources]
    level = np.median(sky) if len(sky) > 150 else 0.0
    mask = others_of(around, own, 3) | ~np.isfinite(image)
    return replace(field, object_id=object_id, image=np.nan_to_num(image - level), mask=mask)


def nearest_other(labels: NDArray, own: int, place) -> float:
    """Distance of the nearest edge, or pixel of another source that is not tiny [pixels]."""
    size = np.bincount(labels.ravel())
    y, x = np.nonzero((labels > 0) & (labels != own) & (size[labels] >= 30))
    edge = min(*place, labels.shape[1] - 1 - place[0], labels.shape[0] - 1 - place[1])
    return float(min(np.hypot(x - place[0], y - place[1]).min(initial=np.inf), edge))


def others_of(labels: NDArray, own: int, margin: int) -> NDArray[np.bool_]:
    """Sources that are not the own one, and what surrounds them."""
    return ndimage.binary_dilation((labels > 0) & (labels != own), iterations=margin) & (labels != own)


# ---- stamps


def hst(data: Path) -> list[Galaxy]:
    """Stamps of `hst_cosmos` of 40 pixels and more, each with its own star; what is found beside is masked."""
    folder, galaxies = data / "hst_cosmos", []
    catalog = Table.read(folder / "real_galaxy_catalog_26_extension_example.fits")
    with (
        fits.open(folder / "real_galaxy_images_extension.fits") as images,
        fits.open(folder / "real_galaxy_PSF_images_extension.fits") as stars,
    ):
        for i, row in enumerate(catalog):
            image, star = images[i].data.astype(float), square(stars[i].data.astype(float))
            if min(image.shape) < SMALLEST:
                continue
            noise = float(np.sqrt(row["NOISE_VARIANCE"]))
            labels = labels_of(image, noise, contrast=CLUMPS)
            if not SAME[0] < deviation(rim_of(image)[rim_of(labels) == 0]) / noise < SAME[1]:
                continue
            own = of_the_middle(image, labels, [(side - 1) / 2 for side in image.shape[::-1]], reach=8.0)
            mask = others_of(labels, own, 2) if own else np.zeros(image.shape, dtype=bool)
            galaxies.append(Galaxy(str(row["IDENT"]), image, mask, noise, star, *HST))
    return galaxies


def rim_of(image: NDArray, width: int = 4) -> NDArray:
    """The pixels along the edges."""
    inside = np.zeros(image.shape, dtype=bool)
    inside[width:-width, width:-width] = True
    return image[~inside]


def square(star: NDArray) -> NDArray:
    """The middle of the image of a star, of sum 1."""
    side = min(star.shape)
    top, left = ((length - side) // 2 for length in star.shape)
    star = star[top : top + side, left : left + side]
    return star / star.sum()


def pysersic(data: Path) -> list[Galaxy]:
    """The three galaxies of Hyper Suprime-Cam."""
    galaxies = []
    for i in (1, 2, 3):
        parts = (np.load(data / "pysersic_examples" / f"gal{i}_{kind}.npy") for kind in ("im", "mask", "sig", "psf"))
        image, mask, noise, star = (part.astype(float) for part in parts)
        sky = float(np.median(noise[mask == 0]))
        light = (mask == 0) & (image > 20 * sky)
        gain = 1 / np.polyfit(image[light], noise[light] ** 2, 1)[0]  # as their maps of the noise have it
        galaxies.append(Galaxy(f"gal{i}", image, mask > 0, sky, star / star.sum(), HSC[0], gain, HSC[1]))
    return galaxies


# ---- a control


def simulated(data: Path, n: int = 60, npix: int = 192) -> list[Galaxy]:
    """Galaxies of the kind that models were taught, for comparison with what is found of real ones."""
    psf, signal_to_noise = MoffatPSF(3.0), np.geomspace(30, 1000, n)
    drawn = sim_v2_prior().replace(half_light_radius=LogUniform(2.0, 12.0)).draw(n, random_state=5)
    drawn["flux"] = np.ones(n)
    camera = {"pixel_scale": 1.0, "psf": psf}
    images = render(drawn, npix=npix, **camera).numpy().astype(float)
    images *= (signal_to_noise / np.sqrt((images**2).sum(axis=(1, 2))))[:, None, None]
    noisy = images + np.random.default_rng(6).standard_normal(images.shape)
    star = render_stars(npix=41, **camera).numpy()[0]
    mask = np.zeros((npix, npix), dtype=bool)
    return [Galaxy(str(i), image, mask, 1.0, star / star.sum(), 1.0, None, 27.0) for i, image in enumerate(noisy)]


SETS = {
    "simulated": simulated,
    "VST_r": lambda data: field(data, "VST_r"),
    "VISTA_K": lambda data: field(data, "VISTA_K"),
    "hst_cosmos": hst,
    "pysersic": pysersic,
}
