import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import kv

from galestim.datasets._spergel import BULGE, DISK, HALF_LIGHT, flux_within, joint_half_light_radius


def light(radius, nu):
    """Of a Spergel profile inside `radius`, which is in scale lengths; that of all is 1."""
    inside, all_of_it = (quad(lambda r: r ** (nu + 1) * kv(nu, r), 0, end)[0] for end in (radius, 80))
    return inside / all_of_it


@pytest.mark.parametrize("nu", [BULGE, DISK])
def test_growth_of_light_is_the_integral_of_the_profile(nu):
    for radius in (0.1, HALF_LIGHT[nu], 3.0):
        assert flux_within(radius, nu) == pytest.approx(light(radius, nu), abs=2e-4)
    assert flux_within(HALF_LIGHT[nu], nu) == pytest.approx(0.5, abs=1e-8)


@pytest.mark.parametrize("bulge_to_total", [0.0, 0.3, 0.7, 1.0])
@pytest.mark.parametrize("bulge_radius", [0.5, 2.5])
def test_joint_half_light_radius_holds_half_of_the_light(bulge_to_total, bulge_radius):
    radius = joint_half_light_radius(np.array(bulge_to_total), np.array(bulge_radius), 1.5)
    bulge = light(HALF_LIGHT[BULGE] * radius / bulge_radius, BULGE)
    disk = light(HALF_LIGHT[DISK] * radius / 1.5, DISK)
    assert bulge_to_total * bulge + (1 - bulge_to_total) * disk == pytest.approx(0.5, abs=3e-4)
