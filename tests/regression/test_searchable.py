"""Every number of every default is a parameter: it can be listed, set and searched."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from galestim import CNNRegressor, CompactCNN, PosteriorRegressor, STNPosteriorRegressor, make_pipeline
from galestim.networks import Augmentation, GaussianHead, HarmonicNet, SpatialTransformer
from galestim.regression import SGD

SET = [
    (CNNRegressor(), "network__filters", (8, 8, 8, 8, 8)),
    (CNNRegressor(), "network__dense_dropout", 0.5),
    (CNNRegressor(), "augmentation__zoom", 0.1),
    (CNNRegressor(augmentation="rotation"), "augmentation__shift", 0.2),
    (CNNRegressor(optimizer="sgd"), "optimizer__momentum", 0.7),
    (PosteriorRegressor(), "network__hidden", 16),
    (PosteriorRegressor(), "head__n_mixture", 3),
    (PosteriorRegressor(spatial_transformer="affine"), "spatial_transformer__npix", 24),
    (PosteriorRegressor(augmentation="spin"), "augmentation__fill", "zeros"),
    (STNPosteriorRegressor(), "spatial_transformer__max_zoom", 2.0),
    (STNPosteriorRegressor(), "network__widths", (2, 4)),
    (STNPosteriorRegressor(), "head__bounded", False),
    (STNPosteriorRegressor.gampen(), "network__units", 64),
]


@pytest.mark.parametrize(("model", "name", "value"), SET)
def test_numbers_of_defaults_can_be_set(model, name, value):
    model = clone(model)
    before = model.get_params()
    assert before[name] != value
    after = model.set_params(**{name: value}).get_params()
    outer = name.partition("__")[0]
    assert after[name] == value
    others = [key for key in before if key not in (name, outer)]
    assert all(repr(after[key]) == repr(before[key]) for key in others)
    assert clone(model).get_params()[name] == value


@pytest.mark.parametrize(("model", "name", "value"), SET)
def test_setting_a_default_number_to_what_it_is_changes_nothing(model, name, value):
    model = clone(model)
    numbers = model.get_params()
    model.set_params(**{key: number for key, number in numbers.items() if "__" in key})
    assert {key: repr(number) for key, number in model.get_params().items() if "__" in key} == {
        key: repr(number) for key, number in numbers.items() if "__" in key
    }


def test_what_none_and_names_stand_for():
    model = PosteriorRegressor(optimizer="sgd").set_params(
        network__hidden=8, head__n_mixture=2, optimizer__momentum=0.5
    )
    assert repr(model.network) == repr(HarmonicNet(hidden=8))
    assert repr(model.head) == repr(GaussianHead(n_mixture=2))
    assert repr(model.optimizer) == repr(SGD(momentum=0.5))
    stn = STNPosteriorRegressor(spatial_transformer="similarity").set_params(spatial_transformer__max_zoom=3.0)
    assert repr(stn.spatial_transformer) == repr(SpatialTransformer("similarity", max_zoom=3.0))
    cnn = CNNRegressor().set_params(augmentation__zoom=0.0)
    assert repr(cnn.augmentation) == repr(Augmentation(zoom=0.0))
    assert CNNRegressor().get_params()["augmentation__zoom"] == 0.25  # the default itself is not touched


def test_a_spec_of_the_users_is_set_itself_and_a_new_one_comes_first():
    spec = CompactCNN()
    assert CNNRegressor(spec).set_params(network__hidden=8).network is spec
    assert spec.hidden == 8
    model = CNNRegressor().set_params(network__hidden=4, network=HarmonicNet())
    assert repr(model.network) == repr(HarmonicNet(hidden=4))


@pytest.mark.parametrize(
    ("model", "name", "message"),
    [
        (
            PosteriorRegressor(),
            "spatial_transformer__max_zoom",
            "with spatial_transformer=None, which has none of its own",
        ),
        (PosteriorRegressor(), "augmentation__zoom", "augmentation__zoom is no parameter of PosteriorRegressor with"),
        (CNNRegressor(), "optimizer__momentum", "with optimizer='adam', which has none of its own; set optimizer to"),
        (CNNRegressor(), "network__filterz", "Invalid parameter 'filterz' for estimator SpinCNN"),
        (CNNRegressor(), "networks__filters", "Invalid parameter 'networks' for estimator CNNRegressor"),
    ],
)
def test_what_is_no_parameter(model, name, message):
    before = repr(model)
    with pytest.raises(ValueError, match=message):
        model.set_params(**{name: 1})
    assert repr(model) == before


def test_a_search_over_defaults(blobs):
    images, radius = (part[:24] for part in blobs[:2])
    pipeline = make_pipeline(CNNRegressor(max_epochs=1, random_state=0))
    grid = {
        "cnnregressor__network__filters": [(4, 4, 4, 4, 4), (6, 6, 6, 6, 6)],
        "cnnregressor__augmentation__zoom": [0.0, 0.1],
    }
    search = GridSearchCV(pipeline, grid, cv=2, error_score="raise").fit(images, radius)
    assert len(search.cv_results_["params"]) == 4
    assert search.best_estimator_[-1].network.filters == search.best_params_["cnnregressor__network__filters"]


@pytest.mark.parametrize("kind", [CNNRegressor, PosteriorRegressor, STNPosteriorRegressor])
@pytest.mark.parametrize("value", [np.ones(2), [], {}, "nonsense", -1.0, object(), HarmonicNet])
def test_odd_values_are_stored_until_fit_looks_at_them(kind, value):
    for name in ("network", "optimizer", "augmentation", "spatial_transformer", "head"):
        model = kind()
        if hasattr(model, name):
            assert model.set_params(**{name: value}).get_params()[name] is value
