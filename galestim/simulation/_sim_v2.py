"""The simulated benchmark galestim-sim-v2: galaxies, and a camera for each."""

from __future__ import annotations

from ._camera_prior import CameraPrior
from ._galaxy_prior import GalaxyPrior
from ._neighbor_prior import NeighborPrior
from ._priors import LogUniform, Near, Uniform


def sim_v2_prior(crowded=False):
    """Give the galaxies of the simulated benchmark galestim-sim-v2, in which each has a camera of its own.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    crowded : bool, default=False
        Whether those of galestim-sim-v2-crowded, centered to three pixels.

    Returns
    -------
    GalaxyPrior
        B/T 0 to 1, bulges of n from 0.5 to 6 and disks of n from 0.7 to 1.3, radii whose ratio is 0.15 to 1.5, axis
        ratios of bulges from 0.4 and of disks from 0.15, at most 20 degrees apart, centered to a pixel. Magnitudes
        (18 to 23) and half-light radii (0.3 to 3 arcsec) are what `sim_v2_cameras` takes them for.

    Examples
    --------
    >>> from galestim.simulation import sim_v1_prior, sim_v2_prior
    >>> sorted(sim_v2_prior().draw(3, random_state=0).keys() - sim_v1_prior().draw(1).keys())
    ['half_light_radius', 'radius_ratio']
    """
    off = 3.0 if crowded else 1.0
    return GalaxyPrior(
        {
            "magnitude": Uniform(18.0, 23.0),
            "bulge_to_total": Uniform(0.0, 1.0),
            "half_light_radius": LogUniform(0.3, 3.0),
            "radius_ratio": LogUniform(0.15, 1.5),
            "bulge_sersic_index": Uniform(0.5, 6.0),
            "disk_sersic_index": Uniform(0.7, 1.3),
            "bulge_axis_ratio": Uniform(0.4, 1.0),
            "disk_axis_ratio": Uniform(0.15, 1.0),
            "disk_position_angle": Uniform(0.0, 180.0),
            "bulge_position_angle": Near("disk_position_angle", 20.0),
            "x_offset": Uniform(-off, off),
            "y_offset": Uniform(-off, off),
        }
    )


def sim_v2_neighbors() -> NeighborPrior:
    """Give the neighbors of the simulated benchmark galestim-sim-v2-crowded.

    .. versionadded:: 0.1.0

    Returns
    -------
    NeighborPrior
        1.2 on average within 48 pixels, three magnitudes brighter to three fainter than the galaxy, with a slope of
        0.3 dex per magnitude, of the sizes that galaxies have, at random positions no nearer than 0.3 widths of the
        point-spread function; no stars.

    Examples
    --------
    >>> from galestim.simulation import sim_v2_neighbors
    >>> sim_v2_neighbors().replace(star_share=0.1).mean_number
    1.2
    """
    return NeighborPrior(
        mean_number=1.2,
        magnitude=None,
        radius=48.0,
        unit="pixel",
        brightest=-3.0,
        faintest=3.0,
        slope=0.3,
        min_separation=0.3,
        clustering_length=0.0,
        star_share=0.0,
        size_slope=0.0,
    )


def sim_v2_cameras(stamps=None, crowded=False) -> CameraPrior:
    """Give the cameras of the simulated benchmark galestim-sim-v2.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    stamps : sequence of ImagePSF or None, default=None
        Measured stars, which one camera in five has; None: it has the sum of two Moffat profiles.
    crowded : bool, default=False
        Whether those of galestim-sim-v2-crowded: two percent of the pixels of images of 64 to 128 are bad, half in
        columns, half hit by cosmic rays.

    Returns
    -------
    CameraPrior
        Widths of 1.8 to 8 pixels, one Gaussian in five, galaxies of a quarter to three times the width and at most 12
        pixels, signal-to-noise ratios of 10 to 3000, up to 90 % of the central variance from photons, and half of the
        noise correlated over 1 to 4 pixels. The brightest pixel of a star has a noise of 1 %.

    Examples
    --------
    >>> from galestim.simulation import sim_v2_cameras, sim_v2_prior
    >>> galaxies = sim_v2_prior().draw(3, random_state=0)
    >>> sim_v2_cameras().draw(3, random_state=0, galaxies=galaxies).pixel_scale.round(2)
    array([...])
    """
    kind = {"double_share": 0.2} if stamps is None else {"stamps": stamps, "stamp_share": 0.2}
    return CameraPrior(
        fwhm=LogUniform(1.8, 8.0),
        beta=Uniform(2.0, 5.0),
        gaussian_share=0.2,
        **kind,
        ellipticity=Uniform(0.0, 0.1),
        relative_radius=LogUniform(0.25, 3.0),
        max_radius=12.0,
        signal_to_noise=LogUniform(10.0, 3000.0),
        photon_share=Uniform(0.0, 0.9),
        correlation_length=Uniform(1.0, 4.0),
        correlated_share=0.5,
        stamp_noise=0.01,
        bad_columns=0.9 if crowded else 0.0,
        cosmic_rays=0.01 if crowded else 0.0,
    )
