"""Fits that are interrupted, and go on from their checkpoint as if nothing had been."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import joblib
import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from galestim import CNNRegressor, CompactCNN
from galestim._io.files import locked_folder
from galestim.checkpoints import load_estimator, save_estimator
from galestim.regression import _checkpoint

sys.path.append(str(Path(__file__).parent))
try:
    from _killed_fits import fits
finally:
    sys.path.pop()

FILE = "checkpoint.safetensors"
FITS = ("early stopping", "ensemble", "redrawn")


@pytest.fixture(scope="module")
def known():
    return fits()


@pytest.fixture(scope="module")
def whole(known):
    """Each fit, never interrupted, and without a checkpoint."""
    return {name: clone(estimator).fit(X, y) for name, (estimator, X, y) in known.items()}


@pytest.fixture(autouse=True)
def _interruptible():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def interrupt(monkeypatch):
    """Have Ctrl-C pressed when so many checkpoints are written."""
    write = _checkpoint.Checkpoint.write

    def after(n):
        left = [n]

        def write_and_press(self, training):
            write(self, training)
            left[0] -= 1
            if not left[0]:
                signal.raise_signal(signal.SIGINT)

        monkeypatch.setattr(_checkpoint.Checkpoint, "write", write_and_press)

    return after


@pytest.fixture
def small(known):
    """A fit of two epochs."""
    estimator, X, y = known["early stopping"]
    return clone(estimator).set_params(max_epochs=2, early_stopping_patience=None), X, y


def untimed(estimator):
    return [{name: value for name, value in row.items() if name != "duration"} for row in estimator.history_]


def assert_same(one, other):
    weights, others = one.network_.state_dict(), other.network_.state_dict()
    assert weights.keys() == others.keys()
    assert all(torch.equal(weights[name], others[name]) for name in weights)
    assert untimed(one) == untimed(other)
    np.testing.assert_array_equal(getattr(one, "width_factors_", 1), getattr(other, "width_factors_", 1))


def assert_close(one, other):
    """Redrawn images differ in rounding: the source renders together what it has not rendered before."""
    torch.testing.assert_close(
        dict(one.network_.state_dict()), dict(other.network_.state_dict()), rtol=1e-3, atol=1e-4
    )
    assert [row["lr"] for row in one.history_] == [row["lr"] for row in other.history_]
    losses = [[row["train_loss"] for row in estimator.history_] for estimator in (one, other)]
    np.testing.assert_allclose(*losses, rtol=1e-4)


@pytest.mark.parametrize("name", FITS)
def test_a_checkpoint_changes_nothing_and_an_interruption_neither(name, known, whole, tmp_path, interrupt):
    estimator, X, y = known[name]
    fitted = clone(estimator).set_params(checkpoint=tmp_path / "kept")
    for n_steps in (1, 4, 9):  # after the first step, at the end of an epoch or within one, in a later one
        interrupt(n_steps)
        with pytest.raises(KeyboardInterrupt):
            fitted.fit(X, y)
        assert not hasattr(fitted, "network_")
        assert (tmp_path / "kept" / FILE).exists()
    interrupt(0)
    (assert_close if name == "redrawn" else assert_same)(fitted.fit(X, y), whole[name])
    assert [path.name for path in (tmp_path / "kept").iterdir()] == [FILE]


def test_killed_at_random_moments_it_ends_as_it_would_have(whole, tmp_path):
    rng, ended = np.random.default_rng(0), []
    command = [sys.executable, str(Path(__file__).with_name("_killed_fits.py"))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        while "done" not in ended and len(ended) < 6:
            seconds = rng.uniform(0, 0.1) if len(ended) < 5 else -1
            process.stdin.write(f"ensemble|{tmp_path / 'kept'}|{seconds}|{tmp_path / 'out'}\n")
            process.stdin.flush()
            ended.append(process.stdout.readline().strip())
        process.stdin.close()
    assert ended.count("killed") >= 2  # five, unless the machine is very quick
    assert_same(joblib.load(tmp_path / "out"), whole["ensemble"])


def test_a_fit_that_is_done_is_read(small, tmp_path):
    estimator, X, y = small
    estimator.set_params(checkpoint=tmp_path)
    history = estimator.fit(X, y).history_
    assert clone(estimator).fit(X, y).history_ == history  # durations, too
    assert clone(estimator).fit(X[::-1], y[::-1]).history_ == history  # the order of rows does not matter


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"lr": 0.02}, "lr was 0.01 then, is 0.02 now"),
        ({"network": CompactCNN(widths=(2,))}, r"network was CompactCNN\(widths=\(4,\)\) then, is CompactCNN"),
        ({"precision": "float64"}, "precision was 'float32' then, is 'float64' now"),
    ],
)
def test_the_checkpoint_of_another_fit_is_refused(small, tmp_path, changed, message):
    estimator, X, y = small
    estimator.set_params(checkpoint=tmp_path).fit(X, y)
    before = (tmp_path / FILE).read_bytes()
    with pytest.raises(ValueError, match=f"has the checkpoint of another fit: {message}.*delete the folder to begin"):
        clone(estimator).set_params(**changed).fit(X, y)
    assert (tmp_path / FILE).read_bytes() == before


def test_other_data_and_other_weights_are_refused(small, tmp_path):
    estimator, X, y = small
    estimator.set_params(checkpoint=tmp_path).fit(X, y)
    changed = X.copy()
    changed[7, 3, 3] += 1e-3
    for images, targets, weights in ((changed, y, None), (X, y + 1e-3, None), (X, y, np.linspace(1, 2, len(y)))):
        with pytest.raises(ValueError, match="images, targets, weights or the state of random_state were others"):
            clone(estimator).fit(images, targets, weights)
    with pytest.raises(ValueError, match="warm_start was False then, is True now"):
        estimator.set_params(warm_start=True).fit(X, y)


def test_a_folder_for_each_fit_resumes_a_search(small, tmp_path, interrupt):
    estimator, X, y = small
    estimator.set_params(checkpoint=str(tmp_path / "{fit}"), max_epochs=1, batch_size=48)
    search = GridSearchCV(estimator, {"lr": [0.01, 0.001]}, cv=2, refit=False)
    expected = clone(search).set_params(estimator__checkpoint=None).fit(X, y).cv_results_["mean_test_score"]
    interrupt(5)  # each fit writes two
    with pytest.raises(KeyboardInterrupt):
        clone(search).fit(X, y)
    times = {path: path.stat().st_mtime_ns for path in tmp_path.glob(f"*/{FILE}")}
    assert len(times) == 3
    interrupt(0)
    np.testing.assert_array_equal(search.fit(X, y).cv_results_["mean_test_score"], expected)
    assert len(list(tmp_path.iterdir())) == 4
    assert sum(path.stat().st_mtime_ns == before for path, before in times.items()) == 2  # those that were done


def test_what_cannot_be_resumed_is_refused(small, tmp_path):
    estimator, X, y = small
    estimator.set_params(checkpoint=tmp_path / "kept")
    with pytest.raises(ValueError, match="checkpoint= needs a random_state, an int"):
        clone(estimator).set_params(random_state=None).fit(X, y)
    with pytest.raises(ValueError, match="does not hold what callbacks know; leave out one of them"):
        clone(estimator).set_params(callbacks=[_checkpoint_free_callback()]).fit(X, y)
    assert not (tmp_path / "kept").exists()


def _checkpoint_free_callback():
    from skorch.callbacks import Callback

    return Callback()


def test_damaged_locked_and_unwritable_ones(small, tmp_path):
    estimator, X, y = small
    estimator.set_params(checkpoint=tmp_path)
    with locked_folder(tmp_path), pytest.raises(BlockingIOError, match="is in use by another run"):
        estimator.fit(X, y)
    (tmp_path / FILE).write_bytes(b"half a file")
    with pytest.raises(ValueError, match=r"cannot be read: .*delete .* to begin anew"):
        estimator.fit(X, y)
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError):
        estimator.set_params(checkpoint=tmp_path / "file").fit(X, y)


def test_a_disk_that_fills_up_ends_no_training(small, tmp_path, monkeypatch, caplog):
    estimator, X, y = small
    save, calls = _checkpoint.save_file, []

    def full(*args):
        calls.append(1)
        if len(calls) > 3:
            raise OSError(28, "No space left on device")
        save(*args)

    monkeypatch.setattr(_checkpoint, "save_file", full)
    assert estimator.set_params(checkpoint=tmp_path).fit(X, y).history_[-1]["epoch"] == 2
    assert "could not be written: [Errno 28] No space left on device" in caplog.text
    monkeypatch.setattr(_checkpoint, "save_file", save)
    assert_same(clone(estimator).fit(X, y), estimator)  # from the third step


def test_a_first_one_that_finds_no_room_is_an_error(small, tmp_path, monkeypatch):
    estimator, X, y = small

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_checkpoint, "save_file", full)
    with pytest.raises(OSError, match=r"could not be written: .*Make room, or name another"):
        estimator.set_params(checkpoint=tmp_path).fit(X, y)


def test_it_is_written_every_so_many_minutes(small, tmp_path, monkeypatch):
    estimator, X, y = small
    written = []
    monkeypatch.setattr(_checkpoint.Checkpoint, "_write", lambda self, *_: written.append(time.monotonic()))
    estimator.set_params(checkpoint=tmp_path, checkpoint_minutes=60).fit(X, y)
    assert len(written) == 2  # after the first step, and at the end


def test_a_training_that_diverges_leaves_none(small, tmp_path):
    estimator, X, y = small
    estimator.set_params(checkpoint=tmp_path, lr=1e30, optimizer="sgd")
    with pytest.raises(FloatingPointError):
        estimator.fit(X, y)
    assert not os.listdir(tmp_path)


def test_files_of_estimators_do_not_have_it(small, tmp_path):
    estimator, X, y = small
    fitted = estimator.set_params(checkpoint=tmp_path / "kept").fit(X, y)
    save_estimator(fitted, tmp_path / "model.safetensors")
    assert isinstance(fitted, CNNRegressor)
    assert load_estimator(tmp_path / "model.safetensors").checkpoint is None
