"""Estimators that are told of each galaxy's camera: units, masks, turns, and what is not known of some."""

import pickle
import re
from contextlib import nullcontext

import numpy as np
import pandas as pd
import pytest
import torch
from astropy.table import QTable

from galestim import (
    CNNRegressor,
    CompactCNN,
    Cutouts,
    HarmonicNet,
    Normalizer,
    PosteriorRegressor,
    STNPosteriorRegressor,
    make_pipeline,
)
from galestim.calibration import RecalibratedRegressor
from galestim.checkpoints import load_estimator, save_estimator
from galestim.datasets import SimulatedGalaxies
from galestim.networks import NetworkSpec, SplitNetwork
from galestim.regression import _camera_images
from galestim.regression._camera_images import units_of_targets
from galestim.regression._targets import TargetCodec
from galestim.simulation import (
    Band,
    CameraPrior,
    GaussianPSF,
    LogUniform,
    MoffatPSF,
    render,
    render_stars,
    sim_v2_prior,
)
from galestim.targets import LogTransform

NAMES = ["bulge_to_total", "half_light_radius", "flux"]
PRIOR = sim_v2_prior().replace(half_light_radius=LogUniform(0.3, 1.0))
PSFS = [GaussianPSF(fwhm) for fwhm in (0.4, 0.7, 1.0, 1.3, 1.6)]
SCALE, GAIN = 0.2, 5.0


def observed(n, npix=32, random_state=0):
    """Galaxies that are each seen through one of some point-spread functions, in noise of their own."""
    rng = np.random.default_rng(random_state)
    which, noise = rng.integers(len(PSFS), size=n), rng.uniform(0.03, 0.08, n)
    galaxies = PRIOR.draw(n, random_state=random_state)
    galaxies["flux"] = 10 ** rng.uniform(1, 2, n)
    images = render(galaxies, npix=npix, pixel_scale=SCALE, psf=[PSFS[i] for i in which]).numpy()
    images = images + noise[:, None, None] * rng.normal(size=images.shape)
    stars = np.stack([render_stars(npix=25, pixel_scale=SCALE, psf=psf)[0].numpy() for psf in PSFS])
    stars /= stars.sum(axis=(1, 2), keepdims=True)
    y = pd.DataFrame({name: galaxies[name] for name in NAMES})
    return Cutouts(images, psf=stars[which], noise=noise, gain=GAIN, pixel_scale=SCALE, zero_point=30.0), y


def posterior(network=None, **parameters):
    recipe = {"target_transforms": ["logit", "log", "log"], "max_epochs": 2, "n_passes": 2, "random_state": 0}
    return PosteriorRegressor(network or HarmonicNet(hidden=8, blocks=1), **{**recipe, **parameters})


X, Y = observed(120)


@pytest.fixture(scope="module")
def model():
    return posterior().fit(X, Y)


def medians(model, cutouts):
    return model.predict_posterior(cutouts).median()


# ---- units


def test_posteriors_are_in_the_units_of_the_pixels(model):
    near, far = model.predict_posterior(X), model.predict_posterior(X.replace(pixel_scale=2.5 * SCALE))
    assert far.median() == pytest.approx(near.median() * [1, 2.5, 1], rel=1e-6)
    interval = near.credible_interval(0.68) * np.array([1, 2.5, 1])[:, None]
    assert far.credible_interval(0.68) == pytest.approx(interval, rel=1e-6)


def test_posteriors_are_in_the_units_of_the_images(model):
    other = X.replace(1000 * X.images, noise=1000 * X.noise, gain=GAIN / 1000)
    assert medians(model, other) == pytest.approx(medians(model, X) * [1, 1, 1000], rel=1e-4)


def test_a_fit_in_other_units_is_the_same_fit():
    other = X.replace(128 * X.images, noise=128 * X.noise, gain=GAIN / 128, pixel_scale=4 * SCALE)
    whole = {"validation_fraction": 0, "batch_size": len(X)}  # what is set aside, and the batches, follow the labels
    expected = medians(posterior(**whole).fit(X, Y), X) * [1, 4, 128]
    assert medians(posterior(**whole).fit(other, Y * [1, 4, 128]), other) == pytest.approx(expected, rel=0.01)


def test_units_of_targets_come_out_again():
    table = QTable(
        {"flux": Y["flux"], "half_light_radius": Y["half_light_radius"]}, units={"half_light_radius": "arcsec"}
    )
    model = posterior(target_transforms="log", max_epochs=20).fit(X, table)
    found = model.predict_posterior(X)
    assert [str(unit) for unit in found.units] == ["None", "arcsec"]
    assert np.median(found.median() / Y[["flux", "half_light_radius"]], axis=0) == pytest.approx([1, 1], rel=0.1)


def test_noise_of_pixels_is_that_of_their_galaxy(model):
    noise = np.broadcast_to(X.noise[:, None, None], X.shape)
    assert medians(model, X.replace(noise=noise)) == pytest.approx(medians(model, X), rel=1e-9)


def test_point_spread_functions_are_stamps_or_objects():
    psf = MoffatPSF(0.7)
    stamp = render_stars(npix=33, pixel_scale=SCALE, psf=psf)[0].numpy()  # what is drawn of an object
    model = posterior().fit(X.replace(psf=psf), Y)
    expected = medians(model, X.replace(psf=psf))
    for same in (X.replace(psf=[psf] * len(X)), X.replace(psf=psf, pixel_scale=np.full(len(X), SCALE))):
        assert medians(model, same) == pytest.approx(expected, rel=1e-6)
    assert medians(model, X.replace(psf=stamp)) == pytest.approx(expected, rel=1e-5)


# ---- what must not matter


@pytest.mark.parametrize("value", [1e9, np.nan, -np.inf])
def test_what_masked_pixels_hold_changes_nothing(model, value):
    mask = np.random.default_rng(1).random(X.shape) < 0.05
    masked = X.replace(mask=mask)
    other = X.replace(np.where(mask, value, X.images), mask=mask)
    assert np.array_equal(model.predict_posterior(masked).means, model.predict_posterior(other).means)
    assert np.array_equal(medians(posterior().fit(masked, Y), masked), medians(posterior().fit(other, Y), other))


def test_few_masked_pixels_change_little(model):
    mask = np.random.default_rng(1).random(X.shape) < 0.02
    change = medians(model, X.replace(mask=mask)) / medians(model, X)
    assert np.median(np.abs(change - 1), axis=0).max() < 0.05


@pytest.mark.parametrize(("turns", "flip"), [(1, False), (2, True), (3, False), (0, True)])
def test_turned_with_its_point_spread_function_a_galaxy_is_the_same(model, turns, flip):
    def turned(images):
        images = np.rot90(images, turns, axes=(1, 2))
        return np.ascontiguousarray(images[:, :, ::-1] if flip else images)

    mask = np.random.default_rng(1).random(X.shape) < 0.05
    masked, other = X.replace(mask=mask), X.replace(turned(X.images), psf=turned(X.psf), mask=turned(mask))
    assert medians(model, other) == pytest.approx(medians(model, masked), rel=1e-5)


def test_each_galaxy_is_what_it_is_alone(model):
    alone = np.concatenate([medians(model, X[row : row + 1]) for row in range(8)])
    assert alone == pytest.approx(medians(model, X)[:8], rel=1e-6)


def test_stamps_of_another_size_are_taken(model):
    larger, _ = observed(120, npix=48)
    assert np.median(medians(model, larger) / medians(model, X), axis=0) == pytest.approx([1, 1, 1], abs=0.2)


# ---- what matters


def test_told_of_a_point_spread_function_that_varies_radii_are_better():
    cutouts, y = observed(2000, npix=48, random_state=3)
    recipe = {"target_transforms": "log", "max_epochs": 8, "n_passes": 1}
    errors = []
    for images in (cutouts, cutouts.images):
        told = posterior(HarmonicNet(hidden=64, blocks=1), **recipe).fit(
            images[:1600], y[["half_light_radius"]][:1600]
        )
        found = medians(told, images[1600:])[:, 0] / y["half_light_radius"][1600:]
        errors.append(np.sqrt(np.mean(np.log(found) ** 2)))
    assert errors[0] < 0.8 * errors[1]  # 0.67 was measured


@pytest.mark.parametrize(
    "model",
    [
        posterior(CompactCNN(widths=(2,))),
        STNPosteriorRegressor(CompactCNN(widths=(2,)), max_epochs=1, n_passes=2, random_state=0),
    ],
    ids=["CompactCNN", "behind a crop"],
)
def test_networks_that_see_numbers_of_the_camera(model):
    model.fit(X, Y)
    other = X.replace(psf=X.psf[::-1])
    assert model.camera_
    assert np.abs(model.predict(other) - model.predict(X)).max() > 0


class Recorder(SplitNetwork):
    def __init__(self, n_outputs):
        super().__init__()
        self.layer = torch.nn.Linear(2, n_outputs)
        self.told = []

    def trunk(self, x, camera):
        self.told.append((x, camera))
        return torch.stack([camera.look[:, 4].log(), camera.psf.amax(dim=(1, 2, 3))], dim=1)

    def rest(self, features, context=None):
        return self.layer(features)


class OfOnesOwn(NetworkSpec):
    takes_context = takes_camera = True

    def build(self, image_shape, n_outputs, n_context, camera):
        assert (camera, n_context) == (True, 0)
        return Recorder(n_outputs)


def test_a_network_of_ones_own_is_told_the_camera():
    model = posterior(OfOnesOwn()).fit(X, Y)
    cutouts = X[:5].replace(sky_error=0.2, psf_error=[0.01, 0.02, 0.03, 0.04, np.nan], gain=[5.0] * 4 + [np.nan])
    network = model.network_[0].core
    network.told.clear()
    model.predict(cutouts)
    images, camera = network.told[0]
    assert images[:, 0].numpy() == pytest.approx(cutouts.images / cutouts.noise[:, None, None], rel=1e-6, abs=1e-5)
    assert camera.psf[:, 0].numpy() == pytest.approx(cutouts.psf)
    assert camera.photons[:, 0].numpy() == pytest.approx([*1 / (5 * cutouts.noise[:4]), 0])
    assert camera.sky_error.numpy() == pytest.approx(0.2)
    assert camera.psf_error.numpy() == pytest.approx([0.01, 0.02, 0.03, 0.04, 0.02])
    assert camera.good is None


# ---- what is not known


def unknown(what):
    """The camera of row 2 without something."""
    if what == "image":
        return X.replace(mask=np.arange(len(X))[:, None, None] * np.ones(X.shape) == 2)
    values = np.array(np.broadcast_to(getattr(X, what), len(X)) if what != "psf" else X.psf)
    values[2] = np.nan
    return X.replace(**{what: values})


@pytest.mark.parametrize("what", ["image", "psf", "noise", "pixel_scale"])
def test_a_galaxy_without_it_has_no_posterior_and_others_keep_theirs(model, what):
    name = {"psf": "point-spread function", "pixel_scale": "pixel scale"}.get(what, what)
    message = rf"The {name} of row 2 is not known \(NaN\): treated as missing"
    with nullcontext() if what == "image" else pytest.warns(UserWarning, match=message):
        found = medians(model, unknown(what))
    others = np.arange(len(X)) != 2
    assert np.isnan(found[2]).all()
    assert found[others] == pytest.approx(medians(model, X)[others], rel=1e-5)  # of float32, in other batches
    left_out = pytest.warns(UserWarning, match="1 of 120 images are NaN")
    with nullcontext() if what == "image" else pytest.warns(UserWarning, match=message), left_out:
        posterior().fit(unknown(what), Y)


def test_a_missing_cutout_without_a_camera_is_no_cause_for_a_warning(model):
    stamps = X.psf.copy()
    stamps[2] = np.nan
    assert np.isnan(medians(model, unknown("image").replace(psf=stamps))[2]).all()


def test_a_gain_that_is_not_known_is_none(model):
    assert np.array_equal(medians(model, unknown("gain"))[2], medians(model, X.replace(gain=None))[2])


ERRORS = {
    "arrays": (
        lambda: X.images,
        "X is ndarray without a camera; this PosteriorRegressor was fitted on Cutouts that know their psf and noise. "
        "Pass Cutouts(images, psf=…, noise=…), or give psf= and noise= (variance=, weight=) to their FitsMosaic.",
    ),
    "no rows": (lambda: X[:0], "Found array with 0 sample(s) (shape=(0, 32, 32)) while a minimum of 1 is required"),
    "no noise": (
        lambda: X.replace(noise=np.where(np.arange(120) == 7, 0, X.noise)),
        "noise is 0 in row 7; expected it above 0, as images are seen in units of it. NaN is noise that is not",
    ),
    "no pixel scale": (
        lambda: X.replace(pixel_scale=None),
        "X knows no pixel_scale, but this PosteriorRegressor learned half_light_radius from Cutouts that do, in "
        "arcsec; pass X.replace(pixel_scale=…).",
    ),
    "stretched": (lambda: X.replace(stretched=True), "X is stretched, no longer linear in the flux"),
    "other bands": (
        lambda: Cutouts(np.repeat(X.images[..., None], 3, 3), psf=X.psf, noise=1.0),
        "X has 3072 features",
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_what_a_model_that_was_told_refuses(model, name):
    make, message = ERRORS[name]
    with pytest.raises(ValueError, match=re.escape(message)):
        model.predict_posterior(make())


def test_objects_need_a_pixel_scale():
    with pytest.raises(ValueError, match="psf is an object, whose width is in arcsec, but pixel_scale is not known"):
        posterior().fit(X.replace(psf=PSFS[0], pixel_scale=None), Y)


def test_pixels_and_arcsec_are_not_confused():
    model = posterior().fit(X.replace(pixel_scale=None), Y / [1, SCALE, 1])
    with pytest.raises(ValueError, match="learned half_light_radius from Cutouts that do not, in pixels"):
        model.predict(X)


def test_varied_images_need_varied_point_spread_functions():
    with pytest.raises(ValueError, match="varies images, but not the point-spread functions"):
        posterior(augmentation="rotation").fit(X, Y)


WARNINGS = {
    "psf alone": (
        lambda: (X.replace(noise=None), Y),
        "the cutouts know psf but not noise, so the network is not told",
    ),
    "noise alone": (
        lambda: (X.replace(psf=None), Y),
        "the cutouts know noise but not psf, so the network is not told",
    ),
    "no names": (
        lambda: (X, Y.to_numpy()),
        "the targets have no names, so radii and fluxes among them are learned as",
    ),
    "stretched": (lambda: (Normalizer("asinh").fit_transform(X), Y), "the cutouts are stretched, no longer linear"),
}


@pytest.mark.parametrize("name", WARNINGS)
def test_what_a_fit_warns_of(name):
    make, message = WARNINGS[name]
    with pytest.warns(UserWarning, match=re.escape(message)) as caught:
        model = posterior().fit(*make())
    assert [warning.filename for warning in caught] == [__file__]
    assert model.camera_ == (name == "no names")


def test_cutouts_are_arrays_to_a_model_that_was_not_told():
    model = posterior().fit(X.images, Y)
    assert not model.camera_
    assert np.array_equal(medians(model, X), medians(model, X.images))
    cnn = CNNRegressor(CompactCNN(widths=(2,)), max_epochs=1, random_state=0).fit(X, Y)
    assert np.array_equal(cnn.predict(X), cnn.predict(X.images))


# ---- as scikit-learn has it


def test_rows_of_weight_two_are_rows_given_twice():
    weight, twice = np.where(np.arange(60) < 20, 2, 1), np.r_[:60, :20]
    recipe = {"validation_fraction": 0, "batch_size": 128}
    weighted = posterior(**recipe).fit(X[:60], Y[:60], sample_weight=weight)
    assert np.array_equal(medians(weighted, X), medians(posterior(**recipe).fit(X[twice], Y.iloc[twice]), X))


def test_files_hold_what_a_fit_was_told(model, tmp_path):
    save_estimator(model, tmp_path / "model.safetensors")
    for copy in (load_estimator(tmp_path / "model.safetensors"), pickle.loads(pickle.dumps(model))):
        assert copy.camera_
        assert np.array_equal(medians(copy, X), medians(model, X))
        with pytest.raises(ValueError, match="learned half_light_radius from Cutouts that do, in arcsec"):
            copy.predict(X.replace(pixel_scale=None))


def test_images_on_disk_are_the_same_images(model, tmp_path):
    np.save(tmp_path / "images.npy", X.images)
    on_disk = X.replace(np.load(tmp_path / "images.npy", mmap_mode="r"))
    assert np.array_equal(medians(model, on_disk), medians(model, X))
    assert np.array_equal(medians(posterior().fit(on_disk, Y), X), medians(model, X))


def test_scaled_images_in_a_pipeline_keep_their_camera(model):
    pipeline = make_pipeline(Normalizer("scale", scale=4.0), posterior()).fit(X, Y)
    assert medians(pipeline, X) == pytest.approx(medians(model, X), rel=1e-3)


def test_recalibrated_it_is_told_too():
    recalibrated = RecalibratedRegressor(posterior(), cv=2).fit(X, Y)
    near, far = (medians(recalibrated, X.replace(pixel_scale=scale)) for scale in (SCALE, 2 * SCALE))
    assert far[:, 1] == pytest.approx(2 * near[:, 1], rel=0.2)  # posteriors are drawn


def test_simulated_galaxies_are_redrawn_with_their_cameras():
    cameras = CameraPrior(fwhm=3.0, gaussian_share=1.0, pixel_scale=SCALE, signal_to_noise=100.0)
    simulated = SimulatedGalaxies(40, npix=(24, 32), band=cameras, prior=PRIOR, random_state=0)
    model = posterior().fit(simulated, simulated.target)
    assert model.camera_
    assert model.target_names_ == NAMES
    assert np.isfinite(medians(model, simulated[:10])).all()


def test_each_band_has_its_own_point_spread_function():
    bands = [Band(psf, sky_noise=0.05, pixel_scale=SCALE, gain=GAIN, zero_point=30.0) for psf in PSFS[:3]]
    stars = np.stack([render_stars(npix=25, pixel_scale=SCALE, psf=band.psf)[0].numpy() for band in bands], axis=2)
    color = Cutouts(
        np.repeat(X.images[..., None], 3, 3),
        psf=np.broadcast_to(stars / stars.sum((0, 1)), (len(X), *stars.shape)),
        noise=X.noise[:, None] * [1, 2, 3],
        pixel_scale=SCALE,
    )
    model = posterior().fit(color, Y)
    swapped = color.replace(psf=color.psf[..., [1, 0, 2]])
    assert model.image_shape_ == (32, 32, 3)
    assert np.abs(medians(model, swapped) / medians(model, color) - 1).max() > 1e-4


@pytest.mark.parametrize(
    ("name", "unit", "expected"),
    [
        ("half_light_radius", None, (1, 0)),
        ("flux_radius", "pix", (1, 0)),  # SExtractor's is a length
        ("flux_r", None, (0, 1)),
        ("disk_radius", "kpc", (0, 0)),
        ("axis_ratio", None, (0, 0)),
    ],
)
def test_lengths_and_fluxes_are_known_by_name_and_unit(name, unit, expected):
    codec = TargetCodec([name], [LogTransform()], np.zeros(1), np.ones(1))
    assert tuple(units_of_targets(codec, [unit])[:, 0]) == expected


def test_stars_that_are_objects_are_drawn_once(monkeypatch):
    drawn, draw = [], _camera_images.render_stars
    monkeypatch.setattr(_camera_images, "render_stars", lambda **camera: drawn.append(1) or draw(**camera))
    images = _camera_images.camera_images(X[:4].replace(psf=GaussianPSF(0.7)), (*X.shape[1:3], 1), "it")
    assert not images.missing().any()
    images.inputs(np.float32)
    assert len(drawn) == 1
