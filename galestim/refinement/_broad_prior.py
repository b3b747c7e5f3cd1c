"""A prior for galaxies of which little is known."""

from __future__ import annotations

import numpy as np

from ..simulation import GalaxyPrior, LogUniform, Near, Uniform


def broad_prior(pixel_scale=1.0, npix=96) -> GalaxyPrior:
    """Give a prior that hardly says more than what a bulge and a disk are.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    pixel_scale : float or array-like, default=1.0
        Side of the pixels [arcsec], of one camera or several.
    npix : int, default=96
        Side of the images [pixels].

    Returns
    -------
    GalaxyPrior
        B/T 0 to 1; half-light radii from a fifth of a pixel to half an image, the bulge's 0.1 to 1.5 of the disk's;
        bulges of n from 0.8 to 6 and disks of n from 0.7 to 1.3; axis ratios of bulges from 0.3 and of disks from
        0.15, at most 30 degrees apart; centered to 3 pixels; fluxes as they come.

    Examples
    --------
    >>> from galestim.refinement import broad_prior
    >>> broad_prior(0.2).priors["radius_ratio"]
    LogUniform(low=0.1, high=1.5)
    """
    scale = np.asarray(pixel_scale, dtype=float)
    return GalaxyPrior(
        {
            "magnitude": Uniform(-50.0, 100.0),
            "bulge_to_total": Uniform(0.0, 1.0),
            "half_light_radius": LogUniform(0.2 * float(scale.min()), 0.5 * npix * float(scale.max())),
            "radius_ratio": LogUniform(0.1, 1.5),
            "bulge_sersic_index": Uniform(0.8, 6.0),
            "disk_sersic_index": Uniform(0.7, 1.3),
            "bulge_axis_ratio": Uniform(0.3, 1.0),
            "disk_axis_ratio": Uniform(0.15, 1.0),
            "disk_position_angle": Uniform(0.0, 180.0),
            "bulge_position_angle": Near("disk_position_angle", 30.0),
            "x_offset": Uniform(-3.0, 3.0),
            "y_offset": Uniform(-3.0, 3.0),
        }
    )
