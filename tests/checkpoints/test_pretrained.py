"""The estimators that come with galestim: they are what their cards say, on galaxies that they have not seen."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

import galestim.checkpoints
from galestim import Cutouts, PosteriorRegressor
from galestim.calibration import coverage
from galestim.checkpoints import load_pretrained
from galestim.checkpoints._pretrained import ENDING, FOLDER
from galestim.datasets import SimulatedGalaxies
from galestim.simulation import sim_v2_cameras, sim_v2_prior

NAMES = ["bulge_to_total", "half_light_radius", "flux"]
MEDIAN_ERRORS = [0.135, 0.065, 0.034]  # 0.110, 0.053, 0.025 of other galaxies, and 4 standard errors


@pytest.fixture(scope="module")
def model():
    return load_pretrained(device="cpu")


@pytest.fixture(scope="module")
def galaxies():
    """Each through a camera of its own."""
    return SimulatedGalaxies(500, npix=96, band=sim_v2_cameras(), prior=sim_v2_prior(), random_state=20_000)


@pytest.fixture(scope="module")
def of_one_camera():
    return load_pretrained("hsc-sim-i", device="cpu"), SimulatedGalaxies(400, random_state=20_000)


def test_any_camera_knows_galaxies_and_cameras_that_it_has_not_seen(model, galaxies):
    posterior, truth = model.predict_posterior(galaxies[:]), galaxies.target
    assert posterior.target_names == NAMES
    assert posterior.units == [None, "arcsec", None]
    error = posterior.median() - truth
    error[:, 1:] /= truth[:, 1:]
    assert (np.median(abs(error), axis=0) < MEDIAN_ERRORS).all()
    covered = coverage(posterior, truth, levels=[0.6827]).coverage[0]
    assert (abs(covered - 0.6827) < 0.083).all()  # four times the scatter of 500 galaxies


def test_any_camera_says_what_it_has_not_seen(model, galaxies):
    cutouts = galaxies[:200]
    assert model.in_domain(cutouts).mean() > 0.95
    noise = cutouts.replace(cutouts.noise[:, None, None] * np.random.default_rng(0).normal(size=cutouts.shape))
    assert model.in_domain(noise).mean() < 0.05


def test_pixels_twice_as_large_are_galaxies_twice_as_large(model, galaxies):
    cutouts = galaxies[:20]
    near, far = (model.predict(one) for one in (cutouts, cutouts.replace(pixel_scale=2 * cutouts.pixel_scale)))
    np.testing.assert_allclose(far / near, [[1, 2, 1]] * 20, rtol=1e-5)


def test_bad_pixels_hold_anything(model, galaxies):
    cutouts = galaxies[:20]
    mask = np.random.default_rng(0).random(cutouts.shape) < 0.1
    held = [model.predict(cutouts.replace(np.where(mask, x, cutouts.images), mask=mask)) for x in (np.nan, 1e9)]
    np.testing.assert_array_equal(*held)


def test_images_without_a_camera_are_refused(model):
    with pytest.raises(ValueError, match="Cutouts"):
        model.predict(np.zeros((2, 64, 64)))
    with pytest.raises(ValueError, match="psf"):
        model.predict(Cutouts(np.zeros((2, 64, 64)), noise=1.0))


def test_one_camera_knows_galaxies_that_it_has_not_seen(of_one_camera):
    model, galaxies = of_one_camera
    assert type(model) is PosteriorRegressor
    posterior, truth = model.predict_posterior(galaxies), galaxies.target
    assert posterior.target_names == NAMES
    assert posterior.units == [None, "arcsec", None]
    error = posterior.mean() - truth
    error[:, 1:] /= truth[:, 1:]
    # 0.034, 0.009, 0.006, and 4 standard errors
    assert (np.median(abs(error), axis=0) < [0.043, 0.0115, 0.008]).all()
    covered = coverage(posterior, truth, levels=[0.6827]).coverage[0]
    assert (abs(covered - 0.6827) < 0.09).all()  # four times the scatter of 400 galaxies


def test_turned_images_are_the_same_galaxies(of_one_camera):
    model, galaxies = of_one_camera
    images = galaxies[:20]
    np.testing.assert_allclose(model.predict(np.rot90(images, axes=(1, 2))), model.predict(images), rtol=1e-3)


def test_the_cards_say_what_there_is_to_know(model, of_one_camera):
    known = {"data", "prior", "seeds", "date", "training", "numbers", "limits", "license"}
    for card, camera in ((model.card_, "cameras"), (of_one_camera[0].card_, "band")):
        assert known | {camera} <= card.keys()
        assert card["license"] == "BSD-3-Clause"
    assert (card["data"]["npix"], card["data"]["pixel_scale"], card["data"]["zero_point"]) == (96, 0.168, 27)


def test_images_of_another_size_are_refused(of_one_camera):
    with pytest.raises(ValueError, match=r"\(H, W, C\) = \(96, 96, 1\), as in fit, not \(64, 64, 1\)"):
        of_one_camera[0].predict(np.zeros((2, 64, 64)))


def test_unknown_names_are_told_what_there_is():
    for name in ("hsc", "../pretrained/hsc-sim-i", None):
        with pytest.raises(ValueError, match=r"^name=.*; expected one of 'any-camera', 'hsc-sim-i'\.$"):
            load_pretrained(name)


@pytest.mark.parametrize("path", sorted(FOLDER.glob(f"*{ENDING}")), ids=lambda path: path.stem)
def test_files_are_small_and_tell_nothing_of_the_machine_they_were_made_on(path):
    assert path.stat().st_size <= 10e6
    with safe_open(path, framework="np") as file:
        description = file.metadata()["galestim"]
    assert json.loads(description)["card"] is not None
    assert not any(place in description for place in ("/home", "/tmp", "/root", "/work", "\\\\"))


def test_files_lie_in_the_package():
    assert FOLDER.is_relative_to(Path(galestim.checkpoints.__file__).parent)
