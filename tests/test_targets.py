import re
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.integrate import fixed_quad
from scipy.stats import norm
from sklearn.base import clone

from galestim.targets import (
    AsinhTransform,
    IdentityTransform,
    LogitTransform,
    LogTransform,
    check_domain,
    clip_labels,
    resolve_transforms,
)

TRANSFORMS = [
    IdentityTransform(),
    LogTransform(),
    LogitTransform(),
    LogitTransform(high=8),
    LogitTransform(low=-0.1, high=0.3, margin=0.01),
    LogitTransform(low=1000, high=1001),
    AsinhTransform(),
    AsinhTransform(softening=0.02),
]
BOUNDED = [transform for transform in TRANSFORMS if isinstance(transform, LogitTransform)]
NAMES = ["bulge_to_total", "half_light_radius", "flux"]

few_examples = settings(derandomize=True, deadline=None, max_examples=30)
each_transform = pytest.mark.parametrize("transform", TRANSFORMS, ids=repr)
each_bounded = pytest.mark.parametrize("transform", BOUNDED, ids=repr)


class Softplus:
    """A user's own transform: the three methods, and no more."""

    def forward(self, y):
        return y + np.log(-np.expm1(-y))

    def inverse(self, z):
        return np.logaddexp(0, z)

    def log_abs_det_jacobian(self, y):
        return -np.log(-np.expm1(-y))


def raises(error, sentence):
    return pytest.raises(error, match=f"^{re.escape(sentence)}$")


# round trips and Jacobians -------------------------------------------------------------------------------------


@each_transform
@few_examples
@given(z=st.floats(-9, 9))
def test_forward_undoes_inverse(transform, z):
    assert_allclose(transform.forward(transform.inverse(z)), z, atol=1e-8)


@each_transform
@few_examples
@given(z=st.floats(-4, 4))
def test_the_jacobian_is_the_derivative_of_forward(transform, z):
    y = transform.inverse(z)
    step = 1e-4 * np.exp(-transform.log_abs_det_jacobian(y))
    slope = (transform.forward(y + step) - transform.forward(y - step)) / (2 * step)
    assert_allclose(np.exp(transform.log_abs_det_jacobian(y)), slope, rtol=1e-6)


@each_transform
def test_forward_and_inverse_increase(transform):
    z = np.linspace(-9, 9, 101)
    y = transform.inverse(z)
    assert np.all(np.diff(y) > 0)
    assert np.all(np.diff(transform.forward(y)) > 0)


@each_transform
@pytest.mark.parametrize(("mu", "sigma"), [(0, 1), (-7, 1), (-7, 2), (6, 0.3)])
def test_the_density_of_a_latent_gaussian_integrates_to_one_in_physical_units(transform, mu, sigma):
    def density(y):
        return np.exp(norm.logpdf(transform.forward(y), mu, sigma) + transform.log_abs_det_jacobian(y))

    edges = transform.inverse(mu + sigma * np.linspace(-7, 7, 57))
    pieces = [fixed_quad(density, low, high, n=12)[0] for low, high in pairwise(edges)]
    assert_allclose(sum(pieces), 1, rtol=1e-6)


@each_transform
@pytest.mark.parametrize("shape", [(), (0,), (5,), (2, 3, 4)])
def test_any_shape_and_dtype_gives_float64_of_that_shape(transform, shape):
    z = np.random.default_rng(0).uniform(-3, 3, shape).astype(np.float32)
    y = transform.inverse(z)
    for result in (y, transform.forward(y), transform.log_abs_det_jacobian(y), transform.clip(y)):
        assert np.shape(result) == shape
        assert result.dtype == np.float64
    assert np.shape(transform.outside(y)) == shape
    assert not np.any(transform.outside(y))


@each_transform
def test_the_arguments_are_left_alone_and_no_result_is_a_view_of_them(transform):
    y = transform.inverse(np.array([-1.0, 1.0]))
    before = y.copy()
    for method in (transform.forward, transform.inverse, transform.log_abs_det_jacobian, transform.clip):
        assert not np.shares_memory(method(y), y)
    assert_array_equal(y, before)


# the logit at its bounds ---------------------------------------------------------------------------------------


@each_bounded
def test_the_logit_is_exact_between_its_bounds_and_infinite_at_them(transform):
    low, high = transform.support
    fraction = np.array([1e-4, 0.004, 0.2, 0.5, 0.9, 0.9999])
    y = low + fraction * (high - low)
    assert_allclose(transform.forward(y), np.log(fraction / (1 - fraction)), atol=1e-8)
    slope = 1 / (fraction * (1 - fraction) * (high - low))
    assert_allclose(transform.log_abs_det_jacobian(y), np.log(slope), atol=1e-8)
    next_to_bounds = np.nextafter([low, high], [high, low])
    assert np.isfinite([transform.forward(next_to_bounds), transform.log_abs_det_jacobian(next_to_bounds)]).all()
    assert_array_equal(transform.forward([low, high]), [-np.inf, np.inf])
    assert_array_equal(transform.log_abs_det_jacobian([low, high]), [-np.inf, -np.inf])


@each_bounded
def test_clip_moves_the_labels_within_a_margin_to_it_and_no_others(transform):
    low, high = transform.support
    margin = transform.margin * (high - low)
    nearer = margin * np.array([0.0, 1e-6, 0.99])
    farther = [low + 1.01 * margin, (low + high) / 2, high - 1.01 * margin]
    assert_array_equal(transform.clip(low + nearer), np.full(3, low + margin))
    assert_array_equal(transform.clip(high - nearer), np.full(3, high - margin))
    assert_array_equal(transform.clip(farther), farther)


@each_transform
def test_clip_hides_no_label_that_is_outside(transform):
    low, high = transform.support
    bad = np.array([low - 1, high + 1, np.nan, np.inf, -np.inf])
    assert_array_equal(transform.clip(bad), bad)


def test_inverse_is_the_logistic_function_beyond_the_margins_too():
    z = np.array([-700.0, -30, -7, 7, 30])
    assert_allclose(LogitTransform().inverse(z), 1 / (1 + np.exp(-z)), rtol=1e-14)


@each_bounded
def test_no_draw_is_outside_however_far_in_the_latent_space(transform):
    low, high = transform.support
    draws = transform.inverse([-np.inf, -1e308, -800, -40, 40, 800, 1e308, np.inf])
    assert not transform.outside(draws).any()
    assert_array_equal(draws[[0, -1]], [low, high])


# the outside ---------------------------------------------------------------------------------------------------

OUTSIDE = [
    (IdentityTransform(), [], []),
    (LogTransform(), [0, -1e-300, -5], []),
    (LogitTransform(), [-1e-9, -3], [1.0000001, 7]),
    (LogitTransform(low=-0.1, high=0.3), [-0.10000001], [0.30000001]),
    (AsinhTransform(), [], []),
]


@pytest.mark.parametrize(("transform", "below", "above"), OUTSIDE, ids=repr)
def test_values_that_no_label_may_have(transform, below, above):
    assert transform.outside([*below, *above, np.nan, np.inf, -np.inf]).all()
    assert_array_equal(transform.forward(below), np.full(len(below), -np.inf))
    assert_array_equal(transform.forward(above), np.full(len(above), np.inf))
    assert_array_equal(
        transform.log_abs_det_jacobian([*below, *above, np.inf]), np.full(len(below) + len(above) + 1, -np.inf)
    )


@each_transform
def test_nan_stays_nan_and_infinity_is_an_end(transform):
    assert_array_equal(transform.forward([np.nan, -np.inf, np.inf]), [np.nan, -np.inf, np.inf])
    assert_array_equal(transform.inverse([np.nan, -np.inf, np.inf]), [np.nan, *transform.support])
    assert_array_equal(transform.log_abs_det_jacobian([np.nan, -np.inf, np.inf]), [np.nan, -np.inf, -np.inf])


EXTREMES = [
    (LogTransform(), [1e-300, 1e300]),
    (AsinhTransform(), [-1e300, 0]),
    (LogitTransform(), [0, 1e-300, 1]),
    (LogitTransform(high=10, margin=1e-320), [5e-324, 10]),
    (LogitTransform(low=1000, high=1001, margin=1e-18), [1000, 1001]),
]


@pytest.mark.parametrize(("transform", "legal"), EXTREMES, ids=repr)
def test_extreme_labels_are_legal_and_have_a_finite_latent_value_once_clipped(transform, legal):
    assert not transform.outside(legal).any()
    labels = transform.clip(legal)
    assert np.isfinite(transform.forward(labels)).all()
    assert np.isfinite(transform.log_abs_det_jacobian(labels)).all()
    if not isinstance(transform, LogitTransform):
        assert_array_equal(labels, legal)


@pytest.mark.parametrize("transform", [LogTransform(), AsinhTransform(softening=0.02)], ids=repr)
def test_what_is_too_large_becomes_infinite_without_a_warning(transform):
    with np.errstate(all="raise"):
        assert transform.inverse(800.0) == np.inf
        assert transform.forward(1e308) > 700
        assert transform.inverse(-800.0) == transform.support[0]


# parameters ----------------------------------------------------------------------------------------------------


@each_transform
def test_clone_and_repr(transform):
    copy = clone(transform)
    assert copy is not transform
    assert copy.get_params() == transform.get_params()
    assert repr(eval(repr(transform))) == repr(transform)


@pytest.mark.parametrize("softening", [0, -1.5, np.inf, np.nan])
@pytest.mark.parametrize("method", ["forward", "inverse", "log_abs_det_jacobian"])
def test_softening_is_positive(method, softening):
    with raises(ValueError, f"softening={softening}; expected a positive number."):
        getattr(AsinhTransform(softening), method)(1.0)


@pytest.mark.parametrize(
    "params", [(1, 0, 0.005), (1, 1, 0.005), (0, np.inf, 0.005), (np.nan, 1, 0.005), (0, 1, 0), (0, 1, 0.5)]
)
@pytest.mark.parametrize("method", ["forward", "inverse", "log_abs_det_jacobian", "outside", "clip"])
def test_bounds_and_margin_fit_together(method, params):
    low, high, margin = params
    with raises(
        ValueError, f"low={low}, high={high}, margin={margin}; expected finite low < high, and 0 < margin < 0.5."
    ):
        getattr(LogitTransform(*params), method)(0.5)


# resolve_transforms --------------------------------------------------------------------------------------------

own = Softplus()
wide = LogitTransform(high=2.0)


@pytest.mark.parametrize(
    ("transforms", "expected"),
    [
        (None, "[IdentityTransform(), IdentityTransform(), IdentityTransform()]"),
        ("log", "[LogTransform(), LogTransform(), LogTransform()]"),
        (
            AsinhTransform(2),
            "[AsinhTransform(softening=2), AsinhTransform(softening=2), AsinhTransform(softening=2)]",
        ),
        (["logit", "log", "identity"], "[LogitTransform(), LogTransform(), IdentityTransform()]"),
        ((wide, None, "asinh"), "[LogitTransform(high=2.0), IdentityTransform(), AsinhTransform()]"),
        (np.array(["logit", "log", "log"]), "[LogitTransform(), LogTransform(), LogTransform()]"),
        ({}, "[IdentityTransform(), IdentityTransform(), IdentityTransform()]"),
        ({"flux": "log", "bulge_to_total": wide}, "[LogitTransform(high=2.0), IdentityTransform(), LogTransform()]"),
    ],
)
def test_every_form_of_transforms(transforms, expected):
    assert repr(resolve_transforms(transforms, NAMES)) == expected


def test_objects_are_used_as_they_are():
    assert resolve_transforms(["log", own, wide], NAMES)[1:] == [own, wide]
    assert resolve_transforms(own, ["y"]) == [own]


def test_what_was_resolved_can_be_resolved_again():
    once = resolve_transforms(["logit", own, "log"], NAMES)
    assert resolve_transforms(once, NAMES) == once


@pytest.mark.parametrize(
    ("transforms", "error", "sentence"),
    [
        (
            ["logit", "ln", "log"],
            ValueError,
            "half_light_radius: unknown transform 'ln'; "
            "expected one of 'asinh', 'identity', 'log', 'logit', or an object.",
        ),
        (
            ["logit", "log"],
            ValueError,
            "2 transforms; expected 3, one for each of the targets 'bulge_to_total', 'half_light_radius', 'flux'.",
        ),
        (
            {"size": "log", "flux": "log"},
            ValueError,
            "transforms for 'size'; expected some of the targets 'bulge_to_total', 'half_light_radius', 'flux'.",
        ),
        (
            {"flux": LogTransform},
            TypeError,
            "flux: transform LogTransform is a class; pass an object, as LogTransform().",
        ),
        (
            {"flux": 3},
            TypeError,
            "flux: transform 3 has no method 'forward', 'inverse', 'log_abs_det_jacobian'; "
            "expected a name, or an object with 'forward', 'inverse', 'log_abs_det_jacobian'.",
        ),
    ],
)
def test_transforms_that_fit_no_target(transforms, error, sentence):
    with raises(error, sentence):
        resolve_transforms(transforms, NAMES)


# check_domain --------------------------------------------------------------------------------------------------

y_good = np.array([[0.0, 0.5, -3.0], [1.0, 2.0, 40.0], [0.3, 0.1, 0.0]])


@pytest.mark.parametrize("transforms", [["logit", "log", "asinh"], [wide, own, "identity"], None])
def test_good_labels_pass(transforms):
    check_domain(y_good, transforms, NAMES)
    for labels, transform in zip(y_good.T, resolve_transforms(transforms, NAMES)):
        assert np.isfinite(transform.forward(clip_labels(labels[:, None], [transform])[:, 0])).all()


@pytest.mark.parametrize(
    ("transforms", "column", "value", "sentence"),
    [
        (["logit", "log", None], 0, 1.2, "bulge_to_total: row 1 is 1.2, outside [0, 1], which LogitTransform takes"),
        (["logit", "log", None], 1, 0, "half_light_radius: row 1 is 0.0, outside (0, inf), which LogTransform takes"),
        ("asinh", 2, np.inf, "flux: row 1 is inf, outside (-inf, inf), which AsinhTransform takes"),
        (None, 2, np.nan, "flux: row 1 is nan, outside (-inf, inf), which IdentityTransform takes"),
        ([None, own, None], 1, -2, "half_light_radius: row 1 is -2.0, which Softplus does not take"),
        ([None, own, None], 1, np.nan, "half_light_radius: row 1 is nan, which Softplus does not take"),
    ],
)
def test_a_label_that_its_transform_does_not_take(transforms, column, value, sentence):
    y = y_good.copy()
    y[1:, column] = value
    with raises(ValueError, f"{sentence}; correct or leave out such rows (2 of 3), or choose another transform."):
        check_domain(y, transforms, NAMES)


def test_labels_need_a_column_for_each_target():
    with raises(ValueError, "y has shape (3, 3); expected (n_samples, 2), a column for 'a', 'b'."):
        check_domain(y_good, None, ["a", "b"])
    with raises(ValueError, "y has shape (3,); expected (n_samples, 1), a column for 'flux'."):
        check_domain(y_good[:, 0], None, ["flux"])


# clip_labels ---------------------------------------------------------------------------------------------------


def test_each_target_is_clipped_by_its_own_transform_if_that_has_a_clip():
    y = np.array([[0, 0, 0], [0.3, 5, -2], [1, 0.002, 0.5]])
    before = y.copy()
    transforms = resolve_transforms(["logit", own, None], NAMES)
    assert_array_equal(clip_labels(y, transforms), [[0.005, 0, 0], [0.3, 5, -2], [0.995, 0.002, 0.5]])
    assert_array_equal(clip_labels(y, [None, wide, "log"])[:, 1], [0.01, 5, 0.01])
    assert_array_equal(y, before)


def test_clip_labels_needs_a_transform_for_each_column():
    with raises(ValueError, "2 transforms; expected 1, one for each of the targets 'column 0'."):
        clip_labels(y_good[:, :1], ["logit", "log"])
    with raises(ValueError, "y has shape (3,); expected (n_samples, n_targets)."):
        clip_labels(y_good[:, 0], ["logit"])


@pytest.mark.parametrize("softening", [1e-300, 1e-5, 1.0, 1e300])
def test_the_asinh_has_no_end(softening):
    transform = AsinhTransform(softening)
    y = np.array([-1.7e308, -1e300, -1.0, 0.0, 1e10, 1.7e308])
    z = transform.forward(y)
    assert np.isfinite(z).all()
    np.testing.assert_allclose(np.where(np.abs(y) < 1e-3 * softening, y, transform.inverse(z)), y, rtol=1e-12)
    far = np.abs(y) > 1e3 * softening
    np.testing.assert_allclose(np.abs(z)[far], np.log(np.abs(y[far])) - np.log(softening) + np.log(2), rtol=1e-7)
    assert np.isfinite(transform.log_abs_det_jacobian(y)).all()
