import numpy as np
import pytest

from galestim.posteriors import DrawsPosterior, Magnitude, bulge_flux, disk_flux

TARGETS = {"bulge_to_total": np.array([[0.2, 0.5]]), "flux": np.array([[10.0, 100.0]])}


def test_bulge_and_disk_are_the_galaxy():
    np.testing.assert_allclose(bulge_flux(TARGETS), [[2, 50]])
    np.testing.assert_allclose(bulge_flux(TARGETS) + disk_flux(TARGETS), TARGETS["flux"])


def test_five_magnitudes_are_a_factor_of_100():
    bright, faint = Magnitude(27.0)({"flux": np.array([100.0, 1.0])})
    assert faint == 27
    assert faint - bright == 5


def test_a_flux_that_is_not_positive_has_no_magnitude():
    np.testing.assert_array_equal(
        Magnitude(25.0)({"flux": np.array([0.0, -1.0, 1.0, np.nan])}), [np.nan, np.nan, 25, np.nan]
    )


def test_a_magnitude_shows_its_zero_point():
    assert repr(Magnitude(zero_point=22.5)) == "Magnitude(zero_point=22.5)"


@pytest.mark.parametrize("zero_point", ["AB", None, np.nan, np.inf])
def test_wrong_zero_point(zero_point):
    with pytest.raises(ValueError, match=f"zero_point={zero_point!r}; expected the magnitude of a flux of 1, a"):
        Magnitude(zero_point)


@pytest.mark.parametrize(("function", "missing"), [(bulge_flux, "bulge_to_total"), (Magnitude(0.0), "flux")])
def test_a_missing_target_is_named(function, missing):
    posterior = DrawsPosterior(np.ones((1, 3, 2)), target_names=["size", "spin"])
    with pytest.raises(ValueError, match=f"no target '{missing}' among 'size', 'spin'; name the targets of the"):
        posterior.derive(function, "new")
