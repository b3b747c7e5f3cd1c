import pickle

import numpy as np
import pytest

from galestim import CompactCNN, Cutouts, HarmonicNet, PosteriorRegressor, make_pipeline
from galestim.calibration import RecalibratedRegressor
from galestim.checkpoints import load_estimator, save_estimator
from galestim.datasets import SimulatedGalaxies
from galestim.preprocessing import CenterCrop
from galestim.simulation import LogUniform, sim_v2_cameras, sim_v2_prior

NPIX = 48
CAMERAS = sim_v2_cameras().replace(
    signal_to_noise=LogUniform(60.0, 2000.0), fwhm=LogUniform(2.0, 4.0), max_radius=6.0
)


def galaxies(n, seed, **parameters):
    return SimulatedGalaxies(n, npix=NPIX, band=CAMERAS, prior=sim_v2_prior(), random_state=seed, **parameters)


@pytest.fixture(scope="module")
def model():
    X = galaxies(500, 0)
    net = HarmonicNet(hidden=8, blocks=1)
    return PosteriorRegressor(net, target_transforms=["logit", "log", "log"], max_epochs=1, random_state=0).fit(
        X, X.target
    )


@pytest.fixture(scope="module")
def clean():
    """Cutouts, and the same without noise."""
    return galaxies(120, 1)[:], galaxies(120, 1, noise_factor=0)[:].images


def sigma(cutouts):
    return np.broadcast_to(cutouts.noise, len(cutouts))[:, None, None]


def at(images, y, x, value):
    """Images with a value added to one pixel."""
    changed = images.copy()
    changed[:, y, x] += value
    return changed


def stars(cutouts, pure):
    """Stars as bright as the galaxies."""
    side = cutouts.psf.shape[1]
    cut = slice(side // 2 - NPIX // 2, side // 2 - NPIX // 2 + NPIX)
    return cutouts.psf[:, cut, cut] * pure.sum(axis=(1, 2), keepdims=True)


SPOILED = {
    "empty sky": ("no galaxy", lambda c, pure: c.replace(c.images - pure)),
    "all zero": ("noise", lambda c, pure: c.replace(0 * c.images)),
    "a bright level": ("noise", lambda c, pure: c.replace(0 * c.images + 65535.0)),
    "sky 2 sigma high": ("sky", lambda c, pure: c.replace(c.images + 2 * sigma(c))),
    "noise told twice as large": ("noise", lambda c, pure: c.replace(noise=2 * c.noise)),
    "noise told half as large": ("noise", lambda c, pure: c.replace(noise=0.5 * c.noise)),
    "star": ("point source", lambda c, pure: c.replace(c.images - pure + stars(c, pure))),
    "neighbor": ("neighbor", lambda c, pure: c.replace(c.images + 0.5 * np.roll(pure, 17, axis=2))),
    "6 px off": ("off center", lambda c, pure: c.replace(np.roll(c.images, 6, axis=1))),
    "cosmic ray": ("not smooth or neighbor", lambda c, pure: c.replace(at(c.images, 25, 25, pure.sum(axis=(1, 2))))),
    "saturated": (
        "not smooth",
        lambda c, pure: c.replace(np.minimum(c.images, 0.4 * pure.max((1, 2), keepdims=True))),
    ),
    "core masked": (
        "masked",
        lambda c, pure: c.replace(mask=np.hypot(*(np.indices((NPIX, NPIX)) - 23.5)) < 4 + 0 * c.images),
    ),
    "coarser star": ("camera", lambda c, pure: c.replace(psf=np.full((9, 9), 1 / 81))),
}


@pytest.mark.parametrize("name", SPOILED)
def test_what_is_spoiled_is_flagged_with_its_reason(model, clean, name):
    reason, spoil = SPOILED[name]
    told = model.domain(spoil(*clean))
    assert np.mean(told["score"] > 1) >= 0.95
    flagged = told["reason"][told["score"] > 1]
    assert np.mean([one in reason for one in flagged]) > 0.5, sorted(set(flagged))


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda c: c, id="nothing"),
        pytest.param(lambda c: c.replace(c.images + 0.1 * sigma(c)), id="sky +0.1 sigma"),
        pytest.param(lambda c: c.replace(c.images - 0.1 * sigma(c)), id="sky -0.1 sigma"),
        pytest.param(lambda c: c.replace(noise=1.1 * c.noise), id="noise told 10 % larger"),
        pytest.param(lambda c: c.replace(noise=0.9 * c.noise), id="noise told 10 % smaller"),
        pytest.param(lambda c: c.replace(gain=2 * c.gain), id="gain"),
        pytest.param(lambda c: c.replace(psf=np.rot90(c.psf, axes=(1, 2))), id="ellipticity of the star"),
        pytest.param(lambda c: c.replace(np.roll(c.images, 1, axis=1)), id="1 px off"),
        pytest.param(
            lambda c: c.replace(mask=np.random.default_rng(0).random(c.shape) < 0.1), id="a tenth is masked"
        ),
    ],
)
def test_what_does_no_harm_is_not_flagged(model, clean, change):
    assert np.mean(~model.in_domain(change(clean[0]))) <= 0.05


def test_scores_grow_with_what_is_wrong(model, clean):
    cutouts, pure = clean
    fainter = [cutouts.replace(cutouts.images + share * np.roll(pure, 17, axis=2)) for share in (0.0, 0.1, 1.0)]
    scores = [np.median(model.domain(some)["score"]) for some in fainter]
    assert scores[0] < min(scores[1], 0.9)
    assert scores[2] > max(scores[1], 3)


def test_flips_and_quarter_turns_change_nothing(model, clean):
    cutouts = clean[0][:20]
    turned = cutouts.replace(np.rot90(cutouts.images, axes=(1, 2)), psf=np.rot90(cutouts.psf, axes=(1, 2)))
    np.testing.assert_allclose(model.domain(turned)["score"], model.domain(cutouts)["score"], rtol=2e-3, atol=2e-3)


def test_measures_are_what_they_are_called(model, clean):
    cutouts, pure = clean
    told = model.domain(cutouts.replace(np.roll(cutouts.images, 2, axis=2), noise=2 * cutouts.noise))
    assert told["offset"].unit == "pix"
    assert np.median(told["noise"]) == pytest.approx(0.5, abs=0.03)
    assert np.median(told["offset"]) == pytest.approx(2, abs=0.4)
    usual = model.domain(cutouts)
    brighter = model.domain(cutouts.replace(cutouts.images + 2 * pure))
    np.testing.assert_allclose(np.median(brighter["signal_to_noise"] / usual["signal_to_noise"]), 3, rtol=0.1)
    in_image_units = cutouts.replace(100 * cutouts.images, noise=100 * cutouts.noise, gain=cutouts.gain / 100)
    np.testing.assert_allclose(model.domain(in_image_units)["score"], usual["score"], rtol=1e-3, atol=1e-4)


def test_missing_is_told_by_the_image_alone(model, clean):
    cutouts, _ = clean
    images, mask, psf = cutouts.images[:6].copy(), np.zeros((6, NPIX, NPIX), bool), np.array(cutouts.psf[:6])
    images[0], images[1], images[2, 30, 30] = 0, 65535.0, 1e9
    mask[3], psf[4] = True, np.nan
    some = cutouts[:6].replace(images, mask=mask, psf=psf)
    with pytest.warns(UserWarning, match=r"point-spread function of row 4 is not known \(NaN\)"):
        posterior = model.predict_posterior(some)
    assert np.isfinite(posterior.median()).all(axis=1).tolist() == [True, True, True, False, False, True]
    with pytest.warns(UserWarning, match="not known"):
        told = model.domain(some)
    assert (told["reason"] == "missing").tolist() == [False, False, False, True, True, False]
    assert np.isnan(told["score"]).tolist() == (told["reason"] == "missing").tolist()
    with pytest.warns(UserWarning, match="not known"):
        assert model.in_domain(some).tolist() == [False] * 5 + [True]
    assert set(told["reason"][:3]) <= {"noise", "off center", "not smooth", "neighbor"}


def test_pixels_beyond_arithmetic_are_flagged(model, clean):
    told = model.domain(clean[0][:3].replace(clean[0].images[:3] * 0 + 1e30))
    assert np.isinf(told["score"]).all()
    assert set(told["reason"]) == {"not smooth"}


def test_score_leaves_out_nothing_that_has_an_image(model, clean):
    cutouts, y = clean[0][:40], galaxies(120, 1).target[:40]
    spoiled = cutouts.replace(np.concatenate([cutouts.images[:20], 0 * cutouts.images[20:]]))
    assert model.score(spoiled, y) < model.score(cutouts, y)


def test_bad_input(model, clean):
    cutouts, _ = clean
    with pytest.raises(ValueError, match="X is stretched, no longer linear"):
        model.domain(cutouts.replace(stretched=True))
    images = np.random.default_rng(0).normal(size=(40, 12, 12))
    plain = PosteriorRegressor(HarmonicNet(hidden=8, blocks=1), max_epochs=1).fit(images, images[:, 0, 0])
    with pytest.raises(ValueError, match="fitted on images that know no camera"):
        plain.in_domain(images)


def test_files_hold_the_domain(model, clean, tmp_path):
    save_estimator(model, tmp_path / "model.safetensors")
    for again in (load_estimator(tmp_path / "model.safetensors"), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(again.domain(clean[0])["score"], model.domain(clean[0])["score"])
    forged = pickle.loads(pickle.dumps(model))
    forged.domain_ = forged.domain_[::-1].copy()
    save_estimator(forged, tmp_path / "forged.safetensors")
    with pytest.raises(ValueError, match="domain_"):
        load_estimator(tmp_path / "forged.safetensors")


def test_an_estimator_that_is_older_than_domains_says_so(model, clean):
    older = pickle.loads(pickle.dumps(model))
    del older.domain_
    with pytest.raises(ValueError, match="fitted before domains were learned"):
        older.in_domain(clean[0])


def test_pipelines_and_recalibrated_regressors_tell_the_domain_of_theirs(model, clean):
    cutouts, y = clean[0], galaxies(120, 1).target
    wide = galaxies(40, 2)[:]
    recalibrated = RecalibratedRegressor(model, cv="prefit").fit(cutouts, y)
    np.testing.assert_array_equal(recalibrated.in_domain(wide), model.in_domain(wide))
    np.testing.assert_array_equal(recalibrated.domain(wide)["score"], model.domain(wide)["score"])
    cropped = make_pipeline(CenterCrop(40), model)
    np.testing.assert_array_equal(cropped.in_domain(wide), model.in_domain(CenterCrop(40).fit_transform(wide)))
    assert cropped.domain(wide).colnames == model.domain(wide).colnames
    assert not hasattr(RecalibratedRegressor(make_pipeline(CenterCrop(4), CenterCrop(3))), "domain")


def test_several_channels(clean):
    one = clean[0]
    images = np.stack([one.images, one.images], axis=3)
    told = {"psf": np.stack([one.psf, one.psf], axis=3), "noise": np.stack([one.noise, one.noise], axis=1)}
    both = Cutouts(images, **told, gain=one.gain)
    net = HarmonicNet(hidden=8, blocks=1)
    model = PosteriorRegressor(net, max_epochs=1, random_state=0).fit(both, galaxies(120, 1).target)
    assert model.in_domain(both).mean() > 0.9
    spoiled = images.copy()
    spoiled[..., 1] *= 0.3
    assert model.in_domain(both.replace(spoiled)).mean() < 0.05


@pytest.mark.parametrize("options", [{"network": CompactCNN(widths=(4,), hidden=8)}, {"spatial_transformer": "crop"}])
def test_networks_that_are_told_numbers_of_the_camera_have_a_domain(clean, options):
    cutouts, pure = clean
    model = PosteriorRegressor(**options, max_epochs=1, random_state=0).fit(cutouts, galaxies(120, 1).target)
    assert model.in_domain(cutouts).mean() > 0.9
    assert not model.in_domain(cutouts.replace(cutouts.images - pure)).any()
