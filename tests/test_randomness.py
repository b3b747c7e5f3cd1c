"""What torch draws within a fit's context is what a global seed would give, and the global state never moves."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

from galestim._randomness import AllDraws, own_generator, own_random_numbers

ONES = torch.ones(40)

DRAWS = {
    "rand": lambda: torch.rand(5, dtype=torch.float64),
    "randn": lambda: torch.randn(3, 5),
    "randint": lambda: torch.randint(7, (9,)),
    "randint from": lambda: torch.randint(3, 70, (9,)),
    "randperm": lambda: torch.randperm(11),
    "rand_like": lambda: torch.rand_like(ONES),
    "randn_like": lambda: torch.randn_like(ONES),
    "normal": lambda: torch.normal(ONES, 0.5),
    "bernoulli": lambda: torch.bernoulli(0.3 * ONES),
    "multinomial": lambda: torch.multinomial(ONES, 6),
    "poisson": lambda: torch.poisson(4 * ONES),
    "uniform_": lambda: torch.empty(6).uniform_(2, 3),
    "trunc_normal_": lambda: nn.init.trunc_normal_(torch.empty(20)),
    "Linear": lambda: nn.Linear(4, 3).weight,
    "Conv2d": lambda: nn.Conv2d(2, 3, 3).bias,
    "LSTM": lambda: nn.LSTM(2, 3).weight_hh_l0,
    "dropout": lambda: nn.functional.dropout(ONES, 0.4),
    "dropout2d": lambda: nn.Dropout2d(0.4)(torch.ones(3, 8, 2, 2)),
    "alpha_dropout": lambda: nn.functional.alpha_dropout(ONES, 0.4, training=True),
    "rrelu": lambda: nn.functional.rrelu(-ONES, training=True),
    "gumbel": lambda: nn.functional.gumbel_softmax(ONES),
}


@pytest.mark.parametrize("name", DRAWS)
def test_draws_are_those_of_the_seed_and_leave_the_global_state(name):
    draw = DRAWS[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(11)
        expected = [draw().detach() for _ in range(2)]
        state = torch.get_rng_state()
        with own_random_numbers(11), AllDraws():
            got = [draw().detach() for _ in range(2)]
        assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(a, b) for a, b in zip(got, expected))
    assert not torch.equal(got[0], got[1])


@pytest.mark.parametrize("name", ["dropout", "dropout2d", "alpha_dropout", "rand_like"])
def test_in_inference_mode_too_the_global_state_is_not_even_borrowed(name, monkeypatch):
    monkeypatch.setattr(torch.random, "fork_rng", None)
    with torch.inference_mode(), own_random_numbers(11), AllDraws():
        got = DRAWS[name]()
    with own_random_numbers(11), AllDraws():
        assert torch.equal(got, DRAWS[name]())


def test_what_has_no_generator_draws_from_the_seed_and_puts_the_state_back():
    state = torch.get_rng_state()
    with own_random_numbers(3), AllDraws():
        first, second = torch.randint_like(ONES, 10**6), torch.randint_like(ONES, 10**6)
    with own_random_numbers(3), AllDraws():
        again = torch.randint_like(ONES, 10**6)
    assert torch.equal(first, again)
    assert not torch.equal(first, second)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_generator_of_ones_own_is_used():
    with own_random_numbers(3), AllDraws():
        drawn = torch.rand(4, generator=torch.Generator().manual_seed(8))
    assert torch.equal(drawn, torch.rand(4, generator=torch.Generator().manual_seed(8)))


def test_outside_there_is_no_generator_and_contexts_nest():
    assert own_generator("cpu") is None
    with own_random_numbers(1):
        outer = own_generator("cpu")
        with own_random_numbers(2):
            assert own_generator("cpu").initial_seed() == 2
        assert own_generator("cpu") is outer
    assert own_generator("cpu") is None


def test_threads_do_not_see_each_others():
    meet = threading.Barrier(4)

    def draw(seed):
        with own_random_numbers(seed), AllDraws():
            meet.wait(10)
            return torch.cat([torch.rand(1) for _ in range(200)])

    with ThreadPoolExecutor(4) as pool:
        drawn = list(pool.map(draw, [0, 1, 0, 1]))
    assert torch.equal(drawn[0], drawn[2])
    assert torch.equal(drawn[1], drawn[3])
    assert torch.equal(drawn[0], torch.rand(200, generator=torch.Generator().manual_seed(0)))
