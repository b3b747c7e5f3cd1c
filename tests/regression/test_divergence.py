"""A training that diverges, and pixels beyond the network's arithmetic, are errors; the process survives both."""

import numpy as np
import pytest
from torch import nn

from galestim import CNNRegressor, CompactCNN, HarmonicNet, PosteriorRegressor, STNPosteriorRegressor
from galestim.networks import GaussianHead, SpatialTransformer

CROPS = [
    "crop",
    "affine",
    SpatialTransformer("affine", max_zoom=None, lr_factor=1.0, fill="zeros", localization="gampen"),
]


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    return rng.normal(size=(40, 16, 16)), rng.uniform(1, 2, (40, 2))


@pytest.fixture
def make():
    def make(kind=STNPosteriorRegressor, **parameters):
        return kind(**{"network": CompactCNN(widths=(2, 4)), "max_epochs": 3, "random_state": 0, **parameters})

    return make


@pytest.mark.parametrize("crop", CROPS)
@pytest.mark.parametrize(("lr", "optimizer"), [(1e6, "sgd"), (1e10, "adamw"), (1e30, "adam")])
def test_diverging_crops(data, make, crop, lr, optimizer):
    model = make(spatial_transformer=crop, lr=lr, optimizer=optimizer, target_transforms="log")
    with pytest.raises(FloatingPointError, match=r"the training loss became (nan|inf) in epoch \d; .* \(now 1e\+"):
        model.fit(*data)
    assert not hasattr(model, "network_")


@pytest.mark.parametrize("lr", [1e6, 1e12])
def test_a_covariance_that_is_none_is_a_divergence(data, make, lr):
    model = make(PosteriorRegressor, network=HarmonicNet(hidden=8), lr=lr, head=GaussianHead(bounded=False))
    with pytest.raises(FloatingPointError, match=r"diverged|the training loss became"):
        model.fit(*data, y_err=np.full((40, 2), 0.1))


class BreaksWhenItPredicts(nn.Module):
    def __init__(self, image_shape, n_outputs):
        super().__init__()
        self.layer = nn.Linear(int(np.prod(image_shape)), n_outputs)

    def forward(self, x):
        return self.layer(x.flatten(1)) * (1 if self.training else float("inf"))


@pytest.mark.parametrize("kind", [CNNRegressor, PosteriorRegressor])
def test_finite_losses_with_predictions_that_are_not(data, make, kind):
    model = make(kind, network=BreaksWhenItPredicts)
    with pytest.raises(
        FloatingPointError, match=r"the fit has diverged: its last loss is [\d.e+]+, and weights or outputs"
    ):
        model.fit(*data)


class PredictsFarOff(BreaksWhenItPredicts):
    def forward(self, x):
        return self.layer(x.flatten(1)) + (0 if self.training else 1e5)


def test_finite_outputs_of_infinite_targets_warn(data, make):
    model = make(PosteriorRegressor, network=PredictsFarOff, target_transforms="log", validation_fraction=0)
    with pytest.warns(UserWarning, match=r"probably diverged: .* and 0% of some training images have finite predict"):
        model.fit(*data)


class BrokenInTheEnd(nn.Module):
    """Its output is fine, but a weight that nothing uses is not."""

    def __init__(self, image_shape, n_outputs):
        super().__init__()
        self.layer = nn.Linear(int(np.prod(image_shape)), n_outputs)
        self.register_buffer("unused", nn.Parameter(float("nan") * self.layer.weight.detach()[0, :1]))

    def forward(self, x):
        return self.layer(x.flatten(1))


def test_weights_that_are_not_finite(data, make):
    with pytest.raises(FloatingPointError, match="weights or outputs are not finite"):
        make(CNNRegressor, network=BrokenInTheEnd).fit(*data)


@pytest.mark.parametrize("lr", [10.0, 100.0])
def test_huge_finite_losses_warn(data, make, lr):
    model = make(CNNRegressor, lr=lr)
    with pytest.warns(UserWarning, match=r"the fit has probably diverged: its last loss .*Lower lr \(now 10+\)"):
        model.fit(*data)


def test_sound_fits_do_not(data, make):
    assert np.isfinite(make(CNNRegressor).fit(*data).predict(data[0])).all()


@pytest.mark.parametrize(("value", "row"), [(1e39, 7), (-1e100, 0), (1e308, 39)])
@pytest.mark.parametrize("kind", [CNNRegressor, PosteriorRegressor, STNPosteriorRegressor])
def test_pixels_beyond_float32_name_their_row(data, make, kind, value, row):
    images = data[0].copy()
    images[row, 3, 4] = value
    message = (
        rf"row {row} has the pixel {value:g}, which is infinite in float32, the network's arithmetic\. Mend".replace(
            "+", r"\+"
        )
    )
    with pytest.raises(ValueError, match=message):
        make(kind).fit(images, data[1])
    fitted = make(kind).fit(*data)
    with pytest.raises(ValueError, match=message):
        fitted.predict(images)
    if kind is STNPosteriorRegressor:
        with pytest.raises(ValueError, match=message):
            fitted.export_crops(images, "nowhere")


def test_rows_are_counted_over_batches_and_missing_cutouts(data, make):
    fitted = make(CNNRegressor, max_epochs=1).fit(*data)
    images = np.concatenate([data[0]] * 8)
    images[[3, 280]] = np.nan
    images[299, 0, 0] = 1e40
    with pytest.raises(ValueError, match="row 299 has the pixel 1e"):
        fitted.predict(images)


@pytest.mark.parametrize("value", [1e39, -1e39])
def test_float64_bears_them(data, make, value):
    images = data[0].copy()
    images[7, 3, 4] = value
    model = make(CNNRegressor, precision="float64", max_epochs=1)
    assert np.isfinite(model.fit(*data).predict(data[0])).all()
    assert model.predict(images).shape == (40, 2)


@pytest.mark.filterwarnings("ignore:The prediction of row 5 is NaN")
@pytest.mark.parametrize("crop", CROPS)
@pytest.mark.parametrize("value", [3e38, -1e30, 1e20])
def test_a_huge_pixel_at_predict_does_not_end_the_process(data, make, crop, value):
    fitted = make(spatial_transformer=crop, max_epochs=1).fit(*data)
    images = data[0].copy()
    images[5, 8, 8] = value
    others = np.arange(40) != 5
    np.testing.assert_array_equal(fitted.predict(images)[others], fitted.predict(data[0])[others])
    assert fitted.transform_images(images).shape == (40, 16, 16, 1)


def test_a_failed_warm_start_leaves_the_last_fit(data, make):
    model = make(CNNRegressor, warm_start=True).fit(*data)
    before, epochs = model.predict(data[0]), len(model.history_)
    with pytest.raises(FloatingPointError):
        model.set_params(lr=1e30).fit(*data)
    np.testing.assert_array_equal(model.predict(data[0]), before)
    assert len(model.history_) == epochs
