import pytest
import torch

from galestim._device import resolve_device


@pytest.mark.parametrize(
    ("cuda", "mps", "best"),
    [(True, True, "cuda"), (False, True, "mps"), (False, False, "cpu"), (True, False, "cuda")],
)
def test_auto_prefers_cuda_then_mps_then_cpu(monkeypatch, cuda, mps, best):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert resolve_device("auto") == best
    assert resolve_device(torch.device("cpu")) == "cpu"


def test_absent_device(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(
        ValueError, match=r"device='cuda:1' is not available on this machine; use device='auto' \(here: 'cpu'\)"
    ):
        resolve_device("cuda:1")
    assert resolve_device("cuda:1", fall_back=True) == "cpu"


def test_unknown_device():
    with pytest.raises(ValueError, match="device='gpu'; expected 'auto', 'cpu'"):
        resolve_device("gpu")
