"""Damaged files of every format are read, or refused by a clear error: no other, no hang, no crash, no flood.

Run ``GALESTIM_FUZZ_CASES=10000 pytest -s tests/fuzz`` for more cases, which print their counts.
"""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import galestim

N_CASES = int(os.environ.get("GALESTIM_FUZZ_CASES", "120"))
SEED = 12


def cases(seed, n, *formats):
    """[case, format, verdict, why] of each; a process that dies is replaced by another."""
    done = 0
    while done < n:
        command = [sys.executable, str(Path(__file__).parent / "_damage.py"), str(seed), str(done), str(n), *formats]
        child = subprocess.run(command, capture_output=True, text=True, check=False, env=environment())
        lines = [json.loads(line) for line in child.stdout.splitlines()]
        assert lines, child.stderr
        yield from (line for line in lines if len(line) == 4)
        if len(lines[-1]) == 2:  # it began, but did not end
            yield [*lines[-1], "wrong", f"the process ended with {child.returncode}: {child.stderr[-300:]}"]
        done = lines[-1][0] + 1


def environment():
    return {**os.environ, "PYTHONPATH": str(Path(galestim.__file__).parents[1])}


@pytest.mark.skipif(sys.platform == "win32", reason="needs limits on the process")
def test_damaged_files_are_read_or_refused():
    results = list(cases(SEED, N_CASES))
    counts = Counter((name, verdict) for _, name, verdict, _ in results)
    print()
    for name in dict.fromkeys(name for name, _ in counts):
        print(f"{name:22s}", *(f"{what} {counts[name, what]:5d}" for what in ("right", "other", "error", "wrong")))
    print(
        f"{'all':22s}",
        *(f"{what} {sum(v == what for *_, v, _ in results):5d}" for what in ("right", "other", "error", "wrong")),
    )
    assert len(results) == N_CASES
    assert [result for result in results if result[2] == "wrong"] == []
    assert sum(result[2] == "error" for result in results) > N_CASES / 4
