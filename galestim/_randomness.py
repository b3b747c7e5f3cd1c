"""Random numbers of torch that belong to one fit: torch's global state, which all threads share, is left alone."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

_LOCK = threading.Lock()


class _Generators(dict):
    """Generators of one seed by device, each made when it is first asked for."""

    def __init__(self, seed: int):
        super().__init__()
        self.seed = seed

    def __missing__(self, device: str) -> torch.Generator:
        self[device] = torch.Generator(device).manual_seed(self.seed)
        return self[device]


_current: ContextVar[_Generators | None] = ContextVar("galestim_generators", default=None)


@contextmanager
def own_random_numbers(seed: int) -> Iterator[None]:
    """Within this context, and this thread, galestim's layers draw from `seed`."""
    token = _current.set(_Generators(seed))
    try:
        yield
    finally:
        _current.reset(token)


def own_generator(device: str | torch.device) -> torch.Generator | None:
    """That of the context for this device; None, which means torch's global one, outside of any."""
    generators = _current.get()
    return None if generators is None else generators[str(device)]


def generator_states() -> dict[str, torch.Tensor]:
    """Where the generators of the context are, by device."""
    return {device: generator.get_state() for device, generator in (_current.get() or {}).items()}


def set_generator_states(states: dict[str, torch.Tensor]) -> None:
    """Put the generators of the context where they were."""
    generators = _current.get()
    assert generators is not None
    for device, state in states.items():
        generators[device].set_state(state)


class AllDraws(TorchDispatchMode):
    """Within this context, inside of `own_random_numbers`, whatever torch draws comes from the same seed.

    Layers of torch that are made, dropout of others: each operation that draws is handed the generator. A mode is
    that of one thread, and costs some microseconds per operation.
    """

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if torch.Tag.nondeterministic_seeded not in func.tags:
            return func(*args, **kwargs)
        device = _device_of(args, kwargs)
        given = [value for value in (*args, *kwargs.values()) if isinstance(value, torch.Generator)]
        if given or device.type == "meta":
            return func(*args, **kwargs)
        generator: Any = own_generator(device)
        if func.name() in _BY_HAND:
            return _BY_HAND[func.name()](generator, *args, **kwargs)
        seeded = _with_generator(func)
        if seeded is not None:
            return seeded(*args, **{**kwargs, "generator": generator})
        with self:  # dropout, say, arrives whole in inference mode, and draws by operations that have generators
            result = func.decompose(*args, **kwargs)
        return _seeded_globally(generator, func, args, kwargs) if result is NotImplemented else result


def _native_dropout(generator: torch.Generator, x: torch.Tensor, rate: float, train: bool | None):
    if train is False or rate == 0:
        return x.clone(), torch.ones_like(x, dtype=torch.bool)
    kept = torch.empty_like(x).bernoulli_(1 - rate, generator=generator)
    return x * kept / (1 - rate) if rate < 1 else torch.zeros_like(x), kept.bool()


_BY_HAND: dict[str, Any] = {  # what has no form with a generator in all releases of torch
    "aten::rand_like": lambda generator, *args, **kwargs: torch.empty_like(*args, **kwargs).uniform_(
        generator=generator
    ),
    "aten::randn_like": lambda generator, *args, **kwargs: torch.empty_like(*args, **kwargs).normal_(
        generator=generator
    ),
    "aten::native_dropout": _native_dropout,
}


def _device_of(args, kwargs) -> torch.device:
    tensors = [value for value in args if isinstance(value, torch.Tensor)]
    return torch.device(kwargs.get("device") or (tensors[0].device if tensors else "cpu"))


@cache
def _with_generator(func):
    """The form of an operation that takes a generator; None if there is none."""
    name = func._overloadname
    for form in (name, "generator" if name == "default" else f"{name}_generator"):
        if form in func.overloadpacket.overloads():
            candidate = getattr(func.overloadpacket, form)
            if any(argument.name == "generator" for argument in candidate._schema.arguments):
                return candidate
    return None


def _seeded_globally(generator: torch.Generator, func, args, kwargs):
    """An operation that draws from the global state alone, as fused attention on a GPU: the state is put back."""
    kind = generator.device.type
    fork: dict = {"devices": []} if kind == "cpu" else {"device_type": kind}
    seed = torch.randint(2**31, (), generator=generator, device=generator.device).item()
    with _LOCK, torch.random.fork_rng(**fork):
        torch.manual_seed(seed)
        return func(*args, **kwargs)
