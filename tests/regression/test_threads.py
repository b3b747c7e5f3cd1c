"""The same seed gives the same answer, to the bit, wherever fits and predictions run; torch's own state stays."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from joblib import Parallel, delayed, parallel_config
from sklearn.model_selection import cross_val_predict
from torch import nn

from galestim import CNNRegressor, CompactCNN, HarmonicNet, PosteriorRegressor, STNPosteriorRegressor


class WithDropoutOfTorch(nn.Module):
    """A network of one's own, which draws from torch's global state."""

    def __init__(self, image_shape, n_outputs):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(image_shape[2], 4, 3), nn.Dropout2d(0.3), nn.RReLU(), nn.Flatten(), nn.LazyLinear(n_outputs)
        )
        self.layers(torch.zeros(1, image_shape[2], *image_shape[:2]))

    def forward(self, x):
        x = x + 0.1 * torch.randn_like(x) if self.training else x
        return self.layers(nn.functional.dropout(x, 0.1, self.training))


MODELS = {
    "augmentation and batches": CNNRegressor(CompactCNN(widths=(2,)), max_epochs=2, random_state=0),
    "one's own": CNNRegressor(WithDropoutOfTorch, max_epochs=2, random_state=0),
    "crop": STNPosteriorRegressor(CompactCNN(widths=(2,)), dropout=0.3, n_passes=8, max_epochs=2, random_state=0),
    "ensemble": PosteriorRegressor(
        HarmonicNet(hidden=8, blocks=1), n_estimators=2, dropout=0.2, n_passes=4, max_epochs=2, random_state=0
    ),
}


@pytest.fixture(params=MODELS)
def model(request):
    return MODELS[request.param]


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    return rng.normal(size=(48, 12, 12)).astype(np.float32), rng.uniform(1, 2, 48)


@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_folds_in_parallel_are_those_of_one_job(model, data, backend):
    alone = cross_val_predict(model, *data, cv=3)
    options = {"inner_max_num_threads": torch.get_num_threads()} if backend == "loky" else {}
    with parallel_config(backend, n_jobs=2, **options):
        assert np.array_equal(cross_val_predict(model, *data, cv=3, n_jobs=2), alone)


def test_plain_threads_fit_and_predict_as_one_does(model, data):
    def fitted(_):
        return model.__class__(**model.get_params(deep=False)).fit(*data)

    one = fitted(0)
    expected = one.predict(data[0])
    with ThreadPoolExecutor(4) as pool:
        fits = list(pool.map(fitted, range(6)))
        predictions = list(pool.map(lambda _: one.predict(data[0]), range(40)))
    assert all(np.array_equal(other.predict(data[0]), expected) for other in fits)
    assert all(np.array_equal(other, expected) for other in predictions)


def test_a_thread_of_the_users_draws_its_own_numbers_meanwhile(model, data):
    def draw_while_fitting():
        drawn = []
        with ThreadPoolExecutor(2) as pool:
            fits = [pool.submit(model.__class__(**model.get_params(deep=False)).fit, *data) for _ in range(2)]
            while not all(fit.done() for fit in fits):
                drawn.append(torch.rand(1))
            fits[0].result().predict(data[0])
        return torch.cat(drawn)

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        drawn = draw_while_fitting()
    assert torch.equal(drawn, torch.rand(len(drawn), 1, generator=torch.Generator().manual_seed(4))[:, 0])


def test_other_seeds_are_other_fits(model, data):
    one, other = Parallel(1)(delayed(_fit_predict)(model, seed, *data) for seed in (0, 1))
    assert not np.array_equal(one, other)


def _fit_predict(model, seed, images, y):
    return model.__class__(**{**model.get_params(deep=False), "random_state": seed}).fit(images, y).predict(images)


class AlwaysDrops(nn.Module):
    def __init__(self, image_shape, n_outputs):
        super().__init__()
        self.layer = nn.Linear(int(np.prod(image_shape)), n_outputs)

    def forward(self, x):
        return self.layer(nn.functional.dropout(x.flatten(1), 0.5, training=True))


def test_predictions_of_a_network_that_always_draws_are_the_same_at_every_call(data):
    fitted = CNNRegressor(AlwaysDrops, max_epochs=1, random_state=0).fit(*data)
    state = torch.get_rng_state()
    assert np.array_equal(fitted.predict(data[0]), fitted.predict(data[0]))
    assert torch.equal(torch.get_rng_state(), state)
