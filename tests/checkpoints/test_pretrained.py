"""The estimator that comes with galestim: it is what its card says, on galaxies that it has not seen."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

import galestim.checkpoints
from galestim import PosteriorRegressor
from galestim.calibration import coverage
from galestim.checkpoints import load_pretrained
from galestim.checkpoints._pretrained import ENDING, FOLDER
from galestim.datasets import SimulatedGalaxies

NAMES = ["bulge_to_total", "half_light_radius", "flux"]


@pytest.fixture(scope="module")
def model():
    return load_pretrained(device="cpu")


@pytest.fixture(scope="module")
def galaxies():
    return SimulatedGalaxies(400, random_state=20_000)


def test_it_knows_galaxies_that_it_has_not_seen(model, galaxies):
    assert type(model) is PosteriorRegressor
    posterior, truth = model.predict_posterior(galaxies), galaxies.target
    assert posterior.target_names == NAMES
    assert posterior.units == [None, "arcsec", None]
    error = posterior.mean() - truth
    error[:, 1:] /= truth[:, 1:]
    assert (
        np.median(abs(error), axis=0) < [0.043, 0.0115, 0.008]
    ).all()  # 0.034, 0.009, 0.006, and 4 standard errors
    covered = coverage(posterior, truth, levels=[0.6827]).coverage[0]
    assert (abs(covered - 0.6827) < 0.09).all()  # four times the scatter of 400 galaxies


def test_turned_images_are_the_same_galaxies(model, galaxies):
    images = galaxies[:20]
    np.testing.assert_allclose(model.predict(np.rot90(images, axes=(1, 2))), model.predict(images), rtol=1e-3)


def test_the_card_says_what_there_is_to_know(model):
    card = model.card_
    known = {"data", "band", "prior", "seeds", "date", "training", "numbers", "limits", "license"}
    assert known <= card.keys()
    assert (card["data"]["npix"], card["data"]["pixel_scale"], card["data"]["zero_point"]) == (96, 0.168, 27)
    assert card["band"]["sky_noise"] == 0.055
    assert card["license"] == "BSD-3-Clause"


def test_images_of_another_size_are_refused(model):
    with pytest.raises(ValueError, match=r"\(H, W, C\) = \(96, 96, 1\), as in fit, not \(64, 64, 1\)"):
        model.predict(np.zeros((2, 64, 64)))


def test_unknown_names_are_told_what_there_is():
    for name in ("hsc", "../pretrained/hsc-sim-i", None):
        with pytest.raises(ValueError, match=r"^name=.*; expected one of 'hsc-sim-i'\.$"):
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
