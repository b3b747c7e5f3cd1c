import pytest
import torch

from galestim.networks import Dropout


@pytest.mark.parametrize("rate", [0.0004, 0.1, 0.25, 0.5, 0.9])
def test_drops_at_its_rate_and_keeps_the_mean(rate):
    torch.manual_seed(0)
    x = torch.ones(1_000_003)
    dropped = Dropout(rate)(x)
    share = float((dropped == 0).double().mean())
    assert abs(share - rate) < 5 * (rate * (1 - rate) / len(x)) ** 0.5 + 2**-17
    assert set(dropped.unique().tolist()) == {0.0, torch.tensor(1 / (1 - rate)).item()}


def test_entries_are_independent():
    torch.manual_seed(0)
    kept = (Dropout(0.5)(torch.ones(400_000)) > 0).double()
    for lag in (1, 2, 3, 4, 5, 8):  # four entries share a random word
        correlation = torch.corrcoef(torch.stack([kept[:-lag], kept[lag:]]))[0, 1]
        assert abs(correlation) < 5 / len(kept) ** 0.5


def test_off_outside_training_and_at_rate_zero():
    x = torch.rand(100)
    assert Dropout(0.5).eval()(x) is x
    assert Dropout(0.0)(x) is x


def test_gradient_follows_the_mask():
    x = torch.ones(1000, requires_grad=True)
    dropped = Dropout(0.3)(x)
    dropped.sum().backward()
    torch.testing.assert_close(x.grad, dropped.detach())


def test_keeps_memory_format_and_seed():
    x = torch.rand(2, 3, 8, 8).to(memory_format=torch.channels_last)
    torch.manual_seed(3)
    first = Dropout(0.5)(x)
    torch.manual_seed(3)
    assert torch.equal(first, Dropout(0.5)(x))
    assert first.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("rate", [-0.1, 1.0])
def test_rate_out_of_range(rate):
    with pytest.raises(ValueError, match=r"expected a dropout rate in \[0, 1\)\."):
        Dropout(rate)
