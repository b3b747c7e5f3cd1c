import numpy as np
import pytest
import torch

from galestim.regression._net import ImageDataset, pixel_tensor, train


def dataset(n, dtype=np.float32):
    images = np.random.default_rng(0).random((n, 4, 4, 1)).astype(np.float32)
    labels = {"target": np.zeros((n, 1), dtype), "weight": np.ones(n, dtype)}
    return ImageDataset(images, np.arange(n), labels, dtype)


def test_batches_are_sliced_at_once_and_own_their_pixels():
    data = dataset(10)
    pixels, labels = data.__getitems__([3, 1])
    np.testing.assert_array_equal(pixels, data.images[[3, 1]])
    pixels += 1
    assert data.images.max() < 1
    assert labels["weight"].shape == (2,)


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

    def forward(self, x):
        self.seen.append(len(x))
        return self.weight * x.flatten(1).sum(1, keepdim=True)


class Mean(torch.nn.Module):
    def forward(self, output, labels):
        return (output - labels["target"]).square().mean()


@pytest.mark.parametrize(("n", "batch_size", "expected"), [(33, 32, [17, 16]), (100, 32, [25] * 4), (5, 32, [5])])
def test_batches_are_even(n, batch_size, expected):
    network = Sizes()
    options = {"weight_decay": 0, "optimizer": "sgd", "lr_schedule": None, "early_stopping_patience": None}
    history = train(
        network,
        Mean(),
        dataset(n),
        None,
        device="cpu",
        seed=0,
        max_epochs=1,
        batch_size=batch_size,
        lr=1e-3,
        callbacks=None,
        autocast=False,
        verbose=0,
        **options,
    )
    assert network.seen == expected
    assert history[0].keys() == {"epoch", "train_loss", "lr", "duration"}
