import numpy as np
import torch
from torch import nn

from galestim.networks import ImageNetwork, pixel_tensor


def test_pixels_are_moved_cast_and_standardized():
    pixels = np.random.default_rng(0).integers(0, 255, (5, 4, 6, 3), dtype=np.uint8)
    mean, scale = np.array([1.0, 2.0, 3.0]), np.array([2.0, 4.0, 8.0])
    module = ImageNetwork(nn.Identity(), None, mean, scale)
    expected = np.moveaxis((pixels - mean) / scale, 3, 1)
    np.testing.assert_allclose(module(torch.from_numpy(pixels)), expected)


def test_views_are_taken_before_standardizing_and_only_while_training():
    class Zero(nn.Module):
        def forward(self, x):
            return torch.zeros_like(x) if self.training else x

    module = ImageNetwork(nn.Identity(), Zero(), np.array([3.0]), np.array([1.0]))
    pixels = torch.ones(2, 4, 4, 1)
    assert (module(pixels) == -3).all()
    assert (module.eval()(pixels) == -2).all()


def test_read_only_moments_are_copied():
    mean = np.zeros(1)
    mean.flags.writeable = False
    module = ImageNetwork(nn.Identity(), None, mean, np.ones(1))
    module.pixel_mean += 5
    assert mean[0] == 0


def test_pixels_have_the_same_order_in_memory_however_they_come():
    rows = np.random.default_rng(0).normal(size=(5, 8))
    layouts = rows.reshape(5, 1, 8, 1), rows[:, None, :, None]
    strides = {pixel_tensor(images, np.float64).stride() for images in layouts}
    assert len(strides) == 1  # torch gives dropout another order else
