import numpy as np
import pytest

from galestim.simulation import (
    GalaxyPrior,
    LogUniform,
    Near,
    SpinPrior,
    Uniform,
    half_light_radius,
    sim_v1_prior,
    sim_v2_prior,
)
from galestim.simulation._parameters import PARAMETERS


@pytest.mark.parametrize("prior", [Uniform(0.5, 2.0), Uniform(0.0, 1.0), LogUniform(0.15, 1.5)])
@pytest.mark.parametrize("logarithm", [False, True])
def test_variances_are_those_of_draws(prior, logarithm):
    drawn = prior.draw(400_000, np.random.default_rng(0), {})
    assert prior.low <= drawn.min() < drawn.max() <= prior.high
    values = np.log(drawn) if logarithm else drawn
    assert prior.variance(logarithm) == pytest.approx(values.var(), rel=0.02)


def test_near_follows_the_other_parameter():
    other = np.linspace(0, 180, 100_000)
    apart = (
        Near("disk_position_angle", 15.0).draw(100_000, np.random.default_rng(0), {"disk_position_angle": other})
        - other
    )
    assert abs(apart).max() <= 15
    assert apart.var() == pytest.approx(Near("disk_position_angle", 15.0).variance(), rel=0.02)
    with pytest.raises(ValueError, match="Near has no variance of the logarithm"):
        Near("disk_radius", 0.1).variance(logarithm=True)


def test_uniform_magnitudes():
    galaxies = sim_v1_prior().draw(10_000, random_state=0)
    assert galaxies["magnitude"].min() >= 17.5
    assert galaxies["magnitude"].max() <= 23
    np.testing.assert_allclose(np.histogram(galaxies["magnitude"], 5)[0], 2000, atol=200)
    np.testing.assert_allclose(galaxies["flux"], 10 ** (-0.4 * (galaxies["magnitude"] - 27)))


def test_another_zero_point_gives_the_same_galaxies():
    plain, other = (sim_v1_prior().draw(50, random_state=0, zero_point=zero_point) for zero_point in (27.0, 22.5))
    np.testing.assert_allclose(other.pop("flux"), plain.pop("flux") / 10**1.8)
    for name, values in plain.items():
        np.testing.assert_array_equal(other[name], values)


@pytest.mark.parametrize(
    ("prior", "said"),
    [
        (sim_v1_prior(), "magnitude=Uniform(low=17.5, high=23.0) [mag], "),
        (sim_v1_prior(), "bulge_radius=LogUniform(low=0.15, high=1.5) [arcsec], "),
        (SpinPrior(), "position_angle=Uniform(low=0.0, high=180.0) [deg], "),
        (SpinPrior(), "surface_brightness=Uniform(low=18.5, high=20.5) [mag/arcsec²], "),
    ],
)
def test_priors_say_their_units(prior, said):
    assert said in repr(prior)


def test_ranges_of_one_value():
    for prior in (Uniform(0.3, 0.3), LogUniform(0.3, 0.3)):
        np.testing.assert_allclose(prior.draw(3, np.random.default_rng(0), {}), 0.3)
        assert prior.variance() == prior.variance(logarithm=True) == 0


def test_spin_galaxies_are_drawn_from_their_ranges():
    prior = SpinPrior().replace(bulge_to_total=Uniform(0.2, 0.3))
    galaxies = prior.draw(1000, random_state=0)
    assert set(galaxies) == set(SpinPrior.names)
    for name, of in prior.priors.items():
        assert of.low <= galaxies[name].min() < galaxies[name].max() <= of.high
    assert "bulge_to_total=Uniform(low=0.2, high=0.3)" in repr(prior)
    with pytest.raises(
        ValueError, match=r"priors lack or do not know mass; expected bulge_to_total, cos_inclination"
    ):
        prior.replace(mass=Uniform(1, 2))


def test_the_benchmark_s_prior():
    galaxies = sim_v1_prior().draw(5000, random_state=0)
    assert set(galaxies) == {*GalaxyPrior.names, "flux"}
    limits = {
        "bulge_to_total": (0, 1),
        "bulge_radius": (0.15, 1.5),
        "disk_radius": (0.35, 2.5),
        "bulge_sersic_index": (2.5, 5),
        "disk_sersic_index": (0.8, 1.2),
        "bulge_axis_ratio": (0.6, 1),
        "disk_axis_ratio": (0.25, 1),
        "bulge_position_angle": (0, 180),
        "disk_position_angle": (0, 180),
        "x_offset": (-0.5, 0.5),
        "y_offset": (-0.5, 0.5),
    }
    for name, (low, high) in limits.items():
        margin = 0.01 * (high - low)
        assert low <= galaxies[name].min() < low + margin
        assert high - margin < galaxies[name].max() <= high
    apart = (galaxies["bulge_position_angle"] - galaxies["disk_position_angle"] + 90) % 180 - 90
    assert abs(apart).max() <= 15


def test_variances_of_fluxes_and_radii_are_of_their_logarithms():
    variance = sim_v1_prior().variance()
    assert variance["flux"] == pytest.approx((5.5 * 0.4 * np.log(10)) ** 2 / 12)
    assert variance["bulge_radius"] == pytest.approx(np.log(10) ** 2 / 12)
    assert variance["bulge_sersic_index"] == pytest.approx(2.5**2 / 12)
    assert variance["bulge_position_angle"] == pytest.approx(75)


def test_radii_are_those_of_the_total_and_the_ratio():
    galaxies = sim_v2_prior().draw(1000, random_state=0)
    np.testing.assert_allclose(half_light_radius(galaxies), galaxies["half_light_radius"], rtol=1e-9)
    np.testing.assert_allclose(galaxies["bulge_radius"] / galaxies["disk_radius"], galaxies["radius_ratio"])
    assert galaxies["half_light_radius"].min() < 0.31 < 2.9 < galaxies["half_light_radius"].max() <= 3


def test_precision_of_a_prior():
    """Diagonal, but of the total radius its slopes, against differences."""
    plain = sim_v1_prior()
    galaxies = plain.draw(2, random_state=0)
    expected = np.diag([1 / plain.variance()[name] for name in PARAMETERS])
    np.testing.assert_allclose(plain.precision(galaxies), [expected, expected])
    prior = sim_v2_prior().replace(half_light_radius=LogUniform(1.0, 1.0001))
    precision = prior.precision(galaxies) * prior.variance()["half_light_radius"]  # the radius alone is left
    index = list(PARAMETERS).index
    for name in ("bulge_to_total", "bulge_radius", "disk_sersic_index"):
        step = 1e-4 * (galaxies[name] if name.endswith("radius") else 1)
        up, down = (np.log(half_light_radius(galaxies | {name: galaxies[name] + s * step})) for s in (1, -1))
        slope = (up - down) / 2e-4
        np.testing.assert_allclose(precision[:, index(name), index(name)], slope**2, rtol=1e-3, atol=1e-5)


def test_a_parameter_stays_if_another_prior_changes():
    prior = sim_v1_prior()
    variant = prior.replace(disk_sersic_index=Uniform(1.5, 2.0))
    plain, changed, other = prior.draw(5, 0), variant.draw(5, 0), prior.draw(5, 1)
    for name in plain:
        same = np.array_equal(plain[name], changed[name])
        assert same == (name != "disk_sersic_index")
        assert not np.array_equal(plain[name], other[name])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Uniform(2.0, 1.0), r"Uniform\(2.0, 1.0\); expected finite low <= high."),
        (lambda: LogUniform(0.0, 1.0), r"LogUniform\(0.0, 1.0\); expected finite 0 < low <= high."),
        (
            lambda: GalaxyPrior({"magnitude": Uniform(1, 2), "mass": Uniform(1, 2)}),
            "priors lack or do not know bulge_axis_r",
        ),
        (
            lambda: GalaxyPrior(
                {"bulge_position_angle": Near("disk_position_angle", 1)} | _without("bulge_position_angle")
            ),
            "bulge_position_angle is near to 'disk_position_angle'; expected a parameter that comes before",
        ),
    ],
)
def test_what_is_no_prior(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def _without(name):
    return {key: prior for key, prior in sim_v1_prior().priors.items() if key != name}
