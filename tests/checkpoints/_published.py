"""The published network: its weights, by their names, and its forward pass written out by hand."""

import re

import numpy as np
import torch
from torch.nn import functional as F

WIDTHS = [64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512]
SHIFTED = {0: 0, 2: 3, 5: 7, 7: 10, 10: 14, 12: 17, 14: 20, 17: 24, 19: 27, 21: 30, 24: 34, 26: 37, 28: 40}
POOLED_AFTER = {2, 7, 14, 21, 28}


def shapes(*, map_pixels=1, units=6, n_outputs=9, n_numbers=1, channels=3):
    """Shapes of all weights, by their names in torchvision's numbering."""
    weights = {
        "localization.0": (64, channels, 11, 11),
        "localization.3": (96, 64, 9, 9),
        "fc_loc.0": (32, 96 * map_pixels),
        "fc_loc.2": (n_numbers, 32),
    }
    for index, inside, outside in zip(SHIFTED, [channels, *WIDTHS], WIDTHS):
        weights[f"vgg.features.{index}"] = (outside, inside, 3, 3)
    dense = [(units, 25_088), (units, units), (n_outputs, units)]
    weights |= {f"vgg.classifier.{index}": shape for index, shape in zip((0, 3, 6), dense)}
    return {
        f"{name}.{part}": size
        for name, shape in weights.items()
        for part, size in {"weight": shape, "bias": shape[:1]}.items()
    }


def random_state_dict(**sizes):
    """Weights through which signals neither fade nor grow, and a crop that is not the whole image."""
    generator = torch.Generator().manual_seed(0)
    state = {}
    for name, shape in shapes(**sizes).items():
        bound = (6 / np.prod(shape[1:])) ** 0.5 if len(shape) > 1 else 0.05
        state[name] = torch.empty(shape).uniform_(-bound, bound, generator=generator)
    state["fc_loc.2.weight"] *= 0.05
    crop = {1: [0.7], 3: [0.7, 0.1, -0.05], 6: [0.7, 0.2, 0.1, -0.3, 0.8, -0.05]}
    state["fc_loc.2.bias"] = torch.tensor(crop[len(state["fc_loc.2.bias"])])
    return state


def empty_state_dict(**sizes):
    """Of the right shapes, in a file of a few kilobytes."""
    return {name: torch.zeros(1).expand(shape) for name, shape in shapes(**sizes).items()}


def with_dropout_between(state):
    return {re.sub(r"(?<=features\.)\d+", lambda i: str(SHIFTED[int(i[0])]), key): v for key, v in state.items()}


def crop_by_hand(state, x):
    """What the published network sees of images ``(n, C, H, W)``."""
    h = x
    for layer in ("localization.0", "localization.3"):
        h = F.relu(F.max_pool2d(F.conv2d(h, state[f"{layer}.weight"], state[f"{layer}.bias"]), 3, 2))
    h = F.relu(F.linear(h.flatten(1), state["fc_loc.0.weight"], state["fc_loc.0.bias"]))
    theta = F.linear(h, state["fc_loc.2.weight"], state["fc_loc.2.bias"])
    if theta.shape[1] == 3:
        zoom, zero = theta[:, :1], torch.zeros(len(theta), 1)
        theta = torch.cat([zoom, zero, theta[:, 1:2], zero, zoom, theta[:, 2:]], dim=1)
    if theta.shape[1] == 1:
        theta = theta * torch.tensor([[1.0, 0, 0, 0, 1, 0]])
    grid = F.affine_grid(theta.view(-1, 2, 3), list(x.shape), align_corners=True)
    return F.grid_sample(x, grid, align_corners=True)


def forward_by_hand(state, x):
    x = crop_by_hand(state, x)
    for index in SHIFTED:
        x = F.relu(F.conv2d(x, state[f"vgg.features.{index}.weight"], state[f"vgg.features.{index}.bias"], padding=1))
        x = F.max_pool2d(x, 2) if index in POOLED_AFTER else x
    x = F.adaptive_avg_pool2d(x, (7, 7)).flatten(1)
    for index in (0, 3):
        x = F.relu(F.linear(x, state[f"vgg.classifier.{index}.weight"], state[f"vgg.classifier.{index}.bias"]))
    return F.linear(x, state["vgg.classifier.6.weight"], state["vgg.classifier.6.bias"]).numpy().astype(float)
