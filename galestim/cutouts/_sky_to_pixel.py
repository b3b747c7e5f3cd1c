"""Pixel coordinates of positions on the sky, by any celestial WCS."""

from __future__ import annotations

import numpy as np
from astropy.coordinates import ICRS, SkyCoord
from astropy.wcs import WCS, NoConvergence
from astropy.wcs.utils import wcs_to_celestial_frame
from numpy.typing import ArrayLike, NDArray


class SkyToPixel:
    """Pixel coordinates of ICRS positions by any celestial WCS, 0 at the center of the first pixel.

    Distortions and the frame (FK5, Galactic, …) are accounted for.
    """

    def __init__(self, wcs: WCS):
        if not wcs.has_celestial:
            axes = ", ".join(repr(name) for name in wcs.wcs.ctype)
            raise ValueError(
                f"the WCS has no celestial axes (CTYPE {axes}); expected a pair such as 'RA---TAN' and 'DEC--TAN'"
            )
        # as wcs.celestial, which would put longitude first, and move the pixels with it
        self.wcs = wcs if wcs.naxis == 2 else wcs.sub(sorted((wcs.wcs.lng + 1, wcs.wcs.lat + 1)))
        frame = wcs_to_celestial_frame(self.wcs)
        self.frame = None if isinstance(frame, ICRS) else frame

    def __call__(self, ra: NDArray, dec: NDArray) -> NDArray:
        """Give x and y, shape ``(2, n)``; NaN where the projection has none."""
        if self.frame is not None:
            sky = SkyCoord(ra, dec, unit="deg").transform_to(self.frame).spherical
            ra, dec = sky.lon.deg, sky.lat.deg
        world = np.empty((len(ra), 2))
        world[:, self.wcs.wcs.lng], world[:, self.wcs.wcs.lat] = ra, dec
        try:
            pixel = self.wcs.all_world2pix(world, 0)
        except NoConvergence as failure:
            pixel = failure.best_solution
            for failed in (failure.divergent, failure.slow_conv):
                pixel[[] if failed is None else failed] = np.nan
        pixel[~np.isfinite(pixel)] = np.nan
        return pixel.T

    def inverse(self, x: ArrayLike, y: ArrayLike) -> NDArray:
        """Give the unit vectors of pixels, shape ``(3, n)``, ICRS."""
        world = self.wcs.all_pix2world(np.transpose([x, y]), 0)
        frame = "icrs" if self.frame is None else self.frame
        sky = SkyCoord(world[:, self.wcs.wcs.lng], world[:, self.wcs.wcs.lat], unit="deg", frame=frame)
        return sky.icrs.cartesian.xyz.value
