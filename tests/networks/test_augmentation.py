import numpy as np
import pytest
import torch
from scipy.ndimage import affine_transform

from galestim.networks import Augmentation
from galestim.networks._augmentation import random_affine


def pixel_map(matrix, height, width):
    """The same map in pixels, (row, column) from output to input, relative to the middle."""
    scale = np.diag([width / 2, height / 2])
    linear = scale @ matrix[:, :2] @ np.linalg.inv(scale)
    offset = scale @ matrix[:, 2]
    return linear[::-1, ::-1], offset[::-1]


def test_equals_scipy_on_the_same_map():
    torch.manual_seed(0)
    images = torch.rand(6, 1, 40, 30, dtype=torch.float64)
    images[:, :, :14], images[:, :, -14:], images[..., :10], images[..., -10:] = 0, 0, 0, 0
    spec = Augmentation(fill="zeros")
    torch.manual_seed(5)
    views = spec.build()(images)
    torch.manual_seed(5)
    matrices = random_affine(spec, 6, 40, 30).numpy()
    middle = (np.array([40, 30]) - 1) / 2
    for image, view, matrix in zip(images[:, 0], views[:, 0], matrices):
        linear, offset = pixel_map(matrix, 40, 30)
        expected = affine_transform(image.numpy(), linear, middle + offset - linear @ middle, order=1)
        np.testing.assert_allclose(view, expected, atol=1e-9)


def test_draws_cover_the_published_ranges_and_no_more():
    torch.manual_seed(0)
    n, side = 20_000, 80
    matrices = random_affine(Augmentation(), n, side, side).numpy()
    zoom = 1 / np.sqrt(np.abs(np.linalg.det(matrices[:, :, :2])))
    angle = np.degrees(np.arctan(-matrices[:, 0, 1] / matrices[:, 0, 0]))
    shift = matrices[:, :, 2] / 2
    for values, limit in [(zoom - 1, 0.25), (angle, 45), (shift[:, 0], 0.05), (shift[:, 1], 0.05)]:
        assert 0.99 * limit < np.abs(values).max() <= limit * (1 + 1e-9)
        assert abs(values.mean()) < 0.02 * limit
    assert abs((matrices[:, 0, 0] < 0).mean() - 0.5) < 0.02
    assert abs((matrices[:, 1, 1] < 0).mean() - 0.5) < 0.02


def test_rotation_keeps_shapes_on_frames_that_are_not_square():
    torch.manual_seed(0)
    matrices = random_affine(Augmentation(zoom=0, shift=0, rotation=180), 50, 30, 90).numpy()
    for matrix in matrices:
        linear, _ = pixel_map(matrix, 30, 90)
        np.testing.assert_allclose(linear @ linear.T, np.eye(2), atol=1e-12)


def test_only_while_training_and_only_where_there_is_geometry():
    views, images = Augmentation().build(), torch.rand(3, 1, 8, 8)
    assert views.eval()(images) is images
    strip = torch.rand(3, 1, 1, 8)
    assert views.train()(strip) is strip
    assert not torch.equal(views(images), images)


def test_without_anything_to_vary_images_stay():
    still = Augmentation(zoom=0, rotation=0, horizontal_flip=False, vertical_flip=False, shift=0).build()
    images = torch.rand(3, 2, 9, 12)
    torch.testing.assert_close(still(images), images, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"zoom": 1.0}, r"zoom=1.0; expected a fraction in \[0, 1\)\."),
        ({"fill": "edge"}, "expected 'border' or 'zeros'"),
    ],
)
def test_bad_parameters(parameters, message):
    with pytest.raises(ValueError, match=message):
        Augmentation(**parameters).build()
