"""The posterior regressor: what it learns, what it returns, and what it refuses."""

from unittest.mock import patch

import numpy as np
import pytest
import torch
from astropy.io import fits
from astropy.table import QTable, Table
from astropy.wcs import WCS
from scipy.stats import kstest, norm, spearmanr
from sklearn import config_context
from skorch.callbacks import Callback
from torch import nn

from galestim import (
    CompactCNN,
    Cutouts,
    HarmonicNet,
    PosteriorRegressor,
    SpatialTransformer,
    SpinCNN,
    STNPosteriorRegressor,
    make_pipeline,
)
from galestim.calibration import coverage
from galestim.networks import Augmentation, Dropout, GaussianHead, NegativeLogLikelihood
from galestim.preprocessing import Normalizer
from galestim.regression import SGD


@pytest.fixture
def model():
    """Make a small, quick posterior regressor; keyword arguments override."""

    def make(network=None, **parameters):
        defaults = {"max_epochs": 4, "n_passes": 4, "random_state": 0, "target_transforms": "log", "batch_size": 32}
        network = CompactCNN(widths=(2, 4), readout="radial") if network is None else network
        return STNPosteriorRegressor(network, **{**defaults, **parameters})

    return make


# ---- what it learns


def test_learns_radius_and_brightness(blobs, model):
    images, _, targets = blobs
    fitted = model(max_epochs=60, lr=1e-2).fit(images[:90], targets[:90])
    assert fitted.score(images[90:], targets[90:]) > 0.97


def test_widths_are_those_of_the_errors(draw_blobs):
    """Within three standard errors, of widths learned on 250 galaxies (4.5 %) and shares counted among 1000."""
    (images, _, targets), (new_images, _, new_targets) = draw_blobs(1000, seed=0), draw_blobs(1000, seed=99)
    network = HarmonicNet(n_scales=6, hidden=32, blocks=1)
    recipe = {"max_epochs": 20, "validation_fraction": 0.25, "target_transforms": "log", "random_state": 0}
    posterior = PosteriorRegressor(network, **recipe).fit(images, targets).predict_posterior(new_images)
    core, most = coverage(posterior, new_targets, [0.6827, 0.9545]).coverage
    z, by_width = np.array([1.0, 2.0]), 0.045
    learned, counted = 2 * z * norm.pdf(z) * by_width, np.sqrt([0.6827 * 0.3173 / 1000, 0.9545 * 0.0455 / 1000])
    tolerance = 3 * np.hypot(learned, counted)
    assert np.all(np.abs(core - 0.6827) < tolerance[0])
    assert np.all(np.abs(most - 0.9545) < tolerance[1])


@pytest.mark.parametrize("kind", ["zoom_shift", "similarity", "affine", None])
def test_other_transformers_fit(blobs, model, kind):
    images, _, targets = blobs
    fitted = model(spatial_transformer=kind).fit(images, targets)
    assert np.isfinite(fitted.predict(images)).all()


def test_members_and_mixtures_work_together(blobs, model):
    images, _, targets = blobs
    fitted = model(n_estimators=5, head=GaussianHead(n_mixture=3), max_epochs=2).fit(images, targets)
    posterior = fitted.predict_posterior(images[:6])
    assert posterior.means.shape == (6, 5 * 4 * 3, 2)
    assert len(np.unique(posterior.groups)) == 5 * 4
    assert [row["member"] for row in fitted.history_] == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert fitted.n_parameters_ == sum(w.numel() for w in fitted.network_.parameters())
    means = posterior.means.reshape(6, 5, 12, 2).mean(axis=2)
    assert np.all(np.ptp(means, axis=1) > 0)
    total = posterior.aleatoric_covariance() + posterior.epistemic_covariance()
    np.testing.assert_allclose(total, posterior.latent_cov(), rtol=1e-6)


def test_network_of_ones_own(blobs, model):
    images, _, targets = blobs

    class Own(nn.Module):
        def __init__(self, image_shape, n_outputs):
            super().__init__()
            height, width, channels = image_shape
            self.layers = nn.Sequential(
                nn.Flatten(), nn.Dropout(0.1), nn.Linear(height * width * channels, n_outputs)
            )

        def forward(self, x):
            return self.layers(x)

    fitted = model(Own, dropout=0.25).fit(images, targets)
    dropout = [layer for layer in fitted.network_.modules() if isinstance(layer, Dropout)]
    assert [layer.rate for layer in dropout] == [0.25]
    assert fitted.predict_posterior(images[:2]).means.shape == (2, 4, 2)


def test_widths_are_calibrated_on_the_validation_set(blobs, model):
    images, _, targets = blobs
    recipe = {"max_epochs": 30, "validation_fraction": 0.5}
    plain, calibrated = (model(calibrate_widths=c, **recipe).fit(images, targets) for c in (False, True))
    np.testing.assert_array_equal(plain.width_factors_, 1)
    assert np.any(calibrated.width_factors_ != 1)
    before, after = (one.predict_posterior(images) for one in (plain, calibrated))
    z = norm.ppf((np.arange(4) + 0.5) / 4)  # of the four passes
    factors = calibrated.width_factors_ * np.exp(calibrated.width_spreads_ * (z / z.std())[:, None])
    np.testing.assert_allclose(after.scale_trils, before.scale_trils * factors[:, :, None], rtol=1e-5)
    np.testing.assert_array_equal(after.means, before.means)
    assert np.all(model(validation_fraction=0.0, max_epochs=1).fit(images, targets).width_factors_ == 1)


# ---- what it returns


def test_random_state_chooses_the_passes(blobs, model):
    images, _, targets = blobs
    fitted = model(dropout=0.3).fit(images, targets)
    means = [fitted.predict_posterior(images[:5], random_state=seed).means for seed in (1, 1, 2)]
    np.testing.assert_array_equal(means[0], means[1])
    assert not np.allclose(means[0], means[2])
    assert fitted.predict_posterior(images[:5], n_passes=7).means.shape == (5, 7, 2)


def test_posterior_does_not_depend_on_the_company(blobs, model):
    images, _, targets = blobs
    fitted = model(dropout=0.3, precision="float64").fit(images, targets)
    together = fitted.predict_posterior(images).means
    np.testing.assert_allclose(fitted.predict_posterior(images[7:9]).means, together[7:9], rtol=1e-9)


def test_without_dropout_one_pass_is_enough(blobs, model):
    images, _, targets = blobs
    fitted = model(dropout=0.0).fit(images, targets)
    posterior = fitted.predict_posterior(images[:3])
    assert posterior.means.shape == (3, 1, 2)
    np.testing.assert_array_equal(posterior.epistemic_covariance(), 0)


def test_auto_finds_the_number_of_passes(blobs, model):
    images, _, targets = blobs
    sure, doubtful = (model(dropout=rate, n_passes="auto").fit(images, targets) for rate in (1e-3, 0.3))
    assert 1 <= sure.n_passes_ < doubtful.n_passes_ <= 1000
    assert sure.predict_posterior(images[:3]).means.shape == (3, sure.n_passes_, 2)
    few, many = (doubtful.predict_posterior(images, n_passes=n) for n in (None, 4000))
    sigma = np.sqrt(np.diagonal(many.latent_cov(), axis1=1, axis2=2))
    close = abs(few.latent_mean() - many.latent_mean()) < 0.05 * sigma
    close &= abs(np.sqrt(np.diagonal(few.latent_cov(), axis1=1, axis2=2)) / sigma - 1) < 0.02
    assert close.mean() > 0.8 or doubtful.n_passes_ == 1000
    assert model(dropout=0.0, n_passes="auto").fit(images, targets).n_passes_ == 1


def test_auto_passes_need_a_fit_that_found_them(blobs, model):
    images, _, targets = blobs
    fitted = model().fit(images, targets).set_params(n_passes="auto")
    with pytest.raises(
        ValueError,
        match=r"^n_passes='auto' is found by fit, which had another n_passes; fit again, or pass an int\.$",
    ):
        fitted.predict_posterior(images)
    assert fitted.predict_posterior(images, n_passes=2).means.shape[1] == 2


def test_monte_carlo_dropout_is_that_of_brute_force(blobs, model):
    """Against 1000 passes of the network in training mode (but for its batch normalization), for 50 galaxies."""
    images, _, targets = blobs
    fitted = model(dropout=0.2, max_epochs=10).fit(images, targets)
    draws = fitted.predict_posterior(images[:50], n_passes=1000, random_state=0)
    member, head = fitted.network_[0].eval(), fitted._head()
    for layer in member.modules():
        if isinstance(layer, Dropout):
            layer.train()
    torch.manual_seed(0)
    pixels = torch.from_numpy(np.repeat(images[:50], 20, axis=0))  # each row has a mask of its own
    with torch.no_grad():
        brute = np.stack([head(member(pixels), 2).means[:, 0].numpy().reshape(50, 20, 2) for _ in range(50)], axis=1)
    brute = brute.reshape(50, 1000, 2) * fitted.target_scale_ + fitted.target_mean_
    p_values = np.array([[kstest(draws.means[i, :, k], brute[i, :, k]).pvalue for i in range(50)] for k in range(2)])
    assert (p_values < 0.01).sum() <= 4  # of 100; more than 4 has a chance of 0.3 %


def test_point_estimates_and_covariances(blobs, model):
    images, _, targets = blobs
    fitted = model().fit(images, targets)
    posterior = fitted.predict_posterior(images)
    for name in ("mean", "median", "mode"):
        fitted.set_params(point_estimate=name)
        np.testing.assert_array_equal(fitted.predict(images), getattr(posterior, name)())
    _, std = fitted.predict(images, return_std=True)
    _, cov = fitted.predict(images, return_cov=True)
    np.testing.assert_allclose(np.einsum("nkk->nk", cov), std**2, rtol=1e-6)
    with pytest.raises(RuntimeError, match="At most one of return_std or return_cov"):
        fitted.predict(images, return_std=True, return_cov=True)


def test_one_target_keeps_the_shape_of_y(blobs, model):
    images, radius, _ = blobs
    fitted = model().fit(images, radius)
    predicted, std = fitted.predict(images, return_std=True)
    assert predicted.shape == std.shape == radius.shape
    assert fitted.predict_posterior(images).means.shape == (len(images), 4, 1)
    assert fitted.log_prob(images, radius).shape == radius.shape


def test_sample_y_and_log_prob_are_those_of_the_posterior(blobs, model):
    images, _, targets = blobs
    fitted = model().fit(images, targets)
    posterior = fitted.predict_posterior(images)
    np.testing.assert_array_equal(fitted.sample_y(images, 5), posterior.sample(5, random_state=0))
    np.testing.assert_array_equal(fitted.log_prob(images, targets), posterior.log_prob(targets))


def test_training_loss_is_minus_the_log_density(blobs, model):
    images, _, targets = blobs
    fitted = model(dropout=0.0, precision="float64", calibrate_widths=False).fit(images, targets)
    latent = np.log(targets)
    jacobian = -latent.sum(axis=1) - np.log(fitted.target_scale_).sum()
    scaled = torch.from_numpy((latent - fitted.target_mean_) / fitted.target_scale_)
    with torch.no_grad():
        output = fitted.network_[0].eval()(torch.from_numpy(images.astype(np.float64)))
    labels = {"target": scaled, "weight": torch.ones(len(images))}
    loss = float(fitted._loss()(output, labels))
    assert loss == pytest.approx(-(fitted.log_prob(images, targets) - jacobian).mean(), rel=1e-9)


def test_missing_cutouts(blobs, model):
    images, _, targets = blobs
    holed = images.copy()
    holed[3] = np.nan
    with pytest.warns(UserWarning, match="1 of 120 images are NaN in every pixel"):
        fitted = model().fit(holed, targets)
    assert np.isnan(fitted.predict(holed)[3]).all()
    assert np.isnan(fitted.predict_posterior(holed).sample(3, random_state=0)[3]).all()
    assert np.isnan(fitted.crop_parameters(holed)["scale"][3])
    assert np.isnan(fitted.transform_images(holed)[3]).all()
    assert np.isfinite(np.delete(fitted.predict(holed), 3, axis=0)).all()


def test_errors_of_the_targets_narrow_the_posterior(blobs, model):
    images, _, targets = blobs
    rng = np.random.default_rng(0)
    y_err = np.full_like(targets, 0.4)
    noisy = np.clip(targets + y_err * rng.normal(size=targets.shape), 0.1, None)
    recipe = {"max_epochs": 40, "target_transforms": None}
    plain = model(**recipe).fit(images, noisy).predict(images, return_std=True)[1]
    told = model(**recipe).fit(images, noisy, y_err=y_err).predict(images, return_std=True)[1]
    assert np.median(told) < 0.8 * np.median(plain)


def test_y_err_and_weights_are_routed(blobs, model):
    images, _, targets = blobs
    y_err, weight = np.full_like(targets, 0.4), np.linspace(0.1, 2, len(targets))
    with config_context(enable_metadata_routing=True):
        regressor = model(target_transforms=None).set_fit_request(y_err=True, sample_weight=True)
        pipeline = make_pipeline(Normalizer("minmax"), regressor)
        routed = pipeline.fit(images, targets, y_err=y_err, sample_weight=weight)[-1].predict(images)
    direct = model(target_transforms=None).fit(
        Normalizer("minmax").fit_transform(images), targets, y_err=y_err, sample_weight=weight
    )
    scaled = Normalizer("minmax").fit_transform(images)
    np.testing.assert_array_equal(pipeline.predict(images), direct.predict(scaled))
    assert not np.array_equal(routed, direct.predict(scaled))


# ---- crops


def test_crops_are_the_images_where_nothing_was_learned(blobs, model):
    images, _, targets = blobs
    fitted = model(spatial_transformer=SpatialTransformer(lr_factor=1e-12)).fit(images, targets)
    crops = fitted.transform_images(images)
    np.testing.assert_allclose(crops, images, atol=1e-4)
    table = fitted.crop_parameters(images)
    np.testing.assert_allclose(table["x"], 5.5)
    np.testing.assert_allclose(table["matrix"], np.broadcast_to([[1, 0, 0], [0, 1, 0]], (120, 2, 3)), atol=1e-5)
    moved = model(spatial_transformer=SpatialTransformer(lr_factor=1.0)).fit(images, targets)
    assert np.abs(moved.crop_parameters(images)["scale"] - 1).max() > 1e-3


def test_crop_matrix_tells_where_pixels_come_from(blobs, model):
    images, _, targets = blobs
    ramp = np.broadcast_to(np.indices((12, 12)).transpose(1, 2, 0)[:, :, ::-1], images.shape).astype(np.float32)
    fitted = model(spatial_transformer=SpatialTransformer("affine", npix=8, lr_factor=0.3)).fit(images, targets)
    nn.init.zeros_(fitted.network_[0].network.transformer.fc_loc[-1].weight)
    fitted.network_[0].network.transformer.fc_loc[-1].bias.data[:] = torch.tensor([-0.7, -0.6, 0.4, 0.1, 0.05, -0.1])
    crops, table = fitted.transform_images(ramp), fitted.crop_parameters(ramp)
    y, x = np.indices((8, 8))
    expected = np.einsum("ij,jyx->yxi", table["matrix"][0], np.stack([x, y, np.ones_like(x)]))
    inside = ((expected >= 0) & (expected <= 11)).all(axis=2)
    assert inside.sum() > 20
    np.testing.assert_allclose(crops[0][inside], expected[inside], atol=1e-3)
    corners = expected[[0, 0, -1, -1], [0, -1, 0, -1]]
    np.testing.assert_allclose([table["x"][0], table["y"][0]], corners.mean(axis=0), atol=1e-3)


def test_light_inside_of_crops(blobs, model):
    images, _, targets = blobs
    star = np.exp(-np.sum((np.indices((5, 5)) - 2) ** 2, axis=0))
    cutouts = Cutouts(images, noise=0.1, psf=star / star.sum())
    crop = SpatialTransformer("similarity", npix=8, max_zoom=2.0)
    fitted = model(spatial_transformer=crop).fit(cutouts, Table(targets, names=["half_light_radius", "flux"]))
    nn.init.zeros_(fitted.network_[0].network.transformer.fc_loc[-1].weight)
    fitted.network_[0].network.transformer.fc_loc[-1].bias.data[:] = torch.tensor([-0.4, 0.5, 0.1, -0.1])
    matrix = fitted.crop_parameters(cutouts)["matrix"][0]
    found = fitted.light_inside(cutouts[:1], np.ones((1, 12, 12)))
    np.testing.assert_allclose(found, 64 * np.linalg.det(matrix[:, :2]), rtol=0.02)  # the area of the crop
    mask = np.zeros(images[:1].shape, dtype=bool)
    mask[:, 4:6, 5, 0] = True  # well within, in one channel
    masked = fitted.light_inside(cutouts[:1].replace(mask=mask), np.ones((1, 12, 12)))
    np.testing.assert_allclose(found - masked, 2)
    with pytest.raises(
        ValueError, match=r"^light has shape \(1, 12, 13\); expected .*\(n, H, W\) = \(1, 12, 12\)\.$"
    ):
        fitted.light_inside(cutouts[:1], np.ones((1, 12, 13)))


def test_exported_crops_know_their_sky(blobs, model, tmp_path):
    images, _, targets = blobs
    fitted = model(spatial_transformer=SpatialTransformer("affine")).fit(images, targets)
    fitted.network_[0].network.transformer.fc_loc[-1].bias.data[:] = torch.tensor([-0.3, -0.2, 0.4, 0.0, 0.1, -0.1])
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.crpix = ["RA---TAN", "DEC--TAN"], [150.0, 2.0], [6.5, 6.5]
    wcs.wcs.cdelt = [-0.2 / 3600, 0.2 / 3600]
    files = fitted.export_crops(images[:2], tmp_path / "crops", names=["a", "b"], wcs=[wcs, wcs.to_header()])
    assert [file.name for file in files] == ["a.fits", "b.fits"]
    table, crops = fitted.crop_parameters(images[:2]), fitted.transform_images(images[:2])
    for i, file in enumerate(files):
        with fits.open(file) as hdus:
            np.testing.assert_allclose(hdus[0].data, np.moveaxis(crops[i], -1, 0), rtol=1e-6)
            sky = WCS(hdus[0].header).celestial.pixel_to_world_values(2.0, 9.0)
        expected = wcs.pixel_to_world_values(*(table["matrix"][i] @ [2.0, 9.0, 1.0]))
        np.testing.assert_allclose(sky, expected, atol=1e-3 / 3600)
    with pytest.raises(FileExistsError, match=r"a\.fits exists \(one of 2\); pass overwrite=True"):
        fitted.export_crops(images[:2], tmp_path / "crops", names=["a", "b"])
    with pytest.raises(ValueError, match="names has 1 entries; expected 2, one per image"):
        fitted.export_crops(images[:2], tmp_path, names=["a"])


def test_crops_of_names_that_cannot_be_files_are_not_written(blobs, model, tmp_path):
    images, _, targets = blobs
    fitted = model(spatial_transformer="crop").fit(images, targets)
    for names in (["a", "../b"], ["a", str(tmp_path / "b")], ["a", "a"], ["a", "b\0"], ["a", ""]):
        with pytest.raises(ValueError, match=r"cannot be that of a file|more than once"):
            fitted.export_crops(images[:2], tmp_path / "crops", names=names, overwrite=True)
    with pytest.raises(ValueError, match="the WCS of an image has no celestial axes"):
        fitted.export_crops(images[:2], tmp_path / "crops", wcs=[WCS(naxis=1)] * 2)
    assert not list(tmp_path.iterdir())


def test_the_crop_of_a_missing_image_is_a_file_of_nan(blobs, model, tmp_path):
    images, _, targets = blobs
    fitted = model(spatial_transformer="crop").fit(images, targets)
    some = np.array(images[:3], dtype=float)
    some[1] = np.nan
    files = fitted.export_crops(some, tmp_path)
    assert [bool(np.isnan(fits.getdata(file)).all()) for file in files] == [False, True, False]
    assert ["CROPSCAL" in fits.getheader(file) for file in files] == [True, False, True]


@pytest.mark.parametrize("size_target", ["half_light_radius", None])
def test_crops_follow_the_radius_if_asked_to(blobs, model, size_target):
    images, radius, targets = blobs
    transformer = SpatialTransformer(size_target=size_target, lr_factor=1.0)
    fitted = model(max_epochs=60, lr=1e-2, spatial_transformer=transformer)
    fitted.fit(images, Table(targets, names=["half_light_radius", "flux"]))
    side = fitted.crop_parameters(images)["scale"]
    if size_target:
        assert spearmanr(side, radius).statistic > 0.9
        assert np.std(np.log(side / radius)) < 0.15 < np.std(np.log(radius))
    else:
        assert spearmanr(side, radius).statistic < 0.9


def test_loss_asks_for_crops_that_are_all_the_same_multiple_of_the_size():
    loss = NegativeLogLikelihood(GaussianHead())
    raw, size = torch.randn(8, 2), torch.rand(8, 1) + 1
    labels = {"target": torch.randn(8, 1), "weight": torch.rand(8) + 0.1}
    likelihood = loss(raw, labels)
    labels["log_size"] = size.log()
    torch.testing.assert_close(loss(torch.cat([raw, (0.3 * size).log()], dim=1), labels), likelihood)
    assert loss(torch.cat([raw, torch.zeros(8, 1)], dim=1), labels) > likelihood + 0.01


@pytest.mark.parametrize(
    ("name", "shift", "message"),
    [
        ("radius", 0, r"size_target='radius' is none of the targets \['y0', 'y1'\]"),
        ("y0", 1.5, "size_target='y0' is -0.* in row .*; expected lengths above 0"),
    ],
)
def test_sizes_that_cannot_be_followed(blobs, model, name, shift, message):
    images, _, targets = blobs
    transformer = SpatialTransformer(size_target=name)
    with pytest.raises(ValueError, match=message):
        model(target_transforms=None, spatial_transformer=transformer).fit(images, targets - shift)


def test_collapse_of_the_crop_is_told(blobs, model):
    images, _, targets = blobs
    fitted = model(warm_start=True).fit(images, targets)
    fitted.network_[0].network.transformer.fc_loc[-1].bias.data[:] = -50.0
    with pytest.warns(UserWarning, match=r"the crop has collapsed: half of the training images are cropped to 0\.25"):
        fitted.set_params(max_epochs=1).fit(images, targets)


def test_no_transformer_no_crops(blobs, model):
    images, _, targets = blobs
    fitted = model(spatial_transformer=None).fit(images, targets)
    with pytest.raises(ValueError, match="spatial_transformer=None crops nothing"):
        fitted.transform_images(images)


# ---- what it refuses


@pytest.mark.parametrize(
    ("parameters", "change", "message"),
    [
        ({"target_transforms": "logit"}, lambda y: y, "y0: row"),
        ({"target_transforms": "log"}, lambda y: y - 1.5, "y0: row"),
        ({"target_transforms": "log"}, lambda y: y * [1, 0] + [0, 2], "the target 'y1' is the same in all"),
        ({"target_transforms": "sqrt"}, lambda y: y, "sqrt"),
        ({"target_transforms": ["log"]}, lambda y: y, "1"),
        ({"target_transforms": {"flux": "log"}}, lambda y: y, "flux"),
        ({}, lambda y: {"y_err": -np.ones_like(y)}, "y_err is negative in row 0"),
        ({}, lambda y: {"y_err": np.ones(len(y))}, r"y_err has shape \(120, 1\); expected \(120, 2\)"),
    ],
)
def test_bad_targets(blobs, model, parameters, change, message):
    images, _, targets = blobs
    changed = change(targets)
    errors = changed if isinstance(changed, dict) else {}
    with pytest.raises(ValueError, match=message):
        model(**parameters).fit(images, targets if errors else changed, **errors)


def test_directions_are_refused_where_images_are_turned(blobs, model):
    images, radius, _ = blobs
    angle = QTable({"position_angle": radius})
    sees = SpinCNN(filters=(4,), kernel_sizes=(3,), conv_dropout=(0.1,), pool_after=())
    with pytest.raises(
        ValueError, match=r"the target 'position_angle' changes when an image is turned .* CompactCNN"
    ):
        model().fit(images, angle)
    with pytest.raises(ValueError, match="augmentation='rotation' makes those images one"):
        model(sees, augmentation="rotation").fit(images, angle)
    still = Augmentation(rotation=0.0, horizontal_flip=False, vertical_flip=False)
    for augmentation in (None, still):
        model(sees, augmentation=augmentation, max_epochs=1).fit(images, angle)


def test_recipe_of_gampen():
    regressor = STNPosteriorRegressor.gampen(n_passes=10)
    assert (regressor.n_passes, regressor.optimizer.momentum, regressor.weight_decay) == (10, 0.99, 1e-4)
    assert not regressor.head.bounded


def test_sgd_learns_with_its_momentum(blobs, model):
    images, _, targets = blobs
    losses = [
        model(optimizer=SGD(momentum=m), lr=1e-3, lr_schedule=None, max_epochs=10).fit(images, targets).history_[-1]
        for m in (0.0, 0.9)
    ]
    assert losses[1]["train_loss"] < losses[0]["train_loss"]
    with pytest.raises(ValueError, match=r"SGD\(momentum=1.5\); expected a momentum in \[0, 1\), above 0"):
        model(optimizer=SGD(momentum=1.5)).fit(images, targets)


@pytest.mark.parametrize(("schedule", "momentum"), [("one_cycle", 0.5), ("cosine", 0.5)])
def test_a_momentum_that_was_asked_for_stays(blobs, model, schedule, momentum):
    images, _, targets = blobs
    seen = []

    class Momentum(Callback):
        def on_batch_end(self, net, **kwargs):
            seen.append(net.optimizer_.param_groups[0]["momentum"])

    with patch.object(Momentum, "__deepcopy__", lambda self, memo: self, create=True):
        model(optimizer=SGD(momentum), lr_schedule=schedule, callbacks=[Momentum()]).fit(images, targets)
    assert set(seen) == {momentum}


@pytest.mark.parametrize(
    ("kind", "network"), [(PosteriorRegressor, HarmonicNet), (STNPosteriorRegressor, CompactCNN)]
)
@pytest.mark.parametrize("crop", [None, "crop"])
def test_the_default_network_does_not_follow_another_parameter(kind, network, crop):
    assert type(kind(spatial_transformer=crop)._default_network()) is network


def test_a_crop_by_default_is_all_that_differs():
    plain, stn = (kind().get_params(deep=False) for kind in (PosteriorRegressor, STNPosteriorRegressor))
    assert {name for name in plain if plain[name] != stn[name]} == {"spatial_transformer"}
    assert plain.keys() == stn.keys()
