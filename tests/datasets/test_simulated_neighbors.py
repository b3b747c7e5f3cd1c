"""Simulated galaxies that are not alone."""

import pickle

import numpy as np
import pytest

from galestim.datasets import SimulatedGalaxies, make_galaxies
from galestim.simulation import (
    NeighborPrior,
    hsc_like,
    render,
    sim_v1_prior,
    sim_v2_cameras,
    sim_v2_neighbors,
    sim_v2_prior,
)

CAMERAS, NEIGHBORS = sim_v2_cameras().replace(stamp_npix=15), sim_v2_neighbors()
OWN = {"npix": 32, "band": CAMERAS, "prior": sim_v2_prior(crowded=True)}


def galaxies(n=60, **parameters):
    return SimulatedGalaxies(n, **{**OWN, "neighbors": NEIGHBORS, "random_state": 0, **parameters})


def test_targets_and_cameras_stay():
    crowded, lonely = galaxies(), galaxies(neighbors=None)
    np.testing.assert_array_equal(crowded.target, lonely.target)
    for name in lonely.parameters:
        np.testing.assert_array_equal(crowded.parameters[name], lonely.parameters[name])
    for name in ("noise", "gain", "pixel_scale", "psf"):
        np.testing.assert_allclose(getattr(crowded[:], name), getattr(lonely[:], name), rtol=1e-3, atol=1e-4)
    assert lonely.neighbor_parameters is None
    assert "n_neighbors" not in lonely.parameters


def test_images_are_those_of_galaxies_and_neighbors():
    drawn = galaxies()
    camera, around = drawn.cameras, drawn.neighbor_parameters
    number = np.bincount(around["galaxy"], minlength=60)
    np.testing.assert_array_equal(drawn.parameters["n_neighbors"], number)
    options = {"npix": 32, "pixel_scale": camera.pixel_scale, "psf": camera.psf}
    scene, alone = (render(drawn.parameters, **options, neighbors=these).numpy() for these in (around, None))
    peak = scene.max(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(drawn.noiseless(range(60)) / peak, scene / peak, atol=1e-3)
    np.testing.assert_allclose(drawn.noiseless(range(60), alone=True) / peak, alone / peak, atol=1e-3)
    assert drawn.noiseless(slice(0, 0)).shape == (0, 32, 32)
    lonely = number == 0
    assert 0.1 < lonely.mean() < 0.5
    assert (abs(scene - alone)[lonely] / peak[lonely] < 1e-3).all()
    assert ((scene - alone)[~lonely].sum(axis=(1, 2)) > 0).all()
    images = drawn[:].images
    variance = camera.sky_noise[:, None, None] ** 2 + np.maximum(scene, 0) / camera.gain[:, None, None]
    pull = (images - scene) / np.sqrt(variance)
    assert (pull[~lonely] ** 2).mean() == pytest.approx(1, abs=0.06)  # with the photons of neighbors


def test_same_seed_same_images_whatever_was_looked_at():
    first, second = galaxies(), galaxies()
    second[40:]
    np.testing.assert_allclose(first[7:9].images, second[7:9].images, rtol=1e-4, atol=1e-3 * first[7:9].images.max())
    restored = pickle.loads(pickle.dumps(first))
    np.testing.assert_array_equal(restored.neighbor_parameters["flux"], first.neighbor_parameters["flux"])
    assert not np.array_equal(
        galaxies(random_state=1).neighbor_parameters["galaxy"], first.neighbor_parameters["galaxy"]
    )


def test_neighbors_are_redrawn_with_their_galaxies():
    drawn, rows = galaxies(redraw="galaxies", lifetime=3), np.arange(60)
    before = drawn._first
    for epoch in (1, 2, 5):
        living = drawn._living(epoch)
        number = np.bincount(living.neighbors["galaxy"], minlength=60)
        np.testing.assert_array_equal(living.parameters["n_neighbors"], number)
        galaxy = living.neighbors["galaxy"]
        ratio = living.neighbors["flux"] / living.parameters["flux"][galaxy]
        np.testing.assert_allclose(living.neighbors["flux_ratio"], ratio)
        stays = np.isin(galaxy, rows[living.birth == 0])
        assert stays.any() == (epoch < 3)
        assert set(living.neighbors["flux"][stays]) <= set(before.neighbors["flux"])
        assert not set(living.neighbors["flux"][~stays]) & set(before.neighbors["flux"])
    (images, target), (again, _) = drawn.redrawn(rows, 5), galaxies(redraw="galaxies", lifetime=3).redrawn(rows, 5)
    np.testing.assert_array_equal(images.images, again.images)
    np.testing.assert_array_equal(target, living.target)


def test_one_camera_for_all():
    drawn = SimulatedGalaxies(30, npix=40, neighbors=NeighborPrior(), random_state=0)
    assert (drawn.neighbor_parameters["distance"] * 0.168 <= 12).all()
    light = drawn.noiseless(range(30)) - drawn.noiseless(range(30), alone=True)
    bright = drawn.parameters["n_neighbors"] > 0
    assert (light[bright].max(axis=(1, 2)) > 0).all()
    scale = drawn.noiseless(range(30)).max()
    np.testing.assert_allclose(light[~bright], 0, atol=1e-5 * scale)
    np.testing.assert_allclose(drawn[:] - drawn.noiseless(range(30)), 0, atol=12 * np.sqrt(0.055**2 + scale / 3000))


def test_make_galaxies_takes_them_too():
    prior = sim_v1_prior()
    data = make_galaxies(20, neighbors=NeighborPrior(), random_state=0, noise_factor=0)
    lonely = make_galaxies(20, random_state=0, noise_factor=0)
    np.testing.assert_array_equal(data.target, lonely.target)
    np.testing.assert_array_equal(data.parameters["n_neighbors"], np.bincount(data.neighbors["galaxy"], minlength=20))
    band = hsc_like("i")
    camera = {"npix": 64, "pixel_scale": band.pixel_scale, "psf": band.psf}
    expected = render(prior.draw(20, random_state=0), **camera, neighbors=data.neighbors).numpy()
    np.testing.assert_allclose(data.images, expected, atol=1e-4 * expected.max())
    with pytest.raises(ValueError, match="n_neighbors=1 and neighbors are given; expected one of them"):
        make_galaxies(20, neighbors=NeighborPrior(), n_neighbors=1)


def test_what_is_no_prior():
    with pytest.raises(ValueError, match=r"neighbors=1.2; expected a galestim.simulation.NeighborPrior, or None."):
        galaxies(neighbors=1.2)
    with pytest.raises(ValueError, match=r"neighbors='many'; expected a galestim.simulation.NeighborPrior, or None."):
        make_galaxies(3, neighbors="many")
