"""Promises of all transformers: layout, dtype, memory, errors."""

import pickle
import tracemalloc

import numpy as np
import pandas as pd
import pytest
from sklearn import config_context
from sklearn.exceptions import NotFittedError

from galestim.preprocessing import CenterCrop, Downsampler, MaskFiller, Normalizer

SHAPE = (9, 7, 3)
ALL = [
    Downsampler(4),
    Downsampler(4, method="pil-bicubic"),
    CenterCrop(4),
    MaskFiller(),
    *(Normalizer(kind) for kind in ("minmax", "scale", "asinh", "standard")),
]
every_transformer = pytest.mark.parametrize("transformer", ALL, ids=repr)


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (5, *SHAPE)).astype(np.float32)


@every_transformer
def test_flat_rows_in_flat_rows_out(transformer, images):
    expected = transformer.fit_transform(images)
    flat = type(transformer)(**{**transformer.get_params(), "image_shape": SHAPE})
    result = flat.fit_transform(images.reshape(5, -1))
    assert expected.ndim == 4
    np.testing.assert_array_equal(result, expected.reshape(5, -1))


@every_transformer
def test_images_without_channels_stay_so(transformer, images):
    result = transformer.fit_transform(images[..., 0])
    np.testing.assert_array_equal(result, transformer.fit_transform(images[..., :1])[..., 0])


@every_transformer
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int64, np.float16, np.float32, np.float64])
def test_float_dtypes_are_kept_and_others_become_float32(transformer, images, dtype):
    result = transformer.fit_transform(images.astype(dtype))
    kept = isinstance(transformer, CenterCrop) or dtype is np.float64
    assert result.dtype == (dtype if kept else np.float32)
    np.testing.assert_allclose(
        result, transformer.fit_transform(images), atol=1.0 if "pil" in repr(transformer) else 1e-4
    )


@every_transformer
def test_the_input_is_left_alone_and_the_result_is_the_callers(transformer, images):
    before = images.copy()
    result = transformer.fit_transform(images)
    result += 1
    np.testing.assert_array_equal(images, before)


@every_transformer
def test_chunks_do_not_show(transformer, images, monkeypatch):
    expected = transformer.fit_transform(images)
    for module in ("_base", "_normalize"):
        monkeypatch.setattr(f"galestim.preprocessing.{module}.CACHE_BYTES", 2 * images[0].nbytes)
    np.testing.assert_allclose(transformer.fit_transform(images), expected, rtol=1e-6)


@every_transformer
def test_a_read_only_memmap_is_never_copied_whole(transformer, tmp_path):
    images = np.zeros((400, 200, 200, 3), np.uint8)
    images[::7] = np.random.default_rng(0).integers(0, 256, (58, 200, 200, 3))
    np.save(tmp_path / "images.npy", images)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")

    tracemalloc.start()
    result = transformer.fit(mapped).transform(mapped)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    np.testing.assert_array_equal(result, transformer.fit(images).transform(images))
    assert peak - result.nbytes < mapped.nbytes  # as uint8; a float32 copy would be 4 times that


@every_transformer
def test_infinite_pixels_are_an_error_that_names_the_row(transformer, images):
    transformer = transformer.fit(images)
    images[3, 0, 0, 0] = np.inf
    with pytest.raises(ValueError, match=r"row 3 has infinite pixels \(inf\)"):
        transformer.transform(images)


@every_transformer
def test_a_missing_cutout_stays_missing(transformer, images):
    images[2] = np.nan
    result = transformer.fit_transform(images)
    assert np.isnan(result[2]).all()
    assert np.isfinite(result[[0, 1, 3, 4]]).all()


@every_transformer
def test_other_channels_than_in_fit(transformer, images):
    transformer = transformer.fit(images)
    with pytest.raises(ValueError, match=r"(?i)resize or crop them") as error:
        transformer.transform(images[..., :1])
    assert "(9, 7, 3)" in str(error.value)
    assert "(9, 7, 1)" in str(error.value)


@every_transformer
def test_an_image_shape_that_does_not_multiply(transformer, images):
    flat = type(transformer)(**{**transformer.get_params(), "image_shape": (9, 9, 3)})
    with pytest.raises(ValueError, match=r"X has 189 features, but image_shape=\(9, 9, 3\) needs 9×9×3 = 243; pass"):
        flat.fit(images.reshape(5, -1))


@every_transformer
def test_five_dimensions_are_too_many(transformer, images):
    with pytest.raises(ValueError, match=r"Found array with dim 5. .* expected <= 4: \(n, H, W, C\)"):
        transformer.fit(images[None])


@every_transformer
def test_pickles_hold_no_images(transformer):
    fitted = transformer.fit(np.zeros((50, *SHAPE)))
    copy = pickle.loads(pickle.dumps(fitted))
    assert len(pickle.dumps(fitted)) < 2000
    assert copy.image_shape_ == SHAPE


@every_transformer
def test_set_output_on_flat_rows_only(transformer, images):
    flat = type(transformer)(**{**transformer.get_params(), "image_shape": SHAPE}).set_output(transform="pandas")
    table = flat.fit_transform(pd.DataFrame(images.reshape(5, -1)).add_prefix("pixel"))
    assert isinstance(table, pd.DataFrame)
    assert list(table.columns) == list(flat.get_feature_names_out())
    assert isinstance(flat.fit_transform(images), np.ndarray)
    assert not hasattr(flat, "get_feature_names_out")


def test_set_output_for_all_leaves_images_alone(images):
    with config_context(transform_output="pandas"):
        assert isinstance(Downsampler(4).fit_transform(images), np.ndarray)


@pytest.mark.parametrize("transformer", ALL[:5], ids=repr)
def test_the_stateless_need_no_fit_and_remember_nothing(transformer, images):
    fresh = type(transformer)(**transformer.get_params())
    np.testing.assert_array_equal(fresh.transform(images), transformer.fit_transform(images))
    fresh.transform(images[:, :5])
    assert not fresh.__sklearn_tags__().requires_fit
    assert vars(fresh) == fresh.get_params()


@pytest.mark.parametrize("kind", ["asinh", "standard"])
def test_those_that_learn_need_a_fit(kind, images):
    with pytest.raises(NotFittedError, match="This Normalizer instance is not fitted yet"):
        Normalizer(kind).transform(images)
    with pytest.raises(NotFittedError, match="This Normalizer instance is not fitted yet"):
        Normalizer("minmax").fit(images).set_params(kind=kind).transform(images)


@pytest.mark.parametrize("cls", [Downsampler, CenterCrop])
@pytest.mark.parametrize("size", [(3,), (3, 0), (2.5, 2), (1, 2, 3)])
def test_sizes_that_are_none(cls, size, images):
    with pytest.raises(ValueError, match=r"expected a number of pixels or \(H, W\), each an int of at least 1"):
        cls(size).fit(images)
