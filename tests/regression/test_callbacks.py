"""Callbacks of the user's: interrupts reach the caller, files and locks are shared, scores of arrays are refused."""

import os
import signal
import threading

import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import BatchScoring, Callback, EarlyStopping, EpochScoring

from galestim import CNNRegressor, CompactCNN


@pytest.fixture(autouse=True)
def _interruptible():
    """Shells switch Ctrl-C off for what they run in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    return rng.normal(size=(40, 12, 12)).astype(np.float32), rng.normal(size=40)


def regressor(*callbacks, **parameters):
    defaults = {"max_epochs": 3, "random_state": 0, "callbacks": list(callbacks)}
    return CNNRegressor(CompactCNN(widths=(2,)), **{**defaults, **parameters})


class CtrlC(Callback):
    """The user presses it."""

    def __init__(self, when):
        self.when = when

    def __getattribute__(self, name):
        if name.startswith("on_") and name == object.__getattribute__(self, "when"):
            return lambda *args, **kwargs: os.kill(os.getpid(), signal.SIGINT)
        return object.__getattribute__(self, name)


WHEN = ["on_train_begin", "on_epoch_begin", "on_batch_begin", "on_batch_end", "on_epoch_end", "on_train_end"]


@pytest.mark.parametrize(("when", "patience"), [*((when, 2) for when in WHEN), ("on_batch_end", None)])
def test_ctrl_c_reaches_the_caller_and_the_estimator_is_unfitted(data, when, patience):
    model = regressor(CtrlC(when), early_stopping_patience=patience)
    attributes = set(vars(model))
    with pytest.raises(KeyboardInterrupt):
        model.fit(*data)
    assert set(vars(model)) == attributes


def test_ctrl_c_leaves_the_last_fit(data):
    model = regressor().fit(*data)
    before = model.predict(data[0])
    for warm in (False, True):
        model.set_params(callbacks=[CtrlC("on_epoch_end")], warm_start=warm)
        with pytest.raises(KeyboardInterrupt):
            model.fit(data[0], -data[1])
        np.testing.assert_array_equal(model.predict(data[0]), before)


def test_a_search_stops_at_the_first(data):
    fits = []

    class Counted(CNNRegressor):
        def fit(self, X, y, sample_weight=None):
            fits.append(1)
            return super().fit(X, y, sample_weight)

    model = Counted(CompactCNN(widths=(2,)), max_epochs=2, callbacks=[CtrlC("on_batch_end")])
    with pytest.raises(KeyboardInterrupt):
        GridSearchCV(model, {"lr": [1e-3, 1e-2]}, cv=2).fit(*data)
    assert len(fits) == 1


def test_early_stopping_of_skorch_ends_the_training_alone(data):
    model = regressor(EarlyStopping(monitor="lr", patience=2), lr_schedule=None, max_epochs=9).fit(*data)
    assert len(model.history_) == 3
    assert np.isfinite(model.predict(data[0])).all()


class Log(Callback):
    def __init__(self, holds, seen):
        self.holds, self.seen = holds, seen

    def on_epoch_end(self, net, **kwargs):
        self.epochs = getattr(self, "epochs", 0) + 1
        self.seen.append(len(net.history))


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("kind", ["file", "lock", "generator"])
def test_callbacks_that_hold_what_cannot_be_copied(data, tmp_path, kind, named):
    with (tmp_path / "log").open("w") as file:
        callback = Log({"file": file, "lock": threading.Lock(), "generator": (x for x in data)}[kind], [])
        regressor(("log", callback) if named else callback).fit(*data)
    assert callback.seen == [1, 2, 3]
    assert not hasattr(callback, "epochs")  # the caller's stays as it was


class NeverCopied(Callback):
    def __reduce_ex__(self, protocol):
        raise TypeError("a socket")


def test_what_cannot_be_copied_at_all_is_named(data):
    with pytest.raises(
        ValueError, match=r"callbacks= holds NeverCopied, which cannot be copied: a socket\. Open files"
    ):
        regressor(NeverCopied()).fit(*data)


@pytest.mark.parametrize(
    "callback",
    [
        EpochScoring("r2"),
        EpochScoring(lambda net, X, y: 1.0, use_caching=False),
        BatchScoring("r2"),
        ("mine", EpochScoring("r2")),
        EpochScoring,
    ],
)
def test_scores_of_arrays_are_refused(data, callback):
    with pytest.raises(ValueError, match=r"callbacks= holds (Epoch|Batch)Scoring, which scores arrays X and y; but"):
        regressor(callback).fit(*data)
