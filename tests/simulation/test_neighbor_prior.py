import numpy as np
import pytest

from galestim.simulation import (
    Band,
    LogUniform,
    MoffatPSF,
    NeighborPrior,
    Uniform,
    hsc_like,
    sim_v1_prior,
    sim_v2_cameras,
    sim_v2_neighbors,
    sim_v2_prior,
)

BAND, PRIOR = hsc_like("i"), sim_v1_prior()
GALAXIES = PRIOR.draw(1500, random_state=0)


def draw(prior, galaxies=GALAXIES, **options):
    return prior.draw(galaxies, BAND, PRIOR, **{"random_state": 0, **options})


def test_numbers_distances_and_fluxes_are_those_of_the_benchmark():
    neighbors = draw(sim_v2_neighbors())
    number = np.bincount(neighbors["galaxy"], minlength=1500)
    assert number.mean() == pytest.approx(1.2, abs=4 * np.sqrt(1.2 / 1500))
    assert number.var() == pytest.approx(1.2, rel=0.15)  # Poisson's
    own = {name: GALAXIES[name][neighbors["galaxy"]] for name in ("flux", "x_offset", "y_offset")}
    away = np.hypot(*(neighbors[name] - own[name] for name in ("x_offset", "y_offset")))
    np.testing.assert_allclose(neighbors["distance"], away)
    assert (away >= 0.3 * 0.58 / 0.168).all()
    assert 47 < away.max() <= 48
    assert (away < 24).mean() == pytest.approx(0.25, abs=0.04)
    np.testing.assert_allclose(neighbors["flux_ratio"], neighbors["flux"] / own["flux"])
    difference = -2.5 * np.log10(neighbors["flux_ratio"])
    assert (difference.min(), difference.max()) == pytest.approx((-3, 3), abs=0.3)
    assert (abs(difference) <= 3).all()
    assert ((difference > 2).sum() / ((difference > 1) & (difference < 2)).sum()) == pytest.approx(10**0.3, rel=0.2)
    assert not neighbors["is_star"].any()


def test_profiles_are_those_of_galaxies():
    neighbors = draw(sim_v2_neighbors())
    for name in ("bulge_to_total", "bulge_radius", "disk_radius", "bulge_sersic_index", "disk_axis_ratio"):
        assert np.median(neighbors[name]) == pytest.approx(np.median(GALAXIES[name]), rel=0.1)
    assert abs(np.corrcoef(neighbors["bulge_to_total"], GALAXIES["bulge_to_total"][neighbors["galaxy"]])[0, 1]) < 0.1


def test_defaults_are_the_counts_of_their_source():
    """46 · 10^(0.31 (i - 25)) per square arcmin, from 18 to 24."""
    per_area = 46 * (10 ** (0.31 * (24 - 25)) - 10 ** (0.31 * (18 - 25)))
    default = NeighborPrior()
    assert default.mean_number == pytest.approx(per_area * np.pi * (default.radius / 60) ** 2, rel=0.03)
    assert (default.slope, default.magnitude) == (0.31, 21.0)
    assert (60 / default.clustering_length) ** -0.8 == pytest.approx(0.02, rel=0.1)
    assert default.size_slope == pytest.approx(0.269 / np.log(10), abs=1e-3)
    assert default.star_share == pytest.approx(1.1 / (46 * 10 ** (0.31 * (23 - 25)) + 1.1), rel=0.15)


def test_field_is_the_same_around_bright_and_faint_galaxies():
    galaxies = {name: np.repeat(values[:1], 6000) for name, values in GALAXIES.items()}
    galaxies["flux"] = 10 ** (-0.4 * (np.repeat([20.0, 22.0], 3000) - BAND.zero_point))
    neighbors = draw(NeighborPrior(clustering_length=0.0), galaxies)
    number = [(neighbors["galaxy"] // 3000 == group).sum() / 3000 for group in (0, 1)]
    assert number[1] / number[0] == pytest.approx(10 ** (0.31 * 2), rel=0.06)
    both = (neighbors["magnitude"] > 19) & (neighbors["magnitude"] < 23)  # which neighbors of either may have
    seen = np.bincount(neighbors["galaxy"][both] // 3000, minlength=2)
    assert seen[1] / seen[0] == pytest.approx(1, abs=4 * np.sqrt(2 / seen[0]))


def test_clustering_raises_the_density_near_the_galaxy():
    even, clustered = (draw(NeighborPrior(clustering_length=length, mean_number=10.0)) for length in (0.0, 2.0))
    density = []
    for drawn in (even, clustered):
        distance = drawn["distance"] * BAND.pixel_scale
        density.append((distance < 1).sum() / (distance > 6).sum())
    r = np.linspace(0.174, 12, 20000)  # arcsec
    weight = r * (1 + (r / 2.0) ** -0.8)
    expected = (weight[r < 1].sum() / weight[r > 6].sum()) / (r[r < 1].sum() / r[r > 6].sum())
    assert density[1] / density[0] == pytest.approx(expected, rel=0.15)


def test_sizes_relative_to_the_galaxy_and_to_the_magnitude():
    from galestim.simulation import half_light_radius

    radius = half_light_radius(GALAXIES)
    same = draw(NeighborPrior(relative_radius=0.5, size_slope=0.0, star_share=0.0))
    np.testing.assert_allclose(same["half_light_radius"], 0.5 * radius[same["galaxy"]])
    np.testing.assert_allclose(half_light_radius(same), same["half_light_radius"], rtol=1e-6)
    smaller = draw(NeighborPrior(relative_radius=0.5, size_slope=0.1, star_share=0.0))
    factor = smaller["half_light_radius"] / same["half_light_radius"]
    np.testing.assert_allclose(factor, smaller["flux_ratio"] ** 0.25)  # 0.1 dex per 0.4 dex
    own = draw(NeighborPrior(prior=PRIOR.replace(disk_sersic_index=Uniform(2.0, 2.0)), star_share=0.0))
    assert (own["disk_sersic_index"] == 2).all()


def test_sizes_of_cameras_that_are_relative():
    cameras, prior = sim_v2_cameras(), sim_v2_prior(crowded=True)
    galaxies = prior.draw(1500, random_state=0)
    band = cameras.draw(1500, random_state=0, galaxies=galaxies)
    neighbors = sim_v2_neighbors().draw(galaxies, band, prior, random_state=0, cameras=cameras)
    scale = np.asarray(band.pixel_scale)
    fwhm = np.array([psf.fwhm for psf in band.psf]) / scale
    for values, galaxy in ((neighbors, neighbors["galaxy"]), (galaxies, np.arange(1500))):
        pixels = values["half_light_radius"] / scale[galaxy]
        relative = pixels / fwhm[galaxy]
        assert pixels.max() <= 12
        assert 0.25 <= relative.min() < 0.27
        assert 2.8 < relative.max() <= 3
        assert np.median(relative) == pytest.approx(0.75, rel=0.1)
    assert (neighbors["distance"] >= 0.3 * fwhm[neighbors["galaxy"]]).all()


def test_stars_are_points():
    neighbors = draw(NeighborPrior(star_share=0.3))
    star = neighbors["is_star"]
    assert star.mean() == pytest.approx(0.3, abs=0.02)
    assert (neighbors["bulge_radius"][star] < 0.01 * BAND.pixel_scale).all()
    assert (neighbors["bulge_radius"][~star] > 0.01 * BAND.pixel_scale).all()


def test_same_seed_same_neighbors_and_entries_have_streams_of_their_own():
    first, second = draw(NeighborPrior()), draw(NeighborPrior())
    assert all(np.array_equal(first[name], second[name]) for name in first)
    first = draw(NeighborPrior(magnitude=None))
    flatter = draw(NeighborPrior(magnitude=None, slope=0.2, star_share=0.5))
    assert not np.array_equal(flatter["flux"], first["flux"])
    for name in ("galaxy", "distance", "bulge_to_total", "x_offset"):
        np.testing.assert_array_equal(flatter[name], first[name])
    assert not np.array_equal(draw(NeighborPrior(magnitude=None), random_state=1)["galaxy"], first["galaxy"])


def test_even_magnitudes_and_no_neighbors():
    even = draw(NeighborPrior(slope=0.0))
    assert np.log10(even["flux_ratio"]).mean() == pytest.approx(0, abs=0.03)
    alone = draw(NeighborPrior(mean_number=0.0))
    assert all(len(values) == 0 for values in alone.values())


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"mean_number": -1}, "mean_number=-1; expected at least 0."),
        ({"radius": 0}, "radius=0; expected positive."),
        ({"slope": np.nan}, "slope=nan; expected a finite number."),
        ({"star_share": 1.5}, "star_share=1.5; expected from 0 to 1."),
        ({"unit": "deg"}, "unit='deg'; expected one of arcsec, pixel."),
        ({"brightest": 1, "faintest": -1}, "brightest=1 is fainter than faintest=-1; expected magnitudes less that"),
        ({"prior": 3}, "prior=3; expected a GalaxyPrior, such as sim_v1_prior()"),
        ({"relative_radius": "large"}, "relative_radius='large'; expected a prior, such as Uniform"),
        ({"mean_number": Uniform(0, 1)}, "mean_number=Uniform.*; expected at least 0."),
    ],
)
def test_what_is_no_prior(entries, message):
    with pytest.raises(ValueError, match=message.replace("(", r"\(").replace(")", r"\)")):
        NeighborPrior(**entries)


def test_no_room():
    with pytest.raises(ValueError, match=r"radius=0.1 \(0.6 pixels\) is within min_separation=0.3 \(1.0 pixels\)"):
        draw(NeighborPrior(radius=0.1))


def test_what_is_known_of_them():
    prior = NeighborPrior(relative_radius=LogUniform(0.5, 2.0))
    galaxies = sim_v2_prior().draw(20, random_state=0)
    neighbors = prior.draw(galaxies, BAND, sim_v2_prior(), random_state=0)
    covariance = np.linalg.inv(prior.given(BAND, sim_v2_prior()).precision(neighbors))
    from galestim.simulation._parameters import PARAMETERS
    from galestim.simulation._radius import log_radius_slopes

    names = list(PARAMETERS)
    for name in ("x_offset", "y_offset"):
        np.testing.assert_allclose(covariance[:, names.index(name), names.index(name)], 1.0)
    flux = np.log(draw(prior)["flux_ratio"])
    np.testing.assert_allclose(covariance[:, names.index("flux"), names.index("flux")], flux.var(), rtol=0.05)
    star = neighbors["is_star"]
    slope = log_radius_slopes(neighbors)[~star]
    radius = np.einsum("ni,nij,nj->n", slope, covariance[~star], slope)
    assert (radius <= LogUniform(0.5, 2.0).variance(logarithm=True) * (1 + 1e-9)).all()


def test_band_whose_point_spread_function_tells_no_width():
    class Shape:
        includes_pixel = False

        def transform(self, kx, ky):
            return MoffatPSF(0.6).transform(kx, ky)

    with pytest.raises(ValueError, match="psf has no fwhm; expected one that tells its full width at half maximum"):
        NeighborPrior().draw(GALAXIES, Band(Shape(), 0.1, 0.2), PRIOR)
