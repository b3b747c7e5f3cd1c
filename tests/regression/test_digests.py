"""Images that a network digests are looked at once; looks at redrawn galaxies are replayed."""

import numpy as np
import pytest
import torch

from galestim import CompactCNN, HarmonicNet, PosteriorRegressor
from galestim.datasets import SimulatedGalaxies
from galestim.regression import _digests
from galestim.simulation import sim_v2_cameras, sim_v2_prior

TRANSFORMS = ["logit", "log", "log"]


def regressor(network=None, **parameters):
    network = HarmonicNet(hidden=16, blocks=1) if network is None else network
    parameters = {"max_epochs": 3, "batch_size": 16, "random_state": 0, **parameters}
    return PosteriorRegressor(network, target_transforms=TRANSFORMS, **parameters)


class Counted(SimulatedGalaxies):
    """Remembers which epochs were drawn for which rows."""

    def redrawn(self, rows, epoch):
        vars(self).setdefault("seen", []).append((epoch, len(rows)))
        return super().redrawn(rows, epoch)


def counted(replays, **parameters):
    cameras = {"band": sim_v2_cameras(), "prior": sim_v2_prior()}
    options = {"npix": 32, "redraw": "galaxies", "lifetime": 3, "random_state": 0, **cameras, **parameters}
    return Counted(80, replays=replays, **options)


def test_digests_are_the_same_fit(monkeypatch):
    galaxies = SimulatedGalaxies(60, npix=32, random_state=0)
    images = np.asarray(galaxies)
    digested = regressor().fit(images, galaxies.target).predict(images[:5])
    monkeypatch.setattr(_digests, "MAX_BYTES", 0)  # there is no memory for digests
    seen = regressor().fit(images, galaxies.target).predict(images[:5])
    np.testing.assert_allclose(digested, seen, rtol=1e-5)


def test_digests_read_as_the_trunk_does():
    network = HarmonicNet(hidden=8).build((24, 24, 2), 3).double()
    images = torch.from_numpy(np.random.default_rng(0).normal(size=(4, 2, 24, 24)))
    torch.testing.assert_close(network.read(network.digest(images)), network.trunk(images))


def test_looks_are_drawn_once_and_replayed():
    source = counted(replays=3)
    regressor(validation_fraction=0.25).fit(source, source.target)
    drawn = {}
    for epoch, n in source.seen:
        drawn[epoch] = drawn.get(epoch, 0) + n
    assert drawn.pop(1) == 62  # two more are looked at, whether their network digests them
    assert drawn.pop(3) == 120  # those of the last epoch tell the domain, too
    assert drawn == {2: 60, 4: 60, 5: 60}  # three epochs of three looks each, the last of them new


def replays(n_looks, n_rows=5):
    """Replays whose digests are the numbers of the looks."""
    from galestim.regression._digests import Replays
    from galestim.regression._training import Examples

    class Numbered(Examples):
        def __len__(self):
            return n_rows

        def batch(self, which, epoch):
            number = torch.full((len(which), 1), float(epoch))
            return {"pixels": number}, {"target": number}

    rows = np.arange(n_rows)
    examples = Numbered(rows, rows, {"target": np.zeros((n_rows, 1), np.float32)}, np.dtype(np.float32))
    return Replays(examples, lambda inputs: inputs["pixels"], n_looks)


def looks_of(source, epoch):
    source.begin(epoch)
    inputs, labels = source.batch(np.arange(len(source)), epoch)
    np.testing.assert_array_equal(inputs["digest"], labels["target"])
    return inputs["digest"].numpy()[:: len(source.rows), 0].astype(int).tolist()


def test_looks_of_the_whole_training_are_replayed_and_the_newest_always(monkeypatch):
    source = replays(n_looks=3)
    seen = [looks_of(source, epoch) for epoch in range(1, 40)]
    assert sorted(seen[0]) == [1, 2, 3]
    assert [looks[-1] for looks in seen] == list(range(3, 42))
    assert all(len(set(looks)) == 3 for looks in seen)
    old = np.array([np.mean(looks[:-1]) / looks[-1] for looks in seen[10:]])
    assert 0.4 < old.mean() < 0.6  # any of those before, on average half as old
    monkeypatch.setattr(_digests, "MAX_MEMORY", 4 * 5 * 8)  # bytes of four looks
    assert min(looks_of(source, 40)) >= 39


def test_a_warm_start_goes_on_with_replays():
    source = counted(replays=2)
    model = regressor(warm_start=True, max_epochs=2, validation_fraction=0.0).fit(source, source.target)
    source.seen = []
    assert [row["epoch"] for row in model.fit(source, source.target).history_] == [1, 2, 3, 4]
    assert sorted({epoch for epoch, n in source.seen if n > 2}) == [3, 4, 5]


def test_networks_that_digest_nothing_see_each_epoch_anew():
    source = counted(replays=3)
    regressor(CompactCNN(widths=(2,), hidden=4), max_epochs=1, validation_fraction=0.0).fit(source, source.target)
    assert {epoch for epoch, _ in source.seen} == {1}


def test_replays_say_what_they_are():
    with pytest.raises(ValueError, match="replays"):
        SimulatedGalaxies(10, replays=0)
    assert SimulatedGalaxies(10, npix=16).replays == 1
