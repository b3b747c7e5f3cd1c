"""Simulated galaxies of which each has a camera of its own."""

import pickle

import numpy as np
import pytest
from sklearn.model_selection import train_test_split

from galestim import Cutouts
from galestim.datasets import SimulatedGalaxies, _simulated, make_galaxies
from galestim.simulation import render, sim_v2_cameras, sim_v2_prior

CAMERAS = sim_v2_cameras().replace(stamp_npix=15)


def galaxies(n=80, **parameters):
    return SimulatedGalaxies(
        n, **{"npix": 32, "band": CAMERAS, "prior": sim_v2_prior(), "random_state": 0, **parameters}
    )


def same(one, other):
    return all(
        np.array_equal(getattr(one, name), getattr(other, name)) for name in ("images", "psf", "noise", "pixel_scale")
    )


def test_rows_are_cutouts_of_the_cameras():
    drawn = galaxies()
    cutouts = drawn[3:9]
    assert isinstance(cutouts, Cutouts)
    assert cutouts.shape == (6, 32, 32)
    assert cutouts.psf.shape == (6, 15, 15)
    for name, known in (("noise", "sky_noise"), ("gain", "gain"), ("pixel_scale", "pixel_scale")):
        np.testing.assert_array_equal(getattr(cutouts, name), getattr(drawn.cameras, known)[3:9])
    assert (cutouts.zero_point, list(cutouts.sky_error), list(cutouts.psf_error)) == (27.0, [0.1] * 6, [0.02] * 6)


def test_images_are_those_of_galaxies_and_cameras():
    drawn = galaxies(200)
    camera = drawn.cameras
    clean = render(drawn.parameters, npix=32, pixel_scale=camera.pixel_scale, psf=camera.psf).numpy()
    variance = camera.sky_noise[:, None, None] ** 2 + np.maximum(clean, 0) / camera.gain[:, None, None]
    pull = (np.asarray(drawn) - clean) / np.sqrt(variance)
    level = np.sqrt(0.01 * (camera.sky_noise[:, None, None] ** 2 / variance).mean() + 1)  # of the sky, 0.1
    assert pull.std() == pytest.approx(level, rel=0.02)
    independent = camera.correlation == 0
    neighbors = (pull[:, :, 1:] * pull[:, :, :-1]).mean(axis=(1, 2))
    assert neighbors[independent].mean() == pytest.approx(0.01, abs=0.01)
    assert neighbors[~independent].min() > 0.05


def test_rows_depend_on_nothing_else():
    drawn = galaxies()
    assert same(drawn[[5, 7]], galaxies()[[5, 7]])
    np.testing.assert_array_equal(drawn[7].astype("f4"), drawn[[5, 7]].images[1])
    np.testing.assert_array_equal(drawn[[5, 7], 3:5], drawn[[5, 7]].images[:, 3:5])
    assert np.asarray(drawn).shape == (80, 32, 32)
    assert len(drawn[:0]) == 0


def test_epochs_have_new_noise_and_stars_on_the_same_galaxies():
    drawn, rows = galaxies(), np.arange(40)
    (first, target), (second, _) = drawn.redrawn(rows, 1), drawn.redrawn(rows, 2)
    np.testing.assert_array_equal(target, drawn.target[rows])
    for name in ("noise", "gain", "pixel_scale"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    assert (first.images != second.images).all()
    assert not np.array_equal(first.psf, second.psf)
    np.testing.assert_allclose(first.psf.max(axis=(1, 2)), second.psf.max(axis=(1, 2)), rtol=0.3)
    assert same(drawn.redrawn(rows, 1)[0], first)
    assert same(pickle.loads(pickle.dumps(drawn)).redrawn(rows, 1)[0], first)


def test_galaxies_are_redrawn_with_their_cameras():
    drawn, rows = galaxies(redraw="galaxies", lifetime=4, noise_factor=0), np.arange(80)
    (first, target), (second, later) = drawn.redrawn(rows, 1), drawn.redrawn(rows, 2)
    stayed = (target == later).all(axis=1)
    assert stayed.sum() == 60
    np.testing.assert_array_equal(first.pixel_scale == second.pixel_scale, stayed)
    np.testing.assert_array_equal(first.images[stayed], second.images[stayed])
    in_pixels = later[:, 1] / second.pixel_scale
    assert in_pixels.max() <= 12 * (1 + 1e-9)


def test_sizes_change_from_call_to_call():
    drawn = galaxies(npix=(16, 24, 32), noise_factor=0)
    assert drawn.shape == (80, 32, 32)
    calls = [drawn.redrawn([1, 2], epoch)[0] for epoch in range(1, 13)]
    assert {cutouts.shape for cutouts in calls} == {(2, 16, 16), (2, 24, 24), (2, 32, 32)}
    for cutouts in calls:
        start = (32 - cutouts.shape[1]) // 2
        whole = drawn[[1, 2]].images[:, start : 32 - start, start : 32 - start]
        np.testing.assert_allclose(cutouts.images, whole, atol=1e-5 * whole.max())
    assert [galaxies(npix=(16, 24, 32)).redrawn([1, 2], epoch)[0].shape for epoch in range(1, 13)] == [
        cutouts.shape for cutouts in calls
    ]


def test_images_of_one_camera_have_sizes_too():
    drawn = SimulatedGalaxies(20, npix=[8, 16], random_state=0)
    assert {drawn.redrawn([1, 2], epoch)[0].shape[1] for epoch in range(1, 9)} == {8, 16}


def test_stars_may_be_larger_than_images():
    cutouts = galaxies(npix=12, band=CAMERAS.replace(stamp_npix=25))[:4]
    larger = galaxies(npix=64, band=CAMERAS.replace(stamp_npix=25))[:4]
    assert cutouts.shape[1:] == (12, 12)
    assert cutouts.psf.shape[1:] == (25, 25)
    np.testing.assert_allclose(cutouts.psf.max(axis=(1, 2)), larger.psf.max(axis=(1, 2)), rtol=0.1)


def test_rows_that_the_cache_has_no_room_for(monkeypatch):
    expected = galaxies()[:]
    monkeypatch.setattr(_simulated, "CACHE_BYTES", 20 * (32**2 + 15**2) * 4)
    drawn = galaxies()
    np.testing.assert_allclose(drawn[:].images, expected.images, atol=1e-4 * expected.images.max())
    assert [len(kept) for kept in drawn._cache] == [20, 20]


def test_splits_keep_the_cameras():
    drawn = galaxies(40)
    train, test, y_train, _ = train_test_split(drawn, drawn.target, random_state=0)
    assert isinstance(train, Cutouts)
    assert (train.shape, test.shape) == ((30, 32, 32), (10, 32, 32))
    row = int(np.flatnonzero((drawn.target == y_train[0]).all(axis=1))[0])
    np.testing.assert_array_equal(train.psf[0], drawn[[row]].psf[0])


def test_other_dtypes():
    assert galaxies(5, dtype="float64")[:2].dtype == np.float64


@pytest.mark.parametrize(
    ("npix", "message"),
    [
        ((), "expected a positive number of pixels, or some of them"),
        ((16, 0), "or some"),
        ((16, 25), "all even or all odd"),
    ],
)
def test_sizes_that_are_none(npix, message):
    with pytest.raises(ValueError, match=message):
        galaxies(npix=npix)


def test_other_functions_take_one_camera():
    with pytest.raises(ValueError, match=r"expected a galestim.simulation.Band"):
        make_galaxies(3, npix=8, band=CAMERAS)
