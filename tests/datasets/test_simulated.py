import pickle
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from sklearn.model_selection import train_test_split

from galestim.datasets import SimulatedGalaxies, _simulated, make_galaxies
from galestim.simulation import Uniform, half_light_radius, hsc_like, render, sim_v1_prior

REFERENCE = np.array([[2.7551892, 2.7490764], [13.571601, 14.609102]], dtype=np.float32)


def galaxies(n=150, **parameters):
    return SimulatedGalaxies(n, **{"npix": 16, "random_state": 0, **parameters})


def noiseless(drawn):
    return render(drawn.parameters, npix=16, pixel_scale=0.168, psf=drawn.band.psf).numpy()


def test_images_are_those_of_the_parameters_with_the_noise_of_the_band():
    drawn = galaxies(400)
    clean = noiseless(drawn)
    sigma = np.sqrt(0.055**2 + np.maximum(clean, 0) / 3000)
    pull = (drawn[:] - clean) / sigma
    assert (drawn[:].dtype, drawn.dtype, drawn.shape) == (np.float32, np.float32, (400, 16, 16))
    assert abs(pull.mean()) < 4 / np.sqrt(pull.size)
    assert pull.std() == pytest.approx(1, abs=4 / np.sqrt(2 * pull.size))
    assert abs(np.corrcoef(pull.reshape(400, -1))[np.triu_indices(400, 1)]).max() < 0.4  # each row has its own


def test_without_noise():
    drawn = galaxies(noise_factor=0, dtype="float64")
    np.testing.assert_allclose(drawn[:], noiseless(drawn), rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(drawn.redrawn([3, 4], 1)[0], drawn[3:5])
    assert drawn[:2].dtype == drawn.redrawn([0], 1)[0].dtype == np.float64


def test_noise_has_its_factor():
    plain, noisier = galaxies(), galaxies(noise_factor=3.0)
    clean = noiseless(plain)
    np.testing.assert_allclose(noisier[:] - clean, 3 * (plain[:] - clean), atol=1e-4)


def test_images_that_the_shipped_model_knows():
    """Pixels of these galaxies as they were when the model was trained."""
    drawn = SimulatedGalaxies(500, random_state=123)
    np.testing.assert_allclose(drawn[[3, 499], 47:49, 48], REFERENCE, rtol=1e-5)


def test_another_zero_point_changes_the_fluxes_alone():
    plain, other = galaxies(noise_factor=0), galaxies(noise_factor=0, band=replace(hsc_like("i"), zero_point=22.0))
    np.testing.assert_allclose(other.target, plain.target * [1, 1, 0.01])
    np.testing.assert_allclose(other[:5], 0.01 * plain[:5], rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("zero_point", [22.5, 31.4])
def test_population_is_the_same_in_every_band(zero_point):
    band = replace(hsc_like("i"), zero_point=zero_point)
    drawn, others = galaxies(band=band), make_galaxies(200, npix=8, band=band, random_state=0)
    for known in (drawn, others):
        magnitude = known.parameters["magnitude"]
        assert 17.5 <= magnitude.min() < 18.5 < 22 < magnitude.max() <= 23
        np.testing.assert_allclose(zero_point - 2.5 * np.log10(known.target[:, 2]), magnitude)


def test_targets_are_those_of_the_galaxies():
    drawn = galaxies()
    expected = [drawn.parameters["bulge_to_total"], half_light_radius(drawn.parameters), drawn.parameters["flux"]]
    np.testing.assert_array_equal(drawn.target, np.column_stack(expected))
    assert drawn.target_names == ["bulge_to_total", "half_light_radius", "flux"]


def test_prior_and_band_are_those_given():
    prior = sim_v1_prior().replace(magnitude=Uniform(25.0, 25.2))
    drawn = galaxies(prior=prior, band=hsc_like("g"), redraw="galaxies", noise_factor=0)
    low, high = 10**0.72, 10**0.8  # at zero point 27
    assert low < drawn.target[:, 2].min() < drawn.target[:, 2].max() < high
    new = drawn.redrawn(np.arange(100), 1)[1][:, 2]
    assert low < new.min() < new.max() < high
    wide = galaxies(prior=prior, noise_factor=0)
    assert drawn[:, 7:9, 7:9].mean() < wide[:, 7:9, 7:9].mean()  # seeing is worse in g


@pytest.mark.parametrize(
    "rows",
    [3, -1, slice(9, 90, 7), [5, 2, 2], np.arange(150) % 3 == 0, [[0, 1], [7, 9]], (..., slice(4, 8)), (slice(5), 3)],
)
def test_rows_are_the_same_whatever_they_are_read_with(rows):
    np.testing.assert_array_equal(galaxies()[rows], np.asarray(galaxies())[rows])


def test_rows_that_do_not_exist():
    with pytest.raises(IndexError, match="150"):
        galaxies()[150]


def test_epochs_have_new_noise_on_the_same_galaxies():
    drawn, rows = galaxies(), np.arange(0, 140, 2)
    first, target = drawn.redrawn(rows, 1)
    second, _ = drawn.redrawn(rows, 2)
    np.testing.assert_array_equal(target, drawn.target[rows])
    clean = noiseless(drawn)[rows]
    assert np.std(first - second) == pytest.approx(np.sqrt(2) * np.std(first - clean), rel=0.05)
    assert abs(np.corrcoef((first - clean).ravel(), (second - clean).ravel())[0, 1]) < 0.03
    assert abs(np.corrcoef((first - clean).ravel(), (drawn[rows] - clean).ravel())[0, 1]) < 0.03


def test_epochs_have_new_galaxies_with_their_own_targets():
    drawn = galaxies(redraw="galaxies", lifetime=1, noise_factor=0)
    images, target = drawn.redrawn(np.arange(100), 1)
    assert not np.isin(target, drawn.target).any()
    inside = images.sum(axis=(1, 2)) / target[:, 2]
    assert 0.2 < inside.min() < inside.max() < 1.01  # they are of these galaxies: the flux, less what is outside
    assert not np.isin(drawn.redrawn(np.arange(100), 2)[1], target).any()


def test_galaxies_live_for_some_epochs_and_a_part_of_them_dies_in_each():
    drawn, rows = galaxies(redraw="galaxies", lifetime=5, noise_factor=0), np.arange(150)
    epochs = [drawn.redrawn(rows, epoch) for epoch in range(1, 12)]
    for (images, target), (later, later_target) in pairwise(epochs):
        stayed = (target == later_target).all(axis=1)
        assert stayed.sum() == 120
        np.testing.assert_array_equal(images[stayed], later[stayed])
        assert not (images[~stayed] == later[~stayed]).all(axis=(1, 2)).any()
    for (_, target), (_, later_target) in zip(epochs, epochs[5:]):
        assert not np.isin(target, later_target).any()
    np.testing.assert_array_equal(drawn.redrawn(rows, 3)[0], epochs[2][0])  # also when asked for again


@pytest.mark.parametrize("redraw", ["noise", "galaxies"])
def test_the_same_epoch_is_the_same_again_also_from_a_pickle(redraw):
    drawn = galaxies(redraw=redraw)
    rows = [4, 3, 100]
    kept = drawn.redrawn(rows, 5), drawn[rows]
    drawn.redrawn([1, 2], 1)
    for again in (drawn, galaxies(redraw=redraw), pickle.loads(pickle.dumps(drawn))):
        for one, other in zip(again.redrawn(rows, 5), kept[0]):
            np.testing.assert_array_equal(one, other)
        np.testing.assert_array_equal(again[rows], kept[1])
    assert not np.array_equal(galaxies(random_state=1).redrawn(rows, 5)[0], kept[0][0])


def test_pickles_hold_no_images():
    drawn = galaxies(npix=64)
    drawn[:]
    assert len(pickle.dumps(drawn)) < 150 * 400


def test_rows_that_the_cache_has_no_room_for(monkeypatch):
    expected = galaxies()[:]
    monkeypatch.setattr(_simulated, "CACHE_BYTES", 20 * 16 * 16 * 4)
    drawn = galaxies()
    np.testing.assert_allclose(drawn[:], expected, atol=1e-5)
    assert len(drawn._cache[0]) == 20
    np.testing.assert_allclose(drawn[:], expected, atol=1e-5)


def test_scikit_learn_splits_it_into_arrays():
    drawn = galaxies()
    train, test, y_train, _ = train_test_split(drawn, drawn.target, random_state=0)
    assert (train.shape, test.shape) == ((112, 16, 16), (38, 16, 16))
    row = int(np.flatnonzero((drawn.target == y_train[0]).all(axis=1))[0])
    np.testing.assert_array_equal(train[0], drawn[row])


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n": 0}, "'n_samples'"),
        ({"redraw": "psf"}, "'redraw'"),
        ({"band": "i"}, r"band='i'; expected a galestim.simulation.Band, such as hsc_like\('i'\)"),
        (
            {"band": replace(hsc_like("i"), pixel_scale=np.ones(150))},
            "band has entries per galaxy; expected one camera",
        ),
        ({"prior": 3}, r"prior=3; expected a galestim.simulation.GalaxyPrior, such as sim_v1_prior\(\), or None"),
        ({"noise_factor": -1}, "'noise_factor'"),
        ({"dtype": "uint8"}, "dtype=uint8; expected one of floating-point numbers"),
    ],
)
def test_what_is_not_understood(parameters, message):
    with pytest.raises(ValueError, match=message):
        galaxies(**parameters)


def test_epoch_zero_is_not_redrawn():
    with pytest.raises(ValueError, match=r"epoch=0; expected 1 or more, as galaxies\[rows\] are those of epoch 0"):
        galaxies().redrawn([0], 0)


def test_there_is_no_array_to_share():
    with pytest.raises(ValueError, match="no array in memory to share"):
        np.asarray(galaxies(), copy=False)
