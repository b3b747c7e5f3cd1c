import pytest
import torch

from galestim.networks._d4 import ORDER, BlurPool, GroupConv, LiftingConv, transform


def test_eight_different_views_that_form_a_group():
    square = torch.arange(9).reshape(3, 3)
    views = {tuple(transform(square, g).flatten().tolist()) for g in range(ORDER)}
    assert len(views) == 8
    assert all(
        tuple(transform(transform(square, g), h).flatten().tolist()) in views
        for g in range(ORDER)
        for h in range(ORDER)
    )


@pytest.mark.parametrize("element", range(ORDER))
def test_turning_the_image_turns_and_permutes_the_planes(element):
    torch.manual_seed(0)
    lift, conv = LiftingConv(2, 3, 5).double(), GroupConv(3, 4, 3).double()
    image = torch.randn(1, 2, 9, 9, dtype=torch.float64)
    planes = conv(lift(image)).unflatten(1, (ORDER, 4))[0]
    turned = conv(lift(transform(image, element))).unflatten(1, (ORDER, 4))[0]
    expected = transform(planes, element)
    matches = [[torch.allclose(t, e, atol=1e-9) for e in expected] for t in turned]
    assert [sum(row) for row in matches] == [1] * ORDER  # a permutation: each plane once
    assert sorted(row.index(True) for row in matches) == list(range(ORDER))


@pytest.mark.parametrize("side", [2, 3, 4, 5, 8, 17, 32])
def test_blur_pool_halves_evenly(side):
    pooled = BlurPool()(torch.ones(1, 2, side, side + 1, dtype=torch.float64))
    assert pooled.shape == (1, 2, -(-side // 2), -(-(side + 1) // 2))
    torch.testing.assert_close(pooled, torch.ones_like(pooled))
    ramp = torch.arange(side, dtype=torch.float64).expand(1, 1, side, side)
    torch.testing.assert_close(BlurPool()(ramp).mean(), ramp.mean())  # no drift to one side


def test_blur_pool_does_not_alias():
    stripes = torch.tensor([1.0, -1.0]).repeat(16).expand(1, 1, 32, 32)
    assert BlurPool()(stripes)[..., 1:-1].abs().max() < 1e-6
    assert stripes[..., ::2].abs().min() == 1  # what plain striding makes of it
