import arviz
import numpy as np
import pytest

from galestim.posteriors import MixturePosterior, Posterior

IDS = ["NGC 1", "NGC 2", "NGC 3", "NGC 4"]


def test_draws_there_and_back(galaxies):
    galaxies.ids = IDS
    data = galaxies.to_arviz(n_samples=30, random_state=0)
    draws = galaxies.sample(30, random_state=0)
    group = data["posterior"]
    assert dict(group.sizes) == {"chain": 1, "draw": 30, "galaxy": 4}
    for j, name in enumerate(galaxies.target_names):
        assert group[name].dims == ("chain", "draw", "galaxy")
        np.testing.assert_array_equal(group[name].values[0], draws[..., j].T)
    assert group["half_light_radius"].attrs["units"] == "arcsec"
    assert "units" not in group["bulge_to_total"].attrs
    back = Posterior.from_arviz(data)
    np.testing.assert_array_equal(back.draws, draws)
    assert (back.target_names, back.units, back.ids.tolist()) == (galaxies.target_names, galaxies.units, IDS)
    assert Posterior.from_arviz(data, ["flux"]).target_names == ["flux"]


def test_it_is_what_this_arviz_works_with(galaxies):
    table = arviz.summary(galaxies[:2].to_arviz(200, random_state=0), kind="stats", round_to="none")
    drawn = galaxies[:2].sample(200, random_state=0).mean(axis=1)
    np.testing.assert_allclose(
        table.loc[["half_light_radius[0]", "half_light_radius[1]"], "mean"].astype(float), drawn[:, 1]
    )


def test_chains_of_a_sampler():
    chains = np.random.default_rng(0).normal(size=(4, 50))
    samples = {"mu": chains, "radius": np.abs(chains)}
    data = arviz.from_dict(samples) if arviz.__version__.startswith("0.") else arviz.from_dict({"posterior": samples})
    posterior = Posterior.from_arviz(data)
    np.testing.assert_array_equal(posterior.draws, np.stack([chains.ravel(), np.abs(chains).ravel()], axis=1)[None])
    assert posterior.ids is None


def test_numbers_of_galaxies_are_no_names(galaxies):
    assert Posterior.from_arviz(galaxies.to_arviz(5)).ids is None


def test_what_cannot_be_a_posterior(galaxies):
    data = galaxies.to_arviz(5, random_state=0)
    with pytest.raises(ValueError, match="no variable 'mass' in the data set; it has bulge_to_total, half_light_ra"):
        Posterior.from_arviz(data, ["mass"])
    group = data["posterior"]
    wide = {"posterior": group["flux"].expand_dims(band=2).to_dataset(name="flux")}
    with pytest.raises(ValueError, match=r"flux has the dimensions \('band', 'chain', .*expected chain, draw, and"):
        Posterior.from_arviz(wide)
    uneven = {"posterior": group["flux"].to_dataset(name="flux").assign(mean=group["flux"].isel(galaxy=0))}
    with pytest.raises(ValueError, match=r"flux \(4, 5\), mean \(1, 5\); expected as many in each"):
        Posterior.from_arviz(uneven)


@pytest.mark.parametrize("data", [np.zeros((3, 4)), {"prior": 1}, 3])
def test_what_is_no_data_set(data):
    with pytest.raises(TypeError, match=f"got {type(data).__name__}; expected a DataTree or an InferenceData with a"):
        Posterior.from_arviz(data)


def test_names_of_dimensions_are_taken():
    posterior = MixturePosterior(np.zeros((2, 1, 1)), np.ones((2, 1, 1, 1)), target_names=["draw"])
    with pytest.raises(ValueError, match="target 'draw' has the name of a dimension; give it another"):
        posterior.to_arviz()
