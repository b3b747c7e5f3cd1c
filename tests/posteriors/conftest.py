import numpy as np
import pytest

from galestim.posteriors import MixturePosterior


@pytest.fixture
def galaxies():
    """Four galaxies, three components, three targets; the third galaxy is a missing cutout."""
    rng = np.random.default_rng(0)
    means = rng.normal(0, 0.5, (4, 3, 3))
    means[2] = np.nan
    scale_trils = np.tril(rng.normal(0, 0.1, (4, 3, 3, 3)), -1) + 0.25 * np.eye(3)
    return MixturePosterior(
        means,
        scale_trils,
        rng.uniform(size=(4, 3)),
        groups=[0, 1, 1],
        target_names=["bulge_to_total", "half_light_radius", "flux"],
        units=[None, "arcsec", "nJy"],
        transforms=["logit", "log", "asinh"],
    )


@pytest.fixture
def draws(galaxies):
    """The same galaxies as weighted draws."""
    drawn = galaxies.sample(500, random_state=0)
    weights = np.random.default_rng(1).uniform(size=drawn.shape[:2])
    names, units = galaxies.target_names, galaxies.units
    return galaxies.from_draws(drawn, weights, target_names=names, units=units)
