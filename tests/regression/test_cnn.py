import math
import warnings

import numpy as np
import pytest
import sklearn
import torch
from scipy.stats import pearsonr
from sklearn.model_selection import cross_validate
from torch import nn

from galestim import CNNRegressor, CompactCNN, Downsampler, SpinCNN, make_pipeline
from galestim.regression._training import Recipe, _schedule


class Linear(nn.Module):
    """A user's own network."""

    def __init__(self, image_shape, n_outputs):
        super().__init__()
        self.layer = nn.Linear(math.prod(image_shape), n_outputs)

    def forward(self, x):
        return self.layer(x.flatten(1))


def losses(model):
    return [(row["train_loss"], row.get("valid_loss"), row["lr"]) for row in model.history_]


def test_defaults_are_the_published_recipe():
    parameters = CNNRegressor().get_params()
    assert parameters["network"] is None
    assert isinstance(CNNRegressor()._default_network(), SpinCNN)
    expected = {"loss": "mse", "max_epochs": 35, "batch_size": 32, "lr": 1e-3, "optimizer": "adam"}
    expected |= {"lr_schedule": "plateau", "augmentation": "spin", "validation_fraction": 0.15}
    assert {name: parameters[name] for name in expected} == expected


def test_learns_one_and_several_targets(blobs, small):
    images, radius, both = blobs
    one = small(max_epochs=15, lr=1e-2).fit(images[:90], radius[:90])
    assert one.predict(images[90:]).shape == (30,)
    assert pearsonr(one.predict(images[90:]), radius[90:]).statistic > 0.95
    two = small(max_epochs=15, lr=1e-2).fit(images[:90], both[:90])
    assert two.predict(images[90:]).shape == (30, 2)
    assert two.score(images[90:], both[90:]) > 0.87
    assert (one.n_outputs_, two.n_outputs_) == (1, 2)


@pytest.mark.parametrize(("loss", "schedule"), [("mse", "cosine"), ("mae", "one_cycle"), ("huber", None)])
def test_losses_and_schedules_train(blobs, small, loss, schedule):
    images, radius, _ = blobs
    history = small(loss=loss, lr_schedule=schedule, max_epochs=6).fit(images, radius).history_
    assert history[-1]["train_loss"] < history[0]["train_loss"]
    rates = {row["lr"] for row in history}
    assert len(rates) == (1 if schedule is None else 6)


def test_plateau_divides_the_rate_by_five(blobs, small):
    images, radius, _ = blobs
    model = small(network=Linear, augmentation=None, max_epochs=20, lr=1e-4)
    improving = model.fit(images, radius).history_
    assert {row["lr"] for row in improving} == {1e-4}
    stuck = model.set_params(lr=1e-2, validation_fraction=0.5).fit(images[:16], np.arange(16) % 2.0).history_
    rates = [row["lr"] for row in stuck]
    best = int(np.argmin([row["valid_loss"] for row in stuck[:14]]))
    assert rates[best + 5] == 1e-2
    np.testing.assert_allclose(rates[best + 6], 2e-3)  # after five epochs that were no better, as Keras


def test_plateau_acts_after_the_same_epoch_as_the_published_schedule():
    """Against the rule of Keras' ReduceLROnPlateau, which the published network was trained with, on any losses."""
    losses = np.random.default_rng(0).normal(size=200).cumsum() / 50 + 1

    def published(patience=5, factor=0.2, floor=1e-5, min_delta=1e-4):
        rate, best, wait = 1e-3, np.inf, 0
        for loss in losses:
            wait = 0 if loss < best - min_delta else wait + 1
            best = loss if wait == 0 else best
            if wait >= patience and rate > floor:
                rate, wait = max(rate * factor, floor), 0
            yield rate

    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1e-3)
    recipe = Recipe.of(CNNRegressor())
    policy = _schedule(recipe, [recipe.lr], 1, "valid_loss")[0][1].kwargs
    ours = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, **{name: value for name, value in policy.items() if name != "monitor"}
    )
    rates = []
    for loss in losses:
        ours.step(loss)
        rates.append(optimizer.param_groups[0]["lr"])
    np.testing.assert_allclose(rates, list(published()), rtol=1e-12)
    assert len(set(rates)) == 4


def test_weight_two_is_the_row_twice_in_any_order(blobs, small):
    images, radius, _ = blobs
    images, radius = images[:40], radius[:40]
    counts = np.random.default_rng(1).integers(0, 4, 40)
    repeated = np.repeat(np.arange(40), counts)
    shuffled = np.random.default_rng(2).permutation(40)
    weighted = small().fit(images[shuffled], radius[shuffled], sample_weight=counts[shuffled])
    again = small().fit(images[repeated], radius[repeated])
    np.testing.assert_array_equal(weighted.predict(images), again.predict(images))
    assert losses(weighted) == losses(again)


def test_sample_weight_is_routed_through_pipelines_and_folds(blobs, small):
    images, radius, _ = blobs
    weights = np.arange(120) % 3.0
    direct = small(max_epochs=2).fit(Downsampler(8).transform(images), radius, sample_weight=weights)
    with sklearn.config_context(enable_metadata_routing=True):
        routed = small(max_epochs=2).set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        pipeline = make_pipeline(Downsampler(8), routed).fit(images, radius, sample_weight=weights)
        scores = cross_validate(pipeline, images, radius, params={"sample_weight": weights}, cv=2)["test_score"]
    np.testing.assert_array_equal(pipeline.predict(images), direct.predict(Downsampler(8).transform(images)))
    assert np.isfinite(scores).all()
    unweighted = cross_validate(make_pipeline(Downsampler(8), small(max_epochs=2)), images, radius, cv=2)
    assert scores != pytest.approx(unweighted["test_score"])


def test_layouts_agree(blobs, small):
    images, radius, _ = blobs
    expected = small().fit(images, radius).predict(images)
    flat = images.reshape(len(images), -1)
    flat_model = small(image_shape=(12, 12, 2)).fit(flat, radius)
    np.testing.assert_array_equal(flat_model.predict(flat), expected)
    assert flat_model.image_shape_ == (12, 12, 2)
    gray = small().fit(images[..., 0], radius)
    np.testing.assert_array_equal(gray.predict(images[..., :1]), gray.predict(images[..., 0]))


def test_pixel_types_agree(blobs, small):
    images, radius, _ = blobs
    bytes_ = np.clip(images * 60, 0, 255).astype(np.uint8)
    model = small().fit(bytes_, radius)
    expected = model.predict(bytes_)
    for dtype in ("float32", ">f4", "int16", "uint16", "float16", "float64"):
        np.testing.assert_array_equal(model.predict(bytes_.astype(dtype)), expected)


def test_read_only_memmap(blobs, small, tmp_path):
    images, radius, _ = blobs
    np.save(tmp_path / "images.npy", images)
    memmap = np.load(tmp_path / "images.npy", mmap_mode="r")
    np.testing.assert_array_equal(
        small().fit(memmap, radius).predict(memmap), small().fit(images, radius).predict(images)
    )


def test_missing_cutouts(blobs, small):
    images, radius, _ = blobs
    holes = images.copy()
    holes[[3, 50]] = np.nan
    keep = np.setdiff1d(np.arange(120), [3, 50])
    with pytest.warns(
        UserWarning, match=r"2 of 120 images are NaN in every pixel \(missing cutouts\); fit ignores them\."
    ):
        model = small().fit(holes, radius)
    np.testing.assert_array_equal(model.predict(images), small().fit(images[keep], radius[keep]).predict(images))
    predicted = model.predict(holes)
    assert np.flatnonzero(np.isnan(predicted)).tolist() == [3, 50]
    assert model.score(holes, radius) == model.score(images[keep], radius[keep])
    assert np.isnan(model.predict(holes[[3]])).all()


def test_early_stopping_returns_to_the_best_epoch(blobs, small):
    images, radius, _ = blobs
    model = small(max_epochs=60, lr=0.03, early_stopping_patience=3).fit(images, radius)
    valid = [row["valid_loss"] for row in model.history_]
    assert len(valid) == int(np.argmin(valid)) + 4 < 60
    until_best = small(max_epochs=int(np.argmin(valid)) + 1, lr=0.03).fit(images, radius)
    np.testing.assert_array_equal(model.predict(images), until_best.predict(images))


def test_warm_start_goes_on(blobs, small):
    images, radius, _ = blobs
    model = small(warm_start=True, augmentation=None, max_epochs=8).fit(images, radius)
    first = model.history_[-1]["train_loss"]
    model.fit(images, radius)
    assert [row["epoch"] for row in model.history_] == list(range(1, 17))
    again = model.history_[8]["train_loss"]
    assert again - first < 0.3 * (model.history_[0]["train_loss"] - first)
    with pytest.raises(
        ValueError, match=r"y has the targets \['y0', 'y1'\], but warm_start=True goes on from a fit on \['y'\]"
    ):
        model.fit(images, np.column_stack([radius, radius]))
    cold = small(augmentation=None, max_epochs=8).fit(images, radius).fit(images, radius)
    assert len(cold.history_) == 8


def test_own_module_and_own_optimizer(blobs, small):
    images, radius, _ = blobs
    model = small(network=Linear, optimizer=torch.optim.RMSprop).fit(images, radius)
    assert model.n_parameters_ == 12 * 12 * 2 + 1
    assert isinstance(model.network_.network, Linear)


class Squeezed(Linear):
    """Forgets the axis of the outputs."""

    def forward(self, x):
        return super().forward(x)[:, 0]


def test_outputs_of_the_wrong_shape_are_refused(blobs, small):
    images, radius, _ = blobs
    message = r"the network maps 26 images to \(26,\); expected \(26, 1\), \(n, n_outputs\)\."
    with pytest.raises(ValueError, match=message):
        small(network=Squeezed).fit(images, radius)


def test_precisions_agree(blobs, small):
    images, radius, _ = blobs
    predictions = {
        precision: small(precision=precision, max_epochs=15, augmentation=None).fit(images, radius).predict(images)
        for precision in ("float64", "float32", "bfloat16")
    }
    assert np.abs(predictions["float32"] - predictions["float64"]).max() < 0.02
    assert pearsonr(predictions["bfloat16"], predictions["float64"]).statistic > 0.98
    assert {p.dtype for p in predictions.values()} == {np.dtype(np.float64)}


@pytest.mark.filterwarnings("ignore:fit has . distinct images")
@pytest.mark.parametrize("n", [2, 3, 33, 65])
def test_any_number_of_rows_trains(n):
    rng = np.random.default_rng(0)
    model = CNNRegressor(CompactCNN(widths=(2, 2), hidden=4), max_epochs=1, random_state=0)
    assert np.isfinite(model.fit(rng.random((n, 8, 8)), rng.random(n)).predict(rng.random((5, 8, 8)))).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"X": "nan"},
            r"row 7 has some NaN pixels\. Put a MaskFiller in front, drop the row, or make all of it NaN",
        ),
        ({"X": "inf"}, r"row 7 has infinite pixels \(inf\)"),
        ({"X": "all nan"}, r"all 120 images are NaN \(missing cutouts\); there is nothing to fit on\."),
        (
            {"y": "nan"},
            r"Input y contains NaN or infinity in 1 of 120 rows, first in row 9; expected finite values\.",
        ),
        (
            {"validation_fraction": 0.0, "early_stopping_patience": 3},
            "early_stopping_patience needs a validation set",
        ),
        (
            {"validation_fraction": 0.999},
            r"validation_fraction=0.999 of n_samples = 120 distinct images leaves none",
        ),
        (
            {"image_shape": (12, 11, 2), "X": "flat"},
            r"X has 288 features, but image_shape=\(12, 11, 2\) needs 12×11×2 = 264",
        ),
        ({"image_shape": (0, 12), "X": "flat"}, r"image_shape=\(0, 12\); expected \(H, W, C\) or \(H, W\)"),
        ({"device": "tpu"}, r"device='tpu'; expected 'auto', 'cpu', 'cuda', 'cuda:1' or 'mps'\."),
    ],
)
def test_bad_input_is_named(blobs, small, change, message):
    images, radius, _ = blobs
    images, radius = images.copy(), radius.copy()
    what = change.pop("X", None)
    if what == "nan":
        images[7, 2, 2] = np.nan
    elif what == "inf":
        images[7, 2, 2] = np.inf
    elif what == "all nan":
        images[:] = np.nan
    elif what == "flat":
        images = images.reshape(120, -1)
    if change.pop("y", None):
        radius[9] = np.nan
    with pytest.raises(ValueError, match=message):
        small(**change).fit(images, radius)


def test_wrong_shape_at_predict(blobs, small):
    images, radius, _ = blobs
    model = small(max_epochs=1).fit(images, radius)
    expected = (
        r"X has 144 features, but CNNRegressor is expecting 288 features as input: images of shape \(H, W, C\) = "
        r"\(12, 12, 2\), as in fit, not \(12, 12, 1\)\. Resize or crop them"
    )
    with pytest.raises(ValueError, match=expected):
        model.predict(images[..., :1])
    with pytest.raises(ValueError, match=r"dim 5\. CNNRegressor expected <= 4"):
        model.fit(images[None], radius)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_absent_device_is_refused(blobs, small):
    images, radius, _ = blobs
    with pytest.raises(ValueError, match=r"device='cuda' is not available on this machine; use device='auto'"):
        small(device="cuda").fit(images, radius)


def test_constant_target_and_constant_images(blobs, small):
    images, radius, _ = blobs
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        constant = small(max_epochs=2).fit(images, np.full(120, 3.0)).predict(images)
        assert np.abs(constant - 3).max() < 0.1
        assert np.isfinite(small(max_epochs=2).fit(np.zeros_like(images), radius).predict(images)).all()
