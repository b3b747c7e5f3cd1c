"""Memory that stays where it is while networks work."""

import os
import subprocess
import sys

import pytest

FAULTS = """
import resource, torch
from contextlib import nullcontext
from galestim._heap import large_arrays_stay

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        torch.ones(2**24)  # 64 MiB, beyond what glibc keeps
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

with large_arrays_stay():
    for _ in range(3):
        faults()  # at first, what is free is a little too small for the next
    inside = faults()
print(inside, faults())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's")
def test_large_arrays_are_not_taken_from_the_system_anew(clean_environment):
    inside, outside = map(int, run(clean_environment).split())
    assert inside < 0.1 * outside


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's")
def test_who_tells_malloc_what_to_keep_is_obeyed(clean_environment):
    inside, outside = map(int, run(clean_environment | {"MALLOC_TRIM_THRESHOLD_": "65536"}).split())
    assert inside > 0.5 * outside > 0


@pytest.fixture
def clean_environment():
    return {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}


def run(env) -> str:
    return subprocess.run([sys.executable, "-c", FAULTS], env=env, check=True, capture_output=True, text=True).stdout
