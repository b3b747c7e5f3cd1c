import re

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from galestim.displays import TrainingHistoryDisplay

X, Y = np.arange(24.0).reshape(12, 2), np.linspace(-1, 1, 12)


class GradientDescent(RegressorMixin, BaseEstimator):
    """Least squares by gradient descent; halves its learning rate every third epoch and records it all."""

    def __init__(self, max_epochs=8, validation=True):
        self.max_epochs = max_epochs
        self.validation = validation

    def fit(self, X, y):
        X = (X - X.mean(0)) / X.std(0)
        train, valid = slice(None, None, 2), slice(1, None, 2)
        self.coef_, self.history_ = np.zeros(X.shape[1]), []
        for epoch in range(1, self.max_epochs + 1):
            lr = 0.4 * 0.5 ** ((epoch - 1) // 3)
            self.coef_ = self.coef_ - lr * X[train].T @ (X[train] @ self.coef_ - y[train]) / len(y[train])
            loss = (X @ self.coef_ - y) ** 2
            row = {"epoch": epoch, "train_loss": loss[train].mean(), "lr": lr, "duration": 0.1}
            self.history_.append(row | ({"valid_loss": loss[valid].mean()} if self.validation else {}))
        return self

    def predict(self, X):
        return X @ self.coef_


def column(history, name):
    return [row[name] for row in history]


def test_artists_hold_the_data():
    history = GradientDescent().fit(X, Y).history_
    display = TrainingHistoryDisplay.from_history(history)
    for line, name in [
        (display.train_line_, "train_loss"),
        (display.valid_line_, "valid_loss"),
        (display.lr_line_, "lr"),
    ]:
        np.testing.assert_array_equal(line.get_xdata(), np.arange(1, 9))
        np.testing.assert_array_equal(line.get_ydata(), column(history, name))
    loss, lr = display.axes_
    assert (display.train_line_.axes, display.valid_line_.axes, display.lr_line_.axes) == (loss, loss, lr)
    assert lr.get_yscale() == "log"
    assert loss.get_xlim() == lr.get_xlim()
    assert display.figure_ is loss.figure


def test_the_best_epoch_is_marked():
    history = [{"epoch": e, "train_loss": 1 / e, "valid_loss": (e - 4) ** 2 + 2, "lr": 0.1} for e in range(1, 8)]
    display = TrainingHistoryDisplay.from_history(history)
    assert display.best_epoch == 4
    assert display.best_marker_.get_xydata().tolist() == [[4, 2]]
    texts = [text.get_text() for text in display.axes_[0].get_legend().get_texts()]
    assert texts == ["training", "validation", "best: epoch 4, 2.00"]


def test_without_a_validation_set_no_epoch_is_best():
    history = GradientDescent(validation=False).fit(X, Y).history_
    for rows in [history, [row | {"valid_loss": None} for row in history]]:
        display = TrainingHistoryDisplay.from_history(rows)
        assert display.valid_line_ is None
        assert display.best_marker_ is None
        assert display.best_epoch is None
        assert len(display.axes_[0].lines) == 1


def test_a_data_frame_is_as_good_as_a_list():
    history = GradientDescent().fit(X, Y).history_
    from_list = TrainingHistoryDisplay.from_history(history)
    from_frame = TrainingHistoryDisplay.from_history(pd.DataFrame(history))
    assert from_list.best_epoch == from_frame.best_epoch
    np.testing.assert_array_equal(from_list.valid_loss, from_frame.valid_loss)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda net: net,
        lambda net: make_pipeline(StandardScaler(), net),
        lambda net: GridSearchCV(make_pipeline(StandardScaler(), net), {"gradientdescent__max_epochs": [8]}, cv=2),
    ],
    ids=["bare", "pipeline", "search"],
)
def test_from_estimator_finds_the_history(wrap):
    display = TrainingHistoryDisplay.from_estimator(wrap(GradientDescent()).fit(X, Y))
    expected = GradientDescent().fit(StandardScaler().fit_transform(X), Y).history_
    np.testing.assert_allclose(display.train_loss, column(expected, "train_loss"))


@pytest.mark.parametrize(
    ("estimator", "name"),
    [
        (make_pipeline(StandardScaler(), Ridge()).fit(X, Y), "Ridge"),
        (GradientDescent(), "GradientDescent"),
        (GridSearchCV(GradientDescent(), {"max_epochs": [2]}, cv=2, refit=False).fit(X, Y), "GridSearchCV"),
    ],
)
def test_an_estimator_without_a_history_is_an_error(estimator, name):
    sentence = (
        f"{name} has no history_; expected an estimator that records its training, such as CNNRegressor, "
        "or a pipeline or search (with refit) that ends in one. Fit it first."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        TrainingHistoryDisplay.from_estimator(estimator)


@pytest.mark.parametrize(
    ("history", "sentence"),
    [
        ([], "history is empty; expected one row per epoch. Fit for at least one epoch."),
        (
            [{"epoch": 1, "valid_loss": 2.0}],
            "history has no train_loss, lr; expected epoch, train_loss, lr and, with a validation set, valid_loss.",
        ),
    ],
)
def test_a_bad_history_is_an_error(history, sentence):
    for rows in [history, pd.DataFrame(history)]:
        with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
            TrainingHistoryDisplay.from_history(rows)


def test_a_power_of_ten_is_labelled_even_if_the_rate_is_constant():
    history = [{"epoch": e, "train_loss": 1.0, "lr": 0.0007} for e in (1, 2, 3)]
    display = TrainingHistoryDisplay.from_history(history)
    low, high = display.axes_[1].get_ylim()
    assert low < 1e-3 < high


def test_one_epoch_can_be_seen():
    display = TrainingHistoryDisplay.from_history([{"epoch": 1, "train_loss": 1.0, "valid_loss": 2.0, "lr": 0.1}])
    assert {line.get_marker() for line in (display.train_line_, display.valid_line_, display.lr_line_)} == {"o"}
    low, high = display.axes_[0].get_xlim()
    assert [tick for tick in display.axes_[0].get_xticks() if low < tick < high] == [1]


def test_one_member_of_an_ensemble():
    class Ensemble:
        history_ = [
            {"member": member, "epoch": epoch, "train_loss": member + 1 / epoch, "lr": 1e-3}
            for member in range(2)
            for epoch in (1, 2)
        ]

    display = TrainingHistoryDisplay.from_estimator(Ensemble(), member=1)
    np.testing.assert_allclose(display.train_loss, [2, 1.5])
    with pytest.raises(ValueError, match="history"):
        TrainingHistoryDisplay.from_estimator(Ensemble(), member=2)
