import numpy as np
import pytest
import torch

from galestim.networks import pixel_tensor
from galestim.regression._training import Batches, Examples, Recipe, train


def examples(n, dtype=np.float32):
    images = np.random.default_rng(0).random((n, 4, 4, 1)).astype(np.float32)
    labels = {"target": np.zeros((n, 1), dtype), "weight": np.ones(n, dtype)}
    return Examples(images, np.arange(n), labels, dtype)


def test_batches_are_sliced_at_once_and_own_their_pixels():
    data = examples(10)
    inputs, labels = data.batch(np.array([3, 1]), epoch=1)
    pixels = inputs["pixels"]
    np.testing.assert_array_equal(pixels, data.images[[3, 1]])
    pixels += 1
    assert data.images.max() < 1
    assert labels["weight"].shape == (2,)


def test_each_pass_over_batches_is_an_epoch_in_another_order():
    seen = []

    class Spied(Examples):
        def look(self, which, epoch):
            seen.append((epoch, which))
            return super().look(which, epoch)

    data = examples(10)
    batches = Batches(Spied(data.images, data.rows, data.labels, np.float32), 4, seed=0, epoch=5)
    assert [len(inputs["pixels"]) for _ in range(2) for inputs, _ in batches] == [4, 4, 2] * 2
    assert [epoch for epoch, _ in seen] == [6] * 3 + [7] * 3
    first, second = (np.concatenate([which for e, which in seen if e == epoch]) for epoch in (6, 7))
    assert sorted(first) == sorted(second) == list(range(10))
    assert list(first) != list(second)


def test_without_a_seed_the_order_stays():
    data = examples(5)
    pixels = np.concatenate([inputs["pixels"] for inputs, _ in Batches(data, 2)])
    np.testing.assert_array_equal(pixels, data.images)


@pytest.mark.parametrize(
    ("dtype", "expected"), [("uint8", torch.uint8), (">i2", torch.float32), ("bool", torch.float32)]
)
def test_uint8_stays_and_all_else_is_cast(dtype, expected):
    images = np.ones((2, 3, 3, 1), dtype=dtype)
    images.flags.writeable = False
    assert pixel_tensor(images, np.float32).dtype == expected


class Sizes(torch.nn.Module):
    """Remembers the sizes of the batches it sees."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.seen = []

    def forward(self, pixels):
        self.seen.append(len(pixels))
        return self.weight * pixels.flatten(1).sum(1, keepdim=True)


class Mean(torch.nn.Module):
    def forward(self, output, labels):
        return (output - labels["target"]).square().mean()


@pytest.mark.parametrize(("n", "batch_size", "expected"), [(33, 32, [17, 16]), (100, 32, [25] * 4), (5, 32, [5])])
def test_batches_are_even(n, batch_size, expected):
    network = Sizes()
    recipe = Recipe(
        max_epochs=1,
        batch_size=batch_size,
        lr=1e-3,
        weight_decay=0,
        optimizer="sgd",
        lr_schedule=None,
        early_stopping_patience=None,
        callbacks=None,
        precision="float32",
        verbose=0,
    )
    history = train(network, Mean(), examples(n), None, recipe, device="cpu", seed=0, epoch=3)
    assert network.seen == expected
    assert history[0].keys() == {"epoch", "train_loss", "lr", "duration"}
    assert history[0]["epoch"] == 4
