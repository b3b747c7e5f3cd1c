"""Galaxies and stars as GalSim draws them, whatever their point-spread function is."""

from __future__ import annotations

import galsim
import numpy as np
import torch
from numpy.typing import NDArray

from galestim.simulation import DoubleMoffatPSF, GaussianPSF, ImagePSF, MoffatPSF

ACCURACY = {"folding_threshold": 1e-3, "maxk_threshold": 3e-4, "maximum_fft_size": 20000}
PARAMETERS = galsim.GSParams(**ACCURACY)


def drawn(galaxies: dict, band, npix: int, stamp_npix: int, neighbors=None) -> tuple[torch.Tensor, torch.Tensor]:
    """Noiseless images ``(n, npix, npix)`` with neighbors, and stars of flux 1 ``(n, stamp_npix, stamp_npix)``."""
    images, stars = [], []
    for i, (psf, pixel_scale) in enumerate(zip(band.psf, np.broadcast_to(band.pixel_scale, len(band.psf)))):
        star, of = point_spread(psf), {name: float(values[i]) for name, values in galaxies.items()}
        method = "no_pixel" if psf.includes_pixel else "auto"
        seen = galsim.Convolve(galaxy(of), star, gsparams=PARAMETERS)
        image = pixels(seen, npix, pixel_scale, method, (of["x_offset"], of["y_offset"]))
        for row in () if neighbors is None else np.flatnonzero(neighbors["galaxy"] == i):
            near = {name: float(values[row]) for name, values in neighbors.items()}
            light = galsim.Convolve(galaxy(near), star, gsparams=PARAMETERS)
            image = image + pixels(light, npix, pixel_scale, method, (near["x_offset"], near["y_offset"]))
        images.append(image)
        stars.append(pixels(star, stamp_npix, pixel_scale, method))
    return torch.tensor(np.array(images)), torch.tensor(np.array(stars))


def galaxy(of: dict[str, float]):
    """A bulge and a disk."""
    flux = {"bulge": of["flux"] * of["bulge_to_total"], "disk": of["flux"] * (1 - of["bulge_to_total"])}
    parts = [
        galsim.Sersic(of[f"{name}_sersic_index"], half_light_radius=of[f"{name}_radius"], flux=flux[name])
        .shear(q=of[f"{name}_axis_ratio"], beta=(90 - of[f"{name}_position_angle"]) * galsim.degrees)
        .withGSParams(PARAMETERS)
        for name in flux
    ]
    return galsim.Add(parts)


def point_spread(psf):
    """GalSim's own of the same shape."""
    if isinstance(psf, MoffatPSF):
        return turned(galsim.Moffat(psf.beta, fwhm=psf.fwhm, gsparams=PARAMETERS), psf)
    if isinstance(psf, GaussianPSF):
        return turned(galsim.Gaussian(fwhm=psf.fwhm, gsparams=PARAMETERS), psf)
    if isinstance(psf, DoubleMoffatPSF):
        return turned(two_moffats(psf), psf)
    if isinstance(psf, ImagePSF):
        return of_star(np.asarray(psf.image), psf.pixel_scale)
    return point_spread(psf.psf).dilate(psf.factor)  # a widened one


def turned(profile, psf):
    axis_ratio = (1 - psf.ellipticity) / (1 + psf.ellipticity)
    return profile.shear(q=axis_ratio, beta=(90 - psf.position_angle) * galsim.degrees)


def two_moffats(psf: DoubleMoffatPSF):
    """Core and wings, as wide together as asked for."""

    def of_core(fwhm):
        core = galsim.Moffat(psf.beta, fwhm=fwhm, flux=1 - psf.wing_share, gsparams=PARAMETERS)
        wings = galsim.Moffat(psf.wing_beta, fwhm=fwhm * psf.wing_ratio, flux=psf.wing_share, gsparams=PARAMETERS)
        return core + wings

    unit = of_core(1.0)
    low, high = 0.5, 3.0  # half of the width of both, in that of the core
    for _ in range(40):
        middle = (low + high) / 2
        above = unit.xValue(middle / 2, 0) > unit.xValue(0, 0) / 2
        low, high = (middle, high) if above else (low, middle)
    return of_core(psf.fwhm / middle)


def of_star(image: NDArray, pixel_scale: float):
    """The image of a star, about its centroid."""
    image = image / image.sum()
    sums = image.sum(axis=0), image.sum(axis=1)
    offset = [float(light @ np.arange(len(light)) - (len(light) - 1) / 2) for light in sums]
    options = {"x_interpolant": galsim.Lanczos(15), "offset": offset, "gsparams": PARAMETERS}
    return galsim.InterpolatedImage(galsim.Image(image), scale=pixel_scale, flux=1, **options)


def pixels(profile, npix: int, pixel_scale: float, method: str, offset=(0, 0)) -> NDArray[np.float32]:
    image = profile.drawImage(nx=npix, ny=npix, scale=float(pixel_scale), offset=offset, method=method)
    return image.array.astype(np.float32)
