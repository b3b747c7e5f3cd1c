"""The same galaxies as GalSim draws them: the oracle of the renderer."""

import numpy as np

from galestim.simulation import MoffatPSF

# Few copies of the wings, few waves cut off, accurate profiles: GalSim's defaults are too coarse to compare with.
COARSE = {"folding_threshold": 1e-3, "maxk_threshold": 1e-4, "kvalue_accuracy": 1e-7}


def by_galsim(galaxies, i: int, *, npix: int, pixel_scale: float, psf: MoffatPSF, settings=COARSE) -> np.ndarray:
    """Draw galaxy `i` in float64, with GalSim's accuracy as the `settings` of its GSParams."""
    import galsim

    truth = {name: float(values[i]) for name, values in galaxies.items()}
    gsparams = galsim.GSParams(maximum_fft_size=20000, **settings)
    flux = {"bulge": truth["flux"] * truth["bulge_to_total"], "disk": truth["flux"] * (1 - truth["bulge_to_total"])}
    parts = [
        galsim.Sersic(
            n=truth[f"{name}_sersic_index"],
            half_light_radius=truth[f"{name}_radius"],
            flux=flux[name],
            gsparams=gsparams,
        ).shear(
            q=truth[f"{name}_axis_ratio"],
            beta=(90 - truth[f"{name}_position_angle"]) * galsim.degrees,
        )
        for name in flux
    ]
    seen = galsim.Convolve(galsim.Add(parts), galsim.Moffat(beta=psf.beta, fwhm=psf.fwhm, gsparams=gsparams))
    offset = (truth["x_offset"], truth["y_offset"])
    return seen.drawImage(nx=npix, ny=npix, scale=pixel_scale, offset=offset, dtype=float).array
