"""Mistakes of a newcomer, and the whole sentence that each is answered with."""

import re
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from astropy.table import QTable, Table
from sklearn.base import clone

from galestim import (
    VGG16,
    Catalog,
    CNNRegressor,
    CompactCNN,
    Downsampler,
    Normalizer,
    PosteriorRegressor,
    SpatialTransformer,
    make_pipeline,
)
from galestim.calibration import RecalibratedRegressor, coverage
from galestim.datasets import make_galaxies

GALAXIES = make_galaxies(24, npix=12, random_state=0)
IMAGES, TARGET = GALAXIES.images, GALAXIES.target
RADIUS = TARGET[:, 1]
COLOR = np.random.default_rng(0).normal(size=(24, 12, 12, 3)).astype(np.float32)
OBJECTS = np.array([*COLOR, None], dtype=object)[:-1]
TINY = CompactCNN(widths=(2,))
CATALOG = pd.DataFrame({"ra": 150 + RADIUS, "dec": RADIUS, "radius": RADIUS})
NAMES = [f"galaxy{i}.png" for i in range(24)]


def cnn(network=TINY, **parameters):
    return CNNRegressor(network, max_epochs=1, random_state=0, **parameters)


def posterior(network=TINY, **parameters):
    return PosteriorRegressor(network, max_epochs=1, n_passes=2, random_state=0, **parameters)


@pytest.fixture(scope="module")
def fitted():
    """Estimators that have learned from images, one from gray ones, one from color."""
    return {
        "gray": cnn().fit(IMAGES, RADIUS),
        "color": cnn().fit(COLOR, RADIUS),
        "posterior": posterior().fit(IMAGES, TARGET),
    }


A_FETCHER = "Let a CutoutFetcher get those of a catalog: make_pipeline(CutoutFetcher(source, npix=…), {}())."
A_CATALOG = "X is a {} with the columns 'ra', 'dec', 'radius'; expected images (n, H, W, C). " + A_FETCHER
FILES = (
    "X holds text, such as '{}'; expected images (n, H, W, C). If these are files, load_image_folder(folder).images "
    "reads them, or CutoutFetcher(ImageDirectory(folder), npix=…) in a pipeline."
)
CHANNELS_FIRST = (
    "X has images of {}×12 pixels with 12 channels: channels first? Expected (n, H, W, C). Move them to the end, "
    "np.moveaxis(X, 1, -1); or say image_shape=({}, 12, 12) if it is so."
)
OTHER_SHAPE = (
    "X has images of another shape than CNNRegressor knows: images of shape (H, W, C) = {}, as in fit, not {}. "
)
SINGLE = "X has the shape {}, that of a single image; expected images (n, H, W, C) = (n, 12, 12, {}). Pass X[None]."
NETWORK = (
    "The 'network' parameter of CNNRegressor must be an object such as CompactCNN(), a torch.nn.Module class or "
    "None. Got {} instead."
)
TEXT = (
    "{} holds text, such as '{}'; expected numbers. Pass a column itself and not its name, and of classes a column "
    "of 0 and 1 for each."
)
NO_POSTERIOR = (
    "CNNRegressor has no {}: it predicts numbers. Take PosteriorRegressor or STNPosteriorRegressor, which predict "
    "posteriors."
)
ESTIMATOR = (
    "The 'estimator' parameter of RecalibratedRegressor must be an object such as PosteriorRegressor(), alone or at "
    "the end of galestim.make_pipeline(…). Got {} instead."
)

ERRORS = {
    # a catalog in place of its images
    "data frame": (lambda m: cnn().fit(CATALOG, RADIUS), A_CATALOG.format("DataFrame", "CNNRegressor")),
    "polars": (
        lambda m: posterior().fit(pl.DataFrame(CATALOG.to_dict("list")), RADIUS),
        A_CATALOG.format("DataFrame", "PosteriorRegressor"),
    ),
    "astropy table": (
        lambda m: cnn().fit(Table.from_pandas(CATALOG), RADIUS),
        A_CATALOG.format("Table", "CNNRegressor"),
    ),
    "records": (
        lambda m: cnn().fit(CATALOG.to_records(index=False), RADIUS),
        A_CATALOG.format("recarray", "CNNRegressor"),
    ),
    "dict": (lambda m: cnn().fit(CATALOG.to_dict("list"), RADIUS), A_CATALOG.format("dict", "CNNRegressor")),
    "Catalog": (lambda m: m["gray"].predict(Catalog(CATALOG)), A_CATALOG.format("Catalog", "CNNRegressor")),
    "to a transformer": (
        lambda m: make_pipeline(Normalizer(), cnn()).fit(CATALOG, RADIUS),
        A_CATALOG.format("DataFrame", "Normalizer"),
    ),
    "Bunch": (
        lambda m: cnn().fit({"images": IMAGES, "target": TARGET}, TARGET),
        "X is a dict with the columns 'images', 'target'; expected images (n, H, W, C). Pass X['images'] alone.",
    ),
    # files in place of images
    "folder": (lambda m: cnn().fit("images", RADIUS), FILES.format("images")),
    "names": (lambda m: cnn().fit(NAMES, RADIUS), FILES.format("galaxy0.png")),
    "array of names": (lambda m: m["gray"].predict(np.array(NAMES)), FILES.format("galaxy0.png")),
    "series of names": (lambda m: cnn().fit(pd.Series(NAMES), RADIUS), FILES.format("galaxy0.png")),
    "column of names": (lambda m: Downsampler(4).fit(pd.DataFrame({"file": NAMES})), FILES.format("galaxy0.png")),
    "paths": (lambda m: cnn().fit([Path(name) for name in NAMES], RADIUS), FILES.format("galaxy0.png")),
    # shapes
    "channels first": (lambda m: cnn().fit(np.moveaxis(COLOR, -1, 1), RADIUS), CHANNELS_FIRST.format(3, 3)),
    "one channel first": (lambda m: Normalizer().fit(IMAGES[:, None]), CHANNELS_FIRST.format(1, 1)),
    "channels first in predict": (
        lambda m: m["color"].predict(np.moveaxis(COLOR, -1, 1)),
        OTHER_SHAPE.format((12, 12, 3), (3, 12, 12)) + "Channels first? Move them to the end: np.moveaxis(X, 1, -1).",
    ),
    "flat": (
        lambda m: cnn().fit(COLOR.reshape(24, -1), RADIUS),
        "X has flat rows of 432 numbers, but image_shape is None; expected images (n, H, W, C), or their shape: "
        "image_shape=(12, 12, 3), or (1, 432, 1) if they are one pixel high.",
    ),
    "flat in predict": (
        lambda m: m["color"].predict(COLOR.reshape(24, -1)),
        OTHER_SHAPE.format((12, 12, 3), (1, 432, 1)) + "Unfold flat rows, X.reshape(-1, 12, 12, 3), or fit with "
        "image_shape=(12, 12, 3).",
    ),
    "a single image": (lambda m: m["gray"].predict(IMAGES[0]), SINGLE.format((12, 12), 1)),
    "a single color image": (lambda m: m["color"].predict(COLOR[0]), SINGLE.format((12, 12, 3), 3)),
    "a single one, channels first": (
        lambda m: m["color"].predict(COLOR[0].transpose(2, 0, 1)),
        SINGLE.format((3, 12, 12), 3),
    ),
    "images of several sizes": (
        lambda m: cnn().fit([IMAGES[0], IMAGES[1, :8, :8], IMAGES[2]], RADIUS[:3]),
        "row 1 of X is an image of shape (8, 8), row 0 one of shape (12, 12); expected one shape. Crop or resize "
        "each first: CenterCrop(npix).fit_transform(image[None])[0].",
    ),
    "no image in a row": (
        lambda m: cnn().fit([*IMAGES[:5], None], RADIUS[:6]),
        "row 5 of X is None; expected an image, an array (H, W) or (H, W, C). Leave the row out, or make the image "
        "NaN in every pixel (a missing cutout).",
    ),
    "y and X": (
        lambda m: cnn().fit(RADIUS, IMAGES),
        "X is a row of 24 numbers; expected images (n, H, W, C). Are X and y swapped? Reshape your data, X[None], if "
        "it is one image as a flat row.",
    ),
    # labels
    "classes": (lambda m: cnn().fit(IMAGES, np.array(["spiral", "elliptical"] * 12)), TEXT.format("y", "spiral")),
    "the name of a column": (lambda m: cnn().fit(IMAGES, "radius"), TEXT.format("y", "radius")),
    "a column of classes": (
        lambda m: cnn().fit(IMAGES, pd.DataFrame({"kind": ["E"] * 24, "radius": RADIUS})),
        TEXT.format("column 'kind' of y", "E"),
    ),
    # a class or a name in place of an object
    "class of a network": (lambda m: cnn(CompactCNN).fit(IMAGES, RADIUS), NETWORK.format(CompactCNN)),
    "name of a network": (lambda m: cnn("resnet18").fit(IMAGES, RADIUS), NETWORK.format("'resnet18'")),
    "class of a spatial transformer": (
        lambda m: posterior(spatial_transformer=SpatialTransformer).set_params(network=VGG16()).fit(IMAGES, TARGET),
        "The 'spatial_transformer' parameter of PosteriorRegressor must be a str among {'affine', 'crop', "
        "'similarity', 'zoom_shift'}, an object such as SpatialTransformer() or None. Got "
        f"{SpatialTransformer} instead.",
    ),
    "class of a regressor": (
        lambda m: RecalibratedRegressor(PosteriorRegressor).fit(IMAGES, TARGET),
        ESTIMATOR.format(PosteriorRegressor),
    ),
    # what predicts no posterior
    "recalibrated numbers": (
        lambda m: RecalibratedRegressor(CNNRegressor()).fit(IMAGES, TARGET),
        ESTIMATOR.format("CNNRegressor()"),
    ),
    "posterior of numbers": (lambda m: m["gray"].predict_posterior(IMAGES), NO_POSTERIOR.format("predict_posterior")),
    "draws of numbers": (
        lambda m: make_pipeline(Normalizer(), clone(m["gray"])).sample_y,
        "This 'PosteriorPipeline' has no attribute 'sample_y': " + NO_POSTERIOR.format("sample_y"),
    ),
    "an estimator as a posterior": (
        lambda m: coverage(m["posterior"], TARGET),
        "posterior is a PosteriorRegressor; expected what it predicts: predict_posterior(X) of it.",
    ),
}


@pytest.mark.parametrize("mistake", ERRORS)
def test_mistake(fitted, mistake):
    make, sentence = ERRORS[mistake]
    with pytest.raises((ValueError, TypeError, AttributeError)) as error:
        make(fitted)
    assert with_options_sorted(str(error.value)) == sentence


def with_options_sorted(sentence):
    """scikit-learn lists the options of a parameter in no order."""
    return re.sub(r"(?<=\{)'.*'(?=\})", lambda options: ", ".join(sorted(options[0].split(", "))), sentence)


def marked(value, rows=(3,)):
    y = RADIUS.copy()
    y[list(rows)] = value
    return y


MARK = (
    "the target '{}' is {} in {} of 24 rows, first in row 3, and 0.36 to 1.44 in the others: a mark of missing "
    "values? Leave these rows out."
)
MAGNITUDES = (
    "the target '{}', 18 to 20, has the transform 'log': magnitudes? These are logarithms; expected 'identity' for "
    "them, and 'log' for fluxes."
)
LIKE_MAGNITUDES = np.linspace(18, 20, 24)
FEW = "fit has {} distinct images to learn from; expected hundreds, better thousands."

WARNINGS = {
    "-999": (lambda m: cnn().fit(IMAGES, marked(-999)), MARK.format("y", "-999", 1)),
    "-99 twice": (lambda m: cnn().fit(IMAGES, pd.Series(marked(-99, (3, 7)), name="r")), MARK.format("r", "-99", 2)),
    "99.99": (lambda m: cnn().fit(IMAGES, marked(99.99)), MARK.format("y", "99.99", 1)),
    "-1": (lambda m: cnn().fit(IMAGES, marked(-1)), MARK.format("y", "-1", 1)),
    "1e20": (lambda m: posterior().fit(IMAGES, marked(1e20)), MARK.format("y", "1e+20", 1)),
    "magnitudes by name": (
        lambda m: posterior(target_transforms="log").fit(IMAGES, pd.DataFrame({"mag_i": LIKE_MAGNITUDES})),
        MAGNITUDES.format("mag_i"),
    ),
    "magnitudes by unit": (
        lambda m: posterior(target_transforms="log").fit(
            IMAGES, QTable([LIKE_MAGNITUDES], names=["i"], units=["mag"])
        ),
        MAGNITUDES.format("i"),
    ),
    "magnitudes without a name": (
        lambda m: posterior(target_transforms="log").fit(IMAGES, LIKE_MAGNITUDES),
        MAGNITUDES.format("y"),
    ),
    "two galaxies": (lambda m: cnn().fit(IMAGES[:2], RADIUS[:2]), FEW.format(2)),
    "one galaxy, three times": (
        lambda m: cnn(validation_fraction=0).fit(IMAGES[[0, 0, 0]], RADIUS[[0, 0, 0]]),
        FEW.format(1),
    ),
    "flux as radius in a score": (
        lambda m: m["posterior"].score(IMAGES, TARGET[:, [0, 2, 1]]),
        "The columns of y have the medians 0.419, 928, 0.791, their estimates {}: swapped? Expected the order of "
        "the fit; a table with the names of the fit may have any.",
    ),
    "flux as radius in coverage": (
        lambda m: coverage(m["posterior"].predict_posterior(IMAGES), TARGET[:, [0, 2, 1]]),
        "The columns of y have the medians 0.419, 928, 0.791, their estimates {}: swapped? Expected the order of "
        "the fit; a table with the names of the fit may have any.",
    ),
}


@pytest.mark.parametrize("mistake", WARNINGS)
def test_likely_mistake(fitted, mistake):
    make, sentence = WARNINGS[mistake]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        make(fitted)
    said = [re.sub(r"(?<=their estimates ).*(?=: swapped)", "{}", str(one.message)) for one in caught]
    assert said == [sentence]


@pytest.mark.parametrize("y", [RADIUS[:2], np.array([-999.0, 0.5])])
def test_warnings_point_at_the_call_of_fit(y):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        cnn().fit(IMAGES[:2], y)
    assert {one.filename for one in caught} == {__file__}


def test_the_like_that_is_meant_is_taken_without_a_word(fitted):
    """Warnings are errors here."""
    cnn(image_shape=(3, 12, 12)).fit(np.moveaxis(COLOR, -1, 1), RADIUS)
    cnn(image_shape=(12, 12)).fit(pd.DataFrame(IMAGES.reshape(24, -1)).add_prefix("flux"), RADIUS)
    cnn().fit(COLOR[:, 0, :, :2].reshape(24, -1), RADIUS)  # a short flat row
    cnn().fit(IMAGES, np.where(np.arange(24) % 2, 99.0, 98.0))
    cnn().fit(IMAGES, np.where(np.arange(24) == 3, -1.0, RADIUS - 1.0))
    cnn().fit(IMAGES, np.where(np.arange(24) % 3, -1.0, 1.0))
    cnn().fit(IMAGES, np.geomspace(1, 99999, 24))
    posterior(target_transforms="log").fit(IMAGES, pd.DataFrame({"magnification": LIKE_MAGNITUDES}))
    fitted["posterior"].score(IMAGES, pd.DataFrame(TARGET[:, ::-1], columns=["y2", "y1", "y0"]))


@pytest.mark.parametrize(
    "stacked",
    [
        list(COLOR),
        tuple(COLOR),
        COLOR.tolist(),
        OBJECTS,
        OBJECTS[:, None],
        pd.Series(list(COLOR)),
        pd.DataFrame({"image": list(COLOR)}),
        pl.Series(COLOR),
        pl.Series(COLOR.tolist()),
        pl.DataFrame({"image": COLOR}),
        Table({"image": COLOR}),
    ],
    ids=lambda X: f"{type(X).__module__}.{type(X).__name__}",
)
def test_images_in_rows_and_columns_are_stacked(fitted, stacked):
    np.testing.assert_array_equal(fitted["color"].predict(stacked), fitted["color"].predict(COLOR))
    halved = Downsampler(6).fit_transform(stacked)
    np.testing.assert_allclose(halved, Downsampler(6).fit_transform(COLOR), rtol=1e-5, atol=1e-6)
