import numpy as np
import pytest

from galestim.simulation import GalaxyPrior, LogUniform, Near, Uniform, sim_v1_prior
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
    magnitude = 27 - 2.5 * np.log10(
        LogUniform.of_magnitudes(17.5, 23, zero_point=27).draw(10_000, np.random.default_rng(0))
    )
    assert magnitude.min() >= 17.5
    assert magnitude.max() <= 23
    np.testing.assert_allclose(np.histogram(magnitude, 5)[0], 2000, atol=200)


def test_the_benchmark_s_prior():
    galaxies = sim_v1_prior().draw(5000, random_state=0)
    assert set(galaxies) == set(PARAMETERS)
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


def test_a_parameter_stays_if_another_prior_changes():
    prior = sim_v1_prior()
    variant = GalaxyPrior(prior.priors | {"disk_sersic_index": Uniform(1.5, 2.0)})
    plain, changed, other = prior.draw(5, 0), variant.draw(5, 0), prior.draw(5, 1)
    for name in PARAMETERS:
        same = np.array_equal(plain[name], changed[name])
        assert same == (name != "disk_sersic_index")
        assert not np.array_equal(plain[name], other[name])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Uniform(2.0, 1.0), r"Uniform\(2.0, 1.0\); expected finite low < high."),
        (lambda: LogUniform(0.0, 1.0), r"LogUniform\(0.0, 1.0\); expected finite 0 < low < high."),
        (
            lambda: GalaxyPrior({"flux": Uniform(1, 2), "mass": Uniform(1, 2)}),
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
