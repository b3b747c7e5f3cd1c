"""Resampling gives what torch gives, and bears every matrix that a diverging network can make."""

import math

import pytest
import torch
from torch import nn

from galestim.networks._resample import resampled

IDENTITY = torch.eye(2, 3)[None]


def images(n=3, side=8):
    return torch.rand(n, 2, side, side, generator=torch.Generator().manual_seed(0), requires_grad=True)


@pytest.mark.parametrize("fill", ["border", "zeros"])
@pytest.mark.parametrize("align_corners", [True, False])
def test_sound_matrices_are_torchs(fill, align_corners):
    x, matrix = images(), torch.randn(3, 2, 3, generator=torch.Generator().manual_seed(1)) * 2
    grid = nn.functional.affine_grid(matrix, [3, 2, 5, 6], align_corners=align_corners)
    expected = nn.functional.grid_sample(x, grid, padding_mode=fill, align_corners=align_corners)
    assert torch.equal(resampled(x, matrix, (5, 6), fill, align_corners=align_corners), expected)


@pytest.mark.parametrize("fill", ["border", "zeros"])
@pytest.mark.parametrize("entry", [(0, 0), (0, 2), (1, 1)])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 3e38, -1e30, 1e12])
def test_no_matrix_ends_the_process(fill, entry, value):
    x = images(side=64)
    matrix = IDENTITY.repeat(3, 1, 1)
    matrix[1][entry] = value
    matrix.requires_grad_()
    crops = resampled(x, matrix, (64, 64), fill, align_corners=True)
    crops.sum().backward()
    assert torch.allclose(crops[[0, 2]], x[[0, 2]], atol=1e-5)
    if not math.isfinite(value):
        assert crops[1].isnan().all()
    else:
        assert crops[1].isfinite().all()


def test_positions_are_not_rounded_in_bfloat16():
    x, matrix = images(), IDENTITY * 0.97
    expected = resampled(x[:1], matrix, (8, 8), "border", align_corners=True)
    with torch.autocast("cpu", torch.bfloat16):
        got = resampled(x[:1], matrix, (8, 8), "border", align_corners=True)
    assert torch.equal(got, expected)
